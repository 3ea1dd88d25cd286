"""What waits for channels that are off: held for a time by ``only_log``, or no longer configured."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from msgspec.structs import replace
from twisted.logger import Logger

from pypinger.domain.model import Delivery, Instant, Seconds
from pypinger.domain.wording import headline
from pypinger.runtime.queue import DeliveryQueue


class Offline:
    """The channels that are off: their queues, or a list of deliveries if they have not been on since the start."""

    _log = Logger()

    def __init__(self) -> None:
        self._queues: dict[str, DeliveryQueue] = {}
        self._parked: dict[str, list[Delivery]] = {}

    @property
    def queues(self) -> list[DeliveryQueue]:
        """The queues of channels that have been on."""
        return list(self._queues.values())

    def queue(self, channel: str) -> DeliveryQueue | None:
        """The queue of a channel that has been on."""
        return self._queues.get(channel)

    def put(self, channel: str, queue: DeliveryQueue) -> None:
        """A channel goes off."""
        queue.pause()
        self._queues[channel] = queue

    def take(self, channel: str) -> DeliveryQueue | None:
        """A channel is on again, or forgotten: remove and return its queue."""
        return self._queues.pop(channel, None)

    def park(self, delivery: Delivery) -> None:
        """Keep a delivery for a channel without a queue."""
        self._parked.setdefault(delivery.channel, []).append(delivery)

    def unpark(self, channel: str) -> Sequence[Delivery]:
        """Remove and return what was kept for a channel without a queue."""
        return self._parked.pop(channel, ())

    def expire(
        self, now: Instant, held: Collection[str], retry_for: Seconds, gone: Collection[str] | None
    ) -> list[Delivery]:
        """
        Remove, log and return what has waited too long for a channel that is held, or whose channel is gone.

        :param held: the channels that are off for a time.
        :param retry_for: seconds that their deliveries wait.
        :param gone: which of the others are gone; None for all of them.
        """
        expired: list[Delivery] = []
        for name in [*self._queues, *self._parked]:
            off = name in held
            if not off and gone is not None and name not in gone:
                continue
            limit = retry_for if off else float("-inf")
            if name in self._queues:
                old = self._queues[name].expire(limit)
            else:
                waiting = self._parked[name]
                old = [delivery for delivery in waiting if now - delivery.alert.at > limit]
                self._parked[name] = [delivery for delivery in waiting if delivery not in old]
            for delivery in old:
                self._log.error(
                    "{name} {why}, [{id}] is given up; the alert was: {alert}",
                    name=name,
                    why="has been off too long" if off else "is no longer configured",
                    id=delivery.alert.id,
                    alert=headline((delivery.alert,)),
                )
                words = "the channel was off" if off else "the channel is no longer configured"
                expired.append(replace(delivery, words=words))
        return expired
