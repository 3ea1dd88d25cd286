"""
``pypinger check``: judge one report once, as a plugin for Nagios and Icinga.

The daemon's own code fetches, reads and judges; this module finds the task's settings and prints the verdict.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator
from typing import Any

import msgspec

from pypinger.cli._codes import UNKNOWN
from pypinger.config import ConfigErrors, load, pem
from pypinger.config.headers import header_problem
from pypinger.config.settings import Settings, StoreSettings, TokenAuth
from pypinger.domain import judge, report, wording
from pypinger.domain import url as urls
from pypinger.domain.kinds import Status
from pypinger.domain.model import Answer, Check, Fault, Instant, NoAnswer, Observation, Reported, Seconds, Task
from pypinger.domain.redaction import Secrets, url_secrets
from pypinger.domain.texts import one_line
from pypinger.domain.times import iso
from pypinger.notify import channels, unusable
from pypinger.ports.fetching import Fetcher

#: The word and the exit code of a plugin for each status.
STATES: dict[Status, tuple[str, int]] = {
    Status.OK: ("OK", 0),
    Status.SLEEPING: ("WARNING", 1),
    Status.ERROR: ("CRITICAL", 2),
}


class NotChecked(Exception):
    """The check could not be made; ``str()`` says why."""


def run(arguments: argparse.Namespace) -> int:
    """
    Check and print.

    :returns: the exit code: 0 ok, 1 sleeping, 2 error, 3 unknown.
    """
    try:
        settings = _settings(arguments)
        secrets = _secrets(arguments.target, settings)
        if "://" not in arguments.target:
            _refuse_push_task(arguments.target, settings)
            task = _overridden(msgspec.structs.replace(settings.task_defaults, label=arguments.target), arguments)
            return _print(task, _judged(task, _read(arguments.target, settings.max_body)), secrets)
        task = _overridden(_task(arguments.target, settings), arguments)
        if settings.lacks_credential(task):
            raise NotChecked("the task needs a credential of the service; pypinger validate names it")
    except NotChecked as error:
        return _unknown(error)

    async def fetch(reactor: Any) -> int:
        from pypinger.http.fetcher import TaskFetcher

        fetcher = TaskFetcher(
            reactor,
            token=settings.token_auth,
            max_body=settings.max_body,
            ca_file=settings.ca_file,
            proxy=settings.proxy,
            learned=secrets.add,
        )
        code = await examine(fetcher, task, secrets)
        await fetcher.close()
        return code

    from pypinger.cli._reactor import run_until_done

    return run_until_done(fetch, UNKNOWN)


async def examine(fetcher: Fetcher, task: Task, secrets: Secrets) -> int:
    """Fetch, judge and print; returns the exit code."""
    observation = await fetcher.fetch(task)
    try:
        return _print(task, _judged(task, observation), secrets)
    except NotChecked as error:
        return _unknown(error)


def lines(task: Task, check: Check) -> Iterator[str]:
    """Yield the output for a check: the plugin line with its performance data, then the details."""
    verdict, finding = check.verdict, check.finding
    word, _ = STATES[verdict.status]
    kind = "" if verdict.status is Status.OK else f"{verdict.kind.value}: "
    figures = " ".join(_figures(task, check))
    age = wording.age(verdict.kind, finding.report if isinstance(finding, Reported) else None, verdict.due, check.at)
    explanation = f"{verdict.explanation} ({age})" if age else verdict.explanation
    yield f"{word} - {kind}{fit(explanation)}" + (f" | {figures}" if figures else "")
    details: list[tuple[str, str | None]] = [("task", task.label), ("kind", verdict.kind.value)]
    if isinstance(finding, Reported):
        found = finding.report
        details += ("process", found.process), ("server", found.server), ("reason", found.reason)
        details += ("last run", iso(found.lastrun)), ("started", iso(found.started))
    details += ("due", iso(verdict.due)), ("next change", iso(verdict.next_change))
    for name, text in details:
        if text:
            yield f"{name}: {fit(text)}"


def fit(text: str) -> str:
    """Return `text` on one line and without ``|``, which would begin performance data."""
    return one_line(text).replace("|", "\N{BROKEN BAR}")


def _figures(task: Task, check: Check) -> Iterator[str]:
    """
    Yield the performance data.

    The age is that of the last run, or of the one under way; its thresholds are the due time and the end of the grace.
    """
    if task.url is not None:
        yield f"latency={check.latency:.3f}s;;;0;{task.timeout:g}"
    if isinstance(check.finding, Reported):
        found, due = check.finding.report, check.verdict.due
        since = found.started if found.running or found.lastrun is None else found.lastrun
        if since is not None:
            thresholds = "" if due is None else f";{due - since:.0f};{due + task.grace - since:.0f}"
            yield f"age={check.at - since:.0f}s{thresholds}"


def _settings(arguments: argparse.Namespace) -> Settings:
    """Return the settings of the ini file or the defaults, with the header of the command line in place of a token."""
    settings = Settings(path="", store=StoreSettings(path=":memory:"))
    if arguments.config is not None:
        try:
            settings = load(
                arguments.config, channels=channels(), unusable=unusable(), environ=os.environ, credentials=False
            )
        except ConfigErrors as errors:
            raise NotChecked(f"the ini file is not valid: {errors.problems[0]}") from None
    if arguments.header is None:
        return settings
    name, colon, value = (part.strip() for part in arguments.header.partition(":"))
    if not (name and colon and value and f"{name}{value}".isascii() and f"{name}{value}".isprintable()):
        raise NotChecked("--header must be like 'X-Auth-Token: abc'")
    if words := header_problem(name):
        raise NotChecked(f"the name in --header {words}")
    return msgspec.structs.replace(
        settings, token_auth=TokenAuth(header=name, token=value), secrets=settings.secrets | {value}
    )


def _secrets(target: str, settings: Settings) -> Secrets:
    """Return the secrets that an endpoint may repeat: those of the ini file, and of the URL itself."""
    return Secrets(settings.secrets | url_secrets(target))


def _task(text: str, settings: Settings) -> Task:
    """Return the task of the ini file with this URL, else one with the settings of ``[main]``."""
    try:
        url = urls.parse(text)
    except ValueError as error:
        raise NotChecked(f"{urls.label(text)}: {error}") from None
    for task in settings.tasks:
        if task.url == url.text:
            return task
    return msgspec.structs.replace(
        settings.task_defaults,
        url=url.text,
        id=url.id,
        name=url.label,
        label=url.label,
        named=False,
        origin=url.origin,
        credentials=url.credentials,
    )


def _overridden(task: Task, arguments: argparse.Namespace) -> Task:
    """Return the task with the settings of the command line."""
    if arguments.ca_file is not None:
        ca_file = os.path.abspath(arguments.ca_file)
        if words := pem.check_ca(ca_file):
            raise NotChecked(f"--ca-file: {words}")
        task = msgspec.structs.replace(task, ca_file=ca_file)
    if arguments.timeout == 0:
        raise NotChecked("--timeout must be more than 0")
    timeout: Seconds = task.timeout if arguments.timeout is None else arguments.timeout
    grace: Seconds = task.grace if arguments.grace is None else arguments.grace
    return msgspec.structs.replace(task, timeout=timeout, grace=grace)


def _refuse_push_task(target: str, settings: Settings) -> None:
    """Raise :class:`NotChecked` where a file is not there, but a push task has its name."""
    pushing = any(task.url is None and target in (task.name, task.id) for task in settings.tasks)
    if pushing and not os.path.exists(target):
        raise NotChecked(f"{target} is a push task, which cannot be fetched; pypinger status shows it")


def _read(path: str, max_body: int) -> Observation:
    """Read a report from a file, with the same limit as one from the network."""
    try:
        if path == "-":
            body = sys.stdin.buffer.read(max_body + 1)
        else:
            with open(path, "rb") as file:
                body = file.read(max_body + 1)
    except (OSError, ValueError) as error:
        raise NotChecked(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from None
    if len(body) > max_body:
        return NoAnswer(Fault.TOO_LARGE, f"the file is larger than {max_body:,} bytes", 0.0)
    return Answer(200, body, 0.0)


def _judged(task: Task, observation: Observation) -> Check:
    """
    Judge an observation.

    :raises NotChecked: the fault is on our side, so nothing is known of the task.
    """
    if isinstance(observation, NoAnswer) and observation.fault in (Fault.OWN, Fault.NO_ROUTE):
        raise NotChecked(observation.words)
    now: Instant = time.time()
    finding = report.read(observation)
    return Check(now, observation.latency, finding, judge.judge(finding, task, now))


def _unknown(error: NotChecked) -> int:
    print(f"UNKNOWN - {fit(str(error))}")
    return UNKNOWN


def _print(task: Task, check: Check, secrets: Secrets) -> int:
    print(secrets.scrub("\n".join(lines(task, check))))
    return STATES[check.verdict.status][1]
