"""
Sends committed alerts to the channels and records the outcome of each delivery in the store.

One alert takes these steps (contract, section 4): :meth:`Outbox.address` makes a delivery per channel, the store
commits them together with the change of state that caused the alert, :meth:`Outbox.accept` logs the alert and queues
its deliveries, and each channel's :class:`~pypinger.runtime.queue.DeliveryQueue` sends and settles them. After a crash
before the settling the delivery is still pending in the store, and the next start sends it again with the same id.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import partial

from msgspec.structs import replace
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from pypinger.domain.alerting import alert_id
from pypinger.domain.grouping import Place, Storms, places_of
from pypinger.domain.model import Alert, Delivery, Event, Outcome, Seconds
from pypinger.domain.texts import one_line
from pypinger.domain.times import span
from pypinger.domain.wording import headline
from pypinger.ports.clock import WallClock
from pypinger.ports.notifying import Notifier
from pypinger.ports.storing import Kept, Store, Told
from pypinger.runtime.alertlog import log_alert
from pypinger.runtime.board import LiveBoard
from pypinger.runtime.queue import DeliveryQueue

#: Age in seconds from which a pending delivery makes ``/status`` an error (contract, section 7).
OVERDUE: Seconds = 300.0

#: Interval in seconds between two searches for expired deliveries of channels that are off.
EXPIRING: Seconds = 60.0


class Outbox:
    """
    The delivery queues of all channels.

    :param notifiers: the channels that are on; none with ``only_log``.
    :param retry_for: seconds after its alert's cause during which a delivery is retried.
    :param group_wait: seconds during which the alerts of a storm are gathered; 0 turns grouping off.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: IReactorTime,
        now: WallClock,
        store: Store,
        board: LiveBoard,
        notifiers: Sequence[Notifier],
        retry_for: Seconds,
        group_wait: Seconds,
    ) -> None:
        self._reactor = reactor
        self._now = now
        self._store = store
        self._board = board
        self._retry_for = retry_for
        self._group_wait = group_wait
        self._queues: dict[str, DeliveryQueue] = {}
        # Channels that are off: their queues, or a list of deliveries if they have not been on since the start.
        self._off: dict[str, DeliveryQueue] = {}
        self._parked: dict[str, list[Delivery]] = {}
        # What the store kept of channels that have not been on since the start.
        self._told: dict[str, Sequence[Told]] = {}
        self._storms = Storms()
        self._notifiers: dict[str, Notifier] = {}
        # The channels whose latest delivery is dead, and why, as far as it is known.
        self._refused: set[str] = set()
        self._refusals: dict[str, str] = {}
        self._expiring = LoopingCall(self._expire)
        self._expiring.clock = reactor
        self.update(notifiers, retry_for, group_wait)
        board.add_source(self._trouble)
        board.dead_channels_from(lambda: self._refused)

    def resume(self, kept: Kept) -> None:
        """Take up the deliveries that the store kept, and the messages of incidents."""
        deliveries = kept.deliveries
        self._told = dict(kept.told)
        for name, queue in self._queues.items():
            queue.remember(self._told.pop(name, ()))
        self._board.count_dead(kept.dead)
        self._refused |= kept.dead_channels & self._queues.keys()
        self._refusals.update(kept.refusals)
        for entry in self._board.entries():
            if entry.state.incident is not None:
                report = entry.state.report
                places = [("origin", entry.task.origin), ("server", "" if report is None else report.server or "")]
                self._storms.opened(entry.task.id, [place for place in places if place[1]])
        for name in {delivery.channel for delivery in deliveries} & self._queues.keys():
            self._queues[name].keep_pace()
        for queue in self._queues.values():
            # Nothing is sent before all is known: what is newer replaces reminders.
            queue.pause()
        for delivery in deliveries:
            self._queue(delivery)
        for queue in self._queues.values():
            queue.resume()
        for name, parked in self._parked.items():
            self._log.warn("{count} deliveries are pending for {name}, which is off", count=len(parked), name=name)
        self._expiring.start(EXPIRING, now=False)

    def update(self, notifiers: Sequence[Notifier], retry_for: Seconds, group_wait: Seconds) -> None:
        """
        Use these channels from now on; those that stay keep their queues and the message under way.

        Deliveries to a channel that is off wait until the channel is on again, or are dead after `retry_for`.
        """
        self._retry_for, self._group_wait = retry_for, group_wait
        before, self._queues = self._queues, {}
        for notifier in notifiers:
            name = notifier.name
            queue = before.pop(name, self._off.pop(name, None))
            if queue is None:
                again = partial(self._queue, fresh=True)
                queue = DeliveryQueue(self._reactor, self._now, notifier, retry_for, group_wait, self._settle, again)
                queue.remember(self._told.pop(name, ()))
            else:
                queue.update(notifier, retry_for, group_wait)
            self._queues[name] = queue
            queue.resume()
            for delivery in self._parked.pop(name, ()):
                self._hand_over(delivery)
        changed = [name for name, notifier in self._notifiers.items() if notifier not in notifiers]
        self._notifiers = {notifier.name: notifier for notifier in notifiers}
        self._refused &= self._queues.keys()
        for name in self._refused.intersection(changed):
            self._works_again(name)
        for name, queue in before.items():
            queue.pause()
            self._off[name] = queue
            if len(queue):
                self._log.warn("{count} deliveries are pending for {name}, which is off", count=len(queue), name=name)

    def address(self, alerts: Sequence[Alert]) -> tuple[Delivery, ...]:
        """Make one delivery per alert and channel, for the store to commit."""
        return tuple(Delivery(alert, name) for alert in alerts for name in self._queues)

    def accept(self, alerts: Sequence[Alert], deliveries: Sequence[Delivery]) -> None:
        """Log committed alerts and send their deliveries."""
        for alert in alerts:
            log_alert(self._log, alert)
        over: list[Place] = []
        storms = {alert.id: self._note_storm(alert, over) for alert in alerts}
        for delivery in deliveries:
            self._queue(delivery, storms[delivery.alert.id])
        for queue in self._queues.values():
            for place in over:
                queue.settled(place, calm=True)

    def expect(self, origin: str, seconds: Seconds) -> None:
        """Hold the groups of an origin for so many seconds and ``group_wait``, or until :meth:`settled`."""
        for queue in self._queues.values():
            queue.expect(("origin", origin), seconds + self._group_wait)

    def settled(self, origin: str) -> None:
        """No more alerts of an origin are expected."""
        for queue in self._queues.values():
            queue.settled(("origin", origin))

    async def resend(self) -> int:
        """
        Try every dead delivery again whose channel is on.

        :returns: how many.
        :raises StoreError: the store cannot be read.
        """
        dead = [delivery for delivery in await self._store.dead() if delivery.channel in self._queues]
        await self._revive(dead)
        for delivery in dead:
            self._queue(replace(delivery, words=""), fresh=True)
        return len(dead)

    def works(self, channel: str) -> None:
        """Take note that a channel accepted a message beside the queue."""
        if channel in self._refused:
            self._works_again(channel)

    @property
    def notifiers(self) -> list[Notifier]:
        """The channels that are on."""
        return list(self._notifiers.values())

    @property
    def refused(self) -> frozenset[str]:
        """The channels whose latest delivery is dead."""
        return frozenset(self._refused)

    def healthy(self) -> bool:
        """Whether alerts reach people: no channel is on, or one takes messages, as far as is known."""
        working = (name not in self._refused and queue.oldest() <= OVERDUE for name, queue in self._queues.items())
        return not self._queues or any(working)

    async def announce(self, alert: Alert) -> None:
        """Commit and send an alert of the daemon itself."""
        deliveries = self.address((alert,))
        await self._store.enqueue(deliveries)
        self.accept((alert,), deliveries)

    async def stop(self, limit: Seconds) -> None:
        """Give pending deliveries up to `limit` seconds, then stop sending."""
        if self._expiring.running:
            self._expiring.stop()
        queues = [*self._queues.values(), *self._off.values()]
        deadline = self._reactor.seconds() + limit
        drained = DeferredList([queue.drain(deadline) for queue in queues], consumeErrors=True)
        await drained.addTimeout(limit, self._reactor, onTimeoutCancel=lambda _, __: None)
        for queue in queues:
            queue.close()
        if self._board.undelivered:
            self._log.warn("{count} deliveries are still pending", count=self._board.undelivered)

    def _note_storm(self, alert: Alert, over: list[Place]) -> tuple[Place, ...]:
        """Return where a storm was open when the alert came, and count its incident; add to `over` where one ends."""
        storms = self._storms.at(alert)
        if alert.event in (Event.PROBLEM, Event.FLAPPING):
            for kind, place in self._storms.opened(alert.task, list(places_of(alert))):
                self._log.warn("STORM: several tasks on {kind} {place} are in trouble", kind=kind, place=place)
        elif alert.event is Event.RECOVERED:
            for kind, place in self._storms.closed(alert.task):
                self._log.info("STORM over: no task on {kind} {place} is in trouble", kind=kind, place=place)
                over.append((kind, place))
        return storms

    def _queue(self, delivery: Delivery, storms: Collection[Place] = (), *, fresh: bool = False) -> None:
        self._board.count_undelivered(1)
        self._hand_over(delivery, storms, fresh=fresh)

    def _hand_over(self, delivery: Delivery, storms: Collection[Place] = (), *, fresh: bool = False) -> None:
        queue = self._queues.get(delivery.channel, self._off.get(delivery.channel))
        if queue is None:
            self._parked.setdefault(delivery.channel, []).append(delivery)
            return
        for gone in queue.accept(delivery, storms, fresh=fresh):
            self._settle_aside(gone, Outcome.REPLACED)

    def _expire(self) -> None:
        """Give up deliveries that have waited longer than `retry_for` for a channel that is off."""
        now = self._now()
        old = [delivery for queue in self._off.values() for delivery in queue.expire(self._retry_for)]
        for name, parked in self._parked.items():
            old += [delivery for delivery in parked if now - delivery.alert.at > self._retry_for]
            self._parked[name] = [delivery for delivery in parked if now - delivery.alert.at <= self._retry_for]
        for delivery in old:
            self._log.error(
                "{name} has been off too long, [{id}] is given up; the alert was: {alert}",
                name=delivery.channel,
                id=delivery.alert.id,
                alert=headline((delivery.alert,)),
            )
            self._settle_aside(replace(delivery, words="the channel was off"), Outcome.DEAD)

    def _settle_aside(self, delivery: Delivery, outcome: Outcome) -> None:
        settled = Deferred.fromCoroutine(self._settle(delivery, outcome))
        settled.addErrback(lambda failure: self._log.failure("settling [{id}]", failure, id=delivery.alert.id))

    async def _settle(self, delivery: Delivery, outcome: Outcome) -> None:
        if outcome is not Outcome.RETRY:
            self._board.count_undelivered(-1)
        if outcome is Outcome.DEAD:
            self._board.count_dead(1)
            # One that is off is not expected to work.
            if delivery.channel in self._queues:
                self._refused.add(delivery.channel)
            self._refusals[delivery.channel] = delivery.words
        await self._store.settle(delivery, outcome)
        if outcome is Outcome.SENT:
            self.works(delivery.channel)

    def _works_again(self, channel: str) -> None:
        """See :meth:`_retell`."""
        self._refused.discard(channel)
        retold = Deferred.fromCoroutine(self._retell(channel))
        retold.addErrback(lambda failure: self._log.failure("repeating problems for {name}", failure, name=channel))

    async def _retell(self, channel: str) -> None:
        """Send the channel the open incidents whose problem died there, as new alerts (contract, section 4)."""
        died: dict[str, Delivery] = {}
        for delivery in await self._store.dead():
            if delivery.channel == channel and delivery.alert.event in (Event.PROBLEM, Event.FLAPPING):
                died[delivery.alert.task] = delivery
        again: list[Delivery] = []
        for task_id, delivery in died.items():
            entry = self._board.by_id(task_id)
            incident = None if entry is None else entry.state.incident
            if entry is None or incident is None or incident.started != delivery.alert.started:
                continue
            if entry.muted is not None:
                # What is still wrong when the silence ends is told to every channel.
                continue
            now = self._now()
            verdict = entry.state.verdict
            alert = replace(
                delivery.alert,
                id=alert_id(delivery.alert.id, channel, now),
                event=Event.PROBLEM,
                at=now,
                kind=incident.kind,
                explanation=delivery.alert.explanation if verdict is None else verdict.explanation,
                due=None if verdict is None else verdict.due,
            )
            again.append(Delivery(alert, channel))
            # It is replaced by the new alert, and not told twice.
            await self._revive([delivery])
            await self._store.settle(delivery, Outcome.REPLACED)
        if again and channel in self._queues:
            await self._store.enqueue(again)
            for delivery in again:
                self._queue(delivery)

    async def _revive(self, dead: Sequence[Delivery]) -> None:
        if dead:
            await self._store.enqueue(dead)
            self._board.count_dead(-len(dead))

    def _trouble(self) -> str | None:
        late = {name: age for name, queue in self._queues.items() if (age := queue.oldest()) > OVERDUE}
        words = [f"an alert has been pending for {name} for {span(age)}" for name, age in late.items()]
        words += [f"{name} did not accept the latest alert{self._why(name)}" for name in sorted(self._refused)]
        return "; ".join(words) or None

    def _why(self, channel: str) -> str:
        words = one_line(self._refusals.get(channel, ""))
        return f": {words}" if words else ""
