"""
The part of :class:`~pypinger.store.postgres.store.PostgresStore` that shares: the lease, and all that depends on it. In
the reactor's thread.

Note [Losing the lease]
~~~~~~~~~~~~~~~~~~~~~~~
The writer's thread may wait for the server when the lease ends. So the reactor watches the deadline itself. At a loss
the lease is ended for good, waiting callers get :class:`~pypinger.ports.sharing.LeaseLost`, the writer's connection is
broken off, and the runtime drops everything. Then this instance joins anew, with a new id, as soon as it can.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import psycopg
from twisted.internet.defer import Deferred, DeferredList, TimeoutError
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from pypinger.domain.databaseurl import shown
from pypinger.domain.model import Instant, Seconds
from pypinger.domain.silence import Silence
from pypinger.ports.sharing import (
    InstanceHealth,
    InstanceListing,
    InstanceRequest,
    InstanceRequestFailed,
    LeaseLost,
    Sharer,
)
from pypinger.ports.storing import Kept, StoreError
from pypinger.store.postgres.beats import Beats
from pypinger.store.postgres.connection import words_of
from pypinger.store.postgres.handover import Handover
from pypinger.store.postgres.holding import with_part
from pypinger.store.postgres.lease import CommonClock, Lease, boottime
from pypinger.store.postgres.listening import Listening
from pypinger.store.postgres.others import Others, Reporting
from pypinger.store.postgres.queue import SharedQueue
from pypinger.store.postgres.requests import Asking
from pypinger.store.postgres.writer import Beat, SharedTurn, SharedWriter
from pypinger.store.threads import LateWorker, Reactor, Worker

#: Seconds between two attempts to join.
REJOIN: Seconds = 1.0


class Membership:
    """
    Joins, renews the lease, and joins anew after a loss.

    :param name: of this instance, as it is configured.
    :param worker: makes threads.
    """

    _log = Logger()

    def __init__(
        self, reactor: Reactor, url: str, name: str, keep_days: float, worker: Callable[[Reactor, str], Worker]
    ) -> None:
        self._reactor = reactor
        self._url = url
        self._configured = self._name = name
        self._clock = CommonClock()
        self._writer = SharedWriter(url, name, keep_days, self._clock)
        self._worker = LateWorker(lambda: worker(reactor, "pypinger-writer"))
        self._reporting = Reporting()
        listening = Listening(reactor, url, name, self._clock, self._writer.transactions, self._writer.keys)
        self._others = Others(reactor, listening, self._reporting, self._heard)
        self._queue = SharedQueue(reactor, self._worker, self._writer, self._lose)
        self._asking = Asking(reactor, self._worker, self._writer, self._lose)
        self._listing = InstanceListing(frozenset(), frozenset())
        self._beats = Beats(
            *(reactor, self._worker, self._writer),
            listing=lambda: self._listing,
            busy=lambda: self._handover.busy,
            beaten=self._beaten,
            failed=self._failed,
        )
        parts = self._worker, self._writer, self._queue, self._others, self._reporting
        self._handover = Handover(*parts, self._failed, self._beats.settled)
        self._lease: Lease | None = None
        # Why there is no lease.
        self._away: str | None = None
        self._timers: dict[str, IDelayedCall] = {}
        # Whether this instance is to own more than it does.
        self._wanting = False
        self._closing = False

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

    def list(self, listing: InstanceListing) -> None:
        """See :meth:`pypinger.ports.sharing.SharedStore.list`."""
        before, self._listing = self._listing, listing
        if not listing.tasks <= before.tasks:
            # What others have written of the new ones was not shown.
            self._others.read_again()
        self._beats.soon()

    def open(self) -> Kept:
        """See :meth:`pypinger.ports.storing.Store.open`."""
        kept, parts = self._writer.open(self._listing)
        self._worker.start()
        self._begin(self._writer.lease, kept)
        for part in parts:
            self._others.gained(part.kept, part.snapshot)
            kept = with_part(kept, part.kept)
        return kept

    def hold(self) -> None:
        """See :meth:`pypinger.ports.sharing.SharedStore.hold`."""
        self._beats.hold()

    def start(self, sharer: Sharer, health: Callable[[], InstanceHealth]) -> None:
        """See :meth:`pypinger.ports.sharing.SharedStore.start`."""
        self._reporting.start(sharer)
        self._others.start()
        self._beats.start(health)
        self._watch()

    def owner(self, task: str) -> str | None:
        """See :meth:`pypinger.ports.sharing.SharedStore.owner`."""
        if self._others.owns(task):
            return self._name
        found = self._others.owner(task)
        return None if found is None else found.name

    async def ask(self, task: str, request: InstanceRequest) -> Any:
        """See :meth:`pypinger.ports.sharing.SharedStore.ask`."""
        if self._lease is None:
            raise InstanceRequestFailed("the database cannot be reached; try again")
        found = self._others.owner(task)
        if found is None:
            raise InstanceRequestFailed("no instance watches that task now; try again")
        return await self._asking.ask(found.id, found.name, request)

    async def ask_all(self, request: InstanceRequest) -> Mapping[str, Any]:
        """See :meth:`pypinger.ports.sharing.SharedStore.ask_all`."""
        others = self._others.present()
        asked = [Deferred.fromCoroutine(self._asking.ask(each.id, each.name, request)) for each in others]
        results = await DeferredList(asked, consumeErrors=True)
        return {each.name: value for each, (answered, value) in zip(others, results, strict=True) if answered}

    def put(self, call: Callable[..., None], *args: Any) -> None:
        """Have a method of the recorder called some time within the next second; dropped if the lease is lost."""
        self._queue.put(call, *args)

    async def write(self, call: Callable[..., None], *args: Any) -> bool:
        """
        Have a method of the recorder called, and wait until the result is in the database.

        :raises LeaseLost: nothing was written.
        """
        return await self._queue.write(call, *args)

    async def silences(self, present: Sequence[Silence]) -> None:
        """
        Record the differences to the silences that there were.

        :raises LeaseLost: nothing was written.
        """
        await self._others.change_silences(present, self._queue.write)

    def trouble(self) -> str | None:
        """See :meth:`pypinger.ports.storing.Store.trouble`."""
        if self._away is not None:
            return f"the database cannot be used: {self._away}"
        words = self._writer.trouble or self._others.trouble
        return f"the database cannot be reached: {words}" if words else None

    async def close(self, limit: Seconds) -> None:
        """Write the rest, leave, so that others take over at once, and close; within `limit` seconds."""
        if self._closing or not self._worker.started:
            return
        self._closing = True
        self._beats.stop()
        for timer in self._timers.values():
            if timer.active():
                timer.cancel()
        self._handover.end()
        self._others.stop()
        self._asking.drop("this instance stops")
        lease, calls = self._queue.stop()
        written: list[SharedTurn | Failure] = []
        if lease is None:
            # It waits for the server in vain.
            self._writer.abort()
        else:
            self._worker.run(self._writer.turn, lease, calls, last=True).addBoth(written.append)
        closed = self._worker.run(self._writer.close)
        self._worker.stop()
        try:
            await closed.addTimeout(limit, self._reactor)  # type: ignore[arg-type]
        except TimeoutError:
            words = f"the database does not answer within {limit:g} s"
            self._log.error("the store could not be closed: {words}", words=words)
            if lease is not None:
                lease.end(words)
            self._writer.abort()
        except (psycopg.Error, StoreError) as error:
            words = words_of(error, self._url)
            self._log.error("this instance could not leave: {words}; others take over when its lease ends", words=words)
        except Exception:
            self._log.failure("closing the store")
        failed = [each for each in written if isinstance(each, Failure)]
        for failure in failed:
            words = failure.getErrorMessage()
            self._log.error("the last changes could not be written to the store: {words}", words=words)
        self._queue.finish(bool(written) and not failed)

    def _begin(self, lease: Lease, kept: Kept) -> None:
        """Work under a new lease."""
        self._lease, self._away, self._wanting = lease, None, False
        if lease.name not in (self._configured, self._name):
            words = "another instance that is alive is called {name}; this one is {other}: set [store] instance"
            self._log.warn(words, name=self._configured, other=lease.name)
        self._name = lease.name
        self._queue.begin(lease)
        self._asking.begin(lease, self._reporting)
        self._others.begin(lease, self._writer.states, kept.silences)
        self._handover.begin(lease)
        self._beats.begin(lease)

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
        self._handover.end()
        self._beats.end()
        self._others.end()
        self._log.error("[store] url {url}: {words}; joining again", url=shown(self._url), words=words)
        self._reporting.tell("lost", f"the database {shown(self._url)}: {words}")
        self._queue.drop(words)
        self._asking.drop(words)
        self._join()

    def _join(self) -> None:
        if not self._closing and self._lease is None:
            self._worker.run(self._writer.join, self._listing).addBoth(self._joined_again)

    def _joined_again(self, kept: Kept | Failure) -> None:
        if self._closing:
            return
        if isinstance(kept, Failure):
            if kept.check(psycopg.Error, StoreError, ValueError) is None:
                self._log.failure("unexpected error while joining", kept)
            assert isinstance(kept.value, Exception)
            self._away = words_of(kept.value, self._url)
            self._set_timer("join", REJOIN, self._join)
            return
        self._begin(self._writer.lease, kept)
        self._log.info("joined again as {name}", name=self._name)
        self._reporting.tell("joined")
        self._reporting.tell("silenced", kept.silences)
        self._beats.now()
        self._watch()

    def _beaten(self, beat: Beat) -> None:
        """Take account of the members."""
        self._wanting = beat.wanting
        tasks, _ = beat.leave
        self._others.meet(beat.members, moving=beat.wanting or bool(tasks))
        self._asking.keep([each.id for each in beat.members])
        self._asking.poke()
        if any(beat.leave):
            self._handover.leave(*beat.leave)
        if beat.wanting:
            self._handover.gain()

    def _heard(self, payloads: set[str]) -> None:
        lease = self._lease
        if lease is not None and payloads & {"requests", f"requests {lease.id}", "answers", f"answers {lease.id}"}:
            self._asking.poke()
        if "free" in payloads and self._wanting:
            self._handover.gain()
        if "members" in payloads:
            self._beats.soon()
        for payload in payloads:
            what, _, name = payload.partition(" ")
            # Else it would delay what changes hands now.
            if what == "coming" and not self._handover.busy:
                foreseen = self._worker.run(self._writer.foresee, name)
                foreseen.addErrback(lambda failure: self._log.failure("foreseeing who joins", failure))

    def _failed(self, failure: Failure, lease: Lease, doing: str) -> None:
        if failure.check(LeaseLost) is None:
            self._log.failure("unexpected error while {doing}", failure, doing=doing)
            lease.end(f"unexpected error while {doing}; see the log")
        self._lose(lease, lease.words)

    def _set_timer(self, name: str, delay: Seconds, call: Callable[[], object]) -> None:
        timer = self._timers.get(name)
        if timer is not None and timer.active():
            timer.cancel()
        self._timers[name] = self._reactor.callLater(delay, call)
