"""The delivery queues of all channels: those that are on, and those that were."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from pypinger.domain.model import Delivery
from pypinger.ports.notifying import Notifier
from pypinger.ports.storing import Told
from pypinger.runtime.offline import Offline
from pypinger.runtime.outboxsettings import OutboxSettings
from pypinger.runtime.queue import DeliveryQueue


class Queues:
    """
    Finds the queue of a channel.

    :param make: makes one.
    :ivar on: the queues of the channels that are on.
    :ivar notifiers: their notifiers.
    :ivar offline: what waits for the others.
    """

    def __init__(self, make: Callable[[Notifier], DeliveryQueue]) -> None:
        self._make = make
        self.on: dict[str, DeliveryQueue] = {}
        self.notifiers: dict[str, Notifier] = {}
        self.offline = Offline()
        # What the store kept of channels that have not been on since the start.
        self._told: dict[str, Sequence[Told]] = {}

    def of(self, channel: str) -> DeliveryQueue | None:
        """The queue of a channel; None if it has not been on since the start."""
        queue = self.on.get(channel)
        # An empty queue is false.
        return self.offline.queue(channel) if queue is None else queue

    def everything(self) -> list[DeliveryQueue]:
        """All queues."""
        return [*self.on.values(), *self.offline.queues]

    def remember(self, told: Mapping[str, Sequence[Told]]) -> None:
        """Take up the messages of incidents that the store kept."""
        self._told.update(told)
        for name, queue in self.on.items():
            queue.remember(self._told.pop(name, ()))

    def update(self, settings: OutboxSettings) -> tuple[set[str], list[str], list[Delivery]]:
        """
        Use these channels.

        :returns: the channels that go on, those with another notifier, and what waited for those that go on.
        """
        known, before, waited = self.notifiers, self.on, list[Delivery]()
        self.on = {}
        for notifier in settings.notifiers:
            name = notifier.name
            queue = before.pop(name, self.offline.take(name))
            if queue is None:
                queue = self._make(notifier)
                queue.remember(self._told.pop(name, ()))
            else:
                queue.update(notifier, settings.retry_for, settings.group_wait)
            self.on[name] = queue
            queue.resume()
            waited += self.offline.unpark(name)
        changed = [name for name, notifier in known.items() if notifier not in settings.notifiers]
        self.notifiers = {notifier.name: notifier for notifier in settings.notifiers}
        for name, queue in before.items():
            self.offline.put(name, queue)
        return self.notifiers.keys() - known.keys(), changed, waited

    def forget(self, channels: Collection[str]) -> int:
        """
        Drop the queues of channels; those that are on get empty ones.

        :returns: the number of deliveries that waited for those that have not been on.
        """
        parked = 0
        for name in channels:
            if (queue := self.of(name)) is not None:
                queue.drop()
            self.offline.take(name)
            self._told.pop(name, None)
            parked += len(self.offline.unpark(name))
            if name in self.on:
                self.on[name] = self._make(self.notifiers[name])
        return parked
