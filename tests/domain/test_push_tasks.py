"""Tasks without a URL: selectors, alerts and groups of alerts."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from pypinger.domain.alerting import task_alert, task_key
from pypinger.domain.grouping import Grouping
from pypinger.domain.kinds import Kind
from pypinger.domain.model import Alert, Event, Incident, Report, Task, TaskState
from pypinger.domain.naming import shown_name
from pypinger.domain.selector import parse, subject_of
from pypinger.domain.wording import headline, plain

NOW = 1_795_385_914.0
BACKUP = Task(url=None, id="b1", name="Nightly backup", label="", group="db", push_key="k" * 16)


def alert(task: Task = BACKUP, server: str | None = None, number: int = 1) -> Alert:
    report = Report(ok=False, lastrun=NOW, server=server, reason="disk full")
    incident = Incident(NOW, Kind.FAILED, NOW, number)
    return task_alert(task, report, Event.PROBLEM, NOW, incident, "the task reports an error")


class PushTaskTests(SynchronousTestCase):
    def test_selectors(self) -> None:
        subject = subject_of(BACKUP, TaskState())
        for text, matches in (
            ('"nightly backup"', True),
            ("nightly*", True),
            ("name:nightly*", True),
            ("group:db", True),
            ("b1", True),
            ("*", True),
            ("http://*", False),
            ("url:http*", False),
            ("!url:http*", True),
            ("push:*", None),
        ):
            if matches is None:
                with self.assertRaises(ValueError):
                    parse(text)
            else:
                self.assertIs(parse(text).matches(subject), matches, text)

    def test_names(self) -> None:
        self.assertEqual(shown_name(BACKUP, Report(ok=True, lastrun=NOW, process="other")), "Nightly backup")

    def test_alerts(self) -> None:
        """They name the task, without a line for a URL."""
        made = alert(server="db1")
        self.assertEqual((made.label, made.origin, task_key(made)), ("", "", "Nightly backup"))
        self.assertEqual(
            plain([made]).splitlines(),
            ["PROBLEM: Nightly backup is failing", "the task reports an error (ran 0 s ago)", "server: db1"],
        )

    def test_groups(self) -> None:
        other = Task(url=None, id="b2", name="Import", label="")
        lines = plain([alert(server="db1"), alert(other, "db1")]).splitlines()
        self.assertEqual(lines[0], "PROBLEM: 2 tasks on server db1 are in trouble: 2 × failing")
        self.assertEqual(lines[1:], ["- Nightly backup is failing (disk full)", "- Import is failing (disk full)"])
        self.assertIn("2 tasks are in trouble", headline([alert(), alert(other)]))

    def test_push_tasks_have_no_origin_in_common(self) -> None:
        """Only their server puts alerts of two into one message."""
        for server, grouped in ((None, False), ("db1", True)):
            grouping = Grouping(5.0)
            self.assertIsNone(grouping.place(alert(server=server), 0.0))
            group = grouping.place(alert(Task(url=None, id="b2", name="Import", label=""), server), 1.0)
            self.assertEqual(group is not None, grouped)

    def test_alert_ids_differ_between_tasks(self) -> None:
        self.assertNotEqual(alert().id, alert(Task(url=None, id="b2", name="Import", label="")).id)
