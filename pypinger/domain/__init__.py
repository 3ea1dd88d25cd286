"""The pure core: reports, due times, verdicts, incidents and the text of alerts. No clock, no I/O, no Twisted."""
