"""
One channel's queue of deliveries: what is sent when, and what becomes of it.

At most one message of a channel is under way, and the alerts of one task keep their order: a task's next alert waits
until the one before it is sent or given up, while those of other tasks go on. What must be remembered is the
:mod:`~pypinger.runtime.outbox`'s business.

Note [Backing off]
~~~~~~~~~~~~~~~~~~
A failed delivery waits by itself, doubling (:mod:`pypinger.domain.backoff`). That alone would not spare a service that
is down while a storm rages: every task's first alert would still try it at once. So a failure also closes the whole
lane for a while: as long as the service asked for with ``Retry-After``, otherwise for a second, doubled for each
further task whose alert fails in a row, up to 5 minutes. One success opens the lane again, and one task's failures
count once, so that a message which the service cannot stomach never holds up the rest.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Awaitable, Callable
from heapq import heappop, heappush

import msgspec
from twisted.internet.defer import CancelledError, Deferred, TimeoutError
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from pypinger.domain import backoff
from pypinger.domain.model import Delivery, Event, Outcome, Seconds
from pypinger.domain.times import span
from pypinger.domain.wording import headline
from pypinger.ports import DeliveryError, Notifier, WallClock

#: How long one attempt to send may take, in seconds (contract, section 4).
ATTEMPT_LIMIT: Seconds = 20.0


class Waiting:
    """
    A delivery in a lane.

    :ivar accepted: when the lane took it, in seconds on the reactor's clock.
    :ivar age: how old the alert was then, in seconds.
    """

    __slots__ = ("accepted", "age", "delivery")

    def __init__(self, delivery: Delivery, accepted: Seconds, age: Seconds) -> None:
        self.delivery = delivery
        self.accepted = accepted
        self.age = age


class Lane:
    """
    One channel's queue.

    :param retry_for: for how many seconds after its alert a delivery is tried (contract, section 4).
    :param settle: keeps how a delivery stands after an attempt; the next one waits for it.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: IReactorTime,
        now: WallClock,
        notifier: Notifier,
        retry_for: Seconds,
        settle: Callable[[Delivery, Outcome], Awaitable[None]],
    ) -> None:
        self.notifier = notifier
        self.retry_for = retry_for
        self._reactor = reactor
        self._now = now
        self._settle = settle
        # Each task's alerts in order. The first of each is in the heap by (when, number), but for the one under way.
        self._queues: dict[str, deque[Waiting]] = {}
        self._heap: list[tuple[Seconds, int, str]] = []
        self._number = 0
        self._under_way: str | None = None
        self._sending: Deferred[str] | None = None
        self._opens: Seconds = 0.0
        self._failures = 0
        self._failed_last: str | None = None
        self._timer: IDelayedCall | None = None
        self._working = False
        self._closed = False
        self._drained: Deferred[None] | None = None
        self._deadline: Seconds = 0.0

    def __len__(self) -> int:
        return sum(map(len, self._queues.values()))

    def oldest(self) -> Seconds:
        """Age in seconds of the oldest alert that waits here; 0 if none does."""
        return max((self._age(queue[0]) for queue in self._queues.values()), default=0.0)

    def accept(self, delivery: Delivery) -> Delivery | None:
        """
        Queue a committed delivery.

        :returns: the older reminder that it replaces, if there is one that still waits.
        """
        task = delivery.alert.task
        waiting = Waiting(delivery, self._reactor.seconds(), max(0.0, self._now() - delivery.alert.at))
        queue = self._queues.setdefault(task, deque())
        if queue and delivery.alert.event is Event.REMINDER:
            last = queue[-1].delivery
            if last.alert.event is Event.REMINDER and not (len(queue) == 1 and task == self._under_way):
                queue[-1] = waiting
                return last
        queue.append(waiting)
        if len(queue) == 1:
            self._push(task, max(0.0, delivery.not_before - self._now()))
            self._wake()
        return None

    def drain(self, deadline: Seconds) -> Deferred[None]:
        """
        Fire once nothing is left that can be sent before `deadline`, in seconds on the reactor's clock.

        Cancelling it is fine.
        """
        self._deadline = deadline
        drained = self._drained = Deferred()
        self._wake()
        return drained

    def close(self) -> None:
        """Send nothing more; a message under way is abandoned, and what is left stays pending in the store."""
        self._closed = True
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        if self._sending is not None:
            self._sending.cancel()

    def _push(self, task: str, wait: Seconds) -> None:
        self._number += 1
        heappush(self._heap, (self._reactor.seconds() + wait, self._number, task))

    def _age(self, waiting: Waiting) -> Seconds:
        return waiting.age + self._reactor.seconds() - waiting.accepted

    def _wake(self) -> None:
        if self._working or self._closed:
            return
        self._working = True
        working = Deferred.fromCoroutine(self._work())
        working.addErrback(lambda failure: self._log.failure("the lane of {name}", failure, name=self.notifier.name))

    async def _work(self) -> None:
        """Send what is due, one after the other; see to it that we come back when the next one is."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        try:
            while not self._closed:
                if not self._heap:
                    self._end_drain()
                    return
                now = self._reactor.seconds()
                due = max(self._heap[0][0], self._opens)
                if due > now:
                    self._timer = self._reactor.callLater(due - now, self._wake)
                    if due > self._deadline:
                        self._end_drain()
                    return
                self._under_way = heappop(self._heap)[2]
                await self._attempt(self._under_way)
        finally:
            self._under_way = None
            self._working = False

    def _end_drain(self) -> None:
        drained, self._drained = self._drained, None
        if drained is not None:
            drained.callback(None)

    async def _attempt(self, task: str) -> None:
        """Claim, send, settle: see Note [Backing off]."""
        queue = self._queues[task]
        waiting = queue[0]
        delivery = msgspec.structs.replace(waiting.delivery, attempts=waiting.delivery.attempts + 1)
        wait: Seconds = 0.0
        self._opens = self._reactor.seconds() + self.notifier.spacing
        try:
            words = await self._send(delivery)
        except CancelledError:
            # We are closing. Nobody knows whether it arrived, so that it is sent again after the next start.
            return
        except DeliveryError as error:
            delivery = msgspec.structs.replace(delivery, words=error.words)
            outcome, wait = self._failed(waiting, delivery, error)
            if outcome is Outcome.RETRY:
                delivery = msgspec.structs.replace(delivery, not_before=self._now() + wait)
        else:
            self._failures, self._failed_last = 0, None
            outcome, delivery = Outcome.SENT, msgspec.structs.replace(delivery, words=words)
            self._log.debug("{name} took [{id}]: {words}", name=self.notifier.name, id=delivery.alert.id, words=words)
        try:
            await self._settle(delivery, outcome)
        except Exception:
            # It goes on from memory; after a restart it may be sent again, with the same id.
            self._log.failure("keeping that [{id}] is {outcome}", id=delivery.alert.id, outcome=outcome.value)
        if outcome is not Outcome.RETRY:
            queue.popleft()
        else:
            waiting.delivery = delivery
        if queue:
            self._push(task, wait)
        else:
            del self._queues[task]

    async def _send(self, delivery: Delivery) -> str:
        """
        Make one attempt.

        :raises DeliveryError: it failed, in whatever way.
        :raises CancelledError: the lane was closed.
        """
        self._sending = Deferred.fromCoroutine(self.notifier.send((delivery.alert,)))
        try:
            return await self._sending.addTimeout(ATTEMPT_LIMIT, self._reactor)
        except (DeliveryError, CancelledError):
            raise
        except TimeoutError:
            raise DeliveryError(f"no answer within {ATTEMPT_LIMIT:g} s") from None
        except Exception:
            self._log.failure("the channel {name} broke", name=self.notifier.name)
            raise DeliveryError("the channel broke; Py Pinger's log says how") from None
        finally:
            self._sending = None

    def _failed(self, waiting: Waiting, delivery: Delivery, error: DeliveryError) -> tuple[Outcome, Seconds]:
        """Decide whether it is tried again, and after how many seconds; log that, and close the lane for a while."""
        name, alert = self.notifier.name, delivery.alert
        if error.permanent:
            # The service answered, so that other alerts need not wait.
            self._failures, self._failed_last = 0, None
            self._log.error(
                "{name} refused [{id}] for good: {words}; the alert was: {alert}",
                name=name,
                id=alert.id,
                words=error.words,
                alert=headline((alert,)),
            )
            return Outcome.DEAD, 0.0
        if alert.task != self._failed_last:
            self._failures += 1
            self._failed_last = alert.task
        wait = backoff.delay(
            delivery.attempts,
            retry_after=error.retry_after,
            age=self._age(waiting),
            retry_for=self.retry_for,
            chance=random.random(),
        )
        close = min(2.0 ** min(self._failures - 1, 16), backoff.LONGEST)
        if error.retry_after is not None and wait is not None:
            close = wait
        self._opens = max(self._opens, self._reactor.seconds() + close)
        if wait is None:
            self._log.error(
                "{name} did not take [{id}] within {span} and {count} attempts: {words}; the alert was: {alert}",
                name=name,
                id=alert.id,
                span=span(self.retry_for),
                count=delivery.attempts,
                words=error.words,
                alert=headline((alert,)),
            )
            return Outcome.DEAD, 0.0
        self._log.warn(
            "{name} did not take [{id}], attempt {count}: {words}; trying again in {span}",
            name=name,
            id=alert.id,
            count=delivery.attempts,
            words=error.words,
            span=span(wait),
        )
        return Outcome.RETRY, wait
