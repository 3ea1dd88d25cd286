"""A TCP proxy before PostgreSQL that can cut, stall and delay the connections of one instance."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet import reactor
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.interfaces import IListeningPort
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

#: What a proxy does. ``stall`` loses nothing: what was sent arrives late, as after a fault of the network that TCP
#: survives. ``deaf`` stalls the server's answers only, so that what the client sends is done.
MODES = ("open", "cut", "stall", "deaf", "delay")


class _Side(Protocol):
    """One of the two connections of a pair."""

    def __init__(self, pair: _Pair, name: str) -> None:
        self.pair = pair
        self.name = name

    def connectionMade(self) -> None:
        self.pair.made(self)

    def dataReceived(self, data: bytes) -> None:
        self.pair.received(self, data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.pair.lost()


class _Pair:
    """The connection of a client and that to the server."""

    def __init__(self, proxy: Proxy) -> None:
        self.sides: dict[str, _Side] = {}
        self._proxy = proxy
        self._early = b""
        self._over = False
        # When the last delayed piece arrives, by the side that gets it, so that they keep their order.
        self._free = {"client": 0.0, "server": 0.0}

    def made(self, side: _Side) -> None:
        self.sides[side.name] = side
        if self._over:
            side.transport.abortConnection()
            return
        if side.name == "client":
            # The client may talk before the server is there.
            connecting = TCP4ClientEndpoint(reactor, "127.0.0.1", self._proxy.target)
            connecting.connect(_factory(lambda: _Side(self, "server"))).addErrback(lambda _: self.end())
        else:
            side.transport.write(self._early)
        self.obey()

    def received(self, side: _Side, data: bytes) -> None:
        other = "server" if side.name == "client" else "client"
        wait = self._proxy.delay if self._proxy.mode == "delay" else 0.0
        due = max(reactor.seconds() + wait, self._free[other])
        if due <= reactor.seconds():
            self._pass(other, data)
        else:
            self._free[other] = due
            reactor.callLater(due - reactor.seconds(), self._pass, other, data)

    def lost(self) -> None:
        self.end()

    def end(self) -> None:
        """Close both, once what is under way has been written."""
        if not self._over:
            self._over = True
            self._proxy.pairs.discard(self)
            for side in self.sides.values():
                side.transport.loseConnection()

    def abort(self) -> None:
        self._over = True
        self._proxy.pairs.discard(self)
        for side in self.sides.values():
            side.transport.abortConnection()

    def obey(self) -> None:
        """Read what the mode lets through."""
        deaf = {"stall": {"client", "server"}, "deaf": {"server"}}.get(self._proxy.mode, set())
        for name, side in self.sides.items():
            if name in deaf:
                side.transport.pauseProducing()
            elif not self._over:
                side.transport.resumeProducing()

    def _pass(self, name: str, data: bytes) -> None:
        if name in self.sides:
            self.sides[name].transport.write(data)
        else:
            self._early += data


class Proxy:
    """
    Listens for one instance, in front of a server on the loopback interface.

    :param target: the server's port.
    :ivar mode: one of :data:`MODES`.
    :ivar delay: seconds that each piece takes in mode ``delay``.
    """

    def __init__(self, test: TestCase, target: int, interface: str) -> None:
        self.target = target
        self.mode = "open"
        self.delay = 0.0
        self.pairs: set[_Pair] = set()
        self.interface = interface
        self._port: IListeningPort = reactor.listenTCP(0, _factory(self._accept), interface=interface)
        self.port = self._port.getHost().port
        test.addCleanup(self._stop)

    def set(self, mode: str, delay: float = 0.0) -> None:
        """Change the mode of all connections, present and future."""
        assert mode in MODES
        self.mode, self.delay = mode, delay
        for pair in list(self.pairs):
            if mode == "cut":
                pair.abort()
            else:
                pair.obey()

    def _accept(self) -> _Side:
        pair = _Pair(self)
        if self.mode == "cut":
            reactor.callLater(0, pair.abort)
        else:
            self.pairs.add(pair)
        return _Side(pair, "client")

    def _stop(self) -> object:
        for pair in list(self.pairs):
            pair.abort()
        return self._port.stopListening()


def _factory(make: Callable[[], Protocol]) -> Factory:
    class Making(Factory):
        noisy = False

        def buildProtocol(self, addr: object) -> Protocol:
            return make()

    return Making()
