"""
The database file: whether it is ours and sound, how it comes to be, how it is upgraded.

Note [Looking before touching]
~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
SQLite recovers, checkpoints and rewrites headers as soon as it opens a file for writing, whoever's it is. So the first
100 bytes are read by hand, and what they cannot tell is asked through a read-only connection; a file that is damaged,
foreign or newer has not one byte changed. The header can be trusted, for it is only ever changed outside WAL mode: a
new database is made under another name and renamed, an upgrade goes back to a rollback journal for its transaction.
"""

from __future__ import annotations

import os
import sqlite3
import stat
import time
from collections.abc import Sequence
from contextlib import closing, suppress
from importlib.resources import files
from typing import Final
from urllib.parse import quote

from pypinger.ports.storing import StoreError
from pypinger.store.lock import Lock

#: "PyPi" in the header says whose database it is.
APPLICATION_ID: Final = 0x50795069

#: For how many seconds the start may look for damage; larger databases are looked through as far as that goes, the
#: present and the outbox first.
CHECK_LIMIT: Final = 10.0

#: How many seconds SQLite waits for another program that has the database locked.
BUSY: Final = 2.0

#: The path of a database that is kept in memory only.
MEMORY: Final = ":memory:"

_MAGIC = b"SQLite format 3\0"
_HEADER = 100


def scripts() -> Sequence[str]:
    """The numbered files of the schema; version n of the database is what the first n of them make."""
    directory = files("pypinger.store") / "schema"
    names = sorted(each.name for each in directory.iterdir() if each.name.endswith(".sql"))
    return [(directory / name).read_text(encoding="utf-8") for name in names]


def connect(path: str, *, query: str = "") -> sqlite3.Connection:
    """A connection for any one thread, with transactions in our own hands."""
    return sqlite3.connect(
        f"file:{quote(path)}{query}", uri=True, timeout=BUSY, isolation_level=None, check_same_thread=False
    )


def open_database(path: str, schema: Sequence[str]) -> tuple[sqlite3.Connection, Lock | None]:
    """
    Open the database for writing and lock it; make or upgrade it first if need be.

    :param schema: see :func:`scripts`.
    :returns: a connection, and the lock, which a database in memory does not have.
    :raises StoreError: it cannot be used; it has not been touched then.
    """
    if path == MEMORY:
        return _in_memory(schema), None
    # Before the lock too, so that none is left beside what is not ours.
    _version(path, len(schema))
    lock = Lock(path)
    try:
        return _open(path, schema), lock
    except BaseException:
        lock.release()
        raise


def _open(path: str, schema: Sequence[str]) -> sqlite3.Connection:
    try:
        version = _version(path, len(schema))
        if version is not None:
            _look_for_damage(path, schema[:version])
        else:
            _make(path, schema)
        connection = connect(path)
        try:
            if version is not None and version < len(schema):
                _upgrade(path, connection, version, schema)
            if connection.execute("PRAGMA journal_mode = WAL").fetchone()[0] != "wal":
                raise StoreError(f"[store] path {path}: its file system cannot hold a database in WAL mode; move it")
            connection.execute("PRAGMA journal_size_limit = 67108864")
        except BaseException:
            connection.close()
            raise
    except sqlite3.Error as error:
        raise unusable(path, error) from error
    except OSError as error:
        raise StoreError(
            f"[store] path {path}: {error.strerror}; let the user that runs Py Pinger write there, or change the path"
        ) from error
    return connection


def unusable(path: str, error: sqlite3.Error) -> StoreError:
    """What SQLite's words mean to the operator."""
    words = str(error)
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StoreError(f"[store] path {path}: another program has it locked ({words}); end that program")
    if code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):
        return StoreError(f"[store] path {path}: it cannot be written ({words}); see to the disk")
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
        return StoreError(
            f"[store] path {path}: it cannot be opened or written ({words}); let the user that runs Py Pinger write to"
            " it and to its directory"
        )
    return damaged(path, words)


def damaged(path: str, words: str) -> StoreError:
    """Somebody must decide: Py Pinger neither mends nor removes it."""
    return StoreError(
        f"[store] path {path}: it is damaged ({' '.join(words.split())}); put a backup in its place, or move it away to"
        " start anew"
    )


