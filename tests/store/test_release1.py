"""
A database of release 1 opens: incidents stay open, pending alerts pending, history readable.

``release1.sqlite.gz`` was written by release 1 (schema 1): four hours of two tasks at a fake time, with a stop of five
minutes, killed at the end. Times are milliseconds around 2026-11-02.
"""

from __future__ import annotations

import gzip
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from pypinger.domain import incidents
from pypinger.domain.kinds import Kind
from pypinger.domain.model import Check, Event, Invalid, Outcome, Reported, Task, Verdict
from pypinger.ports.storing import Kept, StoreError
from pypinger.store.accounting import BlindTime
from pypinger.store.database import scripts
from pypinger.store.reading import Reader
from pypinger.store.sources import SqliteSource
from pypinger.store.sqlite import SqliteStore
from tests.cli.recording import Endpoint, Life
from tests.runtime.fakes import NOON
from tests.store.disks import small_disk
from tests.store.pump import Pump

FIXTURE = Path(__file__).parent / "release1.sqlite.gz"

#: When release 1 was last known to run, and when this one starts.
KILLED = 1_793_636_100.0
START = KILLED + 60.0

BACKUP = "https://jobs.example.com/backup?key=k3y"
BILLING = "https://jobs.example.com/billing?key=k3y"

#: The problem of BACKUP, which neither channel has accepted yet.
PROBLEM = "7d25bebc0a0e5fac"


def unpack(path: Path) -> None:
    path.write_bytes(gzip.decompress(FIXTURE.read_bytes()))


