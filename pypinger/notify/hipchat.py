"""
The ``[hipchat]`` channel: room notifications of HipChat's v2 API, which Data Center servers still offer (contract,
section 5).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from urllib.parse import quote

from pypinger.domain import wording
from pypinger.domain.model import Alert, Event, Seconds
from pypinger.domain.routing import DEFAULT_EVENTS
from pypinger.domain.texts import cut
from pypinger.domain.wording import Severity
from pypinger.notify.post import Poster, json_object, status_words, succeeded, unfit_for_header
from pypinger.notify.text import lines, signature
from pypinger.ports.notifying import ChannelContext, DeliveryError, OptionSpec, Reply

MESSAGE_LIMIT = 10_000

_COLORS: Mapping[Severity, str] = {
    Severity.PROBLEM: "red",
    Severity.WARNING: "yellow",
    Severity.RECOVERED: "green",
    Severity.NEUTRAL: "gray",
}

# Events without a notification in the room.
_QUIET = frozenset({Event.STARTED, Event.STOPPED})

# HipChat finds mentions in texts too; a report must not notify everyone with "@all".
_MENTION = re.compile(r"(?<!\w)@(?=\w)")


class HipChat:
    """
    A :class:`pypinger.ports.notifying.Notifier` for one room.

    :param values: the section's options.
    """

    spacing: Seconds = 0.0
    groups = True

    def __init__(self, values: Mapping[str, str], context: ChannelContext) -> None:
        self.name = context.name
        self._now = context.now
        self._poster = Poster(context.client, context.now, [values["auth"]])
        self._url = f"{values['url'].rstrip('/')}/v2/room/{quote(values['room'], safe='')}/notification"
        self._headers = {"Authorization": f"Bearer {values['auth']}"}
        emoji = values["emoji"].strip("():")
        self._prefix = f"({emoji}) " if emoji else ""

    async def send(self, alerts: Sequence[Alert]) -> str:
        reply = await self._poster.post(self._url, headers=self._headers, json=self._payload(alerts))
        if succeeded(reply):
            return status_words(reply.code)
        raise self._refusal(reply)

    def _payload(self, alerts: Sequence[Alert]) -> dict[str, object]:
        ids = "\n" + signature([alert.id for alert in alerts], MESSAGE_LIMIT // 2)
        text = _MENTION.sub("@\N{ZERO WIDTH SPACE}", lines(wording.plain(alerts, self._now()), MESSAGE_LIMIT))
        return {
            "message": cut(self._prefix + text, MESSAGE_LIMIT - len(ids)) + ids,
            "message_format": "text",
            "color": _COLORS[wording.severity(alerts)],
            "notify": any(alert.event not in _QUIET for alert in alerts),
        }

    def _refusal(self, reply: Reply) -> DeliveryError:
        error = json_object(reply.body).get("error")
        words = error.get("message") if isinstance(error, dict) else error
        wait = None
        reset = reply.headers.get("x-ratelimit-reset", "")
        if reply.code == 429 and "retry-after" not in reply.headers and reset.isascii() and reset.isdigit():
            wait = self._poster.until(float(reset))
        return self._poster.refused(reply, words if isinstance(words, str) else "", wait=wait)


class HipChatChannel:
    """The sections ``[hipchat]`` and ``[hipchat NAME]``."""

    name = "hipchat"
    events = DEFAULT_EVENTS
    resolves = False
    options = (
        OptionSpec("room"),
        OptionSpec("auth", secret=True),
        OptionSpec("emoji"),
        OptionSpec("url", form="url", default="https://api.hipchat.com"),
    )

    def essential(self, values: Mapping[str, str]) -> tuple[str, ...]:
        return ("room", "auth")

    def check(self, values: Mapping[str, str]) -> Mapping[str, str]:
        return unfit_for_header(values, "auth")

    def notifier(self, values: Mapping[str, str], context: ChannelContext) -> HipChat:
        return HipChat(values, context)


CHANNEL = HipChatChannel()
