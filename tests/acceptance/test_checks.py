"""Checks stay on time: deadlines, the shared token, hostile bodies (contract, sections 1 to 3)."""

from __future__ import annotations

import gzip
import json
from datetime import datetime

from twisted.internet.task import LoopingCall
from twisted.trial.unittest import TestCase

from tests.acceptance.channels import SlackWebApi
from tests.acceptance.endpoints import Endpoints, Request, body, members, report, stamp
from tests.acceptance.process import Daemon, ask, free_port, ini, pause, until
from tests.stopwatch import Stopwatch


def instant(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


class DeadlineTests(TestCase):
    timeout = 300

    async def test_late_within_a_second(self) -> None:
        tasks, slack = Endpoints(self), SlackWebApi(self)
        first: list[float] = []

        def behave(request: Request) -> None:
            """The last run is the first request, so that a slow start costs no time."""
            first.append(request.at)
            request.answer(200, json.dumps({"status": "ok", "lastrun": stamp(first[0]), "frequency": 0.1}))

        late = tasks.url("/late", behave)
        port = free_port()
        main = "interval = 3600\ngrace = 1\ngroup_wait = 0"
        daemon = Daemon(self, ini(port, [late], main, slack.section()), port)
        await daemon.is_ready()
        lastrun = first[0]
        ends = lastrun + 6 + 1
        task = await daemon.task(late)
        self.assertEqual(task["kind"], "ok")
        self.assertAlmostEqual(instant(task["due"]), lastrun + 6, 2)
        self.assertAlmostEqual(instant(task["next_change"]), ends, 2)
        stopwatch = Stopwatch(daemon.pid)
        task = await daemon.becomes(late, kind="late")
        self.assertEqual(task["pings"], 2)
        self.assertGreater(instant(task["checked"]), ends)
        self.assertLess(instant(task["checked"]) - ends - stopwatch.starved(), 1, task)
        self.assertEqual(task["incident"]["started"], task["checked"])
        await until(lambda: slack.events("/late") == ["problem"])
        self.assertLess(slack.requests[-1].at - ends - stopwatch.starved(), 2)
        await daemon.stop()

    async def test_two_daemons_watch_each_other(self) -> None:
        ports = free_port(), free_port()
        urls = [f"http://127.0.0.1:{port}/status" for port in ports]
        one, two = (
            Daemon(self, ini(port, [other], "interval = 1"), port)
            for port, other in zip(ports, reversed(urls), strict=True)
        )
        for daemon, other in ((one, urls[1]), (two, urls[0])):
            task = await daemon.becomes(other, kind="ok")
            self.assertGreaterEqual(task["frequency"], 1)
            self.assertEqual(task["process"], "Py Pinger")
        await two.stop()
        await one.becomes(urls[1], kind="unreachable")
        own = (await ask(ports[0], "/status")).json()
        self.assertEqual(own["status"], "ok")
        await one.stop()


class TokenTests(TestCase):
    timeout = 300

    async def test_one_login_for_all(self) -> None:
        tasks, login = Endpoints(self), Endpoints(self)
        valid = "token-1"
        given = ["token-1", "token-2", "token-3"]
        login.paths["/login"] = lambda request: request.answer(200, json.dumps({"auth_token": given.pop(0)}))

        def guarded(request: Request) -> None:
            if request.headers.get("x-auth-token") == valid:
                report()(request)
            else:
                request.answer(401, "no")

        urls = [tasks.url(f"/{number}", guarded) for number in range(30)]
        free = tasks.url("/free", report())
        more = (
            f"[token_auth]\nurl = {login.url('/login')}\nusername = me@example.com\npassword = Pa55-w0rd\n"
            f"header = X-Auth-Token\n[task {free}]\ntoken_auth = no\n"
        )
        port = free_port()
        daemon = Daemon(self, ini(port, [*urls, free], "interval = 1\nonly_log = 1\ndebug = 1", more), port)
        await daemon.is_ready()
        self.assertEqual({task["kind"] for task in (await daemon.get()).json()["data"]}, {"ok"})
        self.assertEqual(len(login.requests), 1)
        self.assertEqual(json.loads(login.requests[0].body), {"email": "me@example.com", "password": "Pa55-w0rd"})
        self.assertNotIn("x-auth-token", tasks.asked("/free")[0].headers)

        valid = "token-2"
        seen = len(tasks.requests)
        await until(lambda: len(tasks.requests) > seen + 65)
        self.assertEqual(len(login.requests), 2)
        data = (await daemon.get()).json()["data"]
        self.assertEqual({task["kind"] for task in data}, {"ok"})
        self.assertEqual(sum(task["errors"] for task in data), 0)

        # The new token is refused too: the refusal is judged, without another login.
        valid = "none at all"
        await daemon.becomes(urls[-1], kind="unreachable")
        seen = len(tasks.requests)
        await until(lambda: len(tasks.requests) > seen + 65)
        self.assertEqual(len(login.requests), 3)
        task = await daemon.becomes(urls[0], kind="unreachable")
        self.assertIn("401", task["explanation"])
        await daemon.stop()
        for secret in ("Pa55-w0rd", "token-1", "token-2", "token-3"):
            self.assertNotIn(secret, daemon.log)

    async def test_failing_login(self) -> None:
        tasks, login = Endpoints(self), Endpoints(self)
        url = tasks.url("/task", report())
        login.paths["/login"] = body('{"error": "wrong password"}', 403)
        more = f"[token_auth]\nurl = {login.url('/login')}\nusername = me\npassword = Pa55-w0rd\n"
        port = free_port()
        daemon = Daemon(self, ini(port, [url], "interval = 1\nonly_log = 1", more), port)
        task = await daemon.becomes(url, kind="unreachable")
        self.assertRegex(task["explanation"], "no token: .*403")
        self.assertEqual(tasks.requests, [])
        await daemon.stop()


def endless(request: Request) -> None:
    """A body that never ends, sent as fast as it is read."""
    request.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    piece = b"10000\r\n" + b" " * 65_536 + b"\r\n"
    _while_open(request, piece, 0.01)


def header_flood(request: Request) -> None:
    request.write(b"HTTP/1.1 200 OK\r\n")
    _while_open(request, b"X-Flood: " + b"x" * 4_000 + b"\r\n", 0.01)


def trickle(request: Request) -> None:
    request.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n")
    _while_open(request, b" ", 0.1)


def _while_open(request: Request, piece: bytes, every: float) -> None:
    def write() -> None:
        if request.connection not in request.connection.factory.connections:
            writing.stop()
        else:
            request.write(piece)

    writing = LoopingCall(write)
    writing.start(every)


def member(json_text: str) -> bytes:
    """A valid report with one more member, given as JSON text."""
    valid = json.dumps(members(status="error"))
    return f"{valid[:-1]}, {json_text}}}".encode("utf-8", "surrogatepass")


HOSTILE = {
    "/nested": body(member('"x": ' + "[" * 30_000 + "]" * 30_000)),
    "/nested-only": body("[" * 60_000),
    "/nested-reason": body(member('"reason": ' + '{"a":' * 9_000 + "1" + "}" * 9_000)),
    "/nan": body(member('"frequency": NaN')),
    "/infinite": body(member('"frequency": 1e999')),
    "/minus": body(member('"frequency": -Infinity')),
    "/digits": body(member('"frequency": ' + "9" * 60_000)),
    "/digits-reason": body(member('"reason": ' + "9" * 60_000)),
    "/surrogates": body(member(r'"reason": "\ud800", "process": "\udfff", "server": "\ud83d"')),
    "/raw-surrogates": body(member('"reason": "\ud800"')),
    "/utf-16": body(json.dumps(members()).encode("utf-16")),
    "/nul": body(member(r'"reason": "\u0000\u001b[31m\r\n\u202e", "server": "\u0000"')),
    "/early": body('{"status": "ok", "lastrun": "0001-01-01T00:00:00+23:59"}'),
    "/last": body('{"status": "ok", "lastrun": "9999-12-31T23:59:59-23:59"}'),
    "/windows": body(member('"sleep": [' + ",".join(['{"start": "00:00", "duration": 0.001}'] * 1_500) + "]")),
    "/html": body(member('"reason": "<script>alert(1)</script>", "process": "\\"><img src=x onerror=alert(1)>"')),
    "/bomb": body(gzip.compress(b" " * 50_000_000), Content_Encoding="gzip"),
    "/bombs": body(gzip.compress(gzip.compress(b" " * 50_000_000)), Content_Encoding="gzip, gzip"),
    "/encodings": body(b"x", Content_Encoding=", ".join(["gzip"] * 500)),
    "/endless": endless,
    "/header-flood": header_flood,
    "/trickle": trickle,
}


class HostileTests(TestCase):
    timeout = 300

    async def test_healthy_task_among_hostile_ones(self) -> None:
        tasks = Endpoints(self)
        tasks.paths.update(HOSTILE)
        hostile = [tasks.url(path) for path in HOSTILE]
        healthy = tasks.url("/healthy", report(server="well"))
        port = free_port()
        main = "interval = 1\ntimeout = 2\nonly_log = 1\nerror_interval = 0"
        # It may be late on a busy machine, but must not time out.
        more = f"[task {healthy}]\ntimeout = 60\n"
        daemon = Daemon(self, ini(port, [*hostile, healthy], main, more), port)
        await daemon.is_ready()
        seen = len(tasks.asked("/healthy"))
        stopwatch = Stopwatch(daemon.pid)
        slowest = 0.0
        while len(tasks.asked("/healthy")) < seen + 4:
            asking = Stopwatch(daemon.pid)
            self.assertEqual((await daemon.get("/healthz")).code, 200)
            slowest = max(slowest, asking.seconds())
            await pause(0.1)
            self.assertLess(stopwatch.seconds(), 20, "the healthy task is delayed")
        self.assertLess(slowest, 2)
        for url in hostile:
            task = await daemon.task(url)
            if url.endswith("/windows"):
                self.assertIn(task["kind"], ("failed", "sleeping"))
            else:
                self.assertEqual(task["status"], "error", task)
            self.assertLess(len(task["explanation"]), 1_000)
            page = await daemon.get(f"/task/{task['id']}", headers=["Accept: text/html"])
            self.assertEqual(page.code, 200 if task["status"] == "sleeping" else 500)
            self.assertNotIn(b"<script>alert", page.body)
            self.assertNotIn(b"<img src=x", page.body)
        overview = await daemon.get(headers=["Accept: text/html"])
        self.assertEqual(overview.code, 200)
        overview.body.decode()
        self.assertNotIn(b"<script>alert", overview.body)
        task = await daemon.task(healthy)
        self.assertEqual((task["kind"], task["errors"]), ("ok", 0))
        await daemon.stop()
        for line in daemon.log.splitlines():
            self.assertTrue(line.isprintable(), line)
            self.assertLess(len(line), 2_000)
