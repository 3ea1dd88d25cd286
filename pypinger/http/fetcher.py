"""
Fetching reports: :class:`TaskFetcher` is the :class:`~pypinger.ports.fetching.Fetcher` that asks over the network.

Agents and clients are made once for each combination of trust, proxy and token, and what depends on a task alone is
prepared once. An answer is an answer, whatever its status code: judging is done elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable
from email.utils import mktime_tz, parsedate_tz
from functools import lru_cache
from typing import TypeAlias

from treq import content
from treq.client import HTTPClient
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IResponse

from pypinger.domain.model import Answer, Contact, Fault, Instant, NoAnswer, Observation, Seconds, Task
from pypinger.domain.url import UrlError, parse
from pypinger.http.agents.polling import PollingAgent
from pypinger.http.agents.redirects import Redirects
from pypinger.http.agents.token import Token, TokenSettings, TokenSource
from pypinger.http.client import NO_COOKIES, WireUrl, client_over, within
from pypinger.http.wire.errors import ExchangeFailed
from pypinger.http.wire.headers import USER_AGENT, basic
from pypinger.http.wire.limits import Limits, free_descriptors
from pypinger.http.wire.network import Network
from pypinger.http.wire.proxy import proxy_for
from pypinger.http.wire.reactor import IPollingReactor
from pypinger.http.wire.response import contact_of
from pypinger.http.wire.tls import TrustSetting

#: Trust, proxy setting, and whether the token is added.
_Setting: TypeAlias = tuple[TrustSetting, str | None, bool]

# Given to the agent: treq would copy them for each request.
_HEADERS = Headers({b"User-Agent": [USER_AGENT], b"Accept": [b"application/json"]})

# Preparations of tasks that have left the configuration cost memory only; all are dropped when there are this many.
_MAX_PREPARED = 200_000


class _Prepared:
    """What stays the same from check to check of a task."""

    __slots__ = ("client", "headers", "task", "url")

    def __init__(self, task: Task, client: HTTPClient, url: WireUrl, headers: Headers) -> None:
        self.task = task
        self.client = client
        self.url = url
        self.headers = headers


class TaskFetcher:
    """
    Asks task endpoints.

    :param token: the values of ``[token_auth]``, None when it is off.
    :param max_body: bytes of decoded body.
    :param ca_file: the private CA of ``[main]``, for logins; tasks bring their own setting.
    :param proxy: the proxy of ``[main]``, for logins; tasks bring their own setting.
    :param limits: instead of the usual ones.
    :param learned: called with each token that a login gives, so that it can be kept out of logs and pages.
    :ivar network: the connections to the endpoints.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: IPollingReactor,
        *,
        token: TokenSettings | None = None,
        max_body: int = 65_536,
        ca_file: str | None = None,
        proxy: str | None = None,
        limits: Limits | None = None,
        learned: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._reactor = reactor
        limits = limits or Limits(body=max_body, redirect_body=False, connections=free_descriptors())
        self.network = Network(reactor, limits)
        self._logins = Network(reactor, Limits(idle=0.0, connections=8))
        self._prepared: dict[str, _Prepared] = {}
        self._clients: dict[_Setting, HTTPClient] = {}
        self._tokens: TokenSource | None = None
        self._token_header = "" if token is None else token.header
        if token is not None:
            agent = PollingAgent(self._logins, trust=TrustSetting(ca_file=ca_file), proxy=proxy)
            self._tokens = TokenSource(reactor, token, client_over(agent), learned)

    async def fetch(self, task: Task) -> Observation:
        """
        Make one exchange within ``task.timeout`` seconds (contract, section 3).

        It does not raise for anything that an endpoint, a resolver, a certificate or a setting does. Cancelling the
        Deferred that runs it closes the socket. A task can be fetched several times at once.
        """
        seconds = self._reactor.seconds
        started = seconds()
        try:
            prepared = self._prepared.get(task.key)
            if prepared is None or (prepared.task is not task and prepared.task != task):
                prepared = self._prepare(task)
            response = await within(
                task.timeout,
                self._reactor,
                prepared.client.get(
                    prepared.url,
                    headers=prepared.headers,
                    cookies=NO_COOKIES,
                    unbuffered=True,
                    allow_redirects=False,
                ),
            )
            return _answer(task, response, await content(response), seconds() - started)
        except ExchangeFailed as failure:
            # The frames in its traceback hold it, a cycle that only the garbage collector would free.
            failure.with_traceback(None)
            return NoAnswer(failure.fault, failure.words, seconds() - started, failure.contact)
        except UrlError as error:
            return NoAnswer(Fault.URL, str(error), seconds() - started)
        except CancelledError:
            raise
        except Exception:
            self._log.failure("unexpected error while fetching {label}", label=task.label)
            return NoAnswer(Fault.BROKEN, "the check failed in Py Pinger itself, see the log", seconds() - started)

    async def look_up(self, task: Task) -> Contact | None:
        """See :meth:`pypinger.ports.fetching.Fetcher.look_up`."""
        trust = TrustSetting(task.ca_file, task.client_cert, task.client_key)
        try:
            url = parse(task.url or "")
            route = self.network.route(url, trust, proxy_for(task.proxy, url))
            looked_up = self.network.look_up(route)
            if looked_up is None:
                return None
            await within(task.timeout, self._reactor, looked_up)
        except ExchangeFailed as failure:
            failure.with_traceback(None)
            return failure.contact
        except UrlError:
            return None
        return Contact(route.first_hop.host, resolved=True)

    async def close(self) -> None:
        """Close every connection, idle or in use, and wait until they are gone."""
        if self._tokens is not None:
            self._tokens.close()
        closing: list[Deferred[None]] = [self.network.close(), self._logins.close()]
        for closed in closing:
            await closed

    def _prepare(self, task: Task) -> _Prepared:
        url = parse(task.url or "")
        credentials = url.credentials if task.credentials is None else task.credentials
        headers = Headers()
        if credentials:
            headers.setRawHeaders(b"Authorization", [basic(credentials)])
        # A task's own credentials win over the token where both use one header.
        token = self._tokens is not None and task.token_auth
        token = token and not (credentials and self._token_header.lower() == "authorization")
        trust = TrustSetting(task.ca_file, task.client_cert, task.client_key)
        prepared = _Prepared(task, self._client((trust, task.proxy, token)), WireUrl(url), headers)
        if len(self._prepared) >= _MAX_PREPARED:
            self._prepared.clear()
        self._prepared[task.key] = prepared
        return prepared

    def _client(self, setting: _Setting) -> HTTPClient:
        client = self._clients.get(setting)
        if client is None:
            trust, proxy, token = setting
            network = self.network
            home: IAgent = PollingAgent(network, trust=trust, proxy=proxy, headers=_HEADERS)
            # A client certificate is a credential too.
            away = PollingAgent(network, trust=TrustSetting(ca_file=trust.ca_file), proxy=proxy, headers=_HEADERS)
            if token and self._tokens is not None:
                home = Token(home, self._tokens, self._token_header)
            client = self._clients[setting] = client_over(Redirects(home, away, network.limits.redirects))
        return client


@lru_cache(256)
def _instant(date: bytes) -> Instant | None:
    """Read a ``Date`` header. Answers of one second share it, which the cache makes cheap."""
    parts = parsedate_tz(date.decode("latin-1"))
    try:
        return None if parts is None else float(mktime_tz(parts))
    except (ValueError, OverflowError):
        return None


def _date_of(headers: Headers) -> Instant | None:
    dates = headers.getRawHeaders(b"date", ())
    if len(dates) != 1 or headers.hasHeader(b"age"):
        return None
    return _instant(dates[0])


def _answer(task: Task, response: IResponse, body: bytes, latency: Seconds) -> Answer:
    contact = contact_of(response, _date_of(response.headers))
    if response.previousResponse is None or response.request.absoluteURI is None:
        return Answer(response.code, body, latency, contact)
    url = parse(response.request.absoluteURI.decode("ascii"), longest=None)
    foreign = url.origin != parse(task.url or "").origin
    return Answer(response.code, body, latency, contact, url.label, foreign)
