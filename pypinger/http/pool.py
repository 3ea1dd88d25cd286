"""
Connections, counted and kept: idle ones wait at their route for the next check, all of them stay within one limit.

A connection is kept only for requests that go the same way: same origin, same trust, same client certificate, same
proxy. So nothing of one task can reach another through it.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from pypinger.domain.model import Fault
from pypinger.http.connection import Connection
from pypinger.http.deadline import Deadlines
from pypinger.http.errors import ExchangeFailed, closing
from pypinger.http.limits import Limits
from pypinger.http.route import Route


class Unfinished(Protocol):
    """A connection that is being made."""

    def give_up(self) -> None:
        """Make it no more, and say so to whoever waits for it."""


class Pool:
    """
    All connections of one agent.

    :ivar opening: the connections that are being made.
    :ivar closings: the deadlines of those that are being closed.
    """

    def __init__(self, clock: IReactorTime, limits: Limits) -> None:
        self.limits = limits
        self.opening: set[Unfinished] = set()
        self.closings = Deadlines(clock)
        self._clock = clock
        self._open: set[Connection] = set()
        # In the order in which they fell idle, which is the order in which they are to be closed.
        self._idle: OrderedDict[Connection, None] = OrderedDict()
        self._sweeping: IDelayedCall | None = None
        self._closing: Deferred[None] | None = None

    def __len__(self) -> int:
        return len(self._open)

    @property
    def idle(self) -> int:
        """How many connections wait for a request."""
        return len(self._idle)

    @property
    def closing(self) -> bool:
        """Whether nothing new may begin."""
        return self._closing is not None

    def take(self, route: Route) -> Connection | None:
        """An idle connection that goes this way, the one used last, if there is one."""
        if not route.idle:
            return None
        connection: Connection = route.idle.pop()
        del self._idle[connection]
        return connection

    def make_room(self) -> None:
        """
        Another connection is to be made: if there are too many, give up an idle one, or one that is being closed.

        :raises ExchangeFailed: all of them are in use; that is our own fault.
        """
        if self.closing:
            raise closing()
        if len(self._open) + len(self.opening) < self.limits.connections:
            return
        if not self._idle and self.closings.hurry():
            return
        if not self._idle:
            words = f"all {self.limits.connections:,} connections that this process may have are in use"
            raise ExchangeFailed(Fault.OWN, words)
        oldest = next(iter(self._idle))
        self.unlist(oldest)
        oldest.abort()  # its descriptor is needed now

    def add(self, connection: Connection) -> None:
        """It is open."""
        self._open.add(connection)

    def keep(self, connection: Connection) -> None:
        """Its answer is complete and it may carry another request: keep it, if it is not too old."""
        now = self._clock.seconds()
        limits = self.limits
        if self.closing or limits.idle <= 0 or now - connection.since >= limits.age:
            connection.close()
            return
        connection.idle_since = now
        connection.route.idle.append(connection)
        self._idle[connection] = None
        if self._sweeping is None:
            self._sweeping = self._clock.callLater(limits.idle, self._sweep)

    def remove(self, connection: Connection) -> None:
        """It is lost."""
        self._open.discard(connection)
        self.unlist(connection)
        self._check_closed()

    def close(self) -> Deferred[None]:
        """Abort every connection; fires when the last is gone."""
        if self._closing is None:
            self._closing = Deferred()
            if self._sweeping is not None:
                self._sweeping.cancel()
                self._sweeping = None
            for unfinished in list(self.opening):
                unfinished.give_up()
            for connection in list(self._open):
                connection.abort()
            self._check_closed()
        waiter: Deferred[None] = Deferred()
        self._closing.chainDeferred(waiter)
        return waiter

    def unlist(self, connection: Connection) -> None:
        """It is idle no more."""
        if connection in self._idle:
            del self._idle[connection]
            connection.route.idle.remove(connection)

    def _sweep(self) -> None:
        self._sweeping = None
        now = self._clock.seconds()
        while self._idle:
            oldest = next(iter(self._idle))
            left = oldest.idle_since + self.limits.idle - now
            if left > 0:
                self._sweeping = self._clock.callLater(left, self._sweep)
                return
            self.unlist(oldest)
            oldest.close()

    def _check_closed(self) -> None:
        if self._closing is not None and not self._open and not self._closing.called:
            self._closing.callback(None)
