"""Forked processes do what started ones do."""

from __future__ import annotations

import sys

from twisted.trial.unittest import TestCase

from tests.acceptance.process import Process, new_directory, until


class SameTests(TestCase):
    timeout = 120

    async def test_same(self) -> None:
        """Output, exit code, arguments, directory, environment, standard input, signals and open files."""
        directory = new_directory(self)
        for code in (
            "import sys; print(sys.argv, __name__, sys.path[0]); print(2, file=sys.stderr)",
            "import os; print(os.getcwd(), os.environ['OWN'], len(os.environ))",
            "import time; print(time.localtime(0).tm_hour)",
            "import os, sys; print(repr(sys.stdin.read()), sorted(os.listdir('/proc/self/fd'), key=int))",
            "import signal; print(*(signal.getsignal(each) for each in (2, 13, 15, 17)))",
            "import sys, atexit; atexit.register(print, 'over'); sys.exit(7)",
            "import sys; sys.exit('words')",
            "import os; print('first', flush=True); os.kill(os.getpid(), 9)",
        ):
            seen = []
            for forked in (False, True):
                process = Process(
                    self,
                    *(sys.executable, "-c", code, "-x", "y"),
                    directory=directory,
                    environ={"OWN": "käse", "TZ": "Asia/Tokyo"},
                    forked=forked,
                )
                seen.append((await process.end(), process.out, process.err))
            self.assertEqual(*seen, code)

    async def test_signal(self) -> None:
        for forked in (False, True):
            process = Process(self, sys.executable, "-c", "print(1); import time; time.sleep(60)", forked=forked)
            await until(lambda p=process: p.out)
            process.signal("TERM")
            self.assertEqual(await process.end(), -15)

    async def test_module(self) -> None:
        process = Process(self, sys.executable, "-m", "tests.durations", forked=True)
        self.assertEqual(await process.end(), 2)
        self.assertIn(b"Usage: ``python -m tests.durations", process.err)
