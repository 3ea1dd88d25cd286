"""
A task under watch: what is known of it, when it is checked first, and when it is due without its loop.

What happens then is the monitor's business.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import LoopingCall

from pypinger.domain import report
from pypinger.domain.incidents import next_reminder
from pypinger.domain.model import Answer, Finding, Instant, Seconds, Task, TaskState
from pypinger.domain.redaction import Secrets

#: Before the first check.
NEVER: Seconds = float("-inf")

#: How long after a wall-clock moment its timer rings, in seconds, so that it never rings before it.
MARGIN: Seconds = 0.005

#: So many tasks begin in slots, of which there are this many in a second.
MANY = 2000
SLOTS = 20

#: How many bytes of a task's latest answer are kept to be shown, and the most that an answer may have to be kept with
#: what it says. It is one number so that both keep the very same bytes: a body is in memory once.
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
        self.origin = task.origin
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

    def read(self, answer: Answer, secrets: Secrets) -> Reading:
        """
        What an answer says, which is not worked out again for as long as the same answer comes.

        :param secrets: never to be shown.
        """
        known, edition = self.reading, secrets.edition
        if known is not None and known.fits(answer, edition):
            return known
        return Reading(answer.code, answer.body, report.read(answer, secrets.scrub), edition)

    def until_due(self, now: Instant, seconds: Seconds) -> Seconds | None:
        """
        How many seconds to wait until a check or a reminder is due that the loop does not know of.

        :param now: by the wall clock.
        :param seconds: now, by the reactor's clock.
        :returns: None if there is none before the loop's next check, at whose end it is asked again. So a healthy task
            has no timer most of the time.
        """
        state = self.state
        verdict = state.verdict
        if verdict is None:
            return None
        due = float("inf")
        # What fell due before the start is left to the first check: thousands must not be checked at once, nor anybody
        # reminded of what may be over.
        earliest = 0.0 if self.began == NEVER else NEVER
        if verdict.next_change is not None:
            change = max(verdict.next_change + MARGIN - now, self.rest - seconds)
            if change > earliest:
                due = change
        if state.incident is not None:
            reminder = next_reminder(self.task, state, now)
            if reminder is not None and reminder + MARGIN - now > earliest:
                due = min(due, reminder + MARGIN - now)
        return None if due > self.task.interval else max(0.0, due)


def offsets(tasks: Sequence[Task]) -> list[Seconds]:
    """
    When each task is checked first, in seconds after the start (contract, section 3).

    The checks of thousands of tasks begin together in slots: what begins alone wakes the process, and the other side,
    for itself alone, and so costs twice as much.
    """
    count = len(tasks)
    exact = [index / count * min(task.interval, max(10.0, count / 100)) for index, task in enumerate(tasks)]
    return exact if count < MANY else [int(offset * SLOTS) / SLOTS for offset in exact]
