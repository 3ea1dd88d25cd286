"""
The ``[apprise]`` channel: all services that the Apprise library knows (contract, section 5).

Apprise is an optional extra. It blocks, and its time limits do not end an answer that drips, so each message is sent in
a thread that is left behind when its time is up. It is imported only where the channel is on, as it takes 40 MB.

Each URL is a recipient of its own: those who were reached are not written to again when the others are retried.

Note [Proxies of Apprise]
~~~~~~~~~~~~~~~~~~~~~~~~~
Apprise's plugins call ``requests.post`` and the like, which take the proxy from the environment of the process and from
nowhere else. The environment cannot be changed for one thread, and a process per message would take half a second of
CPU time and 40 MB each. Therefore ``HTTPAdapter.send`` of requests, through which every request passes last, is wrapped
once: in our threads it uses the proxy of ``[main]``, in all others it does what it did.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from functools import cache, partial, wraps
from hashlib import blake2b
from importlib import import_module
from importlib.util import find_spec
from threading import get_ident, local
from typing import Any
from urllib.parse import urlsplit

import msgspec
from twisted.internet.defer import Deferred, DeferredList, TimeoutError
from twisted.python.failure import Failure

from pypinger.domain import wording
from pypinger.domain.model import Alert, Instant, Seconds
from pypinger.domain.redaction import SHORTEST_SECRET, Secrets
from pypinger.domain.routing import DEFAULT_EVENTS
from pypinger.domain.texts import cut, one_line
from pypinger.domain.url import DEFAULT_PORTS
from pypinger.domain.wording import Severity
from pypinger.notify.audience import Audience, Sending
from pypinger.notify.background import Background, TooManyThreads
from pypinger.notify.post import WORDS_LIMIT
from pypinger.notify.text import lines, signature, without_mentions
from pypinger.ports.notifying import ChannelContext, OptionSpec, Proxies

#: The time limit of an attempt, in seconds: a little less than the outbox's, so that the words are ours.
LIMIT: Seconds = 19.0

#: Threads of one URL at once, those that were left behind among them.
MAX_THREADS = 3

#: The longest text and title, in characters, where a service allows that much.
TEXT_LIMIT = 8_000
TITLE_LIMIT = 200

_TYPES: Mapping[Severity, str] = {
    Severity.PROBLEM: "failure",
    Severity.WARNING: "warning",
    Severity.RECOVERED: "success",
    Severity.NEUTRAL: "info",
}

# Of Apprise's results only the status code is known, and not how long to wait. 407 is the proxy's.
_PASSING = frozenset({407, 408, 425, 429})
_STATUS = re.compile(r"\berror=([1-5]\d\d)\b")

_MISSING = 'needs the Apprise library: pip install "py-pinger[apprise]"'


class _Result(msgspec.Struct, frozen=True):
    """The outcome for one URL; `words` may hold secrets."""

    accepted: bool
    words: str
    permanent: bool = False


class _Warnings(logging.Handler):
    """Keeps the latest warning of each thread, which is all that Apprise says of a failure."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._latest: dict[int, str] = {}

    def emit(self, record: logging.LogRecord) -> None:
        self._latest[get_ident()] = record.getMessage()

    def take(self) -> str:
        """Return the latest warning of this thread, and forget it."""
        return self._latest.pop(get_ident(), "")


class _Here(local):
    """
    What holds for the requests of one thread.

    :ivar ours: whether it sends our messages.
    :ivar proxies: the proxy of ``[main]``; None for no proxy.
    """

    ours = False
    proxies: Proxies | None = None


_here = _Here()


def _choose_proxy(adapter: Any) -> None:
    """Wrap the adapter of requests: see Note [Proxies of Apprise]."""
    send = adapter.send

    @wraps(send)
    def send_through(self: Any, request: Any, *arguments: Any, **options: Any) -> Any:
        if _here.ours:
            options["proxies"] = _proxies_for(request.url, _here.proxies)
            # After a redirect it holds the credentials of a proxy of the environment.
            request.headers.pop("Proxy-Authorization", None)
        return send(self, request, *arguments, **options)

    adapter.send = send_through


def _proxies_for(url: str, proxies: Proxies | None) -> dict[str, str]:
    """Return the proxy for a URL in the form that requests takes."""
    parts = urlsplit(url)
    if proxies is None or parts.hostname is None:
        return {}
    found = proxies.url(parts.scheme, parts.hostname, parts.port or DEFAULT_PORTS.get(parts.scheme, 0))
    return {} if found is None else {parts.scheme: found}


@cache
def _library() -> tuple[Any, _Warnings]:
    """Import Apprise, and keep the logs of it and of what it uses to ourselves: they hold tokens and whole URLs."""
    library = import_module("apprise")
    _choose_proxy(import_module("requests.adapters").HTTPAdapter)
    warnings = _Warnings()
    for name in ("apprise", "urllib3", "requests"):
        logger = logging.getLogger(name)
        logger.setLevel(logging.WARNING)
        logger.propagate = False
        logger.addHandler(warnings if name == "apprise" else logging.NullHandler())
    return library, warnings


def _services(url: str) -> Any:
    """Return Apprise with one URL; it is empty if the URL is not understood."""
    library, warnings = _library()
    # With a time limit of its own Apprise uses a pool of threads that the end of the process would wait for.
    asset = library.AppriseAsset(
        app_id="Py Pinger", async_mode=False, secure_logging=True, http_redirects=False, service_timeout=0
    )
    services = library.Apprise(asset=asset)
    services.add(url)
    warnings.take()
    return services


