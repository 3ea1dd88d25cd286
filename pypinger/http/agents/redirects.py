"""
Redirects, followed without giving credentials to other origins.

A token, a password or a client certificate is sent to the origin it is meant for and to no other. Once a redirect has
left that origin, they are not sent again for the rest of the chain, and never from https to http (contract, section 3).
"""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IBodyProducer, IResponse
from zope.interface import implementer

from pypinger.domain.model import Contact, Fault
from pypinger.domain.url import UrlError, join, parse
from pypinger.http.wire.errors import ExchangeCancelled, ExchangeFailed
from pypinger.http.wire.reader import REDIRECTS
from pypinger.http.wire.response import after, contact_of
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
        try:
            url = parse(uri.decode("ascii"), longest=None)
        except UrlError as error:
            raise _unusable(error, response) from None
        cookie = response.headers.hasHeader(b"set-cookie")
        for _ in range(self._limit):
            try:
                new = join(url, response.headers.getRawHeaders(b"location", [b""])[0])
            except UrlError as error:
                raise _unusable(error, response) from None
            if new.origin != url.origin and agent is self._home:
                agent, headers = self._away, _without_credentials(headers)
            url = new
            previous = response
            asked = agent.request(method, uri_of(url), headers, None)
            response = await asked.addErrback(_came_from, contact_of(response))
            response.setPreviousResponse(previous)
            if response.code not in REDIRECTS or not response.headers.hasHeader(b"location"):
                return response
            cookie = cookie or response.headers.hasHeader(b"set-cookie")
        words = f"too many redirects (more than {self._limit})"
        if cookie:
            words += "; the server sets a cookie and may need it back, but Py Pinger keeps no cookies"
        raise ExchangeFailed(Fault.REDIRECTS, words, contact_of(response))


def _unusable(error: UrlError, response: IResponse) -> ExchangeFailed:
    return ExchangeFailed(Fault.REDIRECTS, f"a redirect cannot be followed: {error}", contact_of(response))


def _came_from(failure: Failure, last: Contact | None) -> Failure:
    """Add the hosts that led to one that failed."""
    error = failure.value
    if last is None or not isinstance(error, (ExchangeFailed, ExchangeCancelled)) or error.contact is None:
        return failure
    contact = after(error.contact, last)
    if isinstance(error, ExchangeCancelled):
        return Failure(ExchangeCancelled(error.stage, contact))
    return Failure(ExchangeFailed(error.fault, error.words, contact))


def _without_credentials(headers: Headers) -> Headers:
    kept = headers.copy()
    for name in _CREDENTIALS:
        kept.removeHeader(name)
    return kept
