"""
A database of schema 2 opens: incidents stay open, pending alerts pending, blindness lasts, history is readable.

``schema2.sqlite.gz`` was written by the version before growing reminders, silences and threads: three hours of three
tasks on three hosts at a fake time, with Slack that fails and HipChat that refuses towards the end, then a cut of the
network, killed at the end.
"""

from __future__ import annotations

import gzip
import sqlite3
from contextlib import closing
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from pypinger.domain.kinds import Kind
from pypinger.domain.model import Event, Incident, Outcome, Task
from pypinger.domain.url import origin
from pypinger.ports.storing import Blind, HostSeen, Kept
from pypinger.store.database import scripts
from pypinger.store.sqlite import SqliteStore
from tests.cli.recording import Endpoint, Life
from tests.runtime.fakes import NOON, FakeNotifier
from tests.store.pump import Pump

FIXTURE = Path(__file__).parent / "schema2.sqlite.gz"

HOUR = 3600.0

#: When the process was last known to run, and when this one starts.
KILLED = NOON + 3 * HOUR + 480.0
START = KILLED + 60.0

BACKUP = "https://jobs.example.com/backup?key=k3y"
BILLING = "https://shop.example.com/billing?key=k3y"
IMPORT = "https://db.example.com/import?key=k3y"

#: The beginnings of the open incidents of BACKUP and IMPORT, and of the blindness.
LATE = 1_793_630_460.2
REFUSED = 1_793_631_606.7666667
BLIND = 1_793_631_945.0

#: Pending for Slack: a reminder of BACKUP, the problem of IMPORT, and the blindness.
PENDING = ["37ff26e4b4b745f2", "0e8b92666f3db77a", "794cbbc309a0c13b"]


def unpack(path: Path) -> None:
    path.write_bytes(gzip.decompress(FIXTURE.read_bytes()))


class Schema2Tests(SynchronousTestCase):
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
            self.assertEqual(connection.execute("PRAGMA user_version").fetchone(), (2,))
            self.assertEqual(connection.execute("SELECT count(*) FROM delivery").fetchone(), (16,))
            self.assertEqual(connection.execute("PRAGMA integrity_check").fetchone(), ("ok",))

    def test_states(self) -> None:
        kept = self.start()
        self.assertEqual(
            {url: state.kind for url, state in kept.states.items()},
            {BACKUP: Kind.LATE, BILLING: Kind.OK, IMPORT: Kind.UNREACHABLE},
        )
        backup = kept.states[BACKUP]
        self.assertEqual((backup.pings, backup.errors, backup.row_started), (185, 24, LATE))
        self.assertEqual(backup.incident, Incident(LATE, Kind.LATE, reminded=1_793_631_420.2, alerts=3))
        self.assertEqual(kept.states[IMPORT].incident, Incident(REFUSED, Kind.UNREACHABLE, reminded=REFUSED, alerts=1))
        self.assertIsNone(kept.states[BILLING].incident)
        self.assertEqual(kept.last_alive, KILLED)

    def test_incidents_count_as_told(self) -> None:
        """They are neither muted, flapping nor acknowledged."""
        for state in self.start().states.values():
            self.assertIsNone(state.owed)
            if state.incident is not None:
                self.assertTrue(state.incident.told)
                self.assertFalse(state.incident.flapping)
                self.assertIsNone(state.incident.acknowledged)

    def test_deliveries(self) -> None:
        kept = self.start()
        self.assertEqual([(each.alert.id, each.channel) for each in kept.deliveries], [(id, "slack") for id in PENDING])
        self.assertEqual([each.attempts for each in kept.deliveries], [9, 9, 4])
        self.assertEqual((kept.dead, kept.dead_channels), (5, {"hipchat"}))
        for each in kept.deliveries:
            self.pump.wait(self.store.settle(each, Outcome.SENT))
        self.pump.wait(self.store.close())
        self.assertEqual(list(self.start().deliveries), [])

    def test_hosts_and_blindness(self) -> None:
        kept = self.start()
        self.assertEqual(
            kept.hosts,
            {
                "db.example.com": HostSeen("192.0.2.9", 1_793_631_366.7666667),
                "jobs.example.com": HostSeen("192.0.2.7", 1_793_631_360.2),
                "shop.example.com": HostSeen("192.0.2.8", 1_793_631_363.4333334),
            },
        )
        self.assertEqual(kept.blind, Blind(BLIND, "no host answers, for example: no connection within 20 s"))

    def test_nothing_is_silenced_and_there_are_no_threads(self) -> None:
        kept = self.start()
        self.assertEqual(list(kept.silences), [])
        self.assertEqual({channel: list(told) for channel, told in kept.told.items() if told}, {})

    def test_history(self) -> None:
        self.start()
        store, wait = self.store, self.pump.wait
        incidents = wait(store.incidents())
        self.assertEqual(
            [(each.task, each.ended, each.alerts) for each in incidents],
            [(IMPORT, None, 1), (BACKUP, None, 3), (BILLING, 1_793_625_303.433, 3)],
        )
        self.assertEqual([each.kind for each in wait(store.verdicts(BILLING))], [Kind.OK, Kind.FAILED, Kind.OK])
        outcomes = [each.outcome for each in wait(store.deliveries(BACKUP))]
        self.assertEqual(outcomes.count(Outcome.DEAD), 3)
        self.assertEqual(outcomes.count(Outcome.SENT), 1)
        self.assertEqual(sum(run.count for run in wait(store.runs(BACKUP, limit=100))), 185)
        self.assertEqual(round(wait(store.uptime(BILLING, START))["24h"], 4), 0.9185)


