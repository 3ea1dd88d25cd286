"""
The ``[pagerduty]`` channel: events of PagerDuty's Events API v2 (contract, section 5).

Every alert of one incident has the same key: its problem triggers, its end resolves, and ``pypinger ack`` acknowledges
PagerDuty's alert. Blindness and a wrong clock have keys of their own. A test is triggered and resolved.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pypinger.domain import wording
from pypinger.domain.alerting import incident_key, task_url
from pypinger.domain.model import Alert, Event, Instant, Seconds
from pypinger.domain.redaction import url_secrets
from pypinger.domain.texts import cut, one_line
from pypinger.domain.times import iso
from pypinger.domain.url import UrlError, parse
from pypinger.notify.conditions import CLOSING, Matter, matter_of
from pypinger.notify.post import Poster, json_object, status_words, succeeded, unfit_for_header
from pypinger.ports.notifying import ChannelContext, DeliveryError, OptionSpec, Reply

#: PagerDuty's limits in characters: of a summary, and of a key. An event may have 512 KB.
SUMMARY_LIMIT = 1_024
KEY_LIMIT = 255

#: The most characters of other texts, and of the address of a link.
TEXT_LIMIT = 4_096
LINK_LIMIT = 8_192

_URL = "https://events.pagerduty.com/v2/enqueue"
_EVENTS = frozenset({Event.PROBLEM, Event.CHANGED, Event.RECOVERED, Event.FLAPPING, Event.ACKNOWLEDGED})
_SEVERITIES = {Matter.BLIND: "critical", Matter.CLOCK: "warning", Matter.STOPPED: "warning", Matter.TEST: "info"}


class PagerDuty:
    """
    A :class:`pypinger.ports.notifying.Notifier` for one integration of a PagerDuty service.

    :param values: the section's options.
    """

    # PagerDuty accepts some 120 events a minute and integration.
    spacing: Seconds = 0.5
    groups = False

    def __init__(self, values: Mapping[str, str], context: ChannelContext) -> None:
        self.name = context.name
        self._now = context.now
        self._url = values["url"]
        self._key = values["routing_key"]
        self._poster = Poster(context.client, context.now, [self._key, *url_secrets(self._url)])

    async def send(self, alerts: Sequence[Alert]) -> str:
        words = ""
        for alert in alerts:
            for action in _actions(alert):
                reply = await self._poster.post(self._url, headers={}, json=self._event(alert, action))
                if not _accepted(reply):
                    raise self._refusal(reply)
                words = status_words(reply.code)
        return words

    def _event(self, alert: Alert, action: str) -> dict[str, Any]:
        event: dict[str, Any] = {
            "routing_key": self._key,
            "event_action": action,
            "dedup_key": _dedup_key(alert),
            "payload": _payload(alert, self._now()),
            "client": "Py Pinger",
            "links": [{"href": href, "text": text} for href, text in _links(alert)],
        }
        if page := _link(alert.page):
            event["client_url"] = page
        return event

    def _refusal(self, reply: Reply) -> DeliveryError:
        answer = json_object(reply.body)
        errors = answer.get("errors")
        said = [answer.get("message"), *(errors if isinstance(errors, list) else [])]
        return self._poster.refused(reply, ": ".join(word for word in said if isinstance(word, str)))


class PagerDutyChannel:
    """The sections ``[pagerduty]`` and ``[pagerduty NAME]``."""

    name = "pagerduty"
    events = _EVENTS
    resolves = True
    options = (OptionSpec("routing_key", secret=True), OptionSpec("url", form="url", default=_URL))

    def essential(self, values: Mapping[str, str]) -> tuple[str, ...]:
        return ("routing_key",)

    def check(self, values: Mapping[str, str]) -> Mapping[str, str]:
        return unfit_for_header(values, "routing_key")

    def notifier(self, values: Mapping[str, str], context: ChannelContext) -> PagerDuty:
        return PagerDuty(values, context)


CHANNEL = PagerDutyChannel()


def _accepted(reply: Reply) -> bool:
    """Whether PagerDuty, and not a middlebox, took the event."""
    return reply.code == 202 or (succeeded(reply) and json_object(reply.body).get("status") == "success")


def _actions(alert: Alert) -> tuple[str, ...]:
    """Return what is done with PagerDuty's alert, in order; that of a test does not stay open."""
    if alert.event is Event.TEST:
        return "trigger", "resolve"
    if alert.event in CLOSING:
        return ("resolve",)
    return ("acknowledge",) if alert.event is Event.ACKNOWLEDGED else ("trigger",)


def _dedup_key(alert: Alert) -> str:
    if alert.task:
        return cut(incident_key(alert) or alert.task, KEY_LIMIT)
    matter = matter_of(alert)
    of = alert.id if matter is Matter.TEST else alert.instance
    return cut(f"py-pinger:{matter.value}" + (f":{of}" if of else ""), KEY_LIMIT)


def _payload(alert: Alert, now: Instant) -> dict[str, Any]:
    explanation = wording.explained(alert, now)
    payload = {
        "summary": cut(one_line(f"{wording.headline((alert,))}: {explanation}"), SUMMARY_LIMIT),
        "source": _shown(alert.server) or _host(alert.origin) or _shown(task_url(alert)) or _shown(alert.name),
        "severity": _severity(alert),
        "timestamp": iso(alert.at),
        "component": _shown(alert.process),
        "group": _shown(alert.group),
        "class": alert.kind.value if alert.kind else "",
    }
    details = {
        "alert_id": alert.id,
        "event": alert.event.value,
        "explanation": _shown(explanation),
        "task": _shown(alert.name) if alert.task else "",
        "url": _shown(task_url(alert)),
        "process": _shown(alert.process),
        "server": _shown(alert.server),
        "reason": _shown(alert.reason),
        "note": _shown(alert.note),
        "before": alert.before.value if alert.before else "",
        "incident_started": iso(alert.started),
        "lastrun": iso(alert.lastrun),
        "due": iso(alert.due),
    }
    return {
        **{name: text for name, text in payload.items() if text},
        "custom_details": {name: text for name, text in details.items() if text},
    }


def _severity(alert: Alert) -> str:
    if alert.event in CLOSING:
        return "info"
    return "error" if alert.task else _SEVERITIES[matter_of(alert)]


def _host(origin: str) -> str:
    try:
        return parse(origin).host
    except UrlError:
        return ""


def _links(alert: Alert) -> Iterator[tuple[str, str]]:
    for href, text in ((alert.page, "The task in Py Pinger"), (alert.runbook, "Runbook")):
        if link := _link(href):
            yield link, text


def _link(href: str | None) -> str:
    """Return the address of a link; empty if PagerDuty could not open it."""
    return href if href and len(href) <= LINK_LIMIT and href.isprintable() and " " not in href else ""


def _shown(text: str | None) -> str:
    return cut(one_line(text or ""), TEXT_LIMIT)
