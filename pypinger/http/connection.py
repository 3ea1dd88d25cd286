"""
One connection: writes a request, feeds the answer to the reader, and leaves no socket behind.

A connection carries one exchange at a time. When the answer is complete it goes back to the pool, if both sides agree,
or is closed; when anything else happens it is aborted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from OpenSSL import SSL
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import (
    IHandshakeListener,
    IProtocol,
    IReactorTime,
    ITCPTransport,
    ITransport,
)
from twisted.python.failure import Failure
from zope.interface import implementer

from pypinger.domain.model import Fault
from pypinger.http.deadline import Deadline
from pypinger.http.errors import ExchangeFailed, StaleConnection, closing
from pypinger.http.message import ResponseReader
from pypinger.http.prompt import prompt
from pypinger.http.response import Response
from pypinger.http.tls import handshake_failed, tls_failed

if TYPE_CHECKING:
    from pypinger.http.pool import Pool
    from pypinger.http.route import Route

#: Seconds that the other side has to agree to a close.
LINGER = 1.0


class Opener(Protocol):
    """Who waits for a connection to be open."""

    def handshaking(self) -> None:
        """TCP is connected, the TLS handshake begins."""

    def opened(self, connection: Connection) -> None:
        """It may be used."""

    def failed(self, failure: ExchangeFailed) -> None:
        """It will never be."""


@implementer(IProtocol, IHandshakeListener)
class Connection:
    """
    One connection to one route.

    :ivar since: when it was made, in the reactor's seconds.
    :ivar idle_since: when it last fell idle.
    :ivar service: what the other side's certificate must be for.
    :ivar refusal: what is wrong with it.
    """

    __slots__ = (
        "_deadline",
        "_linger",
        "_opener",
        "_pool",
        "_reader",
        "_used",
        "_waiter",
        "idle_since",
        "refusal",
        "route",
        "service",
        "since",
        "transport",
    )

    def __init__(self, clock: IReactorTime, pool: Pool, route: Route, opener: Opener) -> None:
        self.transport: ITCPTransport | None = None
        self.route = route
        self.service = None if route.tls is None else route.tls.service
        self.refusal: str | None = None
        self.since = self.idle_since = clock.seconds()
        self._pool = pool
        self._opener: Opener | None = opener
        self._reader = ResponseReader(pool.limits)
        self._waiter: Deferred[Response] | None = None
        self._deadline: Deadline | None = None
        self._linger: Deadline | None = None
        self._used = False

    def ask(
        self, request: bytes, deadline: Deadline, *, bodyless: bool = False, follow: bool = False
    ) -> Deferred[Response]:
        """
        Make one exchange; cancelling it aborts the connection.

        :param request: the whole request as it goes over the wire.
        :param bodyless: the answer will have no body (HEAD).
        :param follow: a redirect will be followed, its body may be lost.
        """
        self._reader.begin(bodyless=bodyless, follow=follow)
        self._deadline = deadline
        waiter: Deferred[Response] = Deferred(self._cancelled)
        self._waiter = waiter
        deadline.stage = "waiting for the headers"
        deadline.waiting = waiter
        assert self.transport is not None
        self.transport.write(request)
        return waiter

    def close(self) -> None:
        """Close it in good order; if the other side does not take part, abort it."""
        if self.transport is not None and self._linger is None:
            self._begin_to_linger()
            self.transport.loseConnection()

    def abort(self) -> None:
        """Close it now, whatever is under way."""
        if self.transport is not None:
            self.transport.abortConnection()

    cancel = abort  # for the deadline of its close

    # IProtocol and IHandshakeListener

    def makeConnection(self, transport: ITransport) -> None:
        """TCP is connected; with TLS the handshake is still to come."""
        self.transport = prompt(transport)
        self._pool.add(self)
        if self.route.tls is None:
            self._opened()
        elif self._opener is not None:
            self._opener.handshaking()

    def connectionMade(self) -> None:
        """Twisted's transports call `makeConnection`."""

    def handshakeCompleted(self) -> None:
        """The other side is who it should be."""
        self._opened()

    def dataReceived(self, data: bytes) -> None:
        """Part of an answer has come."""
        waiter = self._waiter
        if waiter is None:
            # Not asked for: nothing that comes here can be trusted to belong to the next request.
            self._pool.unlist(self)
            self.abort()
            return
        try:
            if self._reader.feed(data):
                self._answer(waiter)
        except ExchangeFailed as failure:
            self._waiter = self._deadline = None
            self.abort()
            waiter.errback(failure)

    def connectionLost(self, reason: Failure) -> None:
        """It is gone; say so to whoever still waits."""
        if self._linger is not None:
            self._linger.clear()
        self.transport = None
        opener, waiter = self._opener, self._waiter
        if opener is not None or waiter is not None:
            failure = self._explain(reason)
        self._pool.remove(self)
        if opener is not None:
            self._opener = None
            opener.failed(failure)
        if waiter is not None:
            self._cut_short(waiter, reason, failure)
        self._reader.close()

    # What they share

    def _cut_short(self, waiter: Deferred[Response], reason: Failure, failure: ExchangeFailed) -> None:
        """It was lost while somebody waited for an answer; the end of the connection may be the end of the answer."""
        if self._reader.received and failure.fault is Fault.RESET and self._clean(reason):
            try:
                self._reader.finish()
            except ExchangeFailed as broken:
                failure = broken
            else:
                self._answer(waiter)
                return
        self._waiter = self._deadline = None
        waiter.errback(failure)

    def _begin_to_linger(self) -> None:
        self._linger = self._pool.closings.begin(LINGER)
        self._linger.waiting = self

    def _opened(self) -> None:
        if self._opener is not None:
            opener, self._opener = self._opener, None
            opener.opened(self)

    def _answer(self, waiter: Deferred[Response]) -> None:
        reader = self._reader
        self._waiter = self._deadline = None
        tls = self.route.tls
        if tls is not None and not self._used and self.transport is not None:
            tls.remember(self.transport)
        self._used = True
        response = Response(reader.version, reader.code, reader.phrase, reader.headers, reader.body, reader.location)
        if self.transport is not None:
            if reader.reusable:
                self._pool.keep(self)
            elif reader.closing:
                # It is the server's turn, and already under way. To close first would cost another round of the
                # reactor, and leave a local port waiting for a minute.
                self._begin_to_linger()
            else:
                self.abort()
        waiter.callback(response)

    def _cancelled(self, waiter: Deferred[Response]) -> None:
        assert self._deadline is not None
        self._deadline.stage = self._reader.stage
        self._waiter = self._deadline = None
        self.abort()

    def _clean(self, reason: Failure) -> bool:
        # Many servers end TLS without saying so; that cannot be told from a reset. A body with a length or chunks
        # shows by itself whether it is whole.
        return self.route.tls is not None or reason.check(ConnectionDone) is not None

    def _explain(self, reason: Failure) -> ExchangeFailed:
        if self._pool.closing:
            return closing()
        how = "closed" if self._clean(reason) else "reset"
        if self._used and not self._reader.received:
            return StaleConnection(Fault.RESET, f"the connection was {how} before any answer")
        if self.route.tls is not None:
            if self._opener is not None:
                return handshake_failed(self.refusal, reason.value)
            if isinstance(reason.value, SSL.Error):
                return tls_failed(reason.value)
        when = f"while {self._reader.stage}" if self._reader.received else "before any answer"
        return ExchangeFailed(Fault.RESET, f"the connection was {how} {when}")
