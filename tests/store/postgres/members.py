"""Instances that share a database, in this process, and a runtime that records the calls it gets."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from pypinger.domain.kinds import Kind
from pypinger.domain.model import Alert, Check, Delivery, Event, Report, Reported, Task, Verdict
from pypinger.domain.silence import Silence
from pypinger.ports.sharing import Instance, InstanceHealth, InstanceListing, InstanceRequest, Watched
from pypinger.ports.storing import Kept
from pypinger.store.postgres.store import PostgresStore

#: Seconds that a test waits for something.
LIMIT = 30.0


async def sleep(seconds: float) -> None:
    await deferLater(reactor, seconds)  # type: ignore[arg-type]


async def until(condition: Callable[[], Any], limit: float = LIMIT) -> Any:
    """Wait until a condition holds; returns its value."""
    waited = 0.0
    while not (found := condition()):
        assert waited < limit, "the condition was not met in time"
        await sleep(0.02)
        waited += 0.02
    return found


def task(number: int) -> Task:
    return Task(url=f"http://host/{number}", id=str(number), name=f"task {number}", label=f"http://host/{number}")


def keys(count: int) -> frozenset[str]:
    return frozenset(task(number).key for number in range(count))


def check(at: float = 1000.0, kind: Kind = Kind.OK) -> Check:
    return Check(at, 0.01, Reported(200, Report(ok=True, lastrun=at)), Verdict(kind, "explained"))


def alert(id: str, at: float = 1000.0) -> Alert:
    return Alert(id, Event.PROBLEM, at, "explained")


class Runtime:
    """
    A :class:`pypinger.ports.sharing.Sharer`.

    :ivar states: of the tasks that it has.
    :ivar pending: the deliveries that it is to send.
    :ivar said: all calls.
    """

    def __init__(self, store: PostgresStore, kept: Kept) -> None:
        self.store = store
        self.states = dict(kept.states)
        self.channels = set(kept.channels or ())
        self.pending = {(each.alert.id, each.channel): each for each in kept.deliveries}
        self.seen: dict[str, Watched] = {}
        self.present: tuple[Silence, ...] = tuple(kept.silences)
        self.instances: tuple[Instance, ...] = ()
        self.said: list[tuple[str, Any]] = []
        self.leaving: Deferred[None] | None = None
        self.answer: Callable[[InstanceRequest], Any] = lambda request: request.verb

    def gained(self, part: Kept) -> None:
        self.said.append(("gained", part))
        assert not self.states.keys() & part.states.keys(), "gained twice"
        self.states.update(part.states)
        self.channels |= part.channels or frozenset()
        self.pending.update({(each.alert.id, each.channel): each for each in part.deliveries})

    async def leave(self, tasks: Collection[str], channels: Collection[str]) -> None:
        self.said.append(("leave", (tasks, channels)))
        for key in tasks:
            del self.states[key]
        self.channels -= set(channels)
        self.pending = {key: each for key, each in self.pending.items() if each.channel not in channels}
        if self.leaving is not None:
            await self.leaving

    def lost(self, words: str) -> None:
        self.said.append(("lost", words))
        self.states, self.channels, self.pending = {}, set(), {}

    def joined(self) -> None:
        self.said.append(("joined", None))

    def watched(self, tasks: Sequence[Watched]) -> None:
        self.seen.update({each.key: each for each in tasks})

    def delivered(self, deliveries: Sequence[Delivery]) -> None:
        self.said.append(("delivered", list(deliveries)))
        for each in deliveries:
            assert (each.alert.id, each.channel) not in self.pending, "delivered twice"
            self.pending[each.alert.id, each.channel] = each

    def silenced(self, present: Sequence[Silence]) -> None:
        self.present = tuple(present)

    def members(self, present: Sequence[Instance]) -> None:
        self.instances = tuple(present)

    async def asked(self, request: InstanceRequest) -> object:
        return self.answer(request)

    def words(self) -> list[str]:
        return [what for what, _ in self.said]


def listing(count: int, channels: Collection[str] = ("slack", "email"), digest: str = "d") -> InstanceListing:
    return InstanceListing(keys(count), frozenset(channels), digest)


class Crowd:
    """The members of one test."""

    def __init__(self, case: Any, url: str) -> None:
        self.case = case
        self.url = url

    def join(
        self,
        name: str,
        listing: InstanceListing,
        health: Callable[[], InstanceHealth] = InstanceHealth,
        url: str | None = None,
    ) -> Runtime:
        store = PostgresStore(reactor, url or self.url, name=name, keep_days=90)  # type: ignore[arg-type]
        store.list(listing)
        kept = store.open()
        self.case.addCleanup(lambda: Deferred.fromCoroutine(store.close()))
        member = Runtime(store, kept)
        store.start(member, health)
        return member
