"""Requests as bytes: request line, headers and bodies, put together once and sent often."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterable
from typing import TYPE_CHECKING

from twisted.internet.defer import CancelledError
from twisted.internet.interfaces import IConsumer
from twisted.web.iweb import IBodyProducer
from zope.interface import implementer

from pypinger import __version__
from pypinger.domain.model import Fault
from pypinger.http.deadline import Deadline
from pypinger.http.errors import ExchangeFailed
from pypinger.http.url import Url

if TYPE_CHECKING:
    from pypinger.http.route import Route

USER_AGENT = b"User-Agent: py-pinger/%s\r\n" % __version__.encode("ascii")

_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")


def request_head(method: bytes, url: Url, route: Route) -> bytes:
    """The request line and the headers that the way there asks for; further lines and the empty one follow."""
    if route.proxy is None or route.tls is not None:
        return b"%s %s HTTP/1.1\r\nHost: %s\r\n" % (method, url.target, url.host_header)
    return b"%s %s HTTP/1.1\r\nHost: %s\r\n%s" % (method, url.absolute, url.host_header, route.proxy.authorization)


def header_line(name: bytes, value: bytes) -> bytes:
    """
    One header.

    :raises ExchangeFailed: it would break the request; the words do not quote the value.
    """
    if not _TOKEN.fullmatch(name):
        raise ExchangeFailed(Fault.URL, "the name of a request header holds a character that no header may have")
    if not _VALUE.fullmatch(value):
        name_words = name.decode("ascii")
        raise ExchangeFailed(Fault.URL, f"the request header {name_words} holds a character that no header may have")
    return b"%s: %s\r\n" % (name, value)


def header_lines(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Several headers."""
    return b"".join([header_line(name, value) for name, value in headers])


def basic(name: bytes, credentials: bytes) -> bytes:
    """A header line with HTTP Basic credentials (``user:password``)."""
    if b":" not in credentials:
        credentials += b":"
    return b"%s: Basic %s\r\n" % (name, b64encode(credentials))


def method_token(method: bytes) -> bytes:
    """
    A request method, if it is one.

    :raises ExchangeFailed: it is none.
    """
    if not _TOKEN.fullmatch(method):
        raise ExchangeFailed(Fault.URL, "the request's method is not valid")
    return method


@implementer(IConsumer)
class _Collector:
    """Takes a request's body as a whole, so that its length is known and nothing can stall half-way through."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []

    def write(self, data: bytes) -> None:
        """Some of it."""
        self.pieces.append(data)

    def registerProducer(self, producer: object, streaming: bool) -> None:
        """Nothing is ever paused."""

    def unregisterProducer(self) -> None:
        """There will be no more."""


async def collect_body(producer: IBodyProducer, deadline: Deadline) -> bytes:
    """The whole body of a request."""
    collector = _Collector()
    deadline.stage = "collecting the request's body"
    deadline.waiting = produced = producer.startProducing(collector)
    try:
        await produced
    except CancelledError:
        producer.stopProducing()
        raise
    return b"".join(collector.pieces)
