"""``pypinger replay``: the same settings reproduce the alerts, other settings give others."""

from __future__ import annotations

import atexit
import json
import shutil
import sqlite3
import tempfile
from contextlib import closing
from functools import cache
from pathlib import Path
from unittest.mock import patch

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from twisted.trial.unittest import SynchronousTestCase

from pypinger.cli import replay as command
from pypinger.cli._recorded import records
from pypinger.cli._store import open_history
from pypinger.domain.kinds import Kind
from pypinger.domain.model import Event, Task
from pypinger.domain.replay import compare, replay
from pypinger.domain.times import iso
from pypinger.domain.url import parse
from tests.cli.recording import MODES, Endpoint, Life
from tests.cli.test_command import pypinger
from tests.runtime import fakes
from tests.runtime.fakes import NOON

HOUR, DAY = 3600.0, 86_400.0

#: Each mode for a while and for long, with health in between.
SCRIPT = [
    part
    for mode in MODES
    for length in (700.0, 5000.0)
    for part in ((length, mode, 2.5 if mode == "stuck" else 0.1), (1111.0, "ok", 0.1))
]

#: One fault after the other, a check long each.
FOLLOWING = [(60.0, "refused", 0.1), (60.0, "invalid", 0.1), (60.0, "failed", 0.1), (900.0, "refused", 0.1)]


def make_task(name: str = "a", **settings: object) -> Task:
    """A task that never flaps: what a replay from the middle of a record cannot know."""
    return fakes.make_task(name, **{"flap_incidents": 0, **settings})


_phases = st.lists(
    st.tuples(st.floats(20, 6000), st.sampled_from(MODES), st.sampled_from([0.0, 0.1, 2.5, 20.0])),
    min_size=1,
    max_size=6,
)
_tasks = st.tuples(
    st.builds(
        make_task,
        interval=st.sampled_from([60.0, 300.0]),
        grace=st.sampled_from([0.0, 60.0, 300.0]),
        failures=st.sampled_from([1, 1, 2, 3]),
        error_interval=st.sampled_from([0.0, 480.0, 1000.0, 60.0]),
    ),
    st.builds(Endpoint, _phases, st.sampled_from([1, 5, 10, 60])),
)
#: For how long it runs, how that ends, and for how long it is down then.
_lives = st.lists(
    st.tuples(st.floats(100, 9000), st.booleans(), st.one_of(st.floats(0.1, 60), st.floats(60, 9000))),
    min_size=1,
    max_size=3,
)


