import json
from math import inf, nan

import msgspec
from msgspec.structs import replace
from twisted.trial.unittest import SynchronousTestCase

from pypinger.domain.kinds import Kind, Status
from pypinger.domain.model import Verdict, Window
from pypinger.domain.silence import Muted
from pypinger.ports.showing import Entry, Sharing
from pypinger.web.json import objects
from tests.web.fakes import NOW, SILENCED, acknowledged, daemon_state, entry, new_entry, with_incident

STATE = objects.own_state(daemon_state())

MEMBERS = [
    "url",
    "id",
    "name",
    "group",
    "status",
    "kind",
    "explanation",
    "pings",
    "errors",
    "process",
    "server",
    "reason",
    "frequency",
    "schedule",
    "lastrun",
    "started",
    "due",
    "next_change",
    "sleep_start",
    "sleep_end",
    "checked",
    "seen",
    "unseen",
    "since",
    "incident",
    "silenced",
    "latency",
    "timezone",
    "max_runtime",
    "instance",
]


def shape(entry: Entry) -> dict[str, object]:
    value = json.loads(objects.task_row(entry))
    assert isinstance(value, dict)
    return value


def with_state(**changes: object) -> Entry:
    made = entry()
    return Entry(made.task, msgspec.structs.replace(made.state, **changes))


