"""``pypinger demo`` as a process: the daemon, its pages and every kind of verdict."""

from __future__ import annotations

import json
import os
import re
import socket
from pathlib import Path

from twisted.internet import reactor
from twisted.internet.task import deferLater
from twisted.trial.unittest import SynchronousTestCase, TestCase
from twisted.web.client import Agent, readBody
from twisted.web.http_headers import Headers

from pypinger.cli.demo import ini
from pypinger.cli.fleet import SAMPLES
from pypinger.config import load
from pypinger.notify import channels
from tests.acceptance.process import PYPINGER, Process, until

#: The kind of each sample's first verdict, except those that change by themselves.
KINDS = {
    "healthy": "ok",
    "healthy-daily": "ok",
    "late": "late",
    "failing": "failed",
    "failing-with-500": "failed",
    "ok-with-503": "failed",
    "sleeping": "sleeping",
    "future": "future",
    "hanging": "unreachable",
    "stopping-short": "unreachable",
    "no-json": "invalid",
    "bad-sleep": "invalid",
    "server-error": "unreachable",
    "redirecting": "ok",
    "going-round": "unreachable",
    "huge": "unreachable",
    "hostile": "failed",
    "": "unreachable",
}


class IniTests(SynchronousTestCase):
    def test_valid(self) -> None:
        path = self.mktemp()
        Path(path).write_text(ini(3002, 3003))
        settings = load(path, channels=channels(), environ={})
        self.assertEqual(settings.warnings, ())
        self.assertEqual(len(settings.tasks), len(SAMPLES) + 1)
        self.assertEqual(settings.tasks[0].name, SAMPLES[0].name)
        self.assertTrue(settings.only_log)
        self.assertEqual(settings.store.path, ":memory:")


class DemoTests(TestCase):
    timeout = 300

    async def get(self, url: str) -> tuple[int, bytes]:
        agent = Agent(reactor)
        response = await agent.request(b"GET", url.encode(), Headers({"accept": ["application/json"]}))
        return response.code, await readBody(response)

    async def test_every_kind(self) -> None:
        process = Process(self, *PYPINGER, "demo", "--port", "0", forked=True)
        await until(lambda: b"Ctrl-C stops the demo." in process.out)
        found = re.search(r"pages: +(http://127\.0\.0\.1:\d+/)\n.*tasks: (http://[^/]+)/", process.out.decode())
        assert found is not None
        pages, fleet = found.groups()
        while (await self.get(f"{pages}readyz"))[0] != 200:
            await deferLater(reactor, 0.2)
        code, body = await self.get(pages)
        self.assertEqual(code, 200)
        kinds = {task["url"].rpartition("/")[2]: task["kind"] for task in json.loads(body)["data"]}
        self.assertEqual({path: kinds[path] for path in KINDS}, KINDS)
        self.assertEqual((await self.get(f"{pages}task/{fleet}/late"))[0], 500)
        self.assertEqual((await self.get(f"{pages}task/{fleet}/healthy"))[0], 200)
        ini_file = re.search(r"ini file: +(\S+)", process.out.decode())
        assert ini_file is not None
        process.signal("INT")
        self.assertEqual(await process.end(), 0, process.err)
        self.assertEqual(process.err, b"")
        self.assertNotIn(b"Traceback", process.out)
        self.assertFalse(os.path.exists(os.path.dirname(ini_file[1])))

    async def test_a_busy_port(self) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = str(taken.getsockname()[1])
            for option in ("--port", "--fleet-port"):
                process = Process(self, *PYPINGER, "demo", "--port", "0", option, port, forked=True)
                self.assertEqual(await process.end(), 1)
                self.assertNotIn(b"Ctrl-C", process.out)
                self.assertRegex(process.err, rb"\Apypinger demo: [^\n]+\n\Z")
