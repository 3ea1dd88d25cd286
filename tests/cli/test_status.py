"""What ``pypinger status`` prints; ``tests/acceptance/test_commands.py`` types the commands."""

from __future__ import annotations

import io
import json
import re
from typing import Any

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from pypinger.cli.status import has_colours, status_code, status_lines
from pypinger.domain.kinds import Status
from pypinger.ports.showing import Sharing
from tests.web.fakes import instance

NOW = 1_795_386_514.0


def answered(name: str = "backup", kind: str = "failed", **changes: Any) -> dict[str, Any]:
    """A task as the daemon answers; in trouble for a minute."""
    error = kind not in ("ok", "sleeping", "new")
    return {
        "id": f"id of {name}",
        "name": name,
        "url": "http://h/a",
        "status": "error" if error else {"new": ""}.get(kind, kind),
        "kind": kind,
        "explanation": "explained",
        "why": "no space" if error else "",
        "cause": "no space" if error else "",
        "origin": "http://h:80",
        "age": "ran 5 min ago",
        "since": NOW - 60,
        "lastrun": NOW - 300,
        "due": NOW + 300,
        "unseen": None,
        "incident": None,
        "silenced": None,
        **changes,
    }


def daemon(**changes: Any) -> dict[str, Any]:
    return {
        "blind": None,
        "status": "ok",
        "explanation": "",
        "undelivered": 0,
        "dead": 0,
        "dead_channels": [],
        **changes,
    }


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class StatusTests(SynchronousTestCase):
    def lines(self, *tasks: dict[str, Any], folded: bool = True, coloured: bool = False, **of: Any) -> list[str]:
        return status_lines({"self": daemon(**of), "tasks": tasks}, NOW, folded=folded, coloured=coloured)

    def test_instances(self) -> None:
        """They come as JSON through the control socket."""

        def lines(sharing: Sharing) -> list[str]:
            sent = json.loads(msgspec.json.encode(sharing))
            return status_lines({"self": daemon(), "tasks": [], "sharing": sent}, NOW)[:-1]

        two = (instance("a"), instance("b"))
        self.assertEqual(lines(Sharing("b", two)), ["2 instances: b (this one) watches 2 tasks, a 2"])
        self.assertEqual(lines(Sharing("b")), [])
        odd = instance("a", blind=NOW - 120), instance("b"), instance("c", digest="two", status=Status.ERROR)
        self.assertEqual(
            lines(Sharing("b", odd, away=NOW - 60)),
            [
                "3 instances (as last known): b (this one) watches 2 tasks, a 2, c 2",
                "Instance a is blind for 2 min; instance c is in trouble and reads another ini file",
            ],
        )
        none = status_lines({"self": daemon(), "tasks": [], "sharing": None}, NOW)
        self.assertEqual(none, ["0 tasks: none"])

    def test_the_newest_trouble_first_then_what_is_not_seen(self) -> None:
        self.assertEqual(
            self.lines(
                answered("old", since=NOW - 7200),
                answered("fine", "ok"),
                answered("unseen", "ok", unseen=NOW - 200),
                answered("late", "late", age="late by 33 min", why="runs every 10 min", since=NOW - 600),
                answered("new trouble", "unreachable", why="connection refused", lastrun=None, due=None),
                answered("asleep", "sleeping"),
                answered("fresh", "new"),
            ),
            [
                "STATUS                 TASK         LAST RUN   DUE       WHY",
                "unreachable for 1 min  new trouble  –          –         connection refused",
                "late by 33 min         late         5 min ago  in 5 min  runs every 10 min",
                "failed for 2 h         old          5 min ago  in 5 min  no space",
                "not seen for 3 min     unseen       5 min ago  in 5 min  was on time",
                "7 tasks: 3 in trouble, 1 not seen, 1 sleeping, 1 on time, 1 not checked yet",
            ],
        )

    def test_all_is_well(self) -> None:
        self.assertEqual(self.lines(answered(kind="ok")), ["1 task: 1 on time"])
        self.assertEqual(self.lines(), ["0 tasks: none"])

    def test_tasks_that_are_shown_by_the_same_name(self) -> None:
        """Their URLs tell them apart; push tasks have only their ids."""
        lines = self.lines(
            answered("backup on db1", url="http://h/a?…"),
            answered("mails", url="http://h/b"),
            answered("backup on db1", url="http://h/c"),
            answered("backup on db1", url=None),
        )
        self.assertEqual(
            [re.split("  +", line)[1] for line in lines[1:5]],
            [
                "backup on db1 (http://h/a?…)",
                "mails",
                "backup on db1 (http://h/c)",
                "backup on db1 (id of backup on db1)",
            ],
        )

    def test_who_takes_care(self) -> None:
        muted = {"until": NOW + 1800, "by": "jane", "reason": "", "source": "silence 3f"}
        incident = {"acknowledged": {"by": "ben", "at": NOW, "reason": ""}, "flapping": True}
        line = self.lines(answered(silenced=muted, incident=incident))[1]
        self.assertTrue(
            line.endswith("no space (silenced until 22:58 UTC by jane, acknowledged by ben, flapping)"), line
        )
        maintained = {**muted, "by": "", "until": NOW + 86_400}
        self.assertIn("(silenced until 23 Nov 22:28 UTC)", self.lines(answered(silenced=maintained))[1])

    def test_storms(self) -> None:
        storm = [answered(f"task {n}", since=NOW - n) for n in range(12)]
        other = answered("other", origin="https://g:443", since=NOW - 5.5)
        lines = self.lines(*storm, other)
        self.assertEqual(
            [re.split("  +", line) for line in lines[1:3]],
            [
                ["in trouble for 11 s", "12 × no space on http://h", "task 0, task 1, task 2 and 9 more"],
                ["failed for 5 s", "other", "5 min ago", "in 5 min", "no space"],
            ],
        )
        self.assertEqual(lines[-1], "13 tasks: 13 in trouble")
        self.assertEqual(len(self.lines(*storm, other, folded=False)), 15)
        self.assertEqual(len(self.lines(*storm[:9])), 11)

    def test_py_pinger_itself(self) -> None:
        blind = self.lines(answered(), blind=NOW - 300, status="error", explanation="no\nanswer")
        self.assertEqual(blind[0], "Py Pinger has been blind for 5 min: no answer")
        # The daemon's own words begin with that.
        blind = self.lines(blind=NOW - 300, status="error", explanation="blind: no host answers")
        self.assertEqual(blind[0], "Py Pinger has been blind for 5 min: no host answers")
        self.assertEqual(self.lines(status="error", explanation="slack: no")[0], "Py Pinger: slack: no")
        self.assertEqual(self.lines(undelivered=1200)[-1], "alerts: 1,200 pending, 0 given up")
        self.assertEqual(self.lines(dead=2)[-1], "alerts: 0 pending, 2 given up (pypinger resend)")

    def test_blind(self) -> None:
        """No state is current, so each row says what it was."""
        lines = self.lines(answered("a"), answered("b", "ok", unseen=NOW - 60), blind=NOW - 300, status="error")
        self.assertEqual([re.split("  +", line)[0] for line in lines[2:4]], ["blind, was failed", "blind, was on time"])
        self.assertTrue(lines[2].endswith("no space"))
        self.assertEqual(lines[4], "2 tasks: 1 in trouble, 1 not seen, as last known")
        storm = self.lines(*(answered(f"task {n}") for n in range(12)), blind=NOW - 300, status="error", coloured=True)
        self.assertTrue(storm[2].startswith("\x1b[1;33mblind, was in trouble\x1b[0m"))

    def test_hostile_texts(self) -> None:
        text = "\n".join(self.lines(answered("a\x1b[2J\nb", why="x\x1b]0;y\x07\nz", age="\x1b[1m by \n")))
        self.assertNotIn("\x1b", text)
        self.assertEqual(text.count("\n"), 2)

    def test_colours(self) -> None:
        plain = self.lines(answered("x"), answered("y", "ok", unseen=NOW - 60), dead=1)
        painted = self.lines(answered("x"), answered("y", "ok", unseen=NOW - 60), dead=1, coloured=True)
        self.assertEqual([re.sub(r"\x1b\[[0-9;]*m", "", line) for line in painted], plain)
        self.assertTrue(painted[1].startswith("\x1b[1;31mfailed for 1 min\x1b[0m"))
        self.assertTrue(painted[2].startswith("\x1b[1;33mnot seen"))

    def test_where_colours_are_wanted(self) -> None:
        self.assertTrue(has_colours(Terminal(), {"TERM": "xterm"}))
        self.assertTrue(has_colours(Terminal(), {"NO_COLOR": ""}))
        self.assertFalse(has_colours(Terminal(), {"NO_COLOR": "1"}))
        self.assertFalse(has_colours(Terminal(), {"TERM": "dumb"}))
        self.assertFalse(has_colours(io.StringIO(), {}))

    def test_codes(self) -> None:
        for tasks, of, code in (
            ([answered()], {}, 2),
            ([answered(kind="ok")], {}, 0),
            ([answered(kind="ok", unseen=NOW)], {}, 1),
            ([answered(kind="ok")], {"blind": NOW}, 1),
            ([answered(kind="ok")], {"dead_channels": ["slack"]}, 1),
            ([answered()], {"blind": NOW}, 2),
        ):
            self.assertEqual(status_code({"self": daemon(**of), "tasks": tasks}), code)
