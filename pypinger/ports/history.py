"""
The past, as a store tells it to the pages and the tools: the port :class:`History`, and the records that cross it.

It belongs to :mod:`pypinger.ports`, which offers these names too; ``tests/contracts/history.py`` is its suite.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from pypinger.domain.kinds import Kind
from pypinger.domain.model import Alert, Event, Finding, Instant, Outcome, Seconds


class Run(msgspec.Struct, frozen=True):
    """
    One finding, for as long as every check found the same.

    A check that was committed always begins a new one, so that the moment of whatever people were told is `first`.

    :ivar key: for the next page.
    :ivar first: when it was first seen, to the millisecond; `last`: when last.
    :ivar count: how many checks found it.
    :ivar finding: its latency, if it has one, is that of the first check.
    """

    key: int
    first: Instant
    last: Instant
    count: int
    finding: Finding


class VerdictChange(msgspec.Struct, frozen=True):
    """The verdict's kind changed."""

    key: int
    at: Instant
    kind: Kind
    explanation: str


class PastAlert(msgspec.Struct, frozen=True):
    """An alert of an incident, whatever channels it went to."""

    id: str
    event: Event
    at: Instant
    explanation: str


class PastIncident(msgspec.Struct, frozen=True):
    """
    An incident, open or over.

    :ivar started: the first error verdict of the row that opened it.
    :ivar opened: when that row was long enough.
    :ivar ended: None while it is open.
    :ivar kinds: the kinds it went through, in order, at most 100 of them.
    :ivar explanation: of the verdict that opened it.
    :ivar alerts: how many alerts it caused.
    :ivar told: the latest 20 of them that were addressed to a channel, oldest first.
    """

    key: int
    url: str
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

    :ivar url: the task's URL; None for an alert of the daemon itself.
    :ivar outcome: None while it is pending.
    :ivar settled: when its latest attempt was settled, None before the first.
    """

    key: int
    url: str | None
    alert: Alert
    channel: str
    attempts: int
    words: str
    outcome: Outcome | None
    settled: Instant | None


class Gap(msgspec.Struct, frozen=True):
    """
    A run of the task itself, as it reported it.

    :ivar lastrun: when it ran.
    :ivar gap: seconds since the run before it that was seen; None for the oldest one kept.
    """

    lastrun: Instant
    gap: Seconds | None


class Day(msgspec.Struct, frozen=True):
    """
    One UTC day of a task, as far as it was seen.

    :ivar start: midnight.
    :ivar up: seconds in which it was on time, as `down` (in trouble) and `asleep` are seconds; what is missing to the
        day was not seen.
    """

    start: Instant
    up: Seconds
    down: Seconds
    asleep: Seconds


class History(Protocol):
    """
    What a store remembers beside the present state; it may lag behind by the second that `Store.note` takes.

    Pages are newest first and have at most `limit` entries; `before` is the `key` of the last entry of the page before
    this one. A task that is not known has an empty history. Every method raises
    :class:`pypinger.ports.storing.StoreError` if the store cannot be read.
    """

    async def runs(self, url: str, before: int | None = None, limit: int = 50) -> Sequence[Run]:
        """What the checks of a task found."""

    async def verdicts(self, url: str, before: int | None = None, limit: int = 50) -> Sequence[VerdictChange]:
        """How the verdict of a task changed."""

    async def incidents(
        self, url: str | None = None, before: int | None = None, limit: int = 50
    ) -> Sequence[PastIncident]:
        """Incidents of one task, or of all."""

    async def deliveries(
        self, url: str | None = None, before: int | None = None, limit: int = 50
    ) -> Sequence[PastDelivery]:
        """Deliveries of one task's alerts, or of all alerts."""

    async def uptime(self, url: str, now: Instant) -> Mapping[str, float | None]:
        """
        The fraction of the last ``24h``, ``7d``, ``30d`` and ``90d`` in which the task was on time.

        Sleep and blind time are left out; None where nothing else is known. It rests on hours: of the hour in which
        such a period begins, the part that belongs to it counts.
        """

    async def days(self, url: str, now: Instant, count: int = 90) -> Sequence[Day]:
        """The last `count` UTC days, today included, oldest first; without those in which nothing was seen."""

    async def gaps(self, url: str, limit: int = 50) -> Sequence[Gap]:
        """The last runs of the task itself and the gaps between them, newest first."""
