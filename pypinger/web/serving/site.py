"""
The HTTP server under the routes: how long a client may take, and what is done with what it should not have sent.

Twisted's own limits are not enough for a page that faces strangers. Its timeout is one of silence: a client that sends
a byte now and then stays for ever, and so does one that never reads its answer. Request bodies are read and parsed,
which takes seconds for a form of some megabytes, before a resource gets the chance to refuse them.
"""

# Twisted's HTTP server has no annotations.
# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from fcntl import ioctl
from termios import TIOCOUTQ
from typing import cast

from twisted.internet.interfaces import IDelayedCall, IPushProducer, IReactorTime, ISystemHandle, ITCPTransport
from twisted.internet.protocol import connectionDone
from twisted.protocols.basic import LineReceiver
from twisted.python.failure import Failure
from twisted.web import http, server
from twisted.web.resource import IResource
from zope.interface import implementer

from pypinger.web.serving.guard import NO_STORE, PLAIN_TEXT, SECURITY_HEADERS, has_body

#: Seconds that a client has from the moment it connects, or has got its last answer, until its next request has come
#: and been answered.
PATIENCE = 40.0

#: Seconds more for what is still to be sent, before the connection is cut.
LAST_SECONDS = 15.0

#: Seconds for which what a refused client goes on sending is thrown away; see Note [Closing after a refusal].
LINGER = 2.0

#: Bytes of a stream that the kernel is asked to hold for a client at most.
KERNEL_BUFFER = 32_768

#: How much of an answer is given to the transport at a time, in bytes: what it sends in a turn of the reactor.
PIECE = 131_072

_BAD_REQUEST_BODY = b"400 Bad Request\n"
_BAD_REQUEST = b"".join(
    (
        b"HTTP/1.1 400 Bad Request\r\n",
        *(b"%s: %s\r\n" % header for header in (*SECURITY_HEADERS, PLAIN_TEXT, NO_STORE)),
        b"Content-Length: %d\r\nConnection: close\r\n\r\n" % len(_BAD_REQUEST_BODY),
        _BAD_REQUEST_BODY,
    )
)

# Note [Closing after a refusal]
#
# A client that is refused while it is still sending (a large form, an endless header) must be let go without its data
# being read into memory. But a socket that is closed with unread data in it is reset by the kernel, and the reset can
# overtake the answer: the client then sees a broken connection in place of the 413. So after a refusal the channel
# throws away what arrives, for as long as LINGER, and only then closes. The answer says "Connection: close", so that a
# client that behaves closes first.

# Note [Long answers]
#
# A transport copies what it is given. Were it given megabytes for each of a hundred clients, the reactor would do
# nothing else for a while, and the memory would hold a hundred copies. So it gets the next piece when it has sent the
# one before, and clients who are sent the same share it.


