"""A store in memory that several instances share, for tests on a fake clock: see :class:`Server`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from msgspec.structs import replace
from twisted.internet.defer import Deferred, TimeoutError, ensureDeferred

from pypinger.domain.model import Check, Delivery, Instant, Outcome, Task, TaskState
from pypinger.domain.silence import Silence
from pypinger.ports.sharing import (
    Instance,
    InstanceHealth,
    InstanceListing,
    InstanceRequest,
    InstanceRequestFailed,
    LeaseLost,
    Sharer,
    Watched,
)
from pypinger.ports.storing import Blind, HostSeen, Kept, StoreError
from tests.runtime.fakes import World

#: Seconds until what one instance has committed reaches the others, and between two looks at who is there.
SOON = 0.05

#: Seconds between two renewals of a lease.
BEAT = 1.5

#: Seconds after which a task that no instance lists goes to any.
ORPHANED = 60.0


class Server:
    """
    The database.

    :ivar states: key -> the state that was committed last.
    :ivar owners: key -> the name of the instance that owns the task; `channel_owners` for channels.
    :ivar pending: the deliveries that are pending, by (alert's id, channel), in order.
    :ivar outcomes: (alert's id, channel) -> final outcome.
    :ivar commits: (instance, key) of each commit and note.
    :ivar away: whether it cannot be reached.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.stores: dict[str, TogetherStore] = {}
        self.states: dict[str, TaskState] = {}
        self.owners: dict[str, str] = {}
        self.channel_owners: dict[str, str] = {}
        self.pending: dict[tuple[str, str], Delivery] = {}
        self.dead: dict[tuple[str, str], Delivery] = {}
        self.outcomes: dict[tuple[str, str], Outcome] = {}
        self.silences: dict[str, Silence] = {}
        self.commits: list[tuple[str, str]] = []
        self.leaving: set[str] = set()
        self.unlisted: dict[str, float] = {}
        self.away = False
        self._beat()

    def _beat(self) -> None:
        self.balance()
        self.world.clock.callLater(BEAT, self._beat)

    def present(self) -> list[TogetherStore]:
        return [store for store in self.stores.values() if store.leased]

    def lists(self, key: str, *, channels: bool = False) -> list[str]:
        """The instances that may own a task or a channel."""
        able = [
            store for store in self.present() if key in (store.listing.channels if channels else store.listing.tasks)
        ]
        seeing = [store for store in able if store.health().blind is None]
        return sorted(store.name for store in (able if channels or not seeing else seeing))

    def balance(self) -> None:
        """Give everything to whom it belongs."""
        if self.away or not self.present():
            return
        keys = sorted({key for store in self.present() for key in store.listing.tasks} | self.states.keys())
        listed = {name for store in self.present() for name in store.listing.channels}
        channels = sorted(listed | {channel for _, channel in self.pending} | self.channel_owners.keys())
        self._share(keys, self.owners, channels=False)
        self._share(channels, self.channel_owners, channels=True)
        self.show_members()

    def _share(self, keys: Sequence[str], owners: dict[str, str], *, channels: bool) -> None:
        gained: dict[str, list[str]] = {}
        left: dict[str, list[str]] = {}
        for number, key in enumerate(keys):
            able = self.lists(key, channels=channels)
            owner = owners.get(key)
            if not able:
                since = self.unlisted.setdefault(key, self.world.clock.seconds())
                if self.world.clock.seconds() - since >= ORPHANED:
                    able = [self.present()[0].name]
            else:
                self.unlisted.pop(key, None)
            wanted = able[number % len(able)] if able else None
            if owner == wanted or key in self.leaving:
                continue
            if owner is not None:
                left.setdefault(owner, []).append(key)
            elif wanted is not None:
                owners[key] = wanted
                if not channels:
                    self.owned(key)
                gained.setdefault(wanted, []).append(key)
        for name, some in left.items():
            self.leaving.update(some)
            ended = ensureDeferred(self.stores[name].asked().leave([] if channels else some, some if channels else []))
            ended.addCallback(self._left, some, owners)
        for name, some in gained.items():
            part = self.kept([], some) if channels else self.kept(some, [])
            unlisted = frozenset(key for key in some if not self.lists(key, channels=channels))
            self.stores[name].asked().gained(replace(part, unlisted=unlisted))

    def owned(self, task: str) -> None:
        """Report to the others that a task has another owner."""

        def report() -> None:
            for store in self.present():
                if store.name != self.owners.get(task):
                    store.asked().watched([Watched(task, None, self.owners.get(task))])

        self.later(report)

    def _left(self, _: object, keys: Collection[str], owners: dict[str, str]) -> None:
        self.leaving.difference_update(keys)
        for key in keys:
            owners.pop(key, None)
            if owners is self.owners:
                self.owned(key)
        self.later(self.balance)

    def kept(self, tasks: Collection[str], channels: Collection[str]) -> Kept:
        dead = [each for key, each in self.dead.items() if key[1] in channels]
        return Kept(
            {key: self.states.get(key, TaskState()) for key in tasks},
            [each for key, each in self.pending.items() if key[1] in channels],
            len(dead),
            silences=list(self.silences.values()),
            channels=frozenset(channels),
            dead_channels=frozenset(each.channel for each in dead),
        )

    def later(self, call: Callable[[], None]) -> None:
        self.world.clock.callLater(SOON, call)

    def show_members(self) -> None:
        members = [
            Instance(
                store.name,
                store.name,
                0.0,
                sum(owner == store.name for owner in self.owners.values()),
                tuple(name for name, owner in self.channel_owners.items() if owner == store.name),
                store.listing.digest,
                store.health(),
            )
            for store in self.present()
        ]
        for store in self.present():
            store.asked().members(members)

    def committed(self, by: TogetherStore, task: str | None, deliveries: Sequence[Delivery]) -> None:
        """Report what an instance has committed to the others."""

        def report() -> None:
            for store in self.present():
                if store is by:
                    continue
                if task is not None:
                    store.asked().watched([Watched(task, self.states[task], self.owners.get(task))])
                mine = [each for each in deliveries if self.channel_owners.get(each.channel) == store.name]
                mine = [each for each in mine if (each.alert.id, each.channel) in self.pending]
                if mine:
                    store.asked().delivered(mine)

        self.later(report)

    def kill(self, name: str) -> None:
        """End a lease; the instance does not notice."""
        self.stores[name].leased = False
        for owners in (self.owners, self.channel_owners):
            for key in [key for key, owner in owners.items() if owner == name]:
                del owners[key]
        self.balance()

    def go_away(self) -> None:
        """No instance can reach the database; the leases run out."""
        self.away = True
        for store in self.present():
            store.leased = False
            store.asked().lost("the database cannot be reached: connection refused")
        self.owners.clear()
        self.channel_owners.clear()

    def come_back(self) -> None:
        self.away = False
        for store in self.stores.values():
            store.leased = True
            store.asked().joined()
        self.balance()


class TogetherStore:
    """
    The store of one instance: a :class:`~pypinger.ports.storing.Store` and a
    :class:`~pypinger.ports.sharing.SharedStore`.

    :ivar settled: (alert's id, outcome) in order.
    """

    def __init__(self, server: Server, name: str) -> None:
        self.server = server
        self.name = name
        self.listing = InstanceListing(frozenset(), frozenset())
        self.leased = False
        self.sharer: Sharer | None = None
        self.health: Callable[[], InstanceHealth] = InstanceHealth
        self.settled: list[tuple[str, Outcome]] = []
        self.blinds: list[tuple[Instant, Instant]] = []
        self.slow: list[Deferred[None]] | None = None

    def asked(self) -> Sharer:
        assert self.sharer is not None
        return self.sharer

    def now(self) -> Instant:
        return self.server.world.now()

    def alive(self) -> bool:
        return self.leased

    def list(self, listing: InstanceListing) -> None:
        self.listing = listing
        if self.sharer is not None:
            self.server.later(self.server.balance)

    def open(self) -> Kept:
        if self.server.away:
            raise StoreError("[store] url postgresql://db: it cannot be reached")
        return self.server.kept([], [])

    def hold(self) -> None:
        """A lease lasts."""

    def start(self, sharer: Sharer, health: Callable[[], InstanceHealth]) -> None:
        self.sharer, self.health, self.leased = sharer, health, True
        self.server.stores[self.name] = self
        states = [Watched(key, state, self.server.owners.get(key)) for key, state in self.server.states.items()]
        sharer.watched(states)
        self.server.later(self.server.balance)

    def owner(self, task: str) -> str | None:
        return self.server.owners.get(task)

    async def ask(self, task: str, request: InstanceRequest) -> Any:
        owner = self.owner(task)
        if owner is None or not self.leased:
            raise InstanceRequestFailed("no instance watches the task now")
        asked = Deferred.fromCoroutine(self.server.stores[owner].asked().asked(request))
        try:
            return await asked.addTimeout(request.limit, self.server.world.clock)
        except TimeoutError:
            raise InstanceRequestFailed(f"no answer within {request.limit:g} s") from None

    async def ask_all(self, request: InstanceRequest) -> Mapping[str, Any]:
        others = [store for store in self.server.present() if store is not self]
        return {store.name: await store.asked().asked(request) for store in others}

    def _fence(self, task: str | None = None, channel: str | None = None) -> None:
        owner = self.server.owners.get(task) if task is not None else self.name
        if channel is not None:
            owner = self.server.channel_owners.get(channel)
        if not self.leased or owner != self.name:
            raise LeaseLost("the lease is lost")

    def note(self, task: Task, state: TaskState, check: Check) -> None:
        self._fence(task.key)
        self.server.commits.append((self.name, task.key))
        self.server.states[task.key] = state
        self.server.committed(self, task.key, ())

    async def commit(self, task: Task, state: TaskState, check: Check | None, deliveries: Sequence[Delivery]) -> bool:
        if self.slow is not None:
            gate: Deferred[None] = Deferred()
            self.slow.append(gate)
            await gate
        self._fence(task.key)
        self.server.commits.append((self.name, task.key))
        self.server.states[task.key] = state
        self._add(deliveries)
        self.server.committed(self, task.key, deliveries)
        return True

    async def enqueue(self, deliveries: Sequence[Delivery]) -> None:
        self._fence()
        self._add(deliveries)
        self.server.committed(self, None, deliveries)

    def _add(self, deliveries: Sequence[Delivery]) -> None:
        for each in deliveries:
            self.server.dead.pop((each.alert.id, each.channel), None)
            self.server.pending[each.alert.id, each.channel] = each

    async def settle(self, delivery: Delivery, outcome: Outcome) -> None:
        self._fence(channel=delivery.channel)
        key = delivery.alert.id, delivery.channel
        self.settled.append((delivery.alert.id, outcome))
        if outcome is Outcome.RETRY:
            self.server.pending[key] = delivery
            return
        self.server.pending.pop(key, None)
        self.server.outcomes[key] = outcome
        if outcome is Outcome.DEAD:
            self.server.dead[key] = delivery

    def blind(self, start: Instant, end: Instant) -> None:
        self.blinds.append((start, end))

    def hosts(self, seen: Mapping[str, HostSeen]) -> None:
        """The hosts are not kept."""

    def blindness(self, blind: Blind | None, clock: Blind | None = None) -> None:
        """Blindness is not kept."""

    async def silences(self, present: Sequence[Silence]) -> None:
        self._fence()
        self.server.silences = {each.id: each for each in present}
        for store in self.server.present():
            if store is not self:
                store.asked().silenced(present)

    async def dead(self) -> Sequence[Delivery]:
        return [replace(each) for each in self.server.dead.values()]

    def trouble(self) -> str | None:
        return None

    async def backup(self, path: str) -> None:
        raise StoreError("use pg_dump")

    async def copy_to(self, descriptor: int) -> int:
        raise StoreError("use pg_dump")

    async def close(self) -> None:
        """Give everything away."""
        self.leased = False
        for owners in (self.server.owners, self.server.channel_owners):
            for key in [key for key, owner in owners.items() if owner == self.name]:
                del owners[key]
        self.server.stores.pop(self.name, None)
        self.server.balance()
