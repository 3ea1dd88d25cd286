"""Restarts and steps of the clock change nothing that a store remembers, and each check is counted once."""

from __future__ import annotations

import os
import sqlite3
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from twisted.trial.unittest import SynchronousTestCase

from pypinger.domain.kinds import Kind, Status
from pypinger.domain.model import Check, Delivery, Incident, Instant, Outcome, Task, TaskState, Verdict
from pypinger.ports.storing import Kept
from pypinger.store.sqlite import SqliteStore
from tests.contracts.history import FINDINGS, NOW
from tests.contracts.store import OTHER, TASK, alert
from tests.store.inline import InlineStore
from tests.store.pump import Pump

TASKS = (TASK, OTHER, Task(url="http://h/c", id="c3", name="c", label="c", interval=600.0))

checks = st.tuples(
    st.just("check"),
    st.integers(0, 2),
    st.sampled_from([kind for kind in Kind if kind is not Kind.NEW]),
    st.integers(0, len(FINDINGS) - 1),
    st.booleans(),
    st.integers(0, 2),
)
settlements = st.tuples(st.just("settle"), st.integers(0, 30), st.sampled_from(list(Outcome)))
steps = st.one_of(
    checks,
    checks,
    checks,
    settlements,
    st.tuples(st.just("pass"), st.sampled_from([0.0, 0.0005, 1.0, 59.875, 600.0, 4000.0, 90_000.0])),
    st.tuples(st.just("step"), st.sampled_from([-3600.0, 3600.0, -1.0])),
    st.tuples(st.just("blind"), st.sampled_from([0.0, 30.0, 5000.0])),
    st.tuples(st.just("remind"), st.integers(0, 2)),
    st.just(("restart",)),
)


class World:
    """A store in memory, one in a file that is restarted, the clock, and the tasks' states."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.now: Instant = NOW
        self.pump = Pump()
        self.memory = InlineStore(lambda: self.now)
        self.states = {task.url: TaskState() for task in TASKS}
        self.alerts = 0
        self.sqlite = self.make()

    def make(self) -> SqliteStore:
        store = SqliteStore(self.pump, lambda: self.now, self.path, keep_days=90)
        self.kept = store.open()
        return store

    def both(self, name: str, *args: Any) -> tuple[Any, Any]:
        results = []
        for store in (self.memory, self.sqlite):
            result = getattr(store, name)(*args)
            results.append(result if result is None else self.pump.wait(result))
        return results[0], results[1]

    def check(self, number: int, kind: Kind, which: int, incident: bool, alerts: int) -> None:
        task = TASKS[number]
        verdict = Verdict(kind, f"{kind.value} at {self.now}")
        before = self.states[task.url]
        opened = before.incident or Incident(self.now, kind, self.now, 0)
        state = TaskState(
            verdict=verdict,
            pings=before.pings + 1,
            checked=self.now,
            incident=replace(opened, kind=kind) if incident else None,
        )
        self.states[task.url] = state
        check = Check(self.now, 0.125, FINDINGS[which], verdict)
        if alerts:
            self.both("commit", task, state, check, self.deliveries(alerts))
        else:
            self.both("note", task, state, check)

    def deliveries(self, count: int) -> list[Delivery]:
        made = [Delivery(alert(self.alerts + number), "slack") for number in range(count)]
        self.alerts += count - 1
        return made

    def remind(self, number: int) -> None:
        task = TASKS[number]
        self.both("commit", task, self.states[task.url], None, self.deliveries(1))

    def settle(self, number: int, outcome: Outcome) -> None:
        self.both("settle", Delivery(alert(number), "slack", number, float(number), "words"), outcome)

    def restart(self) -> None:
        self.pump.wait(self.sqlite.close())
        self.sqlite = self.make()

    def perform(self, step: Sequence[Any]) -> None:
        match step:
            case ("check", *rest):
                self.check(*rest)
            case ("settle", number, outcome):
                self.settle(number, outcome)
            case ("pass" | "step", seconds):
                self.now += seconds
            case ("blind", seconds):
                self.both("blind", self.now - seconds, self.now)
            case ("remind", number):
                self.remind(number)
            case _:
                self.restart()


def unkeyed(entries: Sequence[Any]) -> list[Any]:
    return [replace(each, key=0) for each in entries]


class AgreementTests(SynchronousTestCase):
    def same(self, pair: tuple[Any, Any]) -> None:
        self.assertEqual(unkeyed(pair[0]), unkeyed(pair[1]))

    def same_kept(self, memory: Kept, sqlite: Kept) -> None:
        self.assertEqual(memory.states, sqlite.states)
        self.assertEqual((list(memory.deliveries), memory.dead), (list(sqlite.deliveries), sqlite.dead))

    @given(story=st.lists(steps, max_size=40))
    @settings(deadline=None, max_examples=60)
    def test_a_restart_changes_nothing(self, story: list[Sequence[Any]]) -> None:
        descriptor, path = tempfile.mkstemp(prefix="pypinger-agreement-")
        os.close(descriptor)
        world = World(path)
        try:
            for step in story:
                world.perform(step)
            self.compare(world, story)
        finally:
            world.pump.wait(world.sqlite.close())
            for suffix in ("", ".lock"):
                Path(f"{path}{suffix}").unlink()
            self.assertFalse(Path(f"{path}-wal").exists())

    def compare(self, world: World, story: list[Sequence[Any]]) -> None:
        world.restart()
        self.same_kept(world.memory.open(), world.kept)
        self.same(world.both("incidents"))
        self.same(world.both("deliveries"))
        for number, task in enumerate(TASKS):
            runs = world.both("runs", task.url, None, 100)
            self.same(runs)
            self.same(world.both("verdicts", task.url))
            self.same(world.both("incidents", task.url))
            self.same(world.both("deliveries", task.url))
            self.assertEqual(*world.both("uptime", task.url, world.now))
            self.assertEqual(*map(list, world.both("gaps", task.url)))
            made = [step for step in story if step[0] == "check" and step[1] == number]
            self.assertEqual(sum(run.count for run in runs[1]), len(made))
            hours = self.hours(world.path, task.url)
            self.assertEqual(sum(hour[0] for hour in hours), len(made))
            errors = [step for step in made if Verdict(step[2], "").status is Status.ERROR]
            self.assertEqual(sum(hour[1] for hour in hours), len(errors))
            for hour in hours:
                self.assertLessEqual(sum(hour[2:6]), 3_600_000)
                self.assertGreaterEqual(min(hour), 0)

    def hours(self, path: str, url: str) -> list[tuple[int, ...]]:
        columns = "checks, errors, up, down, asleep, blind"
        connection = sqlite3.connect(path)
        rows = connection.execute(
            f"SELECT {columns}, hour FROM hour WHERE task = (SELECT id FROM task WHERE url = ?1)"
            f" UNION ALL SELECT {columns}, hour FROM task WHERE url = ?1 AND hour IS NOT NULL",
            (url,),
        ).fetchall()
        connection.close()
        total: dict[int, tuple[int, ...]] = {}
        for *figures, hour in rows:
            total[hour] = tuple(map(sum, zip(figures, total.get(hour, (0,) * 6), strict=True)))
        return list(total.values())