class TaskTests(SynchronousTestCase):
    def test_members(self) -> None:
        self.assertEqual(list(shape(entry())), MEMBERS)
        self.assertEqual(list(shape(new_entry())), MEMBERS)

    def test_name(self) -> None:
        """It is how the task is shown; url and id identify the task."""
        made = entry()
        unnamed = msgspec.structs.replace(made.task, name="h/a", named=False)
        self.assertEqual(shape(Entry(unnamed, made.state))["name"], "backup on web-1")
        self.assertEqual(shape(Entry(unnamed, new_entry().state))["name"], "h/a")

    def test_failed(self) -> None:
        made = entry("http://h/a?token=x", Kind.FAILED, name="A")
        self.assertEqual(
            shape(made),
            {
                "url": "http://h/a?token=x",
                "id": made.task.id,
                "name": "A",
                "group": None,
                "status": "error",
                "kind": "failed",
                "explanation": "explained as failed",
                "pings": 120,
                "errors": 7,
                "process": "backup",
                "server": "web-1",
                "reason": "disk full",
                "frequency": 10,
                "schedule": None,
                "lastrun": "2026-11-22T22:23:34.000Z",
                "started": None,
                "due": "2026-11-22T22:33:34.000Z",
                "next_change": "2026-11-22T22:34:34.000Z",
                "sleep_start": None,
                "sleep_end": None,
                "checked": "2026-11-22T22:28:13.000Z",
                "seen": None,
                "unseen": None,
                "since": "2026-11-22T22:13:34.000Z",
                "incident": {
                    "started": "2026-11-22T22:13:34.000Z",
                    "kind": "failed",
                    "flapping": False,
                    "acknowledged": None,
                },
                "silenced": None,
                "latency": 0.0123,
                "timezone": None,
                "max_runtime": None,
                "instance": None,
            },
        )

    def test_schedule(self) -> None:
        """What counts is shown, of the report and the ini file; a frequency beside a schedule does not."""
        members = ("frequency", "schedule", "timezone", "max_runtime", "lastrun", "started")
        made = entry(
            schedule="@daily", timezone="Europe/Berlin", frequency=7.0, max_runtime=8.05, lastrun=None, started=NOW - 60
        )

        def shown(made: Entry) -> list[object]:
            return [shape(made)[member] for member in members]

        started = "2026-11-22T22:27:34.000Z"
        self.assertEqual(shown(made), [None, "@daily", "Europe/Berlin", 8.05, None, started])
        for settings, expected in [
            ({"frequency": 0.1}, [0.1, None, None, 8.05, None, started]),
            ({"schedule": "0 3 * * *", "max_runtime": 60.0}, [None, "0 3 * * *", "UTC", 60, None, started]),
            ({"timezone": "Asia/Kathmandu"}, [None, "@daily", "Asia/Kathmandu", 8.05, None, started]),
        ]:
            task = msgspec.structs.replace(made.task, **settings)
            self.assertEqual(shown(Entry(task, made.state)), expected)

    def test_schedule_of_the_ini_file_before_the_first_report(self) -> None:
        task = msgspec.structs.replace(new_entry().task, schedule="@daily", max_runtime=5.0)
        made = shape(Entry(task, new_entry().state))
        self.assertEqual((made["schedule"], made["timezone"], made["max_runtime"]), ("@daily", "UTC", 5))

    def test_seen_and_unseen(self) -> None:
        made = entry()
        value = shape(Entry(made.task, made.state, seen=NOW - 7200, unseen=NOW - 3600))
        self.assertEqual((value["seen"], value["unseen"]), ("2026-11-22T20:28:34.000Z", "2026-11-22T21:28:34.000Z"))
        self.assertEqual((value["status"], value["kind"]), ("ok", "ok"))

    def test_silenced(self) -> None:
        made = msgspec.structs.replace(entry(), muted=SILENCED)
        told = {"until": "2026-11-22T22:58:34.000Z", "reason": "upgrade", "by": "jane", "source": "silence 3f2a"}
        self.assertEqual(shape(made)["silenced"], told)
        made = msgspec.structs.replace(entry(), muted=Muted(NOW + 1800, "", "", "maintenance nightly"))
        told = {**told, "reason": None, "by": None, "source": "maintenance nightly"}
        self.assertEqual(shape(made)["silenced"], told)

    def test_acknowledged_and_flapping(self) -> None:
        made = acknowledged(entry(kind=Kind.LATE))
        incident = shape(made)["incident"]
        assert isinstance(incident, dict)
        self.assertEqual(incident["acknowledged"], {"at": "2026-11-22T22:23:34.000Z", "by": "jane", "reason": "on it"})
        incident = shape(acknowledged(with_incident(made, flapping=True), reason=""))["incident"]
        assert isinstance(incident, dict)
        self.assertIs(incident["flapping"], True)
        self.assertEqual(incident["acknowledged"]["reason"], None)

    def test_group(self) -> None:
        made = entry()
        grouped = msgspec.structs.replace(made, task=msgspec.structs.replace(made.task, group="billing"))
        self.assertEqual(shape(grouped)["group"], "billing")

    def test_not_checked_yet(self) -> None:
        value = shape(new_entry())
        self.assertEqual((value["status"], value["kind"], value["pings"], value["errors"]), ("", "new", 0, 0))
        self.assertEqual(value["explanation"], "not checked yet")
        for member in MEMBERS[MEMBERS.index("process") :]:
            self.assertIsNone(value[member], member)

    def test_sleeping(self) -> None:
        value = shape(entry(kind=Kind.SLEEPING))
        self.assertEqual(value["status"], "sleeping")
        self.assertEqual(value["sleep_start"], "2026-11-22T21:28:34.000Z")
        self.assertEqual(value["sleep_end"], "2026-11-23T00:28:34.000Z")
        self.assertIsNone(value["incident"])

    def test_asleep_without_a_valid_report(self) -> None:
        """It sleeps by its last valid report, or by the ini file."""
        window = Window(start=22 * 3600, duration=2 * 3600)
        for kind in (Kind.UNREACHABLE, Kind.INVALID):
            made, reported = entry(kind=kind), entry(kind=kind, sleep=(window,))
            configured = replace(made, task=replace(made.task, sleep=(window,)))
            for asleep in (reported, configured):
                value = shape(replace(asleep, state=replace(asleep.state, judged=NOW)))
                self.assertEqual(value["sleep_start"], "2026-11-22T22:00:00.000Z")
                self.assertEqual(value["sleep_end"], "2026-11-23T00:00:00.000Z")
            awake = shape(replace(made, state=replace(made.state, judged=NOW)))
            self.assertEqual((awake["sleep_start"], awake["sleep_end"]), (None, None))

    def test_due_without_a_valid_report(self) -> None:
        """It is reckoned from the last one; a task that never gave one has none."""
        for kind in (Kind.UNREACHABLE, Kind.INVALID):
            made = entry(kind=kind, lastrun=NOW - 300, frequency=10.0)
            for due, report in (("2026-11-22T22:33:34.000Z", made.state.report), (None, None)):
                verdict = Verdict(kind, "no answer")
                state = replace(made.state, verdict=verdict, report=report)
                self.assertEqual(shape(replace(made, state=state))["due"], due)

    def test_reason_belongs_to_the_latest_verdict(self) -> None:
        for kind in (Kind.UNREACHABLE, Kind.INVALID):
            value = shape(entry(kind=kind, reason="of last week"))
            self.assertIsNone(value["reason"], kind)
            self.assertEqual((value["process"], value["server"], value["frequency"]), ("backup", "web-1", 10))
            self.assertEqual(value["lastrun"], "2026-11-22T22:23:34.000Z")
        for kind in (Kind.OK, Kind.LATE, Kind.SLEEPING, Kind.FUTURE, Kind.FAILED):
            self.assertEqual(shape(entry(kind=kind, reason="why"))["reason"], "why")

    def test_texts_are_cut(self) -> None:
        value = shape(entry(kind=Kind.FAILED, reason="r" * 501, process="p" * 501, server="s" * 501))
        self.assertEqual((value["reason"], value["process"], value["server"]), ("r" * 500, "p" * 500, "s" * 500))

    def test_every_value_is_valid_json(self) -> None:
        hostile = "\ud800\x00\u202e</script>\uffff"
        value = shape(entry("http://h/\udc80", Kind.FAILED, name=hostile, reason=hostile, process=hostile, server=""))
        self.assertEqual(value["reason"], "?\x00\u202e</script>\uffff")
        for strange in (nan, inf, -inf, 1e300, -1.0):
            self.assertIn("latency", shape(with_state(latency=strange, checked=strange, since=strange)))


