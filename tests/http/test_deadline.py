"""Deadlines: many of them, one timer."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from pypinger.http.deadline import Deadline, Deadlines


class Rows(SynchronousTestCase):
    """Each ends when its own time is over, whichever others there are."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.deadlines = Deadlines(self.clock)
        self.ended: list[tuple[str, float]] = []

    def begin(self, name: str, seconds: float) -> Deadline:
        """An exchange that waits until its deadline is over, and then clears it."""
        deadline = self.deadlines.begin(seconds)

        def cancelled(_: Deferred[None]) -> None:
            self.ended.append((name, self.clock.seconds()))
            deadline.clear()

        deadline.waiting = Deferred(cancelled)
        deadline.waiting.addErrback(lambda _: None)
        return deadline

    def test_each_at_its_time(self) -> None:
        """The timer of the first is taken over by the next, in each row."""
        self.begin("a", 20.0)
        self.clock.advance(1)
        self.begin("b", 20.0)
        self.begin("short", 5.0)
        self.clock.advance(1)
        self.begin("c", 20.0)
        self.assertEqual(len(self.clock.getDelayedCalls()), 2)
        self.clock.pump([0.5] * 60)
        self.assertEqual(self.ended, [("short", 6.0), ("a", 20.0), ("b", 21.0), ("c", 22.0)])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_cleared(self) -> None:
        """What is over in time is not cancelled, and when the last is over no timer is left."""
        first, second = self.begin("a", 20.0), self.begin("b", 20.0)
        first.clear()
        self.clock.advance(19)
        third = self.begin("c", 20.0)
        self.clock.advance(1)
        self.assertEqual(self.ended, [("b", 20.0)])
        self.assertTrue(second.expired)
        third.clear()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertFalse(third.expired)

    def test_at_once(self) -> None:
        """Those that end at the same moment do, though the end of one clears another and begins a third."""
        first, second = self.begin("a", 20.0), self.begin("b", 20.0)
        assert first.waiting is not None
        first.waiting.addBoth(lambda _: (second.clear(), self.begin("c", 20.0)))
        self.clock.advance(20)
        self.assertEqual(self.ended, [("a", 20.0)])
        self.clock.advance(20)
        self.assertEqual(self.ended, [("a", 20.0), ("c", 40.0)])
