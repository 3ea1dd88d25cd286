"""Which store commands read, and stores of earlier versions."""

from __future__ import annotations

import gzip
import os
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path
from unittest.mock import patch

from twisted.trial.unittest import SynchronousTestCase

from pypinger.cli import _store
from pypinger.cli._store import load_settings, open_history
from pypinger.ports.storing import StoreError
from pypinger.store.database import scripts
from tests.cli.test_command import pypinger
from tests.store.disks import small_disk
from tests.store.test_release1 import BACKUP, BILLING, FIXTURE

INI = "[web]\nhosts = localhost\n[urls]\nprod = http://a.example/\n"


class WhichTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.directory = Path(self.mktemp()).absolute()
        for name in ("here", "service", "other"):
            (self.directory / name).mkdir(parents=True)
        self.service = self.directory / "service"
        self.ini = self.directory / "pinger.ini"
        self.ini.write_text(INI)
        self.addCleanup(os.chdir, os.getcwd())
        os.chdir(self.directory / "here")
        environ = patch.dict(os.environ)
        environ.start()
        self.addCleanup(environ.stop)
        os.environ.pop("STATE_DIRECTORY", None)
        known = patch.object(_store, "SERVICE", str(self.service))
        known.start()
        self.addCleanup(known.stop)

    def found(self, state: str | None = None) -> str:
        path = load_settings(str(self.ini), state).store.path
        return os.path.relpath(path, self.directory)

    def make(self, *names: str) -> None:
        for name in names:
            (self.directory / name).touch()

    def test_of_the_service(self) -> None:
        self.assertEqual(self.found(), "service/pypinger.sqlite")
        self.make("service/pypinger.sqlite", "here/pypinger.sqlite")
        self.assertEqual(self.found(), "service/pypinger.sqlite")

    def test_here_where_the_service_has_none(self) -> None:
        self.make("here/pypinger.sqlite")
        self.assertEqual(self.found(), "here/pypinger.sqlite")
        self.service.rmdir()
        self.assertEqual(self.found(), "here/pypinger.sqlite")
        (self.directory / "here/pypinger.sqlite").unlink()
        self.assertEqual(self.found(), "here/pypinger.sqlite")

    def test_one_that_only_the_service_may_read(self) -> None:
        # As with DynamicUser: a link into a directory that others may not enter.
        self.make("here/pypinger.sqlite")
        self.service.rmdir()
        self.service.symlink_to(self.directory / "private")
        with patch.object(_store.os, "stat", side_effect=PermissionError(13, "Permission denied")):
            self.assertEqual(self.found(), "service/pypinger.sqlite")

    def test_permission_denied(self) -> None:
        with (
            patch("builtins.open", side_effect=PermissionError(13, "Permission denied")),
            self.assertRaises(StoreError) as caught,
        ):
            open_history("/x").__enter__()
        self.assertIn("Permission denied; run this as the service's user, or with sudo", str(caught.exception))

    def test_the_variable_of_systemd(self) -> None:
        os.environ["STATE_DIRECTORY"] = str(self.directory / "other")
        self.assertEqual(self.found(), "other/pypinger.sqlite")

    def test_another(self) -> None:
        for state in (str(self.directory / "other"), "../other"):
            self.assertEqual(self.found(state), "other/pypinger.sqlite")
        self.make("other/backup.sqlite")
        self.assertEqual(self.found("../other/backup.sqlite"), "other/backup.sqlite")

    def test_an_absolute_path(self) -> None:
        self.ini.write_text(f"{INI}[store]\npath = {self.directory}/x.sqlite\n")
        self.assertEqual(self.found(), "x.sqlite")
        self.assertEqual(self.found(str(self.directory / "other")), "other/x.sqlite")

    def test_in_memory(self) -> None:
        self.ini.write_text(f"{INI}[store]\npath = :memory:\n")
        self.assertEqual(load_settings(str(self.ini)).store.path, ":memory:")


class EarlierVersionTests(SynchronousTestCase):
    """A backup of release 1 (schema 1)."""

    def setUp(self) -> None:
        self.directory = Path(self.mktemp()).absolute()
        self.directory.mkdir()
        self.path = self.directory / "backup.sqlite"
        self.path.write_bytes(gzip.decompress(FIXTURE.read_bytes()))
        self.ini = self.directory / "pinger.ini"
        self.ini.write_text(f"[web]\nhosts = localhost\n[urls]\nprod = {BACKUP}, {BILLING}\n")
        self.temporary = self.directory / "temporary"
        self.temporary.mkdir()
        known = patch.object(tempfile, "tempdir", str(self.temporary))
        known.start()
        self.addCleanup(known.stop)

    def test_it_is_read_and_not_changed(self) -> None:
        before = self.path.read_bytes()
        with open_history(str(self.path)) as reader:
            self.assertEqual(len(reader.incidents(BACKUP)), 1)
            self.assertTrue(reader.runs(BILLING))
            state = reader.state(BACKUP)
            assert state is not None
            self.assertIsNotNone(state.report)
        self.assertEqual(self.path.read_bytes(), before)
        self.assertEqual(sorted(os.listdir(self.directory)), ["backup.sqlite", "pinger.ini", "temporary"])
        self.assertEqual(os.listdir(self.temporary), [])

    def test_replay_and_calendar(self) -> None:
        code, out, err = pypinger("replay", str(self.ini), "--state", str(self.path), "--since", "2026-11-01")
        self.assertEqual((code in (0, 1), err), (True, ""))
        self.assertIn("2 tasks\n", out)
        self.assertNotIn("without records", out)
        code, out, err = pypinger("calendar", str(self.ini), "--state", str(self.path))
        self.assertEqual((code, err), (0, ""))
        self.assertTrue(out)

    def test_one_with_a_log_beside_it(self) -> None:
        with closing(sqlite3.connect(self.path)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("UPDATE incident SET explanation = 'in the log'")
            connection.commit()
            with open_history(str(self.path)) as reader:
                self.assertEqual(reader.incidents(BACKUP)[0].explanation, "in the log")

    def test_a_damaged_one(self) -> None:
        content = bytearray(self.path.read_bytes())
        content[100:4000] = b"\xff" * 3900
        self.path.write_bytes(content)
        with self.assertRaises(StoreError) as caught:
            open_history(str(self.path)).__enter__()
        self.assertIn("it is damaged", str(caught.exception))

    def test_a_full_disk(self) -> None:
        small = small_disk(self, "20k")
        with patch.object(tempfile, "tempdir", str(small)), self.assertRaises(StoreError) as caught:
            open_history(str(self.path)).__enter__()
        self.assertIn("no room in", str(caught.exception))
        self.assertEqual(os.listdir(small), [])

    def test_a_schema_that_nobody_knows(self) -> None:
        for version in (0, len(scripts()) + 1):
            content = bytearray(self.path.read_bytes())
            content[60:64] = version.to_bytes(4, "big")
            self.path.write_bytes(content)
            with self.assertRaises(StoreError) as caught:
                open_history(str(self.path)).__enter__()
            self.assertIn(f"(schema {version}, this one reads {len(scripts())})", str(caught.exception))
