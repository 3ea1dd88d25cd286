"""Sharing work, and slicing it."""

from __future__ import annotations

from collections.abc import Sequence

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from pypinger.domain.kinds import Kind
from pypinger.ports.showing import Entry, LastAnswer
from pypinger.web.serving.slicing import SHARE, Shared, in_slices, make_cooperator
from tests.web.fakes import FakeBoard, entry
from tests.web.test_app import HOME, HTML, AppTestCase


class SharedTests(SynchronousTestCase):
    """
    :ivar made: the keys of what was made.
    :ivar state: what is made reads it.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.shared: Shared[str] = Shared(make_cooperator(self.clock))
        self.made: list[str] = []
        self.state = 0
        self.slow: Deferred[None] | None = None

    def ask(self, key: str = "a") -> Deferred[str]:
        async def make() -> str:
            self.made.append(key)
            value = f"{key}{self.state}"
            if self.slow is not None:
                await self.slow
            if key == "bad":
                raise ValueError(value)
            return value

        return Deferred.fromCoroutine(self.shared.get(key, make))

    def test_made_once(self) -> None:
        pending = [self.ask() for _ in range(5)]
        self.assertEqual(self.made, [])
        self.clock.advance(0)
        first, *others = [self.successResultOf(each) for each in pending]
        self.assertEqual((first, self.made), ("a0", ["a"]))
        for other in others:
            self.assertIs(other, first)

    def test_keys_are_independent(self) -> None:
        pending = [self.ask(key) for key in "abab"]
        self.clock.advance(0)
        self.assertEqual([self.successResultOf(each) for each in pending], ["a0", "b0", "a0", "b0"])
        self.assertEqual(self.made, ["a", "b"])

    def test_later_client_gets_a_later_result(self) -> None:
        """Even if the earlier one is not ready yet."""
        self.slow = Deferred()
        first = self.ask()
        self.clock.advance(0)
        self.state = 1
        second = self.ask()
        self.clock.advance(0)
        self.slow.callback(None)
        self.clock.advance(0)
        self.assertEqual((self.successResultOf(first), self.successResultOf(second)), ("a0", "a1"))

    def test_error_reaches_all_clients(self) -> None:
        pending = [self.ask("bad") for _ in range(3)]
        self.clock.advance(0)
        for each in pending:
            self.failureResultOf(each, ValueError)
        self.assertEqual(self.made, ["bad"])

    def test_one_client_leaves(self) -> None:
        pending = [self.ask() for _ in range(3)]
        left = pending.pop(0)
        left.cancel()
        self.failureResultOf(left, CancelledError)
        self.clock.advance(0)
        self.assertEqual([self.successResultOf(each) for each in pending], ["a0", "a0"])

    def test_all_leave_before_the_work_begins(self) -> None:
        for each in [self.ask() for _ in range(3)]:
            each.cancel()
            self.failureResultOf(each, CancelledError)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.ask()
        self.clock.advance(0)
        self.assertEqual(self.made, ["a"])

    def test_all_leave_during_the_work(self) -> None:
        self.slow = Deferred()
        pending = self.ask()
        self.clock.advance(0)
        pending.cancel()
        self.failureResultOf(pending, CancelledError)
        self.assertTrue(self.slow.called)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_delivery_does_not_block_the_reactor(self) -> None:
        """Writing the answer for each client takes time, too."""
        order: list[str] = []

        def write(name: str) -> None:
            order.append(name)
            self.clock.rightNow += 0.6 * SHARE

        def other() -> None:
            order.append("-")
            if len(order) < 9:
                self.clock.callLater(0, other)

        for name in "abcd":
            self.ask().addCallback(lambda _, name=name: write(name))
        self.clock.callLater(0, other)
        self.clock.advance(0)
        self.assertEqual("".join(order).strip("-"), "ab-cd")


class SlicesTests(SynchronousTestCase):
    """
    What is made in slices of three by :func:`in_slices`, beside other work that wants every turn of the reactor.

    :ivar order: what was done: ``a0`` for the first item of the slice that work *a* begins, ``-`` for a turn.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.cooperator = make_cooperator(self.clock)
        self.order: list[str] = []

    def work(self, name: str, many: int, takes: float) -> Deferred[list[int]]:
        """Begin work on so many items, `takes` seconds a slice."""

        def double(number: int) -> int:
            if number % 3 == 0:
                self.order.append(f"{name}{number}")
            self.clock.rightNow += takes / 3
            return number * 2

        return Deferred.fromCoroutine(in_slices(double, range(many), self.cooperator, 3))

    def beside(self, *works: Deferred[list[int]]) -> str:
        """Run until these works are done; returns the order."""

        def turn() -> None:
            if not all(work.called for work in works):
                self.order.append("-")
                self.clock.callLater(0, turn)

        self.clock.callLater(0, turn)
        self.clock.advance(0)
        return " ".join(self.order)

    def test_all_in_order(self) -> None:
        for many in (0, 1, 3, 4, 10):
            work = self.work("a", many, 0)
            self.clock.advance(0)
            self.assertEqual(self.successResultOf(work), [number * 2 for number in range(many)])

    def test_first_slice_waits_for_its_turn(self) -> None:
        works = [self.work(name, 3, 1.5 * SHARE) for name in "abc"]
        self.assertEqual(self.order, [])
        self.assertEqual(self.beside(*works), "a0 - b0 - c0 -")

    def test_long_slices(self) -> None:
        """Also after the last one, since using the items takes time as well."""
        self.assertEqual(self.beside(self.work("a", 12, 1.5 * SHARE)), "a0 - a3 - a6 - a9 -")

    def test_short_slices(self) -> None:
        self.assertEqual(self.beside(self.work("a", 12, SHARE / 2)), "a0 a3 - a6 a9 -")

    def test_works_have_one_share_together(self) -> None:
        works = [self.work(name, 9, 1.5 * SHARE) for name in "abc"]
        self.assertEqual(self.beside(*works), "a0 - b0 - c0 - a3 - b3 - c3 - a6 - b6 - c6 -")

    def test_cancelled_work(self) -> None:
        works = [self.work(name, 9, 1.5 * SHARE) for name in "ab"]
        works[0].cancel()
        self.failureResultOf(works[0], CancelledError)
        self.assertEqual(self.beside(works[1]), "b0 - b3 - b6 -")
        self.assertEqual(self.clock.getDelayedCalls(), [])


