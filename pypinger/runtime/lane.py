"""
One channel's queue of deliveries: what becomes of each.

At most one message of a channel is under way, and the alerts of one task keep their order: a task's next alert waits
until the one before it is sent or given up, while those of other tasks go on. Which message is next, and what goes in
it, is the :mod:`~pypinger.runtime.waitlist`'s business; what must be remembered, the :mod:`~pypinger.runtime.outbox`'s.

Note [Backing off]
~~~~~~~~~~~~~~~~~~
A failed delivery waits by itself, doubling (:mod:`pypinger.domain.backoff`). That alone would not spare a service that
is down while a storm rages: every task's first alert would still try it at once. So a failure also closes the whole
lane for a while: as long as the service asked for with ``Retry-After``, otherwise for a second, doubled for each
further message that fails in a row, up to 5 minutes. One success opens the lane again, and the failures of one task's
alerts, or of one group, count once, so that a message which the service cannot stomach never holds up the rest.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Sequence

import msgspec
from twisted.internet.defer import CancelledError, Deferred, DeferredList, TimeoutError
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from pypinger.domain import backoff
from pypinger.domain.model import Alert, Delivery, Outcome, Seconds
from pypinger.domain.times import span
from pypinger.domain.wording import headline
from pypinger.ports.clock import WallClock
from pypinger.ports.notifying import DeliveryError, Notifier
from pypinger.runtime.waitlist import Message, Waiting, Waitlist

#: How long one attempt to send may take, in seconds (contract, section 4).
ATTEMPT_LIMIT: Seconds = 20.0


class Lane:
    """
    One channel's queue.

    :param retry_for: for how many seconds after its alert a delivery is tried (contract, section 4).
    :param group_wait: for how many seconds alerts are gathered, if the channel can show several in one message.
    :param settle: keeps how a delivery stands after an attempt; the next one waits for it.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: IReactorTime,
        now: WallClock,
        notifier: Notifier,
        retry_for: Seconds,
        group_wait: Seconds,
        settle: Callable[[Delivery, Outcome], Awaitable[None]],
    ) -> None:
        self.notifier = notifier
        self.retry_for = retry_for
        self._reactor = reactor
        self._now = now
        self._settle = settle
        self._group_wait = group_wait if notifier.groups else 0.0
        self._waits = Waitlist(self._group_wait)
        self._paused = False
        self._sending: Deferred[str] | None = None
        self._opens: Seconds = 0.0
        self._failures = 0
        self._failed_last: Message | None = None
        self._timer: IDelayedCall | None = None
        self._working = False
        self._closed = False
        self._drained: Deferred[None] | None = None
        self._deadline: Seconds = 0.0

    def __len__(self) -> int:
        return len(self._waits)

    def oldest(self) -> Seconds:
        """Age in seconds of the oldest alert that waits here; 0 if none does."""
        return max(map(self._age, self._waits.first()), default=0.0)

    def accept(self, delivery: Delivery) -> Delivery | None:
        """
        Queue a committed delivery.

        :returns: the older reminder that it replaces, if there is one that still waits.
        """
        now = self._now()
        age, wait = max(0.0, now - delivery.alert.at), max(0.0, delivery.not_before - now)
        replaced = self._waits.accept(delivery, self._reactor.seconds(), age=age, wait=wait)
        self._wake()
        return replaced

    def go_easy(self) -> None:
        """Keep the service's pace with the process before this one, which may have sent a message just now."""
        self._opens = self._reactor.seconds() + self.notifier.spacing

    def drain(self, deadline: Seconds) -> Deferred[None]:
        """
        Fire once nothing is left that can be sent before `deadline`, in seconds on the reactor's clock.

        Nothing is held for its group from now on. Cancelling it is fine.
        """
        self._deadline = deadline
        self._waits.release()
        drained = self._drained = Deferred()
        self._wake()
        return drained

    def update(self, notifier: Notifier, retry_for: Seconds, group_wait: Seconds) -> None:
        """Send in this way from now on; a message under way goes on as it began."""
        self.notifier = notifier
        self.retry_for = retry_for
        self._group_wait = group_wait if notifier.groups else 0.0
        self._waits.regroup(self._group_wait)

    def pause(self) -> None:
        """Send nothing more but the message under way, until :meth:`go_on`; what is accepted waits."""
        self._paused = True
        if self._timer is not None and self._timer.active():
            self._timer.cancel()

    def go_on(self) -> None:
        """Send again what waits."""
        self._paused = False
        self._wake()

    def expire(self) -> list[Delivery]:
        """
        Give up what has waited for longer than `retry_for` while nothing is sent.

        :returns: what was given up.
        """
        if self._working or not self._paused:
            return []
        now, waiting = self._now(), self._waits.waiting()
        old = [delivery for delivery in waiting if now - delivery.alert.at > self.retry_for]
        if old:
            self._waits = Waitlist(self._group_wait)
            for delivery in waiting:
                if now - delivery.alert.at <= self.retry_for:
                    self.accept(delivery)
        return old

    def close(self) -> None:
        """Send nothing more; a message under way is abandoned, and what is left stays pending in the store."""
        self._closed = True
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        if self._sending is not None:
            self._sending.cancel()

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
                due = None if self._paused else self._waits.due()
                if due is None:
                    self._end_drain()
                    return
                now = self._reactor.seconds()
                due = max(due, self._opens)
                if due > now:
                    self._timer = self._reactor.callLater(due - now, self._wake)
                    if due > self._deadline:
                        self._end_drain()
                    return
                await self._attempt(self._waits.take(now))
        finally:
            self._working = False

    def _end_drain(self) -> None:
        drained, self._drained = self._drained, None
        if drained is not None:
            drained.callback(None)

    async def _attempt(self, message: Sequence[Waiting]) -> None:
        """Claim, send, settle: see Note [Backing off]."""
        self._opens = self._reactor.seconds() + self.notifier.spacing
        wait: Seconds = 0.0
        try:
            words = await self._send(tuple(waiting.delivery.alert for waiting in message))
        except CancelledError:
            # We are closing. Nobody knows whether it arrived, so that it is sent again after the next start.
            return
        except DeliveryError as error:
            words = error.words
            outcomes, wait = self._failed(message, error)
        else:
            self._failures, self._failed_last = 0, None
            outcomes = [Outcome.SENT] * len(message)
            self._log.debug("{name} took {ids}: {words}", name=self.notifier.name, ids=_ids(message), words=words)
        rest, not_before = self._reactor.seconds() + wait, self._now() + wait
        settled = []
        for waiting, outcome in zip(message, outcomes, strict=True):
            delivery = msgspec.structs.replace(waiting.delivery, attempts=waiting.delivery.attempts + 1, words=words)
            if outcome is Outcome.RETRY:
                delivery = msgspec.structs.replace(delivery, not_before=not_before)
            waiting.delivery = delivery
            settled.append(Deferred.fromCoroutine(self._keep(delivery, outcome)))
        await DeferredList(settled)
        now = self._reactor.seconds()
        for waiting, outcome in zip(message, outcomes, strict=True):
            if outcome is not Outcome.RETRY:
                self._waits.remove(waiting, now)
            elif not self._waits.postpone(waiting, rest, now):
                await self._keep(waiting.delivery, Outcome.REPLACED)

    async def _keep(self, delivery: Delivery, outcome: Outcome) -> None:
        try:
            await self._settle(delivery, outcome)
        except Exception:
            # It goes on from memory; after a restart it may be sent again, with the same id.
            self._log.failure("keeping that [{id}] is {outcome}", id=delivery.alert.id, outcome=outcome.value)

    async def _send(self, alerts: Sequence[Alert]) -> str:
        """
        Make one attempt.

        :raises DeliveryError: it failed, in whatever way.
        :raises CancelledError: the lane was closed.
        """
        self._sending = Deferred.fromCoroutine(self.notifier.send(alerts))
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

    def _failed(self, message: Sequence[Waiting], error: DeliveryError) -> tuple[list[Outcome], Seconds]:
        """
        Decide which are tried again, and after how many seconds; log that, and close the lane for a while.

        They wait together, as long as the one that was tried most; each is given up by itself.
        """
        if error.permanent:
            # The service answered, so that other alerts need not wait.
            self._failures, self._failed_last = 0, None
            for waiting in message:
                self._give_up(waiting, "refused", "for good", error)
            return [Outcome.DEAD] * len(message), 0.0
        if message[0].message != self._failed_last:
            self._failures += 1
            self._failed_last = message[0].message
        close = min(2.0 ** min(self._failures - 1, 16), backoff.LONGEST)
        if error.retry_after is not None:
            close = min(max(error.retry_after, backoff.SHORTEST), backoff.LONGEST_ASKED)
        self._opens = max(self._opens, self._reactor.seconds() + close)
        attempts, chance = 1 + max(waiting.delivery.attempts for waiting in message), random.random()
        outcomes: list[Outcome] = []
        pause: Seconds = 0.0
        for waiting in message:
            wait = backoff.delay(
                attempts,
                retry_after=error.retry_after,
                age=self._age(waiting),
                retry_for=self.retry_for,
                chance=chance,
            )
            if wait is None:
                words = f"within {span(self.retry_for)} and {waiting.delivery.attempts + 1} attempts"
                self._give_up(waiting, "did not take", words, error)
                outcomes.append(Outcome.DEAD)
            else:
                pause = wait
                outcomes.append(Outcome.RETRY)
        if Outcome.RETRY in outcomes:
            self._log.warn(
                "{name} did not take {ids}, attempt {count}: {words}; trying again in {span}",
                name=self.notifier.name,
                ids=_ids(message),
                count=attempts,
                words=error.words,
                span=span(pause),
            )
        return outcomes, pause

    def _give_up(self, waiting: Waiting, verb: str, limit: str, error: DeliveryError) -> None:
        """Log it by itself, even if it went with others (contract, section 4)."""
        alert = waiting.delivery.alert
        self._log.error(
            "{name} {verb} [{id}] {limit}: {words}; the alert was: {alert}",
            name=self.notifier.name,
            verb=verb,
            id=alert.id,
            limit=limit,
            words=error.words,
            alert=headline((alert,)),
        )


def _ids(message: Sequence[Waiting]) -> str:
    more = f" and {len(message) - 1} more" if len(message) > 1 else ""
    return f"[{message[0].delivery.alert.id}]{more}"
