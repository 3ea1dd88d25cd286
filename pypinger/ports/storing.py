"""Storing state, deliveries and history: the port :class:`Store`; ``tests/contracts/store.py`` is its suite."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from pypinger.domain.model import Alert, Check, Delivery, Instant, Outcome, Task, TaskState
from pypinger.domain.silence import Silence


class HostSeen(msgspec.Struct, frozen=True, gc=False):
    """
    The latest answer of a host (contract, section 3, "Whose fault").

    :ivar address: the IP address that answered; None if it is unknown.
    :ivar at: time of the answer.
    """

    address: str | None
    at: Instant


class Blind(msgspec.Struct, frozen=True, gc=False):
    """
    Blindness, or a wrong clock, that lasts.

    :ivar since: when it began.
    :ivar words: its cause, as alerts and pages give it.
    """

    since: Instant
    words: str


class Told(msgspec.Struct, frozen=True, gc=False):
    """
    What a channel was told last of an incident.

    :ivar reference: the message that shows the incident, as the channel refers to it.
    :ivar alert: the latest that was sent; reminders do not count.
    """

    reference: str
    alert: Alert


class Kept(msgspec.Struct, frozen=True):
    """
    What a store holds when it is opened.

    :ivar states: the key of a task -> its state.
    :ivar deliveries: pending deliveries, oldest first.
    :ivar dead: the number of dead deliveries.
    :ivar last_alive: when the previous process was last known to run; None if there was none. The store records the
        time since then as blind.
    :ivar hosts: host name -> its latest answer, if that came within the last 24 h.
    :ivar blind: the blindness that the previous process ended in, if any.
    :ivar clock: how wrong its clock was then, if it was.
    :ivar blind_told: the channels with an alert of either.
    :ivar told: channel -> the incidents that a message shows: the open ones, those whose message shows an open one as
        well, and those of the last hours. Oldest first; of an incident with several messages the last counts.
    :ivar silences: the silences that have not ended.
    :ivar dead_channels: the channels whose latest delivery is dead.
    :ivar refusals: channel -> why that delivery is dead, in words.
    :ivar channels: the channels that this instance sends through; None for all of them.
    :ivar unlisted: those of the tasks and the channels that no instance has configured.
    """

    states: Mapping[str, TaskState]
    deliveries: Sequence[Delivery]
    dead: int
    last_alive: Instant | None = None
    hosts: Mapping[str, HostSeen] = {}
    blind: Blind | None = None
    clock: Blind | None = None
    blind_told: frozenset[str] = frozenset()
    told: Mapping[str, Sequence[Told]] = {}
    silences: Sequence[Silence] = ()
    dead_channels: frozenset[str] = frozenset()
    refusals: Mapping[str, str] = {}
    channels: frozenset[str] | None = None
    unlisted: frozenset[str] = frozenset()


class Store(Protocol):
    """
    Keeps states, deliveries and history (contract, section 8).

    `commit`, `enqueue` and `settle` are durable once their coroutine returns; `note` within a second. A store that
    cannot be written for a while (full disk, I/O error) does not raise: `trouble` says why, calls return at once, and
    the store catches up in the order of the calls.
    """

    def open(self) -> Kept:
        """
        Open the store and load what it holds. Called once, before the reactor runs; it may block.

        :raises StoreError: it cannot be used.
        """

    def note(self, task: Task, state: TaskState, check: Check) -> None:
        """Record a check that causes no alert; one without a finding only accounts for the time until then."""

    async def commit(self, task: Task, state: TaskState, check: Check | None, deliveries: Sequence[Delivery]) -> bool:
        """
        Record a change of a task's state together with its deliveries, in one transaction.

        :param check: the check that made the change; None if time (a reminder) or the configuration did.
        :param deliveries: one for each alert and channel.
        :returns: whether it is kept; False if the store cannot be written at present.
        """

    async def enqueue(self, deliveries: Sequence[Delivery]) -> None:
        """Record deliveries without a change of state: alerts of the daemon itself, and dead ones that are resent."""

    async def settle(self, delivery: Delivery, outcome: Outcome) -> None:
        """
        Record the outcome of an attempt, with the attempts, words, next time, progress and reference of `delivery`.

        Of a delivery with a final outcome only the reference changes, if there is a new one.
        """

    def blind(self, start: Instant, end: Instant) -> None:
        """
        Record a time in which no task was seen, so that it counts neither as up nor as down.

        Call it before recording the first check that follows.
        """

    def hosts(self, seen: Mapping[str, HostSeen]) -> None:
        """Record answers of hosts; like `note`. Hosts that are not in `seen` are kept as they are."""

    def blindness(self, blind: Blind | None, clock: Blind | None = None) -> None:
        """
        Record whether Py Pinger is blind, and whether its clock is wrong; like `note`.

        Call it before enqueueing the alert about it: then all are in one transaction.
        """

    async def silences(self, present: Sequence[Silence]) -> None:
        """Record the silences that there are now; durable once the coroutine returns."""

    async def dead(self) -> Sequence[Delivery]:
        """
        Return the dead deliveries that are still kept, oldest first.

        :raises StoreError: the store cannot be read.
        """

    def trouble(self) -> str | None:
        """Why the store cannot be written at present; None if it can."""

    async def backup(self, path: str) -> None:
        """
        Copy the live store to a new file.

        :raises StoreError: it cannot be copied.
        """

    async def copy_to(self, descriptor: int) -> int:
        """
        Write a copy of the live store to an open file.

        :returns: the bytes written.
        :raises StoreError: it cannot be copied.
        """

    async def close(self) -> None:
        """Write what is pending, and close."""


class StoreError(Exception):
    """The store cannot be used; ``str()`` is one line with the path, the reason and what to do."""
