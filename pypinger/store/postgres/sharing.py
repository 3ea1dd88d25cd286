"""
The part of :class:`~pypinger.store.postgres.store.PostgresStore` that shares: the lease, who owns what, writing, what
others write, and requests. In the reactor's thread.

Note [Losing the lease]
~~~~~~~~~~~~~~~~~~~~~~~
The writer's thread may wait for the server when the lease ends. So the reactor watches the deadline itself. At a loss
the lease is ended for good, whoever waits gets :class:`~pypinger.ports.sharing.LeaseLost`, the writer's connection is
broken off, and the runtime drops everything. Then this instance joins anew, with a new id, as soon as it can.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import psycopg
from msgspec.structs import replace
from twisted.internet.defer import Deferred, DeferredList, TimeoutError
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from pypinger.domain.databaseurl import shown
from pypinger.domain.model import Delivery, Instant, Seconds
from pypinger.domain.silence import Silence
from pypinger.ports.sharing import Health, Instance, LeaseLost, Listing, Request, RequestFailed, Sharer, Watched
from pypinger.ports.storing import Kept, StoreError
from pypinger.store.postgres.connection import words_of
from pypinger.store.postgres.feeds import ChannelFeed
from pypinger.store.postgres.holding import Gained
from pypinger.store.postgres.lease import BEAT, CommonClock, Lease, boottime
from pypinger.store.postgres.listening import Listening
from pypinger.store.postgres.queue import SharedQueue
from pypinger.store.postgres.recording import SharedRecorder
from pypinger.store.postgres.requests import Asking
from pypinger.store.postgres.writer import Beat, SharedWriter
from pypinger.store.threads import Reactor, Worker

#: Seconds between two attempts to join.
REJOIN: Seconds = 1.0

#: How many tasks are left at once.
LEFT = 2000

#: Seconds between two beats at least, however many notifications come.
SOON: Seconds = 0.1


class Sharing:
    """
    See the module.

    :param name: of this instance, as it is configured.
    :param worker: makes threads.
    """

    _log = Logger()

    def __init__(
        self, reactor: Reactor, url: str, name: str, keep_days: float, worker: Callable[[Reactor, str], Worker]
    ) -> None:
        self._reactor = reactor
        self._url = url
        self._make_worker = worker
        self._configured = name
        self._clock = CommonClock()
        self._writer = SharedWriter(url, name, keep_days, self._clock)
        self._listening = Listening(reactor, url, name, self._clock, self._writer.transactions)
        self._listing = Listing(frozenset(), frozenset())
        self._health: Callable[[], Health] = Health
        self._sharer: Sharer | None = None
        self._lease: Lease | None = None
        self._name = name
        self._away: str | None = None
        self._own: set[str] = set()
        self._owners: dict[str, str | None] = {}
        self._members: tuple[Instance, ...] = ()
        self._silences: tuple[Silence, ...] = ()
        self._changing = 0
        self._timers: dict[str, IDelayedCall] = {}
        self._busy: set[str] = set()
        self._beat_again = False
        self._closing = False

    # What the store offers

    @property
    def name(self) -> str:
        """See :attr:`pypinger.ports.sharing.SharedStore.name`."""
        return self._name

    def now(self) -> Instant:
        """See :meth:`pypinger.ports.sharing.SharedStore.now`."""
        return self._clock.now()

    def alive(self) -> bool:
        """See :meth:`pypinger.ports.sharing.SharedStore.alive`."""
        lease = self._lease
        return lease is not None and lease.alive()

    def list(self, listing: Listing) -> None:
        """See :meth:`pypinger.ports.sharing.SharedStore.list`."""
        self._listing = listing
        self._soon()

    def open(self) -> Kept:
        """See :meth:`pypinger.ports.storing.Store.open`."""
        kept, parts = self._writer.open(self._listing)
        self._worker = self._make_worker(self._reactor, "pypinger-writer")
        self._queue = SharedQueue(self._reactor, self._worker, self._writer, self._lose)
        self._asking = Asking(self._reactor, self._worker, self._writer, self._lose)
        self._silences = tuple(kept.silences)
        self._begin(self._writer.lease)
        for part in parts:
            self._register(part)
            kept = _joined(kept, part.kept)
        return kept

    def start(self, sharer: Sharer, health: Callable[[], Health]) -> None:
        """See :meth:`pypinger.ports.sharing.SharedStore.start`."""
        self._sharer, self._health = sharer, health
        if self._lease is not None:
            self._asking.begin(self._lease, sharer)
        self._listening.start(self._found)
        self._set_timer("beat", 0, self._beat)
        self._watch()

    def owner(self, task: str) -> str | None:
        """See :meth:`pypinger.ports.sharing.SharedStore.owner`."""
        if task in self._own:
            return self._name
        owner = self._owners.get(task)
        return next((each.name for each in self._members if each.id == owner), None)

    async def ask(self, task: str, request: Request) -> Any:
        """See :meth:`pypinger.ports.sharing.SharedStore.ask`."""
        owner = self._owners.get(task)
        found = next((each for each in self._members if each.id == owner), None)
        if self._lease is None or found is None:
            away = "the database cannot be reached" if self._lease is None else "no instance watches that task now"
            raise RequestFailed(f"{away}; try again")
        return await self._asking.ask(found.id, found.name, request)

    async def ask_all(self, request: Request) -> Mapping[str, Any]:
        """See :meth:`pypinger.ports.sharing.SharedStore.ask_all`."""
        lease = self._lease
        others = [each for each in self._members if lease is not None and each.id != lease.id]
        asked = [Deferred.fromCoroutine(self._asking.ask(each.id, each.name, request)) for each in others]
        results = await DeferredList(asked, consumeErrors=True)
        return {each.name: value for each, (answered, value) in zip(others, results, strict=True) if answered}

    def put(self, call: Callable[..., None], *args: Any) -> None:
        """Have a method of the recorder called some time within the next second; dropped if the lease is lost."""
        if self._lease is not None:
            self._queue.put(call, *args)

    async def write(self, call: Callable[..., None], *args: Any) -> bool:
        """
        Have a method of the recorder called, and wait until the result is in the database.

        :raises LeaseLost: nothing was written.
        """
        if self._lease is None:
            raise LeaseLost(self._away or "the store is not open")
        return await self._queue.write(call, *args)

    async def silences(self, present: Sequence[Silence]) -> None:
        """
        Record the differences to the silences that there were.

        :raises LeaseLost: nothing was written.
        """
        known = {each.id: each for each in self._silences}
        added = [each for each in present if known.get(each.id) != each]
        removed = known.keys() - {each.id for each in present}
        before, self._silences = self._silences, tuple(present)
        # What is being read of them just now is out of date.
        self._changing += 1
        self._listening.version += 1
        try:
            await self.write(SharedRecorder.change_silences, added, sorted(removed))
        except LeaseLost:
            self._silences = before
            raise
        finally:
            self._changing -= 1
            self._listening.version += 1

    def trouble(self) -> str | None:
        """See :meth:`pypinger.ports.storing.Store.trouble`."""
        if self._away is not None:
            return f"the database cannot be used: {self._away}"
        words = self._writer.trouble
        return f"the database cannot be reached: {words}" if words else None

    async def close(self, limit: Seconds) -> None:
        """Write the rest, leave, so that others take over at once, and close; within `limit` seconds."""
        if self._closing or (self._lease is None and not hasattr(self, "_worker")):
            return
        self._closing = True
        for timer in self._timers.values():
            if timer.active():
                timer.cancel()
        self._listening.stop()
        self._asking.drop("this instance stops")
        lease, calls = self._queue.stop()
        kept = False
        closed: Deferred[None]
        if lease is not None:
            written = self._worker.run(self._writer.turn, lease, calls, last=True)
            written.addBoth(self._last_turn)
            closed = self._worker.run(self._writer.close)
        else:
            self._writer.abort()
            closed = self._worker.run(self._writer.close)
        self._worker.stop()
        try:
            await closed.addTimeout(limit, self._reactor)  # type: ignore[arg-type]
            kept = self._kept
        except TimeoutError:
            self._log.error(
                "the store could not be closed within {limit:g} s; the database does not answer", limit=limit
            )
            self._writer.abort()
        except (psycopg.Error, StoreError) as error:
            words = words_of(error, self._url)
            self._log.error("this instance could not leave: {words}; others take over when its lease ends", words=words)
        except Exception:
            self._log.failure("closing the store")
        self._queue.finish(kept)

    _kept = False

    def _last_turn(self, turn: Any) -> None:
        if isinstance(turn, Failure):
            words = turn.getErrorMessage()
            self._log.error("the last changes could not be written to the store: {words}", words=words)
        else:
            self._kept = True

    # Leases

    def _begin(self, lease: Lease) -> None:
        self._lease, self._away = lease, None
        if lease.name != self._configured and lease.name != self._name:
            self._log.warn(
                "another instance that is alive is called {name}; this one is {other}: set [store] instance",
                name=self._configured,
                other=lease.name,
            )
        self._name = lease.name
        self._queue.begin(lease)
        if self._sharer is not None:
            self._asking.begin(lease, self._sharer)
        self._listening.set(lease.id, {})

    def _watch(self) -> None:
        """Look whether the lease lasts."""
        lease = self._lease
        if lease is None or self._closing:
            return
        if not lease.alive():
            self._lose(lease, self._writer.trouble or "the database does not answer")
            return
        self._set_timer("watch", max(0.0, lease.deadline - boottime()) + 0.005, self._watch)

    def _lose(self, lease: Lease, words: str) -> None:
        """See Note [Losing the lease]."""
        if lease is not self._lease or self._closing:
            return
        lease.end(words)
        self._lease, self._away = None, words
        self._writer.abort()
        self._listening.set(None, {})
        self._own = set()
        self._busy.clear()
        self._log.error("[store] url {url}: {words}; joining again", url=shown(self._url), words=words)
        self._tell("lost", f"the database {shown(self._url)}: {words}")
        self._queue.drop(words)
        self._asking.drop(words)
        Deferred.fromCoroutine(self._join()).addErrback(self._unexpected, "joining")

    async def _join(self) -> None:
        if self._closing or self._lease is not None:
            return
        try:
            kept = await self._worker.run(self._writer.join, self._listing)
        except (psycopg.Error, StoreError, ValueError) as error:
            if not self._closing:
                self._away = words_of(error, self._url)
                self._set_timer("join", REJOIN, lambda: Deferred.fromCoroutine(self._join()))
            return
        if self._closing:
            return
        self._begin(self._writer.lease)
        self._log.info("joined again as {name}", name=self._name)
        self._tell("joined")
        self._silences = tuple(kept.silences)
        self._tell("silenced", self._silences)
        self._set_timer("beat", 0, self._beat)
        self._watch()

    # Beats

    def _beat(self) -> None:
        lease = self._lease
        if lease is None or self._closing:
            return
        if "beat" in self._busy:
            self._beat_again = True
            return
        self._busy.add("beat")
        self._beat_again = False
        self._set_timer("beat", BEAT, self._beat)
        try:
            health = self._health()
        except Exception:
            self._log.failure("unexpected error while asking for the health")
            health = Health()
        self._worker.run(self._writer.beat, lease, health, self._listing).addBoth(self._beaten, lease)

    def _beaten(self, beat: Beat | Failure, lease: Lease) -> None:
        if lease is not self._lease or self._closing:
            return
        self._busy.discard("beat")
        if isinstance(beat, Failure):
            self._failed(beat, lease, "renewing the lease")
            return
        if beat.members != self._members:
            self._members = beat.members
            self._tell("members", beat.members)
        self._asking.keep([each.id for each in beat.members])
        self._asking.poke()
        if any(beat.leave) and "leave" not in self._busy:
            self._busy.add("leave")
            Deferred.fromCoroutine(self._leave(lease, *beat.leave)).addErrback(self._unexpected, "leaving tasks")
        if beat.wanting and "gain" not in self._busy:
            self._busy.add("gain")
            self._gain(lease)
        if self._beat_again:
            self._soon()
        elif beat.next_end < BEAT:
            # Another lease may end before the next beat.
            self._set_timer("beat", max(0.0, beat.next_end) + 0.02, self._beat)

    def _soon(self) -> None:
        """Beat soon: members or what is free have changed."""
        if self._sharer is not None and self._lease is not None and not self._closing:
            timer = self._timers.get("soon")
            if timer is None or not timer.active():
                self._set_timer("soon", SOON, self._beat)

    def _gain(self, lease: Lease) -> None:
        self._worker.run(self._writer.gain, lease).addBoth(self._gained, lease)

    def _gained(self, part: Gained | Failure | None, lease: Lease) -> None:
        if lease is not self._lease or self._closing:
            return
        if isinstance(part, Failure):
            self._busy.discard("gain")
            self._failed(part, lease, "taking tasks over")
            return
        if part is None:
            self._busy.discard("gain")
            return
        self._register(part)
        self._tell("gained", part.kept)
        if lease is not self._lease:
            return
        self._gain(lease)

    def _register(self, part: Gained) -> None:
        """Take note of what is owned now."""
        self._own.update(part.kept.states)
        if part.kept.channels and self._lease is not None:
            loaded = [(each.alert.id, each.channel) for each in part.kept.deliveries]
            feeds = {name: ChannelFeed(name, part.snapshot, loaded) for name in part.kept.channels}
            self._listening.set(self._lease.id, {**self._listening.channels, **feeds})

    async def _leave(self, lease: Lease, tasks: frozenset[str], channels: frozenset[str]) -> None:
        ordered = sorted(tasks)
        parts: list[tuple[Sequence[str], Sequence[str]]] = [
            (ordered[start : start + LEFT], ()) for start in range(0, len(ordered), LEFT)
        ]
        if channels:
            parts.append(((), sorted(channels)))
        try:
            for some, names in parts:
                if not await self._leave_part(lease, some, names):
                    return
        except LeaseLost as error:
            self._lose(lease, str(error))
        finally:
            if lease is self._lease:
                self._busy.discard("leave")

    async def _leave_part(self, lease: Lease, tasks: Sequence[str], channels: Sequence[str]) -> bool:
        """Leave some tasks or channels; returns whether the lease lasts."""
        if channels:
            left = self._listening.channels
            self._listening.set(lease.id, {name: feed for name, feed in left.items() if name not in channels})
        try:
            if self._sharer is not None:
                await self._sharer.leave(tasks, channels)
        except Exception:
            # Its work may go on, so it must stay the owner; the lease cannot be shared out in part.
            self._log.failure("unexpected error while leaving tasks")
            self._lose(lease, "unexpected error while leaving tasks; see the log")
        if lease is not self._lease or self._closing:
            return False
        await self._queue.flush()
        await self._worker.run(self._writer.release, lease, tasks, channels)
        if lease is not self._lease:
            return False
        self._own.difference_update(tasks)
        return True

    # What others do

    def _found(self, what: str, *values: Any) -> None:
        if self._closing or self._lease is None:
            return
        try:
            getattr(self, f"_found_{what}")(*values)
        except Exception:
            self._log.failure("unexpected error while showing what other instances wrote")

    def _found_heard(self, payloads: set[str]) -> None:
        lease = self._lease
        if lease is not None and payloads & {"requests", f"requests {lease.id}", "answers", f"answers {lease.id}"}:
            self._asking.poke()
        if "members" in payloads:
            self._soon()

    def _found_tasks(self, me: str, part: Sequence[tuple[Watched, str | None]]) -> None:
        if self._lease is None or self._lease.id != me:
            return
        shown = [(watched, owner) for watched, owner in part if watched.key not in self._own]
        self._owners.update({watched.key: owner for watched, owner in shown})
        if shown and self._sharer is not None:
            self._sharer.watched([watched for watched, _ in shown])

    def _found_deliveries(self, found: Sequence[tuple[ChannelFeed, Delivery]]) -> None:
        channels = self._listening.channels
        new = [delivery for feed, delivery in found if channels.get(feed.name) is feed]
        if new and self._sharer is not None:
            self._sharer.delivered(new)

    def _found_silences(self, version: int, present: tuple[Silence, ...]) -> None:
        if version != self._listening.version or self._changing:
            # They are read again after the change.
            return
        if present != self._silences and self._sharer is not None:
            self._silences = present
            self._sharer.silenced(present)

    # Helpers

    def _tell(self, what: str, *values: Any) -> None:
        """Call the runtime."""
        if self._sharer is None:
            return
        try:
            getattr(self._sharer, what)(*values)
        except Exception:
            self._log.failure("unexpected error while reporting a change: {what}", what=what)

    def _failed(self, failure: Failure, lease: Lease, doing: str) -> None:
        if failure.check(LeaseLost) is not None:
            self._lose(lease, lease.words)
        else:
            self._unexpected(failure, doing)
            self._lose(lease, f"unexpected error while {doing}; see the log")

    def _unexpected(self, failure: Failure, doing: str) -> None:
        self._log.failure("unexpected error while {doing}", failure, doing=doing)

    def _set_timer(self, name: str, delay: Seconds, call: Callable[[], object]) -> None:
        timer = self._timers.get(name)
        if timer is not None and timer.active():
            timer.cancel()
        self._timers[name] = self._reactor.callLater(delay, call)


def _joined(kept: Kept, part: Kept) -> Kept:
    """What is kept, with a part of it."""
    return replace(
        kept,
        states={**kept.states, **part.states},
        deliveries=[*kept.deliveries, *part.deliveries],
        dead=kept.dead + part.dead,
        told={**kept.told, **part.told},
        dead_channels=kept.dead_channels | part.dead_channels,
        refusals={**kept.refusals, **part.refusals},
        channels=(kept.channels or frozenset()) | (part.channels or frozenset()),
    )
