"""Opening the database: refusals and their messages, creation, upgrade and locks."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from shutil import rmtree

from twisted.python.runtime import platform
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from pypinger.domain.model import Delivery, TaskState
from pypinger.ports.storing import StoreError
from pypinger.store import database
from pypinger.store.sqlite import SqliteStore
from pypinger.store.tables import Tables
from tests.contracts.store import CHECK, STATE, TASK, alert
from tests.store.pump import Pump

HOLD = """
import sys, time
from pypinger.store.sqlite import SqliteStore
from pypinger.store.tables import Tables
from tests.store.pump import Pump
SqliteStore(Pump(), time.time, sys.argv[1], keep_days=90).open()
print("open", flush=True)
sys.stdin.read()
"""


def open_store(path: Path | str, now: Callable[[], float] = time.time) -> tuple[SqliteStore, Pump]:
    pump = Pump()
    store = SqliteStore(pump, now, str(path), keep_days=90)
    store.open()
    return store, pump


def close(store: SqliteStore, pump: Pump) -> None:
    pump.wait(store.close())


def python(code: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent.parent)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


class DatabaseTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="pypinger-store-"))
        self.addCleanup(rmtree, self.directory)
        self.path = self.directory / "pypinger.sqlite"

    def fill(self) -> None:
        """Create a database with content."""
        store, pump = open_store(self.path)
        pump.wait(store.commit(TASK, STATE, CHECK, [Delivery(alert(number), "slack") for number in range(50)]))
        close(store, pump)

    def refused(self, path: Path | None = None) -> str:
        """Assert that it is refused in one line with its path; return the line."""
        path = path or self.path
        with self.assertRaises(StoreError) as caught:
            open_store(path)
        words = str(caught.exception)
        self.assertIn(str(path), words)
        self.assertEqual(len(words.splitlines()), 1)
        return words

    def refused_untouched(self, words: str) -> None:
        before = self.path.read_bytes()
        self.assertIn(words, self.refused())
        self.assertEqual(self.path.read_bytes(), before)

    def change(self, script: str) -> None:
        with closing(sqlite3.connect(self.path)) as connection:
            connection.executescript(script)


class RefusalTests(DatabaseTestCase):
    def test_text_file(self) -> None:
        self.path.write_text("no database\n" * 100)
        self.refused_untouched("it is not an SQLite database")
        self.assertEqual(os.listdir(self.directory), [self.path.name])

    def test_database_of_another_program(self) -> None:
        self.change("CREATE TABLE a (b)")
        self.refused_untouched("it is an SQLite database of another program")
        self.assertEqual(os.listdir(self.directory), [self.path.name])

    def test_file_with_a_header_only(self) -> None:
        self.path.write_bytes(b"SQLite format 3\0")
        self.refused_untouched("or damaged")

    def test_newer_schema(self) -> None:
        self.fill()
        self.change("PRAGMA user_version = 1000")
        self.refused_untouched("a newer Py Pinger wrote it (schema 1000, this one knows")

    def test_schema_version_0(self) -> None:
        self.fill()
        self.change("PRAGMA user_version = 0")
        self.refused_untouched("it is damaged")

    def test_a_table_is_missing(self) -> None:
        for table in (
            "blind",
            "blindness",
            "delivery",
            "host",
            "hour",
            "incident",
            "life",
            "run",
            "shape",
            "task",
            "verdict",
        ):
            self.fill()
            self.change(f"DROP TABLE {table}")
            self.refused_untouched(f"it is damaged (its table {table} is missing)")
            self.path.unlink()

    def test_a_column_is_missing(self) -> None:
        self.fill()
        self.change("ALTER TABLE delivery DROP COLUMN words")
        self.refused_untouched("it is damaged (its table delivery lacks words)")

    def test_additional_tables_and_columns_are_accepted(self) -> None:
        self.fill()
        self.change("CREATE TABLE mine (a); ALTER TABLE task ADD COLUMN mine")
        close(*open_store(self.path))

    def test_a_damaged_page(self) -> None:
        self.fill()
        with self.path.open("r+b") as file:
            file.seek(4096)
            file.write(b"\x99" * 4096)
        self.refused_untouched("it is damaged")

    def test_truncated_file(self) -> None:
        self.fill()
        os.truncate(self.path, 4096 + 1000)
        self.refused_untouched("it is damaged")

    def test_a_damaged_row(self) -> None:
        self.fill()
        for change in ("figure = NULL", "began = 0", "state = '{'"):
            self.change(f"UPDATE task SET {change}")
            self.assertIn("it is damaged", self.refused())

    def test_a_damaged_page_beside_a_log(self) -> None:
        # A killed process leaves its last transactions in the log.
        process = python(HOLD, str(self.path))
        assert process.stdout is not None
        process.stdout.readline()
        process.kill()
        process.communicate()
        self.assertTrue(Path(f"{self.path}-wal").exists())
        with self.path.open("r+b") as file:
            file.seek(4096 * 3)
            file.write(b"\x99" * 4096 * 2)
        self.refused_untouched("it is damaged")

    def test_directory(self) -> None:
        self.assertIn("it is a directory", self.refused(self.directory))

    def test_missing_directory(self) -> None:
        self.assertIn("does not exist", self.refused(self.directory / "none" / "pypinger.sqlite"))

    def test_pipe(self) -> None:
        os.mkfifo(self.path)
        self.assertIn("it is not a regular file", self.refused())

    def test_locked_by_another_program(self) -> None:
        self.fill()
        self.patch(database, "BUSY", 0.1)
        with closing(sqlite3.connect(self.path)) as connection:
            connection.execute("BEGIN EXCLUSIVE")
            self.refused_untouched("another program has it locked")

    def test_lock_file_cannot_be_created(self) -> None:
        os.mkdir(f"{self.path}.lock")
        self.assertIn("cannot create", self.refused())

    def test_no_room_to_create_it(self) -> None:
        def full(path: str, schema: object) -> None:
            raise OSError(28, "No space left on device")

        self.patch(database, "_create", full)
        self.assertIn("No space left on device", self.refused())

    def test_no_room_to_write_it(self) -> None:
        def full(*_: object, **__: object) -> None:
            error = sqlite3.OperationalError("database or disk is full")
            error.sqlite_errorcode = sqlite3.SQLITE_FULL
            raise error

        self.patch(Tables, "write", full)
        self.assertIn("cannot be written (database or disk is full); check the disk", self.refused())

    def test_no_wal_mode(self) -> None:
        self.fill()

        class Connection(sqlite3.Connection):
            def execute(self, query: str, *values: object) -> sqlite3.Cursor:
                return super().execute("SELECT 'delete'" if "journal_mode" in query else query, *values)

        self.patch(database, "connect", lambda path, query="": sqlite3.connect(path, factory=Connection))
        self.assertIn("WAL", self.refused())

    def test_check_stops_at_its_time_limit(self) -> None:
        store, pump = open_store(self.path)
        pump.wait(store.enqueue([Delivery(alert(number), "slack") for number in range(3000)]))
        close(store, pump)
        self.patch(database, "CHECK_LIMIT", -1.0)
        close(*open_store(self.path))


def drop_capabilities() -> None:
    """Make root subject to permissions like any other owner of a file; it keeps its user id, and so its own files."""
    version, process = 0x20080522, 0
    header, none = (ctypes.c_uint32 * 2)(version, process), (ctypes.c_uint32 * 6)()
    if ctypes.CDLL(None).capset(header, none):
        raise AssertionError("the capabilities could not be dropped")


class PermissionTests(DatabaseTestCase):
    """In a child process without root's capabilities, which override permissions."""

    def unprivileged(self) -> str:
        if not os.getuid() and not platform.isLinux():
            raise SkipTest("only Linux lets root drop its capabilities")
        self.addCleanup(self.directory.chmod, 0o700)
        read, write = os.pipe()
        child = os.fork()
        if not child:
            words = "the child failed"
            try:
                if not os.getuid():
                    drop_capabilities()
                open_store(self.path)
                words = "it was opened"
            except StoreError as error:
                words = str(error)
            except BaseException as error:
                words = f"the child failed: {error!r}"
            finally:
                os.write(write, words.encode())
                os._exit(0)
        os.close(write)
        os.waitpid(child, 0)
        with open(read, encoding="utf-8") as file:
            return file.read()

    def test_read_only_file(self) -> None:
        self.fill()
        self.directory.chmod(0o777)
        self.path.chmod(0o444)
        before = self.path.read_bytes()
        self.assertIn("cannot be read and written", self.unprivileged())
        self.assertEqual(self.path.read_bytes(), before)

    def test_read_only_directory(self) -> None:
        self.fill()
        self.directory.chmod(0o555)
        self.path.chmod(0o666)
        before = self.path.read_bytes()
        self.assertIn("cannot be written", self.unprivileged())
        self.assertEqual(self.path.read_bytes(), before)

    def test_read_only_directory_for_a_new_database(self) -> None:
        self.directory.chmod(0o555)
        self.assertIn("cannot be written", self.unprivileged())

    def test_mode(self) -> None:
        close(*open_store(self.path))
        self.assertEqual(self.path.stat().st_mode & 0o007, 0)


