"""
The ``[sentry]`` channel: an event per alert of a task and, with ``crons``, a check-in per run seen (contract,
section 5).

sentry-sdk makes the events, but does not send them: it would hide whether an event was accepted, and start threads. A
client of our own, which nothing global knows, hands each envelope to a transport that keeps it. The envelope is then
sent through our HTTP client, so that every attempt has its real answer.

The SDK is imported only where there is such a section: it takes a tenth of the daemon's start, and 5 MB.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from math import ceil
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID, uuid5

from pypinger import __version__
from pypinger.domain import wording
from pypinger.domain.alerting import task_url
from pypinger.domain.model import Alert, Event, Instant, Report, Seconds, Task
from pypinger.domain.schedule import plan_of
from pypinger.domain.texts import cut, one_line
from pypinger.domain.times import MINUTE, iso
from pypinger.notify.post import Poster, json_object, succeeded
from pypinger.notify.text import lines
from pypinger.ports.notifying import ChannelContext, DeliveryError, OptionSpec, Reply

if TYPE_CHECKING:
    from sentry_sdk import Client
    from sentry_sdk.envelope import Envelope
    from sentry_sdk.types import Event as SdkEvent

#: Sentry's limits: characters of a message, a context's value, a tag's value and a monitor's slug; minutes of a margin
#: and of a run.
MESSAGE_LIMIT = 8_192
DETAIL_LIMIT = 4_096
TAG_LIMIT = 200
SLUG_LIMIT = 50
MARGIN_LIMIT = 40_320
RUNTIME_LIMIT = 40_320

_AGENT = f"py-pinger/{__version__}"
_IDS = UUID("5f0c9a5e-3a57-4d0f-8a36-1f6f5d0b7c11")

_EVENTS = frozenset(
    {Event.PROBLEM, Event.CHANGED, Event.REMINDER, Event.RECOVERED, Event.FLAPPING, Event.BLIND, Event.SIGHTED}
)
_ERRORS = frozenset({Event.PROBLEM, Event.CHANGED, Event.REMINDER, Event.FLAPPING, Event.BLIND})


class Sentry:
    """
    A :class:`pypinger.ports.notifying.Notifier` for one Sentry project.

    :param values: the section's options, with a valid DSN.
    """

    spacing: Seconds = 0.0
    groups = False

    def __init__(self, values: Mapping[str, str], context: ChannelContext) -> None:
        from sentry_sdk.utils import Dsn

        self.name = context.name
        self._envelopes: list[Envelope] = []
        self._sdk = _sdk_client(values, self._envelopes)
        dsn = Dsn(values["url"])
        auth = dsn.to_auth(_AGENT)
        self._url = auth.get_api_url()
        self._headers = {"Content-Type": "application/x-sentry-envelope", "X-Sentry-Auth": auth.to_header()}
        self._now = context.now
        self._poster = Poster(context.client, context.now, [values["url"], dsn.public_key, dsn.secret_key or ""])

    async def send(self, alerts: Sequence[Alert]) -> str:
        for alert in alerts:
            await self._post(_event(alert, self._now()), "error")
        return f"accepted as event {_hex_id(alerts[-1].id)}"

    async def _post(self, event: dict[str, Any], category: str) -> None:
        # Without a scope, nothing that other code has put into the SDK's global scopes gets into our events.
        self._sdk.capture_event(cast("SdkEvent", event))
        body = self._envelopes.pop().serialize()
        reply = await self._poster.post(self._url, headers=self._headers, data=body)
        if not succeeded(reply):
            raise self._refusal(reply, category)

    def _refusal(self, reply: Reply, category: str) -> DeliveryError:
        answer = json_object(reply.body)
        causes = answer.get("causes")
        said = [answer.get("detail"), *(causes if isinstance(causes, list) else [])]
        words = ": ".join(word for word in said if isinstance(word, str)) or reply.headers.get("x-sentry-error", "")
        wait = _rate_limit(reply.headers.get("x-sentry-rate-limits", ""), category) if reply.code == 429 else None
        return self._poster.refused(reply, words, wait=wait)


class SentryWithCrons(Sentry):
    """:class:`Sentry` that is also a :class:`pypinger.ports.notifying.RunObserver`: each task is a cron monitor."""

    async def run_seen(self, task: Task, report: Report, at: Instant) -> None:
        # The same id for the same run, so that a run seen again after a restart does not count twice, and the end of a
        # run belongs to its beginning.
        run = report.lastrun if report.started is None else report.started
        status = "in_progress" if report.running else "ok" if report.ok else "error"
        check_in: dict[str, Any] = {
            "type": "check_in",
            "check_in_id": _hex_id(f"{task.id} {run}"),
            "monitor_slug": _slug(task),
            "status": status,
            "monitor_config": _monitor(task, report),
        }
        if report.started is not None and report.lastrun is not None and not report.running:
            check_in["duration"] = report.lastrun - report.started
        await self._post(check_in, "monitor")


class SentryChannel:
    """The sections ``[sentry]`` and ``[sentry NAME]``."""

    name = "sentry"
    events = _EVENTS
    resolves = False
    options = (
        OptionSpec("url", secret=True),
        OptionSpec("environment", default="production"),
        OptionSpec("crons", form="flag", default="false"),
    )

    def essential(self, values: Mapping[str, str]) -> tuple[str, ...]:
        return ("url",)

    def check(self, values: Mapping[str, str]) -> Mapping[str, str]:
        from sentry_sdk.utils import Dsn

        dsn = values.get("url", "")
        try:
            if dsn:
                Dsn(dsn)
            valid = dsn.isascii() and dsn.isprintable() and " " not in dsn
        except ValueError:
            valid = False
        return {} if valid else {"url": "must be a DSN as Sentry shows it: https://KEY@HOST/PROJECT"}

    def notifier(self, values: Mapping[str, str], context: ChannelContext) -> Sentry:
        return (SentryWithCrons if values["crons"] == "true" else Sentry)(values, context)


CHANNEL = SentryChannel()


def _sdk_client(values: Mapping[str, str], envelopes: list[Envelope]) -> Client:
    """
    Return a client that patches nothing, starts no thread and sends nothing.

    All options that the SDK would otherwise take from the environment are given.

    :param envelopes: gets what it would send.
    """
    from sentry_sdk import Client
    from sentry_sdk.transport import Transport

    class Capture(Transport):
        def capture_envelope(self, envelope: Envelope) -> None:
            envelopes.append(envelope)

    return Client(
        dsn=values["url"],
        transport=Capture(),
        environment=values["environment"] or "production",
        release=f"py-pinger@{__version__}",
        default_integrations=False,
        auto_enabling_integrations=False,
        auto_session_tracking=False,
        enable_backpressure_handling=False,
        include_local_variables=False,
        include_source_context=False,
        send_client_reports=False,
        debug=False,
        spotlight=False,
        before_send=_without_own_host,
    )


def _without_own_host(event: SdkEvent, hint: dict[str, Any]) -> SdkEvent:
    """Drop the name of this machine, which people would take for the task's."""
    event.pop("server_name", None)
    return event