class Release1Tests(SynchronousTestCase):
    def setUp(self) -> None:
        self.path = Path(self.mktemp())
        unpack(self.path)
        self.pump = Pump()

    def start(self) -> Kept:
        self.store = SqliteStore(self.pump, lambda: START, str(self.path), keep_days=90)
        kept = self.store.open()
        self.addCleanup(lambda store: self.pump.wait(store.close()), self.store)
        return kept

    def test_backup(self) -> None:
        self.start()
        backup = Path(f"{self.path}.before-{len(scripts())}")
        with closing(sqlite3.connect(backup)) as connection:
            self.assertEqual(connection.execute("PRAGMA user_version").fetchone(), (1,))
            self.assertEqual(connection.execute("SELECT count(*) FROM incident").fetchone(), (2,))
            self.assertEqual(connection.execute("PRAGMA integrity_check").fetchone(), ("ok",))

    def test_a_full_disk_ends_the_start_and_leaves_it_usable(self) -> None:
        directory = small_disk(self, "200k")
        self.path = directory / "pypinger.sqlite"
        unpack(self.path)
        before = self.path.read_bytes()
        with self.assertRaises(StoreError) as caught:
            self.start()
        self.assertRegex(
            str(caught.exception), r"\A\[store\] path [^\n]*the backup before an upgrade, cannot be written[^\n]*\Z"
        )
        self.assertEqual(self.path.read_bytes(), before)
        self.assertFalse(Path(f"{self.path}.before-{len(scripts())}").exists())
        subprocess.run(["mount", "-o", "remount,size=4m", directory], check=True)
        self.assertEqual(len(self.start().deliveries), 2)
        self.pump.wait(self.store.close())

    def test_states(self) -> None:
        kept = self.start()
        backup, billing = kept.states[BACKUP], kept.states[BILLING]
        self.assertEqual((backup.kind, billing.kind), (Kind.LATE, Kind.OK))
        self.assertEqual((backup.pings, backup.errors, backup.checked), (252, 5, KILLED - 29.8))
        assert backup.incident is not None
        self.assertEqual((backup.incident.started, backup.incident.alerts), (1_793_635_860.206, 1))
        self.assertIsNone(billing.incident)
        self.assertEqual(kept.last_alive, KILLED)

    def test_pending_alerts_stay_pending_and_settle(self) -> None:
        kept = self.start()
        self.assertEqual([each.channel for each in kept.deliveries], ["slack", "hipchat"])
        self.assertEqual({(each.alert.id, each.attempts) for each in kept.deliveries}, {(PROBLEM, 8)})
        self.assertEqual([each.words for each in kept.deliveries], ["HTTP 503", "connection refused"])
        self.assertEqual(kept.dead, 2)
        for each in kept.deliveries:
            self.pump.wait(self.store.settle(each, Outcome.SENT))
        self.pump.wait(self.store.close())
        self.assertEqual(list(self.start().deliveries), [])

    def test_an_open_incident_is_not_announced_again(self) -> None:
        state = self.start().states[BACKUP]
        task = Task(url=BACKUP, id="b4c5d6e7f8", name="backup", label="https://jobs.example.com/backup?…")
        assert state.report is not None
        check = Check(START, 0.2, Reported(200, state.report), Verdict(Kind.LATE, "late"))
        state, alerts = incidents.step(task, state, check)
        self.assertEqual(list(alerts), [])
        state, (recovered,) = incidents.step(task, state, Check(START + 60, 0.2, check.finding, Verdict(Kind.OK, "ok")))
        self.assertEqual((recovered.event, recovered.started), (Event.RECOVERED, 1_793_635_860.206))

    def test_history(self) -> None:
        self.start()
        store, wait = self.store, self.pump.wait
        opened, closed = wait(store.incidents())
        self.assertEqual((opened.task, opened.ended, opened.kinds), (BACKUP, None, (Kind.LATE,)))
        self.assertEqual((closed.task, closed.ended, closed.alerts), (BILLING, 1_793_629_805.1, 6))
        self.assertEqual(closed.kinds, (Kind.FAILED, Kind.INVALID))
        self.assertEqual(
            [each.kind for each in wait(store.verdicts(BILLING))], [Kind.OK, Kind.INVALID, Kind.FAILED, Kind.OK]
        )
        deliveries = wait(store.deliveries(BILLING))
        self.assertEqual(len(deliveries), 12)
        self.assertEqual([each.outcome for each in deliveries].count(Outcome.DEAD), 2)
        runs = wait(store.runs(BILLING, limit=100))
        self.assertEqual(sum(run.count for run in runs), 251)
        (broken,) = {run.finding for run in runs if isinstance(run.finding, Invalid)}
        self.assertIn("<html>", broken.problem)
        self.assertGreater(len(wait(store.gaps(BACKUP))), 20)
        self.assertEqual(round(wait(store.uptime(BILLING, START))["24h"], 4), 0.8798)
        reader = Reader(SqliteSource(str(self.path)))
        self.addCleanup(reader.close)
        (stop, killed) = reader.blind_times(0.0, START)
        self.assertEqual(stop.end - stop.start, 300.0)
        self.assertEqual(killed, BlindTime(KILLED, START))


class Resumed(Life):
    """A daemon of today that starts where release 1 was killed."""

    def begin(self) -> None:
        self.clock.advance(START - NOON)
        super().begin()


class DaemonTests(SynchronousTestCase):
    def test_nothing_is_announced_again(self) -> None:
        path = Path(self.mktemp())
        unpack(path)
        hour = 3600.0
        tasks = [
            (Task(BACKUP, "b4c5d6e7f8", "backup", "label"), Endpoint([(4 * hour, "ok", 0.2), (hour, "stuck", 0.2)])),
            (Task(BILLING, "c0d1e2f3a4", "billing", "label"), Endpoint([(5 * hour, "ok", 0.1)])),
        ]
        life = Resumed(str(path), tasks)
        self.addCleanup(life.end)
        life.live(NOON + 5 * hour + 120 - START)
        first, *others = life.notifier.sent
        self.assertEqual((first.id, first.event), (PROBLEM, Event.PROBLEM))
        self.assertEqual(others[-1].event, Event.RECOVERED)
        self.assertEqual({each.event for each in others[:-1]}, {Event.REMINDER})
        self.assertEqual({each.started for each in life.notifier.sent}, {1_793_635_860.206})
