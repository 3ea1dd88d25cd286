"""
Which alert goes to which channel, and when (contract, section 4, "Routing"): pure functions of routes and states.

Note [Parts]
~~~~~~~~~~~~
When an incident opens, each channel gets a part in it: apart, waiting for its ``after``, or joined. A channel that is
not among the incident's channels was added later, and waits as well; if it has no ``after`` it joins at once. A channel
that joins while the incident lasts is sent a reminder, or a problem if it takes no reminders; of a flapping task it is
sent the flapping. A reminder that is due at that moment is the one. Until it has joined it is sent nothing of the
incident, so it gets the end only if it got an alert of the incident.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

import msgspec
from msgspec.structs import replace

from pypinger.domain.alerting import task_alert
from pypinger.domain.incidents import standing
from pypinger.domain.kinds import Status
from pypinger.domain.model import (
    FIRST_CHANNELS,
    Alert,
    Delivery,
    Event,
    Incident,
    Instant,
    Part,
    Seconds,
    Task,
    TaskState,
)
from pypinger.domain.schedule import sleep_at
from pypinger.domain.selector import Selector, Subject, subject_of

#: What a channel is sent unless it or its section says otherwise (contract, section 5).
DEFAULT_EVENTS = frozenset(
    {
        Event.PROBLEM,
        Event.CHANGED,
        Event.REMINDER,
        Event.RECOVERED,
        Event.FLAPPING,
        Event.ACKNOWLEDGED,
        Event.STARTED,
        Event.STOPPED,
    }
)

#: What a channel is sent whatever its ``events``.
ALWAYS = frozenset({Event.BLIND, Event.SIGHTED, Event.TEST})

# Events that a channel which does not take them is sent as a problem.
_AS_PROBLEM = frozenset({Event.FLAPPING})


class ChannelRoute(msgspec.Struct, frozen=True):
    """
    What one channel is sent.

    :ivar channel: its section.
    :ivar match: the tasks whose alerts it is sent; alerts without a task are sent to all channels.
    :ivar after: for how many seconds an incident has been open before the channel takes part.
    :ivar resolves: whether it is sent the end of what it was told of even while a silence lasts.
    """

    channel: str
    match: Selector = Selector("", ())
    events: frozenset[Event] = DEFAULT_EVENTS
    after: Seconds = 0.0
    resolves: bool = False

    def takes(self, event: Event) -> bool:
        """Whether the channel is sent alerts of this event, as they are or as problems."""
        return event in self.events or event in ALWAYS or (event in _AS_PROBLEM and Event.PROBLEM in self.events)

    def deliver(self, alert: Alert) -> Iterator[Delivery]:
        """Yield the delivery of an alert, unless the channel does not take its event."""
        if not self.takes(alert.event):
            return
        if alert.event not in self.events | ALWAYS:
            alert = replace(alert, event=Event.PROBLEM)
        yield Delivery(alert, self.channel)


class Routing(msgspec.Struct, frozen=True):
    """What the channels that are on are sent."""

    routes: tuple[ChannelRoute, ...] = ()

    @property
    def channels(self) -> frozenset[str]:
        """The channels that are on."""
        return frozenset(route.channel for route in self.routes)

    def of_daemon(
        self, alert: Alert, lasted: Seconds | None = None, to: Collection[str] | None = None
    ) -> tuple[Delivery, ...]:
        """
        Return the deliveries of an alert without a task.

        :param lasted: for how many seconds Py Pinger has been blind, or its clock wrong; None for other alerts.
        :param to: only for these channels.
        """
        return tuple(
            delivery
            for route in self.routes
            if (lasted is None or lasted >= route.after) and (to is None or route.channel in to)
            for delivery in route.deliver(alert)
        )

    def joining(self, after: Seconds) -> frozenset[str]:
        """Return the channels that take part after this time."""
        return frozenset(route.channel for route in self.routes if route.after == after)

    def afters(self) -> list[Seconds]:
        """Return the lengths of time, other than 0, after which channels take part, in order."""
        return sorted({route.after for route in self.routes if route.after > 0})

    def route(
        self, task: Task, before: TaskState, after: TaskState, alerts: Sequence[Alert]
    ) -> tuple[TaskState, tuple[Delivery, ...]]:
        """
        Address the alerts that a change of a task's state has caused.

        :returns: the new state with the parts of its incident's channels, and the deliveries.
        """
        incident = after.incident
        if incident is not None and incident.channels is None:
            opened = before.incident is None or before.incident.started != incident.started
            parts = self._parts(subject_of(task, after)) if opened else self._kept(incident)
            incident = replace(incident, channels=parts)
            after = replace(after, incident=incident)
        joined = self._joined(incident or before.incident)
        deliveries: list[Delivery] = []
        if after.owed is not None and after.owed is not before.owed:
            deliveries += (each for route in joined if route.resolves for each in route.deliver(after.owed))
            after = replace(after, owed_to=tuple(route.channel for route in joined if not route.resolves))
        for alert in alerts:
            is_owed = before.owed is not None and alert.id == before.owed.id
            to = self._named(FIRST_CHANNELS if before.owed_to is None else before.owed_to) if is_owed else joined
            deliveries += (each for route in to for each in route.deliver(alert))
            if alert.event is Event.REMINDER:
                after, more = self._let_join(task, after, alert)
                deliveries += more
        if after.owed is None and after.owed_to is not None:
            after = replace(after, owed_to=None)
        return after, tuple(deliveries)

    def next_joining(self, task: Task, state: TaskState, now: Instant) -> Instant | None:
        """
        When the next channel joins the open incident, seen from `now`; None while none does.

        None joins while the incident is acknowledged, its problem is held back by a silence, or the task sleeps, be it
        by the last valid report of a task that gives none now, or by the ini file.
        """
        incident = state.incident
        if incident is None or not incident.told or incident.acknowledged or state.status is Status.SLEEPING:
            return None
        due = min((incident.started + route.after for route in self._waiting(task, state)), default=None)
        if due is None:
            return None
        period = sleep_at(task, state.report, max(due, now))
        return due if period is None else period.end

    def join(
        self, task: Task, state: TaskState, now: Instant
    ) -> tuple[TaskState, tuple[Alert, ...], tuple[Delivery, ...]]:
        """Let the channels join whose time has come: see Note [Parts]."""
        incident, verdict = state.incident, state.verdict
        if incident is None or verdict is None:
            return state, (), ()
        incident = replace(incident, alerts=incident.alerts + 1)
        reminder = task_alert(
            task, state.report, Event.REMINDER, now, incident, verdict.explanation, due=verdict.due, kind=verdict.kind
        )
        after, deliveries = self._let_join(task, replace(state, incident=incident), reminder)
        if after.incident is incident:
            return state, (), ()
        return after, (reminder,), deliveries

    def _let_join(self, task: Task, state: TaskState, reminder: Alert) -> tuple[TaskState, tuple[Delivery, ...]]:
        """Let the channels join whose time has come, with a reminder that is the incident's latest alert."""
        incident, now = state.incident, reminder.at
        assert incident is not None
        joining = [route for route in self._waiting(task, state) if incident.started + route.after <= now]
        if not joining:
            return state, ()
        problem = standing(task, state, now)
        assert problem is not None
        reminder = replace(reminder, joining=True)
        deliveries = (
            delivery
            for route in joining
            for delivery in route.deliver(
                reminder if Event.REMINDER in route.events and not incident.flapping else problem
            )
        )
        parts = {**self._kept(incident), **{route.channel: Part.JOINED for route in joining}}
        return replace(state, incident=replace(incident, channels=parts)), tuple(deliveries)

    def _parts(self, subject: Subject) -> Mapping[str, Part]:
        """The parts of all channels in an incident that opens."""
        return {route.channel: _part(route, subject) for route in self.routes}

    def _kept(self, incident: Incident) -> Mapping[str, Part]:
        """The parts in an open incident; of one in a store without routing, those of channels that are configured."""
        if incident.channels is not None:
            return incident.channels
        configured = [route.channel for route in self.routes]
        return {channel: part for channel, part in incident.parts.items() if channel in configured}

    def _joined(self, incident: Incident | None) -> list[ChannelRoute]:
        if incident is None:
            return []
        return [route for route in self.routes if incident.parts.get(route.channel) is Part.JOINED]

    def _named(self, channels: Collection[str]) -> list[ChannelRoute]:
        return [route for route in self.routes if route.channel in channels]

    def _waiting(self, task: Task, state: TaskState) -> Iterator[ChannelRoute]:
        """The channels that have not joined the open incident yet and will."""
        incident = state.incident
        assert incident is not None
        subject = None
        for route in self.routes:
            part = incident.parts.get(route.channel)
            if part is None:
                subject = subject or subject_of(task, state)
                if route.match.matches(subject, unknown_tags=True):
                    yield route
            elif part is Part.WAITING:
                yield route


def _part(route: ChannelRoute, subject: Subject) -> Part:
    if not route.match.matches(subject, unknown_tags=True):
        return Part.APART
    return Part.WAITING if route.after > 0 else Part.JOINED
