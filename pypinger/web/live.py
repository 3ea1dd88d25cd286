"""
The stream of changes (``/events``), as Server-Sent Events.

Note [Readers that do not read]
~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
A stream has no end at which a slow reader would be found out, and what is written to one that does not read stays in
our memory. So each reader is a push producer that never pauses: when the transport asks it to, its buffer is full
(64 KiB beyond what the kernel holds, which is kept small as well), and the connection is cut. Whoever comes back is
told to load everything anew, so that nothing needs to be kept for anyone.

One that takes nothing while little is written does not fill a buffer. The limits of time in :mod:`pypinger.web.server`
stay on during a stream; they are renewed only while the kernel has got rid of all that was written.
"""

from __future__ import annotations

from http import HTTPStatus

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer, IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.web.server import Request
from zope.interface import implementer

from pypinger.domain.model import Kind, Seconds, Status, TaskState
from pypinger.domain.times import iso
from pypinger.ports import Board, DaemonState, Entry
from pypinger.web import api
from pypinger.web.door import NO_STORE
from pypinger.web.replies import problem
from pypinger.web.server import Channel

#: How many may read at once; the others look again by themselves.
READERS = 200

#: Seconds between two messages; what changes in between goes into the next one.
TICK: Seconds = 0.8

#: Of more tasks than these it is only said that there were so many.
MANY = 100

#: Seconds after which silence is broken, so that proxies do not take the stream for dead.
SILENCE: Seconds = 15.0

#: Milliseconds after which browsers come back, and seconds after which those may who found no place.
RETRY = 3000
LATER = 30

_HEARTBEAT = b":\n\n"


class Change(msgspec.Struct, frozen=True):
    """
    The data of ``task``: where a task stands now.

    :ivar was: the status that was told last, so that a page which does not show the task knows whether it counts.
    """

    id: str
    status: Status
    was: Status
    kind: Kind
    checked: str | None


@implementer(IPushProducer)
class _Reader:
    """One client that follows the stream; see Note [Readers that do not read]."""

    def __init__(self, request: Request) -> None:
        self.gone: Deferred[None] = Deferred()
        self._request = request
        # Requests that tests make without a server have another channel, and no limits of time.
        self._channel = request.channel if isinstance(request.channel, Channel) else None
        if self._channel is not None:
            self._channel.begin_stream()
        request.registerProducer(self, True)

    def tell(self, message: bytes) -> None:
        """Send a message, if there is one, and see whether the ones before have arrived."""
        if self._channel is not None:
            self._channel.still_reading()
        if message:
            self._request.write(message)

    def pauseProducing(self) -> None:
        """It does not read: cut it off."""
        if self._channel is not None:
            self._channel.transport.abortConnection()

    def resumeProducing(self) -> None:
        """It was cut off."""

    def stopProducing(self) -> None:
        """It left, and is forgotten where its request ends."""

    def leave(self) -> None:
        """Write no more to it."""
        self._request.unregisterProducer()


class EventStream:
    """
    Tells every reader of every change that a page would show.

    While nobody reads it does nothing at all.
    """

    _log = Logger()

    def __init__(self, board: Board, reactor: IReactorTime) -> None:
        self._board = board
        self._reactor = reactor
        self._readers: set[_Reader] = set()
        self._loop = LoopingCall(self._tick)
        self._loop.clock = reactor
        self._number = 0
        self._states: dict[str, TaskState] = {}
        # With the status that readers believe in.
        self._changed: dict[str, tuple[Status, Entry]] = {}

    @property
    def readers(self) -> int:
        """How many read it."""
        return len(self._readers)

    async def follow(self, request: Request) -> bytes:
        """Let the client read until it leaves or the server stops."""
        if self.readers >= READERS:
            words = "too many follow the changes already; look again from time to time instead"
            return problem(request, HTTPStatus.SERVICE_UNAVAILABLE, words, {b"Retry-After": b"%d" % LATER})
        for name, value in (
            (b"Content-Type", b"text/event-stream"),
            # nginx would gather messages until it has some kilobytes.
            (b"X-Accel-Buffering", b"no"),
            NO_STORE,
        ):
            request.setHeader(name, value)
        if request.method == b"HEAD":
            return b""
        reader = _Reader(request)
        if not self._readers:
            self._begin()
        self._readers.add(reader)
        try:
            greeting = b"retry: %d\n\n" % RETRY
            if request.requestHeaders.hasHeader(b"Last-Event-ID"):
                # It was here before, and nobody knows what it missed.
                greeting += self._message(b"many", {"count": len(self._states)})
            reader.tell(greeting)
            await reader.gone
            reader.leave()
        finally:
            self._readers.discard(reader)
            if not self._readers:
                self._end()
        return b""

    def close(self) -> None:
        """Let all readers go."""
        for reader in tuple(self._readers):
            reader.gone.callback(None)

    def _begin(self) -> None:
        entries = self._board.entries()
        self._tasks = [entry.task for entry in entries]
        self._states = {entry.task.id: entry.state for entry in entries}
        self._daemon = _shown_of(self._board.daemon())
        self._spoke = self._reactor.seconds()
        self._unwatch = self._board.watch(self._show)
        self._loop.start(TICK, now=False)

    def _end(self) -> None:
        self._loop.stop()
        self._unwatch()
        self._states.clear()
        self._changed.clear()

    def _show(self, entry: Entry) -> None:
        before, state = self._states.get(entry.task.id), entry.state
        self._states[entry.task.id] = state
        if before is None or _seen(before) != _seen(state):
            was = Status.NEW if before is None else before.status
            self._changed[entry.task.id] = self._changed.get(entry.task.id, (was, entry))[0], entry

    def _tick(self) -> None:
        # A loop whose function raises would stop for good.
        try:
            message = b"".join(self._news())
        except Exception:
            self._log.failure("telling of changes")
            return
        now = self._reactor.seconds()
        if message:
            self._spoke = now
        elif now - self._spoke >= SILENCE:
            self._spoke, message = now, _HEARTBEAT
        for reader in tuple(self._readers):
            reader.tell(message)

    def _news(self) -> list[bytes]:
        changed, self._changed = self._changed, {}
        tasks = [entry.task for entry in self._board.entries()]
        news: list[bytes] = []
        if tasks != self._tasks or len(changed) > MANY:
            # After a reload some may have come and gone of whom nothing else tells.
            self._tasks = tasks
            news.append(self._message(b"many", {"count": len(changed)}))
        else:
            for was, entry in changed.values():
                state = entry.state
                data = Change(entry.task.id, state.status, was, state.kind, iso(state.checked))
                news.append(self._message(b"task", data))
        daemon = self._board.daemon()
        shown = _shown_of(daemon)
        if shown != self._daemon:
            self._daemon = shown
            news.append(self._message(b"self", api.self_object(daemon)))
        return news

    def _message(self, event: bytes, data: object) -> bytes:
        self._number += 1
        return b"id: %d\nevent: %s\ndata: %s\n\n" % (self._number, event, msgspec.json.encode(data))


def _seen(state: TaskState) -> tuple[object, ...]:
    """What of a state makes a page read otherwise."""
    return state.kind, None if state.verdict is None else state.verdict.explanation, state.incident


def _shown_of(daemon: DaemonState) -> tuple[object, ...]:
    # While all is well its explanation only counts the time.
    words = None if daemon.status is Status.OK else daemon.explanation
    return daemon.status, words, daemon.blind, daemon.undelivered, daemon.dead, daemon.ready
