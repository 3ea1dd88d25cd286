"""
The ports: what the runtime asks of the outside world, and what the outside world may ask of the runtime.

Protocols without logic, and the few values that cross them. An adapter implements a port and knows no other adapter;
:mod:`pypinger.service` is the one place that puts them together. ``tests/contracts`` holds one suite a port, which
every implementation passes. What is read of the past has a module of its own, :mod:`pypinger.history`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeAlias, runtime_checkable

import msgspec

from pypinger.domain.model import (
    Alert,
    Check,
    Delivery,
    Instant,
    Observation,
    Outcome,
    Report,
    Seconds,
    Status,
    Task,
    TaskState,
)
from pypinger.history import Change, Day, Gap, History, PastDelivery, PastIncident, Run, Span, Told

__all__ = [
    "Board",
    "Change",
    "Channel",
    "DaemonState",
    "Day",
    "DeliveryError",
    "Entry",
    "Fetcher",
    "Gap",
    "History",
    "HttpClient",
    "Kept",
    "Notifier",
    "OptionSpec",
    "PastDelivery",
    "PastIncident",
    "Reply",
    "RequestFailed",
    "Run",
    "RunObserver",
    "Span",
    "Store",
    "StoreError",
    "Told",
    "WallClock",
]

#: The one source of wall-clock time: seconds since the epoch, UTC. Nothing else asks what time it is.
WallClock: TypeAlias = Callable[[], Instant]


# Fetching reports


class Fetcher(Protocol):
    """Gets a task's report over the network."""

    async def fetch(self, task: Task) -> Observation:
        """
        Make one exchange within ``task.timeout`` seconds.

        It never raises for anything an endpoint, a resolver or a certificate does; only cancelling the Deferred that
        runs it ends it early, and then its socket is closed too.
        """


# Talking to channels


class Reply(msgspec.Struct, frozen=True):
    """
    A channel's HTTP answer.

    :ivar headers: names in lower case; of a repeated header the last value.
    :ivar body: at most 64 KiB of it.
    """

    code: int
    headers: Mapping[str, str]
    body: bytes


class RequestFailed(Exception):
    """There was no answer; ``str()`` of it says why, in words that hold no secret."""


class HttpClient(Protocol):
    """What channels send their messages with."""

    async def post(self, url: str, *, headers: Mapping[str, str], body: bytes, timeout: Seconds = 20.0) -> Reply:
        """
        POST `body`, following no redirect.

        :param timeout: seconds for the whole exchange; when it passes, the socket is closed.
        :raises RequestFailed: there was no answer in time.
        """


class DeliveryError(Exception):
    """
    An attempt to send failed.

    :ivar words: the service's own words, or why it could not be reached; no secret in them.
    :ivar permanent: whether trying again is of no use (a bad token, an unknown channel).
    :ivar retry_after: seconds that the service asked to be left alone, else None.
    """

    def __init__(self, words: str, *, permanent: bool = False, retry_after: Seconds | None = None) -> None:
        super().__init__(words)
        self.words = words
        self.permanent = permanent
        self.retry_after = retry_after


class Notifier(Protocol):
    """
    One channel, ready to send.

    :ivar name: its section in the ini file.
    :ivar spacing: the least number of seconds between the starts of two messages.
    :ivar groups: whether it can gather several alerts in one message.
    """

    @property
    def name(self) -> str: ...

    @property
    def spacing(self) -> Seconds: ...

    @property
    def groups(self) -> bool: ...

    async def send(self, alerts: Sequence[Alert]) -> str:
        """
        Send one message: for one alert, or for a storm of them where `groups` is true.

        :returns: the service's answer in a few words, for ``notify-test`` and the record of deliveries.
        :raises DeliveryError: it was not accepted, or nobody knows whether it was.
        """


@runtime_checkable
class RunObserver(Protocol):
    """A channel that also wants to hear of every run of a task, as Sentry's cron monitors do. Best effort."""

    async def run_seen(self, task: Task, report: Report, at: Instant) -> None:
        """
        A report with a ``lastrun`` not seen before has come.

        :raises DeliveryError: it was not accepted; the caller logs it and goes on.
        """


class OptionSpec(msgspec.Struct, frozen=True):
    """
    One option of a channel's section.

    :ivar form: ``text``, ``flag`` (true or false) or ``url`` (http or https).
    :ivar default: what an empty or absent option means; ``false`` or ``true`` for a flag.
    :ivar secret: whether its value must never be shown.
    """

    name: str
    form: str = "text"
    default: str = ""
    secret: bool = False


