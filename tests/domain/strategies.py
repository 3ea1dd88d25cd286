"""Strategies of the property tests, and the brute-force model of sleep that they compare with."""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st

from pypinger.domain.model import Instant, Report, Seconds, Task, Window

#: No deadlines: the machine may be loaded.
quick = settings(deadline=None, max_examples=60)
thorough = settings(deadline=None, max_examples=120)

#: 2028-02-27 00:00 UTC: leap day and the end of a month are near.
LEAP = 1_835_222_400.0

DAY_MINUTES = 1440

#: Instants on whole minutes around a leap day, 1970 (negative ones too) and 2100, which is no leap year.
minutes = st.builds(
    lambda base, minute: base + minute * 60.0,
    st.sampled_from([LEAP, 0.0, 4_107_542_400.0]),
    st.integers(-5 * DAY_MINUTES, 5 * DAY_MINUTES),
)

_starts = st.one_of(st.integers(0, DAY_MINUTES - 1), st.sampled_from([0, 1, 720, 1320, 1439]))
_durations = st.one_of(st.integers(1, DAY_MINUTES), st.integers(1, 90), st.sampled_from([1, 120, 720, 1439, 1440]))

#: Windows on whole minutes; touching and overlapping ones are common, whole days are not rare.
minute_windows = st.lists(
    st.builds(lambda start, duration: Window(start * 60, duration * 60.0), _starts, _durations), max_size=5
).map(tuple)

#: Windows as reports may have them: on seconds, of any length.
any_windows = st.lists(
    st.builds(
        lambda start, duration: Window(start, duration * 60),
        st.integers(0, 86_399),
        st.one_of(st.floats(0.001, 1440), st.sampled_from([8.05, 0.1, 1 / 3, 1440.0])),
    ),
    max_size=4,
).map(tuple)

frequencies = st.one_of(st.integers(1, 120), st.sampled_from([360, 720, 1380, 1440, 1441, 2880, 20_160, 527_040]))


def task(grace: Seconds = 60.0, **options: Any) -> Task:
    """Return a task of the ini file."""
    return Task("http://h/", "0123456789ab", "h/", "http://h/", grace=grace, **options)


class Night:
    """The model: whether the task sleeps, for each minute of a day."""

    def __init__(self, windows: tuple[Window, ...]) -> None:
        self.asleep = [False] * DAY_MINUTES
        for window in windows:
            for minute in range(int(window.duration) // 60):
                self.asleep[(window.start // 60 + minute) % DAY_MINUTES] = True

    def at(self, instant: Instant) -> bool:
        return self.asleep[int(instant // 60) % DAY_MINUTES]

    def wake(self, instant: Instant) -> Instant:
        """Return the first minute from `instant` on that is awake."""
        while self.at(instant):
            instant += 60
        return instant

    def since(self, instant: Instant) -> Instant:
        """Return the first minute of the sleep that a whole minute lies in."""
        while self.at(instant - 60):
            instant -= 60
        return instant

    def due(self, report: Report) -> Instant | None:
        """Return the due time: section 2 of the contract, word for word."""
        if all(self.asleep):
            return None
        assert report.lastrun is not None
        first = due = report.lastrun + report.frequency * 60
        while self.at(due):
            due = self.wake(due) + report.frequency * 60
            if due - first > 14 * 86_400:
                return first
        return due
