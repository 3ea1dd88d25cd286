"""A store that keeps nothing over a restart: ``[store] path = :memory:``, and the reference for the contract suite."""

from __future__ import annotations

from collections.abc import Sequence

from pypinger.domain.model import Check, Delivery, Outcome, Task, TaskState
from pypinger.ports import Kept

_Key = tuple[str, str]


def _key(delivery: Delivery) -> _Key:
    return delivery.alert.id, delivery.channel


class MemoryStore:
    """A :class:`~pypinger.ports.Store` in memory. Opening it again shows what a durable store would have kept."""

    def __init__(self) -> None:
        self._states: dict[str, TaskState] = {}
        self._pending: dict[_Key, Delivery] = {}
        self._dead: dict[_Key, Delivery] = {}

    def open(self) -> Kept:
        """See :meth:`pypinger.ports.Store.open`."""
        return Kept(states=dict(self._states), deliveries=tuple(self._pending.values()), dead=len(self._dead))

    def note(self, task: Task, state: TaskState, check: Check) -> None:
        """See :meth:`pypinger.ports.Store.note`."""
        self._states[task.url] = state

    async def commit(self, task: Task, state: TaskState, check: Check | None, deliveries: Sequence[Delivery]) -> None:
        """See :meth:`pypinger.ports.Store.commit`."""
        self._states[task.url] = state
        await self.enqueue(deliveries)

    async def enqueue(self, deliveries: Sequence[Delivery]) -> None:
        """See :meth:`pypinger.ports.Store.enqueue`."""
        for delivery in deliveries:
            self._pending.setdefault(_key(delivery), delivery)

    async def settle(self, delivery: Delivery, outcome: Outcome) -> None:
        """See :meth:`pypinger.ports.Store.settle`."""
        key = _key(delivery)
        if outcome is Outcome.RETRY:
            if key in self._pending:
                self._pending[key] = delivery
            return
        self._pending.pop(key, None)
        if outcome is Outcome.DEAD:
            self._dead[key] = delivery

    def trouble(self) -> str | None:
        """See :meth:`pypinger.ports.Store.trouble`."""
        return None

    async def close(self) -> None:
        """See :meth:`pypinger.ports.Store.close`."""
