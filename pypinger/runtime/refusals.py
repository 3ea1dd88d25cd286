"""
Channels whose latest delivery is dead, and the open incidents they get once they work again (contract, section 4).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence

from msgspec.structs import replace
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from pypinger.domain.alerting import alert_id
from pypinger.domain.model import Delivery, Event, Outcome
from pypinger.domain.texts import one_line
from pypinger.ports.clock import WallClock
from pypinger.ports.storing import Store
from pypinger.runtime.board import LiveBoard
from pypinger.runtime.leases import unless_lost

_PROBLEMS = frozenset({Event.PROBLEM, Event.FLAPPING})


class Refusals:
    """
    Knows which channels do not work.

    :param send: commits and sends deliveries of one channel.
    """

    _log = Logger()

    def __init__(
        self, now: WallClock, store: Store, board: LiveBoard, send: Callable[[Sequence[Delivery]], Awaitable[None]]
    ) -> None:
        self._now = now
        self._store = store
        self._board = board
        self._send = send
        self._channels: set[str] = set()
        # Why, as far as it is known.
        self._words: dict[str, str] = {}

    @property
    def channels(self) -> frozenset[str]:
        """The channels whose latest delivery is dead."""
        return frozenset(self._channels)

    def resume(self, channels: Iterable[str], words: Mapping[str, str]) -> None:
        """Take up what the store kept."""
        self._channels.update(channels)
        self._words.update(words)

    def keep(self, present: Collection[str], changed: Collection[str]) -> None:
        """Forget the channels that are not present; those whose settings have changed count as working."""
        self._channels.intersection_update(present)
        for channel in self._channels.intersection(changed):
            self.works(channel)

    def forget(self, channels: Collection[str]) -> None:
        """Other instances send through these from now on."""
        self._channels.difference_update(channels)

    def refused(self, delivery: Delivery, *, expected: bool) -> None:
        """
        A delivery is dead.

        :param expected: whether its channel is expected to work.
        """
        if expected:
            self._channels.add(delivery.channel)
        self._words[delivery.channel] = delivery.words

    def works(self, channel: str) -> None:
        """A channel has accepted a message, or has other settings."""
        if channel in self._channels:
            self._channels.discard(channel)
            self.came_back(channel)

    def came_back(self, channel: str) -> None:
        """A channel is on again: send it the problems that died while it was off or did not work."""
        retold = Deferred.fromCoroutine(self._retell(channel))
        retold.addErrback(
            unless_lost(lambda failure: self._log.failure("repeating problems for {name}", failure, name=channel))
        )

    async def revive(self, dead: Sequence[Delivery]) -> None:
        """Make dead deliveries pending."""
        if dead:
            await self._store.enqueue(dead)
            self._board.count_dead(-len(dead))

    def troubles(self) -> list[str]:
        """Return a line for each channel that does not work."""
        return [f"{name} did not accept the latest alert{self._why(name)}" for name in sorted(self._channels)]

    def _why(self, channel: str) -> str:
        words = one_line(self._words.get(channel, ""))
        return f": {words}" if words else ""

    async def _retell(self, channel: str) -> None:
        """Send the channel the open incidents whose first alert died there, as new alerts."""
        died: dict[str, Delivery] = {}
        for delivery in await self._store.dead():
            if delivery.channel == channel and (delivery.alert.event in _PROBLEMS or delivery.alert.joining):
                died[delivery.alert.task] = delivery
        again: list[Delivery] = []
        for task_id, delivery in died.items():
            entry = self._board.by_id(task_id)
            incident = None if entry is None else entry.state.incident
            if entry is None or incident is None or incident.started != delivery.alert.started:
                continue
            if entry.muted is not None:
                # The end of the silence alerts every channel to what is still wrong.
                continue
            now = self._now()
            verdict = entry.state.verdict
            alert = replace(
                delivery.alert,
                id=alert_id(delivery.alert.id, channel, now),
                event=Event.REMINDER if delivery.alert.joining else Event.PROBLEM,
                at=now,
                kind=incident.kind,
                explanation=delivery.alert.explanation if verdict is None else verdict.explanation,
                due=None if verdict is None else verdict.due,
            )
            again.append(Delivery(alert, channel))
            # It is replaced by the new alert, and not told twice.
            await self.revive([delivery])
            await self._store.settle(delivery, Outcome.REPLACED)
        await self._send(again)
