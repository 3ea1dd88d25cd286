"""What the pages read: the port :class:`TaskBoard`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from pypinger.domain.kinds import Status
from pypinger.domain.model import Instant, Task, TaskState
from pypinger.domain.naming import shown_name
from pypinger.domain.silence import Muted
from pypinger.ports.sharing import Instance


class Entry(msgspec.Struct, frozen=True, gc=False):
    """
    A task and its state.

    :ivar muted: the silence or maintenance that mutes its alerts now, if any.
    :ivar seen: when any answer of the task was last received; None before the first.
    :ivar unseen: since when the task is not seen (contract, section 3); None while it is seen.
    :ivar owner: the name of the instance that watches it; None while none does, and on a single machine.
    """

    task: Task
    state: TaskState
    muted: Muted | None = None
    seen: Instant | None = None
    unseen: Instant | None = None
    owner: str | None = None

    @property
    def name(self) -> str:
        """How the task is shown."""
        return shown_name(self.task, self.state.report)


class LastAnswer(msgspec.Struct, frozen=True, gc=False):
    """
    The last answer of a task's endpoint, or what a push task sent last, unmasked: it may hold secrets.

    :ivar code: the HTTP status code; 0 for a push task.

    :ivar body: the beginning of its body, without Content-Encoding.
    :ivar cut: whether the body is longer.
    :ivar url: the URL that answered, as it may be shown, where redirects led away from the task's; else None.
    :ivar foreign: whether that URL has another origin than the task's.
    :ivar pushed: whether a push task sent it.
    """

    at: Instant
    code: int
    body: bytes
    cut: bool
    url: str | None = None
    foreign: bool = False
    pushed: bool = False


class Refusal(msgspec.Struct, frozen=True):
    """
    Why alerts did not arrive in a channel.

    :ivar words: the latest answer of its service.
    :ivar dead: whether they were given up; else they are retried.
    """

    channel: str
    words: str
    dead: bool


class Sharing(msgspec.Struct, frozen=True):
    """
    The instances that share the tasks over one database (contract, section 8, "Several machines").

    :ivar here: the name of this instance.
    :ivar members: those that hold a lease, this one included, by name; while the database is away, the latest known.
    :ivar away: since when this instance has no lease, because the database cannot be reached; None while it has one.
    :ivar words: why it cannot be reached, in one line.
    """

    here: str
    members: tuple[Instance, ...] = ()
    away: Instant | None = None
    words: str = ""


class DaemonState(msgspec.Struct, frozen=True):
    """
    The state of Py Pinger itself (contract, section 7).

    :ivar status: ``ok`` or ``error``.
    :ivar explanation: one line of plain English.
    :ivar blind: since when it has been blind, None while it is not.
    :ivar undelivered: pending alerts, counted per channel.
    :ivar dead: alerts that were given up, counted per channel.
    :ivar dead_channels: the channels whose latest delivery is dead.
    :ivar refusals: why alerts did not arrive, where that is known.
    :ivar ready: whether every task has been checked, or found blind, since this start.
    :ivar lastrun: its latest completed check, or the start.
    :ivar frequency: minutes; twice the shortest interval plus timeout, at least 1.
    :ivar troubles: what `explanation` says is wrong, one by one.
    :ivar ini: the path of the ini file; empty if it is not known.
    :ivar sharing: the instances that share the tasks; None on a single machine.
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
    dead_channels: tuple[str, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    troubles: tuple[str, ...] = ()
    ini: str = ""
    sharing: Sharing | None = None


class TaskBoard(Protocol):
    """The state of every task as it was last committed."""

    def entries(self) -> Sequence[Entry]:
        """Every task, in the order of the ini file."""

    def by_id(self, task_id: str) -> Entry | None:
        """The task with this short id."""

    def by_key(self, key: str) -> Entry | None:
        """The task with exactly this key: its URL (which has no userinfo), or ``push:`` and its name."""

    def last_answer(self, task_id: str) -> LastAnswer | None:
        """The latest answer to a check of the task; None while there was none since the start."""

    def daemon(self) -> DaemonState:
        """The present state of Py Pinger itself."""

    def watch(self, changed: Callable[[Entry], None]) -> Callable[[], None]:
        """
        Call `changed` with every state, right after it was committed.

        :param changed: must be quick and must not raise.
        :returns: ends the calls.
        """
