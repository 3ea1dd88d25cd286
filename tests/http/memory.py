"""A client over a reactor, a clock and transports in memory."""

from __future__ import annotations

from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure

from pypinger.domain.model import Observation
from pypinger.http.fetcher import TaskFetcher
from pypinger.http.wire.limits import Limits


class Wire(StringTransport):
    """A transport that, like real ones, tells its protocol of a close a moment later."""

    def __init__(self, clock: MemoryReactorClock, protocol: Any) -> None:
        super().__init__()
        self.clock = clock
        self.protocol = protocol
        self.how = ""
        protocol.makeConnection(self)

    def loseConnection(self) -> None:
        self._end("closed", ConnectionDone())

    def abortConnection(self) -> None:
        self._end("aborted", ConnectionAborted())

    def _end(self, how: str, error: Exception) -> None:
        if not self.how:
            self.how = how
            self.clock.callLater(0, self.protocol.connectionLost, Failure(error))

    def arrives(self, data: bytes) -> None:
        """Receive data from the other side."""
        if not self.how:
            self.protocol.dataReceived(data)

    def ends(self, *, clean: bool = True) -> None:
        """Let the other side close or reset the connection."""
        if not self.how:
            self.how = "lost"
            self.protocol.connectionLost(Failure(ConnectionDone() if clean else ConnectionLost()))

    def asked(self) -> bytes:
        """Return what was written since the last call."""
        written: bytes = self.value()
        self.clear()
        return written


class Bench:
    """A fetcher whose connections the test opens."""

    def __init__(self, limits: Limits | None = None, **settings: Any) -> None:
        self.reactor = MemoryReactorClock()
        self.fetcher = TaskFetcher(self.reactor, limits=limits, **settings)
        self.pool = self.fetcher.network.pool

    def fetch(self, task: Any) -> Deferred[Observation]:
        """Start a check."""
        return Deferred.fromCoroutine(self.fetcher.fetch(task))

    def connect(self, index: int = -1) -> Wire:
        """Let an attempt to connect succeed; returns its transport."""
        host, port, factory, _, _ = self.reactor.tcpClients[index]
        protocol = factory.buildProtocol(IPv4Address("TCP", host, port))
        assert protocol is not None
        return Wire(self.reactor, protocol)

    def refuse(self, error: BaseException, index: int = -1) -> None:
        """Let an attempt to connect fail."""
        factory = self.reactor.tcpClients[index][2]
        factory.clientConnectionFailed(self.reactor.connectors[index], Failure(error))

    def close(self) -> None:
        """Close the fetcher and check that nothing is left."""
        closed = Deferred.fromCoroutine(self.fetcher.close())
        self.reactor.advance(0)
        assert closed.called
        assert not len(self.pool), self.pool
        assert not self.reactor.getDelayedCalls(), self.reactor.getDelayedCalls()