class OtherObjectsTests(SynchronousTestCase):
    def test_overview(self) -> None:
        value = json.loads(
            objects.overview(b",".join((objects.task_row(entry()), objects.task_row(new_entry()))), STATE)
        )
        self.assertEqual([row["url"] for row in value["data"]], ["http://h/a", "http://h/new"])
        self.assertEqual(
            value["self"],
            {
                "status": "ok",
                "explanation": "all checks run on time",
                "started": "2026-11-22T19:28:34.000Z",
                "blind": None,
                "undelivered": 0,
                "dead": 0,
            },
        )

    def test_empty_overview(self) -> None:
        self.assertEqual(json.loads(objects.overview(b"", STATE))["data"], [])

    def test_blind(self) -> None:
        value = json.loads(objects.overview(b"", objects.own_state(daemon_state(blind=NOW, undelivered=3, dead=2))))[
            "self"
        ]
        self.assertEqual((value["blind"], value["undelivered"], value["dead"]), ("2026-11-22T22:28:34.000Z", 3, 2))

    def test_own_report(self) -> None:
        self.assertEqual(
            json.loads(objects.own_report(daemon_state())),
            {"status": "ok", "lastrun": "2026-11-22T22:28:33.000Z", "frequency": 2.667, "process": "Py Pinger"},
        )
        value = json.loads(objects.own_report(daemon_state(status=Status.ERROR, explanation="stuck")))
        self.assertEqual((value["status"], value["reason"]), ("error", "stuck"))
        self.assertEqual(json.loads(objects.own_report(daemon_state(dead=2)))["dead"], 2)
        shared = daemon_state(sharing=Sharing("alpha"))
        self.assertEqual(json.loads(objects.own_report(shared))["server"], "alpha")
