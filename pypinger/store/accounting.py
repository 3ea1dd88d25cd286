"""
Accounts of time: how long a task was up, down, asleep or not seen, hour by hour, and its uptime.

Pure arithmetic on whole milliseconds, so that sums over months stay exact.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, TypeAlias

from pypinger.domain.kinds import Kind
from pypinger.domain.model import Instant
from pypinger.ports.history import Day

#: Milliseconds, or a moment in milliseconds since the epoch.
Millis: TypeAlias = int

HOUR: Millis = 3_600_000
DAY: Millis = 24 * HOUR

#: Hours of each period of uptime.
PERIODS = {"24h": 24, "7d": 7 * 24, "30d": 30 * 24, "90d": 90 * 24}


def millis(instant: Instant) -> Millis:
    """A moment or a length of time in seconds, rounded to milliseconds."""
    return round(instant * 1000)


class BlindTime(NamedTuple):
    """A time in which no task was seen; `end` is excluded."""

    start: Instant
    end: Instant


class Hour:
    """
    The account of one task in one hour.

    :ivar hour: whole hours since the epoch.
    :ivar up: milliseconds, as are `down`, `asleep` and `blind`.
    :ivar latency: the sum over all checks, in microseconds; `slowest`: the maximum.
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
        """All fields, in the order of the constructor."""
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
        """Add a length of time with a verdict of this kind; None if the task was not seen."""
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
    Divide the time between two checks into seen and unseen stretches.

    :param blind: known blind times; they may overlap.
    :param limit: for how long the finding of the first check may be taken to last; the rest is unseen (the machine was
        suspended, or its clock was set forward).
    :returns: (start, end, whether it was seen), in order and without gaps.
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
    """Divide a stretch into (hour, milliseconds), without the hours that are unseen as a whole."""
    while start < end:
        hour = start // HOUR
        stop = min(end, (hour + 1) * HOUR)
        if not seen and stop - start == HOUR:
            # Skip all whole hours at once.
            start = end // HOUR * HOUR
            continue
        yield hour, stop - start
        start = stop


def first_hour(now: Instant) -> int:
    """The hour in which the longest period begins."""
    return millis(now) // HOUR - max(PERIODS.values())


def uptime(hours: Iterable[tuple[int, Millis, Millis]], now: Instant) -> Mapping[str, float | None]:
    """
    See :meth:`pypinger.ports.history.History.uptime`.

    :param hours: (hour, up, down), in any order.
    """
    hour, part = divmod(millis(now), HOUR)
    up = dict.fromkeys(PERIODS, 0.0)
    down = dict.fromkeys(PERIODS, 0.0)
    for number, well, ill in hours:
        for name, length in PERIODS.items():
            age = hour - number
            if 0 <= age <= length:
                share = 1 - part / HOUR if age == length else 1.0
                up[name] += well * share
                down[name] += ill * share
    return {name: up[name] / (up[name] + down[name]) if up[name] + down[name] else None for name in PERIODS}


def days(hours: Iterable[tuple[int, Millis, Millis, Millis]], now: Instant, count: int) -> Sequence[Day]:
    """
    See :meth:`pypinger.ports.history.History.days`.

    :param hours: (hour, up, down, asleep), in any order.
    """
    today = millis(now) // DAY
    sums: dict[int, list[Millis]] = {}
    for hour, *figures in hours:
        day = hour * HOUR // DAY
        if any(figures) and today - count < day <= today:
            sums[day] = [each + more for each, more in zip(sums.get(day, (0, 0, 0)), figures, strict=True)]
    return [Day(day * DAY / 1000, *(length / 1000 for length in sums[day])) for day in sorted(sums)]
