"""
What every use of treq here shares: clients without cookies, URLs that are sent as they are, and time limits.

treq's defaults would carry the cookies of one task to the next, and would refuse or change URLs that servers accept: a
host name with ``_``, an IPv6 address, a bare ``?`` and ``|``.
"""

from __future__ import annotations

from collections.abc import Iterator
from http.cookiejar import Cookie, CookieJar
from typing import Any, TypeVar

from hyperlink import EncodedURL
from treq.client import HTTPClient
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure
from twisted.web.iweb import IAgent

from pypinger.domain.model import Seconds
from pypinger.domain.url import Url
from pypinger.http.wire.bodies import BytesProducer
from pypinger.http.wire.errors import ExchangeCancelled
from pypinger.http.wire.uri import uri_of

_T = TypeVar("_T")


class _NoCookies(CookieJar):
    """Keeps no cookie and sends none."""

    def __iter__(self) -> Iterator[Cookie]:
        return iter(())

    def set_cookie(self, cookie: Cookie) -> None:
        pass

    def extract_cookies(self, response: Any, request: Any) -> None:
        pass

    def add_cookie_header(self, request: Any) -> None:
        pass


#: To be given to every request; treq would make a jar otherwise. Newer treqs ask for a class of their own, which treq
#: 25.5 lacks, but use only what every jar has.
NO_COOKIES: Any = _NoCookies()


class WireUrl(EncodedURL):
    """A URL that treq passes to its agent as it is."""

    def __init__(self, url: Url) -> None:
        super().__init__(scheme=url.scheme, host=url.host.partition("%")[0], port=url.port)
        self._wire = uri_of(url).decode("ascii")

    def to_uri(self) -> WireUrl:
        """Return itself: it is a URI."""
        return self

    def to_text(self, with_password: bool = False) -> str:
        """Return the URL as it is sent."""
        return self._wire


def client_over(agent: IAgent) -> HTTPClient:
    """Return a client of treq that makes its requests with `agent`."""
    # treq 26 has a subclass of CookieJar here, of which it needs nothing more.
    jar: Any = NO_COOKIES
    return HTTPClient(agent, cookiejar=jar, data_to_body_producer=BytesProducer)


def within(seconds: Seconds, reactor: IReactorTime, exchange: Deferred[_T]) -> Deferred[_T]:
    """
    Cancel an exchange that takes longer than `seconds`.

    :returns: `exchange`; late, it fails with :class:`~pypinger.http.wire.errors.ExchangeFailed`, which says at what.
    """
    return exchange.addTimeout(seconds, reactor, _timed_out)


def _timed_out(result: Any, seconds: Seconds) -> Any:
    if isinstance(result, Failure) and isinstance(result.value, ExchangeCancelled):
        failure = result.value.timed_out(seconds)
        result.value.with_traceback(None)  # frees the cycle of exception and frames
        return Failure(failure)
    return result
