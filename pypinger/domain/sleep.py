"""
Daily sleep windows (contract, section 2): whether a task sleeps at a moment, until when, when it falls asleep next, and
the due time that its sleep postpones.

The windows of reports repeat every UTC day, so they lie on a circle of 86,400 seconds. They are merged there once;
every question is then a binary search. Those of the ini file start at a local time: :class:`LocalSleep`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from datetime import UTC, timedelta, tzinfo
from functools import lru_cache
from typing import NamedTuple

from pypinger.domain import cron
from pypinger.domain.model import Instant, Seconds, Window
from pypinger.domain.times import DAY

#: How long after the first due time an awake one is searched.
DUE_HORIZON: Seconds = 14 * DAY

# How much of a local calendar is worked out at once, and how much before and after it, for windows that begin there.
_PAGE: Seconds = 32 * DAY
_MARGIN: Seconds = 4 * DAY

# How many windows a sleep may have to be kept.
_FEW = 16


class SleepPeriod(NamedTuple):
    """
    One stretch of sleep.

    :ivar start: included. For a task that sleeps all day, when the first of its windows started last.
    :ivar end: excluded; None for a task that sleeps all day.
    """

    start: Instant
    end: Instant | None


class Sleep:
    """
    A task's daily sleep.

    Windows that overlap or touch, also over midnight, are merged. Their ends are rounded to milliseconds, so that
    windows touch although minutes like 8.05 are no whole number of seconds in floating point.

    :ivar always: whether the task sleeps all day.
    :ivar zone: the time zone in which the windows start.
    """

    __slots__ = ("_ends", "_starts", "always")

    zone: tzinfo = UTC

    def __init__(self, windows: Sequence[Window] = ()) -> None:
        merged: list[tuple[float, float]] = []
        for start, end in sorted((each.start, round(each.start + each.duration, 3)) for each in windows):
            if merged and start <= merged[-1][1]:
                merged[-1] = (merged[-1][0], max(merged[-1][1], end))
            elif start < end:
                merged.append((start, end))
        # Only the last can cross midnight: any window that starts after one that does is merged into it.
        wrapped = 0
        while wrapped < len(merged) - 1 and merged[wrapped][0] <= merged[-1][1] - DAY:
            merged[-1] = (merged[-1][0], max(merged[-1][1], merged[wrapped][1] + DAY))
            wrapped += 1
        self._starts = [start for start, _ in merged[wrapped:]]
        self._ends = [end for _, end in merged[wrapped:]]
        self.always = bool(merged) and self._ends[-1] - self._starts[-1] >= DAY

    def period_at(self, instant: Instant) -> SleepPeriod | None:
        """Return the sleep that a moment lies in, None if the task is awake."""
        found = self._find(instant)
        return None if found is None else found[1]

    def next_start(self, instant: Instant) -> Instant | None:
        """Return when the next sleep after a moment starts, None if there is none."""
        if self.always or not self._starts:
            return None
        midnight = instant // DAY * DAY
        index = bisect_right(self._starts, instant - midnight)
        if index == len(self._starts):
            return midnight + DAY + self._starts[0]
        return midnight + self._starts[index]

    def due(self, lastrun: Instant, frequency: Seconds) -> Instant | None:
        """
        Return when a task that last ran at `lastrun` is due: `frequency` seconds later or, while that moment lies in
        sleep, `frequency` seconds after it wakes.

        :returns: the first result if none within 14 days of it is awake; None for a task that sleeps all day.
        """
        if not self._starts:
            return lastrun + frequency
        if self.always:
            return None
        first = due = lastrun + frequency
        tried: set[int] = set()
        while (found := self._find(due)) is not None:
            index, period = found
            # The next due time depends only on the window that ends: met twice, the search never ends.
            if index in tried:
                return first
            tried.add(index)
            assert period.end is not None
            # Rounded, so that floating point errors do not add up over the days.
            due = round(period.end + frequency, 3)
            if due - first > DUE_HORIZON:
                return first
        return due

    def _find(self, instant: Instant) -> tuple[int, SleepPeriod] | None:
        """Return the sleep that a moment lies in, with its index."""
        if not self._starts:
            return None
        midnight = instant // DAY * DAY
        index = bisect_right(self._starts, instant - midnight) - 1
        if index < 0:
            index, midnight = len(self._starts) - 1, midnight - DAY
        start = midnight + self._starts[index]
        if self.always:
            return index, SleepPeriod(start, None)
        end = round(midnight + self._ends[index], 3)
        return (index, SleepPeriod(start, end)) if instant < end else None


class LocalSleep(Sleep):
    """
    Daily sleep in a time zone.

    A window starts at its local time, once a day: the first time if that comes twice, at the end of the gap if spring
    skips it. It lasts its length in elapsed time. Windows that cover 24 hours are sleep all day also on longer days.
    """

    __slots__ = ("_windows", "zone")

    def __init__(self, windows: Sequence[Window], zone: tzinfo) -> None:
        super().__init__(windows)
        self._windows = tuple(windows)
        self.zone = zone

    def period_at(self, instant: Instant) -> SleepPeriod | None:
        if self.always:
            started = [start for start, _ in _windows_between(self._windows, self.zone, instant - 2 * DAY, instant)]
            return SleepPeriod(max((start for start in started if start <= instant), default=instant), None)
        starts, ends = _calendar(self._windows, self.zone, instant // _PAGE)
        index = bisect_right(starts, instant) - 1
        return SleepPeriod(starts[index], ends[index]) if index >= 0 and instant < ends[index] else None

    def next_start(self, instant: Instant) -> Instant | None:
        if self.always:
            return None
        starts, _ = _calendar(self._windows, self.zone, instant // _PAGE)
        index = bisect_right(starts, instant)
        return starts[index] if index < len(starts) else None

    def due(self, lastrun: Instant, frequency: Seconds) -> Instant | None:
        if self.always:
            return None
        first = due = lastrun + frequency
        while (period := self.period_at(due)) is not None:
            assert period.end is not None
            due = round(period.end + frequency, 3)
            if due - first > DUE_HORIZON:
                return first
        return due


@lru_cache(maxsize=256)
def _calendar(windows: tuple[Window, ...], zone: tzinfo, page: float) -> tuple[Sequence[Instant], Sequence[Instant]]:
    """Return when the periods of sleep in a stretch of time start and end, with more than needed before and after."""
    starts: list[Instant] = []
    ends: list[Instant] = []
    for start, end in sorted(_windows_between(windows, zone, page * _PAGE - _MARGIN, (page + 1) * _PAGE + _MARGIN)):
        if ends and start <= ends[-1]:
            ends[-1] = max(end, ends[-1])
        elif start < end:
            starts.append(start)
            ends.append(end)
    return starts, ends


def _windows_between(
    windows: tuple[Window, ...], zone: tzinfo, first: Instant, last: Instant
) -> list[tuple[Instant, Instant]]:
    """Return the start and end of each window of the local days from one moment to another."""
    if not cron.FIRST < first < last < cron.LAST:
        return []
    found = []
    day, end = cron.local(first, zone).date(), cron.local(last, zone).date()
    while day <= end:
        for window in windows:
            start = cron.wall_moment(day, window.start, zone)
            found.append((start, round(start + window.duration, 3)))
        day += timedelta(days=1)
    return found


def merge(windows: Sequence[Window], zone: tzinfo = UTC) -> Sleep:
    """
    Return the daily sleep of some windows, which may overlap or touch.

    :param zone: where they start at their local time.
    """
    if not windows:
        return AWAKE
    # Thousands of tasks have the same few windows; thousands of windows are not worth keeping.
    return (_merged if len(windows) <= _FEW else _made)(tuple(windows), zone)


def _made(windows: tuple[Window, ...], zone: tzinfo) -> Sleep:
    return Sleep(windows) if zone is UTC else LocalSleep(windows, zone)


_merged = lru_cache(maxsize=1024)(_made)

AWAKE = Sleep()
