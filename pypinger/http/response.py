"""Answers as treq and the rest of Twisted know them: ``IResponse``, with the whole body already there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from twisted.internet.interfaces import IProtocol, IPushProducer, ITransport
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone
from twisted.web.http_headers import Headers
from twisted.web.iweb import IClientRequest, IResponse
from zope.interface import implementer


@implementer(IPushProducer)
class _Delivered:
    """The transport of a body that has come already: there is nothing to pause, resume or close."""

    disconnecting = False

    def pauseProducing(self) -> None:
        """Too late."""

    def resumeProducing(self) -> None:
        """Nothing is held back."""

    def stopProducing(self) -> None:
        """Nothing is under way."""

    loseConnection = stopProducing
    abortConnection = stopProducing


_DELIVERED = _Delivered()
_DONE = Failure(ResponseDone("the body is complete"))


@implementer(IClientRequest)
class Request:
    """What was asked for."""

    __slots__ = ("absoluteURI", "headers", "method")

    def __init__(self, method: bytes, uri: bytes, headers: Headers) -> None:
        self.method = method
        self.absoluteURI: bytes | None = uri
        self.headers = headers


@implementer(IResponse)
class Response:
    """
    A complete answer.

    :ivar code: the HTTP status code.
    :ivar body: the decoded body; `deliverBody` gives the same, at once and as often as asked.
    :ivar raw_headers: names and values as they came, in their order.
    :ivar location: where a redirect leads, or None.
    """

    __slots__ = (
        "_headers",
        "body",
        "code",
        "location",
        "phrase",
        "previousResponse",
        "raw_headers",
        "request",
        "version",
    )

    def __init__(
        self,
        version: tuple[bytes, int, int],
        code: int,
        phrase: bytes,
        raw_headers: Sequence[tuple[bytes, bytes]],
        body: bytes,
        location: bytes | None,
    ) -> None:
        self.version = version
        self.code = code
        self.phrase = phrase
        self.raw_headers = raw_headers
        self.body = body
        self.location = location
        self.request: Request | None = None
        self.previousResponse: IResponse | None = None
        self._headers: Headers | None = None

    @property
    def headers(self) -> Headers:
        """The headers as Twisted has them, without those that no longer describe the decoded body."""
        if self._headers is None:
            self._headers = Headers()
            for name, value in self.raw_headers:
                if name.lower() not in (b"content-encoding", b"transfer-encoding"):
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
