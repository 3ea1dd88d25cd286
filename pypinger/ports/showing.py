"""Showing where everything stands."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from pypinger.domain.kinds import Status
from pypinger.domain.model import Instant, Task, TaskState


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
