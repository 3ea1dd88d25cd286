"""
Daily sleep windows: asleep at some moment, until when, when next, and the due time that sleep puts off (contract,
section 2).

Windows repeat every UTC day, so they lie on a circle of 86,400 seconds; there they are merged once, and every question
is a search in a handful of numbers. What sleep means for a verdict is left to :mod:`pypinger.domain.judge`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import NamedTuple

from pypinger.domain.model import Instant, Seconds, Window
from pypinger.domain.times import DAY

#: How long after the first due time an awake one is looked for.
DUE_HORIZON: Seconds = 14 * DAY


class Nap(NamedTuple):
    """
    One stretch of sleep.

    :ivar start: included. Of a task that sleeps all day, the latest start of its daily round.
    :ivar end: excluded; None for a task that sleeps all day.
    """

    start: Instant
    end: Instant | None


class Sleep:
    """
    A task's daily sleep.

    Windows that overlap or touch, over midnight too, are one. Their ends are rounded to milliseconds, so that windows
    touch although minutes like 8.05 are no whole number of seconds in floating point.

    :ivar always: whether the task sleeps all day, and so for ever.
    """

    __slots__ = ("_ends", "_starts", "always")

    def __init__(self, windows: Sequence[Window] = ()) -> None:
        merged: list[tuple[float, float]] = []
        for start, end in sorted((each.start, round(each.start + each.duration, 3)) for each in windows):
            if merged and start <= merged[-1][1]:
                merged[-1] = (merged[-1][0], max(merged[-1][1], end))
            elif start < end:
                merged.append((start, end))
        # Only the last can reach over midnight: whatever started after one that does would have been merged into it.
        wrapped = 0
        while wrapped < len(merged) - 1 and merged[wrapped][0] <= merged[-1][1] - DAY:
            merged[-1] = (merged[-1][0], max(merged[-1][1], merged[wrapped][1] + DAY))
            wrapped += 1
        self._starts = [start for start, _ in merged[wrapped:]]
        self._ends = [end for _, end in merged[wrapped:]]
        self.always = bool(merged) and self._ends[-1] - self._starts[-1] >= DAY

    def nap_at(self, instant: Instant) -> Nap | None:
        """The sleep that a moment lies in, None if the task is awake then."""
        nap = self._find(instant)
        return None if nap is None else nap[1]

    def next_start(self, instant: Instant) -> Instant | None:
        """When the next sleep after a moment starts, None if there is none."""
        if self.always or not self._starts:
            return None
        midnight = instant // DAY * DAY
        index = bisect_right(self._starts, instant - midnight)
        if index == len(self._starts):
            return midnight + DAY + self._starts[0]
        return midnight + self._starts[index]

    def due(self, lastrun: Instant, frequency: Seconds) -> Instant | None:
        """
        When a task that last ran at `lastrun` is due: `frequency` seconds later, or, while that falls asleep,
        `frequency` seconds after it wakes.

        :returns: the first result if none is awake within 14 days of it; None for a task that sleeps all day.
        """
        if self.always:
            return None
        first = due = lastrun + frequency
        tried: set[int] = set()
        while (found := self._find(due)) is not None:
            index, nap = found
            # Where waking leads depends only on what one wakes from: met twice, it goes round for ever.
            if index in tried:
                return first
            tried.add(index)
            assert nap.end is not None
            # Rounded, that days do not differ by what a float loses.
            due = round(nap.end + frequency, 3)
            if due - first > DUE_HORIZON:
                return first
        return due

    def _find(self, instant: Instant) -> tuple[int, Nap] | None:
        """The sleep that a moment lies in, with its place in the day."""
        if not self._starts:
            return None
        midnight = instant // DAY * DAY
        index = bisect_right(self._starts, instant - midnight) - 1
        if index < 0:
            index, midnight = len(self._starts) - 1, midnight - DAY
        start = midnight + self._starts[index]
        if self.always:
            return index, Nap(start, None)
        end = round(midnight + self._ends[index], 3)
        return (index, Nap(start, end)) if instant < end else None


def merge(windows: Sequence[Window]) -> Sleep:
    """The daily sleep that some windows, which may overlap or touch, make together."""
    return Sleep(windows) if windows else AWAKE


#: No sleep at all.
AWAKE = Sleep()
