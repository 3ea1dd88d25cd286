"""
Which alerts of a storm share a message (contract, section 4).

This decides which message an alert joins. The runtime holds the alert until then, and sends.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

import msgspec

from pypinger.domain.model import Alert, Event, Seconds

_GROUPED = frozenset({Event.PROBLEM, Event.RECOVERED})


class AlertGroup(msgspec.Struct, frozen=True):
    """
    A message that alerts may still join.

    :ivar event: of all its alerts: ``problem`` or ``recovered``.
    :ivar place: where its tasks are: ``("origin", …)`` or ``("server", …)``.
    :ivar closes: when it is sent, in seconds on a monotonic clock.
    """

    event: Event
    place: tuple[str, str]
    closes: Seconds


class Grouping:
    """
    The groups that are open.

    It is mutable, since a storm may open tens of thousands of groups within seconds. Its answers depend on earlier
    calls only.

    :param wait: how many seconds a group is open; 0 groups nothing.
    """

    def __init__(self, wait: Seconds) -> None:
        self._wait = wait
        self._open: dict[tuple[Event, tuple[str, str]], AlertGroup] = {}
        # In the order in which they close, since all are open equally long. Closed groups are removed: reports name the
        # servers, so their number has no limit.
        self._closing: deque[AlertGroup] = deque()

    def place(self, alert: Alert, now: Seconds) -> AlertGroup | None:
        """
        Return the group that an alert joins.

        :param now: on the clock of :attr:`AlertGroup.closes`; never decreases.
        :returns: None if the alert is sent at once. If others may follow it, its groups open now.
        """
        if self._wait <= 0 or alert.event not in _GROUPED:
            return None
        while self._closing and self._closing[0].closes <= now:
            closed = self._closing.popleft()
            del self._open[closed.event, closed.place]
        places = list(_places(alert))
        for place in places:
            if (group := self._open.get((alert.event, place))) is not None:
                return group
        for place in places:
            group = self._open[alert.event, place] = AlertGroup(alert.event, place, now + self._wait)
            self._closing.append(group)
        return None


def _places(alert: Alert) -> Iterator[tuple[str, str]]:
    """Yield the places where other alerts may join; the first with an open group counts."""
    if alert.origin:
        yield "origin", alert.origin
    if alert.server:
        yield "server", alert.server
