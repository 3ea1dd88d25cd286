"""
Daily sleep windows (contract, section 2): whether a task sleeps at a moment, until when, when it falls asleep next, and
the due time that its sleep postpones.

Windows repeat every UTC day, so they lie on a circle of 86,400 seconds. They are merged there once; every question is
then a binary search.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import NamedTuple

from pypinger.domain.model import Instant, Seconds, Window
from pypinger.domain.times import DAY

#: How long after the first due time an awake one is searched.
DUE_HORIZON: Seconds = 14 * DAY


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
    """

    __slots__ = ("_ends", "_starts", "always")

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


def merge(windows: Sequence[Window]) -> Sleep:
    """Return the daily sleep of some windows, which may overlap or touch."""
    return Sleep(windows) if windows else AWAKE


AWAKE = Sleep()
