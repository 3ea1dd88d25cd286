"""The timers of thousands of tasks."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.error import AlreadyCalled, AlreadyCancelled
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import Clock, LoopingCall
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from pypinger.runtime.timetable import TURN, Timer, Timetable

#: What happens next: a timer is made, moved or cancelled (by its number), or time passes.
steps = st.lists(
    st.one_of(
        st.tuples(st.just("make"), st.integers(0, 9)),
        st.tuples(st.just("reset"), st.integers(0, 9), st.integers(0, 9)),
        st.tuples(st.just("delay"), st.integers(0, 9), st.integers(-9, 9)),
        st.tuples(st.just("cancel"), st.integers(0, 9)),
        st.tuples(st.just("advance"), st.integers(0, 5)),
    ),
    max_size=60,
)


def entries() -> int:
    """How many entries of timers there are in memory."""
    gc.collect()
    # Without isinstance(), which asks proxies of other libraries for what they stand for.
    return sum(type(each) is tuple and len(each) == 3 and type(each[2]) is Timer for each in gc.get_objects())


class TimetableTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.times = Timetable(self.clock)
        self.called: list[str] = []

    def later(self, delay: float, name: str) -> IDelayedCall:
        return self.times.callLater(delay, self.called.append, name)

    def test_interfaces(self) -> None:
        verifyObject(IReactorTime, self.times)
        verifyObject(IDelayedCall, self.later(1, "a"))
        self.clock.advance(0.5)
        self.assertEqual(self.times.seconds(), 0.5)

    @given(steps)
    def test_calls_are_made_as_by_a_reactor(self, steps: list[tuple[str, int] | tuple[str, int, int]]) -> None:
        """By brute force: each timer is a time."""
        clock, made, expected = Clock(), list[tuple[int, float]](), list[tuple[int, float]]()
        times = Timetable(clock)
        timers: list[IDelayedCall] = []
        due: dict[int, float] = {}

        def call(number: int) -> None:
            made.append((number, clock.seconds()))

        for what, *values in steps:
            number = values[0]
            if what == "make":
                due[len(timers)] = clock.seconds() + number
                timers.append(times.callLater(number, call, len(timers)))
            elif what == "advance":
                for _ in range(number):
                    clock.advance(1)
                    over = {each for each, time in due.items() if time <= clock.seconds()}
                    expected += [(each, clock.seconds()) for each in over]
                    due = {each: time for each, time in due.items() if each not in over}
            elif number in due:
                if what == "cancel":
                    del due[number]
                    timers[number].cancel()
                elif what == "reset":
                    due[number] = clock.seconds() + values[1]
                    timers[number].reset(values[1])
                else:
                    due[number] += values[1]
                    timers[number].delay(values[1])
                    # One that is due by now is called in the next second, as all are here.
            self.assertEqual({each for each, timer in enumerate(timers) if timer.active()}, set(due))
            self.assertEqual({each: timers[each].getTime() for each in due}, due)
            self.assertEqual(set(times.getDelayedCalls()), {timers[each] for each in due})
            self.assertLessEqual(len(clock.getDelayedCalls()), 1)
        self.assertEqual(sorted(made), sorted(expected))

    def test_in_the_order_of_their_times(self) -> None:
        for delay in (3, 1, 2, 1):
            self.later(delay, f"{delay}, number {len(self.times.getDelayedCalls())}")
        self.clock.advance(9)
        self.assertEqual(self.called, ["1, number 1", "1, number 3", "2, number 2", "3, number 0"])

    def test_a_timer_that_is_over_cannot_be_changed(self) -> None:
        cancelled, called = self.later(1, "a"), self.later(1, "b")
        cancelled.cancel()
        self.clock.advance(1)
        for timer, error in ((cancelled, AlreadyCancelled), (called, AlreadyCalled)):
            changes: list[Callable[[], object]] = [timer.cancel, lambda: timer.reset(1), lambda: timer.delay(1)]  # noqa: B023
            for change in changes:
                self.assertRaises(error, change)
        self.clock.advance(9)
        self.assertEqual(self.called, ["b"])

    def test_the_reactor_does_other_work_in_between(self) -> None:
        def work(name: str) -> None:
            self.called.append(name)
            self.clock.rightNow += 0.4 * TURN

        for number in range(5):
            self.times.callLater(1, work, f"{number}")
        later = self.clock.callLater
        self.patch(self.clock, "callLater", lambda *values: self.called.append("|") or later(*values))
        self.clock.advance(1)
        self.clock.advance(0)
        self.assertEqual(self.called, ["0", "1", "2", "|", "3", "4"])

    def test_what_a_call_adds_waits_for_the_next_turn(self) -> None:
        """One that adds itself again would keep the reactor from all else."""
        turns: list[str] = []

        def again() -> None:
            turns.append("call")
            if len(turns) < 6:
                self.times.callLater(0, again)

        self.times.callLater(0, again)
        later = self.clock.callLater
        self.patch(self.clock, "callLater", lambda *values: turns.append("|") or later(*values))
        self.clock.advance(0)
        self.assertEqual(turns, ["call", "|", "call", "|", "call", "|", "call"])

    def test_an_error_does_not_stop_the_others(self) -> None:
        self.times.callLater(1, lambda: 1 / 0)
        self.later(1, "b")
        self.clock.advance(1)
        self.assertEqual(self.called, ["b"])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_an_exit_does_not_stop_the_others(self) -> None:
        def leave() -> None:
            raise SystemExit

        self.times.callLater(1, leave)
        self.later(1, "b")
        self.assertRaises(SystemExit, self.clock.advance, 1)
        self.clock.advance(0)
        self.assertEqual(self.called, ["b"])

    def test_what_was_cancelled_is_freed(self) -> None:
        class Target:
            def call(self) -> None:
                """Nothing."""

        target = Target()
        seen = weakref.ref(target)
        gc.disable()
        self.addCleanup(gc.enable)
        timer = self.times.callLater(1000, target.call)
        self.later(1000, "b")
        timer.cancel()
        del target
        self.assertIsNone(seen())

    def test_entries_of_cancelled_timers_do_not_pile_up(self) -> None:
        before = entries()
        self.later(1000, "stays")
        for number in range(1000):
            self.later(1000 + number % 2, "a").cancel()
        self.assertLess(entries() - before, 5)
        self.clock.advance(1001)
        self.assertEqual(self.called, ["stays"])

    def test_entries_of_timers_that_are_moved_do_not_pile_up(self) -> None:
        before = entries()
        timer = self.later(1000, "a")
        for _ in range(1000):
            timer.reset(0.5)
            timer.reset(1000)
            self.clock.advance(0.5)
        self.assertLess(entries() - before, 5)
        self.assertEqual(self.called, [])

    def test_timers_that_come_and_go_leave_nothing_in_the_reactor(self) -> None:
        timers = [self.later(delay, "a") for delay in (1, 2, 3)]
        self.clock.advance(1)
        for timer in timers[1:]:
            timer.cancel()
        self.assertEqual((self.clock.getDelayedCalls(), self.times.getDelayedCalls()), ([], []))

    def test_loops(self) -> None:
        loop = LoopingCall(lambda: self.called.append(f"{self.clock.seconds():g}"))
        loop.clock = self.times
        loop.start(10)
        for _ in range(25):
            self.clock.advance(1)
        loop.stop()
        self.assertEqual(self.called, ["0", "10", "20"])
