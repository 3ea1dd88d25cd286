"""
Sends committed alerts to the channels and records the outcome of each delivery in the store.

One alert takes these steps (contract, section 4): :meth:`Outbox.route` makes the deliveries, the store
commits them together with the change of state that caused the alert, :meth:`Outbox.accept` logs the alert and queues
its deliveries, and each channel's :class:`~pypinger.runtime.queue.DeliveryQueue` sends and settles them. After a crash
before the settling the delivery is still pending in the store, and the next start sends it again with the same id.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import partial

import msgspec
from msgspec.structs import replace
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from pypinger.domain.grouping import Place, Storms, places_of
from pypinger.domain.model import Alert, Delivery, Event, Outcome, Seconds, Task, TaskState
from pypinger.domain.routing import Routing
from pypinger.domain.times import span
from pypinger.domain.wording import headline
from pypinger.ports.clock import WallClock
from pypinger.ports.notifying import Notifier
from pypinger.ports.storing import Kept, Store, Told
from pypinger.runtime.alertlog import log_alert
from pypinger.runtime.board import LiveBoard
from pypinger.runtime.queue import DeliveryQueue
from pypinger.runtime.refusals import Refusals

#: Age in seconds from which a pending delivery makes ``/status`` an error (contract, section 7).
OVERDUE: Seconds = 300.0

#: Interval in seconds between two searches for expired deliveries of channels that are off.
EXPIRING: Seconds = 60.0


class OutboxSettings(msgspec.Struct, frozen=True):
    """
    Which channels there are and how alerts are sent; a reload replaces it.

    :ivar notifiers: the channels that are on; none with ``only_log``.
    :ivar routes: what each of them is sent.
    :ivar held: the channels that are off for a time, by ``only_log``: their deliveries wait.
    :ivar retry_for: seconds after its alert's cause during which a delivery is retried.
    :ivar group_wait: seconds during which the alerts of a storm are gathered; 0 turns grouping off.
    """

    notifiers: tuple[Notifier, ...]
    routes: Routing
    held: frozenset[str] = frozenset()
    retry_for: Seconds = 86_400.0
    group_wait: Seconds = 5.0


class Outbox:
    """The delivery queues of all channels."""

    _log = Logger()

    def __init__(
        self, reactor: IReactorTime, now: WallClock, store: Store, board: LiveBoard, settings: OutboxSettings
    ) -> None:
        self._reactor = reactor
        self._now = now
        self._store = store
        self._board = board
        self._settings = settings
        self._queues: dict[str, DeliveryQueue] = {}
        # Channels that are off: their queues, or a list of deliveries if they have not been on since the start.
        self._off: dict[str, DeliveryQueue] = {}
        self._parked: dict[str, list[Delivery]] = {}
        # What the store kept of channels that have not been on since the start.
        self._told: dict[str, Sequence[Told]] = {}
        self._storms = Storms()
        self._notifiers: dict[str, Notifier] = {}
        self._refusals = Refusals(now, store, board, self._send_again)
        self._expiring = LoopingCall(self._expire)
        self._expiring.clock = reactor
        self.update(settings)
        board.add_source(self._trouble)
        board.dead_channels_from(lambda: self._refusals.channels)

    def resume(self, kept: Kept) -> None:
        """Take up the deliveries that the store kept, and the messages of incidents."""
        deliveries = kept.deliveries
        self._told = dict(kept.told)
        for name, queue in self._queues.items():
            queue.remember(self._told.pop(name, ()))
        self._board.count_dead(kept.dead)
        self._refusals.resume(kept.dead_channels & self._queues.keys(), kept.refusals)
        for entry in self._board.entries():
            # The end of an incident that a silence held back may never be announced.
            if entry.state.incident is not None and entry.state.incident.told:
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
        self._expiring.start(EXPIRING)

    def update(self, settings: OutboxSettings) -> None:
        """
        Use these channels from now on; those that stay keep their queues and the message under way.

        Deliveries to a channel that is held wait until it is on again, or are dead after ``retry_for``; those to a
        channel that is gone are dead.
        """
        self._settings = settings
        before, self._queues = self._queues, {}
        for notifier in settings.notifiers:
            name = notifier.name
            queue = before.pop(name, self._off.pop(name, None))
            if queue is None:
                queue = self._make(notifier)
                queue.remember(self._told.pop(name, ()))
            else:
                queue.update(notifier, settings.retry_for, settings.group_wait)
            self._queues[name] = queue
            queue.resume()
            for delivery in self._parked.pop(name, ()):
                self._hand_over(delivery)
        changed = [name for name, notifier in self._notifiers.items() if notifier not in settings.notifiers]
        known = self._notifiers.keys()
        self._notifiers = {notifier.name: notifier for notifier in settings.notifiers}
        self._refusals.keep(self._queues.keys(), changed)
        if self._expiring.running:
            for name in self._notifiers.keys() - known:
                self._refusals.came_back(name)
        for name, queue in before.items():
            queue.pause()
            self._off[name] = queue
        if self._expiring.running:
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
        storms = {alert.id: self._note_storm(alert, over) for alert in alerts}
        if closed is not None:
            self._note_end(closed, over)
        for delivery in deliveries:
            self._queue(delivery, storms.get(delivery.alert.id, ()))
        for queue in self._queues.values():
            for place in over:
                queue.settled(place, calm=True)

    def expect(self, origin: str, seconds: Seconds) -> None:
        """Hold the groups of an origin for so many seconds and ``group_wait``, or until :meth:`settled`."""
        for queue in self._queues.values():
            queue.expect(("origin", origin), seconds + self._settings.group_wait)

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
        return list(self._notifiers.values())

    @property
    def refused(self) -> frozenset[str]:
        """The channels whose latest delivery is dead."""
        return self._refusals.channels

    def healthy(self) -> bool:
        """Whether alerts reach people: no channel is on, or one takes messages, as far as is known."""
        working = (name not in self.refused and queue.oldest() <= OVERDUE for name, queue in self._queues.items())
        return not self._queues or any(working)

    async def announce(self, alert: Alert, lasted: Seconds | None = None, to: Collection[str] | None = None) -> None:
        """Commit and send an alert of the daemon: see :meth:`pypinger.domain.routing.Routing.of_daemon`."""
        deliveries = self._settings.routes.of_daemon(alert, lasted, to)
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
            self._note_end(alert.task, over)
        return storms

    def _note_end(self, task: str, over: list[Place]) -> None:
        for kind, place in self._storms.closed(task):
            self._log.info("STORM over: no task on {kind} {place} is in trouble", kind=kind, place=place)
            over.append((kind, place))

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
        """Give up deliveries that have waited too long for a channel that is held, or whose channel is gone."""
        now = self._now()
        for name in [*self._off, *self._parked]:
            gone = name not in self._settings.held
            limit = float("-inf") if gone else self._settings.retry_for
            if name in self._off:
                old = self._off[name].expire(limit)
            else:
                waiting = self._parked[name]
                old = [delivery for delivery in waiting if now - delivery.alert.at > limit]
                self._parked[name] = [delivery for delivery in waiting if delivery not in old]
            for delivery in old:
                self._log.error(
                    "{name} {why}, [{id}] is given up; the alert was: {alert}",
                    name=name,
                    why="is no longer configured" if gone else "has been off too long",
                    id=delivery.alert.id,
                    alert=headline((delivery.alert,)),
                )
                words = "the channel is no longer configured" if gone else "the channel was off"
                self._settle_aside(replace(delivery, words=words), Outcome.DEAD)

    def _settle_aside(self, delivery: Delivery, outcome: Outcome) -> None:
        settled = Deferred.fromCoroutine(self._settle(delivery, outcome))
        settled.addErrback(lambda failure: self._log.failure("settling [{id}]", failure, id=delivery.alert.id))

    async def _settle(self, delivery: Delivery, outcome: Outcome) -> None:
        if outcome is not Outcome.RETRY:
            self._board.count_undelivered(-1)
        if outcome is Outcome.DEAD:
            self._board.count_dead(1)
            # One that is off is not expected to work.
            self._refusals.refused(delivery, expected=delivery.channel in self._queues)
        await self._store.settle(delivery, outcome)
        if outcome is Outcome.SENT:
            self._refusals.works(delivery.channel)

    async def _send_again(self, deliveries: Sequence[Delivery]) -> None:
        """Commit and send alerts of one channel."""
        if deliveries and deliveries[0].channel in self._queues:
            await self._store.enqueue(deliveries)
            for delivery in deliveries:
                self._queue(delivery)

    def _make(self, notifier: Notifier) -> DeliveryQueue:
        settings, again = self._settings, partial(self._queue, fresh=True)
        return DeliveryQueue(
            self._reactor, self._now, notifier, settings.retry_for, settings.group_wait, self._settle, again
        )

    def _trouble(self) -> str | None:
        late = {name: age for name, queue in self._queues.items() if (age := queue.oldest()) > OVERDUE}
        words = [f"an alert has been pending for {name} for {span(age)}" for name, age in late.items()]
        words += self._refusals.troubles()
        return "; ".join(words) or None
