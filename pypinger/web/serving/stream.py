"""
The stream of changes (``/events``), as Server-Sent Events.

Note [Readers that do not read]
~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
A stream has no end at which a slow reader would be found out, and what is written to one that does not read stays in
our memory. So each reader is a push producer that never pauses: when the transport asks it to, its buffer is full
(64 KiB beyond what the kernel holds, which is kept small as well), and the connection is cut. Whoever comes back is
told to load everything anew, so that nothing needs to be kept for anyone.

One that takes nothing while little is written does not fill a buffer. The limits of time in :mod:`pypinger.web.serving.site`
stay on during a stream; they are renewed only while the kernel has got rid of all that was written.

Note [What changed]
~~~~~~~~~~~~~~~~~~~
An explanation that tells how long ago something was reads otherwise after each check, for each of thousands of tasks.
If every page were fetched anew for that at once, or for none of it, either the server would have no rest or a page
would tell of an HTTP 503 ten seconds late. So each change says how much it is (:data:`CHANGES`): pages show at once
what is new, within a budget, and leave to their next look what has only grown older.
"""

from __future__ import annotations

import re
from http import HTTPStatus

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer, IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.web.server import Request
from zope.interface import implementer

from pypinger.domain.kinds import Kind, Status
from pypinger.domain.model import Instant, Seconds, TaskState
from pypinger.domain.times import iso
from pypinger.ports.showing import Board, DaemonState, Entry
from pypinger.web.json import objects
from pypinger.web.serving.guard import NO_STORE
from pypinger.web.serving.responses import problem
from pypinger.web.serving.site import Channel

#: How many may read at once; the others look again by themselves.
READERS = 200

#: Seconds between two messages; what changes in between goes into the next one.
TICK: Seconds = 0.8

#: Of more tasks than these it is only said that there were so many.
MANY = 100

#: How a task may have changed, the least first: only ages and counts; its report; its incident, or the words of its
#: explanation beyond times; its kind. See Note [What changed].
CHANGES = ("time", "report", "words", "kind")

#: Seconds after which silence is broken, so that proxies do not take the stream for dead.
SILENCE: Seconds = 15.0

#: Milliseconds after which browsers come back, and seconds after which those may who found no place.
RETRY = 3000
LATER = 30

_HEARTBEAT = b":\n\n"

# Times of day, with or without date, and lengths of time, as pypinger.domain.times writes them.
_TIMES = re.compile(
    r"(?:[0-9]{4}-[0-9]{2}-[0-9]{2} )?[0-9]{2}:[0-9]{2}(?::[0-9]{2})?"
    r"|-?(?:over 9999 years ?|an unknown time ?|(?:less than )?(?:[0-9.]+ (?:s|min|h|d)\b ?)+)(?:ago|from now)?"
)


class Change(msgspec.Struct, frozen=True):
    """
    The data of ``task``: where a task stands now.

    :ivar was: the status that was told last, so that a page which does not show the task knows whether it counts.
    :ivar changed: the most of :data:`CHANGES` that happened to it since then.
    """

    id: str
    status: Status
    was: Status
    kind: Kind
    checked: str | None
    changed: str


class Many(msgspec.Struct, frozen=True):
    """
    The data of ``many``: how many changed, or how many there are for one that comes back.

    :ivar changed: the most of :data:`CHANGES` that may have happened to one of them.
    """

    count: int
    changed: str = CHANGES[-1]


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
        # With the state that readers believe in.
        self._changed: dict[str, tuple[TaskState, Entry]] = {}

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
                greeting += self._message(b"many", Many(len(self._states)))
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
            told, _ = self._changed.get(entry.task.id, (before or TaskState(), entry))
            self._changed[entry.task.id] = told, entry

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
        if tasks != self._tasks:
            # After a reload some may have come and gone of whom nothing else tells.
            self._tasks = tasks
            news.append(self._message(b"many", Many(len(changed))))
        else:
            news += self._told([_change(told, entry) for told, entry in changed.values()])
        daemon = self._board.daemon()
        shown = _shown_of(daemon)
        if shown != self._daemon:
            self._daemon = shown
            news.append(self._message(b"self", objects.self_object(daemon)))
        return news

    def _told(self, changes: list[Change]) -> list[bytes]:
        """At most :data:`MANY` changes one by one; of more of them those that are news, if these are few."""
        singly = changes if len(changes) <= MANY else [each for each in changes if each.changed != CHANGES[0]]
        if len(singly) > MANY:
            return [self._message(b"many", Many(len(changes), max((c.changed for c in changes), key=CHANGES.index)))]
        messages = [self._message(b"task", each) for each in singly]
        if len(singly) < len(changes):
            messages.append(self._message(b"many", Many(len(changes) - len(singly), CHANGES[0])))
        return messages

    def _message(self, event: bytes, data: object) -> bytes:
        self._number += 1
        return b"id: %d\nevent: %s\ndata: %s\n\n" % (self._number, event, msgspec.json.encode(data))


def _seen(state: TaskState) -> tuple[object, ...]:
    """What of a state makes a page read otherwise."""
    return state.kind, _explanation(state), state.incident, state.report


def _change(told: TaskState, entry: Entry) -> Change:
    state = entry.state
    if state.kind is not told.kind:
        changed = "kind"
    elif _began(state) != _began(told) or _TIMES.sub("", _explanation(state)) != _TIMES.sub("", _explanation(told)):
        changed = "words"
    else:
        changed = "time" if state.report == told.report else "report"
    return Change(entry.task.id, state.status, told.status, state.kind, iso(state.checked), changed)


def _began(state: TaskState) -> Instant | None:
    """What tells one incident from another; how many alerts it caused is only a count."""
    return None if state.incident is None else state.incident.started


def _explanation(state: TaskState) -> str:
    return "" if state.verdict is None else state.verdict.explanation


def _shown_of(daemon: DaemonState) -> tuple[object, ...]:
    # While all is well its explanation only counts the time.
    words = None if daemon.status is Status.OK else daemon.explanation
    return daemon.status, words, daemon.blind, daemon.undelivered, daemon.dead, daemon.ready
