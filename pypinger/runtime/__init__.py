"""The runtime: when things happen. Loops, the outbox and where everything stands."""
