"""Clients in memory, over a clock."""

from __future__ import annotations

from twisted.internet.address import IPv4Address
from twisted.internet.interfaces import IPullProducer, IPushProducer
from twisted.internet.protocol import connectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransportWithDisconnection
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from tests.web.fakes import FakeBoard, entry
from tests.web.pages import make_pages

ANSWER = b"HTTP/1.1 200 OK\r\n"


class Transport(StringTransportWithDisconnection):
    """
    A client's end in memory.

    :ivar slow: whether the client does not read: then only an abort closes the connection.
    :ivar stuck: whether the transport is full: it asks for no more of a long answer.
    """

    aborted = False
    slow = False
    stuck = False
    producer: IPullProducer | IPushProducer | None

    def registerProducer(self, producer: IPullProducer | IPushProducer, streaming: bool) -> None:
        super().registerProducer(producer, streaming)
        if not streaming:
            producer.resumeProducing()  # type: ignore[union-attr]

    def unregisterProducer(self) -> None:
        self.producer = None

    def drain(self) -> int:
        """Ask for the next piece of a long answer; how many bytes come."""
        before = len(self.value())
        if self.producer is not None and not self.streaming:
            self.producer.resumeProducing()  # type: ignore[union-attr]
        return len(self.value()) - before

    def resumeProducing(self) -> None:
        # May be called when it is too late, as on a real transport.
        if not self.disconnecting:
            super().resumeProducing()

    def pauseProducing(self) -> None:
        if not self.disconnecting:
            super().pauseProducing()

    def loseConnection(self) -> None:
        self.disconnecting = True
        if not self.slow:
            super().loseConnection()

    def abortConnection(self) -> None:
        self.aborted = True
        super().loseConnection()


class MemoryTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.board = FakeBoard([entry()])
        self.connect()

    def connect(self, **settings: object) -> None:
        """Serve the board anew, with these settings, to a fresh client."""
        self.clock = Clock()
        self.pages = make_pages(self.board, self.clock, **settings)  # type: ignore[arg-type]
        self.site = self.pages.site
        self.site.doStart()
        self.addCleanup(self.site.doStop)
        self.transport = self.another()

    def another(self) -> Transport:
        """One more client."""
        transport = Transport()
        transport.protocol = self.site.buildProtocol(IPv4Address("TCP", "127.0.0.1", 1))
        transport.protocol.makeConnection(transport)
        return transport

    def send(self, data: bytes, transport: Transport | None = None) -> bytes:
        """What comes back in the next turn of the reactor, and all that the client reads then."""
        transport = transport or self.transport
        before = len(transport.value())
        transport.protocol.dataReceived(data)
        self.clock.advance(0)
        while not transport.stuck and transport.drain():
            self.clock.advance(0)
        return transport.value()[before:]

    def assert_gone(self) -> None:
        self.assertFalse(self.transport.connected)
        self.assertEqual(self.clock.getDelayedCalls(), [])


def lose(transport: Transport) -> None:
    """The client is gone."""
    transport.protocol.connectionLost(Failure(connectionDone.value))
