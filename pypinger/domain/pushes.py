"""
Tasks that send their reports (contract, section 9): what a push changes, and how such a task is judged without one.

Note [Judged again]
~~~~~~~~~~~~~~~~~~~
A push task is judged when it sends something and, from what is kept, at its ``next_change``. What it might have sent
while Py Pinger was not running is lost, so it is not found late until its grace has passed since the start. A verdict
of before the start stands until then.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TypeAlias

import msgspec
from msgspec.structs import replace

from pypinger.domain.judge import judge
from pypinger.domain.kinds import Kind
from pypinger.domain.model import Finding, Instant, Invalid, Report, Reported, Task, TaskState, Verdict
from pypinger.domain.report import Scrub, text_of
from pypinger.domain.schedule import RESOLUTION, plan_of
from pypinger.domain.times import clock, length

#: How many bytes of a ping's body are kept, as Healthchecks keeps them.
PING_BODY = 10_000

#: The verdict on a task that has not reported, and is not expected to by its settings.
UNEXPECTED = "no push yet; without frequency or schedule in the ini file none is expected"


class Action(StrEnum):
    """What a ping says."""

    SUCCESS = "success"
    START = "start"
    FAIL = "fail"
    LOG = "log"


class Ping(msgspec.Struct, frozen=True):
    """
    A request of Healthchecks' ping protocol.

    :ivar rid: tells the runs of a task apart; None without one.
    :ivar code: the exit code, if it named one.
    :ivar body: the first :data:`PING_BODY` bytes of what was sent with it.
    """

    action: Action
    rid: str | None = None
    code: int | None = None
    body: bytes = b""

    @property
    def failure(self) -> bool:
        """Whether it says that the task has failed."""
        return self.action is Action.FAIL


class PushedReport(msgspec.Struct, frozen=True):
    """
    A report that a task sent.

    :ivar finding: what was read from it.
    :ivar body: its beginning.
    """

    finding: Reported | Invalid
    body: bytes = b""

    @property
    def failure(self) -> bool:
        """Whether it says that the task has failed."""
        return isinstance(self.finding, Reported) and not self.finding.report.ok


#: What a task sends.
Push: TypeAlias = Ping | PushedReport


def take(state: TaskState, push: Push, now: Instant, scrub: Scrub) -> tuple[TaskState, Reported | Invalid | None]:
    """
    Take a push in.

    :param scrub: removes secrets from a text.
    :returns: the state with what the push says of runs, and what is to be judged; None if there is nothing to judge.
    """
    kept = state.report
    if isinstance(push, PushedReport):
        finding = push.finding
        if isinstance(finding, Invalid):
            return state, finding
        report = finding.report
        if report.lastrun is None:
            # The beginning of a run; of its end and the rest, the reports before it speak.
            known = replace(report, ok=True, reason=None) if kept is None else kept
            report = replace(known, started=report.started, overlapped=False)
        return replace(state, rid=None), Reported(finding.code, report)
    if push.action is Action.LOG:
        return state, None
    base = Report(ok=True, lastrun=None) if kept is None else kept
    match push.action:
        case Action.START:
            report, rid = replace(base, started=now, overlapped=False), push.rid
        case Action.SUCCESS:
            # A run that goes by another id is not the one that is under way.
            other = base.running and push.rid is not None and push.rid != state.rid
            report = replace(_ended(base, now), ok=True, reason=None, overlapped=other)
            rid = state.rid if other else None
        case _:
            report, rid = replace(_ended(base, now), ok=False, reason=_reason(push, scrub)), None
    return replace(state, rid=rid), Reported(200, report)


def judge_push(finding: Finding, task: Task, state: TaskState, now: Instant, ready: Instant) -> Verdict:
    """
    Judge what a task has sent.

    :param state: before it.
    :param ready: until when no task is found late: see Note [Judged again].
    """
    return _leniently(judge(finding, task, now), state, now, ready)


def judge_again(task: Task, state: TaskState, now: Instant, ready: Instant) -> Verdict:
    """
    Judge a task from what is kept.

    :param ready: until when no task is found late: see Note [Judged again].
    """
    verdict = state.verdict
    if verdict is not None and verdict.kind is Kind.INVALID:
        return replace(verdict, next_change=None)
    if state.report is not None:
        return _leniently(judge(Reported(200, state.report), task, now), state, now, ready)
    return _awaited(task, state, now, ready)


def _awaited(task: Task, state: TaskState, now: Instant, ready: Instant) -> Verdict:
    """Judge a task that has never reported: its first due time is reckoned from when it was configured."""
    plan = plan_of(task)
    if plan.frequency is None and plan.cron is None:
        return Verdict(Kind.NEW, UNEXPECTED)
    configured = now if state.configured is None else state.configured
    due = plan.due_after(configured).at
    words = f"no push yet; configured {plan.clock(configured)}, runs {plan.words}"
    if due is None:
        return Verdict(Kind.NEW, words)
    late = max(due + task.grace, ready if state.kind is not Kind.LATE else due)
    allowed = f"; grace {length(task.grace)}" if task.grace else ""
    if now <= late:
        return Verdict(Kind.NEW, f"{words}, due {plan.clock(due, configured)}{allowed}", due, late + RESOLUTION)
    explanation = f"{words}, was due {plan.clock(due, configured)}{allowed}"
    period = plan.sleep.period_at(now)
    if period is not None:
        return Verdict(Kind.SLEEPING, f"sleeps; {explanation}", due, period.end, period.start, period.end)
    return Verdict(Kind.LATE, explanation, due, plan.sleep.next_start(now))


def _leniently(verdict: Verdict, state: TaskState, now: Instant, ready: Instant) -> Verdict:
    """Return a verdict that is not late before `ready`, unless it was already."""
    if verdict.kind is not Kind.LATE or now > ready or state.kind is Kind.LATE:
        return verdict
    change = ready + RESOLUTION
    if verdict.next_change is not None:
        change = min(change, verdict.next_change)
    words = f"{verdict.explanation}; not late before {clock(ready)}, as Py Pinger has just started"
    return replace(verdict, kind=Kind.OK, explanation=words, next_change=change)


def _ended(report: Report, now: Instant) -> Report:
    """Return a report of a run that ends now; it began when the report says, if that run was under way."""
    return replace(report, lastrun=now, started=report.started if report.running else None, overlapped=False)


def _reason(ping: Ping, scrub: Scrub) -> str | None:
    text = text_of(ping.body.decode("utf-8", "replace"), scrub)
    if text:
        return text
    return None if ping.code is None else f"exit code {ping.code}"
