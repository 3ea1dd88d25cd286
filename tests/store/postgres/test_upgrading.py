"""The schema: created once, upgraded beside running instances, refused by programs that are too old."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import psycopg
from twisted.trial.unittest import TestCase

from pypinger.domain.kinds import Kind
from pypinger.ports.storing import StoreError
from pypinger.store.postgres import upgrading
from pypinger.store.postgres.connection import connect
from pypinger.store.postgres.upgrading import scripts, upgrade
from tests import postgres
from tests.contracts.history import FINDINGS, NOW, Story
from tests.contracts.store import OTHER, TASK, alert
from tests.store.postgres.direct import DirectStore

ADDS = """
ALTER TABLE task ADD COLUMN mood text;
ALTER TABLE run ADD COLUMN mood text NOT NULL DEFAULT 'fine';
CREATE TABLE mood (name text PRIMARY KEY);
"""

# The oldest program that can use the present schema.
OLDEST = 2

BREAKS = f"-- oldest: {len(scripts()) + 2}\nALTER TABLE task DROP COLUMN mood;\n"


class UpgradingTests(TestCase):
    skip = postgres.missing()

    def setUp(self) -> None:
        self.url = postgres.database(self)

    def connect(self) -> psycopg.Connection:
        opened = connect(self.url, "a")
        self.addCleanup(opened.close)
        return opened

    def upgrade(self, *more: str) -> None:
        upgrade(self.connect(), self.url, [*scripts(), *more])

    def rows(self, query: str) -> Sequence[object]:
        return self.connect().execute(query.encode()).fetchall()

    def refused(self, *more: str) -> str:
        with self.assertRaises(StoreError) as caught:
            self.upgrade(*more)
        words = str(caught.exception)
        self.assertRegex(words, r"\A\[store\] url postgresql://pinger@[^ :]*:\d+/\w+: [^\n]*\Z")
        return words

    def instance(self, name: str, schema: int, seconds: int = 60) -> None:
        self.connect().execute(
            "INSERT INTO instance (id, name, until, process, digest, listed, tasks, channels, schema)"
            " VALUES (%s, %s, clock_timestamp() + %s * interval '1 s', '', '', '', '[]', '[]', %s)",
            (name, name, seconds, schema),
        )

    def test_many_instances_create_it_at_once(self) -> None:
        failures = []

        def start() -> None:
            try:
                with connect(self.url, "a") as opened:
                    upgrade(opened, self.url, scripts())
            except Exception as error:
                failures.append(error)

        threads = [threading.Thread(target=start) for _ in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(failures, [])
        self.assertEqual(self.rows("SELECT version, oldest FROM meta"), [(len(scripts()), OLDEST)])

    async def test_old_and_new_run_side_by_side(self) -> None:
        old = DirectStore(self.url)
        old.open()
        before, other = Story(old), Story(old, OTHER)
        await before.check(NOW, Kind.LATE, alerts=(alert(1),))
        # So often that statements are prepared by the server.
        for number in range(10):
            await other.check(NOW + number, finding=FINDINGS[number % 2])
            await old.runs(OTHER.key)
        known = scripts()
        self.patch(upgrading, "scripts", lambda: [*known, ADDS])
        self.upgrade(ADDS)
        new = DirectStore(self.url, number=1)
        upgrade(new.connection, self.url, [*known, ADDS])
        # Each of them writes while the other runs, and reads what it wrote.
        await other.check(NOW + 30, Kind.LATE, alerts=(alert(2),))
        await before.check(NOW + 60)
        kept = new.open()
        self.assertEqual(kept.states[TASK.key].kind, Kind.OK)
        after = Story(new)
        await after.check(NOW + 90, Kind.FAILED, alerts=(alert(3),))
        await other.check(NOW + 90)
        for store in (old, new):
            self.assertEqual([each.alert.id[-1] for each in await store.deliveries()], ["3", "2", "1"])
            self.assertEqual(len(await store.runs(TASK.key)), 3)
            self.assertEqual(len(await store.runs(OTHER.key)), 12)
        # An old one may start again, or for the first time.
        upgrade(old.connection, self.url, known)
        await old.close()
        again = DirectStore(self.url)
        self.addCleanup(again.close)
        self.assertEqual(set(again.open().states), {TASK.key, OTHER.key})
        self.assertEqual(self.rows("SELECT version, oldest FROM meta"), [(len(known) + 1, OLDEST)])
        await new.close()

    def test_an_upgrade_that_old_instances_cannot_bear(self) -> None:
        self.upgrade(ADDS)
        self.instance("gone", len(scripts()), -1)
        self.instance("old", len(scripts()))
        self.instance("older", len(scripts()) + 1)
        words = self.refused(ADDS, BREAKS)
        self.assertIn("instances of older versions cannot go on; stop old, older first", words)
        self.assertEqual(self.rows("SELECT version, oldest FROM meta"), [(len(scripts()) + 1, OLDEST)])
        self.connect().execute("UPDATE instance SET until = clock_timestamp()")
        self.instance("new", len(scripts()) + 2)
        self.upgrade(ADDS, BREAKS)
        version = len(scripts()) + 2
        self.assertEqual(self.rows("SELECT version, oldest FROM meta"), [(version, version)])
        self.assertIn(
            f" a newer Py Pinger uses it (schema {version}, this one knows {len(scripts())}, {version} is needed); ",
            self.refused(),
        )

    async def test_a_dump_that_was_restored_elsewhere(self) -> None:
        """Rows with the id of a future transaction do not stay new."""
        store = DirectStore(self.url)
        store.open()
        self.addCleanup(store.close)
        for task in (TASK, OTHER):
            await Story(store, task).check(NOW, Kind.LATE, alerts=(alert(len(task.id)),))
        self.rows("UPDATE task SET changed = '999999999999' WHERE id = 1 RETURNING 1")
        self.rows("UPDATE ownership SET changed = '999999999999' WHERE task = 1 RETURNING 1")
        self.rows("UPDATE delivery SET changed = '999999999999' RETURNING 1")
        before = self.rows("SELECT changed::text FROM task WHERE id = 2")
        self.upgrade()
        for table in ("task", "ownership", "delivery"):
            young = f"SELECT count(*) FROM {table} WHERE changed >= pg_current_xact_id()"
            self.assertEqual(self.rows(young), [(0,)])
        self.assertEqual(self.rows("SELECT changed::text FROM task WHERE id = 2"), before)

    def test_the_first_schema_had_owners_in_the_table_of_tasks(self) -> None:
        self.connect().execute(scripts()[0].encode())
        self.rows("INSERT INTO meta (version, oldest) VALUES (1, 1) RETURNING 1")
        self.rows("INSERT INTO task (url, owner, epoch) VALUES ('http://a', 'i', 7), ('http://b', NULL, 3) RETURNING 1")
        self.instance("i", 1)
        self.assertIn("; stop i first", self.refused())
        self.connect().execute("UPDATE instance SET until = clock_timestamp()")
        self.upgrade()
        rows = "SELECT url, owner, epoch, unlisted FROM task JOIN ownership ON task = id ORDER BY url"
        self.assertEqual(self.rows(rows), [("http://a", None, 7, None), ("http://b", None, 3, None)])

    def test_a_script_that_fails_changes_nothing(self) -> None:
        self.upgrade()
        with self.assertRaises(psycopg.Error):
            self.upgrade("CREATE TABLE half (x integer); CREATE TABLE task (x integer);")
        self.assertEqual(self.rows("SELECT to_regclass('half'), (SELECT version FROM meta)"), [(None, len(scripts()))])

    def test_a_database_of_another_program(self) -> None:
        self.connect().execute("CREATE TABLE task (x integer)")
        self.assertIn("its tables are those of another program; create a database for Py Pinger", self.refused())
        self.connect().execute("CREATE TABLE meta (x integer)")
        self.assertIn("its tables are those of another program", self.refused())
