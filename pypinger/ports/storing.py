"""Keeping state, deliveries and history."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from pypinger.domain.model import Check, Delivery, Instant, Outcome, Task, TaskState


class Kept(msgspec.Struct, frozen=True):
    """
    What a store remembers from before.

    :ivar states: task URL -> its state.
    :ivar deliveries: those still to be made, oldest first.
    :ivar dead: how many were given up and are kept to be shown.
    :ivar last_alive: when the process before this one was last known to run; None if there was none. The store itself
        records the time since then as blind.
    """

    states: Mapping[str, TaskState]
    deliveries: Sequence[Delivery]
    dead: int
    last_alive: Instant | None = None


class Store(Protocol):
    """
    Keeps states, the outbox, and the history that both come from.

    What `commit`, `enqueue` and `settle` were given is kept once their Deferred has fired; what `note` was given is
    kept within a second. A store that cannot write for a while (a full disk, an I/O error) never raises for it: it
    says so through `trouble`, goes on from memory, and catches up by itself in the order of the calls.
    """

    def open(self) -> Kept:
        """
        Open it and say what it kept; called once, before the reactor runs, so it may block.

        :raises StoreError: it cannot be used.
        """

    def note(self, task: Task, state: TaskState, check: Check) -> None:
        """A check changed nothing that anyone is told of; keep it some time within the next second."""

    async def commit(self, task: Task, state: TaskState, check: Check | None, deliveries: Sequence[Delivery]) -> None:
        """
        Keep a change of a task's state together with one delivery per alert and channel, all or nothing.

        :param check: the check that made the change; None when only time did (a reminder) or the configuration.
        """

    async def enqueue(self, deliveries: Sequence[Delivery]) -> None:
        """Keep deliveries of alerts of the daemon itself."""

    async def settle(self, delivery: Delivery, outcome: Outcome) -> None:
        """Keep how a delivery stands: its attempts, words and time of the next attempt are in `delivery`."""

    def blind(self, start: Instant, end: Instant) -> None:
        """
        From `start` to `end` nothing was seen of any task, so that this time is neither up nor down.

        To be called before the first check after it is noted or committed.
        """

    def trouble(self) -> str | None:
        """Say in words why it cannot write at present, or None while it can."""

    async def close(self) -> None:
        """Write what is still to be written, and close."""


class StoreError(Exception):
    """The store cannot be used; ``str()`` of it is one line that says which, why and what to do."""
