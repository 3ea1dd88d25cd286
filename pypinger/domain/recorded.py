"""
When the checks of recorded runs were made.

The store keeps runs of checks with the same finding: the first, the last, and how many. The moments of the others are
worked out from the interval, and from the times in which nothing was seen: see Note [Regular checks].

Note [Regular checks]
~~~~~~~~~~~~~~~~~~~~~
Regular checks are an interval apart. The first check of a run may have been made between two of them, at a deadline, so
they are counted back from the last. After a restart the intervals begin anew, each time as long after the start; after
a time without checks for another reason they go on as before. What fits the number of checks is taken. One check more
than that was made at a deadline within the run. Where nothing fits, the checks are spread evenly.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Iterable, Sequence
from math import ceil, floor

import msgspec

from pypinger.domain.model import Finding, Instant, NoAnswer, Seconds

#: The store keeps milliseconds, and timers come a little late.
_INEXACT: Seconds = 0.5

#: A check begins at most this long after its deadline.
_PROMPT: Seconds = 1.0


class FindingRun(msgspec.Struct, frozen=True):
    """
    Checks in a row with the same finding.

    :ivar count: how many checks, from `first` to `last`.
    """

    first: Instant
    last: Instant
    count: int
    finding: Finding


class BlindTimes:
    """The times in which nothing was seen."""

    def __init__(self, spans: Iterable[tuple[Instant, Instant]]) -> None:
        self._starts: list[Instant] = []
        self._ends: list[Instant] = []
        for start, end in sorted(spans):
            if self._ends and start <= self._ends[-1]:
                self._ends[-1] = max(end, self._ends[-1])
            else:
                self._starts.append(start)
                self._ends.append(end)

    def end(self, at: Instant, ahead: Seconds) -> Instant:
        """Return `at`, or the end of the blind time that it lies in or that begins within `ahead`, repeatedly."""
        index = bisect_right(self._ends, at)
        while index < len(self._ends) and self._starts[index] <= at + ahead:
            at = self._ends[index]
            index += 1
        return at

    def within(self, start: Instant, end: Instant) -> list[tuple[Instant, Instant]]:
        """Return the blind times between two moments, in order."""
        first, last = bisect_right(self._ends, start), bisect_left(self._starts, end)
        spans = zip(self._starts[first:last], self._ends[first:last], strict=True)
        return [(max(start, begins), min(end, ends)) for begins, ends in spans]

    def length(self, start: Instant, end: Instant) -> Seconds:
        """Return the seconds of blind time between two moments."""
        return sum(ends - begins for begins, ends in self.within(start, end))


class Checks:
    """
    The checks of a run after its first.

    :param interval: seconds between two regular checks.
    """

    def __init__(self, run: FindingRun, interval: Seconds, blind: BlindTimes) -> None:
        self._last = run.last
        self._finding = run.finding
        self._regular, self._extra = _regular(run, interval, blind)
        self._left = deque(self._regular if self._regular and not self._extra else _spread(run, interval, blind))

    def after(self, now: Instant) -> Instant | None:
        """Return the next check after `now`; None after the last."""
        while self._left and self._left[0] <= now:
            self._left.popleft()
        return self._left[0] if self._left else None

    def made_at_deadline(self, at: Instant, took: Seconds) -> None:
        """
        Leave out the check that was made at a deadline: it is known to have been made then.

        It was an additional one if the run has one more than the regular ones; else the regular one that was under way.
        The last check of the run is that of the deadline if it ended at once.

        :param took: how long a check may take.
        """
        if at >= self._last:
            return
        if self._regular:
            self._left = deque(self._regular[bisect_right(self._regular, at) :])
        at_once = (isinstance(self._finding, NoAnswer) and self._finding.latency) or 0.0
        if self._left and self._left[0] == self._last <= at + at_once + _PROMPT:
            self._left.clear()
        elif self._extra:
            self._extra -= 1
        elif self._regular and self._left and self._left[0] <= at + took:
            self._left.popleft()


def _regular(run: FindingRun, interval: Seconds, blind: BlindTimes) -> tuple[Sequence[Instant], int]:
    """Return the regular checks after the first of a run, and how many more there were; none if nothing fits."""
    spans = [each for each in blind.within(run.first, run.last) if each[1] > run.first]
    for extra in (0, 1):
        for moments in _possible(run, interval, spans):
            if len(moments) + extra == run.count - 1 and moments:
                return moments, extra
    return [], 0


def _possible(
    run: FindingRun, interval: Seconds, spans: Sequence[tuple[Instant, Instant]]
) -> Iterable[Sequence[Instant]]:
    """Yield what the regular checks after the first may have been: see Note [Regular checks]."""
    steady = _back(run.last, run.first, interval)
    if not spans:
        yield steady
        return
    offset = (run.last - spans[-1][1] + _INEXACT) % interval - _INEXACT
    restarted = [run.first + number * interval for number in range(1, _fitting(spans[0][0] - run.first, interval))]
    for (_, start), (end, _) in zip(spans, [*spans[1:], (run.last, run.last)], strict=True):
        restarted += [start + offset + number * interval for number in range(_fitting(end - start - offset, interval))]
    yield restarted
    yield [at for at in steady if not any(start <= at < end for start, end in spans)]


def _back(last: Instant, first: Instant, interval: Seconds) -> Sequence[Instant]:
    """Return the moments from after `first` to `last`, an interval apart."""
    return [last - number * interval for number in reversed(range(ceil((last - first - _INEXACT) / interval)))]


def _fitting(length: Seconds, interval: Seconds) -> int:
    """Return how many moments, an interval apart, lie in a length of time; the first is at its beginning."""
    return max(floor((length + _INEXACT) / interval) + 1, 0)


def _spread(run: FindingRun, interval: Seconds, blind: BlindTimes) -> Sequence[Instant]:
    """Return the checks after the first of a run, spread evenly over the time that was seen."""
    count = run.count - 1
    if count < 1:
        return ()
    length = run.last - run.first - blind.length(run.first, run.last)
    spans = blind.within(run.first, run.last)
    if length < interval:
        # Py Pinger was blind for other tasks only.
        length, spans = run.last - run.first, []
    moments = [run.first + length * number / count for number in range(1, count)]
    for begins, ends in spans:
        moments = [at if at < begins else at + ends - begins for at in moments]
    return [*moments, run.last]
