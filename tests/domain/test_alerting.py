"""What alerts of one task and of one incident have in common."""

from __future__ import annotations

from msgspec.structs import replace
from twisted.trial.unittest import SynchronousTestCase

from pypinger.domain.alerting import incident_key, task_key
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