class PagesTests(AppTestCase):
    """Pages that all readers of the stream ask for after an event."""

    def test_same_page(self) -> None:
        class Counted(FakeBoard):
            looks = 0

            def entries(self) -> Sequence[Entry]:
                self.looks += 1
                return super().entries()

            def last_answer(self, task_id: str) -> LastAnswer | None:
                self.looks += 1
                return super().last_answer(task_id)

        task_id = self.board.entries()[0].task.id
        self.board = board = Counted(self.board.entries())
        self.serve()
        for path, accept in (
            ("/", HTML),
            ("/?q=h", HTML),
            ("/", "*/*"),
            ("/metrics", "*/*"),
            (f"/task/{task_id}", HTML),
        ):
            board.looks = 0
            self.all(path, accept, 1)
            once = board.looks
            board.looks = 0
            self.assertEqual(len(self.all(path, accept, 20)), 1)
            self.assertEqual(board.looks, once, (path, accept))

    def test_page_is_newer_than_the_event(self) -> None:
        for path in ("/", "/task/http://h/a"):
            self.board.show(entry("http://h/a"))
            self.treq.get(HOME + path, headers={"Accept": HTML})
            self.board.show(entry("http://h/a", Kind.SLEEPING))
            self.assertIn("wakes in", self.html(path))

    def all(self, path: str, accept: str, many: int) -> set[str]:
        """The answers to so many requests at the same time."""
        pending = [self.treq.get(HOME + path, headers={"Accept": accept}) for _ in range(many)]
        for each in pending:
            self.assertNoResult(each)
        self.pass_turn()
        return {self.text(self.successResultOf(each)) for each in pending}
