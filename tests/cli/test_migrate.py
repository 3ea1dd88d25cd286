"""Moving an SQLite store to PostgreSQL: the same history and the same present afterwards."""

from __future__ import annotations

import gzip
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from unittest.mock import patch

import msgspec
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from pypinger.domain.kinds import Kind
from pypinger.domain.model import Delivery, Event, Incident, Invalid, Outcome
from pypinger.domain.silence import Silence
from pypinger.domain.url import parse
from pypinger.ports.storing import Blind, HostSeen, Kept
from pypinger.store.lock import Lock
from pypinger.store.postgres import moving
from pypinger.store.reading import Reader
from pypinger.store.sources import SqliteSource
from pypinger.store.sqlite import SqliteStore
from tests import postgres
from tests.cli.recording import Endpoint, Life
from tests.cli.test_command import pypinger
from tests.contracts.history import FINDINGS, NOW, Story
from tests.contracts.store import OTHER, TASK, alert
from tests.runtime.fakes import make_task
from tests.store.postgres.direct import DirectStore
from tests.store.pump import Pump

STORES = Path(__file__).parent.parent / "store"


def everything(reader: Reader, now: float) -> Iterator[tuple[str, Any]]:
    """All that a reader says."""
    keys = reader.tasks()
    yield "tasks", list(keys)
    yield "channels", list(reader.channels())
    yield "dead", list(reader.dead())
    yield "incidents", list(reader.incidents(limit=1000))
    yield "deliveries", list(reader.deliveries(limit=1000))
    yield "blind", list(reader.blind_times(0, now))
    yield "alive", reader.alive()
    for key in keys:
        for method in (reader.runs, reader.verdicts, reader.gaps):
            yield f"{key} {method.__name__}", list(method(key, limit=1000))
        yield f"{key} findings", list(reader.findings(key, 0, now))
        yield f"{key} uptime", reader.uptime(key, now)
        yield f"{key} days", list(reader.days(key, now))
        yield f"{key} beginning", reader.beginning(key)
        yield f"{key} state", reader.state(key)


def present(kept: Kept) -> dict[str, Any]:
    """What a start would load, in the same types for both engines."""
    fields = {name: getattr(kept, name) for name in kept.__struct_fields__}
    del fields["channels"]
    fields["deliveries"] = list(fields["deliveries"])
    fields["told"] = {name: list(told) for name, told in fields["told"].items()}
    return {name: dict(value) if isinstance(value, dict) else value for name, value in fields.items()}


class MigrateTestCase(SynchronousTestCase):
    skip = postgres.missing()

    def setUp(self) -> None:
        self.url = postgres.database(self)
        self.directory = Path(self.mktemp()).absolute()
        self.directory.mkdir()
        self.path = self.directory / "store.sqlite"
        self.ini = self.directory / "pinger.ini"
        self.write_ini(f"url = {self.url}\ninstance = a\n")

    def write_ini(self, store: str) -> None:
        self.ini.write_text(f"[urls]\nprod = http://a.example/\n[web]\nhosts = h\n[store]\npath = {self.path}\n{store}")

    def migrate(self) -> tuple[int, str, str]:
        code, out, err = pypinger("migrate", str(self.ini))
        self.assertNotIn("w0rd", out + err)
        return code, out, err

    def refused(self, words: str) -> None:
        code, out, err = self.migrate()
        self.assertEqual((code, out), (3, ""))
        self.assertRegex(err, rf"(?:\A|\n)\[store\] [^\n]*{words}[^\n]*\n\Z")
        rows = postgres.server().execute("SELECT to_regclass('task')", database=self.url.rpartition("/")[2])
        if rows != [(None,)]:
            self.assertEqual(self.target("SELECT count(*) FROM run"), [(0,)])

    def target(self, query: str) -> list[Any]:
        return postgres.server().execute(query, database=self.url.rpartition("/")[2])

    def agree(self, now: float) -> None:
        """Compare what both say; the SQLite store is upgraded in place first."""
        pump = Pump()
        store = SqliteStore(pump, lambda: now, str(self.path), keep_days=90)
        kept = store.open()
        moved = DirectStore(self.url, now=lambda: now)
        again = moved.open()
        with closing(Reader(SqliteSource(str(self.path)))) as reader:
            for (what, expected), (_, found) in zip(
                everything(reader, now), everything(moved.reader, now), strict=True
            ):
                if what not in ("alive", "blind"):
                    self.assertEqual(found, expected, what)
            self.assertEqual(list(moved.reader.blind_times(0, now)), list(reader.blind_times(0, now)))
        self.assertEqual(present(again), present(kept))
        pump.wait(store.close())
        pump.wait(moved.close())


