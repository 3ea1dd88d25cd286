"""
The values that all rooms share: frozen, without behaviour.

The values are :class:`msgspec.Struct`, so that a store can keep them as JSON and read them back typed. They hold texts,
numbers and one another, never a cycle, so the garbage collector need not traverse them (``gc=False``): with tens of
thousands of tasks that would stop the reactor for a second at a time.

Times are an `Instant` or `Seconds` everywhere, except that :class:`Report` keeps ``frequency`` in minutes, as tasks
publish it.
"""

from __future__ import annotations

from pypinger.domain.model.alert import Alert, Delivery, Event, Outcome
from pypinger.domain.model.observation import (
    Answer,
    Contact,
    Fault,
    Finding,
    Invalid,
    NoAnswer,
    Observation,
    Reported,
    Skew,
)
from pypinger.domain.model.state import FIRST_CHANNELS, Acknowledgement, Check, Incident, Part, TaskState, Verdict
from pypinger.domain.model.task import PUSH, Report, Task, Window
from pypinger.domain.model.units import Instant, Seconds

__all__ = [
    "FIRST_CHANNELS",
    "PUSH",
    "Acknowledgement",
    "Alert",
    "Answer",
    "Check",
    "Contact",
    "Delivery",
    "Event",
    "Fault",
    "Finding",
    "Incident",
    "Instant",
    "Invalid",
    "NoAnswer",
    "Observation",
    "Outcome",
    "Part",
    "Report",
    "Reported",
    "Seconds",
    "Skew",
    "Task",
    "TaskState",
    "Verdict",
    "Window",
]
