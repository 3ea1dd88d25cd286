"""
The text of alerts (contract, section 4): plain, and the same in every channel.

Channels add markup, escaping, limits of length and the alert's id.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import NamedTuple

from pypinger.domain.alerting import NO_TASKS
from pypinger.domain.clocks import IS_WRONG, WAS_WRONG
from pypinger.domain.kinds import KINDS, Kind, Status
from pypinger.domain.model import Alert, Event, Instant, Report
from pypinger.domain.texts import cut, one_line
from pypinger.domain.times import span

#: How many tasks of a group are named; the others are counted.
NAMED = 20

#: How many causes of a group are named, and how many servers.
CAUSES = 4
SERVERS = 3

#: How many characters of a task's own reason a group shows.
REASON = 80

_DEFAULT_PORT = re.compile(r"^(http://.*):80$|^(https://.*):443$")

_QUOTED = re.compile('".*"', re.DOTALL)

# What an explanation says first, and the cause that it stands for.
_CAUSES = (
    (re.compile(r"\bHTTP (\d{3})\b"), r"HTTP \1"),
    (re.compile(r"^connection refused"), "connection refused"),
    (re.compile(r"^(?:no answer within|timed out)"), "no answer in time"),
    (re.compile(r"^cannot look up"), "name not found"),
    (re.compile(r"^cannot connect"), "cannot connect"),
    (re.compile(r"^the connection was (closed|reset)"), r"connection \1"),
    (re.compile(r"certificate|TLS", re.IGNORECASE), "TLS failure"),
    (re.compile(r"^too many redirects|^a redirect"), "redirect not followed"),
    (re.compile(r"^no token"), "no token"),
)


class Severity(StrEnum):
    """How serious a message is, worst first; channels have a colour for each."""

    PROBLEM = "problem"
    WARNING = "warning"
    RECOVERED = "recovered"
    NEUTRAL = "neutral"


_SEVERITY_OF: dict[Event, Severity] = {
    Event.PROBLEM: Severity.PROBLEM,
    Event.CHANGED: Severity.WARNING,
    Event.REMINDER: Severity.WARNING,
    Event.RECOVERED: Severity.RECOVERED,
    Event.FLAPPING: Severity.PROBLEM,
    Event.ACKNOWLEDGED: Severity.NEUTRAL,
    Event.STARTED: Severity.NEUTRAL,
    Event.STOPPED: Severity.NEUTRAL,
    Event.BLIND: Severity.PROBLEM,
    Event.SIGHTED: Severity.RECOVERED,
    Event.TEST: Severity.NEUTRAL,
}


def severity(alerts: Sequence[Alert]) -> Severity:
    """Return the severity of a message with these alerts: that of the worst."""
    found = {_SEVERITY_OF[alert.event] for alert in alerts}
    return next(each for each in Severity if each in found)


def headline(alerts: Sequence[Alert]) -> str:
    """Return one line for one alert, or for a group of one event with its causes."""
    if len(alerts) == 1:
        return _headline(alerts[0])
    count, place = len(alerts), common_place(alerts)
    events = {alert.event for alert in alerts}
    if events == {Event.REMINDER}:
        longest = min(alerts, key=_started)
        return f"STILL in trouble: {count} tasks{place}: {causes(alerts)}; the longest for {lasted(longest)}"
    if events == {Event.RECOVERED}:
        outcomes = {"OK again" if alert.kind is Kind.OK else "no longer monitored" for alert in alerts}
        return f"RECOVERED: {count} tasks{place} are {' or '.join(sorted(outcomes))}"
    word = next(iter(events)).value.upper() if len(events) == 1 else "PROBLEM"
    verb = {"CHANGED": "have changed", "FLAPPING": "go up and down"}.get(word, "are in trouble")
    return f"{word}: {count} tasks{place} {verb}: {causes(alerts)}"


def causes(alerts: Sequence[Alert]) -> str:
    """Return what is wrong with several tasks, the most frequent first: ``3 × HTTP 503, 1 × late``."""
    counts = Counter(cause(alert) for alert in alerts)
    most = [f"{count} × {words}" for words, count in counts.most_common(CAUSES)]
    rest = sum(counts.values()) - sum(count for _, count in counts.most_common(CAUSES))
    return ", ".join([*most, f"{rest} × other causes"] if rest else most)


def cause(alert: Alert) -> str:
    """Return what is wrong with a task in a few words without its name: ``connection refused``, ``HTTP 503``."""
    return cause_of(alert.kind, alert.explanation)


def cause_of(kind: Kind | None, explanation: str) -> str:
    """Return :func:`cause` for a verdict."""
    if kind in (Kind.UNREACHABLE, Kind.FAILED, Kind.INVALID):
        # What is quoted are the task's words, not ours.
        ours = _QUOTED.sub("", explanation)
        for pattern, words in _CAUSES:
            if match := pattern.search(ours):
                return match.expand(words)
    return _state(kind)


def plain(alerts: Sequence[Alert], now: Instant | None = None) -> str:
    """
    Return the whole text, several lines: the headline, the explanation, the tags, the URL and the link to the task's
    page. Of a group it names the first 20 tasks, of a digest those in trouble for longest, and counts the others.

    :param now: when the message is sent, for ages such as "late by 23 min"; None for when the alert was made.
    """
    lines = _lines(alerts[0], now) if len(alerts) == 1 else _group_lines(alerts)
    return "\n".join(lines)


def explained(alert: Alert, now: Instant) -> str:
    """Return the explanation with its age as of `now`: ``… was due 22:05:00 UTC (late by 23 min)``."""
    return f"{alert.explanation}{_age(alert, now)}"


class Age(NamedTuple):
    """
    The age that explains a verdict.

    :ivar form: ``late by {}``, with ``{}`` for the length.
    :ivar since: when the length begins, or ends.
    """

    form: str
    since: Instant

    def words(self, now: Instant) -> str:
        """Return the age as of `now`: ``late by 33 min``."""
        return self.form.format(span(abs(now - self.since)))


def age_of(
    kind: Kind, *, lastrun: Instant | None, started: Instant | None, due: Instant | None, now: Instant
) -> Age | None:
    """
    Return the age that explains a verdict, as of `now`: ``late by 33 min``, ``ahead by 2 h``, ``running for 5 min`` or
    ``ran 34 min ago``.

    :param lastrun: of the task's report; None without one. `started` likewise.
    :returns: None where the verdict does not rest on a report, or the run lies in the future.
    """
    moments = [moment for moment in (lastrun, started) if moment is not None]
    if not KINDS[kind].reported or not moments:
        return None
    latest = max(moments)
    if kind is Kind.FUTURE:
        return Age("ahead by {}", latest) if latest > now else None
    if kind is Kind.LATE and due is not None and due < now:
        return Age("late by {}", due)
    if latest > now:
        return None
    return Age("ran {} ago" if latest == lastrun else "running for {}", latest)


def age(kind: Kind, report: Report | None, due: Instant | None, now: Instant) -> str:
    """Return the age that explains a verdict on a report in words, as of `now`; empty without one."""
    if report is None:
        return ""
    found = age_of(kind, lastrun=report.lastrun, started=report.started, due=due, now=now)
    return "" if found is None else found.words(now)


def lasted(alert: Alert) -> str:
    """Return how long the alert's incident had lasted when the alert was made: ``34 min``."""
    # The wall clock may have been set back.
    return span(max(0.0, alert.at - (alert.at if alert.started is None else alert.started)))