class AppriseNotifier:
    """A :class:`pypinger.ports.notifying.PartialNotifier` for the URLs of one section."""

    spacing: Seconds = 1.0
    groups = True

    def __init__(self, values: Mapping[str, str], context: ChannelContext) -> None:
        self.name = context.name
        self._reactor = context.reactor
        self._now = context.now
        self._proxies = context.proxies
        urls = values["urls"].split("\n")
        self._secrets = Secrets(part for url in urls for part in _parts(url))
        self._urls = {f"url {number} ({_scheme(url)})": url for number, url in enumerate(urls, 1)}
        self._threads = {name: Background(context.reactor, MAX_THREADS) for name in self._urls}
        self._audience = Audience(self.name, {name: _key(name, url) for name, url in self._urls.items()})

    async def send(self, alerts: Sequence[Alert]) -> str:
        attempt = Sending(self._audience, alerts)
        now = self._now()
        running = [
            Deferred.fromCoroutine(self._send_to(name, missing, now, attempt)) for name, missing in attempt.missing()
        ]
        for succeeded, result in await DeferredList(running, consumeErrors=True):
            if not succeeded:
                assert isinstance(result, Failure)
                result.raiseException()
        return attempt.conclude()

    def progress(self, alert: Alert) -> str | None:
        return self._audience.progress(alert)

    def begin(self, alert: Alert, progress: str | None) -> None:
        self._audience.begin(alert, progress)

    async def _send_to(self, name: str, alerts: Sequence[Alert], now: Instant, attempt: Sending) -> None:
        def returned(result: _Result) -> None:
            # Also when it comes too late, so that the next attempt does not send the message again.
            words = cut(one_line(self._secrets.scrub(result.words)), WORDS_LIMIT)
            if result.accepted:
                attempt.reached(name, words)
            elif result.permanent:
                attempt.refused(name, words)
            else:
                attempt.failed(name, words)

        try:
            send = partial(_send, self._urls[name], alerts, now, self._proxies)
            sending = self._threads[name].call(send, returned)
            await sending.addTimeout(LIMIT, self._reactor)
        except TimeoutError:
            attempt.failed(name, f"no answer within {LIMIT:g} s")
        except TooManyThreads:
            attempt.failed(name, "earlier messages still wait for an answer")


class AppriseChannel:
    """The sections ``[apprise]`` and ``[apprise NAME]``."""

    name = "apprise"
    events = DEFAULT_EVENTS
    resolves = False
    options = (OptionSpec("urls", form="lines", secret=True),)

    def essential(self, values: Mapping[str, str]) -> tuple[str, ...]:
        return ("urls",)

    def check(self, values: Mapping[str, str]) -> Mapping[str, str]:
        if find_spec("apprise") is None:
            return {"urls": _MISSING}
        for number, url in enumerate(values["urls"].split("\n"), 1):
            if len(_services(url)) != 1:
                return {"urls": f"URL {number} is none that Apprise understands; each URL stands on a line of its own"}
        return {}

    def notifier(self, values: Mapping[str, str], context: ChannelContext) -> AppriseNotifier:
        return AppriseNotifier(values, context)


def _send(url: str, alerts: Sequence[Alert], now: Instant, proxies: Proxies | None) -> _Result:
    """Send one message to one URL; called in a thread of its own."""
    _here.ours, _here.proxies = True, proxies
    try:
        services = _services(url)
        title, body = _texts(alerts, now, services[0].body_maxlen, services[0].title_maxlen)
        accepted = services.notify(
            body=body, title=title, notify_type=_TYPES[wording.severity(alerts)], body_format="text"
        )
    except Exception as error:
        # Of a service's module: its words may hold anything.
        return _Result(False, f"Apprise failed with {type(error).__name__}")
    warning = _library()[1].take()
    if accepted:
        return _Result(True, "accepted")
    status = _STATUS.search(warning)
    code = int(status[1]) if status else 0
    words = warning or "not accepted, and Apprise does not say why"
    return _Result(False, words, permanent=400 <= code <= 499 and code not in _PASSING)


def _texts(alerts: Sequence[Alert], now: Instant, longest: int, longest_title: int) -> tuple[str, str]:
    """Return title and text within the limits of a service; one without titles gets the title in its text."""
    headline, _, rest = wording.plain(alerts, now).partition("\n")
    longest = min(longest, TEXT_LIMIT)
    title = cut(without_mentions(one_line(headline)), min(longest_title or longest // 2, TITLE_LIMIT))
    limit = longest - (0 if longest_title else len(title) + 2)
    ids = "\n" + signature([alert.id for alert in alerts], limit // 2)
    text = without_mentions(lines(rest, limit))
    return title, cut(text, limit - len(ids)) + ids


def _scheme(url: str) -> str:
    scheme = url.partition("://")[0]
    return scheme if re.fullmatch("[a-z0-9]{1,20}", scheme) else "?"


def _key(name: str, url: str) -> str:
    """Return what the store knows a URL by: its name, and a digest that is too short to try passwords by it."""
    return f"{name} {blake2b(url.encode('utf-8', 'surrogateescape'), digest_size=2).hexdigest()}"


def _parts(url: str) -> set[str]:
    """Return all parts of a URL but its scheme: any may be a token."""
    rest = url.partition("://")[2]
    parts = {url, rest, *re.split("[/:@?&=+,]", rest)}
    return {part for part in parts if len(part) >= SHORTEST_SECRET}


CHANNEL = AppriseChannel()
