"""Sentry: events and check-ins, in memory (contract, section 5)."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import sentry_sdk
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from pypinger.domain.model import Alert, Event, Report, Task
from pypinger.notify import channels
from pypinger.ports.notifying import DeliveryError, Reply
from pypinger.testing.channels import NOW, NotifierContract, Posted, RecordingClient, alert, context, reply
from tests.notify.strategies import alerts as any_alerts
from tests.notify.strategies import texts

KEY = "publickeyPUBLICKEY0123"
DSN = f"https://{KEY}:secretpart@o1.sentry.example/sub/42"
VALUES = {"url": DSN, "environment": "staging", "crons": "false"}
TASK = Task(
    url="https://db1.example/task?k=v",
    id="0123456789ab",
    name="Nightly  Backup (db1)",
    label="https://db1.example/task?…",
)
REPORT = Report(ok=True, lastrun=NOW - 60, frequency=10.0)

ROOT = Path(__file__).parents[2]

# Makes a channel and sends through it; fails if that has changed anything in the rest of the process, or if the SDK was
# imported before.
UNTOUCHED = """
import http.client, logging, subprocess, sys, threading
from twisted.internet.defer import Deferred
from pypinger.notify import channels
channels()
assert "sentry_sdk" not in sys.modules
from pypinger.testing.channels import NOW, RecordingClient, alert, context, reply
from tests.notify.test_sentry import REPORT, TASK, VALUES

def world():
    places = (threading.Thread, http.client.HTTPConnection, subprocess.Popen, logging.Logger)
    return [{**vars(place)} for place in places] + [threading.enumerate(), sys.excepthook]

before = world()
client = RecordingClient(reply(200), reply(200))
notifier = channels()["sentry"].notifier({**VALUES, "crons": "true"}, context(client, now=lambda: NOW))
Deferred.fromCoroutine(notifier.send([alert()]))
Deferred.fromCoroutine(notifier.run_seen(TASK, REPORT, NOW))
assert len(client.posted) == 2
after = world()
assert before == after, [pair for pair in zip(before, after) if pair[0] != pair[1]]
"""


def envelope_of(posted: Posted) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Return envelope header, item header and item of a request."""
    header, item_header, item = posted.body.split(b"\n")[:3]
    return json.loads(header), json.loads(item_header), json.loads(item)


def event_of(one: Alert) -> dict[str, Any]:
    """Return the event that is sent for an alert."""
    client = RecordingClient(reply(200, "{}"))
    Deferred.fromCoroutine(channels()["sentry"].notifier(VALUES, context(client, now=lambda: NOW)).send([one]))
    return envelope_of(client.posted[0])[2]