def _event(alert: Alert, now: Instant) -> dict[str, Any]:
    tags = {"task": alert.key or alert.name, "process": alert.process, "server": alert.server, "kind": alert.kind}
    details = {
        "explanation": one_line(alert.explanation),
        "url": task_url(alert),
        "page": alert.page,
        "incident_started": iso(alert.started),
        "event": alert.event.value,
        "alert_id": alert.id,
    }
    return {
        "event_id": _hex_id(alert.id),
        "timestamp": iso(alert.at),
        "level": "error" if alert.event in _ERRORS else "info",
        "logger": "pypinger",
        # Sentry makes the first line the title.
        "message": lines(wording.plain([alert], now), MESSAGE_LIMIT),
        "fingerprint": ["py-pinger", alert.task or "daemon", *([alert.instance] if alert.instance else [])],
        "tags": {tag: shown for tag, text in tags.items() if (shown := cut(one_line(text or ""), TAG_LIMIT))},
        "contexts": {"alert": {key: cut(text, DETAIL_LIMIT) for key, text in details.items() if text}},
    }


def _hex_id(text: str) -> str:
    """Return 32 hex digits, always the same for the same text."""
    return uuid5(_IDS, text).hex


def _monitor(task: Task, report: Report) -> dict[str, Any]:
    """Return the settings of a task's monitor."""
    plan = plan_of(task, report)
    schedule: dict[str, Any] = {"type": "interval", "unit": "minute"}
    timezone = "UTC"
    if plan.cron is not None:
        schedule, timezone = {"type": "crontab", "value": " ".join(plan.cron.fields)}, plan.cron.timezone
    elif plan.frequency is not None:
        schedule["value"] = max(1, ceil(plan.frequency / MINUTE))
    # A run is seen up to a whole interval after it; one that reports only its end comes after the time that it takes.
    late = task.grace + task.interval
    if plan.cron is not None and plan.max_runtime is not None and report.started is None:
        late += plan.max_runtime
    config: dict[str, Any] = {
        "schedule": schedule,
        "checkin_margin": min(max(1, ceil(late / MINUTE)), MARGIN_LIMIT),
        "timezone": timezone,
    }
    if plan.max_runtime is not None:
        config["max_runtime"] = min(max(1, ceil(plan.max_runtime / MINUTE)), RUNTIME_LIMIT)
    return config


def _slug(task: Task) -> str:
    words = re.sub("[^a-z0-9]+", "-", task.name.lower()).strip("-") or "task"
    return f"{words[: SLUG_LIMIT - len(task.id) - 1].rstrip('-')}-{task.id}"


def _rate_limit(header: str, category: str) -> Seconds | None:
    """
    Read ``X-Sentry-Rate-Limits``: ``60:error;monitor:key, 2700::organization``; no category means all.

    :returns: seconds until `category` is accepted again, None without a limit on it.
    """
    waits = list(_waits(header, category))
    return max(waits, default=None)


def _waits(header: str, category: str) -> Iterable[Seconds]:
    for limit in header.split(","):
        wait, _, rest = limit.strip().partition(":")
        categories = rest.partition(":")[0]
        if re.fullmatch("[0-9]{1,9}", wait) and (not categories or category in categories.split(";")):
            yield float(wait)
