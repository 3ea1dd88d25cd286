"""What the pages read: the port :class:`TaskBoard`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from pypinger.domain.kinds import Status
from pypinger.domain.model import Instant, Task, TaskState
from pypinger.domain.naming import shown_name
from pypinger.domain.silence import Muted


class Entry(msgspec.Struct, frozen=True, gc=False):
    """
    A task and its state.

    :ivar muted: the silence or maintenance that mutes its alerts now, if any.
    :ivar seen: when any answer of the task was last received; None before the first.
    :ivar unseen: since when the task is not seen (contract, section 3); None while it is seen.
    """

    task: Task
    state: TaskState
    muted: Muted | None = None
    seen: Instant | None = None
    unseen: Instant | None = None

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


class DaemonState(msgspec.Struct, frozen=True):
    """
    The state of Py Pinger itself (contract, section 7).

    :ivar status: ``ok`` or ``error``.
    :ivar explanation: one line of plain English.
    :ivar blind: since when it has been blind, None while it is not.
    :ivar undelivered: pending alerts, counted per channel.
    :ivar dead: alerts that were given up, counted per channel.
    :ivar dead_channels: the channels whose latest delivery is dead.
    :ivar ready: whether every task has been checked, or found blind, since this start.
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
    dead_channels: tuple[str, ...] = ()


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
