"""
Reading history: the port :class:`History`, and the records that pages and tools get through it.

``tests/contracts/history.py`` is its suite.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from pypinger.domain.kinds import Kind
from pypinger.domain.model import Alert, Event, Finding, Instant, Outcome, Seconds


class Run(msgspec.Struct, frozen=True):
    """
    Consecutive checks with the same finding.

    A committed check always begins a new run, so that an alert's time is the `first` of a run.

    :ivar key: the cursor for the next page.
    :ivar first: time of the first check, to the millisecond; `last`: of the last.
    :ivar count: the number of checks.
    :ivar finding: with the latency of the first check.
    """

    key: int
    first: Instant
    last: Instant
    count: int
    finding: Finding


class VerdictChange(msgspec.Struct, frozen=True):
    """A change of the verdict's kind."""

    key: int
    at: Instant
    kind: Kind
    explanation: str


class PastAlert(msgspec.Struct, frozen=True):
    """An alert of an incident, addressed to one channel or several."""

    id: str
    event: Event
    at: Instant
    explanation: str


class PastIncident(msgspec.Struct, frozen=True):
    """
    An incident, open or closed.

    :ivar task: the key of the task (:attr:`pypinger.domain.model.Task.key`).
    :ivar started: time of the first error verdict of the row that opened it.
    :ivar opened: time at which that row was long enough.
    :ivar ended: None while it is open.
    :ivar kinds: its kinds in order, at most 100.
    :ivar explanation: of the verdict that opened it.
    :ivar alerts: the number of alerts that it caused.
    :ivar told: the latest 20 alerts that were addressed to a channel, oldest first.
    """

    key: int
    task: str
    started: Instant
    opened: Instant
    ended: Instant | None
    kinds: tuple[Kind, ...]
    explanation: str
    alerts: int
    told: tuple[PastAlert, ...]


class PastDelivery(msgspec.Struct, frozen=True):
    """
    A delivery, pending or settled.

    :ivar task: the key of the task; None for an alert of the daemon itself.
    :ivar outcome: None while it is pending.
    :ivar settled: time of the latest attempt; None before the first.
    """

    key: int
    task: str | None
    alert: Alert
    channel: str
    attempts: int
    words: str
    outcome: Outcome | None
    settled: Instant | None


class Gap(msgspec.Struct, frozen=True):
    """
    The time between two runs of the task, as it reported them.

    :ivar lastrun: time of the later run.
    :ivar gap: seconds since the run before it; None for the oldest run kept.
    """

    lastrun: Instant
    gap: Seconds | None


class Day(msgspec.Struct, frozen=True):
    """
    One UTC day of a task.

    :ivar start: midnight.
    :ivar up: seconds in which it was on time; `down`: in error; `asleep`: asleep. The rest of the day was not seen.
    """

    start: Instant
    up: Seconds
    down: Seconds
    asleep: Seconds


class History(Protocol):
    """
    Reads history. It may lag behind the present by the second that ``Store.note`` takes.

    Pages are newest first and have at most `limit` entries; `before` is the `key` of the last entry of the previous
    page. `task` is the key of a task (:attr:`pypinger.domain.model.Task.key`); an unknown one has an empty history.

    Every method raises :class:`pypinger.ports.storing.StoreError` if the store cannot be read.
    """

    async def runs(self, task: str, before: int | None = None, limit: int = 50) -> Sequence[Run]:
        """Findings of a task's checks."""

    async def verdicts(self, task: str, before: int | None = None, limit: int = 50) -> Sequence[VerdictChange]:
        """Changes of a task's verdict."""

    async def incidents(
        self, task: str | None = None, before: int | None = None, limit: int = 50
    ) -> Sequence[PastIncident]:
        """Incidents of one task, or of all."""

    async def deliveries(
        self, task: str | None = None, before: int | None = None, limit: int = 50
    ) -> Sequence[PastDelivery]:
        """Deliveries of one task's alerts, or of all alerts."""

    async def uptime(self, task: str, now: Instant) -> Mapping[str, float | None]:
        """
        The fraction of the last ``24h``, ``7d``, ``30d`` and ``90d`` in which the task was on time.

        Sleep and blind time are left out; None if nothing else is known. The figures rest on whole hours; the hour in
        which a period begins counts in proportion.
        """

    async def days(self, task: str, now: Instant, count: int = 90) -> Sequence[Day]:
        """The last `count` UTC days, today included, oldest first, without the days in which nothing was seen."""

    async def gaps(self, task: str, limit: int = 50) -> Sequence[Gap]:
        """The latest runs of the task and the gaps between them, newest first."""