class SameSettingsTests(SynchronousTestCase):
    unmeasured = True

    def reproduce(self, life: Life, *edges: float) -> int:
        """Replay with the recorded settings, from each edge; return the number of alerts."""
        alerts = 0
        with open_history(life.path) as reader:
            for task in life.tasks:
                for edge in (0.0, *edges):
                    recorded, _ = records(reader, task, NOON + edge, life.now() + 1)
                    lines = compare(recorded.given, replay(task, recorded))
                    wrong = [line for line in lines if line.mark != "="]
                    self.assertEqual(wrong, [], f"{task} from {edge}")
                    alerts += len(lines)
        return alerts

    def test_days(self) -> None:
        tasks = [
            (make_task("a"), Endpoint(SCRIPT)),
            (make_task("b", grace=0.0, failures=3), Endpoint(SCRIPT[9:] + SCRIPT[:9], minutes=5)),
            (make_task("c", interval=300.0, error_interval=1000.0), Endpoint(SCRIPT[20:] + SCRIPT[:20], minutes=60)),
        ]
        life = Life(self.mktemp(), tasks)
        life.live(0.6 * DAY)
        life.end()
        life.reactor.advance(2 * HOUR)
        life.begin()
        life.live(0.6 * DAY)
        life.end()
        alerts = {(alert.event, alert.kind) for alert in life.notifier.sent if alert.task}
        for event in (Event.PROBLEM, Event.CHANGED, Event.REMINDER, Event.RECOVERED):
            self.assertIn(event, {each for each, _ in alerts})
        for kind in Kind:
            if kind not in (Kind.NEW, Kind.SLEEPING):
                self.assertIn(kind, {each for _, each in alerts})
        self.assertGreater(self.reproduce(life, 0.3 * DAY, 0.61 * DAY, DAY), 500)

    @settings(deadline=None, max_examples=20)
    @given(_tasks, _lives, st.lists(st.floats(0, 6 * HOUR), max_size=2))
    def test_any_life(
        self, task: tuple[Task, Endpoint], lives: list[tuple[float, bool, float]], edges: list[float]
    ) -> None:
        life = self.live(task, lives)
        # Rows of errors that led to nothing are known from what came before.
        self.reproduce(life, *(edges if task[0].failures == 1 else ()))

    def live(self, task: tuple[Task, Endpoint], lives: list[tuple[float, bool, float]]) -> Life:
        """Have a daemon live, and start again, several times."""
        life = Life(self.mktemp(), [task])
        for up, killed, down in lives:
            life.live(up)
            life.end(killed=killed)
            life.reactor.advance(down)
            life.begin()
        life.live(600)
        life.end()
        return life

    def test_a_row_that_counts_from_waking_on(self) -> None:
        """It is refused while it sleeps, from 13:00 to 13:45, at which a regular check is under way."""
        script = [(288.0, "ok", 2.5), (4273.0, "sleepy", 2.5), (9000.0, "error", 0.1)]
        for interval, failures in ((60.0, 2), (60.0, 3), (300.0, 3)):
            task = make_task(interval=interval, failures=failures)
            self.assertGreater(self.reproduce(self.live((task, Endpoint(script, 60)), [(7373, True, 26)])), 0)

    def test_a_restart_within_a_row_that_does_not_count_yet(self) -> None:
        script = [(3130.0, "sleepy", 0.1), (4618.0, "refused", 0.0), (1208.0, "error", 20.0)]
        task = make_task(interval=300.0, grace=300.0, failures=2)
        lives = [(5202.9, False, 131.6), (7807.0, True, 60.0), (7875.3, True, 2.5)]
        self.assertGreater(self.reproduce(self.live((task, Endpoint(script, 1)), lives)), 5)

    def test_reminders_that_were_skipped_before_the_edge(self) -> None:
        script = [(60.0, "invalid", 0.0), (1091.4, "refused", 0.0)]
        task = make_task(interval=300.0, grace=300.0, error_interval=1000.0)
        lives = [(2008.9, True, 12.8), (5669.3, True, 49.3), (2008.9, True, 3686.1)]
        life = self.live((task, Endpoint(script, 1)), lives)
        self.reproduce(life, 6000, 9600, 13_500)

    def test_a_reminder_that_was_due_as_it_ended(self) -> None:
        life = self.live((make_task(error_interval=600.0), Endpoint([(9e9, "refused", 0.0)])), [])
        self.assertEqual(self.reproduce(life), 1)

    def test_a_task_that_slept_at_the_edge(self) -> None:
        """Its last valid report, from before the edge, says that nothing was expected of it."""
        # It sleeps from 13:00 to 13:45, an hour after the start.
        script = [(600.0, "ok", 0.1), (3300.0, "sleepy", 0.1), (2000.0, "invalid", 0.1), (90_000.0, "ok", 0.1)]
        life = Life(self.mktemp(), [(make_task(), Endpoint(script))])
        life.live(2 * HOUR)
        life.end()
        self.assertEqual([alert.event for alert in life.notifier.sent if alert.task], [])
        for edge in range(3800, 6400, 200):
            self.assertEqual(self.reproduce(life, edge), 0)

    def test_without_a_channel(self) -> None:
        life = Life(
            self.mktemp(), [(make_task(), Endpoint([(600.0, "ok", 0.1), *SCRIPT[8:12], *FOLLOWING]))], channel=False
        )
        life.live(0.2 * DAY)
        life.end()
        self.assertEqual(life.notifier.sent, [])
        with open_history(life.path) as reader:
            recorded, logged = records(reader, life.tasks[0], NOON, life.now())
        self.assertGreater(len(recorded.given), 4)
        replayed = replay(replace(life.tasks[0], error_interval=0.0), recorded)
        self.assertEqual({line.mark for line in compare(recorded.given, replayed)}, {"="})
        self.assertEqual(len(logged), sum(each.event is Event.PROBLEM for each in recorded.given))

    def test_a_row_that_began_before(self) -> None:
        task = make_task(failures=3)
        life = Life(self.mktemp(), [(task, Endpoint([(600.0, "ok", 0.1), *FOLLOWING, (600.0, "ok", 0.1)]))])
        life.live(2000)
        life.end()
        for edge in range(590, 1000, 30):
            self.assertGreater(self.reproduce(life, edge), 0)

    def test_a_removed_task(self) -> None:
        for channel in (True, False):
            life = Life(
                self.mktemp(), [(make_task(error_interval=0.0), Endpoint([(9e9, "refused", 0.1)]))], channel=channel
            )
            life.live(HOUR)
            life.monitor.update([])
            life.reactor.advance(0)
            life.live(HOUR)
            life.monitor.update(life.tasks)
            life.live(HOUR)
            life.end()
            self.assertEqual(self.reproduce(life), 3)


URL = "https://host.example/job?key=s3cretkey"


