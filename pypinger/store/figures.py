"""What is worked out from history when it is read: uptime, and the gaps between a task's runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import zip_longest

from pypinger.domain.model import Instant, Reported
from pypinger.ports.history import Day, Gap, Run
from pypinger.store.accounting import DAY, HOUR, Millis, millis

#: How many hours each period has.
PERIODS = {"24h": 24, "7d": 7 * 24, "30d": 30 * 24, "90d": 90 * 24}


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


def gaps(runs: Iterable[Run], limit: int) -> Sequence[Gap]:
    """
    See :meth:`pypinger.ports.history.History.gaps`.

    :param runs: newest first.
    """
    found: list[Instant] = []
    for run in runs:
        if isinstance(run.finding, Reported) and (not found or found[-1] != run.finding.report.lastrun):
            found.append(run.finding.report.lastrun)
            if len(found) > limit:
                break
    return [Gap(at, None if before is None else at - before) for at, before in zip_longest(found, found[1:])][:limit]
