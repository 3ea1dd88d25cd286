"""
Clients' connections: time limits, a cap on their number, and half-closes.

Twisted's own idle timeout is not enough for a page that faces strangers: a client that sends a byte now and then stays
forever, and so does one that never reads its answer. :class:`Connections` wraps the factory of the HTTP channels, and
each :class:`ClientConnection` stands between a channel and its transport.

Note [Closing after a refusal]
~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
A client that is refused while it is still sending (a large form, an endless header) must be let go without reading
its data into memory. But the kernel resets a socket that is closed with unread data in it, and the reset can overtake
the answer: the client then sees a broken connection instead of the 413. So after a refusal the connection discards
what arrives for up to :data:`LINGER`, and only then closes. The answer says ``Connection: close``, so that a client
that behaves closes first.
"""

# Twisted's protocol wrappers have no annotations.
# mypy: disable-error-code="no-untyped-call, no-untyped-def"

from __future__ import annotations

from collections.abc import Callable, Iterable
from resource import RLIM_INFINITY, RLIMIT_NOFILE, getrlimit
from socket import SO_SNDBUF, SOL_SOCKET, socket
from typing import Any, NamedTuple

from twisted.internet.interfaces import (
    IDelayedCall,
    IHalfCloseableProtocol,
    IProtocolFactory,
    IProtocolNegotiationFactory,
    IPushProducer,
    IReactorTime,
    ISystemHandle,
)
from twisted.internet.protocol import connectionDone
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.python.failure import Failure
from zope.interface import implementer

from pypinger.web.serving.outgoing import Backlog, Outgoing

#: Seconds from connecting, or from the last answer, in which the next request must arrive and be answered.
REQUEST_LIMIT = 40.0

#: Seconds more for what is still being sent, before the connection is aborted.
CLOSE_LIMIT = 15.0

#: A client that sends a body gets its time anew with each so many bytes of it.
BODY_PIECE = 1_048_576

#: Seconds for which the data of a refused client is discarded; see Note [Closing after a refusal].
LINGER = 2.0

#: Bytes of a stream that the kernel buffers for a client.
KERNEL_BUFFER = 32_768

#: Clients at once if the descriptors of the process are not limited.
MOST_CLIENTS = 1_000_000


def half_of_the_descriptors() -> int:
    """How many clients may be connected at once by default."""
    soft = getrlimit(RLIMIT_NOFILE)[0]
    return MOST_CLIENTS if soft == RLIM_INFINITY else soft // 2


@implementer(IPushProducer)
class _Cutter:
    """Aborts a connection when its transport has more to send than it buffers (64 KiB)."""

    def __init__(self, transport: Any) -> None:
        self._transport = transport

    def pauseProducing(self) -> None:
        """The buffer is full."""
        self._transport.abortConnection()

    def resumeProducing(self) -> None:
        """Not needed: the connection is aborted."""

    def stopProducing(self) -> None:
        """Not needed: the channel ends the stream."""


