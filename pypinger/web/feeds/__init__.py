"""Formats for other programs: the Atom feed, badges and metrics."""
