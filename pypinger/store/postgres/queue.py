"""
The reactor's side of writing to a database that several instances share: it hands calls to the writer's thread, and
resumes those who wait.

As with SQLite one turn of the writer takes all calls at once, and only some callers continue in each turn of the
reactor: see Note [Batches] and Note [Resuming after a commit] in :mod:`pypinger.store.queue`. Unlike there nothing goes
on from memory: callers wait until their call is in the database, or the lease is over.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from pypinger.ports.sharing import LeaseLost
from pypinger.store.postgres.lease import Lease
from pypinger.store.postgres.writer import SharedTurn, SharedWriter
from pypinger.store.queue import DELETE_TICK, RESUMED, TICK
from pypinger.store.threads import Reactor, Worker
from pypinger.store.writer import Call

#: With so many calls in the queue notes are dropped to save memory.
MOST = 200_000


class SharedQueue:
    """
    Hands calls to a writer.

    :param worker: the thread of `writer`.
    :param lost: is called when a turn finds that the lease is over.
    """

    _log = Logger()

    def __init__(
        self, reactor: Reactor, worker: Worker, writer: SharedWriter, lost: Callable[[Lease, str], None]
    ) -> None:
        self._reactor = reactor
        self._worker = worker
        self._writer = writer
        self._lost = lost
        self._lease: Lease | None = None
        self._words = "it has not joined yet"
        self._calls: list[Call] = []
        # The number of a call -> who waits for it.
        self._waiters: dict[int, Deferred[bool]] = {}
        # Those of the turn that runs.
        self._running: dict[int, Deferred[bool]] = {}
        self._ready: deque[tuple[Deferred[bool], bool | LeaseLost]] = deque()
        self._busy = False
        self._timer: IDelayedCall | None = None
        self._resumption: IDelayedCall | None = None
        self._tick_delay = TICK

    def begin(self, lease: Lease) -> None:
        """Take calls, under a new lease."""
        self._lease = lease
        self._busy = False
        if self._timer is None:
            self._timer = self._reactor.callLater(self._tick_delay, self._tick)

    def drop(self, words: str) -> None:
        """Drop all calls: the lease is over. Who waits gets :class:`LeaseLost`."""
        self._lease = None
        self._words = words
        self._calls = []
        waiters = [*self._running.values(), *self._waiters.values()]
        self._running, self._waiters = {}, {}
        self._release([(waiter, LeaseLost(words)) for waiter in waiters])

    def put(self, call: Callable[..., None], *args: Any) -> None:
        """Have a method of the recorder called some time within the next second."""
        if self._lease is not None and len(self._calls) < MOST:
            self._calls.append((call, args))

    async def write(self, call: Callable[..., None], *args: Any) -> bool:
        """
        Have a method of the recorder called, and wait until the result is in the database.

        :returns: whether it is; False after an unexpected error, which is logged.
        :raises LeaseLost: nothing of it was written.
        """
        if self._lease is None:
            raise LeaseLost(self._words)
        waiter = self._waiters[len(self._calls)] = Deferred()
        self._calls.append((call, args))
        self._turn(urgent=True)
        return await waiter

    def stop(self) -> tuple[Lease | None, list[Call]]:
        """Take no more calls; returns those that are left."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        calls, lease = self._calls, self._lease
        self._calls, self._lease, self._words = [], None, "it stops"
        self._running.update({-1 - number: waiter for number, waiter in self._waiters.items()})
        self._waiters = {}
        return lease, calls

    def finish(self, kept: bool) -> None:
        """Resume all who wait, at once."""
        result: bool | LeaseLost = kept or LeaseLost(self._words)
        self._ready.extend((waiter, result) for waiter in self._running.values())
        self._running = {}
        if self._resumption is not None and self._resumption.active():
            self._resumption.cancel()
        while self._ready:
            _resume(*self._ready.popleft())

    def _tick(self) -> None:
        self._timer = self._reactor.callLater(self._tick_delay, self._tick)
        self._turn(urgent=False)

    def _turn(self, *, urgent: bool) -> None:
        """Start a turn of the writer, unless one is running; then the next one follows it."""
        if self._busy or self._lease is None:
            return
        self._busy = True
        calls, self._calls = self._calls, []
        self._running, self._waiters = self._waiters, {}
        turn = self._worker.run(self._writer.turn, self._lease, calls, urgent=urgent)
        turn.addBoth(self._turned, self._lease)

    def _turned(self, turn: SharedTurn | Failure, lease: Lease) -> None:
        if lease is not self._lease:
            return
        self._busy = False
        if isinstance(turn, Failure):
            if turn.check(LeaseLost) is None:
                self._log.failure("unexpected error while writing the store", turn)
                lease.end("unexpected error while writing the store; see the log")
            self._lost(lease, lease.words)
            return
        for doing, failure in turn.failures:
            self._log.failure("unexpected error while {doing}", failure, doing=doing)
        self._tick_delay = DELETE_TICK if turn.more else TICK
        running, self._running = self._running, {}
        refused = LeaseLost("another instance owns the task")
        self._release(
            [(waiter, refused if number in turn.refused else not turn.failures) for number, waiter in running.items()]
        )
        if self._waiters:
            self._turn(urgent=True)

    def _release(self, results: Sequence[tuple[Deferred[bool], bool | LeaseLost]]) -> None:
        idle = not self._ready
        self._ready.extend(results)
        if idle:
            self._resume()

    def _resume(self) -> None:
        for _ in range(min(RESUMED, len(self._ready))):
            _resume(*self._ready[0])
            self._ready.popleft()
        if self._ready:
            self._resumption = self._reactor.callLater(0, self._resume)


def _resume(waiter: Deferred[bool], result: bool | LeaseLost) -> None:
    if waiter.called:
        # It was cancelled.
        return
    if isinstance(result, LeaseLost):
        waiter.errback(result)
    else:
        waiter.callback(result)
