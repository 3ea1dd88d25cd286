"""
The polling agent: an ``IAgent`` whose Deferred fires when the whole body is there.

Twisted's own fires after the headers. Here one time limit covers everything from the name look-up to the last byte,
cancelling the Deferred closes the socket at any moment, and a failure is reported in one place. The agent keeps
connections, decodes bodies and enforces :class:`~pypinger.http.wire.limits.Limits`; it follows no redirect and keeps no
cookie. It is the one place where a request is written.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import cast

from twisted.internet.defer import Deferred, fail
from twisted.python.failure import Failure
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IBodyProducer, IResponse
from zope.interface import implementer

from pypinger.domain.model import Fault
from pypinger.domain.url import UrlError, parse
from pypinger.http.wire.bodies import collect
from pypinger.http.wire.connection import Connection
from pypinger.http.wire.encoding import ACCEPTED
from pypinger.http.wire.errors import ExchangeFailed, StaleConnection
from pypinger.http.wire.headers import check_method, render
from pypinger.http.wire.network import Network
from pypinger.http.wire.proxy import Proxy, proxy_for, refused_by_proxy
from pypinger.http.wire.response import Request, Response
from pypinger.http.wire.route import Route
from pypinger.http.wire.tls import NO_FILES, TrustSetting

# They can be repeated if it is not known whether the server received them.
_REPEATABLE = frozenset({b"GET", b"HEAD", b"OPTIONS"})

# They announce that they have no body.
_WITH_BODY = frozenset({b"POST", b"PUT", b"PATCH"})

#: URLs whose places are remembered, so that redirects cannot use up the memory.
REMEMBERED = 65_536

_URI = re.compile(rb"(?P<origin>[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*)(?P<target>[\x21\x22\x24-\x7e]*)(?:#.*)?", re.DOTALL)


class _Place:
    """
    A URL as requests need it.

    :ivar line: the request line and ``Host``, without the method.
    """

    __slots__ = ("line", "route")

    def __init__(self, route: Route, line: bytes) -> None:
        self.route = route
        self.line = line


class _Call:
    """One request on its way."""

    __slots__ = ("headers", "method", "route", "uri")

    def __init__(self, route: Route, method: bytes, uri: bytes, headers: Headers) -> None:
        self.route = route
        self.method = method
        self.uri = uri
        self.headers = headers


@implementer(IAgent)
class PollingAgent:
    """
    Makes requests over the connections of a network.

    :param proxy: a proxy's URL, ``env``, or nothing.
    :param headers: headers of every request, which callers do not repeat.
    """

    def __init__(
        self,
        network: Network,
        *,
        trust: TrustSetting = NO_FILES,
        proxy: str | None = None,
        headers: Headers | None = None,
    ) -> None:
        self._network = network
        self._trust = trust
        self._proxy = proxy
        self._place = lru_cache(REMEMBERED)(self._find_place)
        self._headers = b"" if headers is None else render(headers)
        self._close = b"Connection: close\r\n" if network.limits.idle <= 0 else b""

    def request(
        self, method: bytes, uri: bytes, headers: Headers | None = None, bodyProducer: IBodyProducer | None = None
    ) -> Deferred[IResponse]:
        """
        Make a request.

        :returns: a Deferred of the answer with its whole, decoded body, or of
            :class:`~pypinger.http.wire.errors.ExchangeFailed`. Cancelled, it closes the socket and fails with
            :class:`~pypinger.http.wire.errors.ExchangeCancelled`.
        """
        headers = Headers() if headers is None else headers
        try:
            place = self._place(uri)
            head = self._head(method, place, headers)
        except ExchangeFailed:
            return fail()
        call = _Call(place.route, method, uri, headers)
        if bodyProducer is not None:
            return Deferred.fromCoroutine(self._send(call, head, bodyProducer))
        if method in _WITH_BODY:
            head += b"Content-Length: 0\r\n"
        return self._exchange(call, head + b"\r\n")

    async def _send(self, call: _Call, head: bytes, producer: IBodyProducer) -> IResponse:
        body = await collect(producer)
        return await self._exchange(call, b"%sContent-Length: %d\r\n\r\n%s" % (head, len(body), body))

    def _exchange(self, call: _Call, raw: bytes) -> Deferred[IResponse]:
        connection = self._network.pool.take(call.route)
        if connection is None:
            return self._exchange_anew(call, raw)
        asked = self._ask(connection, call, raw)
        if call.method in _REPEATABLE:
            asked.addErrback(self._retry, call, raw)
        return asked

    def _retry(self, failure: Failure, call: _Call, raw: bytes) -> Deferred[IResponse]:
        failure.trap(StaleConnection)
        return self._exchange_anew(call, raw)

    def _exchange_anew(self, call: _Call, raw: bytes) -> Deferred[IResponse]:
        resolved = self._network.looks_up(call.route)
        return self._network.connect(call.route).addCallback(self._ask, call, raw, resolved)

    def _ask(
        self, connection: Connection, call: _Call, raw: bytes, resolved: bool | None = None
    ) -> Deferred[IResponse]:
        host = call.route.first_hop.host
        request = Request(call.method, call.uri, call.headers, host, connection.address, resolved=resolved)
        asked = connection.ask(request, raw)
        if call.route.proxy is not None:
            asked.addCallback(_check_proxy, call.route.proxy)
        return cast("Deferred[IResponse]", asked)

    def _head(self, method: bytes, place: _Place, headers: Headers) -> bytes:
        check_method(method)
        # A connection that carried a HEAD is not kept.
        close = b"Connection: close\r\n" if method == b"HEAD" else self._close
        lines = self._headers + render(headers)
        return b"%s %s%sAccept-Encoding: %s\r\n%s" % (method, place.line, lines, ACCEPTED, close)

    def _find_place(self, uri: bytes) -> _Place:
        match = _URI.fullmatch(uri)
        if match is None:
            raise ExchangeFailed(Fault.URL, "the URL must start with http:// or https:// and be percent-encoded")
        try:
            # The target may be longer than a URL that people type, as it is percent-encoded.
            url = parse(match["origin"].decode("ascii"))
        except (UrlError, UnicodeDecodeError) as error:
            raise ExchangeFailed(Fault.URL, str(error)) from None
        if url.credentials is not None:
            raise ExchangeFailed(Fault.URL, "the URL holds userinfo; credentials belong in a header")
        target = match["target"] if match["target"].startswith(b"/") else b"/" + match["target"]
        proxy = proxy_for(self._proxy, url)
        route = self._network.route(url, self._trust, proxy)
        line = b"%s HTTP/1.1\r\nHost: %s\r\n" % (target, url.host_header)
        if proxy is not None and route.tls is None:
            origin = b"%s://%s" % (url.scheme.encode("ascii"), url.host_header)
            line = b"%s%s%s" % (origin, line, proxy.authorization)
        return _Place(route, line)


def _check_proxy(response: Response, proxy: Proxy) -> Response:
    if response.code == 407:
        failure = refused_by_proxy(proxy)
        raise ExchangeFailed(failure.fault, failure.words, response.request.contact())
    return response
