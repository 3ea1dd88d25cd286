"""The runtime: loops, checks, the outbox and the board."""
