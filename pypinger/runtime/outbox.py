"""
The outbox: takes committed alerts to the channels, and remembers in the store how each delivery stands.

The order of things for one alert (contract, section 4): :meth:`Outbox.address` makes a delivery per channel, the store
commits them together with the change of state that caused the alert, :meth:`Outbox.accept` logs the alert and queues
its deliveries, and each channel's :class:`~pypinger.runtime.lane.Lane` sends and settles them. A crash anywhere before
the settling leaves the delivery pending in the store, and the next start sends it again with the same id.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger, LogLevel

from pypinger.domain.model import Alert, Delivery, Event, Outcome, Seconds
from pypinger.domain.times import span
from pypinger.domain.wording import headline, plain
from pypinger.ports.clock import WallClock
from pypinger.ports.notifying import Notifier
from pypinger.ports.storing import Store
from pypinger.runtime.board import Board
from pypinger.runtime.lane import Lane

#: After how many seconds a pending delivery is worth a complaint in ``/status`` (contract, section 7).
OVERDUE: Seconds = 300.0

#: How often it is looked, in seconds, whether what waits for a channel that is off has waited for too long.
EXPIRING: Seconds = 60.0

_BAD = {Event.PROBLEM, Event.CHANGED, Event.REMINDER}


class Outbox:
    """
    Every channel's lane, and the record of what became of each delivery.

    :param notifiers: the channels that are on; none with ``only_log``.
    :param retry_for: for how many seconds after its alert a delivery is tried.
    :param group_wait: for how many seconds the alerts of a storm are gathered; 0: not at all.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: IReactorTime,
        now: WallClock,
        store: Store,
        board: Board,
        notifiers: Sequence[Notifier],
        retry_for: Seconds,
        group_wait: Seconds,
    ) -> None:
        self._reactor = reactor
        self._now = now
        self._store = store
        self._board = board
        self._retry_for = retry_for
        self._lanes: dict[str, Lane] = {}
        # What waits for channels that are off: in their lanes, or in a list if they have not been on since the start.
        self._off: dict[str, Lane] = {}
        self._parked: dict[str, list[Delivery]] = {}
        self._expiring = LoopingCall(self._expire)
        self._expiring.clock = reactor
        self.update(notifiers, retry_for, group_wait)
        board.add_source(self._trouble)

    def resume(self, deliveries: Sequence[Delivery], dead: int) -> None:
        """Go on with what the store kept from before."""
        self._board.dead = dead
        for name in {delivery.channel for delivery in deliveries} & self._lanes.keys():
            self._lanes[name].go_easy()
        for delivery in deliveries:
            self._queue(delivery)
        for name, parked in self._parked.items():
            self._log.warn("{count} deliveries wait for {name}, which is off", count=len(parked), name=name)
        self._expiring.start(EXPIRING, now=False)

    def update(self, notifiers: Sequence[Notifier], retry_for: Seconds, group_wait: Seconds) -> None:
        """
        Send through these channels from now on; those that stay keep their queues and the message under way.

        What is for a channel that is off waits until the channel is on again, or is given up after `retry_for`.
        """
        self._retry_for = retry_for
        before, self._lanes = self._lanes, {}
        for notifier in notifiers:
            name = notifier.name
            lane = before.pop(name, self._off.pop(name, None))
            if lane is None:
                lane = Lane(self._reactor, self._now, notifier, retry_for, group_wait, self._settle)
            else:
                lane.update(notifier, retry_for, group_wait)
            self._lanes[name] = lane
            lane.go_on()
            for delivery in self._parked.pop(name, ()):
                self._hand_over(delivery)
        for name, lane in before.items():
            lane.pause()
            self._off[name] = lane
            if len(lane):
                self._log.warn("{count} deliveries wait for {name}, which is off", count=len(lane), name=name)
        for lane in self._off.values():
            lane.retry_for = retry_for

    def address(self, alerts: Sequence[Alert]) -> tuple[Delivery, ...]:
        """One delivery per alert and channel, for the store to commit."""
        return tuple(Delivery(alert, name) for alert in alerts for name in self._lanes)

    def accept(self, alerts: Sequence[Alert], deliveries: Sequence[Delivery]) -> None:
        """Log committed alerts, and send their deliveries."""
        for alert in alerts:
            level = LogLevel.warn if alert.event in _BAD else LogLevel.info
            text = "; ".join(plain((alert,)).splitlines())
            self._log.emit(level, "{text} [{id}]", text=text, id=alert.id)
        for delivery in deliveries:
            self._queue(delivery)

    async def announce(self, alert: Alert) -> None:
        """Keep and send an alert of the daemon itself."""
        deliveries = self.address((alert,))
        await self._store.enqueue(deliveries)
        self.accept((alert,), deliveries)

    async def stop(self, limit: Seconds) -> None:
        """Give pending deliveries up to `limit` seconds, then send nothing more."""
        if self._expiring.running:
            self._expiring.stop()
        lanes = [*self._lanes.values(), *self._off.values()]
        deadline = self._reactor.seconds() + limit
        drained = DeferredList([lane.drain(deadline) for lane in lanes], consumeErrors=True)
        await drained.addTimeout(limit, self._reactor, onTimeoutCancel=lambda _, __: None)
        for lane in lanes:
            lane.close()
        if self._board.undelivered:
            self._log.warn("{count} deliveries are still pending", count=self._board.undelivered)

    def _queue(self, delivery: Delivery) -> None:
        self._board.undelivered += 1
        self._hand_over(delivery)

    def _hand_over(self, delivery: Delivery) -> None:
        lane = self._lanes.get(delivery.channel, self._off.get(delivery.channel))
        if lane is None:
            self._parked.setdefault(delivery.channel, []).append(delivery)
            return
        replaced = lane.accept(delivery)
        if replaced is not None:
            self._settle_aside(replaced, Outcome.REPLACED)

    def _expire(self) -> None:
        """Give up what has waited for longer than `retry_for` for a channel that is off."""
        now = self._now()
        old = [delivery for lane in self._off.values() for delivery in lane.expire()]
        for name, parked in self._parked.items():
            old += [delivery for delivery in parked if now - delivery.alert.at > self._retry_for]
            self._parked[name] = [delivery for delivery in parked if now - delivery.alert.at <= self._retry_for]
        for delivery in old:
            self._log.error(
                "{name} has been off for too long: [{id}] is given up; the alert was: {alert}",
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
            self._board.undelivered -= 1
        if outcome is Outcome.DEAD:
            self._board.dead += 1
        await self._store.settle(delivery, outcome)

    def _trouble(self) -> str | None:
        late = {name: age for name, lane in self._lanes.items() if (age := lane.oldest()) > OVERDUE}
        if not late:
            return None
        return "; ".join(f"alerts have been waiting for {name} for {span(age)}" for name, age in late.items())
