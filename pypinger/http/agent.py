"""
The agent: requests in, complete answers out.

Two doors. :meth:`PollingAgent.request` is Twisted's ``IAgent``, so that treq works with it. Its Deferred fires when the
whole body is there, not already after the headers: so one time limit covers everything, cancelling closes the socket
at any moment, and a failure has one way out. :meth:`PollingAgent.exchange` is what the ports stand on; it takes a
request that is ready for the wire, which is what makes a poll cheap. Neither follows redirects or keeps cookies.
"""

from __future__ import annotations

from weakref import WeakValueDictionary

from twisted.internet.defer import CancelledError, Deferred
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IBodyProducer, IResponse
from zope.interface import implementer

from pypinger.domain.model import Fault
from pypinger.http import url as urls
from pypinger.http.connect import Opening
from pypinger.http.connection import Connection
from pypinger.http.deadline import Deadline, Deadlines
from pypinger.http.errors import ExchangeFailed, StaleConnection
from pypinger.http.limits import Limits
from pypinger.http.names import Names
from pypinger.http.pool import Pool
from pypinger.http.proxy import Proxy, proxy_for
from pypinger.http.reactor import IPollingReactor
from pypinger.http.request import collect_body, header_lines, method_token, request_head
from pypinger.http.response import Request, Response
from pypinger.http.route import Route
from pypinger.http.tls import Contexts, TlsClient, TrustSetting
from pypinger.http.url import Origin, Url

_DEFAULT_TRUST = TrustSetting()

# May be made again if it is not known whether the server has seen them.
_REPEATABLE = frozenset({b"GET", b"HEAD", b"OPTIONS"})


@implementer(IAgent)
class PollingAgent:
    """
    Makes exchanges over connections that it keeps.

    :param trust: whom `request` trusts; `exchange` goes by its route.
    :param proxy: through which proxy `request` goes: a URL, ``env``, or nothing.
    :param names: looks names up.
    """

    def __init__(
        self,
        reactor: IPollingReactor,
        limits: Limits | None = None,
        *,
        trust: TrustSetting = _DEFAULT_TRUST,
        proxy: str | None = None,
        names: Names | None = None,
    ) -> None:
        self.limits = Limits() if limits is None else limits
        self.pool = Pool(reactor, self.limits)
        self._reactor = reactor
        self._deadlines = Deadlines(reactor)
        self._trust = trust
        self._proxy = proxy
        self._names = Names(reactor) if names is None else names
        self._contexts = Contexts()
        # A route lives as long as somebody plans to use it, or a connection goes its way.
        self._routes: WeakValueDictionary[tuple[Origin, TrustSetting, Proxy | None], Route] = WeakValueDictionary()

    def route(self, url: Url, trust: TrustSetting, proxy_setting: str | None) -> Route:
        """
        The way to a URL; to be kept by whoever asks again and again.

        :raises ExchangeFailed: the proxy setting cannot be used.
        """
        proxy = proxy_for(proxy_setting, url)
        secure = url.scheme == "https"
        key = (url.origin, trust if secure else _DEFAULT_TRUST, proxy)
        route = self._routes.get(key)
        if route is None:
            tls = TlsClient(self._reactor, self._contexts, trust, url.host, is_ip=url.is_ip) if secure else None
            self._routes[key] = route = Route(url, proxy, tls)
        return route

    async def exchange(
        self,
        route: Route,
        request: bytes,
        deadline: Deadline,
        *,
        bodyless: bool = False,
        follow: bool = False,
        repeatable: bool = True,
    ) -> Response:
        """
        Send a request and get its whole answer; cancelling closes the socket.

        :param request: as it goes over the wire.
        :param bodyless: the answer will have no body (HEAD).
        :param follow: a redirect will be followed, so that its body is of no interest.
        :param repeatable: if a kept connection turns out to be dead, make the request again on a new one.
        :raises ExchangeFailed: there is no answer.
        """
        connection = self.pool.take(route)
        if connection is not None:
            try:
                response = await connection.ask(request, deadline, bodyless=bodyless, follow=follow)
            except StaleConnection:
                if not repeatable:
                    raise
                connection = None
        if connection is None:
            connection = await self._connect(route, deadline)
            response = await connection.ask(request, deadline, bodyless=bodyless, follow=follow)
        if response.code == 407 and route.proxy is not None:
            words = f"the proxy {route.proxy.peer} does not accept our credentials (407)"
            raise ExchangeFailed(Fault.CONNECT, words)
        return response

    def request(
        self, method: bytes, uri: bytes, headers: Headers | None = None, bodyProducer: IBodyProducer | None = None
    ) -> Deferred[IResponse]:
        """
        Make a request, as ``IAgent`` has it.

        :returns: a Deferred of the answer with its whole, decoded body, or of :class:`ExchangeFailed`.
        """
        return Deferred.fromCoroutine(self._request(method, uri, headers, bodyProducer))

    def close(self) -> Deferred[None]:
        """Abort every connection, idle or in use; fires when they are gone."""
        return self.pool.close()

    async def _request(
        self, method: bytes, uri: bytes, headers: Headers | None, producer: IBodyProducer | None
    ) -> IResponse:
        deadline = self._deadlines.begin(self.limits.timeout)
        try:
            url = urls.parse(uri.decode("utf-8", "surrogateescape"))
            if url.userinfo is not None:
                raise ExchangeFailed(Fault.URL, "the URL holds userinfo; credentials belong in a header")
            route = self.route(url, self._trust, self._proxy)
            headers = Headers() if headers is None else headers
            given = [(name, value) for name, values in headers.getAllRawHeaders() for value in values]
            lines = header_lines(pair for pair in given if pair[0].lower() not in (b"host", b"content-length"))
            if method == b"HEAD" or self.limits.idle <= 0:
                lines += b"Connection: close\r\n"  # it will not be kept
            if producer is not None:
                body = await collect_body(producer, deadline)
                lines += b"Content-Length: %d\r\n" % len(body)
            else:
                body = b""
            head = request_head(method_token(method), url, route)
            response = await self.exchange(
                route,
                b"%s%s\r\n%s" % (head, lines, body),
                deadline,
                bodyless=method == b"HEAD",
                repeatable=method in _REPEATABLE,
            )
            response.request = Request(method, url.absolute, headers)
            return response
        except CancelledError:
            if deadline.expired:
                raise deadline.failure() from None
            raise
        finally:
            deadline.clear()

    async def _connect(self, route: Route, deadline: Deadline) -> Connection:
        if route.tls is not None:
            route.tls.load()
        to = route if route.proxy is None else route.proxy
        addresses = (to.host,) if to.is_ip else await self._names.addresses(to.host, deadline)
        self.pool.make_room()
        try:
            return await Opening(self._reactor, self.pool, route, addresses, deadline).start()
        except (ExchangeFailed, CancelledError):
            self._names.forget(to.host)
            raise
