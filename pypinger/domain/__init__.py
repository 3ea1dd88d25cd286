"""The pure core: what a report means, when a task is late, whom to tell. No clock, no I/O, no Twisted."""
