"""The table of verdict kinds (contract, section 2), from real sockets to the pages of a daemon."""

from __future__ import annotations

import gzip
import re
import time
from datetime import datetime
from urllib.parse import quote
from zoneinfo import ZoneInfo

import trustme
from twisted.internet import ssl
from twisted.trial.unittest import TestCase

from tests.acceptance.endpoints import (
    Endpoints,
    asleep,
    body,
    hang,
    raw,
    redirect,
    report,
    reset,
    stamp,
)
from tests.acceptance.process import Daemon, free_port, ini

#: The members that section 7 lists; those of the original Py Pinger are among them.
MEMBERS = {
    "url", "id", "name", "status", "kind", "explanation", "pings", "errors", "process", "server", "reason",
    "frequency", "lastrun", "due", "next_change", "sleep_start", "sleep_end", "checked", "since", "incident", "latency",
}  # fmt: skip

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")

CODES = {"error": 500, "ok": 200, "sleeping": 200, "": 200}
STATUSES = {"ok": "ok", "sleeping": "sleeping", "new": ""}


def self_signed() -> ssl.CertificateOptions:
    certificate = trustme.CA().issue_cert("127.0.0.1")
    pem = certificate.private_key_pem.bytes() + certificate.cert_chain_pems[0].bytes()
    return ssl.PrivateCertificate.loadPEM(pem).options()


BERLIN = "Europe/Berlin"


def ago_in_berlin(seconds: float, *, weekly: bool = False) -> str:
    """A cron expression that had a moment in Berlin so many seconds ago, every day or week."""
    then = datetime.fromtimestamp(time.time() - seconds, ZoneInfo(BERLIN))
    return f"{then:%M %H} * * {then:%w}" if weekly else f"{then:%M %H} * * *"


