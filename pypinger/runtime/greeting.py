"""The ``started`` alert of an instance that shares the tasks: it says how many it has got."""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from pypinger.domain.alerting import daemon_alert
from pypinger.domain.model import Event, Seconds
from pypinger.ports.clock import WallClock
from pypinger.runtime.leases import unless_lost
from pypinger.runtime.outbox import Outbox

#: How many seconds the first tasks are waited for before the start is announced.
GREETING: Seconds = 5.0

#: Seconds after the first tasks in which more may come, before the start is announced.
SETTLING: Seconds = 1.0


class Greeting:
    """
    Announces the start once no more tasks come.

    :param name: returns the name of this instance.
    :param watched: returns how many tasks it watches.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: IReactorTime,
        now: WallClock,
        outbox: Outbox,
        name: Callable[[], str],
        watched: Callable[[], int],
    ) -> None:
        self._reactor = reactor
        self._now = now
        self._outbox = outbox
        self._name = name
        self._watched = watched
        self._timer: IDelayedCall | None = None
        self._words = ""
        self._total = 0

    def start(self, words: str, total: int) -> None:
        """
        Begin to wait.

        :param words: what the alert begins with.
        :param total: how many tasks are configured.
        """
        self._words, self._total = words, total
        self._timer = self._reactor.callLater(GREETING, self._greet)
        if self._watched():
            self.soon()

    def soon(self) -> None:
        """Tasks have come."""
        if self._timer is not None and self._timer.active():
            self._timer.reset(0.0 if self._watched() >= self._total else SETTLING)

    def stop(self) -> None:
        """Announce nothing more."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()

    def _greet(self) -> None:
        self._timer = None
        total = f"{self._total} task" + ("" if self._total == 1 else "s")
        words = f"instance {self._name()} joined: watching {self._watched()} of {total}"
        words = f"{self._words} – {words}" if self._words else words
        alert = replace(daemon_alert(Event.STARTED, "", self._now(), self._name()), explanation=words)
        announced = Deferred.fromCoroutine(self._outbox.announce(alert))
        announced.addErrback(unless_lost(lambda failure: self._log.failure("announcing the start", failure)))
