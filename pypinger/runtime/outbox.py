"""
Sends committed alerts to the channels and records the outcome of each delivery in the store.

One alert takes these steps (contract, section 4): :meth:`Outbox.route` makes the deliveries, the store
commits them together with the change of state that caused the alert, :meth:`Outbox.accept` logs the alert and queues
its deliveries, and each channel's :class:`~pypinger.runtime.queue.DeliveryQueue` sends and settles them. After a crash
before the settling the delivery is still pending in the store, and the next start sends it again with the same id.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from functools import partial

from msgspec.structs import replace
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from pypinger.domain.grouping import Place
from pypinger.domain.model import Alert, Delivery, Outcome, Seconds, Task, TaskState
from pypinger.domain.routing import Routing
from pypinger.domain.times import span
from pypinger.ports.clock import WallClock
from pypinger.ports.notifying import Notifier
from pypinger.ports.showing import Entry
from pypinger.ports.storing import Kept, Store, StoreError
from pypinger.runtime.alertlog import log_alert
from pypinger.runtime.board import LiveBoard
from pypinger.runtime.duty import Duty
from pypinger.runtime.leases import unless_lost
from pypinger.runtime.outboxsettings import OutboxSettings
from pypinger.runtime.queue import DeliveryQueue
from pypinger.runtime.queues import Queues
from pypinger.runtime.refusals import Refusals
from pypinger.runtime.storms import StormWatch

#: Age in seconds from which a pending delivery makes ``/status`` an error (contract, section 7).
OVERDUE: Seconds = 300.0

#: Interval in seconds between two searches for expired deliveries of channels that are off.
EXPIRING: Seconds = 60.0


class Outbox:
    """
    The delivery queues of all channels.

    :ivar storms: where storms are open.
    :ivar duty: the channels that this instance sends through.
    """

    _log = Logger()

    def __init__(
        self, reactor: IReactorTime, now: WallClock, store: Store, board: LiveBoard, settings: OutboxSettings
    ) -> None:
        self._reactor = reactor
        self._now = now
        self._store = store
        self._board = board
        self._settings = settings
        self._queues = Queues(self._make)
        self.storms = StormWatch()
        self.duty = Duty(reactor.seconds)
        # Channels that a reload has put on, and through which this instance does not send yet.
        self._back: set[str] = set()
        self._refusals = Refusals(now, store, board, self._send_again)
        self._expiring = LoopingCall(self._expire)
        self._expiring.clock = reactor
        self.update(settings)
        board.add_source(self._trouble)
        board.dead_channels_from(lambda: self._refusals.channels)

    def resume(self, kept: Kept) -> None:
        """Take up the deliveries that the store kept, and the messages of incidents."""
        self.storms.resume(self._board.entries())
        if kept.channels is None:
            self._take_up(kept)
        else:
            self.gain(kept)
        self._expiring.start(EXPIRING)

    def share(self, alive: Callable[[], bool]) -> None:
        """
        Send only through the channels that :meth:`gain` gives from now on.

        :param alive: whether a message may be sent now.
        """
        self.duty.share(alive)

    def gain(self, part: Kept) -> None:
        """Send through these channels, too, beginning with what is pending there."""
        self.duty.gain(part.channels or frozenset(), part.unlisted, part.deliveries)
        self._take_up(part)
        if self._expiring.running:
            self._come_back()
            self._expire()

    async def leave(self, channels: Collection[str]) -> None:
        """Send through these channels no longer; returns when no message is under way there."""
        queues = [queue for name in channels if (queue := self._queues.of(name)) is not None]
        await DeferredList([queue.rest() for queue in queues])
        if self.duty.owned.isdisjoint(channels):
            # The lease was lost meanwhile.
            return
        self._drop(channels, sum(map(len, queues)))
        counting = Deferred.fromCoroutine(self._count_dead())
        counting.addErrback(lambda failure: self._log.failure("counting dead deliveries", failure))

    async def _count_dead(self) -> None:
        try:
            dead = await self._store.dead()
        except StoreError:
            return
        self._board.count_dead(sum(self.duty.owns(each.channel) for each in dead) - self._board.dead)

    def drop(self) -> None:
        """Forget all channels at once, and abandon what is under way."""
        self._drop(self.duty.owned, 0)
        self._board.count_none()

    def receive(self, deliveries: Sequence[Delivery]) -> None:
        """Send deliveries that other instances have committed."""
        over: list[Place] = []
        storms: dict[str, tuple[Place, ...]] = {}
        for delivery in deliveries:
            if delivery.alert.id not in storms:
                storms[delivery.alert.id] = self.storms.note(delivery.alert, over)
            self._queue(delivery, storms[delivery.alert.id])
        self._calm(over)

    def compare(self, entries: Iterable[Entry]) -> None:
        """Find storms by the states of other instances' tasks."""
        self._calm(self.storms.compare(entries))

    def _come_back(self) -> None:
        """Repeat what died of channels that are on again, once this instance sends through them."""
        for name in filter(self.duty.owns, list(self._back)):
            self._back.discard(name)
            self._refusals.came_back(name)

    def _take_up(self, kept: Kept) -> None:
        deliveries, queues = kept.deliveries, self._queues.on
        self._queues.remember(kept.told)
        self._board.count_dead(kept.dead)
        self._refusals.resume(kept.dead_channels & queues.keys(), kept.refusals)
        with_news = {delivery.channel for delivery in deliveries} & queues.keys()
        for name in with_news:
            queues[name].keep_pace()
            # Nothing is sent before all is known: what is newer replaces reminders.
            queues[name].pause()
        for delivery in deliveries:
            self._board.count_undelivered(1)
            self._hand_over(delivery)
        for name in with_news:
            queues[name].resume()

    def _drop(self, channels: Collection[str], pending: int) -> None:
        """Forget channels, with so many pending deliveries in their queues."""
        self.duty.leave(channels)
        self._board.count_undelivered(-pending - self._queues.forget(channels))
        self._refusals.forget(channels)

    def update(self, settings: OutboxSettings) -> None:
        """
        Use these channels from now on; those that stay keep their queues and the message under way.

        Deliveries to a channel that is held wait until it is on again, or are dead after ``retry_for``; those to a
        channel that is gone are dead.
        """
        self._settings = settings
        added, changed, waited = self._queues.update(settings)
        for delivery in waited:
            self._hand_over(delivery)
        self._refusals.keep(self._queues.on.keys(), changed)
        if self._expiring.running:
            self._back |= added
            self._come_back()
            self._expire()

    def route(
        self, task: Task, before: TaskState, after: TaskState, alerts: Sequence[Alert]
    ) -> tuple[TaskState, tuple[Delivery, ...]]:
        """See :meth:`pypinger.domain.routing.Routing.route`; the store commits the result."""
        return self._settings.routes.route(task, before, after, alerts)

    @property
    def routes(self) -> Routing:
        """What each channel is sent."""
        return self._settings.routes

    def accept(self, alerts: Sequence[Alert], deliveries: Sequence[Delivery], closed: str | None = None) -> None:
        """
        Log committed alerts and send their deliveries.

        :param closed: the id of a task whose incident has ended; a silence may hold that news back.
        """
        for alert in alerts:
            log_alert(self._log, alert)
        over: list[Place] = []
        storms = {alert.id: self.storms.note(alert, over) for alert in alerts}
        if closed is not None:
            self.storms.end(closed, over)
        for delivery in deliveries:
            self._queue(delivery, storms.get(delivery.alert.id, ()))
        self._calm(over)

    def expect(self, origin: str, seconds: Seconds) -> None:
        """Hold the groups of an origin for so many seconds and ``group_wait``, or until :meth:`settled`."""
        for queue in self._queues.on.values():
            queue.expect(("origin", origin), seconds + self._settings.group_wait)

    def settled(self, origin: str) -> None:
        """No more alerts of an origin are expected."""
        for queue in self._queues.on.values():
            queue.settled(("origin", origin))

    async def resend(self) -> int:
        """
        Try every dead delivery again whose channel is on.

        :returns: how many.
        :raises StoreError: the store cannot be read.
        """
        dead = [
            delivery
            for delivery in await self._store.dead()
            if delivery.channel in self._queues.on and self.duty.owns(delivery.channel)
        ]
        await self._refusals.revive(dead)
        for delivery in dead:
            self._queue(replace(delivery, words=""), fresh=True)
        return len(dead)

    def works(self, channel: str) -> None:
        """Take note that a channel accepted a message beside the queue."""
        self._refusals.works(channel)

    @property
    def notifiers(self) -> list[Notifier]:
        """The channels that are on."""
        return list(self._queues.notifiers.values())

    @property
    def refused(self) -> frozenset[str]:
        """The channels whose latest delivery is dead."""
        return self._refusals.channels

    def healthy(self) -> bool:
        """Whether alerts reach people: no channel is on, or one takes messages, as far as is known."""
        dead = self._board.daemon().dead_channels
        working = (name not in dead and queue.oldest() <= OVERDUE for name, queue in self._queues.on.items())
        return not self._queues.on or any(working)

    async def announce(self, alert: Alert, lasted: Seconds | None = None, to: Collection[str] | None = None) -> None:
        """Commit and send an alert of the daemon: see :meth:`pypinger.domain.routing.Routing.of_daemon`."""
        deliveries = self._settings.routes.of_daemon(alert, lasted, to)
        await self._store.enqueue(deliveries)
        self.accept((alert,), deliveries)

    async def stop(self, limit: Seconds, *, drain: bool = True) -> None:
        """
        Give pending deliveries up to `limit` seconds, then stop sending.

        :param drain: False to give it to the messages under way alone: others send the rest.
        """
        if self._expiring.running:
            self._expiring.stop()
        queues = self._queues.everything()
        deadline = self._reactor.seconds() + limit
        ending = [queue.drain(deadline) if drain else queue.rest() for queue in queues]
        drained = DeferredList(ending, consumeErrors=True)
        await drained.addTimeout(limit, self._reactor, onTimeoutCancel=lambda _, __: None)
        for queue in queues:
            queue.close()
        if self._board.undelivered and drain:
            self._log.warn("{count} deliveries are still pending", count=self._board.undelivered)

    def _calm(self, over: Iterable[Place]) -> None:
        """Storms are over."""
        for place in over:
            for queue in self._queues.on.values():
                queue.settled(place, calm=True)

    def _queue(self, delivery: Delivery, storms: Collection[Place] = (), *, fresh: bool = False) -> None:
        if self.duty.takes(delivery, fresh=fresh):
            self._board.count_undelivered(1)
            self._hand_over(delivery, storms, fresh=fresh)

    def _hand_over(self, delivery: Delivery, storms: Collection[Place] = (), *, fresh: bool = False) -> None:
        queue = self._queues.of(delivery.channel)
        if queue is None:
            self._queues.offline.park(delivery)
            return
        for gone in queue.accept(delivery, storms, fresh=fresh):
            self._settle_aside(gone, Outcome.REPLACED)

    def _expire(self) -> None:
        """Give up deliveries that have waited too long for a channel that is held, or whose channel is gone."""
        # Where several instances share the channels, another one may have a channel that this one has not.
        gone = self.duty.orphans(self._queues.on.keys() | self._settings.held)
        settings = self._settings
        for delivery in self._queues.offline.expire(self._now(), settings.held, settings.retry_for, gone):
            self._settle_aside(delivery, Outcome.DEAD)

    def _settle_aside(self, delivery: Delivery, outcome: Outcome) -> None:
        settled = Deferred.fromCoroutine(self._settle(delivery, outcome))
        settled.addErrback(
            unless_lost(lambda failure: self._log.failure("settling [{id}]", failure, id=delivery.alert.id))
        )

    async def _settle(self, delivery: Delivery, outcome: Outcome) -> None:
        if outcome is not Outcome.RETRY:
            self._board.count_undelivered(-1)
        if outcome is Outcome.DEAD:
            self._board.count_dead(1)
            # One that is off is not expected to work.
            self._refusals.refused(delivery, expected=delivery.channel in self._queues.on)
        await self._store.settle(delivery, outcome)
        if outcome is Outcome.SENT:
            self._refusals.works(delivery.channel)

    async def _send_again(self, deliveries: Sequence[Delivery]) -> None:
        """Commit and send alerts of one channel."""
        if deliveries and deliveries[0].channel in self._queues.on and self.duty.owns(deliveries[0].channel):
            await self._store.enqueue(deliveries)
            for delivery in deliveries:
                self._queue(delivery)

    def _make(self, notifier: Notifier) -> DeliveryQueue:
        settings, again = self._settings, partial(self._queue, fresh=True)
        queue = DeliveryQueue(
            self._reactor, self._now, notifier, settings.retry_for, settings.group_wait, self._settle, again
        )
        queue.ask_before(self.duty.alive)
        return queue

    def _trouble(self) -> str | None:
        late = {name: age for name, queue in self._queues.on.items() if (age := queue.oldest()) > OVERDUE}
        words = [f"an alert has been pending for {name} for {span(age)}" for name, age in late.items()]
        words += self._refusals.troubles()
        return "; ".join(words) or None
