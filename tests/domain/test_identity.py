"""Tests for the keys of tasks."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from pypinger.domain.identity import label_of, name_of, task_of, url_of
from pypinger.domain.model import Task
from pypinger.domain.url import task_id


class IdentityTests(SynchronousTestCase):
    def test_task_with_url(self) -> None:
        key = Task(url="https://h/a?token=s3cr3t-v4lue", id="", name="Backup", label="").key
        self.assertEqual(key, "https://h/a?token=s3cr3t-v4lue")
        self.assertEqual(url_of(key), key)
        self.assertEqual((label_of(key), name_of(key)), ("https://h/a?…", "https://h/a?…"))
        self.assertEqual(task_of(key), Task(url=key, id=task_id(key), name="https://h/a?…", label="https://h/a?…"))

    def test_push_task(self) -> None:
        key = Task(url=None, id="", name="Nightly backup", label="").key
        self.assertEqual(key, "push:Nightly backup")
        self.assertIsNone(url_of(key))
        self.assertEqual((label_of(key), name_of(key)), ("", "Nightly backup"))
        self.assertEqual(task_of(key), Task(url=None, id=task_id(key), name="Nightly backup", label=""))
        self.assertEqual(task_of(key).key, key)
