"""
This instance among several that share the tasks (contract, section 8, "Several machines").

The store says which tasks and channels are this instance's; here the parts of the runtime take them up and leave them.

Note [Slices]
~~~~~~~~~~~~~
Thousands of tasks may come and go at once. Each change is queued, and carried out a slice at a time, in the order in
which the store reported it; other work of the reactor comes between. Channels are few, and change at once.
"""

from __future__ import annotations

import gc
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from msgspec.structs import replace
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import LoopingCall, deferLater
from twisted.logger import Logger

from pypinger import __version__
from pypinger.domain.alerting import daemon_alert
from pypinger.domain.model import Alert, Delivery, Event, Seconds
from pypinger.domain.silence import Silence
from pypinger.domain.times import clock
from pypinger.ports.clock import WallClock
from pypinger.ports.sharing import (
    Instance,
    InstanceHealth,
    InstanceRequest,
    InstanceRequestFailed,
    LeaseLost,
    SharedStore,
    Watched,
)
from pypinger.ports.storing import Kept
from pypinger.runtime.away import Away
from pypinger.runtime.board import LiveBoard
from pypinger.runtime.check import Checker
from pypinger.runtime.greeting import Greeting
from pypinger.runtime.members import Members
from pypinger.runtime.monitor import Monitor
from pypinger.runtime.outbox import Outbox
from pypinger.runtime.runs import RunFeed
from pypinger.runtime.silencing import Silencing
from pypinger.runtime.silenthosts import VERB, SilentHosts
from pypinger.runtime.slices import Slices, slices

#: Interval in seconds at which an instance that is blind asks whether it sees again.
LOOKING: Seconds = 5.0

#: Interval in seconds at which the state of this instance is worked out for the others.
STATING: Seconds = 1.0

#: How many times as long as it takes to look at all tasks the next look waits at least.
REST = 200

#: Seconds after which storms are found by the states of other instances' tasks; alerts are faster, and come first.
COMPARING: Seconds = 1.5

#: How many seconds a command or a push waits for a task that no instance watches.
WAITING: Seconds = 3.0

#: What carries out a request of another instance.
Answering = Callable[[Mapping[str, Any]], Awaitable[object]]


class SharedParts(NamedTuple):
    """The parts of the runtime that follow the store's reports."""

    board: LiveBoard
    monitor: Monitor
    outbox: Outbox
    checker: Checker
    silencing: Silencing
    runs: RunFeed


