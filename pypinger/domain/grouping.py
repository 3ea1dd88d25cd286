"""
Which alerts go out in one message (contract, section 4, "Storms").

This decides into which message an alert goes and when that message leaves. Holding alerts until then, and sending, is
left to the runtime.

Note [Grouping]
~~~~~~~~~~~~~~~
The first alert of an event on an origin or server leaves at once and opens a *window* there: what follows within
``group_wait`` is one message. Where two incidents are open a *storm* is open until all there are closed: problems there
wait for their group, and messages of one event leave :data:`APART` seconds apart. When two messages of an event have
left, or are about to, within ``group_wait``, further ones are gathered in the *overflow*, wherever they come from.
Reminders go into digests, ``group_wait`` apart: those that are due soon are made together.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterator
from typing import TypeAlias, TypeVar

from pypinger.domain.model import Alert, Event, Seconds

#: ``("origin", ...)``, ``("server", ...)``, or :data:`ANYWHERE`.
Place: TypeAlias = tuple[str, str]

#: Where the overflow and the digest of reminders are.
ANYWHERE: Place = ("", "")

#: The least time between two messages of one event in a storm, in seconds.
APART: Seconds = 60.0

#: How long the first reminder of a digest waits for the others that are due with it, in seconds.
DIGEST_WAIT: Seconds = 1.0

#: So many messages of one event may leave within ``group_wait`` before the overflow begins.
MOST_MESSAGES = 2

# How often what no longer matters is looked for, in seconds.
_SWEEP: Seconds = 1.0

_K = TypeVar("_K")
_V = TypeVar("_V")

#: The events whose alerts may share a message with others of the same event, reminders apart.
GROUPED = frozenset({Event.PROBLEM, Event.CHANGED, Event.RECOVERED, Event.FLAPPING})


class AlertGroup:
    """
    One message to be.

    :ivar event: what its alerts have in common.
    :ivar place: where they come from.
    :ivar behind: whether the first alert of its origin went into the storm of a server; the group of such a storm is
        then preferred.
    :ivar closes: when it takes no more and is sent, in seconds on a clock that never goes back.
    :ivar calm_end: when it would, were there no storm.
    """

    __slots__ = ("behind", "calm_end", "closes", "empty", "event", "place", "window_end")

    def __init__(
        self, event: Event, place: Place, closes: Seconds, calm_end: Seconds | None = None, *, behind: bool = False
    ) -> None:
        self.behind = behind
        self.event = event
        self.place = place
        self.closes = self.window_end = closes
        self.calm_end = closes if calm_end is None else calm_end
        self.empty = True


class Grouping:
    """
    The groups of one channel: see Note [Grouping]. Times are seconds on a clock that never goes back.

    :param wait: ``group_wait``; 0 groups nothing.
    """

    def __init__(self, wait: Seconds) -> None:
        self._wait = wait
        self._open: dict[tuple[Event, Place], AlertGroup] = {}
        # When messages of an event left, or will, as far as that still matters.
        self._leaving: dict[Event, deque[Seconds]] = {}
        self._last: dict[tuple[Event, Place], Seconds] = {}
        self._expected: dict[Place, Seconds] = {}
        self._swept: Seconds = float("-inf")

    def place(self, alert: Alert, now: Seconds, storms: Collection[Place] = ()) -> AlertGroup | None:
        """
        Find the group that an alert joins.

        :param now: never earlier than the time before.
        :param storms: where a storm is open.
        :returns: None if the alert leaves at once, by itself.
        """
        if self._wait <= 0:
            return None
        self._forget(now)
        if alert.event is Event.REMINDER:
            return self._join(Event.REMINDER, ANYWHERE, now, now + min(DIGEST_WAIT, self._wait), apart=self._wait)
        if alert.event not in GROUPED:
            return None
        places = list(places_of(alert))
        found = [group for place in places if (group := self._find(alert.event, place, now)) is not None]
        if found:
            return self._joined(min(found, key=lambda group: group.behind))
        for place in places:
            if place in storms:
                if self._is_first_news(alert.event, place, now):
                    self._leaves(alert.event, now)
                    self._last[alert.event, place] = now
                    return None
                if place != places[0]:
                    # To its origin it is the first, and others may follow there.
                    self._open_window(alert.event, places[0], now, behind=True)
                return self._join(alert.event, place, now, now + self._wait)
        if sum(time > now - self._wait for time in self._leaving.get(alert.event, ())) >= MOST_MESSAGES:
            return self._join(alert.event, ANYWHERE, now, now + self._wait, apart=0.0)
        self._leaves(alert.event, now)
        for place in places:
            self._last[alert.event, place] = now
            self._open_window(alert.event, place, now)
        return None

    def expect(self, place: Place, now: Seconds, until: Seconds) -> None:
        """More alerts may come from there soon: its open windows stay so until then, or until :meth:`settled`."""
        self._expected[place] = until
        for (_, where), group in self._open.items():
            if where == place and group.closes > now:
                group.closes = max(group.closes, until)

    def settled(self, place: Place, now: Seconds) -> None:
        """No more is expected from there: its windows end when they would have."""
        self._expected.pop(place, None)
        for (_, where), group in self._open.items():
            if where == place:
                group.closes = max(now, group.window_end)

    def calmed(self, place: Place, now: Seconds) -> None:
        """The storm there is over: what waits there leaves as it would without one."""
        for (event, where), group in self._open.items():
            if where != place or group.closes <= now:
                continue
            before, group.window_end = group.closes, group.calm_end
            group.closes = max(now, group.calm_end, self._expected.get(place, now))
            if not group.empty and group.closes != before:
                self._leaving[event] = deque(time for time in self._leaving[event] if time != before)
                self._leaves(event, group.closes)
                self._last[event, place] = group.closes

    def _is_first_news(self, event: Event, place: Place, now: Seconds) -> bool:
        """Whether a change or recovery is the first there in a minute, so that it is sent at once."""
        if event not in (Event.CHANGED, Event.RECOVERED) or self._last.get((event, place), now - APART) > now - APART:
            return False
        return sum(time > now - self._wait for time in self._leaving.get(event, ())) < MOST_MESSAGES

    def _open_window(self, event: Event, place: Place, now: Seconds, *, behind: bool = False) -> None:
        group = self._open[event, place] = AlertGroup(event, place, now + self._wait, behind=behind)
        group.closes = max(group.closes, self._expected.get(place, now))

    def _find(self, event: Event, place: Place, now: Seconds) -> AlertGroup | None:
        group = self._open.get((event, place))
        return group if group is not None and group.closes > now else None

    def _join(self, event: Event, place: Place, now: Seconds, closes: Seconds, *, apart: Seconds = APART) -> AlertGroup:
        group = self._find(event, place, now)
        if group is None:
            calm_end, last = closes, self._last.get((event, place))
            if last is not None:
                closes = max(closes, last + apart)
            group = self._open[event, place] = AlertGroup(event, place, closes, calm_end)
            group.closes = max(closes, self._expected.get(place, now))
        return self._joined(group)

    def _joined(self, group: AlertGroup) -> AlertGroup:
        if group.empty:
            group.empty = False
            self._leaves(group.event, group.closes)
            self._last[group.event, group.place] = group.closes
        return group

    def _leaves(self, event: Event, at: Seconds) -> None:
        self._leaving.setdefault(event, deque()).append(at)

    def _forget(self, now: Seconds) -> None:
        """Servers are named by reports: what no longer matters is dropped, or hostile ones would fill the memory."""
        if now < self._swept + _SWEEP:
            return
        self._swept = now
        _drop(self._open, lambda group: group.closes <= now)
        _drop(self._last, lambda at: at <= now - APART)
        _drop(self._expected, lambda until: until <= now)
        for event, times in self._leaving.items():
            self._leaving[event] = deque(time for time in times if time > now - self._wait)


def places_of(alert: Alert) -> Iterator[Place]:
    """Where followers of an alert may be; the first that fits counts."""
    if alert.origin:
        yield "origin", alert.origin
    if alert.server:
        yield "server", alert.server


class Storms:
    """Where storms are open: from two open incidents on an origin or server on, until all there are closed."""

    def __init__(self) -> None:
        self._incidents: dict[Place, set[str]] = {}
        self._places: dict[str, Collection[Place]] = {}
        self._storms: set[Place] = set()

    def at(self, alert: Alert) -> tuple[Place, ...]:
        """The places of an alert where a storm is open."""
        return tuple(place for place in places_of(alert) if place in self._storms)

    def opened(self, task: str, places: Collection[Place]) -> list[Place]:
        """
        An incident of the task with this id has opened.

        :returns: where a storm opens with it.
        """
        self.closed(task)
        self._places[task] = places
        begun: list[Place] = []
        for place in places:
            tasks = self._incidents.setdefault(place, set())
            tasks.add(task)
            if len(tasks) >= MOST_MESSAGES and place not in self._storms:
                self._storms.add(place)
                begun.append(place)
        return begun

    def closed(self, task: str) -> list[Place]:
        """
        The incident of the task has ended.

        :returns: where a storm ends with it.
        """
        ended: list[Place] = []
        for place in self._places.pop(task, ()):
            self._incidents[place].discard(task)
            if not self._incidents[place]:
                del self._incidents[place]
                if place in self._storms:
                    self._storms.discard(place)
                    ended.append(place)
        return ended


def _drop(values: dict[_K, _V], over: Callable[[_V], bool]) -> None:
    for key in [key for key, value in values.items() if over(value)]:
        del values[key]
