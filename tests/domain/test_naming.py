"""Tests for :mod:`pypinger.domain.naming`: the names that people see, and the keys that no report changes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from twisted.trial.unittest import SynchronousTestCase

from pypinger.domain.alerting import task_alert
from pypinger.domain.incidents import step
from pypinger.domain.judge import judge
from pypinger.domain.kinds import Kind
from pypinger.domain.model import (
    Alert,
    Check,
    Event,
    Fault,
    Finding,
    Incident,
    NoAnswer,
    Report,
    Reported,
    Task,
    TaskState,
)
from pypinger.domain.naming import LONGEST_PART, no_match, shown_name
from pypinger.domain.selector import parse, subject_of

URL = "https://db1.example.com/backup?key=S3CRET"
TASK = Task(
    url=URL,
    id="0123456789ab",
    name="db1.example.com/backup?…",
    label="https://db1.example.com/backup?…",
    named=False,
)
NAMED = replace(TASK, name="Nightly backup", named=True)
REPORT = Report(True, 1000.0, process="backup", server="db1")


class ShownNameTests(SynchronousTestCase):
    def test_table(self) -> None:
        for process, server, name in [
            ("backup", "db1", "backup on db1"),
            ("backup", None, "backup"),
            (None, "db1", TASK.name),
            (None, None, TASK.name),
            ("", "db1", TASK.name),
            (" \u200e\n", "db1", TASK.name),
            ("back\nup", "db\u202e1", "back up on db 1"),
            ("p" * 500, "s" * 500, f"{'p' * (LONGEST_PART - 1)}… on {'s' * (LONGEST_PART - 1)}…"),
        ]:
            report = replace(REPORT, process=process, server=server)
            self.assertEqual(shown_name(TASK, report), name)
            self.assertEqual(shown_name(NAMED, report), "Nightly backup")
        self.assertEqual(shown_name(TASK, None), TASK.name)

    def test_a_configured_name_that_is_the_url_stays(self) -> None:
        self.assertEqual(shown_name(replace(TASK, named=True), REPORT), TASK.name)

    @given(st.text(max_size=200), st.text(max_size=200))
    def test_any_report(self, process: str, server: str) -> None:
        """A name is never empty and stays on one line."""
        name = shown_name(TASK, replace(REPORT, process=process, server=server))
        self.assertTrue(name.strip())
        self.assertNotIn("\n", name)
        self.assertLessEqual(len(name), 2 * LONGEST_PART + 4)


class StabilityTests(SynchronousTestCase):
    def run_through(self, task: Task, findings: list[Finding]) -> list[Alert]:
        """The alerts of checks that find these, ten minutes apart."""
        state, alerts = TaskState(), []
        for number, finding in enumerate(findings, 1):
            now = number * 600.0
            verdict = judge(finding, task, now)
            state, told = step(task, state, Check(now, 0.1, finding, verdict))
            alerts += told
        return alerts

    def test_the_name_does_not_change_while_no_report_comes(self) -> None:
        silent = NoAnswer(Fault.REFUSED, "connection refused", 0.0)
        fine = [Reported(200, replace(REPORT, lastrun=number * 600.0)) for number in range(7)]
        alerts = self.run_through(TASK, [fine[1], silent, silent, fine[4], silent, fine[6]])
        self.assertIs(alerts[0].event, Event.PROBLEM)
        self.assertGreater(len(alerts), 3)
        self.assertEqual({alert.name for alert in alerts}, {"backup on db1"})

    def test_before_the_first_report_it_is_the_url(self) -> None:
        silent = NoAnswer(Fault.REFUSED, "connection refused", 0.0)
        problem, recovered = self.run_through(TASK, [silent, Reported(200, replace(REPORT, lastrun=1200.0))])
        self.assertEqual((problem.name, recovered.name), (TASK.name, "backup on db1"))
        self.assertEqual(problem.key, recovered.key)


class KeyTests(SynchronousTestCase):
    def alert(self, task: Task, report: Report | None) -> Alert:
        incident = Incident(started=1.0, kind=Kind.LATE, reminded=1.0, alerts=1)
        return task_alert(task, report, Event.PROBLEM, 2.0, incident, "x")

    def test_no_report_changes_a_key(self) -> None:
        for task, key in ((TASK, TASK.name), (NAMED, "Nightly backup")):
            before, after = self.alert(task, None), self.alert(task, REPORT)
            self.assertEqual((before.key, after.key), (key, key))
            self.assertEqual((before.id, before.task), (after.id, after.task))

    def test_selectors_do_not_see_what_is_shown(self) -> None:
        subject = subject_of(TASK, TaskState(report=REPORT))
        self.assertEqual(subject.name, URL)
        for text in ('"backup on db1"', 'name:"backup on db1"', "name:backup*"):
            self.assertFalse(parse(text).matches(subject), text)
        for text in (URL, TASK.name, TASK.label, TASK.id, "process:backup server:db1"):
            self.assertTrue(parse(text if " " in text else f'"{text}"').matches(subject), text)

    def test_a_configured_name_that_is_the_url_is_a_name(self) -> None:
        subject = subject_of(replace(TASK, named=True), TaskState())
        self.assertTrue(parse("name:db1.example.com*").matches(subject))


class NoMatchTests(SynchronousTestCase):
    def test_words(self) -> None:
        tasks = [(NAMED, REPORT), (TASK, None), (TASK, REPORT)]
        self.assertEqual(
            no_match(" Backup on DB1", tasks),
            "Backup on DB1 is what the reports of https://db1.example.com/backup?… say; select it by its URL, or by "
            "its id 0123456789ab",
        )
        for text in ("x", TASK.name, "Nightly backup"):
            self.assertEqual(no_match(text, tasks[:2]), f"{text} matches no task")
