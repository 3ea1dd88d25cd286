"""Checks of Healthchecks as tasks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import count
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from pypinger.config.importing import healthchecks
from pypinger.config.importing.healthchecks import ImportedChecks
from pypinger.config.importing.sections import ImportedTask, NotImportable, written
from tests.config.importing.test_sections import parsed
from tests.config.samples import LoadingTestCase

UUID, OTHER = "31365bce-8da9-4729-8ff3-aaa71d56b712", "803f680d-e89b-492b-82ef-2be7b774a92d"
BASE = "https://pinger.example.com"

# As version 3 of the API answers, with a key that may write.
SIMPLE: dict[str, Any] = {
    "name": "Filesystem Backup",
    "slug": "filesystem-backup",
    "tags": "backup fs",
    "desc": "Runs incremental backup\nevery hour",
    "grace": 600,
    "n_pings": 1,
    "status": "up",
    "started": False,
    "last_ping": "2026-03-24T14:02:03+00:00",
    "next_ping": "2026-03-24T15:02:03+00:00",
    "manual_resume": False,
    "methods": "",
    "subject": "",
    "subject_fail": "",
    "start_kw": "",
    "success_kw": "",
    "failure_kw": "",
    "filter_subject": False,
    "filter_body": False,
    "filter_http_body": False,
    "filter_default_fail": False,
    "badge_url": "https://healthchecks.io/b/2/9bc3f1a6-0e3b-4d5e-9c0e-cbcb32e9a0a6.svg",
    "uuid": UUID,
    "ping_url": f"https://hc-ping.com/{UUID}",
    "update_url": f"https://healthchecks.io/api/v3/checks/{UUID}",
    "pause_url": f"https://healthchecks.io/api/v3/checks/{UUID}/pause",
    "resume_url": f"https://healthchecks.io/api/v3/checks/{UUID}/resume",
    "channels": "1bdea468-03bf-47b8-ab27-29a9dd0e4b94,51c6eb2b-2ae1-456b-99fe-6f1e0a36cd3c",
    "timeout": 3600,
}
CRON: dict[str, Any] = {
    "name": "Database Backup",
    "slug": "database-backup",
    "tags": "",
    "desc": "",
    "grace": 1200,
    "status": "down",
    "last_duration": 41,
    "ping_url": f"https://hc.example.com/ping/{OTHER}",
    "schedule": "15 5 * * MON-FRI",
    "tz": "Europe/Riga",
}


def keys() -> Iterator[str]:
    return (f"new-key-of-length-{number}" for number in count(1))


def read(*checks: dict[str, Any]) -> ImportedChecks:
    numbers = keys()
    return healthchecks.read(json.dumps({"checks": checks}), BASE, lambda: next(numbers))


def task(check: dict[str, Any], **changes: Any) -> ImportedTask:
    (found,) = read({**check, **changes}).tasks
    return found


def without(check: dict[str, Any], *members: str) -> dict[str, Any]:
    return {name: found for name, found in check.items() if name not in members}


class CheckTests(SynchronousTestCase):
    def test_simple(self) -> None:
        self.assertEqual(
            task(SIMPLE),
            ImportedTask(
                "Filesystem Backup",
                {
                    "push_key": UUID,
                    "group": "backup fs",
                    "note": "Runs incremental backup every hour",
                    "frequency": "1h",
                    "grace": "10m",
                },
                [],
            ),
        )

    def test_cron_with_starts(self) -> None:
        found = task(CRON)
        self.assertEqual(
            found.options,
            {
                "push_key": OTHER,
                "schedule": "15 5 * * MON-FRI",
                "timezone": "Europe/Riga",
                "grace": "20m",
                "max_runtime": "20m",
            },
        )
        self.assertIn("Its clients tell of starts.", found.comments[0])

    def test_paused(self) -> None:
        found = task(SIMPLE, status="paused")
        self.assertEqual(found.options["enabled"], "no")
        self.assertIn("It was paused.", found.comments[0])

    def test_key_from_any_member(self) -> None:
        for member in ("uuid", "ping_url", "update_url", "pause_url", "resume_url"):
            check = without(SIMPLE, "uuid", "ping_url", "update_url", "pause_url", "resume_url")
            self.assertEqual(task({**check, member: SIMPLE[member]}).options["push_key"], UUID)
        self.assertEqual(task(SIMPLE, uuid=UUID.upper(), ping_url="").options["push_key"], UUID)

    def test_a_read_only_key_shows_no_uuid(self) -> None:
        check = without(SIMPLE, "uuid", "ping_url", "update_url", "pause_url", "resume_url", "channels")
        found = task({**check, "unique_key": "a6c7b0a8a66bed0df66abfdab3c77736861703ee"})
        self.assertEqual(found.options["push_key"], "new-key-of-length-1")
        self.assertIn("Its key is new", found.comments[0])

    def test_one_uuid_twice(self) -> None:
        first, second = read(SIMPLE, {**SIMPLE, "name": "Again"}).tasks
        self.assertEqual((first.options["push_key"], second.options["push_key"]), (UUID, "new-key-of-length-1"))
        self.assertIn("has the UUID of Filesystem Backup", second.comments[0])

    def test_names(self) -> None:
        found = read(
            SIMPLE,
            {**CRON, "name": "filesystem backup"},
            {**CRON, "name": "", "ping_url": ""},
            {"name": "", "grace": 60, "ping_url": f"https://hc-ping.com/{OTHER[:-1]}0"},
            {"grace": 60},
            {"grace": 60},
        ).tasks
        self.assertEqual(
            [each.name for each in found],
            ["Filesystem Backup", "filesystem backup 2", "database-backup", "check 803f680d", "check", "check 2"],
        )

    def test_schedules_that_cannot_be_carried_over(self) -> None:
        for schedule, zone, words in (
            ("Mon..Fri *-*-* 03:00", "UTC", "OnCalendar"),
            ("*:0/15\ndaily", "UTC", "OnCalendar"),
            ("15 5 31 2 *", "UTC", "bad day-of-month"),
            ("15 5 * * *", "Mars/Olympus", "unknown time zone"),
            (7, "UTC", "must be texts"),
            ("15 5 * * *", 7, "must be texts"),
        ):
            found = task(CRON, schedule=schedule, tz=zone)
            self.assertNotIn("schedule", found.options)
            self.assertNotIn("timezone", found.options)
            self.assertIn(words, found.comments[0])
            self.assertIn("Set frequency or schedule: without either, pings are due every 10 min.", found.comments)

    def test_no_zone_is_utc(self) -> None:
        self.assertEqual(task(without(CRON, "tz")).options["timezone"], "UTC")

    def test_numbers_that_are_not(self) -> None:
        for wrong in (0, -1, True, "3600", [], 1e300, 10**400, float("nan"), 367 * 86_400):
            found = task(SIMPLE, timeout=wrong)
            self.assertNotIn("frequency", found.options)
            self.assertIn("Not carried over: its timeout", found.comments[0])
        self.assertNotIn("grace", task(SIMPLE, grace=None).options)

    def test_what_a_task_has_not(self) -> None:
        mail = task(SIMPLE, success_kw="OK", filter_subject=True)
        self.assertIn("Not carried over: its keywords, and pings by e-mail.", mail.comments)
        body = task(SIMPLE, failure_kw="ERROR", filter_http_body=True)
        self.assertIn("Every ping counts", body.comments[0])
        self.assertIn("by POST only", task(SIMPLE, methods="POST").comments[0])

    def test_head(self) -> None:
        head = "\n".join(read(SIMPLE, CRON).head)
        for words in ("2 checks", "https://hc-ping.com/", "https://hc.example.com/ping/", f"{BASE}/ping/", "2 integr"):
            self.assertIn(words, head)
        self.assertNotIn(UUID, head)
        self.assertNotIn("integration", "\n".join(read(CRON).head))


class FormTests(SynchronousTestCase):
    def test_one_check_and_a_list(self) -> None:
        for found in (SIMPLE, [SIMPLE], {"checks": [SIMPLE]}):
            (one,) = healthchecks.read(json.dumps(found), BASE, str).tasks
            self.assertEqual(one.name, "Filesystem Backup")

    def test_something_else(self) -> None:
        for text, words in (
            ("", "not JSON"),
            ("{", "not JSON"),
            ("[" * 100_000, "nested too deeply"),
            ("7", "no checks in it"),
            ('{"error": "wrong api key"}', "no checks in it"),
            ('{"checks": {}}', "no checks in it"),
            ('{"checks": []}', "no checks in it"),
            ('{"checks": [{"grace": 1}, 7]}', "check 2 is not a JSON object"),
        ):
            error = self.assertRaises(NotImportable, healthchecks.read, text, BASE, str)
            self.assertIn(words, str(error))
            self.assertNotIn("\n", str(error))


_members = st.sampled_from([*SIMPLE, *CRON, "unique_key"])
_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from([UUID, "* * * * *", "x://y"]),
    lambda inner: st.lists(inner, max_size=2),
    max_leaves=3,
)


class ValidTests(LoadingTestCase):
    def test_the_daemon_reads_them(self) -> None:
        found = read(SIMPLE, CRON, {**SIMPLE, "name": "x # y ]", "desc": "${file:/etc/passwd}", "status": "paused"})
        loaded = self.load("\n".join(written(found.head, found.tasks)))
        self.assertEqual([task.name for task in loaded.tasks], ["Filesystem Backup", "Database Backup"])
        self.assertEqual(loaded.tasks[0].frequency, 60.0)
        self.assertEqual((loaded.tasks[0].grace, loaded.tasks[0].group), (600.0, "backup fs"))
        self.assertEqual((loaded.tasks[1].schedule, loaded.tasks[1].timezone), ("15 5 * * MON-FRI", "Europe/Riga"))
        self.assertEqual(loaded.tasks[1].max_runtime, 20.0)

    @settings(deadline=None, max_examples=60)
    @given(st.lists(st.dictionaries(_members, _values), min_size=1, max_size=3))
    def test_whatever_is_in_the_file(self, checks: list[dict[str, Any]]) -> None:
        numbers = keys()
        found = healthchecks.read(json.dumps(checks), BASE, lambda: next(numbers))
        text = "\n".join(written(found.head, found.tasks))
        self.assertEqual(len(parsed(text)), len(checks))
        warnings = self.warnings_of(f"[urls]\nprod = http://a.example/\n{text}")
        # Every check of Healthchecks has one of them.
        self.assertEqual([each for each in warnings if "neither frequency nor schedule" not in each], [])
