"""
The stream of changes (``/events``), as Server-Sent Events.

Note [Readers that do not read]
~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
A stream never ends, so a slow reader would let our memory grow. Its connection is aborted when the transport's buffer
is full (64 KiB, beyond what the kernel holds). A reader that reconnects gets an event that makes it load
everything, so nothing needs to be kept for it.

Note [What changed]
~~~~~~~~~~~~~~~~~~~
A healthy task's explanation changes with each report, since it has the time of the last run. If every page were
fetched anew at once for that, the server would have no rest; if it were not fetched at all, a page would show an
HTTP 503 ten seconds late. So each change says how important it is (:data:`CHANGES`): pages show at once what is new,
within a budget, and leave the rest to their next look.
"""

from __future__ import annotations

import re
from http import HTTPStatus

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.web.server import Request

from pypinger.domain.kinds import Kind, Status
from pypinger.domain.model import Instant, Seconds, TaskState
from pypinger.domain.times import iso
from pypinger.ports.showing import DaemonState, Entry, TaskBoard
from pypinger.web.json import objects
from pypinger.web.serving.guard import NO_STORE
from pypinger.web.serving.responses import problem
from pypinger.web.serving.site import HttpChannel

#: Readers at once; others get 503 and poll instead.
READERS = 200

#: Seconds between two messages; changes in between go into the next one.
TICK: Seconds = 0.8

#: If more tasks than these change at once, only their number is sent.
MANY = 100

#: How a task may have changed, the least first: only times and counts; its report, or which instance watches it; its
#: incident, or the words of its explanation beside times; its kind, or whether it is silenced, acknowledged or
#: flapping. See Note [What changed].
CHANGES = ("time", "report", "words", "kind")

#: Seconds of silence after which a comment is sent, so that proxies keep the connection.
SILENCE: Seconds = 15.0

#: Milliseconds after which browsers reconnect, and seconds after which clients that got 503 may.
RETRY = 3000
LATER = 30

_HEARTBEAT = b":\n\n"

# Times of day, with or without date, and lengths of time, as pypinger.domain.times writes them.
_TIMES = re.compile(
    r"(?:[0-9]{4}-[0-9]{2}-[0-9]{2} )?[0-9]{2}:[0-9]{2}(?::[0-9]{2})?"
    r"|-?(?:over 9999 years ?|an unknown time ?|(?:less than )?(?:[0-9.]+ (?:s|min|h|d)\b ?)+)(?:ago|from now)?"
)


class TaskChange(msgspec.Struct, frozen=True):
    """
    The data of ``task``: the task's present state.

    :ivar was: the status sent last, so that a page that does not show the task knows whether its counts change.
    :ivar changed: the most important of :data:`CHANGES` since then.
    """

    id: str
    status: Status
    was: Status
    kind: Kind
    unseen: bool
    checked: str | None
    changed: str


class Many(msgspec.Struct, frozen=True):
    """
    The data of ``many``: how many tasks changed, or how many there are for a reader that comes back.

    :ivar changed: the most important of :data:`CHANGES` that may have happened to one of them.
    """

    count: int
    changed: str = CHANGES[-1]


