"""
A database of schema 4, of the version before routing, opens: its incidents belong to all channels.

``schema4.sqlite.gz`` was written by that version: two tasks whose server answers 503, one of them acknowledged; a third
one that is on time and silenced for a year; HipChat works, Slack does not; killed after some seconds.
"""

from __future__ import annotations

import gzip
import sqlite3
from contextlib import closing
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from pypinger.domain.incidents import close
from pypinger.domain.kinds import Kind
from pypinger.domain.model import Acknowledgement, Event, Part, Task
from pypinger.domain.routing import ChannelRoute, Routing
from pypinger.domain.selector import parse
from pypinger.domain.url import origin, task_id
from pypinger.ports.storing import Kept
from pypinger.store.sqlite import SqliteStore
from tests.store.pump import Pump

FIXTURE = Path(__file__).parent / "schema4.sqlite.gz"

ORDERS, MAILS, OK = (f"http://127.0.0.1:8775/{path}" for path in ("orders", "mails", "ok"))
KILLED = 1_795_662_772.0


class Schema4Tests(SynchronousTestCase):
    def setUp(self) -> None:
        self.path = Path(self.mktemp())
        self.path.write_bytes(gzip.decompress(FIXTURE.read_bytes()))

    def open(self) -> Kept:
        pump = Pump()
        self.store = SqliteStore(pump, lambda: KILLED + 60, str(self.path), keep_days=90)
        kept = self.store.open()
        self.addCleanup(lambda store: pump.wait(store.close()), self.store)
        return kept

    def test_states(self) -> None:
        kept = self.open()
        self.assertEqual(
            {url: state.kind for url, state in kept.states.items()},
            {ORDERS: Kind.UNREACHABLE, MAILS: Kind.UNREACHABLE, OK: Kind.OK},
        )
        orders, mails = kept.states[ORDERS].incident, kept.states[MAILS].incident
        assert orders is not None
        assert mails is not None
        self.assertEqual(orders.acknowledged, Acknowledgement(1_795_662_768.478434, "root", "new disk"))
        self.assertEqual((orders.channels, mails.channels, mails.acknowledged), (None, None, None))
        (silence,) = kept.silences
        self.assertEqual((silence.selector, silence.reason, silence.by), (OK, "moved", "root"))

    def test_what_is_pending(self) -> None:
        kept = self.open()
        self.assertEqual({delivery.channel for delivery in kept.deliveries}, {"slack"})
        self.assertEqual(
            [delivery.alert.event for delivery in kept.deliveries],
            [Event.STARTED, Event.PROBLEM, Event.PROBLEM, Event.ACKNOWLEDGED],
        )

    def test_its_incidents_belong_to_its_channels(self) -> None:
        kept = self.open()
        routing = Routing((ChannelRoute("slack"), ChannelRoute("hipchat", parse("group:shop"))))
        task = Task(url=MAILS, id=task_id(MAILS), name="mails", label=MAILS, origin=origin(MAILS))
        state = kept.states[MAILS]
        self.assertIsNone(routing.next_joining(task, state, KILLED))
        added = Routing((*routing.routes, ChannelRoute("email")))
        self.assertIsNotNone(added.next_joining(task, state, KILLED))
        _, _, deliveries = added.join(task, state, KILLED)
        self.assertEqual([each.channel for each in deliveries], ["email"])
        _, deliveries = routing.route(task, state, *close(task, state, KILLED, "it was removed"))
        self.assertEqual([each.channel for each in deliveries], ["slack", "hipchat"])
        state, _ = routing.route(task, state, state, ())
        assert state.incident is not None
        self.assertEqual(state.incident.channels, {"slack": Part.JOINED, "hipchat": Part.JOINED})

    def test_it_is_upgraded_after_a_backup(self) -> None:
        self.open()
        (backup,) = self.path.parent.glob(f"{self.path.name}.before-*")
        self.assertEqual(backup.suffix, ".before-6")
        for path, version in ((backup, 4), (self.path, 6)):
            with closing(sqlite3.connect(path)) as connection:
                self.assertEqual(connection.execute("PRAGMA user_version").fetchone(), (version,))
