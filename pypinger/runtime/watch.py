"""
A task under watch: its state, the phase of its check, and its timers' due times.

:mod:`~pypinger.runtime.monitor` decides when a check begins, :mod:`~pypinger.runtime.check` what it does.
"""

from __future__ import annotations

from collections import deque
from enum import Enum

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import LoopingCall

from pypinger.domain.model import Instant, Seconds, Task, TaskState
from pypinger.domain.moments import asleep, hold_end
from pypinger.domain.reminders import next_reminder

#: The start of a check that was never made.
NEVER: Seconds = float("-inf")

#: Seconds after a wall-clock moment at which its timer fires, so that it never fires early.
MARGIN: Seconds = 0.005

#: Seconds after which the time of a push task is accounted for, pushes or not.
ACCOUNTED: Seconds = 60.0

#: A task gets at most TURNS checks at ``next_change`` within TURNS_WITHIN seconds (contract, section 2).
TURNS = 6
TURNS_WITHIN: Seconds = 60.0


class Phase(Enum):
    """
    What is under way for a task. All but ``RECORDING`` may be cancelled.

    ``ASKING`` is the time in which other hosts are asked whose fault it is that there was no answer.
    """

    IDLE = "idle"
    QUEUED = "queued"
    FETCHING = "fetching"
    ASKING = "asking"
    RECORDING = "recording"


