"""
Tells people that the shared database is away (contract, section 8, "Several machines").

Without a lease nothing can be stored, and a task's alert must not leave: another instance may watch the task. That
this instance watches nothing is its own news, so it sends that straight through its channels, without the store.

Where the database gives leases but takes no results, because a table is damaged, say, each lease is lost as soon as
something is to be written. Several losses in short order are therefore one time away, which ends once a lease lasts.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable

from twisted.internet.defer import CancelledError, Deferred, TimeoutError
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from pypinger.domain.alerting import NO_TASKS, daemon_alert
from pypinger.domain.model import Alert, Event, Instant, Seconds
from pypinger.domain.times import clock, span
from pypinger.ports.clock import WallClock
from pypinger.ports.notifying import DeliveryError, KeptAlive, Notifier
from pypinger.runtime import keeping
from pypinger.runtime.alertlog import log_alert
from pypinger.runtime.leases import unless_lost
from pypinger.runtime.outbox import Outbox
from pypinger.runtime.queue import ATTEMPT_LIMIT

#: Seconds after which a loss is announced. A process that was stopped for a while joins again sooner.
PATIENCE: Seconds = 3.0

#: So many losses within so many seconds are one, which is over once a lease has lasted so long.
LOSSES = 3
REPEATED: Seconds = 60.0
STEADY: Seconds = 15.0

#: After so many seconds a message that was not accepted is sent again.
RETRIES: tuple[Seconds, ...] = (5.0, 15.0, 30.0, 60.0, 120.0, 240.0)


class Away:
    """
    Sends one ``blind`` alert for each time without a lease, and one ``sighted`` when it is over.

    :param name: returns the name of this instance.
    """

    _log = Logger()

    def __init__(self, reactor: IReactorTime, now: WallClock, outbox: Outbox, name: Callable[[], str]) -> None:
        self._reactor = reactor
        self._now = now
        self._outbox = outbox
        self._name = name
        self._since: Instant | None = None
        # When the latest leases were lost, on the reactor's clock.
        self._losses: deque[Seconds] = deque(maxlen=LOSSES)
        self._ending: IDelayedCall | None = None
        self._words = ""
        self._told: set[str] = set()
        self._timers: set[IDelayedCall] = set()
        self._sending: set[Deferred[None]] = set()

    def lost(self, words: str) -> None:
        """The lease is lost; `words` is why."""
        self._losses.append(self._reactor.seconds())
        self._end_later(None)
        if self._since is None:
            self._since, self._words = self._now(), words
            self._told.clear()
            for after in {0.0, *self._outbox.routes.afters()}:
                self._later(max(PATIENCE, after), after)

    def joined(self) -> None:
        """There is a lease again."""
        if len(self._losses) == LOSSES and self._losses[0] > self._reactor.seconds() - REPEATED:
            self._end_later(STEADY)
        else:
            self._end()

    def _end_later(self, delay: Seconds | None) -> None:
        """End the time away after a delay; None: not at all."""
        if self._ending is not None and self._ending.active():
            self._ending.cancel()
        self._ending = None if delay is None else self._reactor.callLater(delay, self._end)

    def _end(self) -> None:
        since, self._since = self._since, None
        self.stop()
        if since is not None and self._told:
            words = f"it was blind for {span(self._now() - since)}, since {clock(since, self._now())}: {self._words}"
            alert = daemon_alert(Event.SIGHTED, words, self._now(), self._name())
            announced = Deferred.fromCoroutine(self._outbox.announce(alert, to=frozenset(self._told)))
            announced.addErrback(
                unless_lost(lambda failure: self._log.failure("announcing that the database is back", failure))
            )

    def stop(self) -> None:
        """Send nothing more."""
        self._end_later(None)
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        for sending in list(self._sending):
            sending.cancel()

    def _later(self, delay: Seconds, after: Seconds) -> None:
        def ring() -> None:
            self._timers.discard(timer)
            self._tell(after)

        timer = self._reactor.callLater(delay, ring)
        self._timers.add(timer)

    def _tell(self, after: Seconds) -> None:
        """Tell the channels that take part after so many seconds."""
        assert self._since is not None
        words = f"{self._words}; since {clock(self._since)} {NO_TASKS} and sends none of their alerts"
        alert = daemon_alert(Event.BLIND, words, self._since, self._name())
        if after == 0.0:
            log_alert(self._log, alert)
        to = self._outbox.routes.joining(after)
        for notifier in _named(self._outbox.notifiers, to):
            sending = Deferred.fromCoroutine(self._send(notifier, alert))
            self._sending.add(sending)
            sending.addBoth(self._sent, sending)

    def _sent(self, result: object, sending: Deferred[None]) -> None:
        self._sending.discard(sending)
        if isinstance(result, Failure) and not result.check(CancelledError):
            self._log.failure("telling that the database is away", result)

    async def _send(self, notifier: Notifier, alert: Alert) -> None:
        for wait in (*RETRIES, None):
            try:
                await Deferred.fromCoroutine(notifier.send([alert])).addTimeout(ATTEMPT_LIMIT, self._reactor)
            except DeliveryError as error:
                words, again = error.words, None if error.permanent else wait
            except TimeoutError:
                words, again = f"no answer within {ATTEMPT_LIMIT:g} s", wait
            except CancelledError:
                # It may have arrived, so the end is announced as well.
                self._told.add(notifier.name)
                raise
            except Exception:
                self._log.failure("unexpected error in the channel {name}", name=notifier.name)
                return
            else:
                self._told.add(notifier.name)
                if isinstance(notifier, KeptAlive):
                    await self._keep_alive(notifier.name, alert)
                return
            self._log.warn("{name} did not accept [{id}]: {words}", name=notifier.name, id=alert.id, words=words)
            if again is None:
                return
            await self._pause(again)

    async def _keep_alive(self, name: str, alert: Alert) -> None:
        """
        Send an alert that expires again every minute, until the database is back or the channel is off.

        :meth:`~pypinger.ports.notifying.KeptAlive.keep` may tell of tasks as well.
        """
        failing = False
        while True:
            await self._pause(keeping.INTERVAL)
            notifier = next(iter(_named(self._outbox.notifiers, frozenset({name}))), None)
            if notifier is None:
                return
            try:
                await Deferred.fromCoroutine(notifier.send([alert])).addTimeout(ATTEMPT_LIMIT, self._reactor)
            except (DeliveryError, TimeoutError) as error:
                say = self._log.debug if failing else self._log.warn
                say("[{id}] was not kept alive in {name}: {words}", id=alert.id, name=name, words=str(error))
                failing = True
            except CancelledError:
                raise
            except Exception:
                self._log.failure("unexpected error in the channel {name}", name=name)
            else:
                failing = False

    async def _pause(self, seconds: Seconds) -> None:
        over: Deferred[None] = Deferred(lambda _: call.cancel())
        call = self._reactor.callLater(seconds, over.callback, None)
        await over


def _named(notifiers: Iterable[Notifier], names: frozenset[str]) -> list[Notifier]:
    return [notifier for notifier in notifiers if notifier.name in names]
