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


class IncidentFilter(msgspec.Struct, frozen=True):
    """
    Which incidents are wanted; the default takes all.

    :ivar tasks: those of the tasks with these keys; None for any task.
    :ivar kind: those that had this kind at some time.
    :ivar open: whether they are open; None for either.
    :ivar since: those opened at this time or later; `until`: before this time.
    """

    tasks: frozenset[str] | None = None
    kind: Kind | None = None
    open: bool | None = None
    since: Instant | None = None
    until: Instant | None = None


class DeliveryFilter(msgspec.Struct, frozen=True):
    """
    Which deliveries are wanted; the default takes all.

    :ivar tasks: those of alerts of the tasks with these keys; None for any alert, also of the daemon itself.
    :ivar event: those of alerts of this event.
    :ivar outcome: those with this outcome; ``RETRY`` stands for all that are pending.
    :ivar since: those of alerts made at this time or later; `until`: before this time.
    """

    tasks: frozenset[str] | None = None
    event: Event | None = None
    channel: str | None = None
    outcome: Outcome | None = None
    since: Instant | None = None
    until: Instant | None = None


#: The filters that take all.
ALL_INCIDENTS = IncidentFilter()
ALL_DELIVERIES = DeliveryFilter()


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
        self,
        task: str | None = None,
        before: int | None = None,
        limit: int = 50,
        which: IncidentFilter = ALL_INCIDENTS,
    ) -> Sequence[PastIncident]:
        """Incidents of one task, or of all, that a filter takes."""

    async def deliveries(
        self,
        task: str | None = None,
        before: int | None = None,
        limit: int = 50,
        which: DeliveryFilter = ALL_DELIVERIES,
    ) -> Sequence[PastDelivery]:
        """Deliveries of one task's alerts, or of all alerts, that a filter takes."""

    async def tasks(self) -> Sequence[str]:
        """The keys of all tasks that have a history, those that left the configuration included."""

    async def channels(self) -> Sequence[str]:
        """The names of all channels that deliveries were for, in alphabetical order."""

    async def uptime(self, task: str, now: Instant) -> Mapping[str, float | None]:
        """
        The fraction of the last ``24h``, ``7d``, ``30d`` and ``90d`` in which the task was on time.

        Sleep and blind time are left out; None if nothing else is known. The figures rest on whole hours; the hour in
        which a period begins counts in proportion.
        """

    async def days(self, task: str, now: Instant, count: int = 90) -> Sequence[Day]:
        """The last `count` UTC days, today included, oldest first, without the days in which nothing was seen."""

    async def beginning(self, task: str) -> Instant | None:
        """When what :meth:`uptime` and :meth:`days` know of the task begins; None if they know nothing."""

    async def gaps(self, task: str, limit: int = 50) -> Sequence[Gap]:
        """The latest runs of the task and the gaps between them, newest first."""
