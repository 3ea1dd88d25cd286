"""
The ``[webhook]`` channel: each alert as JSON, or in the form of a template, to any URL (contract, section 5).

The members ``task`` and ``incident`` are null in alerts of Py Pinger itself. In a template their fields are then empty,
as is every field whose value is null.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from pypinger.domain import wording
from pypinger.domain.alerting import task_url
from pypinger.domain.kinds import status_of
from pypinger.domain.model import Alert, Event, Instant, Seconds
from pypinger.domain.redaction import SHORTEST_SECRET, secret_parts, url_secrets
from pypinger.domain.routing import DEFAULT_EVENTS
from pypinger.domain.texts import cut, one_line
from pypinger.domain.times import iso
from pypinger.domain.url import UrlError, parse
from pypinger.notify.post import Poster, is_page, json_object, status_words, succeeded
from pypinger.notify.template import TemplateError, read_template
from pypinger.ports.notifying import ChannelContext, DeliveryError, OptionSpec, Reply

#: The most characters of each text.
TEXT_LIMIT = 8_192

SIGNATURE = "X-Pypinger-Signature"
ID = "Idempotency-Key"

#: The status codes below 500 that are retried (contract, section 5).
RETRIED = frozenset({408, 425, 429})

_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_TYPE = "Content-Type"

#: Headers that the request has in any case.
_OWN = frozenset(
    {
        *(SIGNATURE.lower(), ID.lower(), "user-agent", "host", "content-length", "accept-encoding"),
        *("transfer-encoding", "connection", "keep-alive"),
    }
)


class Webhook:
    """
    A :class:`pypinger.ports.notifying.Notifier` for one URL.

    :param values: the section's options.
    """

    spacing: Seconds = 0.0
    groups = False

    def __init__(self, values: Mapping[str, str], context: ChannelContext) -> None:
        self.name = context.name
        self._now = context.now
        self._url = values["url"]
        self._headers = {_TYPE: "application/json"}
        for name, value in header_lines(values["headers"]):
            self._headers[_TYPE if name.lower() == _TYPE.lower() else name] = value
        self._secret = values["secret"].encode()
        self._template, self._unusable = None, ""
        try:
            if values["template"]:
                self._template = read_template(values["template"], FIELDS)
        except TemplateError as error:
            # It was valid when it was checked a moment ago.
            self._unusable = str(error)
        self._poster = Poster(context.client, context.now, _secrets(values))

    async def send(self, alerts: Sequence[Alert]) -> str:
        words = ""
        for alert in alerts:
            words = await self._send(alert)
        return words

    async def _send(self, alert: Alert) -> str:
        if self._unusable:
            raise DeliveryError(self._poster.words(f"the template cannot be used: {self._unusable}"))
        body = self._body(alert)
        headers = {**self._headers, ID: alert.id}
        if self._secret:
            headers[SIGNATURE] = f"sha256={hmac.digest(self._secret, body, 'sha256').hex()}"
        reply = await self._poster.post(self._url, headers=headers, data=body)
        if succeeded(reply):
            return status_words(reply.code)
        raise self._refusal(reply)

    def _body(self, alert: Alert) -> bytes:
        message = members(alert, self._now())
        if self._template is None:
            return msgspec.json.encode(message)
        return self._template.fill({name: _escaped(value) for name, value in _flat(message)}).encode()

    def _refusal(self, reply: Reply) -> DeliveryError:
        """What an answer other than 2xx means: a page comes from what stands between us and the receiver."""
        permanent = reply.code < 500 and reply.code not in RETRIED and not is_page(reply)
        words = "" if is_page(reply) else _words(reply.body)
        status = status_words(reply.code)
        return self._poster.refused(reply, f"{status}: {words}" if words else status, permanent=permanent)


class WebhookChannel:
    """The sections ``[webhook]`` and ``[webhook NAME]``."""

    name = "webhook"
    events = DEFAULT_EVENTS
    resolves = False
    options = (
        OptionSpec("url", form="url", secret=True),
        OptionSpec("headers", form="lines", secret=True),
        OptionSpec("secret", secret=True),
        OptionSpec("template", form="path"),
    )

    def essential(self, values: Mapping[str, str]) -> tuple[str, ...]:
        return ("url",)

    def check(self, values: Mapping[str, str]) -> Mapping[str, str]:
        found = {"headers": "; ".join(_header_problems(values))}
        try:
            if values["template"]:
                read_template(values["template"], FIELDS)
        except TemplateError as error:
            found["template"] = str(error)
        return {option: words for option, words in found.items() if words}

    def notifier(self, values: Mapping[str, str], context: ChannelContext) -> Webhook:
        return Webhook(values, context)


CHANNEL = WebhookChannel()


def members(alert: Alert, now: Instant) -> dict[str, Any]:
    """Return what is sent about an alert; the age in its explanation is as of `now`."""
    task = incident = None
    if alert.task:
        task = {
            "url": _text(task_url(alert)),
            "id": alert.task,
            "name": _text(alert.name),
            "group": _text(alert.group),
            "process": _text(alert.process),
            "server": _text(alert.server),
            "status": None if alert.kind is None else status_of(alert.kind).value,
            "reason": _text(alert.reason),
            "lastrun": iso(alert.lastrun),
            "due": iso(alert.due),
            "page": _text(alert.page),
            "runbook": _text(alert.runbook),
            "note": _text(alert.note),
        }
        incident = {"started": iso(alert.started)}
    return {
        "id": alert.id,
        "event": alert.event.value,
        "at": iso(alert.at),
        "explanation": _text(wording.explained(alert, now)),
        "kind": None if alert.kind is None else alert.kind.value,
        "before": None if alert.before is None else alert.before.value,
        "task": task,
        "incident": incident,
    }


def header_lines(text: str) -> Iterator[tuple[str, str]]:
    """Yield the names and values of valid lines ``Name: value``."""
    for line in text.splitlines():
        name, _, value = line.partition(":")
        yield name.strip(), value.strip()


def _text(text: str | None) -> str | None:
    return cut(one_line(text), TEXT_LIMIT) if text else None


def _flat(message: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield a message's members as the fields of a template: ``task_name``."""
    for field in FIELDS:
        name, _, member = field.partition("_")
        value = message[name]
        if member:
            value = None if value is None else value[member]
        yield field, value or ""


