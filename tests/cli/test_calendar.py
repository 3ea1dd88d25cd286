"""``pypinger calendar``: from the ini file, and from the store where there is one."""

from __future__ import annotations

import json
import os
from datetime import datetime
from pathlib import Path
from unittest.mock import patch
from zoneinfo import ZoneInfo

from msgspec.structs import replace
from twisted.trial.unittest import SynchronousTestCase

from pypinger.cli import calendar as command
from pypinger.domain.url import parse
from tests.cli.recording import Endpoint, Life
from tests.cli.test_command import pypinger
from tests.runtime import fakes

NIGHTLY = """
[task Backup]
url = https://host.example/job?key=s3cretkey
schedule = 30 2 * * *
timezone = Europe/Berlin
"""


class CalendarTestCase(SynchronousTestCase):
    #: A moment before the change of the clock in spring.
    now = datetime(2026, 3, 28, 12, tzinfo=ZoneInfo("Europe/Berlin")).timestamp()

    def setUp(self) -> None:
        self.directory = Path(self.mktemp()).absolute()
        self.directory.mkdir()
        self.ini = self.directory / "pinger.ini"
        self.write(NIGHTLY)

    def write(self, text: str, store: str = ":memory:") -> None:
        self.ini.write_text(f"{text}\n[store]\npath = {store}\n")

    def calendar(self, *arguments: str, code: int = 0) -> tuple[str, str]:
        with patch.object(command.time, "time", lambda: self.now):
            found, out, err = pypinger("calendar", str(self.ini), *arguments)
        self.assertEqual(found, code, err)
        self.assertNotIn("s3cretkey", out + err)
        return out, err

    def lines(self, *arguments: str) -> list[str]:
        return self.calendar("--timezone", "Europe/Berlin", *arguments)[0].splitlines()


class IniTests(CalendarTestCase):
    def test_lines(self) -> None:
        self.assertEqual(
            self.lines("--days", "2"),
            ["Sun 2026-03-29 03:00 CEST  Backup  due", "Mon 2026-03-30 02:30 CEST  Backup  due"],
        )
        self.assertEqual(self.calendar()[1], "the store is in memory only: only what the ini file says is known\n")
        self.assertEqual(len(self.lines()), 7)

    def test_local_time_of_this_machine(self) -> None:
        with patch.dict(os.environ, {"TZ": "Asia/Kathmandu"}):
            self.assertEqual(self.calendar("--days", "1")[0], "Sun 2026-03-29 06:45 +0545  Backup  due\n")

    def test_sleep_and_the_end_of_runs(self) -> None:
        self.write(NIGHTLY + "max_runtime = 90m\nsleep = 22:00:30 + 3h\n")
        self.assertEqual(
            self.lines("--days", "1"),
            [
                "Sat 2026-03-28 22:00:30 CET  Backup  asleep until Sun 2026-03-29 01:00:30 CET (3 h)",
                "Sun 2026-03-29 01:00:30 CET  Backup  awake",
                "Sun 2026-03-29 03:00 CEST  Backup  due, to end by Sun 2026-03-29 04:30 CEST",
            ],
        )
        self.write(NIGHTLY + "sleep = 22:00 + 24h\n")
        self.assertEqual(
            self.lines(), ["Sat 2026-03-28 12:00 CET  Backup  asleep", "Backup: it sleeps all day, so it is never due"]
        )
        self.write("[task Poll]\nurl = http://h.example/\nsleep = 00:00 + 24h\n")
        self.assertEqual(self.lines()[1], "Poll: it sleeps all day, so it is never due")

    def test_several_tasks(self) -> None:
        self.write(
            NIGHTLY + "[task A]\nurl = http://a.example/\nschedule = 0 2 * * *\n[urls]\nprod = http://b.example/x"
        )
        found = self.lines("--days", "1")
        self.assertEqual(found[0], "Sun 2026-03-29 03:00 CEST  Backup  due")
        self.assertEqual(found[1], "Sun 2026-03-29 04:00 CEST  A       due")
        self.assertEqual(found[2], "b.example/x: when it is due is not known: it has not reported yet")
        for task in ("A", "http://a.example/", "name:a"):
            self.assertEqual(self.lines(task, "--days", "1"), ["Sun 2026-03-29 04:00 CEST  A  due"])

    def test_frequency_of_the_ini_file(self) -> None:
        self.write("[task A]\nurl = http://a.example/\nfrequency = 10m")
        words = "A: when it is due is not known: it runs every 10 min, and it has not reported yet"
        self.assertEqual(self.lines(), [words])

    def test_tasks_that_run_all_the_time(self) -> None:
        self.write("[task A]\nurl = http://a.example/\nschedule = */10 * * * *")
        self.assertEqual(self.lines(), ["Sat 2026-03-28 12:00 CET  A  due; it runs every 10 min"])
        self.assertEqual(len(self.lines("A", "--days", "1")), 144)

    def test_json(self) -> None:
        self.write(NIGHTLY + "max_runtime = 60\n[urls]\nprod = http://b.example/x")
        answer = json.loads(self.calendar("--days", "1", "--json", "--timezone", "Europe/Berlin")[0])
        (moment,) = answer["moments"]
        self.assertEqual(moment.pop("id"), parse("https://host.example/job?key=s3cretkey").id)
        self.assertEqual(
            moment,
            {
                "at": "2026-03-29T01:00:00.000Z",
                "local": "2026-03-29T03:00:00+02:00",
                "task": "Backup",
                "what": "due",
                "until": "2026-03-29T02:00:00.000Z",
                "running": None,
                "repeats": None,
            },
        )
        self.assertEqual((answer["since"], answer["until"]), ("2026-03-28T11:00:00.000Z", "2026-03-29T11:00:00.000Z"))
        self.assertEqual([note["task"] for note in answer["notes"]], ["b.example/x"])

    def test_mistakes(self) -> None:
        for arguments in (("--days", "0"), ("--days", "x"), ("--days", "367"), ("--timezone", "Mars"), ("a", "b")):
            code, out, err = pypinger("calendar", str(self.ini), *arguments)
            self.assertEqual((code, out), (2, ""))
            self.assertIn("usage: pypinger calendar", err)
        self.assertIn("Backups matches no task\n", self.calendar("Backups", code=2)[1])
        self.assertIn("unknown prefix nam:", self.calendar("nam:x", code=2)[1])
        self.write("[main]\ngrace = soon\n")
        self.assertIn("[main] grace: ", self.calendar(code=2)[1])


