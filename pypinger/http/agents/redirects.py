"""
Redirects, followed so that credentials stay at home.

A token, a password or a client certificate is sent to the origin it is meant for and to no other. Once a redirect has
left that origin, they are not sent again for the rest of the chain, and never from https to http (contract, section 3).
"""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IBodyProducer, IResponse
from zope.interface import implementer

from pypinger.domain.model import Fault
from pypinger.domain.url import Url, UrlError, join, parse
from pypinger.http.wire.errors import ExchangeFailed
from pypinger.http.wire.reader import REDIRECTS
from pypinger.http.wire.uri import uri_of

_FOLLOWED = frozenset({b"GET", b"HEAD"})
_CREDENTIALS = (b"authorization", b"cookie", b"proxy-authorization")


@implementer(IAgent)
class Redirects:
    """
    Follows redirects of GET and HEAD requests.

    :param home: makes requests to the first origin; it may add credentials.
    :param away: makes requests to other origins, and to the first after the chain has left it.
    :param limit: how many redirects are followed.
    """

    def __init__(self, home: IAgent, away: IAgent, limit: int) -> None:
        self._home = home
        self._away = away
        self._limit = limit

    def request(
        self, method: bytes, uri: bytes, headers: Headers | None = None, bodyProducer: IBodyProducer | None = None
    ) -> Deferred[IResponse]:
        """
        Make a request and follow redirects.

        :returns: a Deferred of the first answer that is no redirect, or of
            :class:`~pypinger.http.wire.errors.ExchangeFailed`.
        """
        asked = self._home.request(method, uri, headers, bodyProducer)
        if method in _FOLLOWED:
            asked.addCallback(self._check, method, uri, headers)
        return asked

    def _check(
        self, response: IResponse, method: bytes, uri: bytes, headers: Headers | None
    ) -> IResponse | Deferred[IResponse]:
        if response.code not in REDIRECTS or not response.headers.hasHeader(b"location"):
            return response
        headers = Headers() if headers is None else headers
        return Deferred.fromCoroutine(self._follow(response, method, uri, headers))

    async def _follow(self, response: IResponse, method: bytes, uri: bytes, headers: Headers) -> IResponse:
        agent = self._home
        url = _parse(uri.decode("ascii"))
        for _ in range(self._limit):
            new = _join(url, response.headers.getRawHeaders(b"location", [b""])[0])
            if new.origin != url.origin and agent is self._home:
                agent, headers = self._away, _without_credentials(headers)
            url = new
            previous = response
            response = await agent.request(method, uri_of(url), headers, None)
            response.setPreviousResponse(previous)
            if response.code not in REDIRECTS or not response.headers.hasHeader(b"location"):
                return response
        raise ExchangeFailed(Fault.REDIRECTS, f"too many redirects (more than {self._limit})")


def _join(url: Url, location: bytes) -> Url:
    try:
        return join(url, location)
    except UrlError as error:
        raise _unusable(error) from None


def _parse(text: str) -> Url:
    try:
        return parse(text)
    except UrlError as error:
        raise _unusable(error) from None


def _unusable(error: UrlError) -> ExchangeFailed:
    return ExchangeFailed(Fault.REDIRECTS, f"a redirect cannot be followed: {error}")


def _without_credentials(headers: Headers) -> Headers:
    kept = headers.copy()
    for name in _CREDENTIALS:
        kept.removeHeader(name)
    return kept
