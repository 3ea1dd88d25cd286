"""
The database file: checked, created, upgraded and opened.

Note [No byte changed]
~~~~~~~~~~~~~~~~~~~~~~
SQLite recovers, checkpoints and rewrites headers as soon as it opens a file for writing. So the first 100 bytes are
read directly, and the rest is checked through a read-only connection: a file that is damaged, foreign or newer is not
changed. The header can be trusted because it only changes outside WAL mode: a new database is created under another
name and renamed, and an upgrade uses a rollback journal for its transaction.
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

#: "PyPi" in the header marks the database as ours.
APPLICATION_ID: Final = 0x50795069

#: Seconds that the check for damage may take; of larger databases a part is checked.
CHECK_LIMIT: Final = 10.0

#: Seconds that SQLite waits for another program that has the database locked.
BUSY: Final = 2.0

#: The path of a database that is kept in memory only.
MEMORY: Final = ":memory:"

_MAGIC = b"SQLite format 3\0"
_HEADER = 100


def scripts() -> Sequence[str]:
    """The numbered files of the schema; the first n of them make version n."""
    directory = files("pypinger.store") / "schema"
    names = sorted(each.name for each in directory.iterdir() if each.name.endswith(".sql"))
    return [(directory / name).read_text(encoding="utf-8") for name in names]


def connect(path: str, *, query: str = "") -> sqlite3.Connection:
    """A connection that any one thread can use, in autocommit mode."""
    return sqlite3.connect(
        f"file:{quote(path)}{query}", uri=True, timeout=BUSY, isolation_level=None, check_same_thread=False
    )


def open_database(path: str, schema: Sequence[str]) -> tuple[sqlite3.Connection, Lock | None]:
    """
    Open the database for writing and lock it; create or upgrade it first if need be.

    :param schema: see :func:`scripts`.
    :returns: a connection, and the lock, which a database in memory does not have.
    :raises StoreError: it cannot be used, and has not been changed.
    """
    if path == MEMORY:
        return _in_memory(schema), None
    # Before the lock too, so that no lock file is left beside a foreign file.
    _version(path, len(schema))
    lock = Lock(path, os.path.realpath(path))
    try:
        if _version(path, len(schema)) is None:
            _create(path, schema)
        lock.lock_database()
        try:
            return _open(path, schema), lock
        except sqlite3.OperationalError as error:
            if not _locked(error):
                raise
            # This may be our own lock: see Note [Two locks] in the lock's module.
            lock.unlock_database()
            return _open(path, schema), lock
    except BaseException as error:
        lock.release()
        if isinstance(error, sqlite3.Error):
            raise unusable(path, error) from error
        if isinstance(error, OSError):
            raise StoreError(
                f"[store] path {path}: {error.strerror}; let the user that runs Py Pinger write there, or change the"
                " path"
            ) from error
        raise


def _open(path: str, schema: Sequence[str]) -> sqlite3.Connection:
    version = _version(path, len(schema))
    assert version is not None
    _check(path, schema[:version])
    connection = connect(path)
    try:
        if version < len(schema):
            _upgrade(path, connection, version, schema)
        if connection.execute("PRAGMA journal_mode = WAL").fetchone()[0] != "wal":
            raise StoreError(f"[store] path {path}: its file system does not support SQLite's WAL mode; move it")
        connection.execute("PRAGMA journal_size_limit = 67108864")
    except BaseException:
        connection.close()
        raise
    return connection


def unusable(path: str, error: sqlite3.Error) -> StoreError:
    """An error of SQLite, explained to the operator."""
    words = str(error)
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if _locked(error):
        return StoreError(f"[store] path {path}: another program has it locked ({words}); end that program")
    if code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):
        return StoreError(f"[store] path {path}: it cannot be written ({words}); check the disk")
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
        return StoreError(
            f"[store] path {path}: it cannot be opened or written ({words}); let the user that runs Py Pinger write to"
            " it and to its directory"
        )
    return damaged(path, words)


def damaged(path: str, words: str) -> StoreError:
    """The operator decides what happens to a damaged database."""
    return StoreError(
        f"[store] path {path}: it is damaged ({' '.join(words.split())}); put a backup in its place, or move it away to"
        " start with a new one"
    )


def copy(connection: sqlite3.Connection, path: str) -> None:
    """
    Copy the database of a connection to a new file, which appears under its name once it is complete.

    :raises sqlite3.Error, OSError: it could not be copied.
    """
    part = f"{path}.part"
    with suppress(FileNotFoundError):
        os.unlink(part)
    try:
        os.close(os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o640))
        with closing(connect(part)) as target:
            connection.backup(target)
            target.execute("PRAGMA journal_mode = DELETE")
        _settle(part, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(part)
        raise


def _locked(error: sqlite3.Error) -> bool:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def _version(path: str, known: int) -> int | None:
    """
    Read the schema's version from the header; None if there is no database yet.

    :param known: the newest version that this program knows.
    :raises StoreError: the file is not ours, or no database can be created.
    """
    directory = os.path.dirname(os.path.realpath(path))
    if not os.path.isdir(directory):
        raise StoreError(
            f"[store] path {path}: the directory {directory} does not exist; create it, or change the path"
        )
    if not _may(directory, os.W_OK | os.X_OK):
        raise StoreError(
            f"[store] path {path}: the directory {directory} cannot be written; let the user that runs Py Pinger write"
            " there, or change the path"
        )
    try:
        # Opening a device or a pipe could block.
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(mode):
        raise StoreError(f"[store] path {path}: it is a directory; name a file in it")
    if not stat.S_ISREG(mode):
        raise StoreError(f"[store] path {path}: it is not a regular file; change the path")
    if not _may(path, os.R_OK | os.W_OK):
        raise StoreError(
            f"[store] path {path}: it cannot be read and written; let the user that runs Py Pinger do both, or change"
            " the path"
        )
    with open(path, "rb") as file:
        header = file.read(_HEADER)
    if not header:
        return None
    application = int.from_bytes(header[68:72], "big")
    if not header.startswith(_MAGIC) or len(header) < _HEADER or application != APPLICATION_ID:
        what = "an SQLite database of another program" if header.startswith(_MAGIC) else "not an SQLite database"
        raise StoreError(
            f"[store] path {path}: it is {what}, or damaged; change the path, or move the file away to start with a new"
            " one"
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
    """Whether the effective user may, since twistd gives up its privileges."""
    return os.access(path, mode, effective_ids=os.access in os.supports_effective_ids)


def _check(path: str, schema: Sequence[str]) -> None:
    """
    Look for damage, for at most :data:`CHECK_LIMIT` seconds.

    :param schema: what created it.
    :raises StoreError: it is damaged.
    """
    if os.path.exists(_beside(path, "-journal")):
        # An upgrade was killed. Only a connection that can write can undo it, and the file is ours.
        with closing(connect(path)) as connection:
            connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    wal = os.path.exists(_beside(path, "-wal"))
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


def _beside(path: str, suffix: str) -> str:
    """A file beside the database, with its name and a suffix."""
    return os.path.realpath(path) + suffix


def _columns_of(schema: Sequence[str]) -> set[tuple[str, str]]:
    """The columns of a database that these scripts create."""
    with closing(_in_memory(schema)) as connection:
        return _columns(connection)


def _in_memory(schema: Sequence[str]) -> sqlite3.Connection:
    connection = sqlite3.connect(MEMORY, isolation_level=None, check_same_thread=False)
    for version, script in enumerate(schema, 1):
        apply(connection, version, script)
    return connection


def _columns(connection: sqlite3.Connection) -> set[tuple[str, str]]:
    """All pairs of table and column."""
    return set(
        connection.execute(
            "SELECT t.name, c.name FROM sqlite_schema AS t, pragma_table_info(t.name) AS c WHERE t.type = 'table'"
        )
    )


def _create(path: str, schema: Sequence[str]) -> None:
    """Create the database under another name, and rename it when it is complete."""
    new = _beside(path, ".new")
    with suppress(FileNotFoundError):
        os.unlink(new)
    os.close(os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o640))
    try:
        with closing(connect(new)) as connection:
            for version, script in enumerate(schema, 1):
                apply(connection, version, script)
        for left in ("-wal", "-shm", "-journal"):
            # Left by a removed database; SQLite would apply them to the new one.
            with suppress(FileNotFoundError):
                os.unlink(_beside(path, left))
        _settle(new, os.path.realpath(path))
    except BaseException:
        with suppress(OSError):
            os.unlink(new)
        raise


def _upgrade(path: str, connection: sqlite3.Connection, version: int, schema: Sequence[str]) -> None:
    """Make a backup, then apply the new scripts."""
    backup = _beside(path, f".before-{len(schema)}")
    try:
        copy(connection, backup)
    except (sqlite3.Error, OSError) as error:
        words = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise StoreError(
            f"[store] path {path}: {backup}, the backup before an upgrade, cannot be written ({words}); make room for"
            " it, and start again"
        ) from error
    connection.execute("PRAGMA journal_mode = DELETE")
    for number, script in enumerate(schema[version:], version + 1):
        apply(connection, number, script)


def apply(connection: sqlite3.Connection, version: int, script: str) -> None:
    """Bring the schema from the previous version to this one, in one transaction."""
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
    """Rename a complete file, durably."""
    for name in (part, os.path.dirname(path) or "."):
        file = os.open(name, os.O_RDONLY)
        try:
            os.fsync(file)
        finally:
            os.close(file)
        if name == part:
            os.rename(part, path)
