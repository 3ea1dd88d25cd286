"""
Judge a finding (contract, section 2): the finding, the task's grace and the time make a verdict that explains itself.

An explanation holds absolute times only. It is the same for every moment until the verdict's ``next_change``, so a
stored verdict stays true without judging it again. Ages ("late by 5 min") are added where a verdict is shown: see
:func:`pypinger.domain.wording.age`.
"""

from __future__ import annotations

from pypinger.domain.kinds import Kind
from pypinger.domain.model import Finding, Instant, NoAnswer, Report, Reported, Seconds, Skew, Verdict
from pypinger.domain.schedule import SleepPeriod, merge
from pypinger.domain.texts import LIMIT, one_line
from pypinger.domain.times import HOUR, MINUTE, clock, every, length

#: How long after due + grace a task becomes late.
RESOLUTION: Seconds = 0.001


def judge(finding: Finding, grace: Seconds, now: Instant, *, skew: Skew | None = None) -> Verdict:
    """
    Judge what a check found.

    :param grace: seconds after the due time before the task is late.
    :param now: the moment to judge for.
    :param skew: the difference of the host's clock, which explanations of ``late`` and ``future`` mention.
    """
    if isinstance(finding, Reported):
        return _judge_report(finding, grace, now, skew)
    if isinstance(finding, NoAnswer):
        return Verdict(Kind.UNREACHABLE, one_line(finding.words))
    if _successful(finding.code):
        http = "" if finding.code == 200 else f" (HTTP {finding.code})"
        return Verdict(Kind.INVALID, f"not a valid report: {finding.problem}{http}")
    return Verdict(Kind.UNREACHABLE, f"HTTP {finding.code} and no valid report: {finding.problem}")


def _judge_report(finding: Reported, grace: Seconds, now: Instant, skew: Skew | None) -> Verdict:
    report = finding.report
    sleep = merge(report.sleep)
    frequency = report.frequency * MINUTE
    due = sleep.due(report.lastrun, frequency)
    period = sleep.period_at(now)
    if period is not None:
        explanation = _sleeping(report, due, period)
        return Verdict(Kind.SLEEPING, explanation, due, period.end, period.start, period.end)

    assert due is not None  # Only a task that sleeps all day has no due time.
    falls_asleep = sleep.next_start(now)
    if not report.ok or not _successful(finding.code):
        explanation = f"{_failure(finding)}; {_ran(report)}, {_due(report, due, 'due')}"
        return Verdict(Kind.FAILED, explanation, due, falls_asleep)

    credible = report.lastrun - frequency - grace
    if now < credible:
        explanation = f"{_ahead(report, grace)}{_skewed(skew)}"
        return Verdict(Kind.FUTURE, explanation, due, _earlier(credible, falls_asleep))

    late = due + grace
    allowed = f"; grace {length(grace)}" if grace else ""
    if now > late:
        explanation = f"{_ran(report)}, {_due(report, due, 'was due')}{allowed}{_skewed(skew)}"
        return Verdict(Kind.LATE, explanation, due, falls_asleep)

    explanation = f"{_ran(report)}, {_due(report, due, 'due')}{allowed}"
    return Verdict(Kind.OK, explanation, due, _earlier(late + RESOLUTION, falls_asleep))


def _successful(code: int) -> bool:
    return 200 <= code < 300


def _earlier(instant: Instant, other: Instant | None) -> Instant:
    return instant if other is None else min(instant, other)


# The parts of explanations. A moment has its date unless it is of the same day as the moment named before it.


def _ran(report: Report, before: Instant | None = None) -> str:
    return f"last ran {clock(report.lastrun, before)}, runs {every(report.frequency * MINUTE)}"


def _due(report: Report, due: Instant, verb: str) -> str:
    postponed = " (postponed by sleep)" if due != report.lastrun + report.frequency * MINUTE else ""
    return f"{verb} {clock(due, report.lastrun)}{postponed}"


def _sleeping(report: Report, due: Instant | None, period: SleepPeriod) -> str:
    if period.end is None or due is None:
        return f"sleeps all day; {_ran(report)}"
    hour, rest = divmod(round(period.start) % 86_400, int(HOUR))
    minute, second = divmod(rest, 60)
    start = f"{hour:02}:{minute:02}:{second:02}" if second else f"{hour:02}:{minute:02}"
    window = f"every day from {start} UTC for {length(period.end - period.start)}"
    return f"sleeps until {clock(period.end)} ({window}); {_ran(report, period.end)}, {_due(report, due, 'due')}"


def _failure(finding: Reported) -> str:
    report = finding.report
    if report.ok:
        return f"HTTP {finding.code} although the report says ok"
    http = "" if _successful(finding.code) else f" (HTTP {finding.code})"
    reason = one_line(report.reason or "")[:LIMIT]
    return f"the task reports an error{http}" + (f': "{reason}"' if reason else " without a reason")


def _ahead(report: Report, grace: Seconds) -> str:
    allowed = f"its frequency of {length(report.frequency * MINUTE)}"
    if grace:
        allowed += f" plus {length(grace)} grace"
    return f"lastrun {clock(report.lastrun)} is in the future by more than {allowed}"


def _skewed(skew: Skew | None) -> str:
    minutes = 0 if skew is None else round(skew.ahead / MINUTE)
    if skew is None or not minutes:
        return ""
    side = "ahead of" if minutes > 0 else "behind"
    return f"; the clock of {one_line(skew.host)} is {length(abs(minutes) * MINUTE)} {side} ours"
