"""
The store that a command reads: that of the service, unless an option names another.

A database of an earlier version, a backup say, is upgraded in a temporary copy.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager

import msgspec

from pypinger.config import load
from pypinger.config.settings import MISSING_CREDENTIAL, Settings, StoreSettings
from pypinger.notify import channels, unusable
from pypinger.ports.storing import StoreError
from pypinger.store.database import APPLICATION_ID, MEMORY, apply, connect, copy, scripts
from pypinger.store.database import unusable as unusable_database
from pypinger.store.reading import Reader
from pypinger.store.sources import SqliteSource

#: Where the service of py-pinger.service keeps its state.
SERVICE = "/var/lib/pypinger"

_VARIABLE = "STATE_DIRECTORY"


def load_settings(path: str, state: str | None = None) -> Settings:
    """
    Load an ini file for a command that reads the store; its path is then that of the store to read, unless it has a
    URL.

    A path in the ini file is relative to the state directory. That is `state`, else ``$STATE_DIRECTORY``, else the
    service's, if it is there, else the working directory.

    :param state: a directory, or a store itself.
    :raises ConfigErrors: the file is invalid.
    """
    here = _load(path, dict(os.environ))
    if here.store.path == MEMORY and not here.store.url:
        return here
    if state is not None:
        name = os.path.basename(here.store.path)
        found = os.path.join(state, name) if os.path.isdir(state) else state
        return _with_store(here, os.path.abspath(found))
    if here.store.url or os.environ.get(_VARIABLE) or not os.path.lexists(SERVICE):
        return here
    service = _load(path, {**os.environ, _VARIABLE: SERVICE})
    try:
        os.stat(service.store.path)
    except FileNotFoundError:
        # Installed, and never run: the daemon may run from this directory.
        return here if os.path.exists(here.store.path) else service
    except OSError:
        pass
    return service


def _load(path: str, environ: dict[str, str]) -> Settings:
    return load(path, channels=channels(), unusable=unusable(), environ=environ, credentials=False)


def _with_store(settings: Settings, path: str) -> Settings:
    return msgspec.structs.replace(settings, store=msgspec.structs.replace(settings.store, path=path, url=""))


@contextmanager
def open_store(store: StoreSettings) -> Iterator[Reader]:
    """
    Open the store of an ini file for reading.

    :raises StoreError: it cannot be read.
    """
    if not store.url:
        with open_history(store.path) as reader:
            yield reader
        return
    if MISSING_CREDENTIAL in store.url:
        raise StoreError(
            "[store] url: its credential cannot be read here; set CREDENTIALS_DIRECTORY, or leave the password to"
            " ~/.pgpass"
        )
    from pypinger.store.postgres.source import PostgresSource

    with closing(Reader(PostgresSource(store.url, "command"))) as reader:
        yield reader


@contextmanager
def open_history(path: str) -> Iterator[Reader]:
    """
    Open an SQLite store for reading.

    :raises StoreError: the file cannot be read, or is no database that this version knows.
    """
    with of_present_schema(path) as present, closing(Reader(SqliteSource(present))) as reader:
        yield reader


@contextmanager
def of_present_schema(path: str) -> Iterator[str]:
    """
    The path of a database with this version's schema: the store itself, or an upgraded copy.

    :raises StoreError: the file cannot be read, or is no database that this version knows.
    """
    if path == MEMORY:
        raise StoreError("[store] path is :memory:, which keeps nothing; name the file that has the history")
    try:
        with open(path, "rb") as file:
            header = file.read(100)
    except OSError as error:
        advice = "; run this as the service's user, or with sudo" if isinstance(error, PermissionError) else ""
        raise StoreError(f"[store] path {path}: cannot be read: {error.strerror}{advice}") from None
    if int.from_bytes(header[68:72], "big") != APPLICATION_ID:
        raise StoreError(f"[store] path {path}: not a database of Py Pinger; change the path")
    version, known = int.from_bytes(header[60:64], "big"), len(scripts())
    if version > known or version < 1:
        raise StoreError(
            f"[store] path {path}: written by another version of Py Pinger (schema {version}, this one reads"
            f" {known}); use the pypinger command of that version"
        )
    if version == known:
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="pypinger-", ignore_cleanup_errors=True) as directory:
        upgraded = os.path.join(directory, "upgraded.sqlite")
        _upgrade(path, version, upgraded)
        yield upgraded


def _upgrade(path: str, version: int, target: str) -> None:
    """
    Write an upgraded copy of a database of an earlier version.

    :raises StoreError: it cannot be read, or the copy cannot be written.
    """
    try:
        # Beside a database that no daemon has open there is no log, and without write permission none can be made.
        query = "?mode=ro" if os.path.exists(f"{path}-wal") else "?mode=ro&immutable=1"
        with closing(connect(path, query=query)) as source:
            copy(source, target)
        with closing(connect(target)) as connection:
            for number, script in enumerate(scripts()[version:], version + 1):
                apply(connection, number, script)
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_FULL:
            raise _no_room(path, shutil.disk_usage(os.path.dirname(target)).free) from None
        raise unusable_database(path, error) from error
    except sqlite3.Error as error:
        raise unusable_database(path, error) from error
    except OSError as error:
        raise StoreError(f"[store] path {path}: cannot be copied: {error.strerror}") from None


def _no_room(path: str, free: int) -> StoreError:
    where = tempfile.gettempdir()
    return StoreError(
        f"[store] path {path}: no room in {where} ({free:,} bytes) for a copy in this version's schema; set TMPDIR"
    )