class LockTests(DatabaseTestCase):
    def test_second_instance(self) -> None:
        store, pump = open_store(self.path)
        self.addCleanup(close, store, pump)
        self.refused_untouched(f"another Py Pinger (process {os.getpid()}) is using it")

    def test_by_other_names(self) -> None:
        store, pump = open_store(self.path)
        self.addCleanup(close, store, pump)
        symbolic, hard = self.directory / "symbolic", self.directory / "hard"
        symbolic.symlink_to(self.path)
        hard.hardlink_to(self.path)
        self.assertIn(f"another Py Pinger (process {os.getpid()}) is using it", self.refused(symbolic))
        self.assertIn("another Py Pinger (a process that opened it by another name) is using it", self.refused(hard))

    def test_the_lock_file_was_removed(self) -> None:
        store, pump = open_store(self.path)
        self.addCleanup(close, store, pump)
        os.unlink(f"{self.path}.lock")
        self.assertIn("another Py Pinger", self.refused())

    def test_a_hard_link_of_a_store_in_another_process(self) -> None:
        process = python(HOLD, str(self.path))
        assert process.stdout is not None
        process.stdout.readline()
        hard = self.directory / "hard"
        hard.hardlink_to(self.path)
        self.assertIn("another Py Pinger", self.refused(hard))
        process.kill()
        process.communicate()

    def test_a_symbolic_link_to_no_file_yet(self) -> None:
        link = self.directory / "link"
        link.symlink_to(self.path)
        close(*open_store(link))
        self.assertTrue(link.is_symlink())
        self.assertEqual(sorted(os.listdir(self.directory)), ["link", "pypinger.sqlite", "pypinger.sqlite.lock"])

    def test_a_killed_store_opens_by_a_symbolic_link(self) -> None:
        process = python(HOLD, str(self.path))
        assert process.stdout is not None
        process.stdout.readline()
        process.kill()
        process.communicate()
        link = Path(self.mktemp())
        link.symlink_to(self.path)
        self.assertTrue(Path(f"{self.path}-wal").exists())
        close(*open_store(link))

    def test_a_file_system_whose_locks_collide(self) -> None:
        """NFS emulates ``flock`` with the locks that SQLite uses; then the lock file alone counts."""
        self.fill()
        self.patch(database, "BUSY", 0.1)
        locks: list[sqlite3.Connection] = []

        class Colliding(database.Lock):
            def lock_database(self) -> None:
                super().lock_database()
                locks.append(sqlite3.connect(self._file, isolation_level=None))
                locks[0].execute("PRAGMA journal_mode = DELETE")
                locks[0].execute("BEGIN EXCLUSIVE")

            def unlock_database(self) -> None:
                super().unlock_database()
                while locks:
                    locks.pop().close()

        self.patch(database, "Lock", Colliding)
        close(*open_store(self.path))

    def test_a_killed_process_releases_the_lock(self) -> None:
        process = python(HOLD, str(self.path))
        assert process.stdout is not None
        self.assertEqual(process.stdout.readline(), "open\n")
        self.assertIn(f"process {process.pid}", self.refused())
        process.send_signal(signal.SIGKILL)
        process.communicate()
        close(*open_store(self.path))

    def test_unknown_holder(self) -> None:
        store, pump = open_store(self.path)
        self.addCleanup(close, store, pump)
        os.truncate(f"{self.path}.lock", 0)
        self.assertIn("another Py Pinger (a process) is using it", self.refused())

    def test_file_system_without_locks(self) -> None:
        def flock(*_: int) -> None:
            raise OSError(errno.ENOLCK, "No locks available")

        self.patch(fcntl, "flock", flock)
        self.assertIn("No locks available", self.refused())

    def test_no_room_for_the_process_id(self) -> None:
        def pwrite(*_: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        self.patch(os, "pwrite", pwrite)
        close(*open_store(self.path))

    def test_a_refused_start_releases_the_lock(self) -> None:
        self.fill()
        self.change("UPDATE task SET state = '{'")
        self.refused()
        self.change(f"UPDATE task SET state = '{{\"pings\":7}}' WHERE url = '{TASK.url}'")
        store, pump = open_store(self.path)
        close(store, pump)

    def test_one_file_after_closing(self) -> None:
        close(*open_store(self.path))
        self.assertEqual(sorted(os.listdir(self.directory)), ["pypinger.sqlite", "pypinger.sqlite.lock"])


def schema(path: Path) -> tuple[object, ...]:
    with closing(sqlite3.connect(path)) as connection:
        master = connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY 1, 2").fetchall()
        tables = [row[1] for row in master if row[0] == "table"]
        columns = [connection.execute(f"PRAGMA table_info({name})").fetchall() for name in tables]
        pragmas = [connection.execute(f"PRAGMA {name}").fetchone() for name in ("application_id", "user_version")]
        return master, columns, pragmas


class UpgradeTests(DatabaseTestCase):
    more = ("ALTER TABLE life ADD COLUMN hum INTEGER;\nCREATE TABLE two (a);", "CREATE INDEX three ON two (a);")

    def opened(self, path: Path, scripts: list[str]) -> sqlite3.Connection:
        connection, lock = database.open_database(str(path), scripts)
        self.addCleanup(lock.release)
        self.addCleanup(connection.close)
        return connection

    def test_files_are_numbered(self) -> None:
        directory = Path(database.__file__).parent / "schema"
        names = sorted(each.name for each in directory.iterdir())
        self.assertEqual(names, [f"{number:04}.sql" for number in range(1, len(database.scripts()) + 1)])

    def test_an_upgraded_schema_equals_a_new_one(self) -> None:
        scripts = [*database.scripts(), *self.more]
        fresh = self.directory / "fresh"
        self.opened(fresh, scripts).close()
        for version in range(1, len(scripts)):
            with self.subTest(version=version):
                path = self.directory / f"from-{version}"
                connection, lock = database.open_database(str(path), scripts[:version])
                connection.close()
                lock.release()
                self.opened(path, scripts).close()
                self.assertEqual(schema(path), schema(fresh))

    def test_backup(self) -> None:
        self.fill()
        old = schema(self.path)
        scripts = [*database.scripts(), self.more[0]]
        Path(f"{self.path}.before-{len(scripts)}.part").write_text("of an upgrade that was killed")
        self.opened(self.path, scripts).close()
        backup = self.directory / f"pypinger.sqlite.before-{len(scripts)}"
        self.assertEqual(schema(backup), old)
        with closing(sqlite3.connect(backup)) as connection:
            self.assertEqual(connection.execute("SELECT count(*) FROM delivery").fetchone(), (50,))
        self.assertFalse(Path(f"{backup}.part").exists())

    def test_no_room_for_the_backup(self) -> None:
        self.fill()
        old = schema(self.path)

        def full(*_: object) -> None:
            error = sqlite3.OperationalError("database or disk is full")
            error.sqlite_errorcode = sqlite3.SQLITE_FULL
            raise error

        self.patch(database, "_settle", full)
        with self.assertRaises(StoreError) as caught:
            database.open_database(str(self.path), [*database.scripts(), self.more[0]])
        words = str(caught.exception)
        self.assertIn("the backup before an upgrade, cannot be written (database or disk is full)", words)
        self.assertEqual(len(words.splitlines()), 1)
        self.assertEqual(schema(self.path), old)
        self.assertEqual(sorted(os.listdir(self.directory)), ["pypinger.sqlite", "pypinger.sqlite.lock"])

    def test_a_failed_upgrade_changes_nothing(self) -> None:
        self.fill()
        old = schema(self.path)
        with self.assertRaises(StoreError):
            database.open_database(str(self.path), [*database.scripts(), "CREATE TABLE two (a); CREATE TABLE two (a);"])
        self.assertEqual(schema(self.path), old)
        close(*open_store(self.path))

    def test_killed_in_the_middle_of_an_upgrade(self) -> None:
        self.fill()
        old = schema(self.path)
        code = (
            "import sqlite3, sys, os; c = sqlite3.connect(sys.argv[1], isolation_level=None);"
            "c.execute('PRAGMA journal_mode = DELETE'); c.execute('PRAGMA cache_spill = 1');"
            "c.execute('PRAGMA cache_size = 1'); c.execute('BEGIN'); c.execute('CREATE TABLE two (a)');"
            "c.executemany('INSERT INTO two VALUES (?)', [('x' * 3000,)] * 100); os.kill(os.getpid(), 9)"
        )
        python(code, str(self.path)).communicate()
        self.assertTrue(Path(f"{self.path}-journal").exists())
        close(*open_store(self.path))
        self.assertEqual(schema(self.path), old)

    def test_a_failed_creation_leaves_no_file(self) -> None:
        with self.assertRaises(StoreError):
            database.open_database(str(self.path), ["CREATE TABLE two (a); CREATE TABLE two (a);"])
        self.assertEqual(os.listdir(self.directory), ["pypinger.sqlite.lock"])

    def test_the_log_of_a_removed_database_is_ignored(self) -> None:
        process = python(HOLD, str(self.path))
        assert process.stdout is not None
        process.stdout.readline()
        process.kill()
        process.communicate()
        self.path.unlink()
        self.assertTrue(Path(f"{self.path}-wal").exists())
        self.path.touch()
        store, pump = open_store(self.path)
        pump.wait(store.commit(TASK, TaskState(pings=1), None, []))
        close(store, pump)
        pump = Pump()
        store = SqliteStore(pump, time.time, str(self.path), keep_days=90)
        self.assertEqual(store.open().states, {TASK.url: TaskState(pings=1)})
        close(store, pump)