def _fields() -> tuple[str, ...]:
    sample = members(Alert(id="", event=Event.TEST, at=0.0, explanation="", task="0", label="/"), 0.0)
    return tuple(
        field
        for name, value in sample.items()
        for field in ([f"{name}_{member}" for member in value] if isinstance(value, dict) else [name])
    )


#: The fields that a template may hold.
FIELDS = _fields()


def _escaped(text: str) -> str:
    """Return a text as it stands between the quotes of a JSON string."""
    return msgspec.json.encode(text).decode()[1:-1]


def _words(body: bytes) -> str:
    """Return the receiver's own words: those of a JSON object, else its text."""
    answer = json_object(body)
    for name in ("error", "message", "detail"):
        if isinstance(answer.get(name), str):
            return str(answer[name])
    return "" if answer else body.decode("utf-8", "replace")


def _secrets(values: Mapping[str, str]) -> Iterator[str]:
    """Yield what must not be seen: the whole URL, the secret, and the values of headers, also without a scheme."""
    yield from secret_parts(values["url"])
    yield from url_secrets(values["url"])
    texts = [values["secret"]]
    for _, value in header_lines(values["headers"]):
        texts += [value, value.rpartition(" ")[2]]
    yield from (text for text in texts if len(text) >= SHORTEST_SECRET)


def _header_problems(values: Mapping[str, str]) -> Iterator[str]:
    """Yield what is wrong with the headers, without their values."""
    seen: set[str] = set()
    for number, line in enumerate(values["headers"].splitlines(), 1):
        name, colon, value = (part.strip() for part in line.partition(":"))
        where = f"header {number}"
        if not colon or not _NAME.fullmatch(name):
            yield f'{where} must be written as "Name: value"'
            continue
        if not value or not value.isascii() or not value.isprintable():
            yield f"the value of {where} ({name}) must be printable ASCII"
        if name.lower() in _OWN:
            yield f"{where}: {name} is set by Py Pinger itself"
        elif name.lower() in seen:
            yield f"{where}: {name} is given twice"
        elif name.lower() == "authorization" and _has_user(values["url"]):
            yield f"{where}: {name} is set by the user name in url"
        seen.add(name.lower())


def _has_user(url: str) -> bool:
    try:
        return parse(url).credentials is not None
    except UrlError:
        return False
