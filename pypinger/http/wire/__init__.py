"""Connections and what travels over them; nothing here knows treq, tasks or channels."""
