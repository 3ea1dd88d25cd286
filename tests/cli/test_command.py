"""The command line: its help, its mistakes, its exit codes."""

from __future__ import annotations

import contextlib
import io
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from pypinger import __version__
from pypinger.cli import main

CHECKOUT = Path(__file__).parent.parent.parent


def pypinger(*arguments: str) -> tuple[int, str, str]:
    """Run the command in this process: its exit code, what it printed, and what it complained of."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main(arguments)
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
    return code, out.getvalue(), err.getvalue()


class CommandLineTests(SynchronousTestCase):
    def test_version(self) -> None:
        self.assertEqual(pypinger("--version"), (0, f"Py Pinger {__version__}\n", ""))

    def test_help_names_every_command(self) -> None:
        code, out, _ = pypinger("--help")
        self.assertEqual(code, 0)
        for name in ("check", "validate", "notify-test", "replay", "demo"):
            self.assertIn(name, out)
            self.assertEqual(pypinger(name, "--help")[0], 0)

    def test_wrong_usage(self) -> None:
        for arguments in (
            (),
            ("chek",),
            ("validate",),
            ("validate", "a", "b"),
            ("demo", "--port", "http"),
            ("demo", "--port", "65536"),
        ):
            code, out, err = pypinger(*arguments)
            self.assertEqual((code, out), (2, ""), arguments)
            self.assertIn("usage: pypinger", err)

    def test_wrong_usage_of_the_plugin_is_unknown(self) -> None:
        mistakes = (
            (),
            ("a", "b"),
            ("--grace", "soon", "a"),
            ("--grace", "-1", "a"),
            ("--grace", "nan", "a"),
            ("--timeout", "inf", "a"),
        )
        for arguments in mistakes:
            code, out, err = pypinger("check", *arguments)
            self.assertEqual((code, err), (3, ""), arguments)
            self.assertRegex(out, r"\AUNKNOWN - [^\n]+\n\Z")

    def test_help_loads_no_twisted(self) -> None:
        code = "import sys, pypinger.cli; sys.exit('twisted' in sys.modules)"
        result = subprocess.run([sys.executable, "-c", code], cwd=CHECKOUT, check=False, stdin=subprocess.DEVNULL)
        self.assertEqual(result.returncode, 0)

    def test_a_poor_locale_is_no_traceback(self) -> None:
        report = '{"status": "error", "lastrun": "2026-01-01T00:00:00Z", "reason": "\N{SNOWMAN}"}'
        result = subprocess.run(
            [sys.executable, "-c", "import sys; from pypinger.cli import main; sys.exit(main())", "check", "-"],
            cwd=CHECKOUT,
            input=report.encode(),
            capture_output=True,
            check=False,
            env={"PYTHONIOENCODING": "latin-1"},
        )
        self.assertEqual((result.returncode, result.stderr), (2, b""))
        self.assertIn(b"reason: \\u2603\n", result.stdout)
