"""Answers as treq and Twisted know them: ``IResponse``, with the whole body already there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from twisted.internet.interfaces import IProtocol, IPushProducer, ITransport
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone
from twisted.web.http_headers import Headers
from twisted.web.iweb import IClientRequest, IResponse
from zope.interface import implementer

from pypinger.domain.model import Contact, Instant


@implementer(IPushProducer)
class _Delivered:
    """The transport of a body that has arrived: nothing is left to pause, resume or close."""

    disconnecting = False

    def pauseProducing(self) -> None:
        pass

    resumeProducing = stopProducing = loseConnection = abortConnection = pauseProducing


_DELIVERED = _Delivered()
_DONE = Failure(ResponseDone("the body is complete"))

# They do not describe the decoded body.
_OF_THE_WIRE = frozenset({b"content-encoding", b"transfer-encoding"})


@implementer(IClientRequest)
class Request:
    """
    A request as it was sent.

    :ivar host: the host that it was sent to: that of the URL, or the proxy.
    :ivar address: the IP address of that host.
    """

    __slots__ = ("absoluteURI", "address", "headers", "host", "method")

    def __init__(self, method: bytes, uri: bytes, headers: Headers, host: str, address: str) -> None:
        self.method = method
        self.absoluteURI: bytes | None = uri
        self.headers = headers
        self.host = host
        self.address = address

    def contact(self, *, silent: bool = False, date: Instant | None = None) -> Contact:
        """Return what the exchange showed about the host."""
        return Contact(self.host, self.address, silent=silent, date=date)


@implementer(IResponse)
class Response:
    """
    A complete answer.

    :ivar body: the decoded body; `deliverBody` gives the same, as often as asked.
    :ivar raw_headers: names and values as received, in their order.
    """

    __slots__ = ("_headers", "body", "code", "phrase", "previousResponse", "raw_headers", "request", "version")

    def __init__(
        self,
        request: Request,
        version: tuple[bytes, int, int],
        code: int,
        phrase: bytes,
        raw_headers: Sequence[tuple[bytes, bytes]],
        body: bytes,
    ) -> None:
        self.request = request
        self.version = version
        self.code = code
        self.phrase = phrase
        self.raw_headers = raw_headers
        self.body = body
        self.previousResponse: IResponse | None = None
        self._headers: Headers | None = None

    @property
    def headers(self) -> Headers:
        """The headers, without those that do not describe the decoded body."""
        if self._headers is None:
            self._headers = Headers()
            for name, value in self.raw_headers:
                if name.lower() not in _OF_THE_WIRE:
                    self._headers.addRawHeader(name, value)
        return self._headers

    @property
    def length(self) -> int:
        """The length of the decoded body."""
        return len(self.body)

    def deliverBody(self, protocol: IProtocol) -> None:
        """Give the body to a protocol."""
        protocol.makeConnection(cast(ITransport, _DELIVERED))
        if self.body:
            protocol.dataReceived(self.body)
        protocol.connectionLost(_DONE)

    def setPreviousResponse(self, response: IResponse) -> None:
        """Remember the redirect that led here."""
        self.previousResponse = response
