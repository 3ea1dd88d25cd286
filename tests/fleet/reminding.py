"""When an incident is reminded of (contract, section 4), written anew and as simply as possible."""

from __future__ import annotations

from dataclasses import dataclass

#: How much earlier a reminder may come, in seconds, beside what a digest permits: the wall clock may be a little off.
EARLY = 40.0


@dataclass
class Reminding:
    """
    The reminders of one open incident. Times are seconds of the wall clock.

    :ivar base: when the last one came, or the problem.
    :ivar count: how many there were, those that were skipped included.
    :ivar changed: when a change was told last.
    """

    interval: float
    longest: float
    base: float
    count: int = 0
    changed: float | None = None

    def due(self) -> tuple[float, int]:
        """When the next one is due, and how many come before it."""
        base, count = self.base, self.count
        while True:
            due = base + min(self.interval * 2.0 ** min(count, 40), max(self.longest, self.interval))
            if self.changed is None or due - self.changed >= self.interval / 2:
                return due, count
            base, count = due, count + 1

    def came(self, wall: float) -> float:
        """
        One came.

        :returns: by how many seconds too early.
        """
        due, count = self.due()
        self.base, self.count = max(wall, due), count + 1
        return due - min(60.0, self.interval / 2) - EARLY - wall
