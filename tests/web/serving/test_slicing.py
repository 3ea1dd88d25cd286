"""What many ask for at the same time is made once."""

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

    def test_made_once_for_all_who_wait(self) -> None:
        pending = [self.ask() for _ in range(5)]
        self.assertEqual(self.made, [])
        self.clock.advance(0)
        first, *others = [self.successResultOf(each) for each in pending]
        self.assertEqual((first, self.made), ("a0", ["a"]))
        for other in others:
            self.assertIs(other, first)

    def test_each_thing_by_itself(self) -> None:
        pending = [self.ask(key) for key in "abab"]
        self.clock.advance(0)
        self.assertEqual([self.successResultOf(each) for each in pending], ["a0", "b0", "a0", "b0"])
        self.assertEqual(self.made, ["a", "b"])

    def test_who_comes_later_gets_what_is_true_then(self) -> None:
        """Though what is made for others is not ready yet."""
        self.slow = Deferred()
        first = self.ask()
        self.clock.advance(0)
        self.state = 1
        second = self.ask()
        self.clock.advance(0)
        self.slow.callback(None)
        self.clock.advance(0)
        self.assertEqual((self.successResultOf(first), self.successResultOf(second)), ("a0", "a1"))

    def test_all_hear_of_an_error(self) -> None:
        pending = [self.ask("bad") for _ in range(3)]
        self.clock.advance(0)
        for each in pending:
            self.failureResultOf(each, ValueError)
        self.assertEqual(self.made, ["bad"])

    def test_one_who_leaves_is_no_matter_to_the_others(self) -> None:
        pending = [self.ask() for _ in range(3)]
        left = pending.pop(0)
        left.cancel()
        self.failureResultOf(left, CancelledError)
        self.clock.advance(0)
        self.assertEqual([self.successResultOf(each) for each in pending], ["a0", "a0"])

    def test_nothing_is_made_when_all_have_left(self) -> None:
        for each in [self.ask() for _ in range(3)]:
            each.cancel()
            self.failureResultOf(each, CancelledError)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.ask()
        self.clock.advance(0)
        self.assertEqual(self.made, ["a"])

    def test_it_is_stopped_when_all_have_left(self) -> None:
        self.slow = Deferred()
        pending = self.ask()
        self.clock.advance(0)
        pending.cancel()
        self.failureResultOf(pending, CancelledError)
        self.assertTrue(self.slow.called)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_answers_leave_the_reactor_time(self) -> None:
        """To write an answer takes its time, too, for each of those who get the same."""
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
        """Begin to make so many items, a slice of which takes so many seconds."""

        def double(number: int) -> int:
            if number % 3 == 0:
                self.order.append(f"{name}{number}")
            self.clock.rightNow += takes / 3
            return number * 2

        return Deferred.fromCoroutine(in_slices(double, range(many), self.cooperator, 3))

    def beside(self, *works: Deferred[list[int]]) -> str:
        """Let all of it go on until these are done; the order."""

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

    def test_the_first_slice_waits_for_its_turn_too(self) -> None:
        works = [self.work(name, 3, 1.5 * SHARE) for name in "abc"]
        self.assertEqual(self.order, [])
        self.assertEqual(self.beside(*works), "a0 - b0 - c0 -")

    def test_other_work_gets_its_turn_after_a_long_slice(self) -> None:
        """After the last one too: what is made of the items takes its time as well."""
        self.assertEqual(self.beside(self.work("a", 12, 1.5 * SHARE)), "a0 - a3 - a6 - a9 -")

    def test_short_slices_fill_a_share(self) -> None:
        self.assertEqual(self.beside(self.work("a", 12, SHARE / 2)), "a0 a3 - a6 a9 -")

    def test_all_works_together_have_one_share(self) -> None:
        works = [self.work(name, 9, 1.5 * SHARE) for name in "abc"]
        self.assertEqual(self.beside(*works), "a0 - b0 - c0 - a3 - b3 - c3 - a6 - b6 - c6 -")

    def test_a_work_that_is_cancelled_leaves_the_others_theirs(self) -> None:
        works = [self.work(name, 9, 1.5 * SHARE) for name in "ab"]
        works[0].cancel()
        self.failureResultOf(works[0], CancelledError)
        self.assertEqual(self.beside(works[1]), "b0 - b3 - b6 -")
        self.assertEqual(self.clock.getDelayedCalls(), [])


class PagesTests(AppTestCase):
    """What the stream's readers ask for when it tells of a change."""

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

    def test_none_is_older_than_what_was_told(self) -> None:
        for path in ("/", "/task/http://h/a"):
            self.board.show(entry("http://h/a"))
            self.treq.get(HOME + path, headers={"Accept": HTML})
            self.board.show(entry("http://h/a", Kind.SLEEPING))
            self.assertIn("explained as sleeping", self.html(path))

    def all(self, path: str, accept: str, many: int) -> set[str]:
        """What so many get who ask at the same time."""
        pending = [self.treq.get(HOME + path, headers={"Accept": accept}) for _ in range(many)]
        for each in pending:
            self.assertNoResult(each)
        self.pass_turn()
        return {self.text(self.successResultOf(each)) for each in pending}
