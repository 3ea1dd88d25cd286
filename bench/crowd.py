"""Thousands of tasks with 30 runs and 90 days of history each, to be served by a site without a daemon behind it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from itertools import chain

from msgspec.structs import replace

from pypinger.domain.kinds import Kind
from pypinger.domain.model import Incident, Instant, Report, Task, TaskState, Verdict
from pypinger.domain.url import label, task_id
from pypinger.ports.history import (
    ALL_DELIVERIES,
    ALL_INCIDENTS,
    Day,
    DeliveryFilter,
    Gap,
    IncidentFilter,
    PastDelivery,
    PastIncident,
    Run,
    VerdictChange,
)
from pypinger.ports.showing import Entry
from pypinger.runtime.board import LiveBoard

NOW = time.time()
DAY = 86_400.0
WORDS = "last ran 21:55:00 UTC, 34 min ago; runs every 10 min; was due 22:05:00 UTC and 60 s grace ended 23 min ago"
KINDS = (Kind.OK,) * 16 + (Kind.SLEEPING,) * 3 + (Kind.LATE,)


class Past:
    """Implements :class:`pypinger.ports.history.History`: 30 runs and 90 days of each task, and nothing else."""

    async def runs(self, url: str, before: int | None = None, limit: int = 50) -> Sequence[Run]:
        """See :meth:`pypinger.ports.history.History.runs`."""
        return ()

    async def verdicts(self, url: str, before: int | None = None, limit: int = 50) -> Sequence[VerdictChange]:
        """See :meth:`pypinger.ports.history.History.verdicts`."""
        return ()

    async def incidents(
        self,
        url: str | None = None,
        before: int | None = None,
        limit: int = 50,
        which: IncidentFilter = ALL_INCIDENTS,
    ) -> Sequence[PastIncident]:
        """See :meth:`pypinger.ports.history.History.incidents`."""
        return ()

    async def deliveries(
        self,
        url: str | None = None,
        before: int | None = None,
        limit: int = 50,
        which: DeliveryFilter = ALL_DELIVERIES,
    ) -> Sequence[PastDelivery]:
        """See :meth:`pypinger.ports.history.History.deliveries`."""
        return ()

    async def tasks(self) -> Sequence[str]:
        """See :meth:`pypinger.ports.history.History.tasks`."""
        return ()

    async def channels(self) -> Sequence[str]:
        """See :meth:`pypinger.ports.history.History.channels`."""
        return ()

    async def uptime(self, url: str, now: Instant) -> Mapping[str, float | None]:
        """See :meth:`pypinger.ports.history.History.uptime`."""
        return {}

    async def days(self, url: str, now: Instant, count: int = 90) -> Sequence[Day]:
        """See :meth:`pypinger.ports.history.History.days`."""
        today = now // DAY * DAY
        return [Day(today - DAY * each, DAY - 60.0 * (each % 7), 60.0 * (each % 7), 0.0) for each in range(count)][::-1]

    async def beginning(self, url: str) -> Instant | None:
        """See :meth:`pypinger.ports.history.History.beginning`."""
        return NOW - 89 * DAY

    async def gaps(self, url: str, limit: int = 50) -> Sequence[Gap]:
        """See :meth:`pypinger.ports.history.History.gaps`."""
        return [Gap(NOW - 600 * each, 590.0 + each) for each in range(limit)]


def a_task(number: int) -> Task:
    """One of the tasks."""
    url = f"https://host{number % 50}.example.org/tasks/{number}?key=secret"
    return Task(url, task_id(url), label(url), label(url))


def a_state(number: int) -> TaskState:
    """Where it stands."""
    kind = KINDS[number % len(KINDS)]
    trouble = kind is Kind.LATE
    return TaskState(
        Verdict(kind, WORDS, NOW + 300, NOW + 360),
        Report(True, NOW - 300.125, 10.0, None, (), "nightly", f"server-{number % 50}"),
        pings=1000,
        errors=7,
        checked=NOW - 21.5,
        since=NOW - 900.25,
        latency=0.0123,
        incident=Incident(NOW - 900.25, kind, NOW - 900, 1) if trouble else None,
    )


def change(board: LiveBoard, entry: Entry) -> None:
    """Have a task checked, with a new explanation."""
    state = entry.state
    assert state.verdict is not None
    verdict = replace(state.verdict, explanation=f"{WORDS} {state.pings}")
    board.show(entry.task, replace(state, pings=state.pings + 1, verdict=verdict))


def change_some(board: LiveBoard) -> None:
    """Have a hundredth of the tasks checked, each time others."""
    entries = board.entries()
    start = int(time.monotonic() * 100) % 100
    for entry in entries[start::100]:
        change(board, entry)


def crowd(count: int) -> LiveBoard:
    """A board with so many tasks."""
    # The board has run for two hours: in the first minute its age has seconds, which change each page.
    clock = chain([NOW - 7200], iter(time.time, None))
    board = LiveBoard([a_task(number) for number in range(count)], lambda: next(clock))
    for number, entry in enumerate(board.entries()):
        board.show(entry.task, a_state(number))
    return board
