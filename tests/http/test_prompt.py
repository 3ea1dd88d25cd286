"""Transports that send at once, and what they do when the socket takes no more."""

from __future__ import annotations

import contextlib
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import ITransport
from twisted.internet.protocol import Factory, Protocol
from twisted.trial.unittest import TestCase

from pypinger.http.prompt import prompt

LARGE = b"0123456789abcdef" * 500_000


class _Sink(Protocol):
    """Counts what arrives until the other side closes."""

    def __init__(self) -> None:
        self.got: list[bytes] = []
        self.over: Deferred[bytes] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        self.got.append(data)

    def connectionLost(self, reason: object = None) -> None:
        self.over.callback(b"".join(self.got))


class Prompt(TestCase):
    """Bytes arrive all and in order, whether they went out at once or not."""

    async def connect(self) -> tuple[_Sink, Protocol]:
        """A sink, and a protocol that is connected to it."""
        sink, client = _Sink(), Protocol()
        port = reactor.listenTCP(0, Factory.forProtocol(lambda: sink), interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        connected: Deferred[None] = Deferred()
        client.connectionMade = lambda: connected.callback(None)  # type: ignore[method-assign]
        factory = Factory.forProtocol(lambda: client)
        factory.clientConnectionFailed = factory.clientConnectionLost = lambda *_: None
        factory.startedConnecting = lambda *_: None
        reactor.connectTCP("127.0.0.1", port.getHost().port, factory)
        await connected
        return sink, client

    async def test_order(self) -> None:
        """What the socket does not take at once goes before what is written later."""
        sink, client = await self.connect()
        assert client.transport is not None
        transport = prompt(client.transport)
        for data in (b"small", LARGE, b"small again", LARGE):
            transport.write(data)
        transport.loseConnection()
        self.assertTrue(await sink.over == b"small" + LARGE + b"small again" + LARGE)

    async def test_full(self) -> None:
        """A socket that takes nothing gets it later."""
        sink, client = await self.connect()
        transport: Any = client.transport
        filled = 0
        with contextlib.suppress(BlockingIOError):
            while True:
                filled += transport.socket.send(b"x" * 65_536)
        prompted = prompt(transport)
        prompted.write(b"later")
        prompted.loseConnection()
        self.assertTrue(await sink.over == b"x" * filled + b"later")

    async def test_lost(self) -> None:
        """To write to a lost connection is as harmless as with the transport below."""
        sink, client = await self.connect()
        lost: Deferred[None] = Deferred()
        client.connectionLost = lambda reason=None: lost.callback(None)  # type: ignore[method-assign,misc,assignment]
        assert client.transport is not None
        transport = prompt(client.transport)
        transport.abortConnection()
        await lost
        transport.write(b"too late")
        self.assertEqual(await sink.over, b"")

    def test_others(self) -> None:
        """A transport that is not Twisted's TCP is left as it is."""

        class Other:
            """Some transport."""

        other: ITransport = Other()  # type: ignore[assignment]
        self.assertIs(prompt(other), other)
