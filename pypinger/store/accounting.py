"""
Accounting of time: how long a task was up, down, asleep, or not seen at all, hour by hour.

Pure arithmetic on whole milliseconds, so that what is added up over months stays exact. Which status a stretch of time
had is the :mod:`~pypinger.store.recorder`'s business.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeAlias

from pypinger.domain.kinds import Kind
from pypinger.domain.model import Instant

#: Milliseconds, or a moment in milliseconds since the epoch.
Millis: TypeAlias = int

HOUR: Millis = 3_600_000
DAY: Millis = 24 * HOUR


def millis(instant: Instant) -> Millis:
    """Round a moment or a length of time in seconds to whole milliseconds."""
    return round(instant * 1000)


class Hour:
    """
    What is known of one task in one hour.

    :ivar hour: whole hours since the epoch.
    :ivar up: milliseconds, as are `down`, `asleep` and `blind`.
    :ivar latency: the sum over all checks, in microseconds; `slowest`: the greatest.
    """

    __slots__ = ("asleep", "blind", "checks", "down", "errors", "hour", "latency", "slowest", "up")

    def __init__(
        self,
        hour: int,
        checks: int = 0,
        errors: int = 0,
        up: Millis = 0,
        down: Millis = 0,
        asleep: Millis = 0,
        blind: Millis = 0,
        latency: int = 0,
        slowest: int = 0,
    ) -> None:
        self.hour = hour
        self.checks = checks
        self.errors = errors
        self.up = up
        self.down = down
        self.asleep = asleep
        self.blind = blind
        self.latency = latency
        self.slowest = slowest

    def row(self) -> tuple[int, ...]:
        """All figures, in the order of the constructor."""
        return (
            self.hour,
            self.checks,
            self.errors,
            self.up,
            self.down,
            self.asleep,
            self.blind,
            self.latency,
            self.slowest,
        )

    def add(self, other: Hour) -> None:
        """Add another account of the same hour."""
        self.checks += other.checks
        self.errors += other.errors
        self.up += other.up
        self.down += other.down
        self.asleep += other.asleep
        self.blind += other.blind
        self.latency += other.latency
        self.slowest = max(self.slowest, other.slowest)

    def spend(self, kind: Kind | None, length: Millis) -> None:
        """Account for some time in which the verdict was of this kind; None: in which nothing was seen."""
        if kind is Kind.OK:
            self.up += length
        elif kind is Kind.SLEEPING:
            self.asleep += length
        elif kind is None or kind is Kind.NEW:
            self.blind += length
        else:
            self.down += length


def stretches(
    start: Millis, end: Millis, blind: Sequence[tuple[Millis, Millis]], limit: Millis
) -> Iterator[tuple[Millis, Millis, bool]]:
    """
    Cut the time between two checks into what was seen and what was not.

    :param blind: known blind times; they may overlap.
    :param limit: for how long what the first check found may be taken to last; the seen time beyond it counts as not
        seen (the machine was suspended, or the clock was stepped forward).
    :returns: start, end and whether it was seen, in order, without a hole.
    """
    spans = sorted(span for span in blind if span[0] < end and span[1] > start)
    at = start
    for dark, light in [*spans, (end, end)]:
        if dark > at:
            seen = min(dark - at, limit)
            limit -= seen
            if seen:
                yield at, at + seen, True
            if at + seen < dark:
                yield at + seen, dark, False
            at = dark
        if light > at:
            yield at, min(light, end), False
            at = min(light, end)


def hours(start: Millis, end: Millis, seen: bool) -> Iterator[tuple[int, Millis]]:
    """Cut a stretch at the full hours: (hour, milliseconds), without the hours that were wholly unseen."""
    while start < end:
        hour = start // HOUR
        stop = min(end, (hour + 1) * HOUR)
        if not seen and stop - start == HOUR:
            # Whole hours leave no trace, however many: go on with the last, which is none perhaps.
            start = end // HOUR * HOUR
            continue
        yield hour, stop - start
        start = stop
