"""Tasks that have not been seen for two intervals (contract, section 3, "Whose fault")."""

from __future__ import annotations

import random

from msgspec.structs import replace
from twisted.trial.unittest import SynchronousTestCase

from pypinger.domain.model import Task, TaskState
from pypinger.runtime import slices
from pypinger.runtime.board import LiveBoard
from pypinger.runtime.slices import TURN
from pypinger.runtime.unseen import AGAIN, Unseen
from tests.runtime.fakes import NOON, World, make_task


class UnseenTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.world = World()
        self.looked: list[str] = []

    def watch(self, *tasks: Task) -> None:
        self.board = LiveBoard(tasks, self.world.now)
        mark = self.board.mark_unseen
        self.patch(self.board, "mark_unseen", lambda id, now: self.looked.append(id) or mark(id, now))
        self.unseen = Unseen(self.world.clock, self.world.now, self.board, tasks)

    def see(self, task: Task, ago: float = 0.0) -> None:
        self.board.show(task, TaskState(seen=self.world.now() - ago))

    def run_for(self, seconds: int) -> None:
        for _ in range(seconds):
            self.world.clock.advance(1)
            self.unseen.look()

    def marked(self) -> set[str]:
        return {entry.task.id for entry in self.board.entries() if entry.unseen is not None}

    def test_each_task_is_marked_within_a_second_and_no_sooner(self) -> None:
        """By brute force: tasks of many intervals are seen at random times."""
        source = random.Random(4)
        tasks = [make_task(f"t{number}", interval=float(source.randint(2, 40))) for number in range(30)]
        self.watch(*tasks)
        last = dict.fromkeys((task.id for task in tasks), NOON)
        for _ in range(300):
            self.run_for(1)
            now = self.world.now()
            due = {task.id for task in tasks if now >= last[task.id] + 2 * task.interval}
            self.assertEqual(self.marked(), due)
            for task in source.sample(tasks, 3):
                last[task.id] = now
                self.see(task)

    def test_it_looks_only_when_a_task_may_be_unseen(self) -> None:
        self.watch(make_task("a", interval=60.0), Task(url=None, id="b", name="b", label="", push_key="k"))
        looks = {120, 180}
        for second in range(1, 200):
            self.looked.clear()
            self.run_for(1)
            self.assertEqual(self.looked, ["a", "b"] if second in looks else [], second)
            self.assertEqual(self.marked(), {"a"} if second >= 120 else set(), second)

    def test_an_answer_that_is_shown_late(self) -> None:
        """Another instance got it before this one marked the task."""
        task = make_task("a", interval=60.0)
        self.watch(task)
        self.run_for(125)
        self.see(task, ago=6.0)
        self.assertEqual(self.marked(), set())
        self.run_for(113)
        self.assertEqual(self.marked(), set())
        self.run_for(1)
        self.assertEqual(self.marked(), {"a"})

    def test_after_the_wall_clock_was_ahead(self) -> None:
        task = make_task("a", interval=60.0)
        self.watch(task)
        self.world.offset += 3600
        self.see(task)
        self.unseen.look(anew=True)
        self.world.offset -= 3600
        self.unseen.look(anew=True)
        self.run_for(10)
        self.see(task)
        self.run_for(119)
        self.assertEqual(self.marked(), set())
        self.run_for(1)
        self.assertEqual(self.marked(), {"a"})

    def test_thousands_are_looked_at_in_slices(self) -> None:
        """Between them the reactor does other work."""
        self.patch(slices, "SLICE", 2)
        clock = self.world.clock
        self.watch(*(make_task(name, interval=60.0) for name in "abcde"))
        mark, later = self.board.mark_unseen, clock.callLater
        self.patch(self.board, "mark_unseen", lambda id, now: clock.advance(0.6 * TURN) or mark(id, now))
        self.patch(clock, "callLater", lambda *values: self.looked.append("|") or later(*values))
        clock.advance(120)
        self.unseen.look()
        clock.advance(0)
        self.assertEqual(self.looked, ["a", "b", "|", "c", "d", "|", "e"])
        self.assertEqual(self.marked(), {*"abcde"})

    def test_after_a_reload_and_a_step_of_the_clock_all_are_looked_at(self) -> None:
        task = make_task("a", interval=600.0)
        self.watch(task)
        self.run_for(130)
        self.looked.clear()
        self.board.update([replace(task, interval=60.0)])
        self.unseen.look(anew=True)
        self.assertEqual(self.looked, ["a"])
        self.assertEqual(self.marked(), {"a"})

    def test_a_task_that_is_removed_meanwhile(self) -> None:
        self.patch(slices, "SLICE", 1)
        tasks = [make_task(name, interval=60.0) for name in "ab"]
        self.watch(*tasks)
        mark = self.board.mark_unseen

        def remove(task_id: str, now: float) -> float:
            self.board.update(tasks[:1])
            return mark(task_id, now)

        self.patch(self.board, "mark_unseen", remove)
        self.world.clock.advance(120)
        self.unseen.look()
        self.assertEqual((self.looked, self.marked()), (["a", "b"], {"a"}))

    def test_no_task_at_all(self) -> None:
        self.watch()
        self.run_for(10)
        self.assertEqual(self.looked, [])

    def test_after_an_error_it_looks_again(self) -> None:
        self.watch(make_task("a", interval=60.0))
        mark = self.board.mark_unseen
        self.patch(self.board, "mark_unseen", lambda *_: 1 / 0)
        self.world.clock.advance(120)
        self.run_for(1)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.patch(self.board, "mark_unseen", mark)
        self.run_for(int(AGAIN))
        self.assertEqual(self.marked(), {"a"})
