"""``pypinger validate --routes``: which alert of which task goes where, and when."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from pypinger.config.settings import Settings
from pypinger.domain.kinds import KINDS, Kind, Status
from pypinger.domain.model import Event, Task, TaskState
from pypinger.domain.redaction import Secrets
from pypinger.domain.routing import ALWAYS, ChannelRoute
from pypinger.domain.selector import SelectorError, Subject, parse_typed, subject_of
from pypinger.domain.times import length

_OF_TASKS = (
    Event.PROBLEM,
    Event.CHANGED,
    Event.REMINDER,
    Event.RECOVERED,
    Event.FLAPPING,
    Event.ACKNOWLEDGED,
)
_OF_DAEMON = (Event.STARTED, Event.STOPPED, Event.BLIND, Event.SIGHTED)
_ERRORS = [kind for kind in Kind if KINDS[kind].status is Status.ERROR]


class NoSuchTask(Exception):
    """Nothing is selected; ``str()`` is one line that says why."""


def describe(settings: Settings, selector: str = "") -> Iterator[str]:
    """
    Yield a paragraph for each task, and one for the alerts without a task.

    :param selector: selects tasks; empty for all.
    :raises NoSuchTask: it selects none, or is not valid.
    """
    routes = [channel.route for channel in settings.channels]
    secrets = Secrets(settings.secrets)
    width = max((len(route.channel) for route in routes), default=0)
    selected = _selected(settings.tasks, selector)
    if settings.only_log:
        yield "only_log is true: until that is changed, nothing is sent"
    for task in selected:
        yield f"{task.name} ({task.label})" if task.named and task.label else task.label or task.name
        lines = [f"  {route.channel:{width}}  {words}" for route in routes if (words := _of_task(route, task, secrets))]
        yield from lines or ["  no channel: only the log"]
    if not selector:
        yield "alerts without a task"
        for route in routes:
            yield f"  {route.channel:{width}}  {_events(route, _OF_DAEMON)}"


def _selected(tasks: Sequence[Task], text: str) -> list[Task]:
    if not text:
        return list(tasks)
    subjects = [subject_of(task, TaskState()) for task in tasks]
    try:
        selector = parse_typed(text, subjects)
    except SelectorError as error:
        raise NoSuchTask(str(error)) from None
    found = [task for task, subject in zip(tasks, subjects, strict=True) if selector.matches(subject)]
    if not found:
        raise NoSuchTask(f"{text} matches no task")
    return found


def _of_task(route: ChannelRoute, task: Task, secrets: Secrets) -> str:
    """What a channel is sent of a task; empty if nothing."""
    subject = subject_of(task, TaskState())
    kinds = [kind for kind in _ERRORS if route.match.matches(_of_kind(subject, kind), unknown_tags=True)]
    events = _events(route, _OF_TASKS)
    if not kinds or not events:
        return ""
    words = [events]
    if len(kinds) < len(_ERRORS):
        words.append(f"if the incident opens as {' or '.join(kinds)}")
    if route.match.fields & {"server", "process"}:
        words.append(f"if its report matches {secrets.scrub(route.match.text)}")
    if route.after:
        words.append(f"once the incident has lasted {length(route.after)}")
    return "; ".join(words)


def _of_kind(subject: Subject, kind: Kind) -> Subject:
    return msgspec.structs.replace(subject, kind=kind.value)


def _events(route: ChannelRoute, events: Sequence[Event]) -> str:
    taken = [event.value for event in events if event in route.events | ALWAYS]
    if Event.FLAPPING in events and Event.FLAPPING not in route.events and route.takes(Event.FLAPPING):
        taken.append("flapping as problem")
    return ", ".join(taken)