def _version(path: str, known: int) -> int | None:
    """
    Read the header.

    :param known: the newest version that this program knows.
    :returns: the schema's version, None if there is no database yet.
    :raises StoreError: there is something that is not ours, or nothing can be there.
    """
    directory = os.path.dirname(path) or "."
    if not os.path.isdir(directory):
        raise StoreError(f"[store] path {path}: the directory {directory} does not exist; make it, or change the path")
    if not _may(directory, os.W_OK | os.X_OK):
        raise StoreError(
            f"[store] path {path}: the directory {directory} cannot be written; let the user that runs Py Pinger do so,"
            " or change the path"
        )
    try:
        # No device or pipe must hold us up, nor be read.
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(mode):
        raise StoreError(f"[store] path {path}: it is a directory; name a file in it")
    if not stat.S_ISREG(mode):
        raise StoreError(f"[store] path {path}: it is no regular file; change the path")
    if not _may(path, os.R_OK | os.W_OK):
        raise StoreError(
            f"[store] path {path}: it cannot be read and written; let the user that runs Py Pinger do so, or change the"
            " path"
        )
    with open(path, "rb") as file:
        header = file.read(_HEADER)
    if not header:
        return None
    application = int.from_bytes(header[68:72], "big")
    if not header.startswith(_MAGIC) or len(header) < _HEADER or application != APPLICATION_ID:
        what = "an SQLite database of another program" if header.startswith(_MAGIC) else "no SQLite database"
        raise StoreError(
            f"[store] path {path}: it is {what}, or damaged; change the path, or move the file away to start anew"
        )
    version = int.from_bytes(header[60:64], "big")
    if version > known:
        raise StoreError(
            f"[store] path {path}: a newer Py Pinger wrote it (schema {version}, this one knows {known}); install that"
            " version again, or put the backup made before its upgrade in its place"
        )
    if version < 1:
        raise damaged(path, f"schema {version}")
    return version


def _may(path: str, mode: int) -> bool:
    """Whether we may, as whoever we are since the privileges were given up."""
    return os.access(path, mode, effective_ids=os.access in os.supports_effective_ids)


def _look_for_damage(path: str, schema: Sequence[str]) -> None:
    """
    Read all of it, within :data:`CHECK_LIMIT` seconds.

    :param schema: what made it.
    :raises StoreError: something is wrong with it.
    """
    if os.path.exists(f"{path}-journal"):
        # An upgrade was killed. Only a connection that may write can undo what it did, and the file is ours.
        with closing(connect(path)) as connection:
            connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    wal = os.path.exists(f"{path}-wal")
    with closing(connect(path, query="?mode=ro" if wal else "?mode=ro&immutable=1")) as connection:
        found = _columns(connection)
        missing = min(_columns_of(schema) - found, default=None)
        if missing is not None:
            table, column = missing
            gone = table not in {name for name, _ in found}
            raise damaged(path, f"its table {table} is missing" if gone else f"its table {table} lacks {column}")
        deadline = time.monotonic() + CHECK_LIMIT
        connection.set_progress_handler(lambda: time.monotonic() > deadline, 10_000)
        try:
            (words,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT:
                raise
            words = "ok"
    if words != "ok":
        raise damaged(path, words)


def _columns_of(schema: Sequence[str]) -> set[tuple[str, str]]:
    """Those of a database that these scripts make."""
    with closing(_in_memory(schema)) as connection:
        return _columns(connection)


def _in_memory(schema: Sequence[str]) -> sqlite3.Connection:
    connection = sqlite3.connect(MEMORY, isolation_level=None, check_same_thread=False)
    for version, script in enumerate(schema, 1):
        apply(connection, version, script)
    return connection


def _columns(connection: sqlite3.Connection) -> set[tuple[str, str]]:
    """Each table with each of its columns."""
    return set(
        connection.execute(
            "SELECT t.name, c.name FROM sqlite_schema AS t, pragma_table_info(t.name) AS c WHERE t.type = 'table'"
        )
    )


def _make(path: str, schema: Sequence[str]) -> None:
    """Make a new database under another name, so that there never is half of one under its own."""
    new = f"{path}.new"
    with suppress(FileNotFoundError):
        os.unlink(new)
    os.close(os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o640))
    try:
        with closing(connect(new)) as connection:
            for version, script in enumerate(schema, 1):
                apply(connection, version, script)
        for left in ("-wal", "-shm", "-journal"):
            # Of a database that somebody removed: they would be taken for the new one's.
            with suppress(FileNotFoundError):
                os.unlink(f"{path}{left}")
        _settle(new, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(new)
        raise


def _upgrade(path: str, connection: sqlite3.Connection, version: int, schema: Sequence[str]) -> None:
    """Make a backup, then apply what is new."""
    connection.execute("PRAGMA journal_mode = DELETE")
    backup, part = f"{path}.before-{len(schema)}", f"{path}.before-{len(schema)}.part"
    with suppress(FileNotFoundError):
        os.unlink(part)
    os.close(os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o640))
    with closing(connect(part)) as copy:
        connection.backup(copy)
    _settle(part, backup)
    for number, script in enumerate(schema[version:], version + 1):
        apply(connection, number, script)


def apply(connection: sqlite3.Connection, version: int, script: str) -> None:
    """Bring the schema from the version before to this one, all or nothing."""
    try:
        connection.executescript(
            f"BEGIN IMMEDIATE;\n{script}\n"
            f"PRAGMA application_id = {APPLICATION_ID};\nPRAGMA user_version = {version};\nCOMMIT;"
        )
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _settle(part: str, path: str) -> None:
    """Give a finished file its name, for good."""
    for name in (part, os.path.dirname(path) or "."):
        file = os.open(name, os.O_RDONLY)
        try:
            os.fsync(file)
        finally:
            os.close(file)
        if name == part:
            os.rename(part, path)
