"""
One channel's queue of deliveries.

At most one message of a channel is under way. The alerts of one task keep their order: the next alert of a task waits
until the previous one is sent or given up; other tasks' alerts do not wait for it. :mod:`~pypinger.runtime.pending`
chooses the next message and what goes into it, :mod:`~pypinger.runtime.threads` the message that it replies to,
:mod:`~pypinger.runtime.retries` when a failed one is tried again; :mod:`~pypinger.runtime.outbox` records the outcome.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence

from msgspec.structs import replace
from twisted.internet.defer import CancelledError, Deferred, DeferredList, TimeoutError
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from pypinger.domain.grouping import Place
from pypinger.domain.model import Alert, Delivery, Outcome, Seconds
from pypinger.ports.clock import WallClock
from pypinger.ports.notifying import DeliveryError, Notifier, PartialNotifier
from pypinger.ports.sharing import LeaseLost
from pypinger.ports.storing import Told
from pypinger.runtime.pending import Pending, Waiting
from pypinger.runtime.retries import Retries, ids_of
from pypinger.runtime.threads import References, Threads
from pypinger.runtime.updates import Updates

#: Seconds until it is asked again whether messages may be sent.
ASK_AGAIN: Seconds = 0.5

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
        self._retries = Retries(notifier.name, retry_for)
        self._reactor = reactor
        self._now = now
        self._settle = settle
        self._group_wait = group_wait if notifier.groups else 0.0
        self._pending = Pending(self._group_wait)
        self._threads = Threads()
        self._updates = Updates(reactor, self._threads, self._send_again)
        self._resend = resend or self.accept
        self._paused = self._dropped = False
        self._alive: Callable[[], bool] = lambda: True
        self._rested: list[Deferred[None]] = []
        self._sending: Deferred[tuple[str, References]] | None = None
        self._opens: Seconds = 0.0
        self._timer: IDelayedCall | None = None
        self._working = False
        self._closed = False
        self._drained: Deferred[None] | None = None
        self._deadline: Seconds = 0.0

    def ask_before(self, alive: Callable[[], bool]) -> None:
        """Ask `alive` before each message; while it returns False, wait."""
        self._alive = alive

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
        now = self._reactor.seconds()
        self._pending.expect(place, now, now + seconds)

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
        self._retries.give_up_after(retry_for)
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
        self._retries.give_up_after(max(0.0, retry_for))
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

    def rest(self) -> Deferred[None]:
        """Begin nothing more; fires when no message is under way."""
        self.pause()
        rested: Deferred[None] = Deferred()
        if self._working:
            self._rested.append(rested)
        else:
            rested.callback(None)
        return rested

    def drop(self) -> None:
        """Stop sending, abandon the message under way, and settle nothing: another instance may send it."""
        self._dropped = True
        self.close()

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
                if due is not None and not self._alive():
                    self._timer = self._reactor.callLater(ASK_AGAIN, self._wake)
                    return
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
            rested, self._rested = self._rested, []
            for each in rested:
                each.callback(None)

    def _end_drain(self) -> None:
        drained, self._drained = self._drained, None
        if drained is not None:
            drained.callback(None)

    async def _attempt(self, message: Sequence[Waiting]) -> None:
        """Claim, send, settle: see Note [Backing off] in :mod:`~pypinger.runtime.retries`."""
        notifier = self.notifier
        self._opens = self._reactor.seconds() + notifier.spacing
        wait: Seconds = 0.0
        references: References = [None] * len(message)
        try:
            words, references = await self._send(message)
        except CancelledError:
            # The queue was closed. The message may have arrived or not; it is sent again after the next start, but not
            # to those who are known to have it.
            if not self._dropped:
                await self._keep_progress(notifier, message)
            return
        except DeliveryError as error:
            words = error.words
            outcomes, wait, close = self._retries.failed(message, error, self._age)
            self._opens = max(self._opens, self._reactor.seconds() + close)
            self._updates.pause()
        else:
            self._retries.succeeded()
            outcomes = [Outcome.SENT] * len(message)
            self._log.debug("{name} took {ids}: {words}", name=self.notifier.name, ids=ids_of(message), words=words)
        if self._dropped:
            return
        rest, not_before = self._reactor.seconds() + wait, self._now() + wait
        settled = []
        for waiting, outcome, reference in zip(message, outcomes, references, strict=True):
            delivery = replace(
                waiting.delivery,
                attempts=waiting.delivery.attempts + 1,
                words=words,
                progress=None if outcome is Outcome.SENT else self._progress(notifier, waiting),
                reference=reference,
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

    async def _keep_progress(self, notifier: Notifier, message: Sequence[Waiting]) -> None:
        """Record who was reached by an attempt that was broken off."""
        # All at once: the store closes soon.
        keeping = []
        for waiting in message:
            progress = self._progress(notifier, waiting)
            if progress != waiting.delivery.progress:
                delivery = replace(waiting.delivery, progress=progress)
                keeping.append(Deferred.fromCoroutine(self._keep(delivery, Outcome.RETRY)))
        await DeferredList(keeping)

    def _progress(self, notifier: Notifier, waiting: Waiting) -> str | None:
        """Who was reached by a message that failed, in the notifier's form."""
        if not isinstance(notifier, PartialNotifier):
            return None
        try:
            return notifier.progress(waiting.delivery.alert)
        except Exception:
            self._log.failure("unexpected error in the channel {name}", name=notifier.name)
            return None

    async def _keep(self, delivery: Delivery, outcome: Outcome) -> None:
        try:
            await self._settle(delivery, outcome)
        except LeaseLost as lost:
            self._log.debug("[{id}] is not recorded: {words}", id=delivery.alert.id, words=str(lost))
        except Exception:
            # Memory is right for now; after a restart the alert may be sent again, with the same id.
            self._log.failure("recording [{id}] as {outcome}", id=delivery.alert.id, outcome=outcome.value)

    async def _send(self, message: Sequence[Waiting]) -> tuple[str, References]:
        """
        Make one attempt.

        :raises DeliveryError: the attempt failed.
        :raises CancelledError: the queue was closed.
        """
        self._sending = Deferred.fromCoroutine(self._post(self.notifier, message))
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

    async def _post(self, notifier: Notifier, message: Sequence[Waiting]) -> tuple[str, References]:
        if isinstance(notifier, PartialNotifier):
            for waiting in message:
                if waiting.notifier is not notifier:
                    notifier.begin(waiting.delivery.alert, waiting.delivery.progress)
                    waiting.notifier = notifier
        return await self._threads.post(notifier, [waiting.delivery.alert for waiting in message])
