"""
Connections: counted, and kept between requests.

A connection is kept under a key, and only requests with the same key use it again: the same origin, trust, client
certificate and proxy. So nothing of one task can reach another through it.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Hashable
from typing import Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from pypinger.domain.model import Fault, Seconds
from pypinger.http.wire.connection import Connection
from pypinger.http.wire.errors import ExchangeFailed, closing
from pypinger.http.wire.limits import Limits

#: Seconds that the other side has to take part in a close.
LINGER: Seconds = 1.0


class Socket(Protocol):
    """
    What occupies a descriptor: an attempt to connect, a tunnel or a connection.

    :ivar aborted: whether the reactor closes it at its next turn.
    """

    @property
    def aborted(self) -> bool: ...

    def abort(self, failure: ExchangeFailed) -> None:
        """Close it at once and fail whatever is under way with `failure`."""


class Pool:
    """All connections of one client."""

    def __init__(self, clock: IReactorTime, limits: Limits) -> None:
        self.limits = limits
        self._clock = clock
        self._open: set[Socket] = set()
        self._kept: dict[Hashable, deque[Connection]] = {}
        # Since when, in the order in which they fell idle, which is the order in which they are closed.
        self._idle: OrderedDict[Connection, Seconds] = OrderedDict()
        self._lingering: dict[Connection, IDelayedCall] = {}
        self._sweeping: IDelayedCall | None = None
        self._closed: Deferred[None] | None = None

    def __len__(self) -> int:
        return len(self._open)

    @property
    def idle(self) -> int:
        """How many connections wait for a request."""
        return len(self._idle)

    def take(self, key: Hashable) -> Connection | None:
        """Return the idle connection with this key that was used last, if there is one."""
        kept = self._kept.get(key)
        if kept is None:
            return None
        connection = kept.pop()
        if not kept:
            del self._kept[key]
        del self._idle[connection]
        return connection

    def make_room(self) -> None:
        """
        Make sure that one more connection is within the limit; close one that is idle or closing if it is not.

        :raises ExchangeFailed: all connections are in use, or the pool is closed.
        """
        if self._closed is not None:
            raise closing()
        if len(self._open) < self.limits.connections:
            return
        if self._idle:
            oldest = next(iter(self._idle))
            self._unlist(oldest)
        elif self._lingering:
            oldest = next(iter(self._lingering))
        elif sum(not socket.aborted for socket in self._open) < self.limits.connections:
            # What a check that was given up leaves must not fail the next one.
            return
        else:
            words = f"all {self.limits.connections:,} connections that this process may have are in use"
            raise ExchangeFailed(Fault.OWN, words)
        oldest.abort()  # its descriptor is needed now

    def add(self, socket: Socket) -> None:
        """Count a descriptor."""
        self._open.add(socket)

    def remove(self, socket: Socket) -> None:
        """Forget a descriptor that is closed."""
        self._open.discard(socket)
        self._check_closed()

    def keep(self, connection: Connection) -> None:
        """Keep a connection whose answer is complete, unless it is too old."""
        now = self._clock.seconds()
        limits = self.limits
        if self._closed is not None or limits.idle <= 0 or now - connection.since >= limits.age:
            self.close_gently(connection)
            return
        kept = self._kept.get(connection.key)
        if kept is None:
            kept = self._kept[connection.key] = deque()
        kept.append(connection)
        self._idle[connection] = now
        if self._sweeping is None:
            self._sweeping = self._clock.callLater(limits.idle, self._sweep)

    def lost(self, connection: Connection) -> None:
        """Forget a lost connection."""
        self._unlist(connection)
        timer = self._lingering.pop(connection, None)
        if timer is not None and timer.active():
            timer.cancel()
        self.remove(connection)

    def linger(self, connection: Connection) -> None:
        """Give the other side a moment to close the connection, then abort it."""
        if connection not in self._lingering:
            self._lingering[connection] = self._clock.callLater(LINGER, connection.abort)

    def close_gently(self, connection: Connection) -> None:
        """Close a connection; abort it if the other side does not take part."""
        self.linger(connection)
        connection.close()

    def close(self) -> Deferred[None]:
        """Abort every connection; fires when the last is gone."""
        if self._closed is None:
            self._closed = Deferred()
            if self._sweeping is not None:
                self._sweeping.cancel()
                self._sweeping = None
            for socket in list(self._open):
                socket.abort(closing())
            self._check_closed()
        waiter: Deferred[None] = Deferred()
        self._closed.chainDeferred(waiter)
        return waiter

    def _check_closed(self) -> None:
        if self._closed is not None and not self._open and not self._closed.called:
            self._closed.callback(None)

    def _unlist(self, connection: Connection) -> None:
        if connection in self._idle:
            del self._idle[connection]
            kept = self._kept[connection.key]
            kept.remove(connection)
            if not kept:
                del self._kept[connection.key]

    def _sweep(self) -> None:
        self._sweeping = None
        now = self._clock.seconds()
        while self._idle:
            oldest = next(iter(self._idle))
            left = self._idle[oldest] + self.limits.idle - now
            if left > 0:
                self._sweeping = self._clock.callLater(left, self._sweep)
                return
            self._unlist(oldest)
            self.close_gently(oldest)
