"""
Replay of tasks that push: see :mod:`pypinger.domain.replay`.

Each push is a run of its own in the records, at the moment when it was judged. Between two of them such a task is
judged from what is kept at its ``next_change``, which needs no check. While Py Pinger did not run it was not, and after
a start no task is late before its grace has passed: see :mod:`pypinger.domain.pushes`. The records do not tell a time
in which Py Pinger was blind, and judged pushes as always, from one in which it did not run; an alert that was given in
it does.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Callable
from itertools import pairwise

from pypinger.domain import incidents, reminders
from pypinger.domain.model import Alert, Check, Event, Instant, NoAnswer, Task, TaskState
from pypinger.domain.pushes import judge_again, judge_push
from pypinger.domain.recorded import BlindTimes, FindingRun
from pypinger.domain.replay import TOLERANCE, Notice, Records, initial_state

_ALWAYS: Instant = float("-inf")


def replay_pushes(task: Task, records: Records) -> list[Notice]:
    """Return the alerts that a task that pushes would have caused with these settings, in order."""
    return _Replay(task, records).run()


class _Replay:
    def __init__(self, task: Task, records: Records) -> None:
        self._task = task
        self._records = records
        self._blind = BlindTimes(records.blind)
        self._starts = sorted(end for _, end in records.blind)
        self._given = [notice.at for notice in records.given]
        self._reminders = [notice.at for notice in records.given if notice.event is Event.REMINDER]
        self._removed = deque(records.removed)
        self._state = initial_state(task, records)
        self._now = _ALWAYS
        self._notices: list[Notice] = []

    def run(self) -> list[Notice]:
        runs, end = self._records.runs, self._records.end
        if not runs:
            self._await(end)
        for run, following in pairwise((*runs, None)):
            assert run is not None
            self._push(run)
            self._until(end if following is None else following.first)
        return self._notices

    def _await(self, end: Instant | None) -> None:
        """Replay a task that has never reported."""
        configured = self._records.configured
        if configured is not None:
            self._state = TaskState(configured=configured)
            self._again(configured)
            self._until(end)

    def _push(self, run: FindingRun) -> None:
        assert not isinstance(run.finding, NoAnswer)
        verdict = judge_push(run.finding, self._task, self._state, run.first, self._ready(run.first))
        self._step(Check(run.first, 0.0, run.finding, verdict))

    def _again(self, at: Instant) -> None:
        self._step(Check(at, 0.0, None, judge_again(self._task, self._state, at, self._ready(at))))

    def _until(self, end: Instant | None) -> None:
        """Replay what comes without a push before `end`; nothing if that is not known."""
        while end is not None:
            steps: list[tuple[Instant, Callable[[Instant], None]]] = []
            if (at := self._deadline()) is not None:
                steps.append((at, self._again))
            if (at := self._reminder()) is not None:
                steps.append((at, self._remind))
            if self._removed:
                steps.append((max(self._removed[0], self._now), self._remove))
            steps = [each for each in steps if each[0] < end]
            if not steps:
                return
            at, step = min(steps, key=lambda each: each[0])
            step(at)

    def _deadline(self) -> Instant | None:
        """Return when the task is judged again; in a time without Py Pinger, at the start that follows."""
        verdict = self._state.verdict
        assert verdict is not None
        at = verdict.next_change
        if at is None or at <= self._now:
            return None
        index = bisect_left(self._given, at - TOLERANCE)
        judged = index < len(self._given) and self._given[index] <= at + TOLERANCE
        return at if judged else self._blind.end(at, 0.0)

    def _reminder(self) -> Instant | None:
        due = reminders.next_reminder(self._task, self._state, self._now)
        if due is None:
            return None
        at = self._blind.end(max(due, self._now), 0.0)
        # It may have come early, in a digest with one of another task.
        index = bisect_left(self._reminders, max(self._now, at - reminders.digest_span(self._task)) - TOLERANCE)
        if index < len(self._reminders) and self._reminders[index] <= at + TOLERANCE:
            return max(self._now, self._reminders[index])
        return at

    def _ready(self, at: Instant) -> Instant:
        """Return until when the task is not late after the latest start."""
        index = bisect_right(self._starts, at)
        return self._starts[index - 1] + self._task.grace if index else _ALWAYS

    def _remind(self, at: Instant) -> None:
        early = reminders.digest_span(self._task)
        self._keep(at, reminders.remind(self._task, self._state, at, early))

    def _remove(self, at: Instant) -> None:
        self._removed.popleft()
        self._keep(at, incidents.close(self._task, self._state, at, "it was removed from the configuration"))

    def _step(self, check: Check) -> None:
        self._keep(check.at, incidents.step(self._task, self._state, check))

    def _keep(self, at: Instant, after: tuple[TaskState, tuple[Alert, ...]]) -> None:
        self._now = at
        self._state, alerts = after
        for alert in alerts:
            assert alert.kind is not None
            self._notices.append(Notice(alert.at, alert.event, alert.kind, alert.explanation))
