"""
The lookout: asks :mod:`~pypinger.runtime.sight` whose fault each failure is, and tells people when Py Pinger goes blind
and when it sees again (contract, section 3).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from pypinger.domain.incidents import daemon_alert
from pypinger.domain.model import Event, Fault, NoAnswer, Seconds, Task
from pypinger.domain.times import span
from pypinger.ports.clock import WallClock
from pypinger.ports.storing import Store
from pypinger.runtime.board import Board
from pypinger.runtime.outbox import Outbox
from pypinger.runtime.sight import Sight, View

#: How many origins are asked at once whether they answer, before a failure is held to be the task's.
PROBES = 16

#: For how many seconds beyond its timeout a failure may be held back while others are asked.
PROBE_SLACK: Seconds = 5.0

# Failures that show that somebody was reached, and those that do not. With the others nobody was asked.
_REACHED = frozenset({Fault.TLS, Fault.REDIRECTS, Fault.TOO_LARGE, Fault.BROKEN})
_UNREACHED = frozenset({Fault.DNS, Fault.REFUSED, Fault.CONNECT, Fault.TIMEOUT, Fault.RESET})


class Lookout:
    """
    Judges what every observation says of our own side.

    :param probe: begins a check of a task of each of these origins, if none is under way.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: IReactorTime,
        now: WallClock,
        store: Store,
        outbox: Outbox,
        board: Board,
        probe: Callable[[Iterable[str]], None],
    ) -> None:
        self._reactor = reactor
        self._now = now
        self._store = store
        self._outbox = outbox
        self._board = board
        self._probe = probe
        self._sight = Sight()
        self._suspicions: list[Deferred[bool]] = []
        self._words = ""
        board.add_source(self._trouble)

    def answered(self, origin: str) -> None:
        """An HTTP answer came from there, whatever it said."""
        self._sight.answered(origin, self._reactor.seconds())
        if not self._sight.blind and (self._suspicions or self._board.blind is not None):
            self._resolve(True)
            self._see_again()

    async def is_theirs(self, task: Task, origin: str, began: Seconds, failure: NoAnswer) -> bool:
        """
        Decide whether the task answers for its failure, or we do.

        :param began: when the check began, on the reactor's clock.
        """
        now = self._reactor.seconds()
        if failure.fault in _REACHED:
            self.answered(origin)
            return True
        if failure.fault is Fault.OWN:
            self._sight.own_fault(now)
            self._go_blind(failure.words)
            return False
        if failure.fault not in _UNREACHED:
            return not self._sight.blind
        match self._sight.failed(origin, began, now, task.interval):
            case View.SUSPECT:
                return await self._suspect(task.timeout + PROBE_SLACK)
            case View.OURS:
                self._go_blind(f"nothing that answered until now does, for example: {failure.words}")
                return False
        return True

    def forget(self, origins: Iterable[str]) -> None:
        """These origins are checked no more."""
        for origin in origins:
            self._sight.forget(origin)

    def stop(self) -> None:
        """Drop the failures that are held back, and keep the time that was blind."""
        self._resolve(False)
        self._keep_time()

    async def _suspect(self, limit: Seconds) -> bool:
        """Hold a failure back until another origin has been asked: see Note [Blindness]."""
        suspicion: Deferred[bool] = Deferred()
        self._suspicions.append(suspicion)
        self._probe(self._sight.answering()[:PROBES])
        return await suspicion.addTimeout(limit, self._reactor, onTimeoutCancel=lambda *_: True)

    def _resolve(self, theirs: bool) -> None:
        suspicions, self._suspicions = self._suspicions, []
        for suspicion in suspicions:
            if not suspicion.called:
                suspicion.callback(theirs)

    def _go_blind(self, words: str) -> None:
        self._resolve(False)
        if self._board.blind is None:
            self._words = words
            self._board.blind = self._now()
            self._announce(Event.BLIND, f"{words}; the tasks keep their last verdicts")

    def _see_again(self) -> None:
        if self._board.blind is not None:
            lasted = span(self._now() - self._board.blind)
            self._keep_time()
            self._announce(Event.SIGHTED, f"it was blind for {lasted}: {self._words}")

    def _keep_time(self) -> None:
        if self._board.blind is not None:
            self._store.blind(self._board.blind, self._now())
            self._board.blind = None

    def _trouble(self) -> str | None:
        return None if self._board.blind is None else f"blind: {self._words}"

    def _announce(self, event: Event, explanation: str) -> None:
        announced = Deferred.fromCoroutine(self._outbox.announce(daemon_alert(event, explanation, self._now())))
        announced.addErrback(lambda failure: self._log.failure("announcing {event}", failure, event=event.value))