@cache
def running() -> Life:
    """A daemon that is running, whose task was late and then unreachable an hour and a half ago; tests only read it."""
    directory = Path(tempfile.mkdtemp(prefix="pypinger-replay-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    script = [(1800.0, "ok", 0.1), (1000.0, "stuck", 0.1), (800.0, "refused", 0.1), (9e9, "ok", 0.1)]
    parsed = parse(URL)
    task = replace(make_task("job"), url=parsed.text, id=parsed.id, label=parsed.label, name=parsed.label)
    life = Life(str(directory / "store.sqlite"), [(task, Endpoint(script))])
    life.live(2.5 * HOUR)
    life.write()
    return life


class CommandTests(SynchronousTestCase):
    url = URL

    def setUp(self) -> None:
        self.life = running()
        self.store = self.life.path
        self.directory = Path(self.mktemp()).absolute()
        self.directory.mkdir()
        self.ini = self.directory / "pinger.ini"
        self.write_ini(f"[urls]\nprod = {self.url}\n")

    def write_ini(self, text: str, path: str | None = None) -> None:
        self.ini.write_text(f"{text}\n[store]\npath = {self.store if path is None else path}\n")

    def replay(self, *arguments: str) -> tuple[int, str, str]:
        with patch.object(command.time, "time", self.life.now):
            code, out, err = pypinger("replay", str(self.ini), *arguments)
        self.assertNotIn("s3cretkey", out + err)
        return code, out, err

    def marks(self, *arguments: str) -> tuple[int, list[tuple[str, str, str]]]:
        code, out, _ = self.replay("--json", *arguments)
        (task,) = json.loads(out)["tasks"]
        return code, [(each["mark"], each["event"], each["kind"]) for each in task["alerts"]]

    def test_same(self) -> None:
        code, out, err = self.replay()
        self.assertEqual((code, err), (0, ""))
        lines = out.splitlines()
        self.assertEqual(lines[0], "host.example/job?… https://host.example/job?…")
        self.assertRegex(
            lines[1], r"\A  = 2026-\d\d-\d\d \d\d:\d\d:\d\dZ  problem    late         last ran .+, was due .+"
        )
        self.assertRegex(lines[2], r"\A  = .+Z  changed    unreachable  connection refused\Z")
        self.assertEqual([line[2] for line in lines[1:4]], ["="] * 3)
        self.assertRegex(lines[-2], r"\A2026-.+Z to 2026-.+Z, 1 task\Z")
        self.assertEqual(lines[-1], "alerts: 3 unchanged (=), 0 new (+), 0 gone (-)")

    def test_another_configuration(self) -> None:
        code, lines = self.marks("--grace", "3600")
        self.assertEqual(code, 1)
        self.assertEqual(lines[:2], [("-", "problem", "late"), ("-", "changed", "unreachable")])
        self.assertIn(("+", "problem", "unreachable"), lines)
        self.assertEqual(lines[-1], ("=", "recovered", "ok"))
        self.write_ini(f"[main]\ngrace = 3600\n[urls]\nprod = {self.url}\n")
        self.assertEqual(self.marks(), (code, lines))
        self.assertEqual(self.marks("--grace", "60")[0], 0)
        self.write_ini(f"[urls]\nprod = {self.url}\n")
        _, lines = self.marks("--failures", "1000")
        self.assertEqual({mark for mark, _, _ in lines}, {"-"})
        _, lines = self.marks("--failures", "2")
        self.assertEqual(
            [line for line in lines if line[1] == "problem"], [("-", "problem", "late"), ("+", "problem", "late")]
        )

    def test_json(self) -> None:
        code, out, _ = self.replay("--json", "--since", "3h")
        answer = json.loads(out)
        self.assertEqual(code, 0)
        self.assertEqual((answer["same"], answer["new"], answer["gone"]), (3, 0, 0))
        self.assertEqual((answer["since"], answer["until"]), (iso(self.life.now() - 3 * HOUR), iso(self.life.now())))
        (task,) = answer["tasks"]
        alerts = task.pop("alerts")
        name = "host.example/job?…"
        expected = {
            "id": self.life.tasks[0].id,
            "name": name,
            "url": f"https://{name}",
            "monitored": True,
            "recorded": True,
        }
        self.assertEqual(task, expected)
        sent = [alert for alert in self.life.notifier.sent if alert.task]
        self.assertEqual([each["at"] for each in alerts], [iso(alert.at) for alert in sent])
        self.assertEqual(alerts[1]["explanation"], "connection refused")

    def test_times(self) -> None:
        sent = [alert.at for alert in self.life.notifier.sent if alert.task]
        middle = (sent[0] + sent[1]) / 2
        for text in (f"{iso(middle)}", f"{iso(middle)}"[:-1], f"{(self.life.now() - middle) / 60}m"):
            self.assertEqual(next(event for _, event, _ in self.marks("--since", text)[1]), "changed", text)
            self.assertEqual(self.marks("--until", text), (0, [("=", "problem", "late")]), text)
        self.assertEqual(self.marks("--since", "2026-01-01")[0], 0)
        for text in ("0.1h", "6min", " 6 min", "5m 60s"):
            self.assertEqual(self.marks("--since", text), (0, []), text)
        self.assertEqual(self.marks("--since", "20260101")[0], 0)

    def test_no_alerts(self) -> None:
        self.write_ini(f"[urls]\nprod = {self.url}, http://new.example/\n")
        code, out, _ = self.replay("--since", "10m")
        self.assertEqual(code, 0)
        self.assertEqual(len(out.splitlines()), 2)
        self.assertIn(", 2 tasks, 1 without records\n", out)

    def test_one_task(self) -> None:
        self.write_ini(f"[urls]\nprod = {self.url}, http://new.example/\n")
        for name in (self.url, self.life.tasks[0].id):
            self.assertEqual(len(self.marks("--task", name)[1]), 3)
        code, out, err = self.replay("--task", "http://other.example/?key=s3cretkey")
        self.assertEqual((code, out), (2, ""))
        self.assertIn("no task http://other.example/?…", err)

    def test_a_task_that_left_the_ini_file(self) -> None:
        self.write_ini("[urls]\nprod = http://new.example/\n")
        code, out, _ = self.replay()
        self.assertEqual(code, 1)
        self.assertIn("https://host.example/job?… https://host.example/job?… (not in this ini file)\n  - 2026", out)
        self.assertIn("alerts: 0 unchanged (=), 0 new (+), 3 gone (-)", out)
        self.assertEqual(self.replay("--until", "2.4h")[0], 0)

    def test_mistakes(self) -> None:
        for arguments in (
            ("--since", "soon"),
            ("--since", "-1d"),
            ("--since", "infd"),
            ("--since", "7"),
            ("--since", "1h", "--until", "2h"),
            ("--failures", "0"),
            ("--failures", "x"),
            ("--grace", "-1"),
            ("--frequency", "1"),
        ):
            code, out, err = self.replay(*arguments)
            self.assertEqual((code, out), (2, ""), arguments)
            self.assertIn("usage: pypinger replay", err)
        self.write_ini("[main]\ngrace = soon\n")
        code, out, err = self.replay()
        self.assertEqual((code, out), (2, ""))
        self.assertIn("[main] grace: ", err)
        self.write_ini(f"[urls]\nprod = {self.url}\n", str(self.directory))
        code, out, err = self.replay()
        self.assertEqual((code, out), (2, ""))
        self.assertIn("[store] path", err)

    def unreadable(self, path: str, words: str) -> None:
        self.write_ini(f"[urls]\nprod = {self.url}\n", path)
        code, out, err = self.replay()
        self.assertEqual((code, out), (3, ""))
        self.assertRegex(err, rf"\A\[store\] path [^\n]*{words}[^\n]*\n\Z")

    def test_a_store_that_cannot_be_read(self) -> None:
        directory = self.directory
        self.unreadable(":memory:", "keeps nothing")
        self.unreadable(f"{directory}/none.sqlite", "No such file")
        with closing(sqlite3.connect(f"{directory}/other.sqlite")) as connection:
            connection.execute("CREATE TABLE other (x)")
        self.unreadable(f"{directory}/other.sqlite", "not a database of Py Pinger")
        self.unreadable(str(self.ini), "not a database of Py Pinger")
        for name, at, content in (("newer", 60, b"\0\0\0\x63"), ("damaged", 100, b"\xff" * 4000)):
            path = f"{directory}/{name}.sqlite"
            with sqlite3.connect(self.store) as connection:
                connection.execute("VACUUM INTO ?", (path,))
            connection.close()
            with open(path, "r+b") as file:
                file.seek(at)
                file.write(content)
            self.unreadable(path, {"newer": r"\(schema 99, this one reads \d+\)", "damaged": "damaged"}[name])

    def test_it_writes_nothing(self) -> None:
        copy = self.directory / "store.sqlite"
        with closing(sqlite3.connect(self.store)) as connection:
            connection.execute("VACUUM INTO ?", (str(copy),))
        before = copy.read_bytes()
        self.write_ini(f"[urls]\nprod = {self.url}\n", str(copy))
        self.assertEqual(self.replay()[0], 0)
        self.assertEqual(copy.read_bytes(), before)
