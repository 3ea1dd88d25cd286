"""
What an alert says, in plain text and the same in every channel (contract, section 4).

Markup, escaping, limits of length and the alerts' ids are left to the channels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import StrEnum

from pypinger.domain.kinds import Kind
from pypinger.domain.model import Alert, Event
from pypinger.domain.texts import one_line
from pypinger.domain.times import span

#: How many tasks of a storm are named; the rest is counted.
NAMED = 20


class Severity(StrEnum):
    """How much a message matters; channels have a colour for each."""

    PROBLEM = "problem"
    WARNING = "warning"
    RECOVERED = "recovered"
    NEUTRAL = "neutral"


_SEVERITY_OF: dict[Event, Severity] = {
    Event.PROBLEM: Severity.PROBLEM,
    Event.CHANGED: Severity.WARNING,
    Event.REMINDER: Severity.WARNING,
    Event.RECOVERED: Severity.RECOVERED,
    Event.STARTED: Severity.NEUTRAL,
    Event.STOPPED: Severity.NEUTRAL,
    Event.BLIND: Severity.PROBLEM,
    Event.SIGHTED: Severity.RECOVERED,
    Event.TEST: Severity.NEUTRAL,
}

# What a task is, by the kind of its verdict.
_IS: dict[Kind, str] = {
    Kind.UNREACHABLE: "unreachable",
    Kind.INVALID: "without a valid report",
    Kind.FAILED: "failing",
    Kind.FUTURE: "ahead of time",
    Kind.LATE: "late",
}


def severity(alerts: Sequence[Alert]) -> Severity:
    """The severity of a message with these alerts: that of the gravest."""
    found = {_SEVERITY_OF[alert.event] for alert in alerts}
    return next(each for each in Severity if each in found)


def headline(alerts: Sequence[Alert]) -> str:
    """One line for one alert, or for a storm of them."""
    if len(alerts) == 1:
        return _headline(alerts[0])
    first = alerts[0]
    place = ""
    if first.origin and all(alert.origin == first.origin for alert in alerts):
        place = f" on {first.origin}"
    elif first.server and all(alert.server == first.server for alert in alerts):
        place = f" on server {one_line(first.server)}"
    if any(alert.event is not Event.RECOVERED for alert in alerts):
        return f"PROBLEM: {len(alerts)} tasks{place} are in trouble"
    outcomes = {"OK again" if alert.kind is Kind.OK else "no longer monitored" for alert in alerts}
    return f"{len(alerts)} tasks{place} are {' or '.join(sorted(outcomes))}"


def plain(alerts: Sequence[Alert]) -> str:
    """
    The whole text, several lines: what happened, the explanation, the tags, the URL and the link to the task's page.

    Of a storm it names the first 20 tasks and counts the rest.
    """
    lines = _lines(alerts[0]) if len(alerts) == 1 else _storm_lines(alerts)
    return "\n".join(lines)


def lasted(alert: Alert) -> str:
    """How long the alert's incident had lasted when the alert was made: ``34 min``."""
    # It is no negative time when the clock was set back.
    return span(max(0.0, alert.at - (alert.at if alert.started is None else alert.started)))


def _headline(alert: Alert) -> str:
    name = one_line(alert.name)
    match alert.event:
        case Event.PROBLEM:
            return f"PROBLEM: {name} is {_state(alert.kind)}"
        case Event.CHANGED:
            return f"CHANGED: {name} is now {_state(alert.kind)}"
        case Event.REMINDER:
            return f"STILL {_state(alert.kind)} after {lasted(alert)}: {name}"
        case Event.RECOVERED if alert.kind is not Kind.OK:
            return f"{name} is no longer monitored; it was {_state(alert.kind)}"
        case Event.RECOVERED:
            return f"{name} is OK again after {lasted(alert)}"
        case Event.BLIND:
            return "Py Pinger is BLIND: no task can be checked"
        case Event.SIGHTED:
            return "Py Pinger sees again"
        case Event.TEST:
            return "TEST of Py Pinger's alerts"
        case _:
            return f"Py Pinger {alert.event.value}"


def _state(kind: Kind | None) -> str:
    return _IS.get(kind or Kind.NEW, "in trouble")


def _lines(alert: Alert) -> Iterator[str]:
    yield _headline(alert)
    if alert.event is Event.RECOVERED:
        last = "" if alert.before is None else f"; last it was {_state(alert.before)}"
        yield f"It was not OK for {lasted(alert)}{last}."
    if alert.event is Event.CHANGED and alert.before is not None:
        yield f"It was {_state(alert.before)} before, and has not been OK for {lasted(alert)}."
    yield alert.explanation
    tags = [f"{tag}: {one_line(text)}" for tag, text in (("process", alert.process), ("server", alert.server)) if text]
    if tags:
        yield ", ".join(tags)
    if alert.label:
        yield alert.label
    if alert.page:
        yield alert.page


def _storm_lines(alerts: Sequence[Alert]) -> Iterator[str]:
    yield headline(alerts)
    for alert in alerts[:NAMED]:
        line = f"{_headline(alert)}: {alert.label}"
        yield f"- {line} ({alert.page})" if alert.page else f"- {line}"
    if len(alerts) > NAMED:
        yield f"and {len(alerts) - NAMED} more"
