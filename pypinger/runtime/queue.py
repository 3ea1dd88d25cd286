"""
One channel's queue of deliveries.

At most one message of a channel is under way. The alerts of one task keep their order: the next alert of a task waits
until the previous one is sent or given up; other tasks' alerts do not wait for it. :mod:`~pypinger.runtime.pending`
chooses the next message and what goes into it, :mod:`~pypinger.runtime.threads` the message that it replies to;
:mod:`~pypinger.runtime.outbox` records the outcome.

Note [Backing off]
~~~~~~~~~~~~~~~~~~
A failed delivery is retried after a delay that doubles (:mod:`pypinger.domain.backoff`). That alone would not spare a
service that is down during a storm, because the first alert of every task would still be attempted at once. Therefore
a failure also pauses the whole queue: for the time given by ``Retry-After``, otherwise for one second, doubled for each
further message that fails in a row, up to 5 minutes. One success ends the pause. The failures of one task's alerts, or
of one group, count once, so that a message the service rejects does not hold up the others.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence

from msgspec.structs import replace
from twisted.internet.defer import CancelledError, Deferred, DeferredList, TimeoutError
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from pypinger.domain import backoff
from pypinger.domain.grouping import Place
from pypinger.domain.model import Alert, Delivery, Outcome, Seconds
from pypinger.domain.times import span
from pypinger.domain.wording import headline
from pypinger.ports.clock import WallClock
from pypinger.ports.notifying import DeliveryError, Notifier
from pypinger.ports.storing import Told
from pypinger.runtime.pending import Message, Pending, Waiting
from pypinger.runtime.threads import References, Threads
from pypinger.runtime.updates import Updates

#: Time limit for one attempt to send, in seconds (contract, section 4).
ATTEMPT_LIMIT: Seconds = 20.0


class DeliveryQueue:
    """
    The deliveries of one channel.

    :param retry_for: seconds after its alert's cause during which a delivery is retried (contract, section 4).
    :param group_wait: seconds during which alerts are gathered, if the channel can show several in one message.
    :param settle: records the outcome of an attempt; the next attempt waits for it.
    :param resend: accepts deliveries whose message was lost; None: :meth:`accept`.
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
        resend: Callable[[Delivery], object] | None = None,
    ) -> None:
        self.notifier = notifier
        self._retry_for = retry_for
        self._reactor = reactor
        self._now = now
        self._settle = settle
        self._group_wait = group_wait if notifier.groups else 0.0
        self._pending = Pending(self._group_wait)
        self._threads = Threads()
        self._updates = Updates(reactor, self._threads, self._send_again)
        self._resend = resend or self.accept
        self._paused = False
        self._sending: Deferred[tuple[str, References]] | None = None
        self._opens: Seconds = 0.0
        self._failures = 0
        self._failed_last: Message | None = None
        self._timer: IDelayedCall | None = None
        self._working = False
        self._closed = False
        self._drained: Deferred[None] | None = None
        self._deadline: Seconds = 0.0

    def __len__(self) -> int:
        return len(self._pending)

    def oldest(self) -> Seconds:
        """The age in seconds of the oldest alert in the queue; 0 for an empty queue."""
        return max(map(self._age, self._pending.first()), default=0.0)

    def remember(self, told: Iterable[Told]) -> None:
        """Take up the messages of incidents that the store kept."""
        self._threads.remember(self.notifier, told, self._now())

    def accept(self, delivery: Delivery, storms: Collection[Place] = (), *, fresh: bool = False) -> list[Delivery]:
        """
        Queue a committed delivery.

        :param storms: where a storm is open.
        :param fresh: whether its age counts from now, as it is sent again by hand.
        :returns: the deliveries that gave way, perhaps this one among them.
        """
        now = self._now()
        age, wait = 0.0 if fresh else max(0.0, now - delivery.alert.at), max(0.0, delivery.not_before - now)
        gone = self._pending.accept(delivery, self._reactor.seconds(), age=age, wait=wait, storms=storms)
        self._wake()
        return gone

    def expect(self, place: Place, seconds: Seconds) -> None:
        """More alerts may come from a place soon: hold its groups for so many seconds, or until :meth:`settled`."""
        self._pending.expect(place, self._reactor.seconds() + seconds)

    def settled(self, place: Place, *, calm: bool = False) -> None:
        """No more alerts are expected from a place; with `calm` because its storm is over."""
        change = self._pending.calmed if calm else self._pending.settled
        change(place, self._reactor.seconds())
        self._wake()

    def keep_pace(self) -> None:
        """Wait for the channel's spacing first: the previous process may have sent a message a moment ago."""
        self._opens = self._reactor.seconds() + self.notifier.spacing

    def drain(self, deadline: Seconds) -> Deferred[None]:
        """Hold nothing; fire when nothing is left to send before `deadline` (reactor's clock). May be cancelled."""
        self._deadline = deadline
        self._pending.release()
        drained = self._drained = Deferred()
        self._wake()
        return drained

    def update(self, notifier: Notifier, retry_for: Seconds, group_wait: Seconds) -> None:
        """Use other settings for all messages but the one under way."""
        self.notifier = notifier
        self._retry_for = retry_for
        self._group_wait = group_wait if notifier.groups else 0.0
        self._threads.use(notifier)
        self._pending.regroup(self._group_wait)

    def pause(self) -> None:
        """Finish the message under way and hold all others until :meth:`resume`."""
        self._paused = True
        self._updates.pause()
        if self._timer is not None and self._timer.active():
            self._timer.cancel()

    def resume(self) -> None:
        """End a :meth:`pause`."""
        self._paused = False
        self._wake()

    def expire(self, retry_for: Seconds) -> list[Delivery]:
        """While paused, remove and return the deliveries that are older than `retry_for` seconds; below 0 all."""
        self._retry_for = max(0.0, retry_for)
        if self._working or not self._paused:
            return []
        now, waiting = self._now(), self._pending.waiting()
        old = [delivery for delivery in waiting if now - delivery.alert.at > retry_for]
        if old:
            self._pending = Pending(self._group_wait)
            for delivery in waiting:
                if now - delivery.alert.at <= retry_for:
                    self.accept(delivery)
        return old

    def close(self) -> None:
        """Stop sending and abandon the message under way; the rest stays pending in the store."""
        self._closed = True
        self._updates.close()
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        if self._sending is not None:
            self._sending.cancel()

    def _send_again(self, alert: Alert) -> None:
        """The message that showed this alert is lost; what is pending of its task says more than a copy."""
        if not self._pending.has(alert.task):
            self._resend(Delivery(alert, self.notifier.name))

    def _age(self, waiting: Waiting) -> Seconds:
        return waiting.age + self._reactor.seconds() - waiting.accepted

    def _wake(self) -> None:
        if self._working or self._closed:
            return
        self._working = True
        working = Deferred.fromCoroutine(self._work())
        working.addErrback(
            lambda failure: self._log.failure("sending through {name}", failure, name=self.notifier.name)
        )

    async def _work(self) -> None:
        """Send the messages that are due, one by one, and set a timer for the next."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        try:
            while not self._closed:
                due = None if self._paused else self._pending.due()
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
                await self._attempt(self._threads.take(self._pending, now))
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
        references: References = [None] * len(message)
        try:
            words, references = await self._send([waiting.delivery.alert for waiting in message])
        except CancelledError:
            # The queue was closed. The message may have arrived or not; it is sent again after the next start.
            return
        except DeliveryError as error:
            words = error.words
            outcomes, wait = self._failed(message, error)
            self._updates.pause()
        else:
            self._failures, self._failed_last = 0, None
            outcomes = [Outcome.SENT] * len(message)
            self._log.debug("{name} took {ids}: {words}", name=self.notifier.name, ids=_ids(message), words=words)
        rest, not_before = self._reactor.seconds() + wait, self._now() + wait
        settled = []
        for waiting, outcome, reference in zip(message, outcomes, references, strict=True):
            delivery = replace(
                waiting.delivery, attempts=waiting.delivery.attempts + 1, words=words, reference=reference
            )
            if outcome is Outcome.RETRY:
                delivery = replace(delivery, not_before=not_before)
            waiting.delivery = delivery
            settled.append(Deferred.fromCoroutine(self._keep(delivery, outcome)))
        await DeferredList(settled)
        if Outcome.SENT in outcomes and not (self._paused or self._closed):
            self._updates.resume(self.notifier)
        now = self._reactor.seconds()
        for waiting, outcome in zip(message, outcomes, strict=True):
            if outcome is not Outcome.RETRY:
                self._pending.remove(waiting, now)
            elif not self._pending.postpone(waiting, rest, now):
                await self._keep(waiting.delivery, Outcome.REPLACED)

    async def _keep(self, delivery: Delivery, outcome: Outcome) -> None:
        try:
            await self._settle(delivery, outcome)
        except Exception:
            # Memory is right for now; after a restart the alert may be sent again, with the same id.
            self._log.failure("recording [{id}] as {outcome}", id=delivery.alert.id, outcome=outcome.value)

    async def _send(self, alerts: Sequence[Alert]) -> tuple[str, References]:
        """
        Make one attempt.

        :raises DeliveryError: the attempt failed.
        :raises CancelledError: the queue was closed.
        """
        self._sending = Deferred.fromCoroutine(self._threads.post(self.notifier, alerts))
        try:
            return await self._sending.addTimeout(ATTEMPT_LIMIT, self._reactor)
        except (DeliveryError, CancelledError):
            raise
        except TimeoutError:
            raise DeliveryError(f"no answer within {ATTEMPT_LIMIT:g} s") from None
        except Exception:
            self._log.failure("unexpected error in the channel {name}", name=self.notifier.name)
            raise DeliveryError("unexpected error in the channel; see Py Pinger's log") from None
        finally:
            self._sending = None

    def _failed(self, message: Sequence[Waiting], error: DeliveryError) -> tuple[list[Outcome], Seconds]:
        """
        Decide which deliveries are retried and after how many seconds, log it, and pause the queue.

        All of them wait as long as the one with the most attempts; each is given up separately.
        """
        if error.permanent:
            # The service answered, so other alerts need not wait.
            self._failures, self._failed_last = 0, None
            for waiting in message:
                self._give_up(waiting, "refused", "permanently", error)
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
                retry_for=self._retry_for,
                chance=chance,
            )
            if wait is None:
                words = f"within {span(self._retry_for)} and {waiting.delivery.attempts + 1} attempts"
                self._give_up(waiting, "did not accept", words, error)
                outcomes.append(Outcome.DEAD)
            else:
                pause = wait
                outcomes.append(Outcome.RETRY)
        if Outcome.RETRY in outcomes:
            self._log.warn(
                "{name} did not accept {ids}, attempt {count}: {words}; the next attempt is in {span}",
                name=self.notifier.name,
                ids=_ids(message),
                count=attempts,
                words=error.words,
                span=span(pause),
            )
        return outcomes, pause

    def _give_up(self, waiting: Waiting, verb: str, limit: str, error: DeliveryError) -> None:
        """Log each alert that is given up, also those of a group (contract, section 4)."""
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
