"""
The token of ``[token_auth]``: got once however many checks wait for it, shared by all tasks, renewed when refused.

The rules are the contract's, section 3. Where it is silent: a login that failed is not tried again for a moment, and
what it failed with is told to every check that asks meanwhile; while a token is being renewed, the other tasks go on
with the old one; if it cannot be renewed, they still do.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import msgspec
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from pypinger.domain.model import Fault, Seconds
from pypinger.http import url as urls
from pypinger.http.agent import PollingAgent
from pypinger.http.deadline import Deadline, Deadlines
from pypinger.http.errors import ExchangeFailed
from pypinger.http.reactor import IPollingReactor
from pypinger.http.request import USER_AGENT, basic, header_line, request_head
from pypinger.http.tls import TrustSetting

#: Seconds that one login may take.
LOGIN_TIMEOUT: Seconds = 20.0

#: Seconds without a login after a new token was refused too.
QUIET_AFTER_REFUSAL: Seconds = 60.0

#: Seconds for which the failure of a login is shared before it is tried again.
QUIET_AFTER_FAILURE: Seconds = 5.0

#: Bytes that a token may have.
LARGEST_TOKEN = 8192


class TokenSettings(Protocol):
    """
    What must be known; :class:`pypinger.config.settings.TokenAuth` says it.

    With a `token` it is sent as it stands; without one, `url`, `username` and `password` get it.
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


class _Login(msgspec.Struct):
    """The answer to a login."""

    auth_token: str


def _no_token(words: str, fault: Fault = Fault.TOKEN) -> ExchangeFailed:
    return ExchangeFailed(fault, f"no token: {words}")


class TokenSource:
    """
    Gives header lines with the token.

    :param agent: makes the logins.
    :param trust: whom logins trust.
    :param proxy: the proxy setting for logins.
    :param learned: told each token that a login gives, so that it can be kept out of whatever is shown.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: IPollingReactor,
        settings: TokenSettings,
        agent: PollingAgent,
        *,
        trust: TrustSetting,
        proxy: str | None,
        learned: Callable[[str], None],
    ) -> None:
        self._reactor = reactor
        self._deadlines = Deadlines(reactor)
        self._settings = settings
        self._agent = agent
        self._trust = trust
        self._proxy = proxy
        self._learned = learned
        self._line: bytes | None = None
        self._waiting: list[Deferred[bytes]] = []
        self._login: Deferred[None] | None = None
        self._failure: ExchangeFailed | None = None
        self._failed_until: Seconds = 0.0
        self._quiet_until: Seconds = 0.0

    async def get(self, deadline: Deadline) -> bytes:
        """
        The header line with the present token.

        :raises ExchangeFailed: there is none to be had.
        """
        if self._line is not None:
            return self._line
        if self._settings.token is not None:
            self._line = self._make_line(self._settings.token)
            return self._line
        return await self._log_in(deadline)

    async def renew(self, refused: bytes, deadline: Deadline) -> bytes | None:
        """
        A task's endpoint has refused a token.

        :param refused: the line that was sent.
        :returns: a newer line; None if the refusal stands.
        :raises ExchangeFailed: a new token should be had but cannot.
        """
        if self._settings.token is not None:
            return None
        if self._line is not None and self._line != refused:
            return self._line
        if self._reactor.seconds() < self._quiet_until:
            return None
        line = await self._log_in(deadline)
        if line == refused:
            self.refused_again()
            return None
        return line

    def refused_again(self) -> None:
        """A renewed token was refused too: leave the login alone for a while."""
        self._quiet_until = self._reactor.seconds() + QUIET_AFTER_REFUSAL

    def close(self) -> None:
        """Give up a login under way."""
        if self._login is not None:
            self._login.cancel()

    async def _log_in(self, deadline: Deadline) -> bytes:
        if self._failure is not None and self._reactor.seconds() < self._failed_until:
            raise self._failure
        deadline.stage = "waiting for a token"
        waiter: Deferred[bytes] = Deferred(self._waiting.remove)
        deadline.waiting = waiter
        self._waiting.append(waiter)
        if self._login is None:
            # Not a part of this check: others wait for it too, and it has a time limit of its own.
            self._login = Deferred()
            running = Deferred.fromCoroutine(self._run_login())
            if self._login is not None:
                self._login = running
        try:
            return await waiter
        except CancelledError:
            if not deadline.expired:
                raise
            raise _no_token(f"the login did not answer within {deadline.seconds:g} s") from None

    async def _run_login(self) -> None:
        result: bytes | Failure
        deadline = self._deadlines.begin(LOGIN_TIMEOUT)
        try:
            result = self._line = await self._ask(deadline)
            self._failure = None
        except ExchangeFailed as failure:
            result = self._failed(failure)
        except CancelledError:
            result = self._failed(deadline.failure() if deadline.expired else _no_token("the client is being closed"))
        except Exception:
            self._log.failure("the login for a token failed for a reason that nobody thought of")
            result = self._failed(_no_token("the login failed, see the log"))
        finally:
            deadline.clear()
        self._login = None
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            waiter.callback(result)

    def _failed(self, failure: ExchangeFailed) -> Failure:
        if failure.fault is not Fault.TOKEN:
            fault = Fault.OWN if failure.fault is Fault.OWN else Fault.TOKEN
            failure = _no_token(f"the login failed: {failure.words}", fault)
        self._failure = failure
        self._failed_until = self._reactor.seconds() + QUIET_AFTER_FAILURE
        return Failure(failure)

    async def _ask(self, deadline: Deadline) -> bytes:
        settings = self._settings
        url = urls.parse(settings.url or "")
        route = self._agent.route(url, self._trust, self._proxy)
        body = msgspec.json.encode({"email": settings.username or "", "password": settings.password or ""})
        request = b"%s%s%sConnection: close\r\n%sContent-Length: %d\r\n\r\n%s" % (
            request_head(b"POST", url, route),
            USER_AGENT,
            b"Accept: application/json\r\nContent-Type: application/json\r\n",
            basic(b"Authorization", url.userinfo) if url.userinfo else b"",
            len(body),
            body,
        )
        response = await self._agent.exchange(route, request, deadline, repeatable=False)
        if not 200 <= response.code < 300:
            raise _no_token(f"the login at {url.peer} answered with status {response.code}")
        try:
            token = msgspec.json.decode(response.body, type=_Login).auth_token
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise _no_token(f"the login at {url.peer} answered without a usable auth_token") from None
        line = self._make_line(token)
        self._learned(token)
        return line

    def _make_line(self, token: str) -> bytes:
        value = token.encode("utf-8", "surrogateescape")
        if not value.strip() or len(value) > LARGEST_TOKEN:
            raise _no_token(f"it is empty or longer than {LARGEST_TOKEN:,} bytes")
        try:
            return header_line(self._settings.header.encode("utf-8"), value)
        except ExchangeFailed as failure:
            raise _no_token(failure.words) from None
