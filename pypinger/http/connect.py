"""
Making a connection: addresses tried in turn, each a little after the one before, then the tunnel, then TLS.

As RFC 8305 has it ("happy eyeballs"): the next address is tried when the one before has failed or has not answered
within a moment, the first that connects wins, the others are dropped. So ``localhost`` is found whether it listens on
``::1`` or ``127.0.0.1``, and one dead address of several costs a moment only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.internet.error import NotConnectingError
from twisted.internet.interfaces import IAddress, IConnector, IDelayedCall, IProtocol
from twisted.internet.protocol import ClientFactory
from twisted.internet.tcp import Connector
from twisted.python.failure import Failure

from pypinger.domain.model import Fault, Seconds
from pypinger.http.connection import Connection
from pypinger.http.deadline import Deadline
from pypinger.http.errors import ExchangeFailed, closing, connect_failed
from pypinger.http.pool import Pool
from pypinger.http.proxy import Tunnel
from pypinger.http.reactor import IPollingReactor
from pypinger.http.route import Route

#: Seconds after which the next address is tried too.
NEXT_AFTER: Seconds = 0.3

# Which failure tells most, if the addresses of a host failed differently.
_TELLING = (Fault.REFUSED, Fault.CONNECT, Fault.OWN)


class Opening:
    """
    One connection in the making; also the factory that Twisted's ``connectTCP`` asks for a protocol.

    :ivar result: fires with the connection; cancelling it leaves no socket behind.
    """

    __slots__ = (
        "_addresses",
        "_attempts",
        "_deadline",
        "_failures",
        "_next",
        "_pool",
        "_port",
        "_protocol",
        "_reactor",
        "_route",
        "_timer",
        "result",
    )

    noisy = False

    def __init__(
        self, reactor: IPollingReactor, pool: Pool, route: Route, addresses: Sequence[str], deadline: Deadline
    ) -> None:
        self._reactor = reactor
        self._pool = pool
        self._route = route
        self._port = route.port if route.proxy is None else route.proxy.port
        self._addresses = addresses
        self._next = 0
        self._attempts: dict[IConnector, str] = {}
        self._failures: list[ExchangeFailed] = []
        self._timer: IDelayedCall | None = None
        self._protocol: Connection | Tunnel | None = None
        self._deadline = deadline
        self.result: Deferred[Connection] = Deferred(self._cancelled)

    def start(self) -> Deferred[Connection]:
        """Try the first address."""
        self._pool.opening.add(self)
        self._deadline.stage = f"connecting to {self._peer}"
        self._deadline.waiting = self.result
        self._try_next()
        return self.result

    def give_up(self) -> None:
        """Try no more addresses; the client is being closed."""
        self._pool.opening.discard(self)
        self._stop_attempts()
        self.result.errback(closing())

    # Who waits for the connection

    def handshaking(self) -> None:
        """The TLS handshake begins."""
        self._deadline.stage = f"in the TLS handshake with {self._route.peer}"

    def opened(self, connection: Connection) -> None:
        """It may be used."""
        self.result.callback(connection)

    def failed(self, failure: ExchangeFailed) -> None:
        """It will never be used."""
        if not self.result.called:
            self.result.errback(failure)

    # What connectTCP asks of a factory

    def doStart(self) -> None:
        """An attempt begins."""

    def doStop(self) -> None:
        """An attempt is over."""

    def startedConnecting(self, connector: IConnector) -> None:
        """An attempt begins."""

    def clientConnectionLost(self, connector: IConnector, reason: Failure) -> None:
        """The protocol is told too; without this, a collection of garbage would have to find what is left of it."""
        del cast(Connector, connector).transport

    def buildProtocol(self, addr: IAddress) -> IProtocol | None:
        """An address has answered."""
        if self._protocol is not None or self.result.called:
            return None
        if len(self._attempts) > 1 or self._timer is not None:
            self._stop_attempts()
        self._attempts.clear()
        self._pool.opening.discard(self)
        route = self._route
        connection = Connection(self._reactor, self._pool, route, self)
        self._protocol = connection
        if route.tls is None:
            return connection
        wrapped = route.tls.wrap(connection)
        if route.proxy is None:
            return wrapped
        self._deadline.stage = f"waiting for the proxy {route.proxy.peer}"
        self._protocol = tunnel = Tunnel(route.proxy, route.peer, wrapped, self.failed)
        return tunnel

    def clientConnectionFailed(self, connector: IConnector, reason: Failure) -> None:
        """An address did not answer, or not as it should."""
        address = self._attempts.pop(connector, None)
        if address is not None and self._protocol is None and not self.result.called:
            self._attempt_failed(reason.value, address)

    # What they share

    def _attempt_failed(self, error: BaseException | None, address: str) -> None:
        self._failures.append(connect_failed(error, address, self._peer))
        if self._next < len(self._addresses):
            self._try_next()
        elif not self._attempts:
            self._stop_attempts()
            self._pool.opening.discard(self)
            self.result.errback(min(self._failures, key=lambda failed: _TELLING.index(failed.fault)))

    @property
    def _peer(self) -> str:
        proxy = self._route.proxy
        return self._route.peer if proxy is None else f"the proxy {proxy.peer}"

    def _try_next(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        address = self._addresses[self._next]
        self._next += 1
        if self._next < len(self._addresses):
            self._timer = self._reactor.callLater(NEXT_AFTER, self._try_next)
        try:
            # No time limit of its own: the deadline stands over everything, and this saves a timer.
            connector = self._reactor.connectTCP(address, self._port, cast(ClientFactory, self), cast(float, None))
        except OSError as error:  # a link-local address with an interface that this machine does not have
            self._attempt_failed(error, address)
        else:
            self._attempts[connector] = address

    def _stop_attempts(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        attempts, self._attempts = self._attempts, {}
        for connector in attempts:
            try:
                connector.stopConnecting()
            except NotConnectingError:
                pass  # the one that won

    def _cancelled(self, result: Deferred[Any]) -> None:
        if self._protocol is None:
            self._pool.opening.discard(self)
            self._stop_attempts()
        else:
            self._protocol.abort()
