"""
The judge (contract, section 2): a finding, the task's grace and the time make a verdict that explains itself.

What the verdict leads to is left to :mod:`pypinger.domain.incidents`.
"""

from __future__ import annotations

from pypinger.domain.kinds import Kind
from pypinger.domain.model import Finding, Instant, NoAnswer, Report, Reported, Seconds, Verdict
from pypinger.domain.schedule import Nap, merge
from pypinger.domain.texts import LIMIT, one_line
from pypinger.domain.times import HOUR, MINUTE, clock, number, same_day, span

#: "The moment after": how much later than due + grace a task is late.
RESOLUTION: Seconds = 0.001


def judge(finding: Finding, grace: Seconds, now: Instant) -> Verdict:
    """
    Judge what a check found.

    :param grace: seconds after the due time before the task is late.
    :param now: the moment to judge for.
    """
    if isinstance(finding, Reported):
        return _judge_report(finding, grace, now)
    if isinstance(finding, NoAnswer):
        return Verdict(Kind.UNREACHABLE, one_line(finding.words))
    if _successful(finding.code):
        return Verdict(Kind.INVALID, f"not a valid report: {finding.problem} (HTTP {finding.code})")
    return Verdict(Kind.UNREACHABLE, f"HTTP {finding.code} and no valid report: {finding.problem}")


def judge_again(finding: Finding, grace: Seconds, now: Instant, before: Verdict, then: Instant) -> Verdict:
    """
    Judge what was judged before: the very verdict that :func:`judge` gives, for a fraction of its cost.

    From one check to the next nothing changes in the verdict of a task that is on time but how long ago it ran.

    :param before: what was said of the same finding, with the same grace.
    :param then: the moment that it was said for.
    """
    due, change = before.due, before.next_change
    if (
        before.kind is not Kind.OK
        or not isinstance(finding, Reported)
        or due is None
        or change is None
        # Within these bounds the rest of the explanation stays, and no instant in it gets or loses its date.
        or not finding.report.lastrun <= then <= now < change
        or (now > due and (then <= due or now > due + grace))
        or not same_day(then, now)
    ):
        return judge(finding, grace, now)
    lastrun = finding.report.lastrun
    was, is_now = span(then - lastrun), span(now - lastrun)
    if was == is_now:
        return before
    return Verdict(Kind.OK, before.explanation.replace(f", {was} ago;", f", {is_now} ago;", 1), due, change)


def _judge_report(finding: Reported, grace: Seconds, now: Instant) -> Verdict:
    report = finding.report
    sleep = merge(report.sleep)
    frequency = report.frequency * MINUTE
    due = sleep.due(report.lastrun, frequency)
    nap = sleep.nap_at(now)
    if nap is not None:
        explanation = f"{_asleep(nap, now)}; {_ran(report, now)}{_next(report, due, now)}"
        return Verdict(Kind.SLEEPING, explanation, due, nap.end, nap.start, nap.end)

    assert due is not None  # It would sleep all day, and now.
    bedtime = sleep.next_start(now)
    if not report.ok or not _successful(finding.code):
        explanation = f"{_failure(finding)}; {_ran(report, now)}{_next(report, due, now)}"
        return Verdict(Kind.FAILED, explanation, due, bedtime)

    believable = report.lastrun - frequency - grace
    if now < believable:
        return Verdict(Kind.FUTURE, _ahead(report, grace, now), due, _earlier(believable, bedtime))

    late = due + grace
    if now > late:
        explanation = f"{_ran(report, now)}; {_overdue(report, due, grace, now)}"
        return Verdict(Kind.LATE, explanation, due, bedtime)

    explanation = f"{_ran(report, now)}{_next(report, due, now)}"
    if now > due:
        explanation += f", and its {number(grace)} s grace ends {clock(late, now)}"
    return Verdict(Kind.OK, explanation, due, _earlier(late + RESOLUTION, bedtime))


def _successful(code: int) -> bool:
    return 200 <= code < 300


def _earlier(instant: Instant, other: Instant | None) -> Instant:
    return instant if other is None else min(instant, other)


# The parts of explanations


def _ran(report: Report, now: Instant) -> str:
    when = f"{span(now - report.lastrun)} ago" if report.lastrun <= now else f"{span(report.lastrun - now)} from now"
    return f"last ran {clock(report.lastrun, now)}, {when}; runs every {number(report.frequency)} min"


def _next(report: Report, due: Instant | None, now: Instant) -> str:
    if due is None:
        return ""
    return f"; {'next' if now <= due else 'was'} due {clock(due, now)}{_shifted(report, due)}"


def _overdue(report: Report, due: Instant, grace: Seconds, now: Instant) -> str:
    ended = f"and {number(grace)} s grace ended {span(now - due - grace)} ago"
    return f"was due {clock(due, now)}{_shifted(report, due)} {ended}"


def _shifted(report: Report, due: Instant) -> str:
    return " (put off by its sleep)" if due != report.lastrun + report.frequency * MINUTE else ""


def _asleep(nap: Nap, now: Instant) -> str:
    if nap.end is None:
        return "sleeps all day"
    hour, rest = divmod(round(nap.start) % 86_400, int(HOUR))
    minute, second = divmod(rest, 60)
    start = f"{hour:02}:{minute:02}:{second:02}" if second else f"{hour:02}:{minute:02}"
    return f"sleeps until {clock(nap.end, now)} (window {start} for {number((nap.end - nap.start) / MINUTE)} min)"


def _failure(finding: Reported) -> str:
    report = finding.report
    if report.ok:
        return f"HTTP {finding.code} although the report says ok"
    http = "" if _successful(finding.code) else f" (HTTP {finding.code})"
    reason = one_line(report.reason or "")[:LIMIT]
    return f"the task reports an error{http}" + (f': "{reason}"' if reason else " without a reason")


def _ahead(report: Report, grace: Seconds, now: Instant) -> str:
    return (
        f"lastrun {clock(report.lastrun, now)} is {span(report.lastrun - now)} ahead of now, "
        f"more than its frequency of {number(report.frequency)} min and {number(grace)} s grace allow"
    )
