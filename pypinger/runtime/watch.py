"""A task under watch, and when each is checked first. What happens to it is the monitor's business."""

from __future__ import annotations

from collections.abc import Sequence

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import LoopingCall

from pypinger.domain.model import Observation, Seconds, Task, TaskState
from pypinger.domain.urls import origin


class Watch:
    """
    A task under watch.

    :ivar running: fires when the check under way is over; None while there is none.
    :ivar fetching: the half of it that may be cancelled.
    :ivar began: when the latest check began, in seconds on the reactor's clock.
    :ivar gone: whether it was removed from the configuration.
    :ivar rest: until when the timer must not check it again, in seconds on the reactor's clock.
    """

    __slots__ = ("began", "fetching", "first", "gone", "loop", "origin", "rest", "running", "state", "task", "timer")

    def __init__(self, task: Task, state: TaskState) -> None:
        self.task = task
        self.origin = origin(task.url)
        self.state = state
        self.loop: LoopingCall | None = None
        self.first: IDelayedCall | None = None
        self.timer: IDelayedCall | None = None
        self.running: Deferred[None] | None = None
        self.fetching: Deferred[Observation] | None = None
        self.began: Seconds = 0.0
        self.rest: Seconds = 0.0
        self.gone = False


def offsets(tasks: Sequence[Task]) -> list[Seconds]:
    """When each task is checked first, in seconds after the start (contract, section 3)."""
    count = len(tasks)
    return [index / count * min(task.interval, max(10.0, count / 100)) for index, task in enumerate(tasks)]
