"""A channel for Py Pinger in a package of its own."""
