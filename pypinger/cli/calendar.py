"""``pypinger calendar``: when tasks are due and asleep in the days to come, from the ini file and the store."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, tzinfo

import msgspec

from pypinger.cli._store import load_settings, open_store
from pypinger.config import ConfigErrors
from pypinger.config.settings import StoreSettings
from pypinger.domain import cron
from pypinger.domain.calendar import CalendarEntry, Happening, entries
from pypinger.domain.model import Instant, Task, TaskState
from pypinger.domain.naming import no_match, shown_name
from pypinger.domain.redaction import Secrets
from pypinger.domain.schedule import plan_of
from pypinger.domain.selector import SelectorError, parse_typed, subject_of
from pypinger.domain.texts import one_line
from pypinger.domain.times import DAY, iso, length
from pypinger.ports.storing import StoreError
from pypinger.report.values import machine_zone
from pypinger.store.database import MEMORY

#: Exit codes.
OK, BAD_INPUT, UNREADABLE = 0, 2, 3

#: A task that is due more often in a day, on average, has one line for all, unless it is named.
MOST_A_DAY = 48

#: How many moments of a task that is named are listed.
MOST = 5000


class Planned(msgspec.Struct, frozen=True):
    """
    A task with its moments.

    :ivar name: as people are shown it, on one line and without secrets.
    :ivar note: what is not known about when it is due; empty for nothing.
    """

    id: str
    name: str
    moments: Sequence[CalendarEntry]
    note: str


def run(arguments: argparse.Namespace) -> int:
    """
    Print the calendar.

    :returns: the exit code: 0, 2 an error in the arguments or the ini file, 3 the store cannot be read.
    """
    since = time.time()
    until = since + arguments.days * DAY
    try:
        settings = load_settings(arguments.ini, arguments.state)
    except ConfigErrors as errors:
        print(errors, file=sys.stderr)
        return BAD_INPUT
    secrets = Secrets(settings.secrets)
    try:
        states = _states(settings.store, settings.tasks, required=arguments.state is not None)
    except StoreError as error:
        print(secrets.scrub(str(error)), file=sys.stderr)
        return UNREADABLE
    try:
        tasks = _selected(settings.tasks, states, arguments.task)
    except SelectorError as error:
        print(f"{settings.path}: {secrets.scrub(str(error))}", file=sys.stderr)
        return BAD_INPUT
    # Without a name, tasks that run all the time would hide the others.
    most = MOST if arguments.task else max(1, int(arguments.days * MOST_A_DAY))
    planned = [_planned(task, states.get(task.key, TaskState()), secrets, since, until, most) for task in tasks]
    name = arguments.timezone or machine_zone(os.environ)
    zone = cron.zone(name)
    print(_json(planned, since, until, name, zone) if arguments.json else "\n".join(lines(planned, since, zone)))
    return OK


def lines(planned: Sequence[Planned], now: Instant, zone: tzinfo) -> Iterator[str]:
    """Yield a line for each moment of all tasks, in order, and then what is not known."""
    moments = sorted(
        ((entry, each.name) for each in planned for entry in each.moments), key=lambda pair: (pair[0].at, pair[1])
    )
    width = max((len(name) for _, name in moments), default=0)
    for entry, name in moments:
        yield f"{_local(entry.at, zone)}  {name:{width}}  {_words(entry, zone)}"
    for each in planned:
        if each.note:
            yield f"{each.name}: {each.note}"


def _states(store: StoreSettings, tasks: Sequence[Task], *, required: bool) -> Mapping[str, TaskState]:
    """
    Return what is known of the tasks, by key.

    :param required: whether there must be a store; otherwise a missing one is said on standard error.
    :raises StoreError: the store cannot be read.
    """
    path = store.path
    if not required and not store.url and (path == MEMORY or not os.path.lexists(path)):
        where = "the store is in memory only" if path == MEMORY else f"there is no store at {path}"
        print(f"{where}: only what the ini file says is known", file=sys.stderr)
        return {}
    with open_store(store) as reader:
        found = {task.key: reader.state(task.key) for task in tasks}
    return {key: state for key, state in found.items() if state is not None}


def _selected(tasks: Sequence[Task], states: Mapping[str, TaskState], text: str) -> Sequence[Task]:
    """
    Return the tasks that a selector matches; all without one.

    :raises SelectorError: it is not valid, or matches none.
    """
    if not text:
        return tasks
    known = [(task, states.get(task.key, TaskState())) for task in tasks]
    subjects = [subject_of(task, state) for task, state in known]
    selector = parse_typed(text, subjects)
    found = [task for task, subject in zip(tasks, subjects, strict=True) if selector.matches(subject)]
    if not found:
        raise SelectorError(no_match(text, ((task, state.report) for task, state in known)))
    return found


def _planned(task: Task, state: TaskState, secrets: Secrets, since: Instant, until: Instant, most: int) -> Planned:
    report = state.report
    moments = entries(task, report, since, until, most, configured=state.configured)
    plan, note = plan_of(task, report), ""
    reckoned = plan.frequency is not None and state.configured is not None
    if plan.sleep.always:
        note = "it sleeps all day, so it is never due"
    elif plan.cron is None and report is None and not reckoned:
        often = f"it runs {plan.words}, and " if plan.words else ""
        note = f"when it is due is not known: {often}it has not reported yet"
    return Planned(task.id, secrets.scrub(one_line(shown_name(task, report))), moments, note)


def _words(entry: CalendarEntry, zone: tzinfo) -> str:
    if entry.what is Happening.ASLEEP:
        if entry.until is None:
            return "asleep"
        return f"asleep until {_local(entry.until, zone)} ({length(entry.until - entry.at)})"
    if entry.what is Happening.AWAKE:
        return "awake"
    words = entry.what.value
    if entry.running is not None:
        words += f" to end: running since {_local(entry.running, zone)}"
    elif entry.until is not None:
        words += f", to end by {_local(entry.until, zone)}"
    return f"{words}; it runs {entry.repeats}" if entry.repeats else words


def _local(instant: Instant, zone: tzinfo) -> str:
    """``Mon 2026-03-02 03:00 CET``, with seconds where there are any."""
    then = datetime.fromtimestamp(round(instant), zone)
    return then.strftime("%a %Y-%m-%d %H:%M %Z" if then.second == 0 else "%a %Y-%m-%d %H:%M:%S %Z")


def _json(planned: Sequence[Planned], since: Instant, until: Instant, name: str, zone: tzinfo) -> str:
    moments = [
        {
            "at": iso(entry.at),
            "local": datetime.fromtimestamp(round(entry.at), zone).isoformat(),
            "task": each.name,
            "id": each.id,
            "what": entry.what.value,
            "until": iso(entry.until),
            "running": iso(entry.running),
            "repeats": entry.repeats or None,
        }
        for each in planned
        for entry in each.moments
    ]
    moments.sort(key=lambda moment: (moment["at"], moment["task"]))
    unknown = [{"task": each.name, "id": each.id, "note": each.note} for each in planned if each.note]
    answer = {"since": iso(since), "until": iso(until), "timezone": name, "moments": moments, "notes": unknown}
    return msgspec.json.format(msgspec.json.encode(answer)).decode()
