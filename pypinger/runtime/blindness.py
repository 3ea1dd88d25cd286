"""
Whether a failed check is the task's fault or Py Pinger's own (contract, section 3, "Whose fault").

Note [Blindness]
~~~~~~~~~~~~~~~~
Py Pinger is blind in two cases: a check fails with an error number of our own side (no descriptors, no network), or all
origins that answered until now, at least two of them, fail within one interval.

The second case needs evidence about *all* origins, but the first failure must not wait an interval for it. The failure
is held as a *suspicion* if no other origin has answered since that check began, and one task of each other origin is
checked at once: the first answer ends the suspicion, and without one Py Pinger is blind and no task is blamed. An
origin that has been failing for longer than an interval is no evidence.

The first answer ends blindness, after an error number of our own side only once :data:`CALM` seconds have passed
without another: when descriptors run out every other check may succeed, and must not cause an alert each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import Enum

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from pypinger.domain.alerting import daemon_alert
from pypinger.domain.model import Event, Fault, NoAnswer, Seconds, Task
from pypinger.domain.times import span
from pypinger.ports.clock import WallClock
from pypinger.ports.storing import Store
from pypinger.runtime.board import Board
from pypinger.runtime.outbox import Outbox

#: Seconds without an error of our own side before an answer ends blindness.
CALM: Seconds = 10.0

#: The number of origins that are asked before a task is blamed.
PROBES = 16

#: Seconds beyond its timeout for which a failure may be held while other origins are asked.
PROBE_SLACK: Seconds = 5.0

# Failures that show that the origin was reached, and those that do not. The others involve no origin.
_REACHED = frozenset({Fault.TLS, Fault.REDIRECTS, Fault.TOO_LARGE, Fault.BROKEN})
_UNREACHED = frozenset({Fault.DNS, Fault.REFUSED, Fault.CONNECT, Fault.TIMEOUT, Fault.RESET})


class View(Enum):
    """What a failure says about us."""

    THEIRS = "theirs"
    SUSPECT = "suspect"
    OURS = "ours"


class Sight:
    """
    Decides from answers and failures whether Py Pinger is blind. Times are in seconds on the reactor's clock.

    :ivar blind: whether it is.
    """

    def __init__(self) -> None:
        self.blind = False
        # Origins that have answered since the start: when those answered whose latest check was answered, and since
        # when the others have failed.
        self._answering: dict[str, Seconds] = {}
        self._failing: dict[str, Seconds] = {}
        self._latest: Seconds = float("-inf")
        self._own_fault: Seconds = float("-inf")

    def answering(self) -> list[str]:
        """The origins whose latest check was answered, the one that was heard longest ago first."""
        return sorted(self._answering, key=self._answering.__getitem__)

    def answered(self, origin: str, now: Seconds) -> None:
        """Record an HTTP answer."""
        self._failing.pop(origin, None)
        self._answering[origin] = self._latest = now
        if now - self._own_fault >= CALM:
            self.blind = False

    def own_fault(self, now: Seconds) -> None:
        """Record an error number of our own side."""
        self._own_fault = now
        self.blind = True

    def failed(self, origin: str, began: Seconds, now: Seconds, interval: Seconds) -> View:
        """
        Record a check without an HTTP answer and without an error number of our own side.

        :param began: when that check began.
        :param interval: seconds within which failures belong together.
        """
        if self._answering.pop(origin, None) is not None:
            self._failing[origin] = now
        if self.blind:
            return View.OURS
        onset = self._failing.get(origin)
        if onset is None or now - onset > interval or self._latest >= began:
            return View.THEIRS
        if self._answering:
            return View.SUSPECT
        if sum(now - each <= interval for each in self._failing.values()) < 2:
            return View.THEIRS
        self.blind = True
        return View.OURS

    def forget(self, origin: str) -> None:
        """Drop an origin that is no longer checked."""
        self._answering.pop(origin, None)
        self._failing.pop(origin, None)


class Blindness:
    """Asks :class:`Sight` about every observation, and announces the beginning and the end of blindness."""

    _log = Logger()

    def __init__(self, reactor: IReactorTime, now: WallClock, store: Store, outbox: Outbox, board: Board) -> None:
        self._reactor = reactor
        self._now = now
        self._store = store
        self._outbox = outbox
        self._board = board
        self._probe: Callable[[Iterable[str]], None] = lambda origins: None
        self._sight = Sight()
        self._suspicions: list[Deferred[bool]] = []
        self._words = ""
        board.add_source(self._trouble)

    def probe_with(self, probe: Callable[[Iterable[str]], None]) -> None:
        """Set the function that begins a check of one task of each of some origins."""
        self._probe = probe

    def answered(self, origin: str) -> None:
        """Record an HTTP answer."""
        self._sight.answered(origin, self._reactor.seconds())
        if not self._sight.blind and (self._suspicions or self._board.blind is not None):
            self._resolve(True)
            self._see_again()

    async def is_theirs(self, task: Task, origin: str, began: Seconds, failure: NoAnswer) -> bool:
        """
        Decide whether the failure is the task's.

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
        """Drop origins that are no longer checked."""
        for origin in origins:
            self._sight.forget(origin)

    def stop(self) -> None:
        """Drop held failures, and record the blind time."""
        self._resolve(False)
        self._keep_time()

    async def _suspect(self, limit: Seconds) -> bool:
        """Hold a failure until another origin has been asked: see Note [Blindness]."""
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
            self._board.show_blind(self._now())
            self._announce(Event.BLIND, f"{words}; the tasks keep their last verdicts")

    def _see_again(self) -> None:
        if self._board.blind is not None:
            lasted = span(self._now() - self._board.blind)
            self._keep_time()
            self._announce(Event.SIGHTED, f"it was blind for {lasted}: {self._words}")

    def _keep_time(self) -> None:
        if self._board.blind is not None:
            self._store.blind(self._board.blind, self._now())
            self._board.show_blind(None)

    def _trouble(self) -> str | None:
        return None if self._board.blind is None else f"blind: {self._words}"

    def _announce(self, event: Event, explanation: str) -> None:
        announced = Deferred.fromCoroutine(self._outbox.announce(daemon_alert(event, explanation, self._now())))
        announced.addErrback(lambda failure: self._log.failure("announcing {event}", failure, event=event.value))
