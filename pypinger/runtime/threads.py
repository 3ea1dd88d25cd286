"""
The messages of one channel whose incidents can still change (contract, section 5, ``[slack]``).

The first message of an incident is the incident's, alone or with others of its group. Later alerts of it reply to that
message, and the message is outdated until :mod:`~pypinger.runtime.updates` has updated it. This module does no I/O.

Note [Replies]
~~~~~~~~~~~~~~
A message replies to one thread. A group whose incidents have up to :data:`MOST_THREADS` threads is sent as one reply to
each; with more of them it is one message of the channel, because one reply each would hold up other news for minutes.
In both cases all messages of these incidents are updated. Reminders never reply.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import TypeAlias

from pypinger.domain.alerting import incident_key
from pypinger.domain.model import Alert, Event, Instant, Seconds
from pypinger.domain.standing import is_over
from pypinger.ports.notifying import Notifier, Receipt, ThreadedNotifier
from pypinger.ports.storing import Told
from pypinger.runtime.pending import Pending, Waiting

#: To how many threads the alerts of one group reply at most.
MOST_THREADS = 3

#: How many messages are known, and how many updates wait; beyond that the oldest are dropped.
MESSAGES = 5_000
UPDATES = 200

#: After a restart messages are updated if the latest alert of theirs was made in these last seconds.
RECENT: Seconds = 3600.0

#: The reference of each alert's message; None for an alert that belongs to no message.
References: TypeAlias = list[str | None]

_STORY = frozenset({Event.PROBLEM, Event.FLAPPING, Event.CHANGED, Event.RECOVERED, Event.ACKNOWLEDGED})
_FIRST = frozenset({Event.PROBLEM, Event.FLAPPING})


class Threads:
    """The messages of one channel by their references, as a :class:`ThreadedNotifier` gives them."""

    def __init__(self) -> None:
        # Incident -> the reference of its message; reference -> the latest alert of each incident.
        self._references: dict[str, str] = {}
        self._messages: dict[str, dict[str, Alert]] = {}
        # References of outdated messages, with the number of failed updates.
        self._outdated: OrderedDict[str, int] = OrderedDict()

    def use(self, notifier: Notifier) -> None:
        """The channel has other settings: forget all messages if it no longer has threads."""
        if not isinstance(notifier, ThreadedNotifier):
            self._references.clear()
            self._messages.clear()
            self._outdated.clear()

    def remember(self, notifier: Notifier, told: Iterable[Told], now: Instant) -> None:
        """Take up what the store kept, oldest first."""
        for each in told:
            key = incident_key(each.alert)
            if key is not None:
                self._put(key, each.alert, each.reference)
        for reference, alerts in list(self._messages.items()):
            if any(alert.event not in _FIRST and alert.at >= now - RECENT for alert in alerts.values()):
                self._outdate(reference)
            else:
                self._tidy(reference)
        self.use(notifier)

    def take(self, pending: Pending, now: Seconds) -> list[Waiting]:
        """
        Take the next message, as :meth:`Pending.take` does, without what replies to another thread.

        That is left for the messages that follow: see Note [Replies].
        """
        message = pending.take(now)
        threads = [self._thread(waiting.delivery.alert) for waiting in message]
        if not 1 < len(set(threads)) <= MOST_THREADS:
            return message
        for waiting, thread in zip(message, threads, strict=True):
            if thread != threads[0]:
                pending.postpone(waiting, now, now)
        return [waiting for waiting, thread in zip(message, threads, strict=True) if thread == threads[0]]

    async def post(self, notifier: Notifier, alerts: Sequence[Alert]) -> tuple[str, References]:
        """
        Send one message, as a reply if the notifier can and all alerts have one thread.

        :returns: the service's words, and the reference of each incident's message.
        """
        if not isinstance(notifier, ThreadedNotifier):
            return await notifier.send(alerts), [None] * len(alerts)
        threads = {self._thread(alert) for alert in alerts}
        thread = threads.pop() if len(threads) == 1 else None
        receipt = await notifier.post(alerts, thread)
        return receipt.words, self._sent(alerts, thread, receipt)

    def _sent(self, alerts: Sequence[Alert], thread: str | None, receipt: Receipt) -> References:
        new = receipt.reference if receipt.reference != thread else None
        if new is not None and thread is not None:
            self._move(thread, new)
        references: References = []
        for alert in alerts:
            key = incident_key(alert)
            if key is None or alert.event not in _STORY:
                references.append(None)
                continue
            reference = self._references.get(key, new)
            references.append(reference)
            if reference is not None:
                self._put(key, alert, reference)
                if reference != new or len(self._messages[reference]) > len(alerts):
                    self._outdate(reference)
        for reference in {each for each in references if each is not None}:
            self._tidy(reference)
        while len(self._messages) > MESSAGES:
            self._drop(next(iter(self._messages)))
        return references

    @property
    def outdated(self) -> bool:
        """Whether a message has to be updated."""
        return bool(self._outdated)

    def next_update(self) -> tuple[str, int, Sequence[Alert]]:
        """Take the message that has been outdated for longest: its reference, failed updates and present state."""
        reference, failures = self._outdated.popitem(last=False)
        return reference, failures, list(self._messages[reference].values())

    def updated(self, reference: str) -> None:
        """A message was updated, or is left as it is."""
        self._tidy(reference)

    def failed(self, reference: str, failures: int) -> None:
        """Update a message once more, after the others."""
        if reference in self._messages:
            self._outdated[reference] = failures

    def lost(self, reference: str) -> Sequence[Alert]:
        """Forget a message that cannot be updated; returns the latest alerts of its open incidents."""
        alerts = list(self._messages.get(reference, {}).values())
        self._drop(reference)
        return [alert for alert in alerts if not is_over(alert)]

    def _thread(self, alert: Alert) -> str | None:
        key = incident_key(alert)
        return None if key is None or alert.event not in _STORY else self._references.get(key)

    def _put(self, key: str, alert: Alert, reference: str) -> None:
        before = self._references.get(key)
        if before is not None and before != reference and before in self._messages:
            del self._messages[before][key]
            self._tidy(before)
        self._references[key] = reference
        self._messages.setdefault(reference, {})[key] = alert

    def _move(self, old: str, new: str) -> None:
        """A new message takes the place of one that takes no replies, for all of its incidents."""
        self._outdated.pop(old, None)
        for key, alert in self._messages.pop(old, {}).items():
            self._put(key, alert, new)

    def _outdate(self, reference: str) -> None:
        self._outdated[reference] = 0
        if len(self._outdated) > UPDATES:
            dropped, _ = self._outdated.popitem(last=False)
            self._tidy(dropped)

    def _tidy(self, reference: str) -> None:
        """Forget a message that shows the end of all its incidents, or shows none."""
        alerts = self._messages.get(reference, {})
        if not alerts or (reference not in self._outdated and all(map(is_over, alerts.values()))):
            self._drop(reference)

    def _drop(self, reference: str) -> None:
        self._outdated.pop(reference, None)
        for key in self._messages.pop(reference, {}):
            if self._references.get(key) == reference:
                del self._references[key]
