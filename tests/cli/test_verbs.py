"""What ``pypinger status`` prints; ``tests/acceptance/test_commands.py`` types the commands."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from pypinger.cli.verbs import status_lines


def failed(name: str, url: str) -> dict[str, Any]:
    """A task in error, as the daemon answers."""
    return {
        "name": name,
        "url": url,
        "status": "error",
        "kind": "failed",
        "explanation": "no space",
        "since": 40.0,
        "unseen": None,
        "incident": None,
        "silenced": None,
    }


class StatusTests(SynchronousTestCase):
    def lines(self, *tasks: dict[str, Any]) -> list[str]:
        daemon = {"blind": None, "status": "ok", "undelivered": 0, "dead": 0}
        return status_lines({"self": daemon, "tasks": tasks}, 100.0)

    def test_tasks_that_are_shown_by_the_same_name(self) -> None:
        """Their URLs tell them apart."""
        self.assertEqual(
            self.lines(
                failed("backup on db1", "http://h/a?…"),
                failed("mails", "http://h/b"),
                failed("backup on db1", "http://h/c"),
            ),
            [
                "STATUS  FOR    TASK                          WHY",
                "failed  1 min  backup on db1 (http://h/a?…)  no space",
                "failed  1 min  mails                         no space",
                "failed  1 min  backup on db1 (http://h/c)    no space",
                "3 tasks: 3 in error",
            ],
        )
