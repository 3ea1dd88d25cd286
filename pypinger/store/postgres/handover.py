"""
Gaining what is free, and leaving what another instance is to own. In the reactor's thread.

Note [Order]
~~~~~~~~~~~~
Alerts of one task reach a channel in the order of their commits. The owner of a channel that gains a task may send an
alert of it as soon as it has committed it, but hears of those that the previous owner committed over another
connection. So the runtime is given gained tasks only after a look at what has been committed, but no later than
:data:`~pypinger.store.postgres.others.CATCHING_UP`. Several parts may wait for that at a time; channels do not wait.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from pypinger.ports.sharing import LeaseLost
from pypinger.ports.storing import Kept
from pypinger.store.postgres.holding import Gained
from pypinger.store.postgres.lease import Lease
from pypinger.store.postgres.others import Others, Reporting
from pypinger.store.postgres.queue import SharedQueue
from pypinger.store.postgres.recording import SharedRecorder
from pypinger.store.postgres.writer import SharedWriter
from pypinger.store.threads import Worker

#: How many tasks are left at once; at first fewer, so that another instance can begin to gain.
FIRST = 1000
LEFT = 5000


class Handover:
    """
    Gains and leaves, each in parts.

    :param worker: the thread of `writer`.
    :param failed: is called when something fails; it ends the lease.
    :param settled: is called when no more tasks change hands; see :meth:`~pypinger.store.postgres.beats.Beats.settled`.
    """

    _log = Logger()

    def __init__(
        self,
        worker: Worker,
        writer: SharedWriter,
        queue: SharedQueue,
        others: Others,
        reporting: Reporting,
        failed: Callable[[Failure, Lease, str], None],
        settled: Callable[[bool], None],
    ) -> None:
        self._worker = worker
        self._writer = writer
        self._queue = queue
        self._others = others
        self._reporting = reporting
        self._failed = failed
        self._say_settled = settled
        self._lease: Lease | None = None
        self._gaining = self._leaving = False
        # Whether tasks are being left, rather than channels, which may take as long as a message.
        self._leaving_tasks = False
        # Whether to look for what is free once more.
        self._again = False
        # Whether something has changed hands since the latest report, and whether this instance is to own still more.
        self._moved = self._wanting = False
        # How many gained parts wait until they are given to the runtime.
        self._waiting = 0

    def begin(self, lease: Lease) -> None:
        """Work under a new lease."""
        self._lease = lease
        self._gaining = self._leaving = self._leaving_tasks = self._again = self._moved = self._wanting = False
        self._waiting = 0

    def end(self) -> None:
        """The lease is over."""
        self._lease = None

    @property
    def busy(self) -> bool:
        """Whether tasks change hands, or channels are gained."""
        return self._gaining or self._leaving_tasks or self._waiting > 0

    def gain(self) -> None:
        """Gain what is free; if that is being done, look once more."""
        if self._gaining:
            self._again = True
        elif self._lease is not None:
            self._gaining, self._again = True, False
            self._gain(self._lease)

    def leave(self, tasks: frozenset[str], channels: frozenset[str]) -> None:
        """Leave tasks and channels, unless others are being left or given: then it is done at a later beat."""
        if not self._leaving and not self._waiting and self._lease is not None:
            self._leaving = True
            lease = self._lease
            left = Deferred.fromCoroutine(self._leave(lease, sorted(tasks), sorted(channels)))
            left.addErrback(self._failed, lease, "leaving tasks")

    def _gain(self, lease: Lease) -> None:
        self._worker.run(self._writer.gain, lease).addBoth(self._gained, lease)

    def _gained(self, part: Gained | Failure | None, lease: Lease) -> None:
        if lease is not self._lease:
            return
        if isinstance(part, Failure):
            self._failed(part, lease, "taking tasks over")
            return
        if part is not None:
            self._moved, self._wanting = True, part.wanting
            self._others.gained(part.kept, part.snapshot)
            self._waiting += 1
            ready = self._others.catch_up() if part.kept.states else succeed(None)
            ready.addCallback(lambda _: self._give(part.kept, lease))
            if lease is not self._lease:
                return
        if part is not None and part.more:
            # While this part waits, the database gives the next one.
            self._gain(lease)
        elif self._again and (part is None or part.wanting):
            self._again = False
            self._gain(lease)
        else:
            self._gaining = False
            self._end()

    def _give(self, kept: Kept, lease: Lease) -> None:
        """Give the runtime what was gained: see Note [Order]."""
        if lease is not self._lease:
            return
        self._waiting -= 1
        if kept.states or kept.channels:
            self._reporting.tell("gained", kept)
        if lease is self._lease:
            self._end()

    def _end(self) -> None:
        """Report the end of a hand-over, unless part of it is still under way."""
        if not self.busy:
            complete = self._moved and not self._wanting
            self._moved = self._wanting = False
            self._say_settled(complete)

    async def _leave(self, lease: Lease, tasks: Sequence[str], channels: Sequence[str]) -> None:
        freed: Deferred[None] = succeed(None)
        self._leaving_tasks = bool(tasks)
        for part in _parts(tasks):
            await self._quiet(lease, part, ())
            # The database frees the part before while the runtime leaves this one.
            await freed
            freed = Deferred.fromCoroutine(self._free(lease, part, ()))
            freed.addErrback(self._failed, lease, "leaving tasks")
        await freed
        if tasks and lease is self._lease:
            self._leaving_tasks, self._moved = False, True
            self._end()
        if channels:
            # A message under way may take long, which must not delay the tasks.
            await self._quiet(lease, (), channels)
            await self._free(lease, (), channels)
        if lease is self._lease:
            self._leaving = False

    async def _quiet(self, lease: Lease, tasks: Sequence[str], channels: Sequence[str]) -> None:
        """
        Wait until the runtime works on them no more.

        :raises LeaseLost: the lease is over.
        """
        self._check(lease)
        self._others.leaving(channels)
        if self._reporting.sharer is not None:
            # Should it fail, work may go on: then the whole lease is given up.
            await self._reporting.sharer.leave(tasks, channels)
        self._check(lease)

    def _check(self, lease: Lease) -> None:
        if lease is not self._lease:
            raise LeaseLost(lease.words)

    async def _free(self, lease: Lease, tasks: Sequence[str], channels: Sequence[str]) -> None:
        """Write what is pending, and let others own them."""
        self._check(lease)
        # What is read of them from now on is what another instance has written.
        self._others.left(tasks)
        await self._queue.write(SharedRecorder.release, tasks, channels)


def _parts(tasks: Sequence[str]) -> Iterator[Sequence[str]]:
    """Tasks as they are left: see :data:`LEFT`."""
    start, size = 0, FIRST
    while start < len(tasks):
        yield tasks[start : start + size]
        start, size = start + size, LEFT
