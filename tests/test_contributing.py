"""The example channel of CONTRIBUTING.md works as written."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
import unittest
from pathlib import Path
from types import ModuleType

from twisted.trial.unittest import SynchronousTestCase

import pypinger.notify

ROOT = Path(__file__).parent.parent
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


def snippet(name: str, language: str = "python") -> str:
    """The block of code that follows the mark ``<!-- test: name -->``."""
    found = re.search(rf"<!-- test: {name} -->\n *```{language}\n(.*?)\n *```", CONTRIBUTING, re.DOTALL)
    assert found is not None, name
    return textwrap.dedent(found[1]) + "\n"


class ChannelTests(SynchronousTestCase):
    def test_linted(self) -> None:
        for name, path in (("channel", "pypinger/notify/gotify.py"), ("channel-test", "tests/notify/test_gotify.py")):
            for check in (("check", "--no-cache"), ("format", "--diff", "--no-cache")):
                command = [sys.executable, "-m", "ruff", *check, "--stdin-filename", path, "-"]
                ran = subprocess.run(command, cwd=ROOT, input=snippet(name), capture_output=True, text=True)
                self.assertEqual(ran.returncode, 0, ran.stdout + ran.stderr)

    def test_example(self) -> None:
        directory = Path(self.mktemp()).absolute()
        directory.mkdir()
        (directory / "gotify.py").write_text(snippet("channel"))
        pypinger.notify.__path__.append(str(directory))
        pypinger.notify.registry.cache_clear()
        self.addCleanup(pypinger.notify.registry.cache_clear)
        self.addCleanup(sys.modules.pop, "pypinger.notify.gotify", None)
        self.addCleanup(pypinger.notify.__path__.remove, str(directory))

        module = ModuleType("test_gotify")
        exec(snippet("channel-test"), vars(module))
        result = unittest.TestResult()
        unittest.defaultTestLoader.loadTestsFromTestCase(module.GotifyTests).run(result)
        self.assertGreater(result.testsRun, 10)
        self.assertEqual(result.errors + result.failures, [])
