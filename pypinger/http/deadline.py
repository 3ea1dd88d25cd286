"""
The time limit of one whole exchange, from the name look-up to the last byte of the body, redirects included.

Note [One timer for many deadlines]
~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
Nearly all exchanges end long before their time is over, and to set and cancel a timer of the reactor for each would
cost as much as to parse its answer. Deadlines of the same length end in the order in which they began: so they stand
in a row, and one timer waits for the first of it.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Protocol

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from pypinger.domain.model import Fault, Seconds
from pypinger.http.errors import ExchangeFailed


class Cancellable(Protocol):
    """What ends when its time is over: a Deferred, for one."""

    def cancel(self) -> None:
        """End it."""


class Deadline:
    """
    Cancels what an exchange waits for, once its time is over.

    An exchange is one chain of coroutines, so it waits for one Deferred at a time; whoever waits sets `waiting` and
    `stage` first. Cancelling closes the socket, looked-up names and token excepted: others may wait for those too.

    :ivar seconds: how long the exchange may take.
    :ivar waiting: what the exchange waits for now.
    :ivar stage: what it is doing, in words that go on from "still".
    :ivar ends: when its time is over, in seconds on the reactor's clock.
    :ivar expired: whether it is.
    """

    __slots__ = ("_row", "ends", "expired", "seconds", "stage", "waiting")

    def __init__(self, row: _Row, seconds: Seconds, ends: Seconds) -> None:
        self.seconds = seconds
        self.ends = ends
        self.expired = False
        self.stage = "starting"
        self.waiting: Cancellable | None = None
        self._row = row

    def clear(self) -> None:
        """The exchange is over: its deadline stands in the row no more."""
        self.waiting = None
        if not self.expired:
            self._row.remove(self)

    def expire(self) -> None:
        """Its time is over, as far as anybody still cares."""
        self.expired = True
        if self.waiting is not None:
            self.waiting.cancel()

    def failure(self) -> ExchangeFailed:
        """What to say once the time is over."""
        return ExchangeFailed(Fault.TIMEOUT, f"no answer within {self.seconds:g} s: still {self.stage}")


class Deadlines:
    """The deadlines of exchanges: see Note [One timer for many deadlines]."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._rows: dict[Seconds, _Row] = {}

    def begin(self, seconds: Seconds) -> Deadline:
        """An exchange begins, and may take this many seconds; it must call :meth:`Deadline.clear` when it is over."""
        row = self._rows.get(seconds)
        if row is None:
            row = self._rows[seconds] = _Row(self._clock, seconds)
        return row.add()

    def hurry(self) -> bool:
        """End what began first, of one length, before its time; False if there is nothing to end."""
        return any(row.hurry() for row in self._rows.values())


class _Row:
    """The deadlines of one length, in the order in which they end."""

    __slots__ = ("_clock", "_deadlines", "_seconds", "_timer")

    def __init__(self, clock: IReactorTime, seconds: Seconds) -> None:
        self._clock = clock
        self._seconds = seconds
        self._deadlines: OrderedDict[Deadline, None] = OrderedDict()
        self._timer: IDelayedCall | None = None

    def add(self) -> Deadline:
        deadline = Deadline(self, self._seconds, self._clock.seconds() + self._seconds)
        self._deadlines[deadline] = None
        if self._timer is None:
            self._timer = self._clock.callLater(self._seconds, self._ring)
        return deadline

    def remove(self, deadline: Deadline) -> None:
        del self._deadlines[deadline]
        if not self._deadlines and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def hurry(self) -> bool:
        """End the first before its time; False if there is none."""
        if not self._deadlines:
            return False
        first = next(iter(self._deadlines))
        self.remove(first)
        first.expire()
        return True

    def _ring(self) -> None:
        """The timer of a deadline, which may be gone by now, rings: end those whose time is over, wait for the next."""
        now, over = self._clock.seconds(), []
        self._timer = None
        while self._deadlines:
            first = next(iter(self._deadlines))
            if first.ends > now:
                self._timer = self._clock.callLater(first.ends - now, self._ring)
                break
            del self._deadlines[first]
            first.expired = True
            over.append(first)
        for deadline in over:
            deadline.expire()
