"""The commands to the running daemon (contract, section 9), typed as people type them."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

from twisted.trial.unittest import TestCase

from tests.acceptance.channels import HipChat
from tests.acceptance.endpoints import Endpoints, report
from tests.acceptance.process import PYPINGER, TWISTD, Daemon, Process, free_port, ini, pause, until

MAIN = "interval = 0.5\ngroup_wait = 0\nerror_interval = 1h"


class CommandTests(TestCase):
    timeout = 300

    async def start(self, more: str = "") -> tuple[Daemon, Endpoints, HipChat]:
        self.tasks = tasks = Endpoints(self)
        urls = [tasks.url("/a", report()), tasks.url("/b", report(process="backup", server="db1"))]
        hipchat = HipChat(self)
        named = f"[task {urls[0]}]\nname = nightly import\ngroup = billing\n"
        port = free_port()
        text = ini(port, urls, MAIN, named + hipchat.section() + more).replace(":memory:", "pypinger.sqlite")
        self.daemon = daemon = Daemon(self, text, port)
        await daemon.is_ready()
        await until(lambda: hipchat.events() == ["started"])
        return daemon, tasks, hipchat

    async def run_command(self, *words: str, code: int = 0) -> str:
        """Run a command beside the daemon. Returns what it prints."""
        process = Process(self, *PYPINGER, *words, directory=self.daemon.directory, forked=True)
        self.assertEqual(await process.end(), code, process.log)
        self.assertNotIn("Traceback", process.log)
        return process.log

    async def test_silence_and_acknowledge(self) -> None:
        daemon, tasks, hipchat = await self.start()
        said = await self.run_command("silence", "group:billing", "1h", "it is moved")
        self.assertRegex(said, r"\Asilence [0-9a-f]+: 1 task until ")
        silence_id = said.split()[1].rstrip(":")
        self.assertIn("group:billing: it is moved", await self.run_command("silences"))

        tasks.url("/a", report(status="error", reason="disk full"))
        tasks.url("/b", report(status="error", reason="disk full", process="backup", server="db1"))
        await until(lambda: hipchat.events("/b") == ["problem"])
        task = await daemon.becomes(tasks.url("/a"), kind="failed")
        await pause(1.5)
        self.assertEqual(hipchat.events("/a"), [])
        self.assertEqual(task["silenced"]["reason"], "it is moved")
        self.assertIsNotNone(task["incident"])

        status = await self.run_command("status", code=2)
        self.assertIn("silenced until", status)
        self.assertIn("2 tasks: 2 in trouble", status)
        self.assertEqual((await self.run_command("status", "server:db1", code=2)).count("failed"), 1)
        answer = json.loads(await self.run_command("status", "--json", code=2))
        self.assertEqual({each["name"] for each in answer["tasks"]}, {"nightly import", "backup on db1"})

        # The reports name the other task; what they say is no name for commands.
        self.assertRegex(status, "failed for [^ ]+ s +backup on db1 ")
        said = await self.run_command("ack", "backup on db1", code=1)
        self.assertIn("backup on db1 is what the reports of http://127.0.0.1:", said)
        self.assertIn("acknowledged", await self.run_command("ack", tasks.url("/b"), "I", "look"))
        await until(lambda: "I look" in daemon.log)
        self.assertEqual((await daemon.task(tasks.url("/b")))["incident"]["acknowledged"]["reason"], "I look")

        # What is still wrong when the silence ends is told then.
        await self.run_command("unsilence", silence_id)
        await until(lambda: hipchat.events("/a") == ["problem"])
        tasks.url("/a", report())
        await until(lambda: hipchat.events("/a") == ["problem", "recovered"])
        await daemon.stop()

    async def test_a_silence_survives_kill_9(self) -> None:
        daemon, *_ = await self.start()
        await self.run_command("silence", "nightly import", "1h")
        daemon.signal("KILL")
        await daemon.end()
        again = Process(self, *TWISTD, "-n", "--pidfile=", "pypinger", directory=daemon.directory, forked=True)
        await until(lambda: (Path(daemon.directory, "pypinger.sqlite.lock")).read_text().strip() == str(again.pid))
        daemon.ended = None
        await daemon.is_ready()
        self.assertIn("nightly import", await self.run_command("silences"))
        again.signal("TERM")
        self.assertEqual(await again.end(), 0, again.log)

    async def test_check_now_drill_reload_and_backup(self) -> None:
        daemon, _, hipchat = await self.start()
        self.assertIn("nightly import: ok: last ran", await self.run_command("check-now", "nightly import"))
        self.assertRegex(await self.run_command("drill"), r"hipchat: accepted after \d+\.\d\d s: HTTP 204")
        await until(lambda: "TEST of Py Pinger" in hipchat.messages()[-1].text)
        self.assertIn("no alert was given up", await self.run_command("resend"))

        self.assertIn("the ini file was read", await self.run_command("reload"))
        path = Path(daemon.directory, "pinger.ini")
        good = path.read_text()
        path.write_text("[urls]\nprod = nonsense\n")
        self.assertIn("pinger.ini:2", await self.run_command("reload", code=1))
        self.assertIn("the latest reload failed", await self.run_command("status"))
        path.write_text(good)
        await self.run_command("reload")

        await self.run_command("backup", "copy.sqlite")
        with closing(sqlite3.connect(Path(daemon.directory, "copy.sqlite"))) as copy:
            self.assertEqual(copy.execute("SELECT count(*) FROM task").fetchone(), (2,))
        await daemon.stop()

    async def test_mistakes(self) -> None:
        await self.start()
        for words, said, code in [
            (("silence", "sever:db1", "1h"), "unknown prefix sever:; did you mean server:?", 1),
            (("silence", "nothing-like-it", "1h"), "matches no task", 1),
            (("status", "sever:db1"), "unknown prefix sever:; did you mean server:?", 3),
            (("status", "nothing-like-it"), "matches no task", 3),
            (("backup", "."), "is a directory", 1),
            (("backup", "missing/"), "is a directory", 1),
            (("backup", "missing/copy"), "cannot write to", 1),
            (("silence", "*", "400d"), "at most", 1),
            (("silence", "*", "soon"), "not a length of time", 1),
            (("unsilence", "zz"), "no silence zz", 1),
            (("ack", "nightly import"), "has no open incident", 1),
            (("check-now", "*"), "matches 2 tasks", 1),
            (("status", "--socket", "nowhere.sock"), "no daemon answers at nowhere.sock", 3),
        ]:
            self.assertIn(said, await self.run_command(*words, code=code), words)
