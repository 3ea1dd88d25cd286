"""
``pypinger replay``: compare the alerts that another configuration would have given with those that were given.

It reads the store, also while the daemon is running, and changes nothing. See :mod:`pypinger.domain.replay`.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence

import msgspec

from pypinger.cli._recorded import others, records
from pypinger.cli._store import load_settings, open_store
from pypinger.config import ConfigErrors
from pypinger.config.settings import Settings
from pypinger.domain.identity import label_of, name_of
from pypinger.domain.model import Event, Instant, Seconds, Task
from pypinger.domain.redaction import Secrets
from pypinger.domain.replay import Line, compare, replay
from pypinger.domain.replaypushes import replay_pushes
from pypinger.domain.texts import one_line
from pypinger.domain.times import DAY, iso
from pypinger.domain.url import label, task_id
from pypinger.ports.storing import StoreError
from pypinger.store.reading import Reader

#: Exit codes.
SAME, DIFFERS, BAD_INPUT, UNREADABLE = 0, 1, 2, 3

#: How long before the period a replay begins, to know the state at its start.
LEAD: Seconds = DAY


class Comparison(msgspec.Struct, frozen=True):
    """
    The result of one task.

    :ivar url: as it may be shown.
    :ivar monitored: whether it is in the ini file.
    :ivar recorded: whether the store holds findings of it in the period.
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

    :returns: the exit code: 0 the alerts are the same, 1 they differ, 2 an error in the arguments or the ini file, 3
        the store cannot be read.
    """
    now = time.time()
    since, until = arguments.since(now), now if arguments.until is None else arguments.until(now)
    if since >= until:
        arguments.parser.error("--since must be earlier than --until")
    try:
        settings = load_settings(arguments.ini, arguments.state)
    except ConfigErrors as errors:
        print(errors, file=sys.stderr)
        return BAD_INPUT
    wanted = [task for task in settings.tasks if arguments.task in (None, task.id, task.url or task.name)]
    tasks = [_overridden(task, arguments) for task in wanted]
    if arguments.task is not None and not tasks:
        print(f"{settings.path}: no task {label(arguments.task)}", file=sys.stderr)
        return BAD_INPUT
    secrets = Secrets(settings.secrets)
    try:
        with open_store(settings.store) as reader:
            compared = [_compared(reader, task, since, until) for task in tasks]
            if arguments.task is None:
                compared += _unmonitored(reader, settings, since, until)
    except StoreError as error:
        print(secrets.scrub(str(error)), file=sys.stderr)
        return UNREADABLE
    compared = [_fit(each, secrets) for each in compared]
    print(_json(compared, since, until) if arguments.json else "\n".join(lines(compared, since, until)))
    return DIFFERS if any(line.mark != "=" for each in compared for line in each.alerts) else SAME


def lines(compared: Sequence[Comparison], since: Instant, until: Instant) -> Iterator[str]:
    """Yield the lines of the output: the alerts of each task that has any, and a summary."""
    for each in compared:
        if each.alerts:
            yield f"{each.name} {each.url}".rstrip() + ("" if each.monitored else " (not in this ini file)")
            for line in each.alerts:
                notice = line.notice
                at = _second(notice.at)
                yield f"  {line.mark} {at}  {notice.event.value:9}  {notice.kind.value:11}  {notice.explanation}"
            yield ""
    unrecorded = sum(not each.recorded for each in compared)
    tasks = f"{len(compared)} task{'s' if len(compared) != 1 else ''}"
    nothing = f", {unrecorded} without records" if unrecorded else ""
    yield f"{_second(since)} to {_second(until)}, {tasks}{nothing}"
    same, new, gone = (_count(compared, mark) for mark in "=+-")
    yield f"alerts: {same} unchanged (=), {new} new (+), {gone} gone (-)"


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
    """Return the comparison on single lines and without secrets."""
    alerts = [
        Line(
            line.mark,
            msgspec.structs.replace(line.notice, explanation=secrets.scrub(one_line(line.notice.explanation))),
        )
        for line in compared.alerts
    ]
    return msgspec.structs.replace(compared, name=secrets.scrub(one_line(compared.name)), alerts=alerts)


def _overridden(task: Task, arguments: argparse.Namespace) -> Task:
    """Return the task with the settings of the command line."""
    grace: Seconds = task.grace if arguments.grace is None else arguments.grace
    failures: int = task.failures if arguments.failures is None else arguments.failures
    return msgspec.structs.replace(task, grace=grace, failures=failures)


def _compared(reader: Reader, task: Task, since: Instant, until: Instant) -> Comparison:
    """Compare a task of the ini file."""
    recorded, logged = records(reader, task, since - LEAD, until)
    replayed = [
        notice
        for notice in (replay_pushes if task.url is None else replay)(task, recorded)
        # Reminders of incidents that were sent to no channel are not stored.
        if notice.event is not Event.REMINDER or not any(start <= notice.at <= end for start, end in logged)
    ]
    alerts = [line for line in compare(recorded.given, replayed) if since <= line.notice.at < until]
    seen = any(run.last >= since for run in recorded.runs)
    return Comparison(task.id, task.name, task.label, True, seen, alerts)


def _unmonitored(reader: Reader, settings: Settings, since: Instant, until: Instant) -> Iterator[Comparison]:
    """Yield the tasks that had alerts and are not in the ini file."""
    monitored = {task.key for task in settings.tasks}
    for key, given in others(reader, monitored, since, until).items():
        yield Comparison(task_id(key), name_of(key), label_of(key), False, True, compare(given, ()))
