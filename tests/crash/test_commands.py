"""A silence or an acknowledgement that the daemon confirmed outlives ``kill -9`` (contract, sections 8 and 9)."""

from __future__ import annotations

from random import Random
from typing import Any

from twisted.trial.unittest import TestCase

from tests.acceptance.endpoints import Endpoints, report
from tests.acceptance.process import PYPINGER, Daemon, Process, free_port, ini, pause, until

KILLS = 6


class Killed(TestCase):
    timeout = 300

    async def test_what_is_confirmed_is_kept(self) -> None:
        tasks, random, port = Endpoints(self), Random(11), free_port()
        urls = [tasks.url(f"/{name}", report(status="error")) for name in ("a", "b")]
        text = ini(port, urls, "interval = 0.5\ngroup_wait = 0").replace(":memory:", "pypinger.sqlite")
        daemon = Daemon(self, text, port)
        expected: set[str] = set()
        acknowledged: str | None = None
        confirmed = 0
        for number in range(KILLS):
            await daemon.becomes(urls[1], kind="failed")
            await self.check(daemon, urls, expected, acknowledged)
            commands = [
                self.command(daemon, "silence", urls[0], "1h", f"reason {number}"),
                self.command(daemon, "ack", urls[1], f"note {number}"),
            ]
            # The last moments of the commands matter. On a busy machine they take longer, and some must be confirmed.
            if number % 2:
                await pause(random.uniform(0.2, 0.6))
            else:
                await until(lambda c=commands: any(each.ended is not None for each in c), "the end of a command")
            daemon.signal("KILL")
            await daemon.end()
            codes = [await each.end() for each in commands]
            for command in commands:
                self.assertNotIn("Traceback", command.log)
            if codes[0] == 0:
                expected.add(f"reason {number}")
            if codes[1] == 0:
                acknowledged = f"note {number}"
            confirmed += codes.count(0)
            daemon = Daemon(self, None, port, directory=daemon.directory)
        await daemon.becomes(urls[1], kind="failed")
        await self.check(daemon, urls, expected, acknowledged)
        await daemon.stop()
        self.assertGreater(confirmed, 0)

    async def check(self, daemon: Daemon, urls: list[str], expected: set[str], acknowledged: str | None) -> None:
        listed = self.command(daemon, "silences")
        self.assertEqual(await listed.end(), 0, listed.log)
        for reason in expected:
            self.assertIn(reason, listed.log)
        incident: dict[str, Any] = (await daemon.task(urls[1]))["incident"]
        if acknowledged is not None:
            # One that was stored but not confirmed any more may have replaced it.
            self.assertGreaterEqual(incident["acknowledged"]["reason"], acknowledged)

    def command(self, daemon: Daemon, *words: str) -> Process:
        return Process(self, *PYPINGER, *words, directory=daemon.directory, forked=True)
