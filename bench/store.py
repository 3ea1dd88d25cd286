"""
Cost of the store: ``python bench/store.py [DIRECTORY]``.

First the CPU time of all threads of this process for a note and for a commit, with the database in memory, in a file
and in PostgreSQL; then a burst of 1,000 tasks that fail at the same moment, with the longest pause of the reactor.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Coroutine, Iterator
from statistics import median
from typing import Any

import alone
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater, react

from pypinger.domain import incidents
from pypinger.domain.kinds import Kind
from pypinger.domain.model import Check, Delivery, Report, Reported, Task, TaskState, Verdict, Window
from pypinger.domain.url import task_id
from pypinger.store.sqlite import SqliteStore

TASKS = 1000
ROUNDS = 5
CHECKS = 20

Kit = tuple[Task, TaskState, Check]


def task(number: int) -> Task:
    """One of the tasks."""
    url = f"http://host{number % 50}.example.org/tasks/{number}"
    return Task(url=url, id=task_id(url), name=f"task {number}", label=url)


def kits(tasks: list[Task], start: float) -> list[list[Kit]]:
    """A healthy check each minute; a task runs every 10 minutes."""
    rounds = []
    states = {each.url: TaskState() for each in tasks}
    for minute in range(CHECKS):
        now, made = start + 60 * minute, []
        for number, each in enumerate(tasks):
            lastrun = start + 600 * ((minute + number) // 10) - 600
            report = Report(True, lastrun, sleep=(Window(0, 3600.0),), process="nightly", server=f"srv{number % 50}")
            words = "last ran 21:55:00 UTC, 5 min ago; runs every 10 min; due 22:05:00 UTC"
            verdict = Verdict(Kind.OK, words, lastrun + 600, lastrun + 660)
            check = Check(now + number * 0.06, 0.0123, Reported(200, report), verdict)
            states[each.url], _ = incidents.step(each, states[each.url], check)
            made.append((each, states[each.url], check))
        rounds.append(made)
    return rounds


async def notes(store: Any, rounds: list[list[Kit]]) -> float:
    """CPU microseconds a note, written to the disk and all; a batch each second, as at 1,000 checks a second."""
    began = time.process_time()
    for made in rounds:
        for kit in made:
            store.note(*kit)
        await store.enqueue([])
    return (time.process_time() - began) / (len(rounds) * TASKS) * 1e6


async def commits(store: Any, rounds: list[list[Kit]]) -> float:
    """CPU microseconds a commit with one delivery, 1,000 at a time."""
    began = time.process_time()
    for number, made in enumerate(rounds):
        await gatherResults(
            [
                Deferred.fromCoroutine(store.commit(task, state, check, [failed(task, number)]))
                for task, state, check in made
            ]
        )
    return (time.process_time() - began) / (len(rounds) * TASKS) * 1e6


def failed(task: Task, number: int) -> Delivery:
    """An alert on its way, another one for each number."""
    verdict = Verdict(Kind.FAILED, "the report says error: disk full")
    check = Check(time.time() + number, 0.01, Reported(200, Report(False, 0.0, reason="disk full")), verdict)
    _, (alert,) = incidents.step(task, TaskState(), check)
    return Delivery(alert, "slack")


async def burst(store: SqliteStore, tasks: list[Task]) -> tuple[float, float]:
    """Seconds until 1,000 failures are recorded, and the longest pause of the reactor meanwhile."""
    pauses, running = [0.0], [True]

    def tick(last: float) -> None:
        now = time.monotonic()
        pauses[0] = max(pauses[0], now - last)
        if running[0]:
            reactor.callLater(0, tick, now)  # type: ignore[attr-defined]

    async def one(task: Task) -> None:
        verdict = Verdict(Kind.FAILED, "the report says error: disk full")
        check = Check(time.time(), 0.01, Reported(200, Report(False, 0.0, reason="disk full")), verdict)
        state, alerts = incidents.step(task, TaskState(), check)
        deliveries = [Delivery(alert, channel) for alert in alerts for channel in ("slack", "sentry")]
        await store.commit(task, state, check, deliveries)

    await deferLater(reactor, 0.1)  # type: ignore[arg-type]
    tick(time.monotonic())
    began = time.monotonic()
    # Twenty in a turn of the reactor, as answers arrive.
    ends = []
    for start in range(0, len(tasks), 20):
        ends += [Deferred.fromCoroutine(one(each)) for each in tasks[start : start + 20]]
        await deferLater(reactor, 0)  # type: ignore[arg-type]
    await gatherResults(ends)
    took = time.monotonic() - began
    running[0] = False
    await deferLater(reactor, 0.01)  # type: ignore[arg-type]
    return took, pauses[0]


async def measure(name: str, work: Callable[[Any, Any], Coroutine[Any, Any, float]], directory: str) -> None:
    """Measure one kind of call against all stores, one after the other, and print the medians."""
    tasks = [task(number) for number in range(TASKS)]
    figures: dict[str, list[float]] = {}
    for turn in range(ROUNDS):
        rounds = kits(tasks, 1_700_000_000.0)
        for kind, store in stores(tasks, f"{directory}/{name}{turn}.sqlite"):
            store.open()
            await work(store, rounds[:1])
            figures.setdefault(kind, []).append(await work(store, rounds[1:]))
            await store.close()
    found = ", ".join(f"{kind} {median(each):.1f} us" for kind, each in figures.items())
    print(f"{name}: {found}; medians of {ROUNDS}")


def stores(tasks: list[Task], path: str) -> Iterator[tuple[str, Any]]:
    """A new store of each kind."""
    yield "memory", SqliteStore(reactor, time.time, ":memory:", keep_days=90)  # type: ignore[arg-type]
    yield "file", SqliteStore(reactor, time.time, path, keep_days=90)  # type: ignore[arg-type]
    if alone.postgres.missing() is None:
        yield "PostgreSQL", alone.make_store(reactor, tasks, ["slack"])


async def main(directory: str) -> None:
    """Measure everything."""
    await measure("note", notes, directory)
    await measure("commit", commits, directory)
    for turn in range(ROUNDS):
        store = SqliteStore(reactor, time.time, f"{directory}/burst{turn}.sqlite", keep_days=90)  # type: ignore[arg-type]
        store.open()
        took, pause = await burst(store, [task(number) for number in range(TASKS)])
        await store.close()
        print(f"burst of {TASKS}: recorded in {took * 1000:.0f} ms, longest pause {pause * 1000:.0f} ms")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) > 1 else None) as place:
        react(lambda _: Deferred.fromCoroutine(main(place)))