class SentryTests(NotifierContract, SynchronousTestCase):
    section = "sentry"
    values = VALUES
    secrets = (DSN, KEY, "secretpart")

    def accepted(self) -> Reply:
        return reply(200, '{"id": "0"}')

    def refused(self, words: str) -> Reply:
        return reply(403, json.dumps({"detail": words, "causes": ["why", 3]}))

    def identity(self, posted: Posted) -> object:
        return envelope_of(posted)[2]["event_id"]

    def test_request(self) -> None:
        client = RecordingClient(self.accepted())
        words = self.send(client, alert())
        (posted,) = client.posted
        self.assertEqual("https://o1.sentry.example/sub/api/42/envelope/", posted.url)
        self.assertEqual("application/x-sentry-envelope", posted.headers["Content-Type"])
        auth = posted.headers["X-Sentry-Auth"]
        self.assertTrue(auth.startswith(f"Sentry sentry_key={KEY}, sentry_version=7, sentry_client=py-pinger/"))
        header, item_header, event = envelope_of(posted)
        self.assertEqual("event", item_header["type"])
        self.assertEqual(header["event_id"], event["event_id"])
        self.assertEqual(f"accepted as event {event['event_id']}", words)
        self.assertNotIn(KEY, posted.body.decode())

    def test_event(self) -> None:
        event = event_of(alert())
        self.assertRegex(event["event_id"], "^[0-9a-f]{32}$")
        self.assertTrue(event["message"].startswith("PROBLEM: nightly backup is late\nlast ran 21:55:00 UTC"))
        self.assertEqual("error", event["level"])
        self.assertEqual("2023-11-14T22:13:15.000Z", event["timestamp"])
        self.assertEqual(["py-pinger", "0123456789ab"], event["fingerprint"])
        self.assertEqual(
            {"task": "nightly backup", "process": "backup", "server": "db1", "kind": "late"}, event["tags"]
        )
        # The tag is what searches and rules of Sentry use, so no report changes it.
        shown = replace(alert(), name="backup on db1", key="db1.example/task?…")
        self.assertEqual("db1.example/task?…", event_of(shown)["tags"]["task"])
        self.assertEqual(event["fingerprint"], event_of(shown)["fingerprint"])
        self.assertIn("backup on db1", event_of(shown)["message"])
        self.assertEqual("staging", event["environment"])
        self.assertRegex(event["release"], r"^py-pinger@\d")
        self.assertEqual(
            {
                "explanation": "last ran 21:55:00 UTC, 34 min ago; runs every 10 min",
                "url": "https://db1.example/task",
                "page": "https://pinger.example/task/0123456789ab",
                "incident_started": "2023-11-14T22:13:15.000Z",
                "event": "problem",
                "alert_id": "0123456789ab-1700000000-1",
            },
            event["contexts"]["alert"],
        )

    def test_nothing_of_our_own(self) -> None:
        event = event_of(alert())
        for member in (
            "server_name",
            "modules",
            "user",
            "request",
            "stacktrace",
            "threads",
            "exception",
            "breadcrumbs",
        ):
            self.assertNotIn(member, event)

    def test_levels(self) -> None:
        """Error, or info for what is good news or no news about a task (contract, section 5)."""
        levels = {event: event_of(alert(event))["level"] for event in Event}
        errors = {Event.PROBLEM, Event.CHANGED, Event.REMINDER, Event.FLAPPING, Event.BLIND}
        self.assertEqual({event for event, level in levels.items() if level == "error"}, errors)
        self.assertEqual(set(levels.values()), {"info", "error"})

    def test_events_by_default(self) -> None:
        """An event per problem, changed, reminder, recovered, flapping, blind and sighted alert."""
        events = channels()["sentry"].events
        unsent = {Event.ACKNOWLEDGED, Event.STARTED, Event.STOPPED, Event.TEST}
        self.assertEqual(events, set(Event) - unsent)

    def test_event_ids(self) -> None:
        ids = {event_of(alert(id=f"id-{i}"))["event_id"] for i in range(20)}
        self.assertEqual(20, len(ids))

    def test_daemon(self) -> None:
        event = event_of(alert(Event.TEST))
        self.assertEqual(["py-pinger", "daemon"], event["fingerprint"])
        self.assertEqual({"task": "Py Pinger"}, event["tags"])

    def test_rate_limits(self) -> None:
        for header, wait in (
            ("60::organization", 60.0),
            ("60:error;default:key, 2700:transaction:organization", 60.0),
            ("60:error:key,2700::organization", 2700.0),
            ("5:monitor:key", None),
            ("nonsense, :x, -3::, 9", 9.0),
        ):
            self.assertEqual(wait, self.failure(reply(429, x_sentry_rate_limits=header)).retry_after, header)
        self.assertEqual(
            7.0, self.failure(reply(429, x_sentry_rate_limits="5:monitor:key", retry_after="7")).retry_after
        )
        self.assertIsNone(self.failure(reply(500, x_sentry_rate_limits="5::key")).retry_after)

    def test_words(self) -> None:
        self.assertEqual("bad data: why", self.failure(self.refused("bad data")).words)
        self.assertEqual("quota", self.failure(reply(413, x_sentry_error="quota")).words)

    def test_other_users_of_the_sdk_are_left_alone(self) -> None:
        sentry_sdk.get_isolation_scope().set_tag("foreign", "tag")
        self.addCleanup(sentry_sdk.get_isolation_scope().clear)
        self.assertNotIn("foreign", event_of(alert())["tags"])
        self.assertFalse(sentry_sdk.get_client().is_active())
        self.assertIsNone(sentry_sdk.last_event_id())

    def test_nothing_patched_and_no_thread(self) -> None:
        # In a process of its own, because patches would stay.
        done = subprocess.run([sys.executable, "-c", UNTOUCHED], capture_output=True, text=True, cwd=ROOT)
        self.assertEqual((0, ""), (done.returncode, done.stderr))

    @settings(max_examples=60, deadline=None)
    @given(any_alerts)
    def test_any_text(self, one: Alert) -> None:
        event = event_of(one)
        self.assertLessEqual(len(event["message"]), 8192)
        self.assertEqual(one.id, event["contexts"]["alert"]["alert_id"])
        for value in event["tags"].values():
            self.assertTrue(0 < len(value) <= 200 and "\n" not in value)
        self.assertLess(len(json.dumps(event)), 200_000)


