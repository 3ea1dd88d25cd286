"""
The token of ``[token_auth]``: one login for all exchanges that wait for it, shared by all tasks, renewed when refused.

The rules are in the contract, section 3. Beyond them: a failed login is not repeated for a moment, and exchanges that
begin meanwhile fail with its words; while a token is being renewed, and if it cannot be, others use the old one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from treq import json_content
from treq.client import HTTPClient
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IBodyProducer, IResponse
from zope.interface import implementer

from pypinger.domain.model import Fault, Seconds
from pypinger.domain.url import UrlError, parse
from pypinger.http.client import NO_COOKIES, WireUrl, within
from pypinger.http.wire.errors import ExchangeCancelled, ExchangeFailed
from pypinger.http.wire.headers import USER_AGENT, basic, check_header

#: Seconds that one login may take.
LOGIN_TIMEOUT: Seconds = 20.0

#: Seconds without a login after a new token was refused too.
QUIET_AFTER_REFUSAL: Seconds = 60.0

#: Seconds for which the failure of a login is shared before the next attempt.
QUIET_AFTER_FAILURE: Seconds = 5.0

#: The longest token, in bytes.
MAX_TOKEN = 8192

_REFUSALS = frozenset({401, 403})


class TokenSettings(Protocol):
    """
    The values of ``[token_auth]``.

    A `token` is sent as it stands; without one, `url`, `username` and `password` obtain it.
    """

    @property
    def header(self) -> str:
        """The request header that carries the token."""
        ...

    @property
    def token(self) -> str | None:
        """A token that is sent as it stands."""
        ...

    @property
    def url(self) -> str | None:
        """Where the login is posted."""
        ...

    @property
    def username(self) -> str | None:
        """Sent as ``email``."""
        ...

    @property
    def password(self) -> str | None:
        """Sent as ``password``."""
        ...


class _NoTokenYet(ExchangeCancelled):
    """The exchange was cancelled while it waited for a token."""

    def timed_out(self, seconds: Seconds) -> ExchangeFailed:
        return _no_token(f"the login did not answer within {seconds:g} s")


def _no_token(words: str, response: IResponse | None = None) -> ExchangeFailed:
    contact = None if response is None else response.request.contact()
    return ExchangeFailed(Fault.TOKEN, f"no token: {words}", contact)


class TokenSource:
    """
    Gives the token.

    :param client: posts the login.
    :param learned: called with each token that a login gives, so that it can be kept out of logs and pages.
    """

    _log = Logger()

    def __init__(
        self, reactor: IReactorTime, settings: TokenSettings, client: HTTPClient, learned: Callable[[str], None]
    ) -> None:
        self._reactor = reactor
        self._settings = settings
        self._client = client
        self._learned = learned
        self._token: bytes | None = None
        self._waiting: list[Deferred[bytes]] = []
        self._login: Deferred[None] | None = None
        self._failure: ExchangeFailed | None = None
        self._failed_until: Seconds = 0.0
        self._quiet_until: Seconds = 0.0

    async def get(self) -> bytes:
        """
        Return the present token, after a login if there is none.

        :raises ExchangeFailed: no token can be obtained.
        """
        if self._token is not None:
            return self._token
        if self._settings.token is not None:
            self._token = self._checked(self._settings.token)
            return self._token
        return await self._log_in()

    async def renew(self, refused: bytes) -> bytes | None:
        """
        Return a newer token than one that was refused; None if the refusal stands.

        :raises ExchangeFailed: a new token is due and cannot be obtained.
        """
        if self._settings.token is not None:
            return None
        if self._token is not None and self._token != refused:
            return self._token
        if self._reactor.seconds() < self._quiet_until:
            return None
        token = await self._log_in()
        if token == refused:
            self.refused_again()
            return None
        return token

    def refused_again(self) -> None:
        """Make no login for a while: a renewed token was refused too."""
        self._quiet_until = self._reactor.seconds() + QUIET_AFTER_REFUSAL

    def close(self) -> None:
        """Cancel a login under way."""
        if self._login is not None:
            self._login.cancel()

    def _log_in(self) -> Deferred[bytes]:
        waiter: Deferred[bytes] = Deferred(self._give_up)
        if self._failure is not None and self._reactor.seconds() < self._failed_until:
            waiter.errback(self._failure)
            return waiter
        self._waiting.append(waiter)
        if self._login is None:
            # The login is no part of this exchange: others wait for it too, and it has a time limit of its own.
            self._login = Deferred()
            running = Deferred.fromCoroutine(self._run_login())
            if self._login is not None:
                self._login = running
        return waiter

    def _give_up(self, waiter: Deferred[bytes]) -> None:
        self._waiting.remove(waiter)
        waiter.errback(_NoTokenYet("waiting for a token"))

    async def _run_login(self) -> None:
        result: bytes | Failure
        try:
            result = self._token = await self._post_login()
            self._failure = None
        except ExchangeFailed as failure:
            result = self._failed(failure)
        except CancelledError:
            result = self._failed(_no_token("the client is being closed"))
        except Exception:
            self._log.failure("unexpected error while logging in for a token")
            result = self._failed(_no_token("the login failed, see the log"))
        self._login = None
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            waiter.callback(result)

    def _failed(self, failure: ExchangeFailed) -> Failure:
        if failure.fault is not Fault.TOKEN:
            ours = failure.fault in (Fault.OWN, Fault.NO_ROUTE)
            words = f"no token: the login failed: {failure.words}"
            # A name that cannot be looked up shows nothing about the host.
            contact = None if failure.fault is Fault.DNS else failure.contact
            failure = ExchangeFailed(failure.fault if ours else Fault.TOKEN, words, contact)
        self._failure = failure
        self._failed_until = self._reactor.seconds() + QUIET_AFTER_FAILURE
        return Failure(failure)

    async def _post_login(self) -> bytes:
        settings = self._settings
        try:
            url = parse(settings.url or "")
        except UrlError as error:
            raise ExchangeFailed(Fault.URL, str(error)) from None
        headers = Headers({b"User-Agent": [USER_AGENT], b"Accept": [b"application/json"]})
        if url.credentials is not None:
            headers.setRawHeaders(b"Authorization", [basic(url.credentials)])
        login = {"email": settings.username or "", "password": settings.password or ""}
        response = await within(
            LOGIN_TIMEOUT,
            self._reactor,
            self._client.post(
                WireUrl(url), json=login, headers=headers, cookies=NO_COOKIES, unbuffered=True, allow_redirects=False
            ),
        )
        if not 200 <= response.code < 300:
            raise _no_token(f"the login at {url.peer} answered with status {response.code}", response)
        try:
            token = (await json_content(response))["auth_token"]
            if not isinstance(token, str):
                raise TypeError
        except (ValueError, LookupError, TypeError, RecursionError):
            raise _no_token(f"the login at {url.peer} answered without a usable auth_token", response) from None
        value = self._checked(token)
        self._learned(token)
        return value

    def _checked(self, token: str) -> bytes:
        value = token.encode("utf-8", "surrogateescape")
        if not value.strip() or len(value) > MAX_TOKEN:
            raise _no_token(f"it is empty or longer than {MAX_TOKEN:,} bytes")
        try:
            check_header(self._settings.header, value)
        except ExchangeFailed as failure:
            raise _no_token(failure.words) from None
        return value


@implementer(IAgent)
class Token:
    """
    Adds the token to requests, and renews it once if it is refused.

    :param header: the request header that carries the token.
    """

    def __init__(self, agent: IAgent, source: TokenSource, header: str) -> None:
        self._agent = agent
        self._source = source
        self._header = header

    def request(
        self, method: bytes, uri: bytes, headers: Headers | None = None, bodyProducer: IBodyProducer | None = None
    ) -> Deferred[IResponse]:
        """
        Make a request with the token.

        :returns: a Deferred of the answer, or of :class:`~pypinger.http.wire.errors.ExchangeFailed`.
        """
        return Deferred.fromCoroutine(self._request(method, uri, headers or Headers(), bodyProducer))

    async def _request(self, method: bytes, uri: bytes, headers: Headers, producer: IBodyProducer | None) -> IResponse:
        token = await self._source.get()
        response = await self._agent.request(method, uri, self._with(headers, token), producer)
        if response.code not in _REFUSALS or producer is not None:
            return response
        try:
            renewed = await self._source.renew(token)
        except ExchangeFailed as failure:
            words = f"answered {response.code} to the token; {failure.words}"
            raise ExchangeFailed(failure.fault, words, failure.contact) from None
        if renewed is None:
            return response
        response = await self._agent.request(method, uri, self._with(headers, renewed), None)
        if response.code in _REFUSALS:
            self._source.refused_again()
        return response

    def _with(self, headers: Headers, token: bytes) -> Headers:
        sent = headers.copy()
        sent.setRawHeaders(self._header, [token])
        return sent