class FixtureTests(MigrateTestCase):
    """Stores of earlier versions."""

    def check(self, name: str, now: float) -> None:
        data = gzip.decompress((STORES / name).read_bytes())
        self.path.write_bytes(data)
        code, out, _ = self.migrate()
        self.assertEqual(code, 0)
        self.assertRegex(out, rf"\Amoved to postgresql://pinger@[^\n]*; {self.path} stays as it is\n\Z")
        self.assertEqual(self.path.read_bytes(), data)
        self.agree(now)

    def test_of_release_1(self) -> None:
        self.check("release1.sqlite.gz", 1_793_636_160.0)

    def test_of_schema_2(self) -> None:
        self.check("schema2.sqlite.gz", 1_793_632_140.0)

    def test_of_schema_4(self) -> None:
        self.check("schema4.sqlite.gz", 1_795_662_832.0)


class MigrateTests(MigrateTestCase):
    def record(self) -> None:
        """A store that has all that there is."""
        pump = Pump()
        store = SqliteStore(pump, lambda: NOW + 4000, str(self.path), keep_days=90)
        store.open()
        story, other = Story(store), Story(store, OTHER)
        first = Incident(NOW, Kind.LATE, NOW, 1)

        async def live() -> None:
            for number, finding in enumerate(FINDINGS * 2):
                await story.check(NOW + 60 * number, finding=finding)
            await story.check(NOW + 1800, Kind.LATE, incident=first, alerts=(alert(1), alert(2)))
            await other.check(NOW + 3700, Kind.FAILED, incident=first, alerts=(alert(3), alert(4, Event.CHANGED)))
            odd = msgspec.structs.replace(alert(5), explanation="nul \0 \\u0000 end")
            await store.enqueue([Delivery(odd, "hipchat", words="no\0"), Delivery(alert(6), "email")])
            sent = Delivery(alert(1), "slack", 1, words="ok", reference="C1 1.5")
            await store.settle(sent, Outcome.SENT)
            await store.settle(Delivery(alert(2), "slack", 3, words="gone"), Outcome.DEAD)
            await store.settle(Delivery(alert(3), "slack", 2, 17.25, "HTTP 503", "one was reached"), Outcome.RETRY)
            await store.silences([Silence("s1", "group:x \N{SNOWMAN}", NOW, NOW + 1e6, "why", "jane")])
            store.hosts({"a.example": HostSeen("192.0.2.1", NOW + 3000.123456)})
            store.blindness(Blind(NOW + 3500.5, "no host answers"), Blind(NOW + 3600.5, "its clock is wrong"))
            store.blind(NOW + 100, NOW + 200)
            await store.close()

        pump.wait(live())

    def test_all_is_moved(self) -> None:
        self.record()
        code, out, err = self.migrate()
        self.assertEqual(code, 0, err)
        self.assertIn(": 2 tasks, 2 incidents, 6 alerts, 1 silence, ", out)
        self.assertIn("delivery: 6\n", err)
        words = "no\N{REPLACEMENT CHARACTER}"
        self.assertEqual(self.target("SELECT words FROM delivery WHERE channel = 'hipchat'"), [(words,)])
        # Nothing but U+0000 differs.
        with closing(sqlite3.connect(self.path)) as connection:
            connection.execute(
                "UPDATE delivery SET words = ?, body = replace(body, ?, ?) WHERE channel = 'hipchat'",
                (words, "nul \\u0000", "nul \N{REPLACEMENT CHARACTER}"),
            )
            connection.commit()
        self.agree(NOW + 4060)

    def test_ids_go_on(self) -> None:
        self.record()
        self.migrate()
        store = DirectStore(self.url, now=lambda: NOW + 4060)
        store.open()
        self.addCleanup(lambda: Deferred.fromCoroutine(store.close()))
        before = {name: self.target(f"SELECT max(id) FROM {name}") for name in moving._COUNTED}
        (latest,) = self.target("SELECT max(id) FROM incident")[0]
        self.assertEqual(self.target("SELECT nextval('incident_id')"), [(latest + 1,)])
        third = msgspec.structs.replace(TASK, url="http://h/third")
        story = Story(store, third)
        Deferred.fromCoroutine(story.check(NOW + 4070, Kind.LATE, Invalid(200, "new"), alerts=(alert(9),)))
        store.blind(NOW + 4080, NOW + 4090)
        for name, ((highest,),) in before.items():
            self.assertGreater(self.target(f"SELECT max(id) FROM {name}")[0][0], highest, name)

    def test_a_store_that_is_in_use(self) -> None:
        self.record()
        lock = Lock(str(self.path), str(self.path))
        self.addCleanup(lock.release)
        self.refused(rf"another Py Pinger \(process {os.getpid()}\) is using it; stop that one")

    def test_a_target_that_is_not_empty(self) -> None:
        self.record()
        self.assertEqual(self.migrate()[0], 0)
        before = self.target("SELECT count(*) FROM run")
        code, out, err = self.migrate()
        self.assertEqual((code, out), (3, ""))
        self.assertIn("it already holds tasks or alerts; create another database to move into\n", err)
        self.assertEqual(self.target("SELECT count(*) FROM run"), before)

    def test_a_target_with_a_running_instance(self) -> None:
        self.record()
        store = DirectStore(self.url)
        store.open()
        store.connection.execute(
            "INSERT INTO instance (id, name, until, process, digest, listed, tasks, channels)"
            " VALUES ('x', 'b', clock_timestamp() + interval '1 min', '', '', '', '[]', '[]')"
        )
        store.connection.close()
        self.refused(r"instances are running \(b\); stop them first")

    def test_a_failure_moves_nothing(self) -> None:
        self.record()
        with closing(sqlite3.connect(self.path)) as connection:
            connection.execute("INSERT INTO hour VALUES (1, 2, 0, 0, 'x', 0, 0, 0, 0, 0)")
            connection.commit()
        self.refused("it is damaged .*invalid input syntax for type bigint")

    def test_mistakes(self) -> None:
        self.refused("there is no store to move")
        self.path.write_text("x" * 200)
        self.refused("not a database of Py Pinger")
        self.write_ini("")
        self.assertEqual(
            self.migrate(), (2, "", f"{self.ini}: [store] url: it is not set; it names the database to move to\n")
        )
        self.write_ini("url = x\n")
        code, _, err = self.migrate()
        self.assertEqual((code, "[store] url: must be a URL such as" in err), (2, True))

    def test_a_server_that_is_away(self) -> None:
        self.record()
        self.write_ini("url = postgresql://u:pa55w0rd@127.0.0.1:1/d\n")
        self.refused("url postgresql://u@127.0.0.1:1/d: [Cc]onnection refused.*; start PostgreSQL, or correct the URL")