class CronTests(SynchronousTestCase):
    def check_in(self, task: Task = TASK, report: Report = REPORT) -> dict[str, Any]:
        client = RecordingClient(reply(200, "{}"))
        notifier = channels()["sentry"].notifier({**VALUES, "crons": "true"}, context(client, now=lambda: NOW))
        self.successResultOf(Deferred.fromCoroutine(notifier.run_seen(task, report, NOW)))  # type: ignore[attr-defined]
        _, header, item = envelope_of(client.posted[0])
        self.assertEqual("check_in", header["type"])
        return item

    def test_check_in(self) -> None:
        item = self.check_in()
        self.assertEqual("nightly-backup-db1-0123456789ab", item["monitor_slug"])
        self.assertEqual(("ok", "staging"), (item["status"], item["environment"]))
        self.assertEqual(
            {
                "schedule": {"type": "interval", "value": 10, "unit": "minute"},
                "checkin_margin": 2,
                "timezone": "UTC",
            },
            item["monitor_config"],
        )
        self.assertNotIn("server_name", item)

    def test_failed_run(self) -> None:
        self.assertEqual("error", self.check_in(report=replace(REPORT, ok=False))["status"])

    def test_same_run_same_id(self) -> None:
        first = self.check_in()["check_in_id"]
        self.assertEqual(first, self.check_in()["check_in_id"])
        self.assertNotEqual(first, self.check_in(report=replace(REPORT, lastrun=NOW))["check_in_id"])

    def test_figures_are_rounded_up(self) -> None:
        for minutes, value in ((0.01, 1), (1.0, 1), (1.5, 2), (527_040.0, 527_040)):
            config = self.check_in(report=replace(REPORT, frequency=minutes))["monitor_config"]
            self.assertEqual(value, config["schedule"]["value"])
        self.assertEqual(1, self.check_in(replace(TASK, grace=0.0, interval=1.0))["monitor_config"]["checkin_margin"])
        self.assertEqual(40_320, self.check_in(replace(TASK, grace=1e9))["monitor_config"]["checkin_margin"])

    def test_a_schedule(self) -> None:
        """Sentry reads cron expressions with cronsim, but has no names for them."""
        report = replace(REPORT, schedule="@daily", timezone="Europe/Berlin", max_runtime=8.5)
        self.assertEqual(
            {
                "schedule": {"type": "crontab", "value": "0 0 * * *"},
                "checkin_margin": 11,
                "timezone": "Europe/Berlin",
                "max_runtime": 9,
            },
            self.check_in(report=report)["monitor_config"],
        )
        self.assertEqual(2, self.check_in(report=replace(report, started=NOW - 90))["monitor_config"]["checkin_margin"])
        task = replace(TASK, schedule="0 3 * * 1-5", max_runtime=527_040.0)
        config = self.check_in(task, report)["monitor_config"]
        self.assertEqual(
            ({"type": "crontab", "value": "0 3 * * 1-5"}, "UTC", 40_320, 40_320),
            (config["schedule"], config["timezone"], config["max_runtime"], config["checkin_margin"]),
        )
        config = self.check_in(replace(TASK, frequency=30.0), report)["monitor_config"]
        self.assertEqual({"type": "interval", "value": 30, "unit": "minute"}, config["schedule"])

    def test_a_run_from_its_beginning_to_its_end(self) -> None:
        begun = self.check_in(report=replace(REPORT, lastrun=NOW - 600, started=NOW - 90))
        ended = self.check_in(report=replace(REPORT, lastrun=NOW - 30, started=NOW - 90))
        failed = self.check_in(report=replace(REPORT, ok=False, lastrun=NOW - 30, started=NOW - 90))
        first = self.check_in(report=replace(REPORT, lastrun=None, started=NOW - 90))
        self.assertEqual(
            ["in_progress", "ok", "error", "in_progress"], [each["status"] for each in (begun, ended, failed, first)]
        )
        self.assertEqual(1, len({each["check_in_id"] for each in (begun, ended, failed, first)}))
        self.assertEqual((60.0, None), (ended["duration"], begun.get("duration")))
        again = self.check_in(report=replace(REPORT, lastrun=NOW - 600, started=NOW))
        self.assertNotEqual(begun["check_in_id"], again["check_in_id"])

    def test_only_if_wanted(self) -> None:
        notifier = channels()["sentry"].notifier(VALUES, context(RecordingClient(), now=lambda: NOW))
        self.assertFalse(hasattr(notifier, "run_seen"))

    def test_refused(self) -> None:
        client = RecordingClient(reply(429, x_sentry_rate_limits="5:error:key, 8:monitor:key"))
        notifier = channels()["sentry"].notifier({**VALUES, "crons": "true"}, context(client, now=lambda: NOW))
        seen = Deferred.fromCoroutine(notifier.run_seen(TASK, REPORT, NOW))  # type: ignore[attr-defined]
        self.assertEqual(8.0, self.failureResultOf(seen, DeliveryError).value.retry_after)

    @settings(max_examples=60, deadline=None)
    @given(texts, st.from_regex("[0-9a-f]{12}", fullmatch=True))
    def test_slugs(self, name: str, task_id: str) -> None:
        slug = self.check_in(replace(TASK, name=name, id=task_id))["monitor_slug"]
        self.assertRegex(slug, r"^[a-z0-9](?:[a-z0-9-]{0,48}[a-z0-9])$")
        self.assertTrue(slug.endswith(task_id))


class ChannelTests(SynchronousTestCase):
    def test_essential(self) -> None:
        self.assertEqual(("url",), channels()["sentry"].essential(VALUES))

    def test_good_dsns(self) -> None:
        for dsn in ("", DSN, "http://public@127.0.0.1:5000/1", "https://key@sentry.io/1"):
            self.assertEqual({}, dict(channels()["sentry"].check({**VALUES, "url": dsn})))

    def test_bad_dsns(self) -> None:
        for dsn in (
            "https://sentry.io/1",
            "https://KEYKEY@sentry.io/",
            "https://KEYKEY@sentry.io/project",
            "ftp://KEYKEY@sentry.io/1",
            "https://KEYKEY@sentry.io:99999999/1",
            "https://KEYKEY@[sentry.io/1",
            "https://KEYKEY@/1",
            "https://KEY KEY@sentry.io/1",
            "https://KÉY@sentry.io/1",
            "KEYKEY",
        ):
            problems = channels()["sentry"].check({**VALUES, "url": dsn})
            self.assertEqual(["url"], list(problems), dsn)
            self.assertNotIn("KEYKEY", problems["url"])
