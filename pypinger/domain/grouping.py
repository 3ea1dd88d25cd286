"""
Which alerts of a storm go out together (contract, section 4).

This says into which message an alert goes. Holding it until then, and sending, is left to the runtime: see Note
[Storms] in :mod:`pypinger.runtime.waitlist`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

import msgspec

from pypinger.domain.model import Alert, Event, Seconds

_GROUPED = frozenset({Event.PROBLEM, Event.RECOVERED})


class Group(msgspec.Struct, frozen=True):
    """
    One message to be, and the window in which alerts may join it.

    :ivar event: what its alerts have in common: ``problem`` or ``recovered``,
    :ivar place: and where: ``("origin", …)`` or ``("server", …)``.
    :ivar closes: when it takes no more and is sent, in seconds on a clock that never goes back.
    """

    event: Event
    place: tuple[str, str]
    closes: Seconds


class Grouping:
    """
    The windows that are open.

    It changes in place, for a storm may open tens of thousands of windows within seconds; what it answers depends on
    what it was asked before and on nothing else.

    :param wait: for how many seconds a window is open; 0 groups nothing.
    """

    def __init__(self, wait: Seconds) -> None:
        self._wait = wait
        self._open: dict[tuple[Event, tuple[str, str]], Group] = {}
        # In the order in which they close, since all are open equally long. Servers are named by reports: windows that
        # were never forgotten could fill the memory.
        self._closing: deque[Group] = deque()

    def place(self, alert: Alert, now: Seconds) -> Group | None:
        """
        Find the group that an alert joins.

        :param now: never earlier than the time before, on the clock of :attr:`Group.closes`.
        :returns: None if the alert goes out at once, by itself. If it may have followers, its windows open now.
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
            group = self._open[alert.event, place] = Group(alert.event, place, now + self._wait)
            self._closing.append(group)
        return None


def _places(alert: Alert) -> Iterator[tuple[str, str]]:
    """Where followers may be; the first that fits counts."""
    if alert.origin:
        yield "origin", alert.origin
    if alert.server:
        yield "server", alert.server