class Resumed(Life):
    """A daemon of today with one channel that starts where that version was killed."""

    def __init__(self, path: str, channel: str) -> None:
        self.channel_name = channel
        scripts = {
            # The network is back.
            BACKUP: [(2.5 * HOUR, "ok", 0.2), (HOUR, "stuck", 0.2), (HOUR, "ok", 0.2)],
            BILLING: [(5 * HOUR, "ok", 0.1)],
            IMPORT: [(3 * HOUR, "ok", 0.1), (1200.0, "refused", 0.1), (HOUR, "ok", 0.1)],
        }
        names = {BACKUP: "b4c5d6e7f8", BILLING: "c0d1e2f3a4", IMPORT: "d9e8f7a6b5"}
        tasks = [(Task(url, names[url], names[url], "label", origin(url)), Endpoint(scripts[url])) for url in scripts]
        super().__init__(path, tasks)

    def begin(self) -> None:
        self.notifier = FakeNotifier(self.channel_name)
        self.clock.advance(START - NOON)
        super().begin()


class DaemonTests(SynchronousTestCase):
    def live(self, channel: str) -> FakeNotifier:
        path = Path(self.mktemp())
        unpack(path)
        life = Resumed(str(path), channel)
        self.addCleanup(life.end)
        life.live(NOON + 3.75 * HOUR - START)
        return life.notifier

    def test_nothing_is_announced_again(self) -> None:
        """Pending alerts arrive once; of what was open before only reminders and the end follow."""
        sent = self.live("slack").sent
        ids = [alert.id for alert in sent]
        self.assertEqual(len(ids), len(set(ids)))
        self.assertEqual(set(PENDING) - set(ids), set())
        announced = {alert.id for alert in sent if alert.event in (Event.PROBLEM, Event.CHANGED, Event.BLIND)}
        self.assertEqual(announced, set(PENDING[1:]))
        self.assertEqual([alert.event for alert in sent].count(Event.SIGHTED), 1)
        ended = {(alert.task, alert.started) for alert in sent if alert.event is Event.RECOVERED}
        self.assertEqual(ended, {("b4c5d6e7f8", LATE), ("d9e8f7a6b5", REFUSED)})
        self.assertEqual({alert.started for alert in sent}, {None, LATE, REFUSED})

    def test_a_channel_that_refused_hears_of_what_is_still_open_when_it_works_again(self) -> None:
        """HipChat has refused both problems. The message that blindness is over is the first that it accepts."""
        sent = self.live("hipchat").sent
        self.assertEqual(sent[0].event, Event.SIGHTED)
        problems = [alert for alert in sent if alert.event is Event.PROBLEM]
        self.assertEqual(
            [(each.task, each.kind) for each in problems],
            [
                ("b4c5d6e7f8", Kind.LATE),
                ("d9e8f7a6b5", Kind.UNREACHABLE),
            ],
        )
        self.assertEqual(set(PENDING) & {alert.id for alert in sent}, set())
