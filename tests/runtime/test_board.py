"""The board: task states, latest answers, and Py Pinger's own state."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from msgspec.structs import replace
from twisted.trial.unittest import SynchronousTestCase

from pypinger.domain.kinds import Status
from pypinger.domain.model import Answer, TaskState
from pypinger.ports.showing import Entry, LastAnswer
from pypinger.runtime.board import SHOWN, LiveBoard
from tests.runtime.fakes import NOON, World, make_task


def answer(body: bytes, code: int = 200) -> Answer:
    return Answer(code, body, 0.1)


class BoardTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.world = World()
        self.tasks = [make_task("a", interval=60.0, timeout=20.0), make_task("b", interval=300.0)]
        self.board = LiveBoard(self.tasks, self.world.now)

    def test_entries_keep_their_order_and_are_found(self) -> None:
        self.assertEqual([entry.task for entry in self.board.entries()], self.tasks)
        self.assertEqual(self.board.entries()[0].state, TaskState())
        state = TaskState(pings=7)
        self.board.show(self.tasks[1], state)
        self.assertEqual([entry.state.pings for entry in self.board.entries()], [0, 7])
        for entry in (self.board.by_id("b"), self.board.by_key("http://host/b")):
            assert entry is not None
            self.assertIs(entry.state, state)
        self.assertIsNone(self.board.by_id("c"))
        self.assertIsNone(self.board.by_key("http://host/c"))

    def test_ready_when_every_task_was_checked(self) -> None:
        self.assertFalse(self.board.daemon().ready)
        self.board.checked(self.tasks[0], NOON + 1, None)
        self.assertFalse(self.board.daemon().ready)
        self.assertIn("1 still to be checked", self.board.daemon().explanation)
        self.board.checked(self.tasks[1], NOON + 2, None)
        self.assertTrue(self.board.daemon().ready)

    def test_who_watches_a_task(self) -> None:
        members: Any = SimpleNamespace(name="one", trouble=lambda: None)
        self.board.share(members)
        shown: list[Entry] = []
        self.board.watch(shown.append)
        task, state = self.tasks[0], TaskState(pings=3)
        self.board.take(task, state)
        self.assertEqual(shown, [Entry(task, state, owner="one")])
        # What others say of it does not count.
        self.assertIsNone(self.board.show_other(task.key, TaskState(), "two"))
        self.board.leave(task)
        self.assertEqual(shown[1:], [Entry(task, state)])
        self.board.show_other(task.key, None, "two")
        self.assertEqual(shown[2:], [Entry(task, state, owner="two")])
        self.board.leave(task)
        self.assertEqual(len(shown), 3)

    def test_latest_answer(self) -> None:
        task, other = self.tasks
        self.assertIsNone(self.board.last_answer("a"))
        self.board.checked(task, NOON + 1, answer(b"{}"))
        self.board.checked(other, NOON + 1, answer(b"x" * SHOWN, 502))
        # A check without an answer, a new state and a reload keep the latest answer.
        self.board.checked(task, NOON + 2, None)
        self.board.show(task, TaskState())
        self.board.update(self.tasks)
        self.assertEqual(self.board.last_answer("a"), LastAnswer(NOON + 1, 200, b"{}", False))
        self.assertEqual(self.board.last_answer("b"), LastAnswer(NOON + 1, 502, b"x" * SHOWN, False))
        self.board.checked(task, NOON + 3, answer(b"y" * (SHOWN + 1)))
        self.assertEqual(self.board.last_answer("a"), LastAnswer(NOON + 3, 200, b"y" * SHOWN, True))
        self.board.checked(task, NOON + 4, replace(answer(b"{}"), url="http://other/", foreign=True))
        self.assertEqual(
            self.board.last_answer("a"), LastAnswer(NOON + 4, 200, b"{}", False, "http://other/", foreign=True)
        )

    def test_answers_of_removed_tasks_are_dropped(self) -> None:
        for task in self.tasks:
            self.board.checked(task, NOON + 1, answer(b"{}"))
        self.board.update(self.tasks[1:])
        self.assertIsNotNone(self.board.last_answer("b"))
        # Its check was still being recorded.
        self.board.checked(self.tasks[0], NOON + 2, answer(b"{}"))
        self.board.update(self.tasks)
        self.assertIsNone(self.board.last_answer("a"))

    def test_own_report(self) -> None:
        daemon = self.board.daemon()
        self.assertEqual((daemon.started, daemon.lastrun, daemon.status), (NOON, NOON, Status.OK))
        self.assertAlmostEqual(daemon.frequency, 140 / 60)
        self.board.checked(self.tasks[0], NOON + 5, None)
        self.assertEqual(self.board.daemon().lastrun, NOON + 5)

    def test_frequency_of_the_tasks_that_this_instance_watches(self) -> None:
        members: Any = SimpleNamespace(
            name="one", others=(), away=None, present=True, trouble=lambda: None, shown=tuple
        )
        board = self.board
        board.share(members)
        fast, slow = self.tasks

        def within() -> tuple[float | None, float]:
            return board.checked_within, board.daemon().frequency

        self.assertEqual(within(), (None, 1.0))
        board.take(slow, TaskState())
        self.assertEqual(within(), (620.0, 620 / 60))
        # Again, and with other settings: a task counts once.
        board.take(slow, TaskState())
        board.take(replace(slow, interval=200.0), TaskState())
        self.assertEqual(within(), (420.0, 7.0))
        board.take(fast, TaskState())
        self.assertEqual(within(), (140.0, 140 / 60))
        board.update([replace(fast, interval=70.0), slow])
        self.assertEqual(within(), (160.0, 160 / 60))
        # Removed by a reload; the store has this instance leave it later.
        board.update([slow])
        self.assertEqual(within(), (620.0, 620 / 60))
        for task, left in ((fast, (620.0, 620 / 60)), (slow, (None, 1.0))):
            board.leave(task)
            board.leave(task)
            self.assertEqual(within(), left)

    def test_frequency_is_that_of_the_shortest_interval(self) -> None:
        """What is stuck is known sooner."""
        board = LiveBoard([make_task("a", interval=10.0, timeout=600.0), make_task("b")], self.world.now)
        self.assertEqual((board.daemon().frequency, board.checked_within), (620 / 60, 140.0))

    def test_frequency_is_at_least_a_minute(self) -> None:
        self.assertEqual(LiveBoard([make_task(interval=1.0, timeout=1.0)], self.world.now).daemon().frequency, 1.0)
        self.assertEqual(LiveBoard([], self.world.now).daemon().frequency, 1.0)
        self.assertTrue(LiveBoard([], self.world.now).daemon().ready)

    def test_troubles_are_joined(self) -> None:
        self.board.add_source(lambda: "one")
        self.board.add_source(lambda: None)
        self.board.add_source(lambda: "two")
        daemon = self.board.daemon()
        self.assertEqual((daemon.status, daemon.explanation), (Status.ERROR, "one; two"))

    def test_summary(self) -> None:
        self.world.clock.advance(120)
        board = LiveBoard([make_task()], self.world.now)
        self.world.clock.advance(120)
        board.checked(make_task(), NOON, None)
        self.assertEqual(board.daemon().explanation, "watching 1 task; running for 2 min")

    def test_watchers_are_called_until_they_stop(self) -> None:
        told: list[int] = []
        stop = self.board.watch(lambda entry: told.append(entry.state.pings))
        self.board.show(self.tasks[0], TaskState(pings=1))
        stop()
        stop()
        self.board.show(self.tasks[0], TaskState(pings=2))
        self.assertEqual(told, [1])

    def test_without_tasks_lastrun_is_now(self) -> None:
        board = LiveBoard([], self.world.now)
        self.world.clock.advance(1000)
        self.assertEqual(board.daemon().lastrun, NOON + 1000)
