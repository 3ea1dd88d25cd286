"""``make demo-machines`` (docs/machines_demo.py): three instances, a kill switch, and nothing left at the end."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from threading import Timer

from twisted.trial.unittest import SynchronousTestCase

from tests import postgres
from tests.acceptance.process import CHECKOUT, PATIENCE


class DemoTests(SynchronousTestCase):
    skip = postgres.missing()

    def setUp(self) -> None:
        self.demo = subprocess.Popen(
            [sys.executable, str(Path(CHECKOUT, "docs", "machines_demo.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.addCleanup(self.demo.communicate)
        self.addCleanup(self.demo.kill)
        limit = Timer(2 * PATIENCE, self.demo.kill)
        limit.start()
        self.addCleanup(limit.cancel)
        self.said = ""

    def reads(self, pattern: str) -> re.Match[str]:
        """Read until a line has the pattern."""
        assert self.demo.stdout is not None
        for line in self.demo.stdout:
            self.said += line
            if found := re.search(pattern, line):
                return found
        raise AssertionError(f"{pattern} was never printed: {self.said}")

    def types(self, line: str) -> None:
        assert self.demo.stdin is not None
        self.demo.stdin.write(f"{line}\n")
        self.demo.stdin.flush()

    def test_kill_switch(self) -> None:
        directory = Path(self.reads(r"\(log: (.*)/a/log\)")[1])
        self.reads(r"a watches \d+ tasks, b watches \d+ tasks, c watches \d+ tasks$")
        self.reads(r"alert from [abc]: PROBLEM ")
        self.types("kill a")
        self.reads(r"a has ended \(SIGKILL\)")
        self.reads(r"  b watches \d+ tasks, c watches \d+ tasks$")
        self.types("stop b")
        self.reads(r"b has ended \(exit code 0\)")
        self.types("dance")
        self.reads(r"kill a +SIGKILL")
        self.types("quit")
        self.assertEqual(self.demo.wait(PATIENCE), 0)
        self.assertFalse(directory.exists())
