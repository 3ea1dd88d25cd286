"""The command line: help, wrong usage, exit codes, output that cannot be written."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from pypinger import __version__
from pypinger.cli import main
from tests.acceptance.process import PYPINGER

CHECKOUT = Path(__file__).parent.parent.parent


def pypinger(*arguments: str) -> tuple[int, str, str]:
    """Run the command in this process; return its exit code, standard output and standard error."""
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
        for name in ("check", "validate", "notify-test", "replay", "calendar", "import", "demo"):
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
            ("replay", "a", "--since", "soon"),
            ("replay", "a", "--since", "5x"),
            ("replay", "a", "--since", "20y"),
        ):
            code, out, err = pypinger(*arguments)
            self.assertEqual((code, out), (2, ""), arguments)
            self.assertIn("usage: pypinger", err)

    def test_wrong_usage_of_check_is_unknown(self) -> None:
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

    def test_encoding_without_the_character(self) -> None:
        report = '{"status": "error", "lastrun": "2026-01-01T00:00:00Z", "reason": "\N{SNOWMAN}"}'
        result = subprocess.run(
            [*PYPINGER, "check", "-"],
            cwd=CHECKOUT,
            input=report.encode(),
            capture_output=True,
            check=False,
            env={"PYTHONIOENCODING": "latin-1"},
        )
        self.assertEqual((result.returncode, result.stderr), (2, b""))
        self.assertIn(b"reason: \\u2603\n", result.stdout)


class OutputTests(SynchronousTestCase):
    """A command whose output cannot be written, as a process."""

    def run_command(self, *arguments: str, report: bytes = b"", **streams: Any) -> tuple[int, bytes]:
        process = subprocess.Popen(
            [*PYPINGER, *arguments],
            cwd=CHECKOUT,
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            **streams,
        )
        if "stdout" in streams:
            os.close(streams["stdout"])
        _, err = process.communicate(report)
        return process.returncode, err

    def commands(self) -> dict[tuple[str, ...], int]:
        """Commands and their exit codes."""
        path = self.mktemp()
        with open(path, "w") as file:
            file.write("[urls]\nprod = http://127.0.0.1:1/\n[web]\nhosts = localhost\n")
        return {
            ("check", "-"): 2,
            ("check", "http://127.0.0.1:1/"): 2,
            ("validate", os.path.abspath(path)): 0,
            ("--help",): 0,
            ("check",): 3,
        }

    def test_reader_gone(self) -> None:
        """The exit code is that of the command, and nothing is printed."""
        for arguments, code in self.commands().items():
            read, write = os.pipe()
            os.close(read)
            self.assertEqual(self.run_command(*arguments, report=b"{}", stdout=write), (code, b""), arguments)

    def test_full_device(self) -> None:
        """One line on standard error, and an exit code that is not 0."""
        words = b"pypinger: cannot write to standard output: No space left on device\n"
        for arguments, code in self.commands().items():
            full = os.open("/dev/full", os.O_WRONLY)
            self.assertEqual(self.run_command(*arguments, report=b"{}", stdout=full), (code or 3, words), arguments)

    def test_closed(self) -> None:
        """Commands work without standard output."""
        script = '"$0" "$@" >&-'
        for arguments, code in self.commands().items():
            result = subprocess.run(
                [
                    "sh",
                    "-c",
                    script,
                    *PYPINGER,
                    *arguments,
                ],
                cwd=CHECKOUT,
                input=b"{}",
                stderr=subprocess.PIPE,
                check=False,
            )
            self.assertEqual(result.returncode, code, arguments)
            self.assertNotIn(b"Traceback", result.stderr)
