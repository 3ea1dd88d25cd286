"""Alerts to send in tests."""

from __future__ import annotations

import msgspec

from pypinger.domain.kinds import Kind
from pypinger.domain.model import Alert, Event

#: The time in tests.
NOW = 1_700_000_000.0

PROBLEM = Alert(
    id="0123456789ab-1700000000-1",
    event=Event.PROBLEM,
    at=NOW - 5,
    explanation="last ran 21:55:00 UTC, 34 min ago; runs every 10 min",
    task="0123456789ab",
    name="nightly backup",
    label="https://db1.example/task?…",
    origin="https://db1.example:443",
    page="https://pinger.example/task/0123456789ab",
    kind=Kind.LATE,
    process="backup",
    server="db1",
    started=NOW - 5,
    problem="0123456789ab-1700000000-1",
)


def alert(event: Event = Event.PROBLEM, **changes: object) -> Alert:
    """`PROBLEM` with changes."""
    if event in (Event.STARTED, Event.STOPPED, Event.TEST):
        return msgspec.structs.replace(
            Alert(id=f"daemon-{event}", event=event, at=NOW, explanation="12 tasks"), **changes
        )
    kind = Kind.OK if event is Event.RECOVERED else Kind.LATE
    return msgspec.structs.replace(PROBLEM, **{"event": event, "kind": kind, **changes})
