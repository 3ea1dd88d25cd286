"""
Judge a finding (contract, section 2): the finding, the task's settings and the time make a verdict, which explains
itself.

An explanation holds absolute times only. It is the same for every moment until the verdict's ``next_change``, so a
stored verdict stays true without judging it again. Ages ("late by 5 min") are added where a verdict is shown: see
:func:`pypinger.domain.wording.age`.
"""

from __future__ import annotations

from typing import NamedTuple

from pypinger.domain.kinds import Kind
from pypinger.domain.model import Finding, Instant, NoAnswer, Report, Reported, Seconds, Skew, Task, Verdict
from pypinger.domain.schedule import RESOLUTION, Basis, Due, Plan, plan_of
from pypinger.domain.sleep import SleepPeriod
from pypinger.domain.texts import LIMIT, one_line
from pypinger.domain.times import MINUTE, length, local_clock

__all__ = ["RESOLUTION", "judge"]


def judge(finding: Finding, task: Task, now: Instant, *, skew: Skew | None = None) -> Verdict:
    """
    Judge what a check found.

    :param task: its grace, and what the ini file says of its schedule.
    :param now: the moment to judge for.
    :param skew: the difference of the host's clock, which explanations of ``late`` and ``future`` mention.
    """
    if isinstance(finding, Reported):
        return _judge_report(finding, task, now, skew)
    if isinstance(finding, NoAnswer):
        return Verdict(Kind.UNREACHABLE, one_line(finding.words))
    if _successful(finding.code):
        http = "" if finding.code == 200 else f" (HTTP {finding.code})"
        return Verdict(Kind.INVALID, f"not a valid report: {finding.problem}{http}")
    return Verdict(Kind.UNREACHABLE, f"HTTP {finding.code} and no valid report: {finding.problem}")


def _judge_report(finding: Reported, task: Task, now: Instant, skew: Skew | None) -> Verdict:
    report, grace = finding.report, task.grace
    plan = plan_of(task, report)
    due = plan.due(report, grace)
    words = _Words(report, plan, due)
    period = plan.sleep.period_at(now)
    if period is not None:
        return Verdict(Kind.SLEEPING, words.sleeping(period), due.at, period.end, period.start, period.end)

    falls_asleep = plan.sleep.next_start(now)
    if not report.ok or not _successful(finding.code):
        return Verdict(Kind.FAILED, f"{_failure(finding)}; {words.expected('due')}", due.at, falls_asleep)

    credible = plan.credible(report, grace)
    if now < credible:
        explanation = f"{words.ahead(grace)}{_skewed(skew)}"
        return Verdict(Kind.FUTURE, explanation, due.at, _earlier(credible, falls_asleep))

    allowed = f"; grace {length(grace)}" if grace else ""
    # Without a due time (beyond the years that have dates) a task is never late.
    late = None if due.at is None else due.at + grace
    if late is not None and now > late:
        explanation = f"{words.expected('was due', late=True)}{allowed}{words.began_late()}{_skewed(skew)}"
        return Verdict(Kind.LATE, explanation, due.at, falls_asleep)

    change = falls_asleep if late is None else _earlier(late + RESOLUTION, falls_asleep)
    return Verdict(Kind.OK, f"{words.expected('due')}{allowed}", due.at, change)


def _successful(code: int) -> bool:
    return 200 <= code < 300


def _earlier(instant: Instant, other: Instant | None) -> Instant:
    return instant if other is None else min(instant, other)


class _Words(NamedTuple):
    """
    The parts of an explanation.

    A moment has its date unless it is of the same day as the moment named before it. Of a schedule, moments are in its
    time zone.
    """

    report: Report
    plan: Plan
    due: Due

    def expected(self, verb: str, before: Instant | None = None, *, late: bool = False) -> str:
        """
        When the task ran, how often it runs, since when a run is under way, and when it is due.

        :param verb: "due" or "was due".
        :param before: the moment named before.
        """
        report, plan, (due, basis, postponed, allowed) = self
        lastrun = report.lastrun
        parts, known = [self.ran(before)], before if lastrun is None else lastrun
        if basis is not Basis.RUN and report.started is not None:
            running = f"running since {self.clock(report.started, known)}"
            if basis is Basis.RUNTIME and plan.max_runtime is not None:
                running += f", {'longer than its' if late else 'may take'} {length(plan.max_runtime)}"
            parts.append(running)
            known = report.started
        if due is not None:
            notes = f" (with {length(allowed)} to run)" if allowed else ""
            notes += " (postponed by sleep)" if postponed else ""
            parts.append(f"{verb} {self.clock(due, known)}{notes}")
        return ("; " if plan.cron is not None or len(parts) > 2 else ", ").join(parts)

    def ran(self, before: Instant | None = None) -> str:
        """When the task ran last, and how often it runs."""
        lastrun = self.report.lastrun
        ran = "no run has ended yet; it" if lastrun is None else f"last ran {self.clock(lastrun, before)},"
        return f"{ran} runs {self.plan.words}"

    def began_late(self) -> str:
        """Say since when a run is under way that began too late to count."""
        report, due = self.report, self.due
        if due.basis is not Basis.RUN or not report.running or report.started is None:
            return ""
        return f"; running only since {self.clock(report.started, due.at)}"

    def sleeping(self, period: SleepPeriod) -> str:
        """Until when the task sleeps."""
        if period.end is None:
            return f"sleeps all day; {self.ran()}"
        start = local_clock(period.start, self.plan.sleep.zone, period.start)
        window = f"every day from {start} for {length(period.end - period.start)}"
        return f"sleeps until {self.clock(period.end)} ({window}); {self.expected('due', period.end)}"

    def ahead(self, grace: Seconds) -> str:
        """Which moment is in the future, and by more than what."""
        report, plan = self.report, self.plan
        moments = (("lastrun", report.lastrun), ("started", report.started))
        instant, name = max((instant, name) for name, instant in moments if instant is not None)
        allowed = "" if plan.frequency is None else "its frequency of "
        allowed += length(plan.ahead) + (f" plus {length(grace)} grace" if grace else "")
        return f"{name} {self.clock(instant)} is in the future by more than {allowed}"

    def clock(self, instant: Instant, before: Instant | None = None) -> str:
        return self.plan.clock(instant, before)


def _failure(finding: Reported) -> str:
    report = finding.report
    if report.ok:
        return f"HTTP {finding.code} although the report says ok"
    http = "" if _successful(finding.code) else f" (HTTP {finding.code})"
    reason = one_line(report.reason or "")[:LIMIT]
    return f"the task reports an error{http}" + (f': "{reason}"' if reason else " without a reason")


def _skewed(skew: Skew | None) -> str:
    minutes = 0 if skew is None else round(skew.ahead / MINUTE)
    if skew is None or not minutes:
        return ""
    side = "ahead of" if minutes > 0 else "behind"
    return f"; the clock of {one_line(skew.host)} is {length(abs(minutes) * MINUTE)} {side} ours"
