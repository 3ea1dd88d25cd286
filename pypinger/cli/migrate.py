"""``pypinger migrate``: moves the SQLite store into the PostgreSQL database that ``[store] url`` names."""

from __future__ import annotations

import argparse
import os
import sqlite3
import sys
import time
from contextlib import closing

from pypinger.cli._store import load_settings, of_present_schema
from pypinger.config import ConfigErrors, load
from pypinger.domain.databaseurl import shown
from pypinger.domain.redaction import Secrets
from pypinger.notify import channels, unusable
from pypinger.ports.storing import StoreError
from pypinger.store.database import MEMORY, connect, damaged
from pypinger.store.lock import Lock

#: Exit codes.
MOVED, BAD_INPUT, NOT_MOVED = 0, 2, 3

#: Seconds between two lines of progress within a table.
PROGRESS = 5.0


def run(arguments: argparse.Namespace) -> int:
    """
    Move the store, and print what was moved.

    :returns: the exit code: 0, 2 an error in the arguments or the ini file, 3 nothing was moved.
    """
    try:
        # The URL may need a credential; the path is that of the service.
        settings = load(arguments.ini, channels=channels(), unusable=unusable(), environ=os.environ)
        path = load_settings(arguments.ini, arguments.state).store.path
    except ConfigErrors as errors:
        print(errors, file=sys.stderr)
        return BAD_INPUT
    store = settings.store
    if not store.url or path == MEMORY:
        what = (
            "url: it is not set; it names the database to move to" if not store.url else "path: nothing is kept there"
        )
        print(f"{settings.path}: [store] {what}", file=sys.stderr)
        return BAD_INPUT
    secrets = Secrets(settings.secrets)
    try:
        counts = _move(path, store.url, store.instance)
    except StoreError as error:
        print(secrets.scrub(str(error)), file=sys.stderr)
        return NOT_MOVED
    print(
        f"moved to {shown(store.url)}: {_count(counts['task'], 'task')}, {_count(counts['incident'], 'incident')},"
        f" {_count(counts['delivery'], 'alert')}, {_count(counts['silence'], 'silence')},"
        f" {_count(counts['run'], 'run')}; {path} stays as it is"
    )
    return MOVED


def _move(path: str, url: str, name: str) -> dict[str, int]:
    from pypinger.store.postgres.moving import move

    if not os.path.isfile(path):
        raise StoreError(f"[store] path {path}: there is no store to move")
    lock = Lock(path, os.path.realpath(path))
    try:
        lock.lock_database()
        with of_present_schema(path) as present, closing(connect(present, query="?mode=ro")) as source:
            try:
                return move(source, url, name, _Progress().moved)
            except (sqlite3.Error, ValueError) as error:
                raise damaged(path, str(error)) from error
    except OSError as error:
        raise StoreError(
            f"[store] path {path}: {error.strerror}; run this as the service's user, or with sudo"
        ) from None
    finally:
        lock.release()


class _Progress:
    """Prints how far the move is."""

    def __init__(self) -> None:
        self._said = time.monotonic()

    def moved(self, table: str, done: int, total: int) -> None:
        now = time.monotonic()
        if done == total or now >= self._said + PROGRESS:
            self._said = now
            print(f"{table}: {done:,}" if done == total else f"{table}: {done:,} of {total:,}", file=sys.stderr)


def _count(number: int, word: str) -> str:
    return f"{number:,} {word}{'' if number == 1 else 's'}"
