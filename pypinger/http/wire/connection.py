"""
One connection: writes a request, feeds the answer to the reader, and leaves no socket behind.

A connection carries one exchange at a time. When the answer is complete its owner keeps the connection, if both sides
agree, or closes it; when anything else happens the connection is aborted.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Protocol

from OpenSSL import SSL
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IHandshakeListener, IProtocol, ITCPTransport, ITransport
from twisted.python.failure import Failure
from zope.interface import implementer

from pypinger.domain.model import Contact, Fault, Seconds
from pypinger.http.wire.errors import ExchangeCancelled, ExchangeFailed, StaleConnection
from pypinger.http.wire.limits import Limits
from pypinger.http.wire.reader import ResponseReader
from pypinger.http.wire.response import Request, Response
from pypinger.http.wire.tls import TlsClient, handshake_failed, tls_failed


class Opener(Protocol):
    """Waits for a connection to be open."""

    def handshaking(self) -> None:
        """TCP is connected, the TLS handshake begins."""

    def opened(self, connection: Connection) -> None:
        """The connection is ready for a request."""

    def failed(self, failure: ExchangeFailed) -> None:
        """The connection cannot be opened."""


class Owner(Protocol):
    """Keeps connections between exchanges."""

    def keep(self, connection: Connection) -> None:
        """Keep a connection that can carry another request."""

    def linger(self, connection: Connection) -> None:
        """Give the server a moment to close the connection, as it has announced."""

    def lost(self, connection: Connection) -> None:
        """Forget a connection that cannot be used again; may be called twice."""


@implementer(IProtocol, IHandshakeListener)
class Connection:
    """
    One connection to one origin.

    :ivar key: only requests with the same key use the connection.
    :ivar address: the IP address of the other side, or of the proxy.
    :ivar since: when it was made, in the reactor's seconds.
    :ivar service: what the other side's certificate must be for.
    :ivar refusal: what is wrong with that certificate.
    :ivar aborted: whether it was aborted; the reactor closes it at its next turn.
    """

    __slots__ = (
        "_opener",
        "_owner",
        "_reader",
        "_request",
        "_tls",
        "_used",
        "_waiter",
        "aborted",
        "address",
        "key",
        "refusal",
        "service",
        "since",
        "transport",
    )

    def __init__(
        self,
        limits: Limits,
        tls: TlsClient | None,
        key: Hashable,
        address: str,
        since: Seconds,
        opener: Opener,
        owner: Owner,
    ) -> None:
        self.transport: ITCPTransport | None = None
        self.key = key
        self.address = address
        self.since = since
        self.service = None if tls is None else tls.service
        self.refusal: str | None = None
        self.aborted = False
        self._tls = tls
        self._opener: Opener | None = opener
        self._owner = owner
        self._reader = ResponseReader(limits)
        self._request: Request | None = None
        self._waiter: Deferred[Response] | None = None
        self._used = False

    def ask(self, request: Request, raw: bytes) -> Deferred[Response]:
        """
        Make one exchange; cancelling the Deferred aborts the connection.

        :param raw: the whole request as it is sent.
        """
        self._reader.begin(bodyless=request.method == b"HEAD")
        self._request = request
        waiter: Deferred[Response] = Deferred(self._cancelled)
        self._waiter = waiter
        assert self.transport is not None
        self.transport.write(raw)
        return waiter

    def close(self) -> None:
        """Close the connection in good order."""
        if self.transport is not None:
            self.transport.loseConnection()

    def abort(self, failure: ExchangeFailed | None = None) -> None:
        """Close the connection at once, and fail what is under way if `failure` is given."""
        self.aborted = True
        if self.transport is not None:
            self.transport.abortConnection()
        if failure is not None:
            self._fail(failure)

    # IProtocol and IHandshakeListener

    def makeConnection(self, transport: ITransport) -> None:
        """Begin; with TLS the handshake is still to come."""
        self.transport = transport  # type: ignore[assignment]
        if self._tls is None:
            self._opened()
        elif self._opener is not None:
            self._opener.handshaking()

    def connectionMade(self) -> None:
        """Twisted's transports call `makeConnection`."""

    def handshakeCompleted(self) -> None:
        """The other side's certificate is accepted."""
        self._opened()

    def dataReceived(self, data: bytes) -> None:
        """Read part of an answer."""
        if self._waiter is None:
            # Nothing was asked: such bytes could be taken for the answer to the next request.
            self._owner.lost(self)
            self.abort()
            return
        try:
            complete = self._reader.feed(data)
        except ExchangeFailed as failure:
            self.abort(ExchangeFailed(failure.fault, failure.words, self._contact()))
        else:
            if complete:
                self._answer()

    def connectionLost(self, reason: Failure) -> None:
        """Fail what is under way; the end of the connection may be the end of the answer."""
        self._owner.lost(self)
        self.transport = None
        if self._opener is not None or self._waiter is not None:
            failure = self._explain(reason)
            if not self._ends_with_close(failure, reason):
                self._fail(failure)
        self._reader.close()

    # Helpers

    def _ends_with_close(self, failure: ExchangeFailed, reason: Failure) -> bool:
        if self._waiter is None or not self._reader.received or failure.fault is not Fault.RESET:
            return False
        if not self._clean(reason):
            return False
        try:
            self._reader.finish()
        except ExchangeFailed as broken:
            self._fail(ExchangeFailed(broken.fault, broken.words, self._contact()))
        else:
            self._answer()
        return True

    def _opened(self) -> None:
        if self._opener is not None:
            opener, self._opener = self._opener, None
            opener.opened(self)

    def _fail(self, failure: ExchangeFailed) -> None:
        opener, self._opener = self._opener, None
        waiter, self._waiter = self._waiter, None
        self._request = None
        if opener is not None:
            opener.failed(failure)
        if waiter is not None:
            waiter.errback(failure)

    def _answer(self) -> None:
        reader, request = self._reader, self._request
        waiter, self._waiter = self._waiter, None
        assert waiter is not None
        assert request is not None
        self._request = None
        if self._tls is not None and not self._used and self.transport is not None:
            self._tls.remember(self.transport)
        self._used = True
        response = Response(request, reader.version, reader.code, reader.phrase, reader.headers, reader.body)
        if self.transport is not None:
            if reader.reusable:
                self._owner.keep(self)
            elif reader.closing:
                # To close before the server does would leave a local port waiting for a minute.
                self._owner.linger(self)
            else:
                self.abort()
        waiter.callback(response)

    def _cancelled(self, waiter: Deferred[Response]) -> None:
        mute = self._used and not self._reader.received
        cancelled = ExchangeCancelled(self._reader.stage, self._contact(silent=mute))
        self._waiter = self._request = None
        self.abort()
        waiter.errback(cancelled)

    def _contact(self, *, silent: bool = False) -> Contact | None:
        return None if self._request is None else self._request.contact(silent=silent)

    def _clean(self, reason: Failure) -> bool:
        # Many servers end TLS without saying so, which cannot be told from a reset. A body with a length or in chunks
        # shows by itself whether it is whole.
        return self._tls is not None or reason.check(ConnectionDone) is not None

    def _explain(self, reason: Failure) -> ExchangeFailed:
        how = "closed" if self._clean(reason) else "reset"
        contact = self._contact()
        if self._used and not self._reader.received:
            return StaleConnection(Fault.RESET, f"the connection was {how} before any answer", contact)
        if self._opener is not None:
            return handshake_failed(self.refusal, reason.value)
        if isinstance(reason.value, SSL.Error):
            failed = tls_failed(reason.value)
            return ExchangeFailed(failed.fault, failed.words, contact)
        when = f"while {self._reader.stage}" if self._reader.received else "before any answer"
        return ExchangeFailed(Fault.RESET, f"the connection was {how} {when}", contact)
