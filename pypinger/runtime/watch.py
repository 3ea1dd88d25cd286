"""A task under watch, and when each is checked first. What happens to it is the monitor's business."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import LoopingCall

from pypinger.domain.model import Answer, Finding, Seconds, Task, TaskState
from pypinger.domain.urls import origin

#: Before the first check.
NEVER: Seconds = float("-inf")

#: So many tasks begin in slots, of which there are this many in a second.
MANY = 2000
SLOTS = 20


#: The most bytes of an answer that may be kept with what it says.
KEPT = 4096


class Reading(msgspec.Struct, frozen=True, gc=False):
    """
    What an answer says. It is kept because the same answer comes again and again: a report changes when its task runs.

    :ivar edition: that of the secrets that were scrubbed.
    """

    code: int
    body: bytes
    finding: Finding
    edition: object

    @property
    def small(self) -> bool:
        """Whether it may be kept."""
        return len(self.body) <= KEPT

    def fits(self, answer: Answer, edition: object) -> bool:
        """Whether this is what `answer` says."""
        return self.body == answer.body and self.code == answer.code and self.edition is edition


class Watch:
    """
    A task under watch.

    :ivar busy: whether a check or a reminder is under way; `running` fires when it is over.
    :ivar fetching: whether it is in the half that may be cancelled.
    :ivar reading: what the state's verdict rests on, if it is an answer that may be remembered.
    :ivar queued: whether it waits for a place.
    :ivar began: when the latest check began, in seconds on the reactor's clock; :data:`NEVER` before the first.
    :ivar gone: whether it was removed from the configuration.
    :ivar rest: until when the timer must not check it again, in seconds on the reactor's clock.
    """

    __slots__ = (
        "began",
        "busy",
        "fetching",
        "first",
        "gone",
        "loop",
        "origin",
        "queued",
        "reading",
        "rest",
        "running",
        "state",
        "task",
        "timer",
    )

    def __init__(self, task: Task, state: TaskState) -> None:
        self.task = task
        self.origin = origin(task.url)
        self.state = state
        self.loop: LoopingCall | None = None
        self.first: IDelayedCall | None = None
        self.timer: IDelayedCall | None = None
        self.busy = False
        self.running: Deferred[None] | None = None
        self.reading: Reading | None = None
        self.fetching = False
        self.queued = False
        self.began: Seconds = NEVER
        self.rest: Seconds = 0.0
        self.gone = False


def offsets(tasks: Sequence[Task]) -> list[Seconds]:
    """
    When each task is checked first, in seconds after the start (contract, section 3).

    The checks of thousands of tasks begin together in slots: what begins alone wakes the process, and the other side,
    for itself alone, and so costs twice as much.
    """
    count = len(tasks)
    exact = [index / count * min(task.interval, max(10.0, count / 100)) for index, task in enumerate(tasks)]
    return exact if count < MANY else [int(offset * SLOTS) / SLOTS for offset in exact]