class EventStream:
    """
    Sends every change that a page would show to every reader.

    It does nothing while there is no reader.
    """

    _log = Logger()

    def __init__(self, board: TaskBoard, clock: IReactorTime) -> None:
        self._board = board
        self._clock = clock
        self._readers: dict[Request, Deferred[None]] = {}
        self._loop = LoopingCall(self._tick)
        self._loop.clock = clock
        self._number = 0
        self._entries: dict[str, Entry] = {}
        # Each with the entry that was sent last, and the present one.
        self._changed: dict[str, tuple[Entry, Entry]] = {}

    @property
    def readers(self) -> int:
        """The number of readers."""
        return len(self._readers)

    async def follow(self, request: Request) -> bytes:
        """Send events to the client until it leaves or the server stops."""
        if self.readers >= READERS:
            words = "too many clients follow the changes already; poll instead"
            return problem(request, HTTPStatus.SERVICE_UNAVAILABLE, words, {b"Retry-After": b"%d" % LATER})
        for name, value in (
            (b"Content-Type", b"text/event-stream"),
            # Otherwise nginx buffers messages until it has some kilobytes.
            (b"X-Accel-Buffering", b"no"),
            NO_STORE,
        ):
            request.setHeader(name, value)
        if request.method == b"HEAD":
            return b""
        # Tests serve the stream without our channel, too.
        if isinstance(request.channel, HttpChannel):
            request.channel.begin_stream()
        if not self._readers:
            self._begin()
        end = self._readers[request] = Deferred()
        try:
            greeting = b"retry: %d\n\n" % RETRY
            if request.requestHeaders.hasHeader(b"Last-Event-ID"):
                # It is not known what the client missed.
                greeting += self._message(b"many", Many(len(self._entries)))
            request.write(greeting)
            await end
        finally:
            del self._readers[request]
            if not self._readers:
                self._end()
        return b""

    def close(self) -> None:
        """End the stream for all readers."""
        for end in tuple(self._readers.values()):
            end.callback(None)

    def _begin(self) -> None:
        entries = self._board.entries()
        self._tasks = [entry.task for entry in entries]
        self._entries = {entry.task.id: entry for entry in entries}
        self._daemon = _visible(self._board.daemon())
        self._spoke = self._clock.seconds()
        self._unwatch = self._board.watch(self._note)
        self._loop.start(TICK, now=False)

    def _end(self) -> None:
        self._loop.stop()
        self._unwatch()
        self._entries.clear()
        self._changed.clear()

    def _note(self, entry: Entry) -> None:
        before = self._entries.get(entry.task.id)
        self._entries[entry.task.id] = entry
        if before is None or _compared(before) != _compared(entry):
            sent, _ = self._changed.get(entry.task.id, (before or Entry(entry.task, TaskState()), entry))
            self._changed[entry.task.id] = sent, entry

    def _tick(self) -> None:
        # A LoopingCall whose function raises stops.
        try:
            message = b"".join(self._events())
        except Exception:
            self._log.failure("sending changes to the pages")
            return
        now = self._clock.seconds()
        if message:
            self._spoke = now
        elif now - self._spoke >= SILENCE:
            self._spoke, message = now, _HEARTBEAT
        if message:
            for request in tuple(self._readers):
                request.write(message)

    def _events(self) -> list[bytes]:
        changed, self._changed = self._changed, {}
        tasks = [entry.task for entry in self._board.entries()]
        events: list[bytes] = []
        if tasks != self._tasks:
            # A reload adds and removes tasks without a change of state.
            self._tasks = tasks
            events.append(self._message(b"many", Many(len(changed))))
        else:
            events += self._task_events([_change(sent, entry) for sent, entry in changed.values()])
        daemon = self._board.daemon()
        visible = _visible(daemon)
        if visible != self._daemon:
            self._daemon = visible
            events.append(self._message(b"self", objects.self_object(daemon)))
        return events

    def _task_events(self, changes: list[TaskChange]) -> list[bytes]:
        """At most :data:`MANY` changes singly; of more, those that are more than ``time``, if these are few."""
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


def _compared(entry: Entry) -> tuple[object, ...]:
    """What pages show of an entry, beside counts and the latest check."""
    state = entry.state
    return state.kind, _explanation(state), _incident(state), state.report, entry.unseen, entry.owner, _flags(entry)


def _change(sent: Entry, entry: Entry) -> TaskChange:
    state, before, unseen = entry.state, sent.state, entry.unseen is not None
    if state.kind is not before.kind or unseen is not (sent.unseen is not None) or _flags(entry) != _flags(sent):
        changed = "kind"
    elif _incident_start(state) != _incident_start(before) or _words(state) != _words(before):
        changed = "words"
    else:
        # Which instance watches a task is as important as a report: a whole share of the tasks may change hands.
        changed = "time" if state.report == before.report and entry.owner == sent.owner else "report"
    return TaskChange(entry.task.id, state.status, before.status, state.kind, unseen, iso(state.checked), changed)


def _incident_start(state: TaskState) -> Instant | None:
    """Distinguishes incidents; the number of alerts of one is only a count."""
    return None if state.incident is None else state.incident.started


def _incident(state: TaskState) -> tuple[object, ...] | None:
    """What pages show of an incident; the rest of it changes with each check while it is flapping."""
    incident = state.incident
    return None if incident is None else (incident.started, incident.kind, incident.alerts)


def _flags(entry: Entry) -> tuple[object, ...]:
    """Whether a task is silenced, acknowledged or flapping, and all that pages say of it."""
    incident = entry.state.incident
    return entry.muted, incident and incident.acknowledged, incident is not None and incident.flapping


def _explanation(state: TaskState) -> str:
    return "" if state.verdict is None else state.verdict.explanation


def _words(state: TaskState) -> str:
    """The explanation without its times."""
    return _TIMES.sub("", _explanation(state))


def _visible(daemon: DaemonState) -> tuple[object, ...]:
    """What pages show of the daemon. While all is well its explanation only counts the time."""
    words = None if daemon.status is Status.OK else daemon.explanation
    counts = daemon.undelivered, daemon.dead, daemon.dead_channels
    return daemon.status, words, daemon.blind, counts, daemon.ready, _instances(daemon)


def _instances(daemon: DaemonState) -> tuple[object, ...]:
    """What pages show of the instances, beside the explanation and the counts of each."""
    if daemon.sharing is None:
        return ()
    members = (
        (each.id, each.name, each.tasks, each.channels, each.digest, each.health.status, each.health.blind)
        for each in daemon.sharing.members
    )
    return daemon.sharing.away, *members
