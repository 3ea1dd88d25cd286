"""Py Pinger: a monitor of scheduled tasks."""

__version__ = "1.0.0"
