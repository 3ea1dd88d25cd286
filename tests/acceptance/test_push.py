"""Tasks that push, in a real daemon (contract, section 9, "Push")."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import sys
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from pypinger.domain.times import iso
from pypinger.domain.url import task_id
from tests.acceptance.endpoints import Endpoints, report
from tests.acceptance.process import PYPINGER, Daemon, Process, ask, free_port, new_directory, pause, until
from tests.acceptance.talk import talk
from tests.store.disks import small_disk

KEY = "0e9e5a8a-1111-4222-8333-00000000000{}"

#: How often the daemon is killed after a push; PUSH_KILLS sets more.
KILLS = int(os.environ.get("PUSH_KILLS", "4"))


def ini(port: int, *tasks: str, main: str = "", more: str = "", store: str = ":memory:", urls: str = "") -> str:
    """The text of an ini file with these push tasks, each with the lines of its section."""
    sections = "".join(
        f"[task {name}]\npush_key = {KEY.format(number)}\n{lines}\n"
        for number, (name, _, lines) in enumerate(task.partition("\n") for task in tasks)
    )
    return (
        f"[main]\nonly_log = true\n{main}\n[web]\nendpoint = tcp:{port}:interface=127.0.0.1\n"
        f"[store]\npath = {store}\n[urls]\nprod = {urls}\n{sections}{more}"
    )


class PushTestCase(TestCase):
    async def start(self, *tasks: str, **settings: str) -> Daemon:
        port = free_port()
        daemon = Daemon(self, ini(port, *tasks, **settings), port)
        await daemon.serves()
        return daemon

    async def task(self, daemon: Daemon, name: str) -> dict[str, Any]:
        answer = await daemon.get(f"/task/{name}")
        self.assertIn(answer.code, (200, 500))
        task: dict[str, Any] = answer.json()["data"]
        return task

    async def ping(self, daemon: Daemon, suffix: str = "", *, number: int = 0, body: bytes = b"") -> tuple[int, bytes]:
        target = f"/ping/{KEY.format(number)}{suffix}"
        answer = await ask(daemon.port, target, method="POST" if body else "GET", body=body)
        return answer.code, answer.body


class TaskTests(PushTestCase):
    async def test_a_task_without_url(self) -> None:
        daemon = await self.start("Nightly backup\nfrequency = 1h\nrunbook = https://wiki.example/backup")
        self.assertEqual((await daemon.get("/readyz")).code, 200)
        new = await self.task(daemon, "Nightly%20backup")
        self.assertEqual((new["kind"], new["status"], new["url"], new["pings"]), ("new", "", None, 0))
        while new["due"] is None:
            # It is judged right after the start.
            await pause(0.05)
            new = await self.task(daemon, "Nightly%20backup")
        self.assertEqual(new["kind"], "new")
        self.assertEqual(await self.ping(daemon, body=b"all is well"), (200, b"OK"))
        number = task_id("push:Nightly backup")
        for path in ("Nightly%20backup", "Nightly backup".replace(" ", "%20"), number):
            task = await self.task(daemon, path)
            self.assertEqual((task["kind"], task["pings"], task["id"], task["latency"]), ("ok", 1, number, None))
        history = await daemon.get("/task/Nightly%20backup/history")
        self.assertEqual(len(history.json()["data"]["runs"]), 1)
        self.assertEqual((await daemon.get("/status")).json()["status"], "ok")
        await daemon.stop()

    async def test_failure_and_recovery(self) -> None:
        daemon = await self.start("Backup", "Other")
        self.assertEqual(await self.ping(daemon, "/3", body=b"disk full\n"), (200, b"OK"))
        answer = await daemon.get("/task/Backup")
        task = answer.json()["data"]
        self.assertEqual((answer.code, task["kind"], task["reason"]), (500, "failed", "disk full"))
        self.assertEqual((await daemon.get("/api/v1/incidents")).json()["data"][0]["url"], None)
        await self.ping(daemon)
        self.assertEqual((await self.task(daemon, "Backup"))["kind"], "ok")
        await until(lambda: "RECOVERED: Backup is OK again" in daemon.log)
        self.assertIn("PROBLEM: Backup is failing", daemon.log)
        self.assertEqual((await self.task(daemon, "Other"))["kind"], "new")
        await daemon.stop()

    async def test_late(self) -> None:
        """A task that stops to ping, and one that never did, are late; no check asks for a fetch."""
        daemon = await self.start("Backup\nfrequency = 2s", "Silent\nfrequency = 1s", main="grace = 1")
        await self.ping(daemon)
        for name in ("Backup", "Silent"):
            await until(lambda name=name: f"PROBLEM: {name} is late" in daemon.log, f"{name} late")  # type: ignore[misc]
        task = await self.task(daemon, "Backup")
        self.assertEqual((task["pings"], task["errors"], task["kind"]), (1, 0, "late"))
        silent = await self.task(daemon, "Silent")
        self.assertEqual((silent["pings"], silent["checked"], silent["unseen"]), (0, None, None))
        self.assertIn("no push yet; configured", silent["explanation"])
        await daemon.stop()

    async def test_runs(self) -> None:
        daemon = await self.start("Backup\nfrequency = 1h\nmax_runtime = 30m")
        rid = "?rid=0f0f0f0f-0000-4000-8000-000000000001"
        await self.ping(daemon, f"/start{rid}")
        running = await self.task(daemon, "Backup")
        self.assertIsNotNone(running["started"])
        self.assertIn("may take 30 min", running["explanation"])
        await self.ping(daemon, rid.replace("0001", "0002"))
        task = await self.task(daemon, "Backup")
        self.assertIn("running since", task["explanation"])
        self.assertIsNotNone(task["lastrun"])
        await self.ping(daemon, rid)
        self.assertNotIn("running since", (await self.task(daemon, "Backup"))["explanation"])
        self.assertEqual(await self.ping(daemon, "?rid=1"), (400, b"invalid uuid format"))
        await daemon.stop()

    async def test_reports(self) -> None:
        daemon = await self.start("Backup")
        target = f"/push/{KEY.format(0)}"
        now = iso(1_790_000_000.0)
        body = json.dumps({"status": "ok", "lastrun": now, "frequency": 527_040, "server": "db1"}).encode()
        self.assertEqual((await ask(daemon.port, target, method="POST", body=body)).code, 200)
        task = await self.task(daemon, "Backup")
        self.assertEqual((task["lastrun"], task["server"], task["frequency"]), (now, "db1", 527_040))
        wrong = await ask(daemon.port, target, method="POST", body=b'{"status": "ok"}')
        self.assertEqual((wrong.code, wrong.body), (400, b"lastrun is missing"))
        task = await self.task(daemon, "Backup")
        self.assertEqual((task["kind"], task["server"]), ("invalid", "db1"))
        self.assertEqual(task["explanation"], "not a valid report: lastrun is missing")
        self.assertEqual((await ask(daemon.port, target)).code, 405)
        await daemon.stop()

    async def test_beside_tasks_that_are_fetched(self) -> None:
        endpoints = Endpoints(self)
        daemon = await self.start("Backup", urls=endpoints.url("/a", report()))
        await daemon.is_ready()
        await self.ping(daemon, "/fail")
        tasks = (await daemon.get()).json()["data"]
        self.assertEqual([(task["url"], task["kind"]) for task in tasks][1:], [(None, "failed")])
        self.assertEqual(tasks[0]["kind"], "ok")
        await daemon.stop()


class SecretTests(PushTestCase):
    async def test_keys_are_nowhere(self) -> None:
        """Neither in the log, nor on a page, nor in JSON, metrics or answers; what tasks send is masked, too."""
        key = KEY.format(0)
        daemon = await self.start("Backup", main="debug_now = true")
        await self.ping(daemon, "/fail", body=f"curl: (22) /ping/{key}/fail".encode())
        await ask(daemon.port, f"/push/{key}", method="POST", body=json.dumps({"status": key}).encode())
        pages = [await daemon.get(path, headers=("Accept: text/html",)) for path in ("/", "/task/Backup", "/nothing")]
        pages += [
            await daemon.get(path) for path in ("/", "/task/Backup", "/metrics", "/task/Backup/history", "/status")
        ]
        pages.append(await ask(daemon.port, f"/ping/{key}/300"))
        for answer in pages:
            self.assertNotIn(key.encode(), answer.body)
        self.assertIn(b"/ping/***", pages[1].body)
        self.assertNotIn(key, daemon.log)
        await daemon.stop()

    async def test_commands(self) -> None:
        daemon = await self.start("Backup", more="")
        await self.ping(daemon, "/fail")
        socket = str(Path(daemon.directory, "pypinger.sock"))

        async def run(*words: str) -> tuple[int, str]:
            process = Process(self, *PYPINGER, *words, "--socket", socket, forked=True)
            return await process.end(), process.log

        await until(lambda: os.path.exists(socket))
        code, words = await run("check-now", "Backup")
        self.assertNotEqual(code, 0)
        self.assertIn("Backup is a push task: it is judged when it reports; there is nothing to fetch", words)
        code, words = await run("status")
        self.assertEqual(code, 2)
        self.assertIn("Backup", words)
        code, words = await run("status", "--json")
        self.assertEqual([task["url"] for task in json.loads(words)["tasks"]], [None])
        for verb in (("ack", "Backup", "mine"), ("silence", "Backup", "1h"), ("silence", "name:Back*", "1h")):
            code, words = await run(*verb)
            self.assertEqual(code, 0, words)
        await daemon.stop()


class EndpointTests(PushTestCase):
    async def test_an_endpoint_of_its_own(self) -> None:
        other = free_port()
        daemon = await self.start("Backup", more=f"[push]\nendpoint = tcp:{other}:interface=127.0.0.1\n")
        target = f"/ping/{KEY.format(0)}"
        self.assertEqual((await ask(other, target)).code, 200)
        for path in ("/", "/healthz", "/task/Backup", "/metrics", "/api/v1/tasks"):
            self.assertEqual((await ask(other, path)).code, 404)
        self.assertEqual((await ask(daemon.port, target)).code, 404)
        await daemon.stop()

    async def test_a_busy_endpoint(self) -> None:
        busy = free_port()
        first = await self.start("A", more=f"[push]\nendpoint = tcp:{busy}:interface=127.0.0.1\n")
        port = free_port()
        second = Daemon(self, ini(port, "A", more=f"[push]\nendpoint = tcp:{busy}:interface=127.0.0.1\n"), port)
        self.assertEqual(await second.end(), 1)
        self.assertIn(f"[push] endpoint tcp:{busy}:interface=127.0.0.1: cannot listen", second.log)
        await first.stop()

    async def test_reload(self) -> None:
        """Keys, tasks and the endpoint change in place; the state of a task with a new key is kept."""
        daemon = await self.start("A", "B")
        await self.ping(daemon)
        other = free_port()
        text = ini(daemon.port, "C", "A", more=f"[push]\nendpoint = tcp:{other}:interface=127.0.0.1\n")
        Path(daemon.directory, "pinger.ini").write_text(text)
        daemon.signal("HUP")
        await until(lambda: "reloaded pinger.ini" in daemon.log)
        for number, name, pings in ((0, "C", 1), (1, "A", 2)):
            self.assertEqual((await ask(other, f"/ping/{KEY.format(number)}")).code, 200)
            self.assertEqual((await self.task(daemon, name))["pings"], pings)
        self.assertEqual((await daemon.get("/task/B")).code, 404)
        Path(daemon.directory, "pinger.ini").write_text(ini(daemon.port, "A"))
        daemon.signal("HUP")
        await until(lambda: daemon.log.count("reloaded pinger.ini") == 2)
        self.assertEqual((await self.ping(daemon))[0], 200)
        self.assertEqual((await self.task(daemon, "A"))["pings"], 3)
        await daemon.stop()


class KeepingTests(PushTestCase):
    async def test_killed_right_after_a_push(self) -> None:
        """Every push that was answered 200 is there after ``kill -9``."""
        names = [f"T{number}" for number in range(8)]
        directory = new_directory(self)
        kept = dict.fromkeys(names, 0)
        for _ in range(KILLS):
            port = free_port()
            daemon = Daemon(self, ini(port, *names, store="pinger.sqlite"), port, directory=directory)
            await daemon.serves()
            for name in names:
                self.assertGreaterEqual((await self.task(daemon, name))["pings"], kept[name])
                kept[name] = (await self.task(daemon, name))["pings"]
            waiting = []
            for number, name in enumerate(names):
                waiting += [(name, Deferred.fromCoroutine(self.ping(daemon, number=number))) for _ in range(3)]

            def killed(answer: tuple[int, bytes], name: str, daemon: Daemon = daemon) -> None:
                self.assertEqual(answer[0], 200)
                kept[name] += 1
                if sum(kept.values()) % 7 == 0 and daemon.ended is None:
                    daemon.signal("KILL")

            for name, made in waiting:
                made.addCallback(killed, name).addErrback(lambda _: None)
            await gatherResults([made for _, made in waiting])
            if daemon.ended is None:
                daemon.signal("KILL")
            await daemon.end()
        with contextlib.closing(sqlite3.connect(Path(directory, "pinger.sqlite"))) as connection:
            states = dict(connection.execute("SELECT url, state FROM task"))
        for name in names:
            self.assertGreaterEqual(json.loads(states[f"push:{name}"])["pings"], kept[name])
        self.assertGreater(sum(kept.values()), KILLS)

    test_killed_right_after_a_push.timeout = 1800  # type: ignore[attr-defined]

    async def test_a_restart_keeps_a_run(self) -> None:
        directory = new_directory(self)
        rid = "?rid=0f0f0f0f-0000-4000-8000-000000000001"
        for suffix, running in ((f"/start{rid}", True), (rid.replace("0001", "0002"), True), (rid, False)):
            port = free_port()
            daemon = Daemon(self, ini(port, "A\nfrequency = 1h", store="pinger.sqlite"), port, directory=directory)
            await daemon.serves()
            self.assertEqual((await self.ping(daemon, suffix))[0], 200)
            self.assertEqual("running since" in (await self.task(daemon, "A"))["explanation"], running)
            await daemon.stop()

    async def test_a_full_disk(self) -> None:
        """Pushes are answered 503 and count nevertheless; once there is room all of them are kept."""
        disk = small_disk(self, "4m")
        daemon = await self.start("A", store=str(disk / "pinger.sqlite"))
        self.assertEqual((await self.ping(daemon))[0], 200)
        filler = disk / "filler"
        with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(b"x" * 1024)
        codes = [(await self.ping(daemon, "/fail"))[0]]
        while codes[-1] == 200:
            codes.append((await self.ping(daemon, "/fail", body=os.urandom(300).hex().encode()))[0])
        self.assertEqual(codes[-1], 503)
        task = await self.task(daemon, "A")
        self.assertEqual((task["kind"], task["pings"]), ("failed", 1 + len(codes)))
        self.assertEqual((await daemon.get("/status")).json()["status"], "error")
        filler.unlink()
        await daemon.says(status="ok")
        self.assertEqual((await self.ping(daemon))[0], 200)
        daemon.signal("KILL")
        await daemon.end()
        with contextlib.closing(sqlite3.connect(disk / "pinger.sqlite")) as connection:
            ((state,),) = connection.execute("SELECT state FROM task")
        self.assertEqual(json.loads(state)["pings"], 2 + len(codes))

    async def test_sixty_a_minute(self) -> None:
        daemon = await self.start("A")
        answers = [await ask(daemon.port, f"/ping/{KEY.format(0)}") for _ in range(61)]
        self.assertEqual([answer.code for answer in answers], [200] * 60 + [429])
        self.assertTrue(0 < int(answers[-1].headers["retry-after"]) <= 60)
        self.assertEqual((await self.ping(daemon, "/fail"))[0], 200)
        await daemon.stop()


class ClientTests(PushTestCase):
    """The clients of Healthchecks, unchanged."""

    async def script(self, text: str, *arguments: str) -> str:
        process = Process(self, sys.executable, "-c", text, *arguments)
        self.assertEqual(await process.end(), 0, process.log)
        return process.log

    async def test_curl(self) -> None:
        daemon = await self.start("A")
        base = f"http://127.0.0.1:{daemon.port}/ping/{KEY.format(0)}"
        big = Path(daemon.directory, "output")
        big.write_bytes(b"line\n" * 500_000)
        for words, kind in (
            (("-fsS", "-m", "10", "--retry", "5", base), "ok"),
            (("-fsS", "-I", f"{base}/start"), "ok"),
            (("-fsS", "--data-binary", f"@{big}", f"{base}/1"), "failed"),
            (("-fsS", "-T", str(big), "-X", "POST", "-H", "Transfer-Encoding: chunked", base), "ok"),
            (("-fsS", "-F", "out=x", f"{base}/fail"), "failed"),
            (("-fsS", "-d", "out=x", base), "ok"),
        ):
            process = Process(self, "/usr/bin/curl", *words)
            self.assertEqual(await process.end(), 0, process.log)
            self.assertEqual((await self.task(daemon, "A"))["kind"], kind, words)
        await daemon.stop()

    async def test_healthchecks_io(self) -> None:
        daemon = await self.start("A")
        text = (
            "import sys\nfrom healthchecks_io import Client\n"
            "client = Client(ping_url=sys.argv[1])\nuuid = sys.argv[2]\n"
            "print(client.start_ping(uuid=uuid), client.success_ping(uuid=uuid, data='out'))\n"
            "print(client.fail_ping(uuid=uuid, data='disk full'), client.exit_code_ping(0, uuid=uuid))\n"
        )
        said = await self.script(text, f"http://127.0.0.1:{daemon.port}/ping/", KEY.format(0))
        self.assertEqual(said.count("(True, 'OK')"), 4, said)
        task = await self.task(daemon, "A")
        self.assertEqual((task["kind"], task["pings"], task["errors"]), ("ok", 4, 1))
        await daemon.stop()

    async def test_healthchecks_decorator(self) -> None:
        daemon = await self.start("A")
        text = (
            "import sys\nfrom healthchecks_decorator import healthcheck\n"
            "@healthcheck(url=sys.argv[1], send_start=True, send_diagnostics=True)\n"
            "def job(fails):\n    if fails: raise ValueError('no space')\n    return {'rows': 7}\n"
            "job(False)\n"
            "try:\n    job(True)\nexcept ValueError:\n    pass\n"
        )
        await self.script(text, f"http://127.0.0.1:{daemon.port}/ping/{KEY.format(0)}")
        task = await self.task(daemon, "A")
        self.assertEqual((task["kind"], task["pings"]), ("failed", 4))
        await daemon.stop()

    async def test_borgmatic(self) -> None:
        """Its hook for Healthchecks, as borgmatic runs it around a backup; without borg, which it would run."""
        daemon = await self.start("A")
        text = (
            "import logging, sys\nfrom borgmatic.hooks.monitoring import healthchecks, monitor\n"
            "logging.getLogger().setLevel(logging.INFO)\n"
            "hook = {'ping_url': sys.argv[1], 'send_logs': True}\n"
            "healthchecks.initialize_monitor(hook, {}, 'config.yaml', logging.INFO, False)\n"
            "logging.getLogger().warning('repository locked')\n"
            "for name in sys.argv[2:]:\n"
            "    healthchecks.ping_monitor(hook, {}, 'config.yaml', monitor.State[name], logging.INFO, False)\n"
        )
        url = f"http://127.0.0.1:{daemon.port}/ping/{KEY.format(0)}"
        await self.script(text, url, "START", "FINISH")
        task = await self.task(daemon, "A")
        self.assertEqual((task["kind"], task["pings"]), ("ok", 2))
        await self.script(text, url, "START", "FAIL", "LOG")
        task = await self.task(daemon, "A")
        self.assertEqual((task["kind"], task["errors"]), ("failed", 1))
        self.assertIn("repository locked", task["reason"])
        await daemon.stop()

    async def test_requests_of_runitor_and_borgmatic(self) -> None:
        """As their sources send them: a body whose length is known, or none; runitor reads ``Ping-Body-Limit``."""
        daemon = await self.start("A")
        runitor = ("User-Agent: runitor/v1.4.1 (+https://bdd.fi/x/runitor)", "Content-Type: text/plain")
        runitor = (*runitor, "Accept-Encoding: gzip")
        rid = "?rid=0f0f0f0f-0000-4000-8000-000000000001"
        borgmatic = ("User-Agent: borgmatic", "Accept-Encoding: gzip, deflate", "Accept: */*", "Content-Length: 0")
        for headers, suffix, body, kind in (
            ((*runitor, "Content-Length: 0"), f"/start{rid}", b"", "ok"),
            (runitor, f"/2{rid}", b"out of memory", "failed"),
            ((*runitor, "Content-Length: 0"), f"/start{rid}", b"", "failed"),
            (runitor, rid, b"[runitor] done", "ok"),
            (borgmatic, "/start", b"", "ok"),
            (borgmatic[:-1], "", b"x" * 100_000, "ok"),
            (borgmatic[:-1], "/fail", b"repository locked", "failed"),
            (borgmatic[:-1], "/log", b"summary", "failed"),
        ):
            target = f"/ping/{KEY.format(0)}{suffix}"
            answer = await ask(daemon.port, target, method="POST", headers=headers, body=body)
            self.assertEqual((answer.code, answer.body), (200, b"OK"), suffix)
            self.assertEqual(answer.headers["ping-body-limit"], "10000")
            self.assertEqual((await self.task(daemon, "A"))["kind"], kind, suffix)
        await daemon.stop()


_paths = st.sampled_from(["ping", "push", "pings", "PING"])
_keys = st.sampled_from([KEY.format(0), KEY.format(0)[:-1], "", "%00", "k" * 600, "..", "\xff"])
_suffixes = st.sampled_from(["", "/", "/start", "/fail", "/log", "/0", "/255", "/256", "/-1", "//", "/start/x", "/%2e"])
_queries = st.sampled_from(["", "?", "?rid=", "?rid=0f0f0f0f-0000-4000-8000-000000000001", "?rid=x", "?a=1&a", "?%ff"])
_methods = st.sampled_from(["GET", "HEAD", "POST", "PUT", "get", "OPTIONS", "\x00"])
_headers = st.lists(
    st.sampled_from(
        [
            "Host: x",
            "Content-Length: 5",
            "Content-Length: 0",
            "Content-Length: -1",
            "Content-Length: 5, 5",
            "Content-Length: 99999999999999999999",
            "Transfer-Encoding: chunked",
            "Transfer-Encoding: identity",
            "Expect: 100-continue",
            "Expect: something",
            "Connection: close",
            "Content-Type: multipart/form-data",
            "Content-Encoding: gzip",
            "X: \x00",
            "nonsense",
        ]
    ),
    max_size=4,
)
_bodies = st.binary(max_size=50) | st.sampled_from(
    [b"5\r\nhello\r\n0\r\n\r\n", b"zz\r\n", b'{"status": "ok", "started": "2026-01-01"}', b"{" * 5000, b"\xff" * 70_000]
)


class FuzzTests(PushTestCase):
    async def test_no_request_breaks_it(self) -> None:
        """
        Each request, however malformed, is answered in HTTP or the connection closed, without an error in the log; and
        afterwards the daemon takes pushes as before.
        """
        daemon = await self.start("A")

        @settings(max_examples=150, deadline=None, database=None)
        @given(_methods, _paths, _keys, _suffixes, _queries, _headers, _bodies, st.integers(0, 3))
        def fuzz(
            method: str, path: str, key: str, suffix: str, query: str, headers: list[str], body: bytes, cuts: int
        ) -> None:
            head = "\r\n".join([f"{method} /{path}/{key}{suffix}{query} HTTP/1.1", *headers, "", ""])
            answer = talk(daemon.port, head.encode("latin-1") + body, cuts)
            if answer:
                self.assertRegex(answer, rb"\AHTTP/1\.1 (?:100|200|4\d\d|503) ")

        await deferToThread(fuzz)
        for _ in range(3):
            code, _ = await self.ping(daemon, "/fail")
            self.assertEqual(code, 200)
        for surprise in ("Traceback", "Unhandled", "nexpected error"):
            self.assertNotIn(surprise, daemon.log)
        await daemon.stop()