class Watch:
    """
    A task under watch. Times are in seconds on the reactor's clock.

    The monitor owns it; the check under way moves its phase and commits its state.

    :ivar basis: what its verdict rests on, beside the time; None if that is not known.
    :ivar running: fires when the work under way is over; None while idle.
    :ivar began: when the latest check began; :data:`NEVER` before the first.
    :ivar gone: whether the task was removed from the configuration.
    :ivar rest: the earliest time for a check at ``next_change``.
    :ivar first: the timer of the first check, then None.
    :ivar stale: whether its latest check began under other rules than those of today, so that another one is due.
    :ivar silenced: whether a silence muted it, so that what is still wrong is to be told when that ends.
    :ivar timer: the timer of ``next_change`` or the next reminder.
    :ivar turns: when the latest checks at ``next_change`` began; None before the first.
    """

    __slots__ = (
        "basis",
        "began",
        "first",
        "gone",
        "loop",
        "phase",
        "rest",
        "running",
        "silenced",
        "stale",
        "state",
        "task",
        "timer",
        "turns",
    )

    def __init__(self, task: Task, state: TaskState) -> None:
        self.task = task
        self.state = state
        self.basis: tuple[object, ...] | None = None
        self.loop: LoopingCall | None = None
        self.first: IDelayedCall | None = None
        self.timer: IDelayedCall | None = None
        self.phase = Phase.IDLE
        self.running: Deferred[None] | None = None
        self.began: Seconds = NEVER
        self.rest: Seconds = 0.0
        self.gone = False
        self.silenced = False
        self.stale = False
        self.turns: deque[Seconds] | None = None

    @property
    def busy(self) -> bool:
        """Whether a check or a reminder is under way."""
        return self.phase is not Phase.IDLE

    def enter(self, phase: Phase) -> None:
        """Begin the next phase of the work under way."""
        self.phase = phase

    def run(self, work: Deferred[None]) -> None:
        """Take note of the work under way, until :meth:`idle`."""
        self.running = work

    def idle(self) -> None:
        """The work is over."""
        self.phase = Phase.IDLE
        self.running = None

    def end(self) -> None:
        """It is watched no longer."""
        self.gone = True

    def use(self, task: Task) -> Task:
        """Use other settings; returns those before."""
        before, self.task = self.task, task
        return before

    def begin(self, now: Seconds) -> None:
        """
        Begin a check now.

        A check that reaches no verdict must not be repeated at once, so the task rests for an interval unless
        :meth:`finish` or :meth:`miss` says otherwise.
        """
        self.began = now
        self.rest = now + self.task.interval
        self.stale = False

    def expire(self) -> None:
        """Take note that the check under way is made under rules that no longer hold."""
        self.stale = True

    def continue_from(self, began: Seconds) -> None:
        """Watch a task from now on that another instance has checked: what fell due meanwhile waits for no check."""
        self.began = began

    def begin_pushes(self, now: Seconds) -> None:
        """Watch a push task from now on: what falls due is judged at once, as it has no first check."""
        self.began = now

    def set_loop(self, loop: LoopingCall | None, first: IDelayedCall | None) -> None:
        """Use another loop, or none, which `first` starts; what was to start or run before does not."""
        if self.loop is not None and self.loop is not loop and self.loop.running:
            self.loop.stop()
        if self.first is not None and self.first.active():
            self.first.cancel()
        self.loop, self.first = loop, first

    def set_timer(self, timer: IDelayedCall | None) -> None:
        """Use another timer; a call that is still due is cancelled."""
        if self.timer is not None and self.timer.active():
            self.timer.cancel()
        self.timer = timer

    def reminds(self, now: Instant, early: Seconds = 0.0) -> bool:
        """Whether a reminder of the open incident is due, or will be within `early` seconds."""
        # Asked as of now: a moment later the task may sleep, which puts the reminder off.
        reminder = next_reminder(self.task, self.state, now)
        return reminder is not None and reminder <= now + early

    def take_turn(self, now: Seconds) -> None:
        """Count a check at ``next_change`` that begins now, unless a hold asks for it."""
        if self._ends_hold():
            return
        if self.turns is None:
            self.turns = deque(maxlen=TURNS)
        self.turns.append(now)

    def fetch(self, now: Seconds) -> None:
        """Begin to fetch, after waiting for a permit."""
        self.began = now
        self.phase = Phase.FETCHING

    def finish(self, state: TaskState, basis: tuple[object, ...] | None, rest: Seconds) -> None:
        """Adopt the committed state of a completed check; the next check at ``next_change`` is not before `rest`."""
        self.state = state
        self.basis = basis
        self.rest = rest

    def miss(self, now: Instant, rest: Seconds) -> None:
        """
        End a check that is not judged.

        :param now: the wall-clock time.
        :param rest: when the check at ``next_change`` may be made, if that is still to come; one that has passed waits
            for the loop, or for the end of blindness.
        """
        verdict = self.state.verdict
        if verdict is not None and verdict.next_change is not None and verdict.next_change > now:
            self.rest = rest

    def let(self, rest: Seconds) -> None:
        """Allow a check at ``next_change`` from `rest` on."""
        self.rest = rest

    def adopt(self, state: TaskState) -> None:
        """Adopt a state that was committed without a check."""
        self.state = state

    def recall_silence(self) -> None:
        """Take note of whether a silence kept something from being told before this process watched the task."""
        incident = self.state.incident
        self.mute(self.state.owed is not None or (incident is not None and not incident.told))

    def rested(self) -> Seconds:
        """The earliest time for a check at ``next_change``."""
        if self.turns is not None and len(self.turns) == TURNS and not self._ends_hold():
            return max(self.rest, self.turns[0] + TURNS_WITHIN)
        return self.rest

    def _ends_hold(self) -> bool:
        """Whether a hold ends at ``next_change``."""
        verdict, end = self.state.verdict, hold_end(self.task, self.state)
        return verdict is not None and end is not None and verdict.next_change == end

    def overdue(self, now: Instant) -> bool:
        """Whether ``next_change`` has passed, by the wall-clock time `now`, or the rules have changed."""
        verdict = self.state.verdict
        if self.stale:
            return True
        return verdict is not None and verdict.next_change is not None and verdict.next_change <= now

    def mute(self, muted: bool) -> None:
        """Take note of whether a silence mutes the task now."""
        self.silenced = self.silenced or muted

    def hear_again(self) -> None:
        """The silence is over, and what is still wrong is being told; of a task that sleeps, once it wakes."""
        self.silenced = self._sleeps_untold()

    def untold(self, *, blind: bool, muted: bool) -> bool:
        """Whether a silence has ended whose end was not dealt with yet; not before the first check."""
        if not self.silenced or muted or blind or self.began == NEVER:
            return False
        return self.state.owed is not None or not self._sleeps_untold()

    def _sleeps_untold(self) -> bool:
        """Whether the task sleeps in an incident that was never told."""
        incident = self.state.incident
        return incident is not None and not incident.told and asleep(self.task, self.state)

    def until_due(
        self, now: Instant, seconds: Seconds, *, blind: bool, muted: bool, joining: Instant | None = None
    ) -> Seconds | None:
        """
        Return the delay until the next check or alert that the loop does not make.

        :param now: the wall-clock time.
        :param seconds: the time on the reactor's clock.
        :param blind: whether Py Pinger is blind, so that there are no reminders.
        :param muted: whether a silence mutes the task, so that there are none either.
        :param joining: when the next channel joins the open incident.
        :returns: None if nothing is due before the loop's next check, which asks again. A healthy task therefore has
            no timer most of the time; a push task, which has no loop, always has one.
        """
        state = self.state
        verdict = state.verdict
        if verdict is None:
            return None
        due = float("inf")
        # What fell due before the start is left to the first check: thousands of tasks must not be checked at once,
        # and a reminder may be out of date.
        earliest = 0.0 if self.began == NEVER else NEVER
        if verdict.next_change is not None or self.stale:
            change = 0.0 if verdict.next_change is None or self.stale else verdict.next_change + MARGIN - now
            change = max(change, self.rested() - seconds)
            if change > earliest:
                due = change
        if self.untold(blind=blind, muted=muted):
            due = 0.0
        if state.incident is not None and not blind and not muted:
            for moment in (next_reminder(self.task, state, now), joining):
                if moment is not None and moment + MARGIN - now > earliest:
                    due = min(due, moment + MARGIN - now)
        if self.task.url is None:
            due = min(due, ACCOUNTED)
        elif due > self.task.interval:
            return None
        return max(0.0, due)
