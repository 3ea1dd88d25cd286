"""
Fetching reports: :class:`TaskFetcher` is the :class:`~pypinger.ports.fetching.Fetcher` that asks over the network.

Everything that depends on a task alone is worked out once and kept in its plan, so that a check on a kept connection
costs a write, a read and the parsing of the answer. Judging is left to others: an answer is an answer, whatever its
status code.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger

from pypinger.domain.model import Answer, Fault, NoAnswer, Observation, Task
from pypinger.http import url as urls
from pypinger.http.agent import PollingAgent
from pypinger.http.deadline import Deadline, Deadlines
from pypinger.http.encoding import ACCEPTED
from pypinger.http.errors import ExchangeFailed
from pypinger.http.limits import Limits, free_descriptors
from pypinger.http.reactor import IPollingReactor
from pypinger.http.redirects import Ask, follow
from pypinger.http.request import USER_AGENT, basic, request_head
from pypinger.http.response import Response
from pypinger.http.route import Route
from pypinger.http.tls import TrustSetting
from pypinger.http.token import TokenSettings, TokenSource

_LINES = USER_AGENT + b"Accept: application/json\r\nAccept-Encoding: %s\r\n" % ACCEPTED
_REFUSALS = frozenset({401, 403})

# Plans of tasks that were configured once and are no more cost memory only; this many are too many.
_MOST_PLANS = 200_000


class _Plan:
    """
    How a task is asked: everything that stays the same from check to check.

    :ivar head: the request but for the token and the empty line.
    :ivar token: whether the token goes with it.
    """

    __slots__ = ("ask", "head", "route", "task", "token")

    def __init__(self, task: Task, ask: Ask, route: Route, *, token: bool) -> None:
        self.task = task
        self.ask = ask
        self.route = route
        self.head = request_head(b"GET", ask.url, route) + ask.lines + ask.secret
        self.token = token


class TaskFetcher:
    """
    Asks task endpoints.

    :param token: the values of ``[token_auth]``, None when it is off.
    :param max_body: bytes of decoded body.
    :param ca_file: the private CA of ``[main]``, for logins; tasks bring their own setting.
    :param proxy: the proxy of ``[main]``, for logins; tasks bring their own setting.
    :param limits: instead of the usual ones.
    :param learned: told each token that a login gives, so that it can be kept out of whatever is shown.
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
        self._deadlines = Deadlines(reactor)
        self._agent = PollingAgent(reactor, limits or Limits(body=max_body, connections=free_descriptors()))
        self._login_agent = PollingAgent(reactor, Limits(idle=0.0, connections=8))
        self._plans: dict[str, _Plan] = {}
        self._tokens: TokenSource | None = None
        if token is not None:
            self._tokens = TokenSource(
                reactor, token, self._login_agent, trust=TrustSetting(ca_file=ca_file), proxy=proxy, learned=learned
            )
        self._token_header = "" if token is None else token.header.lower()

    async def fetch(self, task: Task) -> Observation:
        """
        Make one exchange within ``task.timeout`` seconds (the contract, section 3).

        It never raises for anything an endpoint, a resolver, a certificate or a setting does. Cancelling the Deferred
        that runs it closes the socket.
        """
        seconds = self._reactor.seconds
        started = seconds()
        deadline = self._deadlines.begin(task.timeout)
        try:
            plan = self._plans.get(task.url)
            if plan is None or (plan.task is not task and plan.task != task):
                plan = self._make_plan(task)
            if plan.token:
                response = await self._get_with_token(plan, deadline)
            else:
                response = await self._agent.exchange(plan.route, b"%s\r\n" % plan.head, deadline, follow=True)
                if response.location is not None:
                    response, _ = await follow(self._agent, plan.ask, response, deadline)
        except ExchangeFailed as failure:
            return NoAnswer(failure.fault, failure.words, seconds() - started)
        except CancelledError:
            if not deadline.expired:
                raise
            late = deadline.failure()
            return NoAnswer(late.fault, late.words, seconds() - started)
        except Exception:
            self._log.failure("a check of {label} failed for a reason that nobody thought of", label=task.label)
            return NoAnswer(Fault.BROKEN, "the check failed in Py Pinger itself, see the log", seconds() - started)
        finally:
            deadline.clear()
        return Answer(response.code, response.body, seconds() - started)

    async def close(self) -> None:
        """Close every connection, idle or in use; waits until they are gone."""
        if self._tokens is not None:
            self._tokens.close()
        closing: list[Deferred[None]] = [self._agent.close(), self._login_agent.close()]
        for closed in closing:
            await closed

    async def _get_with_token(self, plan: _Plan, deadline: Deadline) -> Response:
        tokens = self._tokens
        assert tokens is not None
        line = await tokens.get(deadline)
        response, sent = await self._exchange(plan, line, deadline)
        if response.code not in _REFUSALS or not sent:
            return response
        try:
            renewed = await tokens.renew(line, deadline)
        except ExchangeFailed as failure:
            raise ExchangeFailed(failure.fault, f"answered {response.code} to the token; {failure.words}") from None
        if renewed is None:
            return response
        response, sent = await self._exchange(plan, renewed, deadline)
        if response.code in _REFUSALS and sent:
            tokens.refused_again()
        return response

    async def _exchange(self, plan: _Plan, token: bytes, deadline: Deadline) -> tuple[Response, bool]:
        """
        Ask with a token, and follow redirects.

        :returns: the answer, and whether whoever gave it saw the credentials.
        """
        agent = self._agent
        response = await agent.exchange(plan.route, b"%s%s\r\n" % (plan.head, token), deadline, follow=True)
        if response.location is None:
            return response, True
        ask = Ask(plan.ask.url, plan.ask.lines, plan.ask.secret + token, plan.ask.trust, plan.ask.proxy)
        response, ask = await follow(agent, ask, response, deadline)
        return response, bool(ask.secret)

    def _make_plan(self, task: Task) -> _Plan:
        url = urls.parse(task.url)
        credentials = url.userinfo if task.credentials is None else task.credentials.encode("utf-8", "surrogateescape")
        secret = basic(b"Authorization", credentials) if credentials else b""
        trust = TrustSetting(task.ca_file, task.client_cert, task.client_key)
        ask = Ask(url, _LINES, secret, trust, task.proxy)
        # Of two credentials for the same header the task's own are meant.
        token = task.token_auth and not (secret and self._token_header == "authorization")
        token = token and self._tokens is not None
        if len(self._plans) >= _MOST_PLANS:
            self._plans.clear()
        plan = _Plan(task, ask, self._agent.route(url, trust, task.proxy), token=token)
        self._plans[task.url] = plan
        return plan
