"""From a crontab to the page: what ``pypinger import`` prints is pasted, and cron's lines are run."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from tests.acceptance.process import CHECKOUT, Daemon, free_port, ini, pause
from tests.cli.test_command import pypinger
from tests.config.importing.test_commands import as_cron

UUID = "31365bce-8da9-4729-8ff3-aaa71d56b712"

CRONTAB = f"""\
# Prints two words
0 3 * * * echo two words >/dev/null 2>&1
@daily cd / && sh -c 'echo "no space left on device" >&2; exit 3'
15 4 * * mon-fri true && curl -fsS -m 10 -o /dev/null https://hc-ping.com/{UUID}
30 4 * * * false || curl -fsS -m 10 -o /dev/null https://hc-ping.com/{UUID.replace("3", "4")}/fail
@reboot sleep 1
"""


class CrontabTests(TestCase):
    timeout = 300

    def test_every_job_shows(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self.every_job_shows())

    async def every_job_shows(self) -> None:
        directory = Path(self.mktemp()).absolute()
        directory.mkdir()
        script, table, new = directory / "report", directory / "crontab", directory / "new"
        script.write_text(f'#!/bin/sh\nexec {sys.executable} {CHECKOUT}/contrib/pypinger-report.py "$@"\n')
        os.chmod(script, 0o755)
        table.write_text(CRONTAB)
        port = free_port()
        base = f"http://127.0.0.1:{port}"
        code, sections, err = pypinger(
            *("import", "crontab", str(table), "--base", base, "--run", str(script), "--crontab", str(new))
        )
        self.assertEqual((code, err), (0, ""))
        daemon = Daemon(self, ini(port, [], more=sections), port)
        await daemon.is_ready()
        self.assertEqual({task["kind"] for task in await self.tasks(daemon)}, {"new"})

        lines = new.read_text().splitlines()
        self.assertEqual((lines[0], lines[5]), (CRONTAB.splitlines()[0], CRONTAB.splitlines()[5]))
        codes = [
            as_cron(line.split(None, fields)[fields], "/bin/sh", str(directory))[1]
            for fields, line in ((5, lines[1]), (1, lines[2]), (5, lines[3]), (5, lines[4]))
        ]
        self.assertEqual(codes, [0, 3, 0, 0])

        found = {task["name"]: task for task in await self.tasks(daemon, checked=True)}
        self.assertEqual(
            {name: task["kind"] for name, task in found.items()},
            {"echo": "ok", "sh": "failed", "true": "ok", "false": "failed"},
        )
        self.assertIn("no space left on device", found["sh"]["reason"])
        self.assertEqual([found[name]["schedule"] for name in ("echo", "sh")], ["0 3 * * *", "@daily"])
        await daemon.stop()

    async def tasks(self, daemon: Daemon, *, checked: bool = False) -> list[dict[str, Any]]:
        """The tasks; with `checked`, once all have reported."""
        for _ in range(200):
            tasks: list[dict[str, Any]] = (await daemon.get()).json()["data"]
            if not checked or all(task["kind"] != "new" for task in tasks):
                return tasks
            await pause(0.1)
        raise AssertionError(f"not all tasks have reported: {tasks}")
