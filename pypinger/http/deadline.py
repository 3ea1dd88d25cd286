"""The time limit of one whole exchange, from the name look-up to the last byte of the body, redirects included."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from pypinger.domain.model import Fault, Seconds
from pypinger.http.errors import ExchangeFailed


class Deadline:
    """
    Cancels what an exchange waits for, once its time is over.

    An exchange is one chain of coroutines, so it waits for one Deferred at a time; whoever waits sets `waiting` and
    `stage` first. Cancelling closes the socket, looked-up names and token excepted: others may wait for those too.

    :ivar waiting: what the exchange waits for now.
    :ivar stage: what it is doing, in words that go on from "still".
    :ivar expired: whether the time is over.
    """

    __slots__ = ("_call", "expired", "seconds", "stage", "waiting")

    def __init__(self, clock: IReactorTime, seconds: Seconds) -> None:
        self.seconds = seconds
        self.expired = False
        self.stage = "starting"
        self.waiting: Deferred[Any] | None = None
        self._call = clock.callLater(seconds, self._expire)

    def _expire(self) -> None:
        self.expired = True
        if self.waiting is not None:
            self.waiting.cancel()

    def clear(self) -> None:
        """The exchange is over: drop the timer."""
        self.waiting = None
        if not self.expired:
            self._call.cancel()

    def failure(self) -> ExchangeFailed:
        """What to say once the time is over."""
        return ExchangeFailed(Fault.TIMEOUT, f"no answer within {self.seconds:g} s: still {self.stage}")
