"""Running one coroutine in the reactor; each test runs a process, since there is one reactor per process."""

from __future__ import annotations

from twisted.trial.unittest import TestCase

from tests.cli.processes import Process

MAIN = """
import sys
from pypinger.cli._reactor import run_until_done

async def main(reactor):
    {}

sys.exit(run_until_done(main, 3))
"""


class RunTests(TestCase):
    async def test_exit_code(self) -> None:
        process = Process(self, code=MAIN.format("return 7"))
        self.assertEqual((await process.ended, process.out, process.err), (7, b"", b""))

    async def test_unexpected_error_is_one_line(self) -> None:
        process = Process(self, code=MAIN.format("raise KeyError('marked')"))
        self.assertEqual(await process.ended, 3)
        self.assertEqual((process.out, process.err), (b"", b"unexpected error KeyError; please report it\n"))

    async def test_log_is_not_shown(self) -> None:
        body = "from twisted.logger import Logger; Logger().critical('oh'); print('done'); return 0"
        process = Process(self, code=MAIN.format(body))
        self.assertEqual((await process.ended, process.out, process.err), (0, b"done\n", b""))
