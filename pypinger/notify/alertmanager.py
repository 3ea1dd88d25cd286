"""
The ``[alertmanager]`` channel: alerts of Prometheus' Alertmanager, API v2 (contract, section 5).

Alertmanager knows an alert by its labels, so all alerts of a task are one there, and a later one replaces the
annotations.

Note [Expiry]
~~~~~~~~~~~~~
Each request moves the end of an open alert to :data:`EXPIRY` seconds ahead, and :meth:`Alertmanager.keep` does so every
minute. If Py Pinger dies, its alerts resolve by themselves. The clocks of both machines should therefore agree to a
minute.

Alertmanager takes an end that lies ahead of its own clock for one that is still to come, and then keeps the later end
that it knew before. An end that was sent is therefore repeated by :meth:`Alertmanager.keep` until the latest end that
an earlier request promised has passed.

Note [One request at a time]
~~~~~~~~~~~~~~~~~~~~~~~~~~~~
A request of :meth:`Alertmanager.keep` that arrived after the end of an incident would open it again. So there is one
request at a time, and what has ended is not kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
from twisted.internet.defer import DeferredLock

from pypinger.domain import wording
from pypinger.domain.alerting import incident_key, task_key, task_url
from pypinger.domain.model import Alert, Event, Instant, Seconds
from pypinger.domain.redaction import url_secrets
from pypinger.domain.texts import cut, one_line
from pypinger.domain.times import iso
from pypinger.notify.conditions import CLOSING, Matter, matter_of
from pypinger.notify.post import Poster, is_page, json_object, status_words, succeeded
from pypinger.ports.notifying import ChannelContext, DeliveryError, OptionSpec, Reply

#: How far ahead the end of an open alert is, in seconds: see Note [Expiry].
EXPIRY: Seconds = 300.0

#: The most alerts in one request of :meth:`Alertmanager.keep`.
BATCH = 250

#: The most characters of a label or an annotation, and of a link.
TEXT_LIMIT = 4_096
LINK_LIMIT = 8_192

_PATH = "/api/v2/alerts"
_EVENTS = frozenset({Event.PROBLEM, Event.CHANGED, Event.RECOVERED, Event.FLAPPING, Event.ACKNOWLEDGED})
_NAMES = {
    Matter.BLIND: "PyPingerBlind",
    Matter.CLOCK: "PyPingerClockWrong",
    Matter.STOPPED: "PyPingerStopped",
    Matter.TEST: "PyPingerTest",
}


class _Ended(NamedTuple):
    """
    An alert whose end was sent.

    :ivar sent: by our clock.
    """

    alert: Alert
    sent: Instant


class Alertmanager:
    """
    A :class:`pypinger.ports.notifying.Notifier` and :class:`~pypinger.ports.notifying.KeptAlive` for one Alertmanager.

    :param values: the section's options.
    """

    spacing: Seconds = 0.0
    groups = False

    def __init__(self, values: Mapping[str, str], context: ChannelContext) -> None:
        self.name = context.name
        self._now = context.now
        self._url = f"{values['url'].rstrip('/')}{_PATH}"
        self._poster = Poster(context.client, context.now, url_secrets(values["url"]))
        # See Note [One request at a time].
        self._lock = DeferredLock()
        self._ended: dict[str, _Ended] = {}

    async def send(self, alerts: Sequence[Alert]) -> str:
        await self._lock.acquire()
        try:
            now = self._now()
            for alert in alerts:
                if alert.event in CLOSING:
                    self._ended[_identity(alert)] = _Ended(alert, now)
                else:
                    self._ended.pop(_identity(alert), None)
            return await self._post(alerts)
        finally:
            self._lock.release()

    async def keep(self, alerts: Sequence[Alert]) -> None:
        """See :meth:`pypinger.ports.notifying.KeptAlive.keep`; sends what has ended again, too."""
        refusals: list[DeliveryError] = []
        for start in range(0, len(alerts), BATCH):
            try:
                await self._keep(alerts[start : start + BATCH])
            except DeliveryError as error:
                if not error.permanent:
                    raise
                # One list that is refused, as too long say, must not let the alerts of the others expire.
                refusals.append(error)
        now = self._now()
        self._ended = {name: ended for name, ended in self._ended.items() if abs(now - ended.sent) <= EXPIRY}
        ended = list(self._ended)
        for start in range(0, len(ended), BATCH):
            await self._repeat(ended[start : start + BATCH])
        if refusals:
            raise refusals[0]

    async def _keep(self, alerts: Sequence[Alert]) -> None:
        await self._lock.acquire()
        try:
            still = [alert for alert in alerts if not self._is_over(alert)]
            for alert in still:
                self._ended.pop(_identity(alert), None)
            if still:
                await self._post(still)
        finally:
            self._lock.release()

    async def _repeat(self, names: Sequence[str]) -> None:
        await self._lock.acquire()
        try:
            # One that has begun again is no longer among them.
            ended = [self._ended[name].alert for name in names if name in self._ended]
            if ended:
                await self._post(ended)
        finally:
            self._lock.release()

    def _is_over(self, alert: Alert) -> bool:
        """Whether the end of an alert was sent after the alert was made."""
        ended = self._ended.get(_identity(alert))
        if ended is None:
            return False
        if alert.task:
            return incident_key(alert) == incident_key(ended.alert)
        return alert.at <= ended.alert.at

    async def _post(self, alerts: Sequence[Alert]) -> str:
        now = self._now()
        body = msgspec.json.encode([_alert(alert, now) for alert in alerts])
        reply = await self._poster.post(self._url, headers={"Content-Type": "application/json"}, data=body)
        # A page comes from what stands between us and Alertmanager, a login say.
        if succeeded(reply) and not is_page(reply):
            return status_words(reply.code)
        raise self._refusal(reply)

    def _refusal(self, reply: Reply) -> DeliveryError:
        return self._poster.refused(reply, _words(reply.body))


class AlertmanagerChannel:
    """The sections ``[alertmanager]`` and ``[alertmanager NAME]``."""

    name = "alertmanager"
    events = _EVENTS
    resolves = True
    options = (OptionSpec("url", form="url"),)

    def essential(self, values: Mapping[str, str]) -> tuple[str, ...]:
        return ("url",)

    def check(self, values: Mapping[str, str]) -> Mapping[str, str]:
        url = values["url"]
        if "?" in url or "#" in url:
            return {"url": "must be the URL of Alertmanager's root, without a query"}
        if url.rstrip("/").endswith(_PATH):
            return {"url": f"must be the URL of Alertmanager's root, without {_PATH}"}
        return {}

    def notifier(self, values: Mapping[str, str], context: ChannelContext) -> Alertmanager:
        return Alertmanager(values, context)


CHANNEL = AlertmanagerChannel()


def _identity(alert: Alert) -> str:
    """Return what tells alerts apart that have different labels."""
    return alert.task or f"{matter_of(alert).value} {alert.instance}"


def _alert(alert: Alert, now: Instant) -> dict[str, Any]:
    """Return an alert as Alertmanager takes it: see Note [Expiry]."""
    started = alert.at if alert.started is None else alert.started
    # An end before the start would be refused; the wall clock may have been set back.
    end = max(started, alert.at) if alert.event in CLOSING else max(started, now + EXPIRY)
    made: dict[str, Any] = {
        "labels": _labels(alert),
        "annotations": {name: text for name, text in _annotations(alert, now).items() if text},
        "endsAt": iso(end),
    }
    if alert.started is not None or alert.event not in CLOSING:
        # Without a start Alertmanager keeps the one that it knows.
        made["startsAt"] = iso(started)
    if page := _link(alert.page):
        made["generatorURL"] = page
    return made


def _labels(alert: Alert) -> dict[str, str]:
    if not alert.task:
        labels = {"alertname": _NAMES[matter_of(alert)]}
        return {**labels, "instance": _shown(alert.instance)} if alert.instance else labels
    return {"alertname": "TaskProblem", "task": _shown(task_key(alert)) or alert.task, "id": alert.task}


def _annotations(alert: Alert, now: Instant) -> dict[str, str]:
    return {
        "summary": _shown(wording.headline((alert,))),
        "explanation": _shown(wording.explained(alert, now)),
        "kind": alert.kind.value if alert.kind else "",
        "process": _shown(alert.process),
        "server": _shown(alert.server),
        "group": _shown(alert.group),
        "url": _shown(task_url(alert)),
        "reason": _shown(alert.reason),
        "note": _shown(alert.note),
        "runbook": _link(alert.runbook),
        "alert_id": alert.id,
    }


def _link(href: str | None) -> str:
    """Return a link; empty if Alertmanager would refuse it."""
    return href if href and len(href) <= LINK_LIMIT and href.isprintable() and " " not in href else ""


def _shown(text: str | None) -> str:
    return cut(one_line(text or ""), TEXT_LIMIT)


def _words(body: bytes) -> str:
    """Return Alertmanager's own words: those of an object, or a JSON string."""
    answer = json_object(body)
    if isinstance(answer.get("message"), str):
        return str(answer["message"])
    try:
        text = msgspec.json.decode(body, type=str)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""
    return text
