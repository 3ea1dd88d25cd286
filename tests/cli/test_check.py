"""``pypinger check``: its output for a report, and its exit codes."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import sys
import time
from pathlib import Path

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase, TestCase
from twisted.web.resource import Resource
from twisted.web.server import Request, Site

from pypinger.cli import check
from pypinger.cli.fleet import FleetSite
from pypinger.domain import judge
from pypinger.domain.model import Check, Fault, NoAnswer, Observation, Report, Reported, Task, Verdict
from pypinger.domain.redaction import Secrets
from pypinger.domain.times import iso
from tests.acceptance.process import PYPINGER, Process
from tests.cli.test_command import pypinger


class FileTests(SynchronousTestCase):
    def write(self, body: bytes) -> str:
        path = self.mktemp()
        Path(path).write_bytes(body)
        return path

    def check(self, *arguments: str, **members: object) -> tuple[int, list[str]]:
        report = {"status": "ok", "lastrun": iso(time.time() - 5), **members}
        code, out, err = pypinger("check", self.write(json.dumps(report).encode()), *arguments)
        self.assertEqual(err, "")
        return code, out.splitlines()

    def test_ok(self) -> None:
        code, lines = self.check(process="import", server="app-1", frequency=5)
        self.assertEqual(code, 0)
        self.assertRegex(
            lines[0],
            r"\AOK - last ran .+, runs every 5 min, due .+; grace 1 min \(ran \d+ s ago\) \| age=\d+s;300;360\Z",
        )
        self.assertIn("process: import", lines)
        self.assertIn("server: app-1", lines)

    def test_a_run_under_way(self) -> None:
        started = iso(time.time() - 60)
        code, lines = self.check(lastrun=None, schedule="0 0 1 1 *", max_runtime=10, started=started)
        self.assertEqual(code, 0)
        self.assertRegex(
            lines[0], r"\AOK - .+, may take 10 min; due .+; grace 1 min \(running for 1 min\) \| age=6\ds;600;660\Z"
        )
        self.assertIn(f"started: {started}", lines)
        code, lines = self.check("--grace", "0", lastrun=None, max_runtime=0.5, started=started)
        self.assertEqual(code, 2)
        self.assertRegex(
            lines[0], r"\ACRITICAL - late: no run has ended yet; it runs .+longer than its 30 s; was due .+ \(late by"
        )

    def test_sleeping(self) -> None:
        code, lines = self.check(sleep=[{"start": "00:00", "duration": 1440}])
        self.assertEqual(code, 1)
        self.assertRegex(lines[0], r"\AWARNING - sleeping: .+ \| age=\d+s\Z")

    def test_error(self) -> None:
        code, lines = self.check(status="error", reason="disk | full\nreally")
        self.assertEqual(code, 2)
        self.assertTrue(lines[0].startswith("CRITICAL - failed: "), lines[0])
        self.assertEqual(lines[0].count("|"), 1)
        self.assertIn("reason: disk ¦ full really", lines)

    def test_grace(self) -> None:
        lastrun = iso(time.time() - 660 - 100)
        self.assertEqual(self.check(lastrun=lastrun)[0], 2)
        self.assertEqual(self.check("--grace", "500", lastrun=lastrun)[0], 0)

    def test_grace_of_the_ini_file(self) -> None:
        lastrun = iso(time.time() - 900)
        assert lastrun is not None
        ini = self.mktemp()
        Path(ini).write_text("[main]\ngrace = 500\n")
        self.assertEqual(self.check("--config", ini, lastrun=lastrun)[0], 0)

    def test_future(self) -> None:
        code, lines = self.check(lastrun=iso(time.time() + 3600))
        self.assertEqual(code, 2)
        self.assertRegex(lines[0], r"\ACRITICAL - future: .* \| age=-\d+s")

    def test_no_report(self) -> None:
        for body in (b"", b"[]", b"\xff", b"[" * 60_000, b'{"status": "ok"}'):
            code, out, _ = pypinger("check", self.write(body))
            self.assertEqual(code, 2)
            self.assertRegex(out, r"\ACRITICAL - invalid: [^|\n]+\n")
            self.assertNotIn("HTTP", out)

    def test_too_large(self) -> None:
        code, out, _ = pypinger("check", self.write(b" " * 70_000))
        self.assertEqual(code, 2)
        self.assertIn("larger than 65,536 bytes", out)

    def test_standard_input(self) -> None:
        body = json.dumps({"status": "ok", "lastrun": iso(time.time())}).encode()
        self.patch(sys, "stdin", io.TextIOWrapper(io.BytesIO(body)))
        self.assertEqual(pypinger("check", "-")[0], 0)

    def test_not_checked(self) -> None:
        report = self.write(b"{}")
        mistakes = {
            ("/nowhere/at/all",): "cannot read /nowhere/at/all: No such file or directory",
            (".",): "cannot read .: Is a directory",
            ("a\0b",): "cannot read a b: embedded null byte",
            ("ftp://example.com/",): "ftp://example.com/: the URL's scheme must be http or https",
            ("http://:secret@/",): "http://…: the URL has no host",
            (report, "--config", "/nowhere.ini"): "the ini file is not valid: /nowhere.ini: cannot read",
            (report, "--header", "X-Auth-Token"): "--header must be like",
            (report, "--header", "X: a\nb"): "--header must be like",
            (report, "--header", "Accept: text/html"): "the name in --header must not be Accept",
            (report, "--ca-file", report): "--ca-file: ",
            (report, "--timeout", "0"): "--timeout must be more than 0",
        }
        for arguments, words in mistakes.items():
            code, out, err = pypinger("check", *arguments)
            self.assertEqual((code, err), (3, ""), arguments)
            self.assertIn(f"UNKNOWN - {words}", out)
            self.assertNotIn("secret", out)


class PlanTests(SynchronousTestCase):
    """Which settings are used, in a run that stops before the network."""

    def planned(self, *arguments: str) -> Task:
        from pypinger.cli._arguments import parser

        parsed = parser().parse_args(["check", *arguments])
        settings = check._settings(parsed)
        return check._overridden(check._task(parsed.target, settings), parsed)

    def ini(self, text: str) -> str:
        path = self.mktemp()
        Path(path).write_text(text)
        return path

    def test_defaults(self) -> None:
        task = self.planned("http://user:pass@example.com/a?key=1")
        self.assertEqual((task.url, task.credentials), ("http://example.com/a?key=1", "user:pass"))
        self.assertEqual((task.label, task.timeout, task.grace), ("http://example.com/a?…", 20.0, 60.0))

    def test_a_task_of_the_ini_file(self) -> None:
        ini = self.ini("[main]\ntimeout = 7\n[task http://example.com/a]\ngrace = 300\n")
        self.assertEqual(self.planned("http://example.com/a", "--config", ini).grace, 300.0)
        other = self.planned("http://example.com/b", "--config", ini)
        self.assertEqual((other.timeout, other.grace), (7.0, 60.0))

    def test_another_task_has_all_of_main(self) -> None:
        import trustme

        directory = self.mktemp()
        os.mkdir(directory)
        ca = trustme.CA()
        client = ca.issue_cert("client")
        paths = {
            name: os.path.abspath(os.path.join(directory, name)) for name in ("ca_file", "client_cert", "client_key")
        }
        ca.cert_pem.write_to_path(paths["ca_file"])
        client.cert_chain_pems[0].write_to_path(paths["client_cert"])
        client.private_key_pem.write_to_path(paths["client_key"])
        lines = [f"{name} = {path}" for name, path in paths.items()]
        lines += ["grace = 300", "timeout = 7", "proxy = http://proxy.example.com:3128"]
        ini = self.ini("\n".join(["[main]", *lines, "[task https://example.com/a]", "grace = 1", ""]))
        task = self.planned("https://joe:pass@example.com/b?key=1", "--config", ini)
        self.assertEqual({name: getattr(task, name) for name in paths}, paths)
        self.assertEqual((task.grace, task.timeout, task.proxy), (300.0, 7.0, "http://proxy.example.com:3128"))
        self.assertEqual((task.url, task.credentials), ("https://example.com/b?key=1", "joe:pass"))

    def test_the_command_line_is_stronger(self) -> None:
        ini = self.ini("[task http://example.com/a]\ngrace = 300\ntimeout = 7\n")
        task = self.planned("http://example.com/a", "--config", ini, "--grace", "1", "--timeout", "2")
        self.assertEqual((task.timeout, task.grace), (2.0, 1.0))

    def test_ca_file(self) -> None:
        import trustme

        path = self.mktemp()
        trustme.CA().cert_pem.write_to_path(path)
        self.assertEqual(self.planned("https://example.com/", "--ca-file", path).ca_file, os.path.abspath(path))


class LinesTests(SynchronousTestCase):
    def test_latency_of_what_was_fetched(self) -> None:
        task = Task(url="http://h/", id="1", name="n", label="http://h/", timeout=7.5)
        verdict = Verdict(judge.Kind.OK, "fine")
        found = Check(1000.0, 0.0123, Reported(200, Report(ok=True, lastrun=990.0)), verdict)
        self.assertEqual(
            list(check.lines(task, found)),
            [
                "OK - fine (ran 10 s ago) | latency=0.012s;;;0;7.5 age=10s",
                "task: http://h/",
                "kind: ok",
                "last run: 1970-01-01T00:16:30.000Z",
            ],
        )

    def test_fault_of_our_own_is_unknown(self) -> None:
        class Fetcher:
            async def look_up(self, task: Task) -> None:
                raise AssertionError

            async def fetch(self, task: Task) -> Observation:
                return NoAnswer(Fault.OWN, "no file descriptors are left", 0.1)

        task = Task(url="http://h/", id="1", name="n", label="http://h/")
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            code = self.successResultOf(Deferred.fromCoroutine(check.examine(Fetcher(), task, Secrets())))
        self.assertEqual((code, out.getvalue()), (3, "UNKNOWN - no file descriptors are left\n"))


class UrlTests(TestCase):
    """As monitoring systems run it: in a process, against a real server."""

    def setUp(self) -> None:
        self.asked: Deferred[None] = Deferred()
        times = iter(range(1_000))

        def now() -> float:
            # The fleet reads the clock once when it is made, and once per request.
            if next(times) == 1:
                self.asked.callback(None)
            return time.time()

        port = reactor.listenTCP(0, FleetSite(now), interface="127.0.0.1")  # type: ignore[attr-defined]
        self.addCleanup(port.stopListening)
        self.base = f"http://127.0.0.1:{port.getHost().port}"

    async def check(self, *arguments: str) -> tuple[int, str]:
        process = Process(self, *PYPINGER, "check", *arguments, forked=True)
        code = await process.end()
        self.assertEqual(process.err, b"")
        return code, process.out.decode()

    async def test_ok(self) -> None:
        code, out = await self.check(f"{self.base}/healthy?key=marked", "--header", "X-Auth-Token: marked")
        self.assertEqual(code, 0, out)
        self.assertRegex(out, r"\AOK - [^\n|]+ \| latency=\d+\.\d{3}s;;;0;20 age=\d+s;60;120\n")
        self.assertNotIn("marked", out)

    async def test_time_limit(self) -> None:
        code, out = await self.check(f"{self.base}/hanging", "--timeout", "0.3")
        self.assertEqual(code, 2)
        self.assertRegex(out, r"\ACRITICAL - unreachable: [^\n|]+ \| latency=\d+\.\d{3}s;;;0;0\.3\n")

    async def test_secrets_that_the_endpoint_says_back(self) -> None:
        class Echo(Resource):
            isLeaf = True

            def render_GET(self, request: Request) -> bytes:
                said = [
                    request.uri,
                    *(value for _, values in request.requestHeaders.getAllRawHeaders() for value in values),
                ]
                reason = b" ".join(said).decode("latin-1")
                return json.dumps({"status": "error", "lastrun": iso(time.time()), "reason": reason}).encode()

            def render_POST(self, request: Request) -> bytes:
                return b'{"auth_token": "marked-token"}'

        port = reactor.listenTCP(0, Site(Echo()), interface="127.0.0.1")  # type: ignore[attr-defined]
        self.addCleanup(port.stopListening)
        place = f"127.0.0.1:{port.getHost().port}"
        ini = os.path.abspath(self.mktemp())
        login = f"url = http://{place}/login\nusername = me\npassword = marked-password\nheader = X-Token\n"
        Path(ini).write_text(f"[token_auth]\n{login}")
        code, out = await self.check(f"http://joe:marked-user@{place}/?key=marked-query", "--config", ini)
        self.assertEqual(code, 2, out)
        self.assertEqual(out.count("reason: "), 1)
        self.assertIn("Basic ***", out)
        self.assertNotIn("marked", out)

    async def test_interrupted(self) -> None:
        words = "check", f"{self.base}/stopping-short", "--timeout", "60"
        process = Process(self, *PYPINGER, *words, forked=True)
        await self.asked
        process.signal("INT")
        self.assertIn(await process.end(), (-signal.SIGINT, 130))
        self.assertEqual((process.out, process.err), (b"", b""))

    async def test_connection_refused(self) -> None:
        code, out = await self.check("http://127.0.0.1:1/")
        self.assertEqual(code, 2)
        self.assertIn("unreachable", out)
