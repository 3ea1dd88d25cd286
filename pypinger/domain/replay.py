"""
Replay (``pypinger replay``): what was found in the past, judged with other settings, and the alerts of that.

The judge and the reducers are the daemon's own; this only works out when they were asked, or would have been. Reading
the past is left to the caller. Pure, as all of the domain.

Note [When it was checked]
~~~~~~~~~~~~~~~~~~~~~~~~~~
What checks found is kept in runs (first, last, how many), and whatever people were told began one. So the moment of
each verdict that mattered is the beginning of a run, and with the same settings the runs are all there is to judge.

Other settings have other deadlines, at which a check would have been made that was not. Within a run the answer is
known. Between two runs it is the one before, or the one after if that is a report of a run of the task that was over by
then. But where the next run begins so soon after the deadline that its check may already have been under way, that
check *is* the one of the deadline. How long it took is not kept of answers, so it is given all of its timeout.

Reminders are the same with timers in place of checks: one that is due while a check may be under way is left to it.
When the daemon gave a reminder at about that time, that is when it is given, so that what a timer was late does not add
up over the days.

Note [Dark times]
~~~~~~~~~~~~~~~~~
While Py Pinger was blind or did not run, nothing happened: no deadline was met, and a reminder waits. The same holds
where two runs are further apart than a missed check can explain (the machine was suspended, the clock was stepped), and
from when a task was removed from the ini file to its next check.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise

import msgspec
from msgspec.structs import replace

from pypinger.domain import incidents
from pypinger.domain.judge import judge
from pypinger.domain.kinds import Kind, Status
from pypinger.domain.model import (
    Alert,
    Check,
    Event,
    Finding,
    Incident,
    Instant,
    NoAnswer,
    Reported,
    Seconds,
    Task,
    TaskState,
)

#: How far apart what was told and what would have been told may be and still be the same.
TOLERANCE: Seconds = 1.0

#: How long after its moment a check or a reminder may begin.
_SLACK: Seconds = 1.0

#: For how long beyond its timeout a failure may have been held back, to see whether it was our own.
_HELD: Seconds = 5.0

#: How much longer than two intervals and a timeout nothing may be found before that time counts as dark.
_MISSED: Seconds = 60.0


class Found(msgspec.Struct, frozen=True):
    """
    One finding, for as long as every check found the same.

    :ivar count: how many checks found it, from `first` to `last`.
    """

    first: Instant
    last: Instant
    count: int
    finding: Finding


class Notice(msgspec.Struct, frozen=True):
    """What people were told, or would have been, of a task."""

    at: Instant
    event: Event
    kind: Kind
    explanation: str


class Past(msgspec.Struct, frozen=True):
    """
    What is remembered of a task, over the same time.

    :ivar found: what its checks found, in order.
    :ivar dark: when nothing was seen; stretches may overlap.
    :ivar told: what people were told, in order.
    :ivar removed: when it was removed from the configuration while it had an incident, in order.
    :ivar incident: the one that was open when all this began.
    """

    found: Sequence[Found]
    dark: Sequence[tuple[Instant, Instant]] = ()
    told: Sequence[Notice] = ()
    removed: Sequence[Instant] = ()
    incident: Incident | None = None


class Line(msgspec.Struct, frozen=True):
    """
    One line of a comparison.

    :ivar mark: ``=`` they were told, and would be; ``-`` they were and would not be; ``+`` they would be and were not.
    """

    mark: str
    notice: Notice


def replay(task: Task, past: Past) -> list[Notice]:
    """What people would have been told of the task with these settings, in order."""
    return _Replay(task, past).run() if past.found else []


def compare(told: Iterable[Notice], replayed: Iterable[Notice]) -> list[Line]:
    """
    Set what people were told against what they would have been told, in order.

    The same is what has the same event and kind within :data:`TOLERANCE`; it is shown as it was told.
    """
    waiting: dict[tuple[Event, Kind], deque[Notice]] = {}
    for notice in replayed:
        waiting.setdefault((notice.event, notice.kind), deque()).append(notice)
    lines = []
    for notice in told:
        others = waiting.get((notice.event, notice.kind), deque())
        while others and others[0].at < notice.at - TOLERANCE:
            lines.append(Line("+", others.popleft()))
        if others and others[0].at <= notice.at + TOLERANCE:
            others.popleft()
            lines.append(Line("=", notice))
        else:
            lines.append(Line("-", notice))
    lines += (Line("+", notice) for others in waiting.values() for notice in others)
    return sorted(lines, key=lambda line: line.notice.at)


class _Replay:
    """One task on its way through its past."""

    def __init__(self, task: Task, past: Past) -> None:
        self._task = task
        self._found = past.found
        self._dark = _Dark(_dark_times(task, past))
        self._reminders = [notice.at for notice in past.told if notice.event is Event.REMINDER]
        self._removed = deque(past.removed)
        self._state = _beginning(task, past)
        self._now = self._found[0].first
        self._notices: list[Notice] = []

    def run(self) -> list[Notice]:
        for found, following in pairwise((*self._found, None)):
            assert found is not None
            self._go_through(found, following)
        return self._notices

    def _go_through(self, found: Found, following: Found | None) -> None:
        """From the beginning of a run to that of the next."""
        self._check(found.finding, found.first)
        checks = _checks(found, self._task.interval, self._dark)
        while True:
            moves: list[tuple[Instant, Callable[[Instant], None]]] = []
            if (at := self._deadline(found, following)) is not None:
                moves.append((at, lambda at: self._check(_visible(found, following, at), at)))
            if self._state.status is Status.ERROR and self._state.incident is None:
                # Only here does it matter that the same was found once more.
                while checks and checks[0] <= self._now:
                    checks.popleft()
                if checks:
                    moves.append((checks[0], lambda at: self._check(found.finding, at)))
            if (at := self._reminder(found, following)) is not None:
                moves.append((at, lambda at: self._remind(_visible(found, following, at), at)))
            if self._removed:
                moves.append((max(self._removed[0], self._now), self._remove))
            moves = [move for move in moves if following is None or move[0] < following.first]
            if not moves:
                return
            at, move = min(moves, key=lambda each: each[0])
            move(at)

    def _deadline(self, found: Found, following: Found | None) -> Instant | None:
        """When the verdict changes by itself and nobody else looks: see Note [When it was checked]."""
        verdict = self._state.verdict
        assert verdict is not None
        at = verdict.next_change
        if at is None or at <= self._now or self._dark.end(at, self._task.timeout + _SLACK) != at:
            return None
        if at <= found.last:
            return at
        # A check that came to no verdict may have put it off for an interval.
        put_off = self._dark.length(at - self._task.interval, at) > 0
        return at if self._alone(at, following) and not put_off else None

    def _reminder(self, found: Found, following: Found | None) -> Instant | None:
        """When the next reminder is given, unless a check gives it."""
        due = incidents.next_reminder(self._task, self._state, self._now)
        if due is None:
            return None
        at = max(due, self._now)
        awake = self._dark.end(at, self._task.timeout + _SLACK)
        index = bisect_left(self._reminders, at - TOLERANCE)
        if index < len(self._reminders) and self._reminders[index] <= awake + 2 * self._task.timeout + _HELD + _SLACK:
            return max(at, self._reminders[index])
        return awake if awake <= found.last or self._alone(awake, following) else None

    def _alone(self, at: Instant, following: Found | None) -> bool:
        """Whether no recorded check can have been under way at a moment after the end of a run."""
        if following is None:
            return False
        took = self._task.timeout
        if isinstance(following.finding, NoAnswer):
            took += following.finding.latency + _HELD
        return following.first - at > took + _SLACK

    def _check(self, finding: Finding, at: Instant) -> None:
        check = Check(at, 0.0, finding, judge(finding, self._task.grace, at))
        self._keep(at, incidents.step(self._task, self._state, check))

    def _remind(self, finding: Finding, at: Instant) -> None:
        verdict = judge(finding, self._task.grace, at)
        if verdict.kind is self._state.kind:
            # As the checks in between would have put it.
            self._state = replace(self._state, verdict=verdict)
        self._keep(at, incidents.remind(self._task, self._state, at))

    def _remove(self, at: Instant) -> None:
        self._removed.popleft()
        why = "it was removed from the configuration"
        self._keep(at, incidents.close(self._task, self._state, at, why))

    def _keep(self, at: Instant, after: tuple[TaskState, tuple[Alert, ...]]) -> None:
        self._now = at
        self._state, alerts = after
        for alert in alerts:
            assert alert.kind is not None
            self._notices.append(Notice(alert.at, alert.event, alert.kind, alert.explanation))


class _Dark:
    """When nothing was seen: see Note [Dark times]."""

    def __init__(self, spans: Iterable[tuple[Instant, Instant]]) -> None:
        self._starts: list[Instant] = []
        self._ends: list[Instant] = []
        for start, end in sorted(spans):
            if self._ends and start <= self._ends[-1]:
                self._ends[-1] = max(end, self._ends[-1])
            else:
                self._starts.append(start)
                self._ends.append(end)

    def end(self, at: Instant, ahead: Seconds) -> Instant:
        """`at`, or the end of the dark time that it lies in or that begins within the time `ahead`, and so on."""
        index = bisect_right(self._ends, at)
        while index < len(self._ends) and self._starts[index] <= at + ahead:
            at = self._ends[index]
            index += 1
        return at

    def within(self, start: Instant, end: Instant) -> list[tuple[Instant, Instant]]:
        """What of it lies between two moments, in order."""
        first, last = bisect_right(self._ends, start), bisect_left(self._starts, end)
        spans = zip(self._starts[first:last], self._ends[first:last], strict=True)
        return [(max(start, begins), min(end, ends)) for begins, ends in spans]

    def length(self, start: Instant, end: Instant) -> Seconds:
        """How much of the time between two moments it is."""
        return sum(ends - begins for begins, ends in self.within(start, end))


def _dark_times(task: Task, past: Past) -> Iterator[tuple[Instant, Instant]]:
    yield from past.dark
    known = _Dark(past.dark)
    pairs = list(pairwise(past.found))
    rhythm = [
        (later.first - found.first - known.length(found.first, later.first)) / found.count for found, later in pairs
    ]
    # With another interval than the one asked for it was checked less often, and nothing was wrong.
    interval = max([task.interval, *sorted(rhythm)[len(rhythm) // 2 :][:1]])
    limit = 2 * interval + task.timeout + _MISSED
    for found, later in pairs:
        if later.first - found.last - known.length(found.last, later.first) > limit:
            yield found.last, later.first
    firsts = [found.first for found in past.found]
    for at in past.removed:
        index = bisect_right(firsts, at)
        if index < len(firsts):
            yield at, firsts[index]


def _beginning(task: Task, past: Past) -> TaskState:
    """The state before the first run."""
    if past.incident is None:
        return TaskState()
    return TaskState(row=task.failures, row_started=past.incident.started, incident=past.incident)


def _visible(found: Found, following: Found | None, at: Instant) -> Finding:
    """What a check would have found between the beginning of a run and that of the next."""
    if following is not None and at > found.last and isinstance(following.finding, Reported):
        ran = following.finding.report.lastrun
        if found.last < ran <= at:
            return following.finding
    return found.finding


def _checks(found: Found, interval: Seconds, dark: _Dark) -> deque[Instant]:
    """When the checks after the first of a run were made, as far as that can be known."""
    count = found.count - 1
    if count < 1:
        return deque()
    second = found.last - (count - 1) * interval
    if found.first < second <= found.first + interval:
        # The first was at a deadline perhaps, the others were at their intervals.
        return deque([*(second + number * interval for number in range(count - 1)), found.last])
    length = found.last - found.first - dark.length(found.first, found.last)
    spans = dark.within(found.first, found.last)
    if length < interval:
        # While some tasks could not be seen, this one was.
        length, spans = found.last - found.first, []
    moments = deque(found.first + length * number / count for number in range(1, count))
    for begins, ends in spans:
        moments = deque(at if at < begins else at + ends - begins for at in moments)
    moments.append(found.last)
    return moments