class StoreTests(CalendarTestCase):
    """A daemon checks a job that ran 7 s before noon, every 60 min."""

    url = "https://host.example/job?key=s3cretkey"

    def setUp(self) -> None:
        super().setUp()
        self.store = str(self.directory / "store.sqlite")
        parsed = parse(self.url)
        task = replace(
            fakes.make_task("job"), url=parsed.text, id=parsed.id, label=parsed.label, name=parsed.label, named=False
        )
        self.life = Life(self.store, [(task, Endpoint([(9e9, "ok", 0.1)], 60))])
        self.addCleanup(self.life.end)
        self.life.live(600)
        self.life.write()
        self.now = self.life.now()
        self.write(f"[urls]\nprod = {self.url}\n", self.store)

    def test_the_last_report_counts(self) -> None:
        out, err = self.calendar("--days", "0.1", "--timezone", "UTC")
        self.assertEqual(err, "")
        # It will be due 60 min after its last run, and so on.
        self.assertEqual(
            [line.partition("  ")[0].partition(" ")[2] for line in out.splitlines()],
            ["2026-11-02 13:00:07 UTC", "2026-11-02 14:00:07 UTC"],
        )

    def test_overdue(self) -> None:
        self.now += 7200
        out, _ = self.calendar("--days", "0.01", "--timezone", "UTC")
        self.assertIn("13:00:07 UTC  host.example/job?…  overdue\n", out)

    def test_a_store_that_cannot_be_read(self) -> None:
        path = str(self.directory / "other.sqlite")
        Path(path).write_bytes(b"x" * 200)
        self.write(f"[urls]\nprod = {self.url}\n", path)
        out, err = self.calendar(code=3)
        self.assertEqual(out, "")
        self.assertRegex(err, r"\A\[store\] path [^\n]*not a database of Py Pinger[^\n]*\n\Z")

    def test_another_store(self) -> None:
        self.write(f"[urls]\nprod = {self.url}\n", "store.sqlite")
        for state in (str(self.directory), self.store):
            self.assertEqual(self.calendar("--state", state)[1], "")
        self.assertIn("No such file", self.calendar("--state", str(self.directory / "none"), code=3)[1])
        self.assertIn("No such file", self.calendar("--state", str(self.directory.parent), code=3)[1])
