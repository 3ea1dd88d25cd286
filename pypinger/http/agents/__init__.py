"""Agents that wrap one another, like Twisted's own: redirects over token over polling."""