class VerdictTests(TestCase):
    timeout = 300

    def table(self, http: Endpoints, https: Endpoints) -> dict[str, tuple[str, str]]:
        """URL -> the expected kind, and a pattern of its explanation."""
        url = http.url
        loop = url("/round")
        http.paths["/round"] = redirect(loop)
        return {
            # No HTTP answer.
            "http://nosuch.invalid/report": ("unreachable", "nosuch.invalid"),
            f"http://127.0.0.1:{free_port()}/refused": ("unreachable", "refused"),
            url("/hang", hang): ("unreachable", "within 1.5 s"),
            url("/stalled", raw(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{", close=False)): (
                "unreachable",
                "within 1.5 s",
            ),
            url("/reset", reset): ("unreachable", "closed|reset|lost"),
            url("/silent", raw()): ("unreachable", "closed|reset|lost"),
            url("/short", raw(b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n{}")): ("unreachable", "."),
            url("/garbage", raw(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")): ("unreachable", "HTTP"),
            loop: ("unreachable", "redirect"),
            url("/redirect-to-file", redirect("file:///etc/passwd")): ("unreachable", "redirect"),
            url("/large", body(b'{"status":"ok"}' + b" " * 70_000)): ("unreachable", "65,?536"),
            url("/bomb", body(gzip.compress(b" " * 9_000_000), Content_Encoding="gzip")): ("unreachable", "65,?536"),
            url("/bad-gzip", body(b"this is no gzip", Content_Encoding="gzip")): ("unreachable", "gzip|encod|decod"),
            https.url("/unknown-ca", report()): ("unreachable", "certificate"),
            f"https://127.0.0.1:{http.port}/no-tls": ("unreachable", "TLS"),
            # An answer outside 2xx without a report.
            url("/missing"): ("unreachable", "404"),
            url("/page-500", body("<h1>Oops</h1>", 500)): ("unreachable", "500"),
            url("/odd-report-503", body('{"status": "fine"}', 503)): ("unreachable", "503"),
            # No valid report.
            url("/page", body("<h1>Hello</h1>")): ("invalid", "JSON"),
            url("/empty", body(b"")): ("invalid", "."),
            url("/list", body("[]")): ("invalid", "object"),
            url("/no-status", body('{"lastrun": "2020-01-01T00:00:00Z"}')): ("invalid", "status"),
            url("/bad-status", report(status="fine")): ("invalid", "status"),
            url("/no-lastrun", body('{"status": "ok"}')): ("invalid", "lastrun"),
            url("/bad-lastrun", body('{"status": "ok", "lastrun": "yesterday"}')): ("invalid", "lastrun"),
            url("/bad-frequency", report(frequency=0)): ("invalid", "frequency"),
            url("/rare", report(frequency=527_041)): ("invalid", "frequency"),
            url("/bad-sleep", report(sleep=[*asleep(), {"start": "25:00", "duration": 5}])): ("invalid", "sleep"),
            url("/204", body(b"", 204)): ("invalid", "."),
            # The rest of the table. If several kinds fit, the first one wins.
            url("/sleeping", report(sleep=asleep())): ("sleeping", "sleeps until"),
            url("/sleeping-and-failed", report(status="error", sleep=asleep())): ("sleeping", "sleeps until"),
            url("/sleeping-and-late", report(ago=99_999, sleep=asleep())): ("sleeping", "sleeps until"),
            url("/sleeping-and-503", report(code=503, sleep=asleep())): ("sleeping", "sleeps until"),
            url("/sleeping-all-day", report(sleep=[{"start": "00:00", "duration": 1440}])): ("sleeping", "all day"),
            url("/failed", report(status="error", reason="disk full")): ("failed", '"disk full"'),
            url("/failed-503", report(code=503, status="ERROR", reason=7)): ("failed", r'\(HTTP 503\): "7"'),
            url("/ok-with-503", report(code=503)): ("failed", "HTTP 503"),
            url("/failed-and-late", report(status="Error", ago=99_999)): ("failed", "reports an error"),
            url("/future", report(ago=-900)): ("future", "in the future by more than"),
            url("/late", report(ago=1200, frequency=10)): ("late", r"runs every 10 min, was due .* UTC; grace 1 min"),
            # Schedules, and runs that take time.
            url("/bad-schedule", report(schedule="0 3 * *")): ("invalid", "schedule"),
            url("/six-fields", report(schedule="0 0 3 * * *")): ("invalid", "schedule"),
            url("/bad-timezone", report(timezone="Mars/Base")): ("invalid", "timezone"),
            url("/bad-started", report(started="soon")): ("invalid", "started"),
            url("/bad-max-runtime", report(max_runtime=0)): ("invalid", "max_runtime"),
            url(
                "/weekly", report(ago=6 * 86_400, schedule=ago_in_berlin(6.2 * 86_400, weekly=True), timezone=BERLIN)
            ): (
                "ok",
                f"{BERLIN} every [A-Z][a-z]+day; due",
            ),
            url("/missed", report(ago=7200, schedule=ago_in_berlin(3600), timezone=BERLIN)): (
                "late",
                rf"runs at \d\d:\d\d {BERLIN} every day; was due .* {BERLIN}; grace 1 min",
            ),
            url("/still-running", report(ago=86_400, schedule=ago_in_berlin(3600), timezone=BERLIN, max_runtime=90)): (
                "ok",
                r"\(with 1 h 30 min to run\)",
            ),
            url("/running", report(ago=86_400, frequency=1440, started=stamp(time.time() - 60))): (
                "ok",
                "running since",
            ),
            url("/first-run", report(lastrun=None, started=stamp(time.time() - 60), max_runtime=5)): (
                "ok",
                "no run has ended yet; .*may take 5 min",
            ),
            url("/overrun", report(ago=86_400, frequency=1440, started=stamp(time.time() - 600), max_runtime=5)): (
                "late",
                "longer than its 5 min",
            ),
            url("/crashing", report(ago=3600, frequency=10, started=stamp(time.time() - 60))): (
                "late",
                "running only since",
            ),
            url("/started-ahead", report(started=stamp(time.time() + 3600))): ("future", "started .* in the future"),
            url("/ok", report(process="backup", server=3, frequency="5")): ("ok", "runs every 5 min"),
            url("/ok-upper", report(status="OK")): ("ok", "runs every 10 min"),
            url("/ok-in-grace", report(ago=630)): ("ok", "grace"),
            url("/ok-a-bit-ahead", report(ago=-500)): ("ok", "due"),
            url("/ok-after-redirects", redirect(url("/hop"))): ("ok", "."),
            url("/ok-bom", lambda request: request.answer(200, b"\xef\xbb\xbf" + plain_report())): ("ok", "."),
            url(
                "/ok-gzip", lambda request: request.answer(200, gzip.compress(plain_report()), Content_Encoding="gzip")
            ): (
                "ok",
                ".",
            ),
            url("/query?a=1&b=x%2Fy", report()): ("ok", "."),
            url("/flag?1", report()): ("ok", "."),
            url("/word?ok", report()): ("ok", "."),
            url("/name?status", report()): ("ok", "."),
            url("/late-too//path%2C?when=a%2Cb", report(ago=1200)): ("late", "."),
        }

    async def test_every_kind(self) -> None:
        http, https = Endpoints(self), Endpoints(self, self_signed())
        http.paths["/hop"] = report()
        table = self.table(http, https)
        slow = http.url("/new", hang)
        port = free_port()
        # Without an answer for two intervals the task would be "not seen", with another status code.
        more = f"[task {slow}]\ntimeout = 60\ninterval = 600\n[task {http.url('/late')}]\nname = Night backup\n"
        # What answers must not time out on a busy machine.
        silent = http.url("/hang"), http.url("/stalled"), http.url("/late")
        answering = [url for url in table if url.startswith((http.origin, https.origin)) and url not in silent]
        more += "timeout = 60\n" + "".join(f"[task {url}]\ntimeout = 60\n" for url in answering)
        main = "interval = 2\ntimeout = 1.5\nerror_interval = 0\nonly_log = 1"
        daemon = Daemon(self, ini(port, [*table, slow], main, more), port)
        await daemon.serves()
        # The first check of the last task in the list is near the end of an interval.
        for url in table:
            await daemon.becomes(url, kind=table[url][0])

        tasks = {task["url"]: task for task in (await daemon.get()).json()["data"]}
        self.assertEqual(list(tasks), [*table, slow])
        for url, (kind, words) in table.items():
            task = tasks[url]
            self.assertEqual((task["kind"], task["status"]), (kind, STATUSES.get(kind, "error")), task)
            self.assertRegex(task["explanation"], words)
            self.assertNotIn("\n", task["explanation"])
            await self.check_answers(daemon, url, CODES[task["status"]])
        self.check_members(tasks, http)

        new = tasks[slow]
        self.assertEqual((new["kind"], new["status"], new["pings"], new["checked"]), ("new", "", 0, None))
        await self.check_answers(daemon, slow, 200)
        self.assertEqual((await daemon.get("/readyz")).code, 503)
        for unknown in ("http://127.0.0.1/ok", "000000000000", quote(f"{http.origin}/nope", safe=""), "%ff", "x/y"):
            answer = await daemon.get(f"/task/{unknown}")
            self.assertEqual((answer.code, answer.json()), (404, {"data": {}}), unknown)
        await daemon.stop()

    async def check_answers(self, daemon: Daemon, url: str, code: int) -> None:
        """All forms of a task's URL lead to the same task."""
        task_id = (await daemon.task(url))["id"]
        scheme, _, rest = url.partition("://")
        forms = [task_id, quote(url, safe=""), url]
        if "//" not in rest:
            forms.append(f"{scheme}:/{rest}")
        for form in forms:
            answer = await daemon.get(f"/task/{form}")
            self.assertEqual(answer.code, code, form)
            self.assertEqual(answer.json()["data"]["id"], task_id, form)
            self.assertEqual(list(answer.json()), ["data"])
        page = await daemon.get(f"/task/{task_id}", headers=["Accept: text/html"])
        self.assertEqual(page.code, code)
        self.assertTrue(page.headers["content-type"].startswith("text/html"))

    def check_members(self, tasks: dict[str, dict[str, object]], http: Endpoints) -> None:
        times = "lastrun", "due", "next_change", "sleep_start", "sleep_end", "checked", "since"
        for task in tasks.values():
            self.assertGreaterEqual(task.keys(), MEMBERS)
            for name in times:
                if task[name] is not None:
                    self.assertRegex(task[name], TIME)
            if task["kind"] != "new":
                self.assertGreater(task["pings"], 0)
                self.assertEqual(task["errors"], task["pings"] if task["status"] == "error" else 0)
                self.assertGreaterEqual(task["latency"], 0)
            if task["status"] == "error":
                self.assertEqual(task["incident"]["kind"], task["kind"])
                self.assertRegex(task["incident"]["started"], TIME)
            else:
                self.assertIsNone(task["incident"])
            self.assertEqual(task["sleep_start"] is not None, task["kind"] == "sleeping")
            self.assertEqual(task["sleep_end"] is not None, task["kind"] == "sleeping" and task["due"] is not None)
        ok = tasks[http.url("/ok")]
        self.assertEqual((ok["process"], ok["server"], ok["frequency"], ok["reason"]), ("backup", "3", 5, None))
        failed = tasks[http.url("/failed")]
        self.assertEqual((failed["reason"], failed["process"]), ("disk full", None))
        self.assertEqual(tasks[http.url("/late")]["name"], "Night backup")
        self.assertIsNone(tasks[http.url("/sleeping-all-day")]["due"])
        for path in ("/page", "/reset"):
            unknown = tasks[http.url(path)]
            self.assertEqual({unknown[name] for name in ("lastrun", "due", "frequency", "next_change")}, {None})


def plain_report() -> bytes:
    return b'{"status": "ok", "lastrun": "%s"}' % time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime()).encode()
