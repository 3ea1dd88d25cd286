"""The daemon's lists of incidents and deliveries, its public page, and compressed answers (contract, section 7)."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

from twisted.trial.unittest import TestCase

from tests.acceptance.endpoints import Endpoints, Request, Server, report
from tests.acceptance.process import PYPINGER, Daemon, Process, free_port, ini, pause, until

HTML = ("Accept: text/html",)


class Refusing(Server):
    """Refuses every message until it is mended."""

    broken = True

    def respond(self, request: Request) -> None:
        request.answer(400 if self.broken else 204, "no such channel here")


class ListsTests(TestCase):
    timeout = 180

    async def start(self, web: str = "") -> None:
        self.tasks, self.hook = Endpoints(self), Refusing(self)
        self.url = self.tasks.url("/shop?k=s3cret", report(status="error", reason="disk full", server="db1"))
        other = self.tasks.url("/other", report())
        more = f"[task Shop]\nurl = {self.url}\n[webhook]\nurl = {self.hook.origin}/hook\n"
        port = free_port()
        main = "interval = 0.5\ngroup_wait = 0\nerror_interval = 1h"
        text = ini(port, [other], main, more, web).replace(":memory:", "pypinger.sqlite")
        self.daemon = Daemon(self, text, port)
        await self.daemon.is_ready()

    async def run_command(self, *words: str) -> None:
        process = Process(self, *PYPINGER, *words, directory=self.daemon.directory, forked=True)
        self.assertEqual(await process.end(), 0, process.log)

    async def reload_without(self, part: str) -> None:
        """Remove a part of the ini file, and reload."""
        path = Path(self.daemon.directory) / "pinger.ini"
        text = path.read_text(encoding="utf-8")
        self.assertIn(part, text)
        path.write_text(text.replace(part, ""), encoding="utf-8")
        await self.run_command("reload")

    async def html(self, path: str, code: int = 200) -> str:
        answer = await self.daemon.get(path, headers=HTML)
        self.assertEqual(answer.code, code, path)
        return answer.body.decode()

    async def json(self, path: str) -> Any:
        return (await self.daemon.get(path)).json()

    async def test_from_the_alert_that_was_given_up_to_its_delivery(self) -> None:
        await self.start()

        async def dead() -> list[dict[str, Any]]:
            return (await self.json("/deliveries?outcome=dead&event=problem"))["data"]

        while not (found := await dead()):
            await pause(0.1)
        self.assertIn("no such channel here", found[0]["words"])
        overview = await self.html("/")
        self.assertIn("deliveries?outcome=dead", overview)
        self.assertIn("no such channel here", overview)
        page = await self.html("/deliveries?outcome=dead&channel=webhook&since=1h")
        for words in ("given up", "pypinger resend", "no such channel here", "Shop"):
            self.assertIn(words, page)
        self.assertNotIn("s3cret", page)
        self.hook.broken = False
        await self.run_command("resend")
        await until(lambda: len(self.hook.requests) > 2)
        while await dead():
            await pause(0.1)
        self.assertIn("No delivery matches", await self.html("/deliveries?outcome=dead"))
        incidents = await self.html("/incidents?task=Shop&state=open&kind=failed")
        self.assertIn("1 incident</a> open now", incidents)
        self.assertIn("No incident matches", await self.html("/incidents?task=Shop&state=closed"))
        self.assertIn("unknown prefix", await self.html("/incidents?task=srever:x", 400))
        # A task that leaves the configuration keeps its past.
        await self.reload_without(f"[task Shop]\nurl = {self.url}\n")
        task = (await self.json("/incidents"))["data"][0]["task"]
        self.assertIn("no longer monitored", await self.html(f"/incidents?task={task}"))

    async def test_the_public_page(self) -> None:
        await self.start("public = *\n")
        value = await self.json("/public")
        self.assertEqual([(each["name"], each["status"]) for each in value["data"]], [("Shop", "error")])
        page = await self.html("/public")
        self.assertIn("Shop", page)
        for words in ("s3cret", "disk full", "db1", "other", "127.0.0.1"):
            self.assertNotIn(words, page)
        await self.reload_without("public = *\n")
        self.assertEqual((await self.daemon.get("/public")).code, 404)

    async def test_gzip(self) -> None:
        await self.start()
        for accept in ("text/html", "application/json"):
            answer = await self.daemon.get("/", headers=(f"Accept: {accept}", "Accept-Encoding: gzip"))
            self.assertEqual(answer.headers["content-encoding"], "gzip")
            self.assertIn(b"Shop", gzip.decompress(answer.body))
