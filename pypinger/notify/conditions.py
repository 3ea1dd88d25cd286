"""
Alerts of Py Pinger itself, for services that keep one alert per problem until it is closed.

Services tell alerts of tasks apart by task and incident, and those of Py Pinger itself by what they are about.
"""

from __future__ import annotations

from enum import StrEnum

from pypinger.domain.clocks import IS_WRONG, WAS_WRONG
from pypinger.domain.model import Alert, Event

#: The events that close what earlier ones with the same key have opened.
CLOSING = frozenset({Event.RECOVERED, Event.SIGHTED, Event.STARTED})


class Matter(StrEnum):
    """What an alert of Py Pinger itself is about; ``STOPPED`` ends with the next start."""

    BLIND = "blind"
    CLOCK = "clock"
    STOPPED = "stopped"
    TEST = "test"


def matter_of(alert: Alert) -> Matter:
    """Return what an alert without a task is about."""
    if alert.event in (Event.STARTED, Event.STOPPED):
        return Matter.STOPPED
    if alert.event in (Event.BLIND, Event.SIGHTED):
        return Matter.CLOCK if any(words in alert.explanation for words in (IS_WRONG, WAS_WRONG)) else Matter.BLIND
    return Matter.TEST
