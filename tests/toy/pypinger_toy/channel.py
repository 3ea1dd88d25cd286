"""The ``[toy]`` channel: posts a text and the alerts' ids as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pypinger.domain import wording
from pypinger.domain.model import Alert, Seconds
from pypinger.domain.routing import DEFAULT_EVENTS
from pypinger.notify.post import Poster, json_object, status_words, succeeded, unfit_for_header
from pypinger.notify.text import lines
from pypinger.ports.notifying import ChannelContext, OptionSpec

LIMIT = 8_000


class Toy:
    """A :class:`pypinger.ports.notifying.Notifier`."""

    spacing: Seconds = 0.0
    groups = True

    def __init__(self, values: Mapping[str, str], context: ChannelContext) -> None:
        self.name = context.name
        self._now = context.now
        self._poster = Poster(context.client, context.now, [values["token"]])
        self._url = values["url"]
        self._headers = {"Authorization": f"Bearer {values['token']}"}

    async def send(self, alerts: Sequence[Alert]) -> str:
        message = {
            "ids": [alert.id for alert in alerts],
            "text": lines(wording.plain(alerts, self._now()), LIMIT),
        }
        reply = await self._poster.post(self._url, headers=self._headers, json=message)
        if succeeded(reply):
            return status_words(reply.code)
        words = json_object(reply.body).get("error")
        raise self._poster.refused(reply, words if isinstance(words, str) else "")


class ToyChannel:
    """The sections ``[toy]`` and ``[toy NAME]``."""

    name = "toy"
    events = DEFAULT_EVENTS
    resolves = False
    options = (OptionSpec("url", form="url"), OptionSpec("token", secret=True))

    def essential(self, values: Mapping[str, str]) -> tuple[str, ...]:
        return ("url", "token")

    def check(self, values: Mapping[str, str]) -> Mapping[str, str]:
        return unfit_for_header(values, "token")

    def notifier(self, values: Mapping[str, str], context: ChannelContext) -> Toy:
        return Toy(values, context)


CHANNEL = ToyChannel()
