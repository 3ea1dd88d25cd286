"""The clock of the loops: never too early, a millisecond late at most, and one timer for what is due together."""

from __future__ import annotations

from typing import cast

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import Clock, LoopingCall
from twisted.trial.unittest import SynchronousTestCase

from pypinger.runtime.timetable import Timetable


def pass_time(clock: Clock, until: float) -> None:
    """Stop at each timer, at the very moment that a float has for it."""
    while clock.getDelayedCalls() and (at := min(each.getTime() for each in clock.getDelayedCalls())) <= until:
        clock.rightNow = max(clock.rightNow, at)
        clock.advance(0)
    clock.rightNow = until


class TimetableTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.timetable = Timetable(self.clock)
        self.called: list[str] = []

    def call(self, name: str) -> None:
        self.called.append(name)

    def timers(self) -> int:
        return len(self.clock.getDelayedCalls())

    def test_one_timer_for_what_is_due_together(self) -> None:
        for name in "abc":
            self.timetable.callLater(60.0, lambda name=name: self.call(name))  # type: ignore[misc]
        self.timetable.callLater(61.0, lambda: self.call("d"))
        self.assertEqual(self.timers(), 2)
        self.clock.advance(60)
        self.assertEqual((self.called, self.timers()), (["a", "b", "c"], 1))
        self.clock.advance(1)
        self.assertEqual((self.called, self.timers()), (["a", "b", "c", "d"], 0))

    def test_cancelled(self) -> None:
        first = self.timetable.callLater(1.0, lambda: self.call("a"))
        second = self.timetable.callLater(1.0, lambda: self.call("b"))
        first.cancel()
        first.cancel()
        self.assertEqual(self.timers(), 1)
        second.cancel()
        self.assertEqual(self.timers(), 0)
        self.timetable.callLater(1.0, lambda: self.call("c"))
        self.clock.advance(1)
        self.assertEqual(self.called, ["c"])

    def test_cancelled_by_what_is_due_with_it(self) -> None:
        self.timetable.callLater(1.0, lambda: other.cancel())
        other = self.timetable.callLater(1.0, lambda: self.call("other"))
        self.clock.advance(1)
        other.cancel()
        self.assertEqual((self.called, self.timers()), ([], 0))

    def test_at_once_from_what_is_due(self) -> None:
        self.timetable.callLater(1.0, lambda: self.timetable.callLater(0, lambda: self.call("a")))
        self.clock.advance(1)
        self.assertEqual((self.called, self.timers()), (["a"], 0))

    def test_an_error_stops_nothing(self) -> None:
        self.timetable.callLater(1.0, lambda: 1 / 0)
        self.timetable.callLater(1.0, lambda: self.call("a"))
        self.clock.advance(1)
        self.assertEqual(self.called, ["a"])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    @settings(deadline=None, max_examples=200)
    @given(
        st.floats(0, 1e7),
        st.lists(st.tuples(st.floats(0, 100), st.floats(0, 2)), min_size=1, max_size=20),
    )
    def test_when(self, start: float, calls: list[tuple[float, float]]) -> None:
        clock = Clock()
        clock.rightNow = start
        timetable = Timetable(clock)
        found = []
        for delay, passing in calls:
            due = clock.seconds() + delay
            timetable.callLater(delay, lambda due=due: found.append((due, clock.seconds())))  # type: ignore[misc]
            pass_time(clock, clock.seconds() + passing)
        pass_time(clock, 1e9)
        self.assertEqual(len(found), len(calls))
        for due, at in found:
            self.assertLessEqual(due, at + 1e-8)
            self.assertLessEqual(at, due + 0.001 + 1e-8)

    @settings(deadline=None, max_examples=100)
    @given(st.floats(0, 1e6), st.sampled_from([0.1, 1 / 3, 1.0, 7.3, 60.0]), st.integers(1, 60))
    def test_a_loop_runs_once_a_round(self, start: float, interval: float, rounds: int) -> None:
        clock = Clock()
        clock.rightNow = start
        loop = LoopingCall(lambda: times.append(clock.seconds()))
        loop.clock = cast(IReactorTime, Timetable(clock))
        times: list[float] = []
        loop.start(interval)
        for _ in range(rounds):
            # No reactor is there at the very moment; at it LoopingCall, with any clock, may run twice in a round.
            clock.rightNow = min(each.getTime() for each in clock.getDelayedCalls()) + 1e-6
            clock.advance(0)
        loop.stop()
        self.assertEqual(clock.getDelayedCalls(), [])
        for number, at in enumerate(times):
            self.assertLessEqual(abs(at - start - number * interval), 0.0011)