class Participant:
    """
    Implements :class:`pypinger.ports.sharing.Sharer`.

    :param grown: is called before and while tasks change hands.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: IReactorTime,
        now: WallClock,
        store: SharedStore,
        parts: SharedParts,
        grown: Callable[[], None] = lambda: None,
    ) -> None:
        self._reactor = reactor
        self._grown = grown
        self._now = now
        self._store = store
        self._parts = parts
        # The store may change the name when it is opened.
        self._members = Members(lambda: store.name)
        self._away = Away(reactor, now, parts.outbox, lambda: store.name)
        self._health = InstanceHealth(version=__version__)
        self._looks: Seconds = 0.0
        self._answers: dict[str, Answering] = {}
        self._slices = Slices(reactor)
        # How many leases have been lost: what was given under one of them is dropped.
        self._losses = 0
        self._compared: set[str] = set()
        self._comparing: IDelayedCall | None = None
        self._greeting = Greeting(reactor, now, parts.outbox, lambda: store.name, lambda: len(parts.monitor.keys))
        self._stopped = False
        self._silent = SilentHosts(reactor, store, parts.monitor.rounds)
        self._answers[VERB] = self._silent.join
        self._looking, self._stating = LoopingCall(parts.checker.blindness.look), LoopingCall(self._state)
        for loop in (self._looking, self._stating):
            loop.clock = reactor
        parts.board.add_source(self._members.trouble)

    @property
    def name(self) -> str:
        """The name of this instance."""
        return self._store.name

    def share(self) -> None:
        """Have the parts work on what the store gives alone; before they take up what it kept."""
        parts, alive = self._parts, self._store.alive
        parts.board.share(self._members)
        parts.monitor.share(alive)
        parts.outbox.share(alive)
        parts.checker.condition.share(self.name)
        parts.monitor.rounds.tell(self._silent.note)

    async def here(self, task: str) -> bool:
        """
        Whether a task is watched here, rather than at another instance.

        A task that is new, or on its way from one instance to another, is waited for.
        """
        for _ in range(round(WAITING / 0.1)):
            known = self._parts.monitor.watches(task) or self._store.owner(task) not in (None, self.name)
            if known or not self._store.alive():
                break
            await deferLater(self._reactor, 0.1)
        return self._parts.monitor.watches(task)

    async def ask(self, task: str, request: InstanceRequest) -> Any:
        """See :meth:`pypinger.ports.sharing.SharedStore.ask`."""
        return await self._store.ask(task, request)

    async def ask_all(self, request: InstanceRequest) -> Mapping[str, Any]:
        """See :meth:`pypinger.ports.sharing.SharedStore.ask_all`."""
        return await self._store.ask_all(request)

    def answer(self, verb: str, answering: Answering) -> None:
        """Carry out requests of this verb with `answering`."""
        self._answers[verb] = answering

    def start(self, greeting: str, total: int) -> None:
        """
        Begin to follow the store's reports.

        :param greeting: what the alert of the start begins with.
        :param total: how many tasks are configured.
        """
        self._looking.start(LOOKING, now=False)
        self._stating.start(STATING)
        self._greeting.start(greeting, total)
        if self._parts.monitor.keys:
            self._members.know()
        self._store.start(self, lambda: self._health)

    def stop(self) -> None:
        """Announce nothing more, and look at nothing more."""
        self._stopped = True
        self._away.stop()
        self._silent.stop()
        for loop in (self._looking, self._stating):
            if loop.running:
                loop.stop()
        self._greeting.stop()
        if self._comparing is not None and self._comparing.active():
            self._comparing.cancel()

    def trouble(self) -> str | None:
        """Return why this instance watches nothing, or None."""
        return self._members.trouble()

    @property
    def alone(self) -> bool:
        """Whether there is no other instance."""
        return not self._members.others

    def standing(self, lasted: Seconds) -> list[Alert]:
        """Return alerts about other instances that have been blind for so many seconds."""
        now, found = self._now(), []
        for other in self._members.others:
            since = other.health.blind
            if since is not None and now - since >= lasted:
                words = f"it has been blind since {clock(since, now)}"
                found.append(replace(daemon_alert(Event.BLIND, words, now, other.name), started=since))
        return found

    # pypinger.ports.sharing.Sharer

    def gained(self, part: Kept) -> None:
        """See :meth:`pypinger.ports.sharing.Sharer.gained`."""
        if self._stopped:
            return
        if part.channels:
            self._parts.outbox.gain(part)
        if part.states:
            self._grown()
            self._slices.add(self._take(part, self._losses))

    async def leave(self, tasks: Collection[str], channels: Collection[str]) -> None:
        """See :meth:`pypinger.ports.sharing.Sharer.leave`."""
        ended: Deferred[None] = Deferred()
        self._slices.add(self._leave(list(tasks), ended))
        leaving = Deferred.fromCoroutine(self._parts.outbox.leave(channels)) if channels else None
        await ended
        if leaving is not None:
            await leaving

    def lost(self, words: str) -> None:
        """See :meth:`pypinger.ports.sharing.Sharer.lost`."""
        parts = self._parts
        if "database" not in words:
            words = f"the database cannot be reached: {words}"
        self._members.lost(self._now(), words)
        self._log.error("no task is checked: {words}", words=words)
        parts.outbox.drop()
        parts.monitor.cancel_all()
        parts.runs.stop()
        self._losses += 1
        self._slices.add(self._leave_all())
        if not self._stopped:
            self._away.lost(words)

    def joined(self) -> None:
        """See :meth:`pypinger.ports.sharing.Sharer.joined`."""
        # What failed without a lease left cycles, which would leave the collector's sight with what is gained now.
        gc.collect(1)
        self._members.joined()
        self._parts.board.listen_again()
        self._log.info("there is a lease again")
        self._away.joined()
        self._parts.checker.condition.store_again()

    def watched(self, tasks: Sequence[Watched]) -> None:
        """See :meth:`pypinger.ports.sharing.Sharer.watched`."""
        self._slices.add(self._show(tasks))

    def delivered(self, deliveries: Sequence[Delivery]) -> None:
        """See :meth:`pypinger.ports.sharing.Sharer.delivered`."""
        self._parts.outbox.receive(deliveries)

    def silenced(self, present: Sequence[Silence]) -> None:
        """See :meth:`pypinger.ports.sharing.Sharer.silenced`."""
        self._parts.silencing.replace(present)

    def members(self, present: Sequence[Instance]) -> None:
        """See :meth:`pypinger.ports.sharing.Sharer.members`."""
        before = {each.name for each in self._members.others}
        self._members.update(present)
        after = {each.name for each in self._members.others}
        if after != before and not self._stopped:
            # Tasks will change hands.
            self._grown()
        for name in sorted(after - before):
            self._log.info("instance {name} shares the tasks", name=name)
        for name in sorted(before - after):
            self._log.warn("instance {name} is gone", name=name)

    async def asked(self, request: InstanceRequest) -> object:
        """See :meth:`pypinger.ports.sharing.Sharer.asked`."""
        answering = self._answers.get(request.verb)
        if answering is None:
            raise InstanceRequestFailed(
                f"instance {self.name} does not know {request.verb!r}; is it of another version?"
            )
        try:
            return await answering(request.body)
        except LeaseLost as error:
            raise InstanceRequestFailed(str(error)) from None

    def _take(self, part: Kept, losses: int) -> Iterator[None]:
        for keys in slices(part.states):
            if losses != self._losses:
                return
            self._parts.monitor.take({key: part.states[key] for key in keys}, part.unlisted)
            if not self._stopped:
                self._grown()
            yield
        self._greeting.soon()

    def _leave(self, tasks: Sequence[str], ended: Deferred[None]) -> Iterator[None]:
        leaving: list[Deferred[None]] = []
        for keys in slices(tasks):
            leaving.append(Deferred.fromCoroutine(self._parts.monitor.leave(keys)))
            yield
        DeferredList(leaving).addCallback(lambda _: ended.callback(None))

    def _leave_all(self) -> Iterator[None]:
        for keys in slices(self._parts.monitor.keys):
            Deferred.fromCoroutine(self._parts.monitor.leave(keys))
            yield

    def _show(self, tasks: Sequence[Watched]) -> Iterator[None]:
        board, storms = self._parts.board, self._parts.outbox.storms
        for some in slices(tasks):
            shown = board.by_key(some[0].key)
            if shown is not None and shown.state.verdict is None:
                # These are the first states, of all tasks, and live long.
                self._grown()
            for each in some:
                entry = board.show_other(each.key, each.state, each.owner)
                if entry is not None and (entry.state.incident is not None or entry.task.id in storms):
                    self._compared.add(entry.task.id)
            if self._compared and self._comparing is None:
                self._comparing = self._reactor.callLater(COMPARING, self._compare)
            yield

    def _compare(self) -> None:
        self._comparing = None
        compared, self._compared = self._compared, set()
        entries = map(self._parts.board.by_id, compared)
        self._parts.outbox.compare(entry for entry in entries if entry is not None)

    def _state(self) -> None:
        """Work out what this instance says of itself."""
        parts, clock = self._parts, self._reactor
        try:
            if (began := clock.seconds()) >= self._looks:
                seen = parts.board.daemon()
                self._looks = clock.seconds() + REST * (clock.seconds() - began)
                words = seen.explanation
                self._health = replace(self._health, status=seen.status, explanation=words, started=seen.started)
            blind, undelivered, dead = parts.checker.condition.since, parts.board.undelivered, parts.board.dead
            refused = tuple(sorted(parts.outbox.refused))
            self._health = replace(self._health, blind=blind, undelivered=undelivered, dead=dead, dead_channels=refused)
        except Exception:
            self._log.failure("working out the state of this instance")
