"""
One POST to a channel's service, and what an answer other than success means.

Each channel decides which words of an answer are the service's own.
"""

from __future__ import annotations

from codecs import BOM_UTF8
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

import msgspec

from pypinger.domain.backoff import retry_after
from pypinger.domain.model import Instant, Seconds
from pypinger.domain.redaction import Secrets
from pypinger.domain.texts import cut, one_line
from pypinger.ports.clock import WallClock
from pypinger.ports.notifying import DeliveryError, HttpClient, Reply, RequestFailed

#: The most characters of a service's words that are kept.
WORDS_LIMIT = 200

#: Status codes that the same request would get again until someone changes the settings. All others are retried: an
#: alert sent late is better than an alert lost.
_REFUSALS = frozenset({301, 308, 400, 401, 403, 404, 405, 406, 410, 411, 413, 414, 415, 422})


class Poster:
    """
    Posts to one service.

    :param secrets: texts that are removed from words, even if the service echoes them.
    """

    def __init__(self, client: HttpClient, now: WallClock, secrets: Iterable[str]) -> None:
        self._client = client
        self._now = now
        self._secrets = Secrets(secrets)

    def words(self, text: str) -> str:
        """Return one short line without secrets."""
        return cut(one_line(self._secrets.scrub(text)), WORDS_LIMIT)

    async def post(
        self, url: str, *, headers: Mapping[str, str], json: object = None, data: bytes | None = None
    ) -> Reply:
        """
        POST once, `json` or `data`.

        :raises DeliveryError: there was no answer; trying again may help.
        """
        try:
            return await self._client.post(url, headers=headers, json=json, data=data)
        except RequestFailed as failed:
            # Not chained: the client does not know that the whole URL of a webhook is a secret.
            raise DeliveryError(self.words(str(failed)) or "no answer") from None

    def refused(
        self, reply: Reply, words: str, *, permanent: bool | None = None, wait: Seconds | None = None
    ) -> DeliveryError:
        """
        Return what an answer other than success means.

        :param words: the service's own words, empty if it has none.
        :param permanent: what the channel knows; None to go by the status code.
        :param wait: seconds until the service accepts messages again, if it says so in a way of its own.
        """
        if permanent is None:
            # A page comes from what stands between us and the service, which may let the next attempt through.
            permanent = reply.code in _REFUSALS and not is_page(reply)
        if wait is None:
            wait = retry_after(reply.headers.get("retry-after"), self._now())
        return DeliveryError(
            self.words(words) or status_words(reply.code), permanent=permanent, retry_after=None if permanent else wait
        )

    def until(self, instant: Instant) -> Seconds:
        """Return the seconds from now to an instant, 0 if it has passed."""
        return max(0.0, instant - self._now())


def succeeded(reply: Reply) -> bool:
    """Whether the status code is 2xx."""
    return 200 <= reply.code <= 299


def is_page(reply: Reply) -> bool:
    """
    Whether the answer is a page; the services answer with JSON or a word.

    Its ``Content-Type`` does not count: small servers send ``text/html`` with whatever they answer.
    """
    return reply.body.removeprefix(BOM_UTF8).lstrip()[:1] == b"<"


def status_words(code: int) -> str:
    """Return a status code in words: ``HTTP 503 Service Unavailable``."""
    try:
        return f"HTTP {code} {HTTPStatus(code).phrase}"
    except ValueError:
        return f"HTTP {code}"


def json_object(body: bytes) -> dict[str, Any]:
    """Return the JSON object in an answer; empty if there is none."""
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def unfit_for_header(values: Mapping[str, str], option: str) -> Mapping[str, str]:
    """Return option -> words if the value of an option cannot be sent in a header, else nothing."""
    value = values.get(option, "")
    if value.isascii() and value.isprintable() and " " not in value:
        return {}
    return {option: "must consist of printable ASCII characters without spaces"}
