"""
The reactor's side of writing: it collects calls, hands them to the writer's thread, and resumes those who wait.

Note [Batches]
~~~~~~~~~~~~~~
The reactor's thread only appends to a list. One turn of the writer takes all of it: at once if a caller waits, else
every :data:`TICK`. A thousand tasks that fail at once become a handful of transactions.

Note [Resuming after a commit]
~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
When one transaction ends, a thousand callers may be able to continue. What they do then (logging, queueing alerts,
updating the board) takes time, so only :data:`RESUMED` of them continue in each turn of the reactor. If the disk does
not answer within :data:`ANSWER_LIMIT`, they continue as if the store could not be written.

Note [Recovery]
~~~~~~~~~~~~~~~
When the file is lost (deleted, moved, replaced), the reader closes its connection, the writer opens what is at the path
now, and the reader opens that. Both old connections must be closed first, because SQLite shares locks and the log's
index between the connections of a process. Callers wait meanwhile. :attr:`WriteQueue.notice` stands for
:data:`NOTICE` afterwards, so that ``/status`` shows what happened.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from pypinger.domain.model import Seconds
from pypinger.store.history import ReaderThread
from pypinger.store.threads import Reactor, Worker
from pypinger.store.writer import RETRY, Call, Turn, Writer

#: Seconds between two turns of the writer that are not urgent.
TICK: Seconds = 0.5

#: Seconds between two turns while old history is deleted.
DELETE_TICK: Seconds = 0.02

#: Seconds that a caller waits for the writer.
ANSWER_LIMIT: Seconds = 10.0

#: The maximum number of turns after trouble in which the rest is written before the trouble is reported as over.
CATCH_UP = 20

#: Seconds for which a notice stands.
NOTICE: Seconds = 600.0

#: Seconds that the reader may take to close its connection to a lost file.
READER_LIMIT: Seconds = 1.0

#: How many callers continue in one turn of the reactor.
RESUMED = 25


class WriteQueue:
    """
    Hands calls to a writer.

    :param path: of the database.
    :param worker: the thread of `writer`.
    :param reader: reads the same database.
    :ivar trouble: why the store cannot be written; None if it can.
    """

    _log = Logger()

    def __init__(self, reactor: Reactor, path: str, worker: Worker, writer: Writer, reader: ReaderThread) -> None:
        self._reactor = reactor
        self._path = path
        self._worker = worker
        self._writer = writer
        self._reader = reader
        self.trouble: str | None = None
        self._notice: str | None = None
        self._notice_ends: Seconds = 0.0
        self._closing = False
        self._calls: list[Call] = []
        self._waiters: list[Deferred[bool]] = []
        # Since when each caller waits, whether its call is still here or in the writer's hands.
        self._waiting: dict[Deferred[bool], Seconds] = {}
        # Callers that continue, each with whether its call is on the disk.
        self._ready: deque[tuple[Deferred[bool], bool]] = deque()
        self._busy = False
        # How many turns have been made since the store can be written again, while calls were left in the queue.
        self._catching_up = 0
        self._tick_delay = TICK
        self._timer: IDelayedCall = reactor.callLater(TICK, self._tick)
        self._resumption: IDelayedCall | None = None

    def __len__(self) -> int:
        return len(self._calls)

    @property
    def notice(self) -> str | None:
        """What happened to the file a while ago: see Note [Recovery]."""
        return self._notice if self._reactor.seconds() < self._notice_ends else None

    def put(self, call: Callable[..., None], *args: Any) -> None:
        """Have a method of the recorder called some time within the next second."""
        self._calls.append((call, args))

    async def write(self, call: Callable[..., None], *args: Any) -> bool:
        """
        Have a method of the recorder called, and wait until the result is written, unless nothing can be.

        :returns: whether it is on the disk.
        """
        self._calls.append((call, args))
        if self.trouble is not None and not self._catching_up:
            return False
        waiter: Deferred[bool] = Deferred()
        self._waiting[waiter] = self._reactor.seconds()
        self._waiters.append(waiter)
        self._turn(urgent=True)
        return await waiter

    async def close(self, limit: Seconds) -> None:
        """Write the rest, trying once more if writing fails, and close the database, within `limit` seconds."""
        self._closing = True
        self._timer.cancel()
        # First the reader: the last connection to close writes the log into the file, and must be able to write.
        await self._reader.close(limit / 4)
        self._reader.stop()
        calls, waiters = self._take()
        written = self._worker.run(self._writer.turn, calls, self._reactor.seconds(), last=True)
        written.addBoth(self._turned, waiters)
        closed = self._worker.run(self._writer.close)
        self._worker.stop()
        try:
            await closed.addTimeout(limit * 3 / 4, self._reactor)  # type: ignore[arg-type]
        except TimeoutError:
            self._log.error("the store could not be closed within {limit:g} s; the disk does not answer", limit=limit)
        except Exception:
            self._log.failure("closing the store")
        if self.trouble is not None:
            self._log.error("the last changes could not be written to the store: {words}", words=self.trouble)
        self._release(list(self._waiting), kept=False)
        if self._resumption is not None and self._resumption.active():
            self._resumption.cancel()
        while self._ready:
            waiter, kept = self._ready.popleft()
            waiter.callback(kept)

    def _tick(self) -> None:
        self._timer = self._reactor.callLater(self._tick_delay, self._tick)
        oldest = next(iter(self._waiting.values()), None)
        if oldest is not None and self._reactor.seconds() >= oldest + ANSWER_LIMIT:
            self._report(f"the disk has not answered for {ANSWER_LIMIT:g} s", list(self._waiting))
        self._turn(urgent=False)

    def _take(self) -> tuple[list[Call], list[Deferred[bool]]]:
        taken = self._calls, self._waiters
        self._calls, self._waiters = [], []
        return taken

    def _turn(self, *, urgent: bool) -> None:
        """Start a turn of the writer, unless one is running; then the next one follows it."""
        if self._busy:
            return
        self._busy = True
        calls, waiters = self._take()
        turn = self._worker.run(self._writer.turn, calls, self._reactor.seconds(), urgent=urgent)
        turn.addBoth(self._turned, waiters)

    def _turned(self, turn: Turn | Failure, waiters: Sequence[Deferred[bool]]) -> None:
        if isinstance(turn, Failure):
            turn = Turn("unexpected error; see the log", [("writing the store", turn)])
        for doing, failure in turn.failures:
            self._log.failure("unexpected error while {doing}", failure, doing=doing)
        if turn.lost is not None and not self._closing:
            Deferred.fromCoroutine(self._recover(turn.lost)).addBoth(self._turned, waiters)
            return
        self._busy = False
        recovered = self.trouble is not None and turn.trouble is None
        if recovered and self._calls and self._catching_up < CATCH_UP and not self._closing:
            self._catching_up += 1
            self._release(waiters, kept=not turn.failures)
            self._turn(urgent=True)
            return
        self._catching_up = 0
        self._tick_delay = DELETE_TICK if turn.more else TICK
        self._report(turn.trouble, waiters, failed=bool(turn.failures))
        if self._waiters:
            self._turn(urgent=True)

    async def _recover(self, lost: str) -> Turn:
        """See Note [Recovery]."""
        await self._reader.close(READER_LIMIT)
        turn = await self._worker.run(self._writer.recover, self._reactor.seconds())
        if turn.trouble is None and not self._closing:
            self._reader.reopen()
            self._notice = f"{lost} while Py Pinger was running; see its log"
            self._notice_ends = self._reactor.seconds() + NOTICE
            self._log.error(
                "[store] path {path}: {lost} while Py Pinger was running; all states, open incidents and pending alerts"
                " are in {path} again, but history is missing if the file is a new one or a backup",
                path=self._path,
                lost=lost,
            )
        return turn

    def _report(self, trouble: str | None, waiters: Sequence[Deferred[bool]], *, failed: bool = False) -> None:
        before, self.trouble = self.trouble, trouble
        if trouble is not None and before is None:
            self._log.error(
                "the store cannot be written: {words}; continuing from memory, trying again every {retry:g} s",
                words=trouble,
                retry=RETRY,
            )
        elif trouble is None and before is not None:
            self._log.warn("the store can be written again, and is up to date")
        self._release(waiters, kept=trouble is None and not failed)

    def _release(self, waiters: Sequence[Deferred[bool]], *, kept: bool) -> None:
        """See Note [Resuming after a commit]; callers that have stopped waiting are left out."""
        idle = not self._ready
        self._ready.extend((waiter, kept) for waiter in waiters if self._waiting.pop(waiter, None) is not None)
        if idle:
            self._resume()

    def _resume(self) -> None:
        for _ in range(min(RESUMED, len(self._ready))):
            waiter, kept = self._ready[0]
            waiter.callback(kept)
            self._ready.popleft()
        if self._ready:
            self._resumption = self._reactor.callLater(0, self._resume)