class Channel(Protocol):
    """
    What a module of :mod:`pypinger.notify` offers as ``CHANNEL``: its section of the ini file and how to make it.

    :ivar name: the section's name.
    """

    @property
    def name(self) -> str: ...

    @property
    def options(self) -> tuple[OptionSpec, ...]: ...

    def essential(self, values: Mapping[str, str]) -> tuple[str, ...]:
        """The options that must all be set for the channel to be on; with all of them empty it is off."""

    def check(self, values: Mapping[str, str]) -> Mapping[str, str]:
        """What is wrong with values that are well-formed each by itself: option name -> words; empty if all is well."""

    def notifier(self, values: Mapping[str, str], client: HttpClient, now: WallClock) -> Notifier:
        """Make the channel; `values` has every option, defaults filled in, flags as ``true`` or ``false``."""


# Keeping what must not be lost


class Kept(msgspec.Struct, frozen=True):
    """
    What a store remembers from before.

    :ivar states: task URL -> its state.
    :ivar deliveries: those still to be made, oldest first.
    :ivar dead: how many were given up and are kept to be shown.
    :ivar last_alive: when the process before this one was last known to run; None if there was none. The store itself
        records the time since then as blind.
    """

    states: Mapping[str, TaskState]
    deliveries: Sequence[Delivery]
    dead: int
    last_alive: Instant | None = None


class Store(Protocol):
    """
    Keeps states, the outbox, and the history that both come from.

    What `commit`, `enqueue` and `settle` were given is kept once their Deferred has fired; what `note` was given is
    kept within a second. A store that cannot write for a while (a full disk, an I/O error) never raises for it: it
    says so through `trouble`, goes on from memory, and catches up by itself in the order of the calls.
    """

    def open(self) -> Kept:
        """
        Open it and say what it kept; called once, before the reactor runs, so it may block.

        :raises StoreError: it cannot be used.
        """

    def note(self, task: Task, state: TaskState, check: Check) -> None:
        """A check changed nothing that anyone is told of; keep it some time within the next second."""

    async def commit(self, task: Task, state: TaskState, check: Check | None, deliveries: Sequence[Delivery]) -> None:
        """
        Keep a change of a task's state together with one delivery per alert and channel, all or nothing.

        :param check: the check that made the change; None when only time did (a reminder) or the configuration.
        """

    async def enqueue(self, deliveries: Sequence[Delivery]) -> None:
        """Keep deliveries of alerts of the daemon itself."""

    async def settle(self, delivery: Delivery, outcome: Outcome) -> None:
        """Keep how a delivery stands: its attempts, words and time of the next attempt are in `delivery`."""

    def blind(self, start: Instant, end: Instant) -> None:
        """
        From `start` to `end` nothing was seen of any task, so that this time is neither up nor down.

        To be called before the first check after it is noted or committed.
        """

    def trouble(self) -> str | None:
        """Say in words why it cannot write at present, or None while it can."""

    async def close(self) -> None:
        """Write what is still to be written, and close."""


class StoreError(Exception):
    """The store cannot be used; ``str()`` of it is one line that says which, why and what to do."""


# Showing where everything stands


class Entry(msgspec.Struct, frozen=True, gc=False):
    """A task and where it stands."""

    task: Task
    state: TaskState


class LastAnswer(msgspec.Struct, frozen=True, gc=False):
    """
    What a task's endpoint answered last, as it came: it may hold secrets.

    :ivar at: when.
    :ivar code: its status code.
    :ivar body: the beginning of its body, decoded as HTTP says.
    :ivar cut: whether there was more of it.
    """

    at: Instant
    code: int
    body: bytes
    cut: bool


class DaemonState(msgspec.Struct, frozen=True):
    """
    Where Py Pinger itself stands (contract, section 7).

    :ivar status: ``ok`` or ``error``.
    :ivar explanation: one line of plain English.
    :ivar blind: since when it has been blind, None while it sees.
    :ivar undelivered: alerts still to be delivered, counted per channel.
    :ivar dead: alerts that were given up, counted per channel.
    :ivar ready: whether every task has been checked since this start.
    :ivar lastrun: its latest completed check, or the start.
    :ivar frequency: minutes; twice the shortest interval plus timeout, at least 1.
    """

    status: Status
    explanation: str
    started: Instant
    blind: Instant | None
    undelivered: int
    dead: int
    ready: bool
    lastrun: Instant
    frequency: float


class Board(Protocol):
    """What the pages read: the state of every task as it was last committed."""

    def entries(self) -> Sequence[Entry]:
        """Every task, in the order of the ini file."""

    def by_id(self, task_id: str) -> Entry | None:
        """The task with this short id."""

    def by_url(self, url: str) -> Entry | None:
        """The task with exactly this URL (which has no userinfo)."""

    def last_answer(self, task_id: str) -> LastAnswer | None:
        """The latest answer to a check of the task; None while there was none since the start."""

    def daemon(self) -> DaemonState:
        """Where Py Pinger itself stands now."""

    def watch(self, changed: Callable[[Entry], None]) -> Callable[[], None]:
        """
        Be told of every state from now on, right after it was committed.

        :param changed: must be quick and must not raise.
        :returns: call it to be told no more.
        """
