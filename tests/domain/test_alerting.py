"""What alerts of one task and of one incident have in common."""

from __future__ import annotations

from msgspec.structs import replace
from twisted.trial.unittest import SynchronousTestCase

from pypinger.domain.alerting import daemon_alert, incident_key, task_key
from pypinger.domain.model import Event
from pypinger.testing.channels import PROBLEM, alert


class KeyTests(SynchronousTestCase):
    def test_incident(self) -> None:
        self.assertEqual(incident_key(PROBLEM), "0123456789ab:1699999995000")
        self.assertEqual(incident_key(alert(Event.RECOVERED, id="x")), incident_key(PROBLEM))
        self.assertNotEqual(incident_key(replace(PROBLEM, started=1.0)), incident_key(PROBLEM))
        self.assertIsNone(incident_key(alert(Event.STARTED)))
        self.assertIsNone(incident_key(replace(PROBLEM, started=None)))

    def test_task(self) -> None:
        """The configured name, else the URL without query, however the task is shown."""
        for name, label, key in (
            ("nightly backup", "https://h/a?…", "nightly backup"),
            ("h/a?…", "https://h/a?…", "https://h/a"),
            ("https://h/a?…", "https://h/a?…", "https://h/a"),
            ("h/a", "https://h/a", "https://h/a"),
        ):
            self.assertEqual(task_key(replace(PROBLEM, key=name, label=label, name="as it is shown")), key)
            # An alert of an earlier version has it in its name.
            self.assertEqual(task_key(replace(PROBLEM, key="", name=name, label=label)), key)


class DaemonTests(SynchronousTestCase):
    def test_of_one_machine(self) -> None:
        made = daemon_alert(Event.BLIND, "no answer", 12.0)
        self.assertEqual((made.explanation, made.instance), ("no answer", ""))

    def test_of_instances(self) -> None:
        """Two alerts of one moment differ."""
        one, two = (daemon_alert(Event.BLIND, "no answer", 12.0, name) for name in ("a", "b"))
        self.assertEqual((one.explanation, one.instance), ("instance a: no answer", "a"))
        self.assertNotEqual(one.id, two.id)