def row(alert: Alert) -> str:
    """Return what a group says about one of its tasks: ``Backup is unreachable (HTTP 503)``."""
    return _sentence(alert, _detail(alert)) or _headline(alert)


def _detail(alert: Alert) -> str:
    words = cause(alert)
    if words == _state(alert.kind):
        words = cut(one_line(alert.reason or ""), REASON) if alert.kind is Kind.FAILED else ""
    return f" ({words})" if words else ""


def _sentence(alert: Alert, detail: str = "") -> str:
    """Return what has become of a task; empty for events that are no change of it."""
    name, state = one_line(alert.name), f"{_state(alert.kind)}{detail}"
    match alert.event:
        case Event.PROBLEM:
            return f"{name} is {state}"
        case Event.CHANGED:
            return f"{name} is now {state}"
        case Event.REMINDER:
            return f"{name} has been {state} for {lasted(alert)}"
        case Event.RECOVERED if alert.kind is not Kind.OK:
            return f"{name} is no longer monitored; it was {state} for {lasted(alert)}"
        case Event.RECOVERED:
            return f"{name} is OK again after {lasted(alert)}"
        case Event.FLAPPING:
            return f"{name} goes up and down; now it is {state}"
        case _:
            return ""


def _headline(alert: Alert) -> str:
    name = one_line(alert.name)
    match alert.event:
        case Event.REMINDER:
            return f"STILL {_state(alert.kind)} after {lasted(alert)}: {name}"
        case Event.ACKNOWLEDGED:
            return f"ACKNOWLEDGED: {name}, {_state(alert.kind)} for {lasted(alert)}"
        case Event.BLIND if IS_WRONG in alert.explanation:
            return "Py Pinger's CLOCK is WRONG"
        case Event.SIGHTED if WAS_WRONG in alert.explanation:
            return "Py Pinger's clock is right again"
        case Event.BLIND:
            if NO_TASKS in alert.explanation:
                return f"Py Pinger is BLIND: {NO_TASKS}"
            return "Py Pinger is BLIND: tasks that do not answer are not judged"
        case Event.SIGHTED:
            return "Py Pinger sees again"
        case Event.TEST:
            return "TEST of Py Pinger's alerts"
        case Event.STARTED | Event.STOPPED:
            return f"Py Pinger {alert.event.value}"
        case _:
            return f"{alert.event.value.upper()}: {_sentence(alert)}"


