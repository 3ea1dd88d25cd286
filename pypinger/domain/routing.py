"""Which alert goes to which channel, and when (contract, section 4, "Routing")."""

from __future__ import annotations

import msgspec

from pypinger.domain.model import Event, Seconds
from pypinger.domain.selector import Selector

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

#: The events that the option ``events`` may name.
ROUTED_EVENTS = DEFAULT_EVENTS

#: What a channel is sent whatever its ``events``.
ALWAYS = frozenset({Event.BLIND, Event.SIGHTED, Event.TEST})


class Route(msgspec.Struct, frozen=True):
    """
    What one channel is sent.

    :ivar channel: its section.
    :ivar match: the tasks whose alerts it is sent; alerts without a task are sent to all channels.
    :ivar after: for how many seconds an incident has been open before the channel takes part.
    """

    channel: str
    match: Selector
    events: frozenset[Event] = DEFAULT_EVENTS
    after: Seconds = 0.0
