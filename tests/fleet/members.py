"""The tasks of a fleet."""

from __future__ import annotations

from dataclasses import dataclass, field

MINUTE, HOUR, DAY = 60.0, 3600.0, 86_400.0
GRACE = 60.0

#: When the fleet's time begins: midnight UTC.
BEGIN = 1_793_577_600.0


@dataclass
class Member:
    """
    A task of the fleet.

    :ivar frequency: seconds between two runs.
    :ivar sleep: start and length in seconds of its daily sleep, or None.
    :ivar runs: when each run ended, and whether it was well.
    :ivar segments: since when each way of answering lasts.
    :ivar unreachable_for: its setting.
    """

    name: str
    host: str
    server: str
    interval: float
    frequency: float
    sleep: tuple[float, float] | None
    runs: list[tuple[float, bool]] = field(default_factory=list)
    segments: list[tuple[float, str]] = field(default_factory=list)
    unreachable_for: float = 0.0

    def asleep_until(self, at: float) -> float | None:
        if self.sleep is None:
            return None
        start, length = self.sleep
        since = (at - start) % DAY
        return at - since + length if since < length else None

    def due(self, lastrun: float) -> float:
        """Section 2: `frequency` after the last run, or after waking."""
        due = lastrun + self.frequency
        while (end := self.asleep_until(due)) is not None:
            due = end + self.frequency
        return due