def _state(kind: Kind | None) -> str:
    if kind is None or KINDS[kind].status is not Status.ERROR:
        return "in trouble"
    return KINDS[kind].label


def _lines(alert: Alert, now: Instant | None) -> Iterator[str]:
    yield _headline(alert)
    if alert.event is Event.RECOVERED and alert.kind is Kind.OK and alert.before is not None:
        yield f"It was {_state(alert.before)} before."
    if alert.event is Event.CHANGED and alert.before is not None:
        yield f"It was {_state(alert.before)} before, and has not been OK for {lasted(alert)}."
    yield explained(alert, alert.at if now is None else now)
    tags = [f"{tag}: {one_line(text)}" for tag, text in (("process", alert.process), ("server", alert.server)) if text]
    if tags:
        yield ", ".join(tags)
    if alert.label not in ("", alert.name):
        yield alert.label
    if alert.runbook:
        yield f"runbook: {alert.runbook}"
    if alert.page:
        yield alert.page


def _age(alert: Alert, now: Instant) -> str:
    if alert.kind is None or alert.event is Event.ACKNOWLEDGED:
        return ""
    if alert.event is Event.RECOVERED and alert.kind is not Kind.OK:
        return ""
    found = age_of(alert.kind, lastrun=alert.lastrun, started=alert.run_started, due=alert.due, now=now)
    return "" if found is None else f" ({found.words(now)})"


def _group_lines(alerts: Sequence[Alert]) -> Iterator[str]:
    yield headline(alerts)
    named = shown(alerts)
    for alert in named:
        line = row(alert) if alert.label in ("", alert.name) else f"{row(alert)}: {alert.label}"
        yield f"- {line} ({alert.page})" if alert.page else f"- {line}"
    if len(alerts) > len(named):
        yield f"and {len(alerts) - len(named)} more"


def shown(alerts: Sequence[Alert]) -> Sequence[Alert]:
    """Return the alerts of a group that are named, in the order in which they are named."""
    if all(alert.event is Event.REMINDER for alert in alerts):
        alerts = sorted(alerts, key=_started)
    return alerts[:NAMED]


def _started(alert: Alert) -> Instant:
    return alert.at if alert.started is None else alert.started


def common_place(alerts: Sequence[Alert]) -> str:
    """Return what the tasks have in common: `` on https://h``, or the servers of a few."""
    first = alerts[0]
    if first.origin and all(alert.origin == first.origin for alert in alerts):
        return " on " + _DEFAULT_PORT.sub(r"\1\2", first.origin)
    servers = dict.fromkeys(one_line(alert.server or "") for alert in alerts)
    if "" in servers or len(servers) > SERVERS:
        return ""
    return f" on server{'s' if len(servers) > 1 else ''} {', '.join(servers)}"
