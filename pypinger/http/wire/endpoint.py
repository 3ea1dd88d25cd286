"""
Opening a connection: addresses in turn, then the proxy's tunnel, then TLS.

Addresses are tried as in RFC 8305 ("happy eyeballs"): the next one when the one before has failed or has not answered
within a moment; the first that connects wins and the others are dropped. So ``localhost`` is found on ``::1`` and on
``127.0.0.1``, and one dead address of several costs a moment only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, cast

from msgspec.structs import replace
from twisted.internet.defer import Deferred
from twisted.internet.error import NotConnectingError
from twisted.internet.interfaces import IAddress, IConnector, IDelayedCall, IProtocol
from twisted.internet.protocol import ClientFactory
from twisted.internet.tcp import Connector
from twisted.python.failure import Failure

from pypinger.domain.model import Contact, Fault, Seconds
from pypinger.http.wire.connection import Connection
from pypinger.http.wire.errors import ExchangeCancelled, ExchangeFailed, NoIPv6, connect_failed
from pypinger.http.wire.pool import Pool
from pypinger.http.wire.proxy import NoUpstream, Tunnel
from pypinger.http.wire.reactor import IPollingReactor
from pypinger.http.wire.route import Route

#: Seconds after which the next address is tried too.
NEXT_AFTER: Seconds = 0.3

# Which failure is reported if the addresses of a host failed differently.
_RANKS = {Fault.REFUSED: 0, Fault.RESET: 0, Fault.CONNECT: 1, Fault.NO_ROUTE: 2, Fault.OWN: 3}


class _Attempt(NamedTuple):
    address: str
    client: object  # Twisted's; IConnector does not promise it

    def release(self) -> None:
        """Break the cycle that Twisted leaves in a client that did not connect."""
        if self.client is not None:
            # The reactor may still call both in this turn.
            vars(self.client).update(doRead=_nothing, doWrite=_nothing)


class Opening:
    """
    One connection being opened; also the factory that Twisted's ``connectTCP`` asks for a protocol.

    :param resolved: whether the addresses were looked up for this connection; else None.
    :ivar result: fires with the connection; cancelling it leaves no socket behind.
    """

    __slots__ = (
        "_addresses",
        "_attempts",
        "_failures",
        "_next",
        "_pool",
        "_reached",
        "_reactor",
        "_resolved",
        "_route",
        "_socket",
        "_stage",
        "_timer",
        "result",
    )

    noisy = False
    aborted = False

    def __init__(
        self,
        reactor: IPollingReactor,
        pool: Pool,
        route: Route,
        addresses: Sequence[str],
        resolved: bool | None = None,
    ) -> None:
        self._reactor = reactor
        self._pool = pool
        self._route = route
        self._addresses = addresses
        self._resolved = resolved
        self._next = 0
        self._attempts: dict[IConnector, _Attempt] = {}
        self._failures: list[ExchangeFailed] = []
        self._timer: IDelayedCall | None = None
        self._socket: Connection | Tunnel | None = None
        self._reached: str | None = None
        self._stage = f"connecting to {self._peer}"
        self.result: Deferred[Connection] = Deferred(self._cancelled)

    def start(self) -> Deferred[Connection]:
        """Try the first address."""
        self._pool.add(self)
        self._try_next()
        return self.result

    def abort(self, failure: ExchangeFailed) -> None:
        """Stop trying addresses."""
        self._stop_attempts()
        self._pool.remove(self)
        self.failed(failure)

    # Opener

    def handshaking(self) -> None:
        """The TLS handshake begins."""
        self._stage = f"in the TLS handshake with {self._route.peer}"

    def opened(self, connection: Connection) -> None:
        """The connection is ready for a request."""
        self._socket = None
        self.result.callback(connection)

    def failed(self, failure: ExchangeFailed) -> None:
        """The connection cannot be opened."""
        self._socket = None
        if not self.result.called:
            contact = failure.contact or self._contact(silent=isinstance(failure, NoUpstream))
            contact = replace(contact, resolved=self._resolved)
            self.result.errback(ExchangeFailed(failure.fault, failure.words, contact))

    # The factory that connectTCP needs

    def doStart(self) -> None:
        """An attempt begins."""

    def doStop(self) -> None:
        """An attempt is over."""

    def startedConnecting(self, connector: IConnector) -> None:
        """An attempt begins."""

    def clientConnectionLost(self, connector: IConnector, reason: Failure) -> None:
        """Break the cycle that Twisted's connector leaves; the protocol learns of the loss by itself."""
        del cast(Connector, connector).transport

    def buildProtocol(self, addr: IAddress) -> IProtocol | None:
        """Use the first address that answers."""
        if self._reached is not None or self.result.called:
            return None
        if len(self._attempts) > 1 or self._timer is not None:
            self._stop_attempts()
        self._attempts.clear()
        route, pool = self._route, self._pool
        self._reached = addr.host  # type: ignore[attr-defined]
        connection = Connection(
            pool.limits, route.tls, route, self._reached, self._reactor.seconds(), opener=self, owner=pool
        )
        if route.tls is None:
            return self._use(connection, connection)
        wrapped = route.tls.wrap(connection)
        if route.proxy is None:
            return self._use(connection, wrapped)
        self._stage = f"waiting for the proxy {route.proxy.peer}"
        tunnel = Tunnel(route.proxy, route.peer, wrapped, self.failed, pool.remove)
        return self._use(tunnel, tunnel)

    def clientConnectionFailed(self, connector: IConnector, reason: Failure) -> None:
        """Try the next address after one has failed."""
        attempt = self._attempts.pop(connector, None)
        if attempt is not None:
            attempt.release()
            if self._reached is None and not self.result.called:
                self._attempt_failed(reason.value, attempt.address)

    # Helpers

    @property
    def _peer(self) -> str:
        proxy = self._route.proxy
        return self._route.peer if proxy is None else f"the proxy {proxy.peer}"

    def _contact(self, *, silent: bool = False) -> Contact:
        return Contact(self._route.first_hop.host, self._reached, silent=silent, resolved=self._resolved)

    def _use(self, socket: Connection | Tunnel, protocol: IProtocol) -> IProtocol:
        self._socket = socket
        self._pool.add(socket)
        self._pool.remove(self)
        return protocol

    def _attempt_failed(self, error: BaseException | None, address: str) -> None:
        failure = connect_failed(error, address, self._route.first_hop.host, self._peer)
        if self._route.proxy is not None and failure.fault is Fault.REFUSED:
            # Nothing listens on the proxy: the network is cut there (contract, section 3).
            failure = ExchangeFailed(failure.fault, failure.words, self._contact(silent=True))
        self._failures.append(failure)
        if self._next < len(self._addresses):
            self._try_next()
        elif not self._attempts:
            self.abort(min(self._failures, key=_rank))

    def _try_next(self) -> None:
        self._stop_timer()
        address = self._addresses[self._next]
        self._next += 1
        if self._next < len(self._addresses):
            self._timer = self._reactor.callLater(NEXT_AFTER, self._try_next)
        try:
            # Without a time limit of its own: the exchange has one.
            connector = self._reactor.connectTCP(
                address, self._route.first_hop.port, cast(ClientFactory, self), cast(float, None)
            )
        except OSError as error:  # a link-local address with an interface that this machine does not have
            self._attempt_failed(error, address)
        else:
            self._attempts[connector] = _Attempt(address, getattr(connector, "transport", None))

    def _stop_timer(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()

    def _stop_attempts(self) -> None:
        self._stop_timer()
        attempts, self._attempts = self._attempts, {}
        for connector, attempt in attempts.items():
            try:
                connector.stopConnecting()
            except NotConnectingError:
                pass  # the one that won
            else:
                attempt.release()

    def _cancelled(self, result: Deferred[Any]) -> None:
        socket, self._socket = self._socket, None
        result.errback(ExchangeCancelled(self._stage, self._contact(silent=self._reached is None)))
        if socket is not None:
            socket.abort()
        else:
            self._stop_attempts()
            self._pool.remove(self)


def _nothing() -> None:
    pass


def _rank(failure: ExchangeFailed) -> int:
    return len(_RANKS) if isinstance(failure, NoIPv6) else _RANKS[failure.fault]