@implementer(IHalfCloseableProtocol)
class ClientConnection(ProtocolWrapper):
    """
    One client's connection.

    :ivar refused: whether the client got its last answer before it was read to the end.
    """

    refused = False
    factory: Connections
    # TCP, UNIX or TLS: ITransport, IConsumer and IPushProducer.
    transport: Any
    _deadline: IDelayedCall
    _outgoing: Outgoing
    _answering = False
    _streaming = False
    _closing = False
    _half_closed = False
    _received = 0
    # Whether the next data begins a request.
    _fresh = True

    def makeConnection(self, transport: Any) -> None:
        """Begin the client's time."""
        self._outgoing = Outgoing(transport, self.factory.backlog, self._drained)
        self._when_drained: Callable[[], object] | None = None
        self._deadline = self.factory.clock.callLater(REQUEST_LIMIT, self._out_of_time)
        super().makeConnection(transport)

    @property
    def idle(self) -> bool:
        """Whether no request is being answered."""
        return not self._answering

    def dataReceived(self, data: bytes) -> None:
        """Pass `data` to the channel, unless the client was refused, or is now."""
        if self.refused:
            return
        if self._fresh and self.factory.shed is not None and (shed := self.factory.shed(data)) is not None:
            if shed.whole:
                self.transport.write(shed.answer)
                self.factory.note_use(self)
                if not self._closing:
                    self._restart(REQUEST_LIMIT)
            else:
                self.refuse(shed.answer)
            return
        self._fresh = False
        super().dataReceived(data)

    def write(self, data: bytes) -> None:
        """Send some of an answer. Outside of an answer the channel writes only to refuse a malformed request."""
        if self.refused:
            return
        if not self._answering:
            self.refuse(self.factory.bad_request)
            return
        if self._streaming:
            self.transport.write(data)
            return
        waited = self._outgoing.waiting
        self._outgoing.write(data)
        if self._outgoing.waiting and not waited:
            # The client gets its time anew to read what the transport has only the beginning of.
            self._restart(REQUEST_LIMIT)
            self.transport.pauseProducing()

    def writeSequence(self, data: Iterable[bytes]) -> None:
        """Send some of an answer."""
        self.write(b"".join(data))

    def registerProducer(self, producer: object, streaming: bool) -> None:
        """Ignore the channel's offer to pause: the connection itself stops reading while an answer waits."""

    def unregisterProducer(self) -> None:
        """See :meth:`registerProducer`."""

    def invite(self) -> None:
        """Tell a client that expects it to send the body of its request."""
        if not self.refused:
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def received(self, count: int) -> None:
        """Some bytes of a body have come."""
        before = self._received // BODY_PIECE
        self._received += count
        if self._received // BODY_PIECE > before and not self._closing:
            self._restart(REQUEST_LIMIT)

    def begin_answer(self) -> None:
        """A request is complete."""
        self._received = 0
        self._answering = True
        self.factory.note_use(self)

    def begin_stream(self) -> None:
        """The answer under way has no end: it has no time limit, but ends when the client does not read."""
        self._streaming = True
        self._deadline.cancel()
        if ISystemHandle.providedBy(self.transport) and isinstance(handle := self.transport.getHandle(), socket):
            # By default the kernel buffers megabytes for a client that does not read.
            handle.setsockopt(SOL_SOCKET, SO_SNDBUF, KERNEL_BUFFER)
        self.transport.registerProducer(_Cutter(self.transport), True)

    def when_drained(self, call: Callable[[], object]) -> None:
        """Call `call` when all that was written is with the transport; never if the connection is lost before."""
        if self._outgoing.waiting:
            self._when_drained = call
        else:
            call()

    def end_answer(self) -> None:
        """The answer is written; the client gets its time anew to read it and to ask again."""
        self._answering = False
        if self._streaming:
            self._streaming = False
            self.transport.unregisterProducer()
        self.factory.note_use(self)
        if not self._closing:
            self._restart(REQUEST_LIMIT)

    def end_requests(self) -> None:
        """No request waits; close if the client or we want to."""
        if self._answering or self.refused:
            return
        self._fresh = True
        if self._half_closed or self._closing:
            self.loseConnection()

    def refuse(self, answer: bytes) -> None:
        """Send a last answer and discard what else the client sends and the channel writes."""
        if self.refused:
            return
        self.refused = True
        # The channel reads no further line.
        self.disconnecting = 1
        self.transport.write(answer)
        if self._half_closed:
            self.transport.loseConnection()
        else:
            self._restart(LINGER)

    def loseConnection(self) -> None:
        """Close, after what was written; a refused client is let go later, see Note [Closing after a refusal]."""
        if not self.refused:
            super().loseConnection()

    def readConnectionLost(self) -> None:
        """The client has sent all that it wants to send, and may still read the answer."""
        self._half_closed = True
        if not self._answering or self._streaming:
            self.transport.loseConnection()

    def writeConnectionLost(self) -> None:
        """Never called: only the whole connection is closed from this side."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Stop the clock."""
        if self._deadline.active():
            self._deadline.cancel()
        self._when_drained = None
        self._outgoing.clear()
        super().connectionLost(reason)

    def abortConnection(self) -> None:
        """Close at once."""
        self.transport.abortConnection()

    def _restart(self, limit: float) -> None:
        if self._deadline.active():
            self._deadline.cancel()
        self._deadline = self.factory.clock.callLater(limit, self._out_of_time)

    def _drained(self) -> None:
        call, self._when_drained = self._when_drained, None
        if not self._half_closed:
            self.transport.resumeProducing()
        if call is not None:
            call()

    def _out_of_time(self) -> None:
        self._deadline = self.factory.clock.callLater(CLOSE_LIMIT, self.abortConnection)
        # While an answer waits, the transport has only one piece of it.
        self._closing = True
        if not self._outgoing.waiting:
            self.transport.loseConnection()


class Shed(NamedTuple):
    """
    The answer to a request that is refused unread.

    :ivar whole: whether it was sent as a whole, so that the connection can be kept.
    """

    answer: bytes
    whole: bool


@implementer(IProtocolNegotiationFactory)
class Connections(WrappingFactory):
    """
    Serves the channels of `channels`, within limits.

    :param bad_request: the whole answer to a malformed request.
    :param shed: refuses requests that there is no time to read, by their first data; returns None for all others.
    :param most: how many clients may be connected: when one more connects, the one that has been idle longest is
        dropped. By default half of the descriptors that the process may have.
    """

    protocol = ClientConnection
    noisy = False

    def __init__(
        self,
        channels: IProtocolFactory,
        clock: IReactorTime,
        *,
        bad_request: bytes,
        most: int | None = None,
        shed: Callable[[bytes], Shed | None] | None = None,
    ) -> None:
        super().__init__(channels)
        self.shed = shed
        self.clock = clock
        self.bad_request = bad_request
        self.most = max(1, half_of_the_descriptors() if most is None else most)
        self.backlog = Backlog()
        # Those that are not being dropped, in the order of their last use.
        self._kept: dict[ClientConnection, None] = {}

    def limit(self, most: int) -> None:
        """Let so many clients be connected when the next ones connect."""
        self.most = max(1, most)

    def acceptableProtocols(self) -> list[bytes]:
        """HTTP/1.1 alone: the channels do not speak HTTP/2."""
        return [b"http/1.1"]

    def registerProtocol(self, connection: ClientConnection) -> None:
        """Add a connection, and drop another one if there are too many."""
        super().registerProtocol(connection)
        if len(self._kept) >= self.most:
            dropped = next((other for other in self._kept if other.idle), next(iter(self._kept)))
            del self._kept[dropped]
            dropped.abortConnection()
        self._kept[connection] = None

    def unregisterProtocol(self, connection: ClientConnection) -> None:
        """Forget a lost connection."""
        super().unregisterProtocol(connection)
        self._kept.pop(connection, None)

    def note_use(self, connection: ClientConnection) -> None:
        """Note that the client has just asked or been answered."""
        if connection in self._kept:
            del self._kept[connection]
            self._kept[connection] = None
