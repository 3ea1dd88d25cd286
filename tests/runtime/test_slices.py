"""Long work in slices, between which the reactor does other work."""

from __future__ import annotations

from collections.abc import Iterator

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from pypinger.runtime import slices
from pypinger.runtime.slices import TURN, Slices


class SlicesTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        # What was done, and "|" where the reactor did other work.
        self.done: list[str] = []
        later = self.clock.callLater
        self.patch(self.clock, "callLater", lambda *values: self.done.append("|") or later(*values))
        self.slices = Slices(self.clock)

    def work(self, name: str, count: int, seconds: float) -> Iterator[None]:
        """A change of so many slices, each of which takes so long."""
        for number in range(count):
            self.done.append(f"{name}{number}")
            self.clock.rightNow += seconds
            yield

    def all_done(self) -> str:
        self.clock.advance(0)
        return " ".join(self.done)

    def test_a_turn_takes_as_many_slices_as_fit_into_its_time(self) -> None:
        self.slices.add(self.work("a", 5, 0.4 * TURN))
        self.assertEqual(self.done, ["a0", "a1", "a2", "|"])
        self.assertEqual(self.all_done(), "a0 a1 a2 | a3 a4")

    def test_changes_follow_each_other_in_their_order(self) -> None:
        self.slices.add(self.work("a", 2, TURN))
        self.slices.add(self.work("b", 1, 0.1 * TURN))
        self.slices.add(self.work("c", 2, TURN))
        self.assertEqual(self.all_done(), "a0 | a1 | b0 c0 | c1 |")

    def test_after_an_error_the_next_change_follows(self) -> None:
        def fail() -> Iterator[None]:
            yield
            raise RuntimeError("a bug")

        self.slices.add(fail())
        self.slices.add(self.work("a", 1, 0.0))
        self.assertEqual(self.all_done(), "a0")
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_tasks_in_slices(self) -> None:
        self.patch(slices, "SLICE", 2)
        self.assertEqual(list(slices.slices(range(5))), [[0, 1], [2, 3], [4]])