class Channel(http.HTTPChannel):
    """One client's connection."""

    # The longest URL of a task, percent-encoded whole, fits into a line.
    MAX_LENGTH = 32_768
    totalHeadersSize = 40_960

    transport: ITCPTransport
    _deadline: IDelayedCall
    _refused = False
    _late = False

    def connectionMade(self) -> None:
        """The client's time begins."""
        self._deadline = self.callLater(PATIENCE, self._out_of_time)
        super().connectionMade()

    def dataReceived(self, data: bytes) -> None:
        """Bytes have come; unlike in the base class they win the client no time."""
        if not self._refused:
            LineReceiver.dataReceived(self, data)

    def rawDataReceived(self, data: bytes) -> None:
        """The client sends on while it is being answered: what waits for its turn must not grow without bound."""
        super().rawDataReceived(data)
        # The base class leaves that to the transport, which may pause the producer of an answer but not what comes in.
        if self._handlingRequest and self._waitingForTransport:
            self._networkProducer.pauseProducing()

    def allHeadersReceived(self) -> None:
        """A request's head is complete; if it announces a body, the request ends here."""
        request = self.requests[-1]
        if not has_body(request):
            super().allHeadersReceived()
            return
        # As if there were no body: then the door sees the head, and refuses it.
        self.length = 0
        self._refused = True
        request.requestHeaders.removeHeader(b"Expect")
        super().allHeadersReceived()
        request.setHeader(b"Connection", b"close")
        # It is for _out_of_time to close.
        self.persistent = True

    def requestDone(self, request: http.Request) -> None:
        """An answer is written; from now the client has its time again to read it and to ask anew."""
        super().requestDone(request)
        if self._late:
            self.loseConnection()
        elif self._deadline.active():
            self._deadline.reset(LINGER if self._refused else PATIENCE)
        if self._refused:
            self.clearLineBuffer()

    def begin_long_answer(self) -> None:
        """From now the client has its time to read an answer of which the transport has only the beginning."""
        if self._deadline.active():
            self._deadline.reset(PATIENCE)

    def begin_stream(self) -> None:
        """The answer under way has no end, so little of it shall wait for a client that does not read; none follows."""
        self.persistent = False
        handle = _socket_of(self.transport)
        if handle is not None:
            handle.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, KERNEL_BUFFER)

    def still_reading(self) -> None:
        """
        Give the client its time anew, if it has taken all that was sent to it.

        A stream calls it again and again. What the kernel still holds is what the client has not acknowledged.
        """
        if self._deadline.active() and _unsent(_socket_of(self.transport)) == 0:
            self._deadline.reset(PATIENCE)

    def lineLengthExceeded(self, line: bytes) -> None:
        """A line of the head is too long."""
        self._respondToBadRequestAndDisconnect()

    def _respondToBadRequestAndDisconnect(self) -> None:
        # Private to Twisted, but the only place where the answer to a malformed request can get its headers.
        self._refused = True
        self.transport.write(_BAD_REQUEST)
        self._deadline.reset(LINGER)
        self.clearLineBuffer()

    def _out_of_time(self) -> None:
        self._deadline = self.callLater(LAST_SECONDS, self.transport.abortConnection)
        # A long answer is not all in the transport, which would send no more than what it has.
        self._late = isinstance(self._requestProducer, _Pieces)
        if not self._late:
            self.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The connection is gone."""
        if self._deadline.active():
            self._deadline.cancel()
        super().connectionLost(reason)


def _socket_of(transport: object) -> socket.socket | None:
    """The socket under a transport, or under its TLS; None for one in memory."""
    below = getattr(transport, "transport", transport)
    return cast(socket.socket, below.getHandle()) if ISystemHandle.providedBy(below) else None


def _unsent(handle: socket.socket | None) -> int:
    """How many bytes wait in the kernel for the other side."""
    return 0 if handle is None else int.from_bytes(ioctl(handle, TIOCOUTQ, bytes(4)), sys.byteorder)


@implementer(IPushProducer)
class _Pieces:
    """
    Sends a long answer: see Note [Long answers].

    :param write: takes a piece.
    :param sent: called when all has been taken.
    """

    def __init__(self, data: bytes, write: Callable[[bytes], object], sent: Callable[[], object]) -> None:
        self._data, self._at = data, 0
        self._write = write
        self._sent = sent
        self._paused = False

    def resumeProducing(self) -> None:
        """The transport has room."""
        self._paused = False
        while not self._paused and self._at < len(self._data):
            self._at += PIECE
            self._write(self._data[self._at - PIECE : self._at])
        if self._at >= len(self._data):
            self._sent()

    def pauseProducing(self) -> None:
        """The transport has enough for now."""
        self._paused = True

    def stopProducing(self) -> None:
        """The client has left; nobody asks for more."""


class Request(server.Request):
    """One request."""

    _finishing = False

    def write(self, data: bytes) -> None:
        """
        Send some of the answer.

        What is longer than a :data:`PIECE` must be all of it; it is sent little by little, see Note [Long answers].
        """
        channel = self.channel
        # Without a channel the client has left; with a producer it is a stream that writes.
        if len(data) <= PIECE or not isinstance(channel, Channel) or self.producer is not None:
            super().write(data)
            return
        channel.begin_long_answer()
        # Not the method above itself: for HEAD the base class puts another in its place.
        pieces = _Pieces(data, lambda piece: self.write(piece), self._all_sent)
        self.registerProducer(pieces, True)
        if not channel._waitingForTransport:
            # Else the transport still has the answer before this one, and says when it has room.
            pieces.resumeProducing()

    def finish(self) -> None:
        """The answer is complete, though some of it may still be under way."""
        if isinstance(self.producer, _Pieces):
            self._finishing = True
        else:
            super().finish()

    def _all_sent(self) -> None:
        self.unregisterProducer()
        if self._finishing:
            super().finish()

    def process(self) -> None:
        """Let the site's resource answer, also to ``*``, for which Twisted has an answer of its own."""
        if self.path == b"*":
            self.path = b"/*"
        super().process()


class Site(server.Site):
    """
    Serves one resource over HTTP/1.1.

    There is no access log: paths hold the URLs of tasks, with their queries.

    :param reactor: for the limits of time.
    :param closing: called when the port is closed, to end answers that have no end of their own.
    """

    protocol = Channel  # type: ignore[assignment]  # without Twisted's wrapper, which is there for HTTP/2
    requestFactory = Request
    noisy = False

    def __init__(self, resource: IResource, reactor: IReactorTime, closing: Callable[[], None] = lambda: None) -> None:
        # Twisted's own timeout is off; the channel has a stricter one.
        super().__init__(resource, timeout=None, reactor=reactor)
        self._closing = closing

    def startFactory(self) -> None:
        """Open no access log, and keep no clock for one."""

    def stopFactory(self) -> None:
        """The port is closed."""
        self._closing()

    def acceptableProtocols(self) -> list[bytes]:
        """HTTP/1.1 alone: over TLS Twisted would offer HTTP/2, whose channel has none of our limits."""
        return [b"http/1.1"]
