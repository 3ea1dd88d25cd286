"""Running one coroutine in the reactor; each test runs a process, since there is one reactor per process."""

from __future__ import annotations

import sys

from twisted.trial.unittest import TestCase

from tests.acceptance.process import Process

MAIN = """
import sys
from pypinger.cli._reactor import run_until_done

async def main(reactor):
    {}

sys.exit(run_until_done(main, 3))
"""


class RunTests(TestCase):
    def run_process(self, body: str) -> Process:
        return Process(self, sys.executable, "-c", MAIN.format(body), forked=True)

    async def test_exit_code(self) -> None:
        process = self.run_process("return 7")
        self.assertEqual((await process.end(), process.out, process.err), (7, b"", b""))

    async def test_unexpected_error_is_one_line(self) -> None:
        process = self.run_process("raise KeyError('marked')")
        self.assertEqual(await process.end(), 3)
        self.assertEqual((process.out, process.err), (b"", b"unexpected error KeyError; please report it\n"))

    async def test_log_is_not_shown(self) -> None:
        body = "from twisted.logger import Logger; Logger().critical('oh'); print('done'); return 0"
        process = self.run_process(body)
        self.assertEqual((await process.end(), process.out, process.err), (0, b"done\n", b""))
