"""``pypinger validate``: reads an ini file as the daemon does, and lists its problems."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator

from pypinger.cli.routes import NoSuchTask, describe
from pypinger.config import ConfigErrors, load
from pypinger.config.settings import MISSING_CREDENTIAL, Settings
from pypinger.domain.databaseurl import shown
from pypinger.domain.texts import one_line
from pypinger.notify import channels, unusable
from pypinger.store.database import APPLICATION_ID, scripts


def run(arguments: argparse.Namespace) -> int:
    """
    Print a summary of a valid file or, if that is asked for, where its alerts go, or all problems on standard error.

    :returns: the exit code: 0 valid, 1 invalid.
    """
    if arguments.task and not arguments.routes:
        arguments.parser.error("TASK goes with --routes")
    try:
        settings = load(arguments.ini, channels=channels(), unusable=unusable(), environ=os.environ, credentials=False)
    except ConfigErrors as errors:
        print(errors, file=sys.stderr)
        return 1
    for warning in settings.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    words = "" if settings.store.url else store_problem(settings.store.path)
    if words:
        print(f"{settings.path}: [store] path: {words}", file=sys.stderr)
        return 1
    try:
        print("\n".join(describe(settings, arguments.task) if arguments.routes else summary(settings)))
    except NoSuchTask as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def store_problem(path: str) -> str:
    """
    Return why the daemon could not use the file at `path`; empty if it could, or if only the service may read it.

    Damage inside a database is found by the daemon only, since that takes long and needs the lock.
    """
    try:
        with open(path, "rb") as file:
            header = file.read(100)
    except OSError:
        return ""
    if header and int.from_bytes(header[68:72], "big") != APPLICATION_ID:
        return f"{path} is not a database of Py Pinger"
    if int.from_bytes(header[60:64], "big") > len(scripts()):
        return f"{path} was written by a newer version of Py Pinger"
    return ""


def summary(settings: Settings) -> Iterator[str]:
    """Yield a few lines about the settings, without secrets."""
    yield f"{settings.path} is valid"
    if settings.included:
        yield f"included: {', '.join(map(one_line, settings.included))}"
    yield f"tasks: {len(settings.tasks)}, from [urls] {'dev' if settings.debug else 'prod'} and [task] sections"
    names = ", ".join(channel.name for channel in settings.channels) or "none"
    yield f"channels: {names}" + (" (only_log is true: nothing is sent)" if settings.only_log else "")
    yield f"token for the tasks: {'no' if settings.token_auth is None else 'yes'}"
    yield f"pages: {settings.web.endpoint}"
    if any(task.push_key for task in settings.tasks):
        yield f"pushes: {settings.push.endpoint or settings.web.endpoint}"
    store = settings.store
    if not store.url:
        yield f"store: {store.path}"
    else:
        where = "the database of a credential" if MISSING_CREDENTIAL in store.url else shown(store.url)
        yield f"store: {where}, as instance {store.instance}"
