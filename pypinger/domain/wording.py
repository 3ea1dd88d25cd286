"""
The text of alerts (contract, section 4): plain, and the same in every channel.

Channels add markup, escaping, limits of length and the alert's id.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import StrEnum

from pypinger.domain.clocks import IS_WRONG, WAS_WRONG
from pypinger.domain.kinds import KINDS, Kind, Status
from pypinger.domain.model import Alert, Event, Instant
from pypinger.domain.texts import one_line
from pypinger.domain.times import span

#: How many tasks of a storm are named; the others are counted.
NAMED = 20


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
    """Return one line for one alert, or for a storm of them."""
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


def plain(alerts: Sequence[Alert], now: Instant | None = None) -> str:
    """
    Return the whole text, several lines: the headline, the explanation, the tags, the URL and the link to the task's
    page. For a storm it names the first 20 tasks and counts the others.

    :param now: when the message is sent, for ages such as "late by 23 min"; None for when the alert was made.
    """
    lines = _lines(alerts[0], now) if len(alerts) == 1 else _storm_lines(alerts)
    return "\n".join(lines)


def age(kind: Kind, *, lastrun: Instant | None, due: Instant | None, now: Instant) -> str:
    """
    Return the age that explains a verdict, as of `now`: ``late by 33 min``, ``ahead by 2 h`` or ``ran 34 min ago``.

    It is empty where the verdict does not rest on a report, or the run lies in the future.
    """
    if not KINDS[kind].reported or lastrun is None:
        return ""
    if kind is Kind.FUTURE:
        return f"ahead by {span(lastrun - now)}" if lastrun > now else ""
    if kind is Kind.LATE and due is not None and due < now:
        return f"late by {span(now - due)}"
    return f"ran {span(now - lastrun)} ago" if lastrun <= now else ""


def lasted(alert: Alert) -> str:
    """Return how long the alert's incident had lasted when the alert was made: ``34 min``."""
    # The wall clock may have been set back.
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
        case Event.BLIND if alert.explanation.startswith(IS_WRONG):
            return "Py Pinger's CLOCK is WRONG"
        case Event.SIGHTED if alert.explanation.startswith(WAS_WRONG):
            return "Py Pinger's clock is right again"
        case Event.BLIND:
            return "Py Pinger is BLIND: no task can be checked"
        case Event.SIGHTED:
            return "Py Pinger sees again"
        case Event.TEST:
            return "TEST of Py Pinger's alerts"
        case _:
            return f"Py Pinger {alert.event.value}"


def _state(kind: Kind | None) -> str:
    if kind is None or KINDS[kind].status is not Status.ERROR:
        return "in trouble"
    return KINDS[kind].label


def _lines(alert: Alert, now: Instant | None) -> Iterator[str]:
    yield _headline(alert)
    if alert.event is Event.RECOVERED:
        last = "" if alert.before is None else f", most recently {_state(alert.before)}"
        yield f"It was not OK for {lasted(alert)}{last}."
    if alert.event is Event.CHANGED and alert.before is not None:
        yield f"It was {_state(alert.before)} before, and has not been OK for {lasted(alert)}."
    yield f"{alert.explanation}{_age(alert, alert.at if now is None else now)}"
    tags = [f"{tag}: {one_line(text)}" for tag, text in (("process", alert.process), ("server", alert.server)) if text]
    if tags:
        yield ", ".join(tags)
    if alert.label:
        yield alert.label
    if alert.page:
        yield alert.page


def _age(alert: Alert, now: Instant) -> str:
    if alert.kind is None or (alert.event is Event.RECOVERED and alert.kind is not Kind.OK):
        return ""
    text = age(alert.kind, lastrun=alert.lastrun, due=alert.due, now=now)
    return f" ({text})" if text else ""


def _storm_lines(alerts: Sequence[Alert]) -> Iterator[str]:
    yield headline(alerts)
    for alert in alerts[:NAMED]:
        line = f"{_headline(alert)}: {alert.label}"
        yield f"- {line} ({alert.page})" if alert.page else f"- {line}"
    if len(alerts) > NAMED:
        yield f"and {len(alerts) - NAMED} more"