class CommandTests(MigrateTestCase):
    """Commands read the shared store as they read the file."""

    job = "https://host.example/job?key=s3cretkey"

    def said(self, command: str, *arguments: str) -> tuple[int, str, str]:
        self.write_ini(self.store)
        self.ini.write_text(self.ini.read_text().replace("http://a.example/", self.job))
        with patch.object(time, "time", lambda: self.now):
            code, out, err = pypinger(command, str(self.ini), *arguments)
        self.assertNotIn("s3cretkey", out + err)
        self.assertNotIn("w0rd", out + err)
        return code, out, err

    def test_replay_and_calendar(self) -> None:
        script = [(1800.0, "ok", 0.1), (1000.0, "stuck", 0.1), (800.0, "refused", 0.1), (9e9, "ok", 0.1)]
        parsed = parse(self.job)
        task = msgspec.structs.replace(
            make_task("job"), url=parsed.text, id=parsed.id, label=parsed.label, name=parsed.label
        )
        life = Life(str(self.path), [(task, Endpoint(script))])
        life.live(2.5 * 3600)
        life.write()
        self.now = life.now()
        life.end()
        self.store = ""
        of_file = self.said("replay", "--grace", "5m"), self.said("calendar", "--days", "0.1")
        self.assertEqual((of_file[0][0], of_file[1][0]), (1, 0))
        self.store = f"url = {self.url}\n"
        self.assertEqual(self.said("migrate")[0], 0)
        self.path.unlink()
        self.assertEqual((self.said("replay", "--grace", "5m"), self.said("calendar", "--days", "0.1")), of_file)
        code, out, _ = self.said("validate")
        self.assertEqual(code, 0)
        self.assertRegex(out, r"(?m)^store: postgresql://pinger@[^ ]*, as instance \S+$")

    def test_a_database_that_cannot_be_read(self) -> None:
        self.now = NOW
        self.store = f"url = {self.url}\n"
        code, out, err = self.said("replay")
        self.assertEqual((code, out), (3, ""))
        self.assertRegex(err, r"\A\[store\] url [^\n]* does not exist; start Py Pinger with this URL first\n\Z")
        self.store = "url = postgresql://u:${credential:pw}@h/d\n"
        code, out, err = self.said("calendar")
        self.assertEqual((code, out), (3, ""))
        self.assertIn("[store] url: its credential cannot be read here; set CREDENTIALS_DIRECTORY", err)
        self.assertIn("store: the database of a credential, as instance ", self.said("validate")[1])

    def test_another_store(self) -> None:
        """``--state`` names a file."""
        self.now = NOW
        self.store = f"url = {self.url}\n"
        self.assertIn("No such file", self.said("calendar", "--state", f"{self.directory}/none")[2])
