"""
``pypinger replay``: the alerts that would have come with another configuration, against those that did.

It reads what the daemon recorded, beside a daemon that is running, and changes nothing. What would have been is worked
out by :mod:`pypinger.domain.replay`.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing

import msgspec

from pypinger.cli._recorded import open_history, others, remember
from pypinger.config import ConfigErrors, load
from pypinger.config.settings import Settings
from pypinger.domain.model import Event, Instant, Seconds, Task
from pypinger.domain.redaction import Secrets
from pypinger.domain.replay import Line, compare, replay
from pypinger.domain.texts import one_line
from pypinger.domain.times import DAY, iso
from pypinger.domain.url import label, task_id
from pypinger.notify import channels
from pypinger.ports.storing import StoreError
from pypinger.store.reading import Reader

#: Exit codes.
SAME, DIFFERS, MISTAKEN, UNREADABLE = 0, 1, 2, 3

#: How long before the asked time a replay begins, so that what is going on by then is known.
LEAD: Seconds = DAY


class Comparison(msgspec.Struct, frozen=True):
    """
    What came of one task.

    :ivar url: as it may be shown.
    :ivar monitored: whether it is in the ini file.
    :ivar recorded: whether anything was found of it in this time.
    """

    id: str
    name: str
    url: str
    monitored: bool
    recorded: bool
    alerts: Sequence[Line]


def run(arguments: argparse.Namespace) -> int:
    """
    Replay and print.

    :returns: the exit code: 0 the same alerts, 1 others, 2 a mistake in the arguments or the ini file, 3 the store
        cannot be read.
    """
    now = time.time()
    since, until = arguments.since(now), now if arguments.until is None else arguments.until(now)
    if since >= until:
        arguments.parser.error("--since must be earlier than --until")
    try:
        settings = load(arguments.ini, channels=channels(), environ=os.environ, credentials=False)
    except ConfigErrors as errors:
        print(errors, file=sys.stderr)
        return MISTAKEN
    tasks = [_overridden(task, arguments) for task in settings.tasks if arguments.task in (None, task.url, task.id)]
    if arguments.task is not None and not tasks:
        print(f"{settings.path}: there is no task {label(arguments.task)}", file=sys.stderr)
        return MISTAKEN
    secrets = Secrets(settings.secrets)
    try:
        with closing(open_history(settings.store.path)) as reader:
            compared = [_compared(reader, task, since, until) for task in tasks]
            if arguments.task is None:
                compared += _gone(reader, settings, since, until)
    except StoreError as error:
        print(secrets.scrub(str(error)), file=sys.stderr)
        return UNREADABLE
    compared = [_fit(each, secrets) for each in compared]
    print(_json(compared, since, until) if arguments.json else "\n".join(lines(compared, since, until)))
    return DIFFERS if any(line.mark != "=" for each in compared for line in each.alerts) else SAME


def lines(compared: Sequence[Comparison], since: Instant, until: Instant) -> Iterator[str]:
    """What is printed: the alerts of each task that had or would have some, and a summary."""
    for each in compared:
        if each.alerts:
            yield f"{each.name} {each.url}" + ("" if each.monitored else " (not in this ini file)")
            for line in each.alerts:
                notice = line.notice
                at = _second(notice.at)
                yield f"  {line.mark} {at}  {notice.event.value:9}  {notice.kind.value:11}  {notice.explanation}"
            yield ""
    silent = sum(not each.recorded for each in compared)
    tasks = f"{len(compared)} task{'s' if len(compared) != 1 else ''}"
    nothing = f", nothing recorded of {silent}" if silent else ""
    yield f"{_second(since)} to {_second(until)}, {tasks}{nothing}"
    same, new, gone = (_count(compared, mark) for mark in "=+-")
    yield f"alerts: {same} the same (=), {new} would be new (+), {gone} would not come (-)"


def _json(compared: Sequence[Comparison], since: Instant, until: Instant) -> str:
    same, new, gone = (_count(compared, mark) for mark in "=+-")
    tasks = [
        {
            "id": each.id,
            "name": each.name,
            "url": each.url,
            "monitored": each.monitored,
            "recorded": each.recorded,
            "alerts": [
                {
                    "mark": line.mark,
                    "at": iso(line.notice.at),
                    "event": line.notice.event,
                    "kind": line.notice.kind,
                    "explanation": line.notice.explanation,
                }
                for line in each.alerts
            ],
        }
        for each in compared
    ]
    answer = {"since": iso(since), "until": iso(until), "same": same, "new": new, "gone": gone, "tasks": tasks}
    return msgspec.json.format(msgspec.json.encode(answer)).decode()


def _second(instant: Instant) -> str:
    """``2026-11-22 21:02:11Z``."""
    return f"{iso(instant)}"[:19].replace("T", " ") + "Z"


def _count(compared: Sequence[Comparison], mark: str) -> int:
    return sum(line.mark == mark for each in compared for line in each.alerts)


def _fit(compared: Comparison, secrets: Secrets) -> Comparison:
    """The same, fit to be shown."""
    alerts = [
        Line(
            line.mark,
            msgspec.structs.replace(line.notice, explanation=secrets.scrub(one_line(line.notice.explanation))),
        )
        for line in compared.alerts
    ]
    return msgspec.structs.replace(compared, name=secrets.scrub(one_line(compared.name)), alerts=alerts)


def _overridden(task: Task, arguments: argparse.Namespace) -> Task:
    """The task with what the command line sets."""
    grace: Seconds = task.grace if arguments.grace is None else arguments.grace
    failures: int = task.failures if arguments.failures is None else arguments.failures
    return msgspec.structs.replace(task, grace=grace, failures=failures)


def _compared(reader: Reader, task: Task, since: Instant, until: Instant) -> Comparison:
    """One task that is in the ini file."""
    past, logged = remember(reader, task, since - LEAD, until)
    replayed = [
        notice
        for notice in replay(task, past)
        # Of an incident that went to no channel nobody knows when people were reminded of it.
        if notice.event is not Event.REMINDER or not any(start <= notice.at <= end for start, end in logged)
    ]
    alerts = [line for line in compare(past.told, replayed) if since <= line.notice.at < until]
    recorded = any(found.last >= since for found in past.found)
    return Comparison(task.id, task.name, task.label, True, recorded, alerts)


def _gone(reader: Reader, settings: Settings, since: Instant, until: Instant) -> Iterator[Comparison]:
    """Those that people were told of and that are not in the ini file."""
    monitored = {task.url for task in settings.tasks}
    for url, told in others(reader, monitored, since, until).items():
        yield Comparison(task_id(url), label(url), label(url), False, True, compare(told, ()))
