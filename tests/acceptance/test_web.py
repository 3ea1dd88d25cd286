"""The web server seen by clients (contract, section 7). test_verdicts.py covers the pages of tasks."""

from __future__ import annotations

from twisted.trial.unittest import TestCase

from tests.acceptance.endpoints import Endpoints, Request, hang, report
from tests.acceptance.process import Daemon, free_port, ini

HTML = ["Accept: text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"]


class WebTests(TestCase):
    timeout = 300

    async def test_readiness(self) -> None:
        tasks = Endpoints(self)
        first = tasks.url("/first", report())
        last = tasks.url("/last", hang)
        port = free_port()
        more = f"[task {last}]\ntimeout = 60\ninterval = 600\n"
        daemon = Daemon(self, ini(port, [first, last], "interval = 1\nonly_log = yes", more), port)
        await daemon.becomes(first, kind="ok")
        self.assertEqual((await daemon.get("/healthz")).code, 200)
        self.assertEqual((await daemon.get("/readyz")).code, 503)
        task = await daemon.task(last)
        self.assertEqual([task[name] for name in ("status", "kind", "pings", "errors")], ["", "new", 0, 0])
        self.assertEqual((await daemon.get(f"/task/{last}")).code, 200)

        held: list[Request] = [request for request in tasks.requests if request.path == "/last"]
        tasks.url("/last", report())
        for request in held:
            report()(request)
        await daemon.is_ready()
        own = (await daemon.get("/status")).json()
        self.assertEqual(own["status"], "ok")
        self.assertGreaterEqual(own["frequency"], 1)
        overview = (await daemon.get()).json()
        self.assertGreaterEqual(
            overview["self"].keys(), {"status", "explanation", "started", "blind", "undelivered", "dead"}
        )
        self.assertIsNone(overview["self"]["blind"])
        await self.check_protocol(daemon, first)
        await daemon.stop()

    async def check_protocol(self, daemon: Daemon, url: str) -> None:
        task_id = (await daemon.task(url))["id"]
        for target in ("/", f"/task/{task_id}", "/task/nosuch", "/healthz", "/readyz", "/status", "/nosuch", "/%ff"):
            for headers in (HTML, ["Accept: application/json"], []):
                answer = await daemon.get(target, headers=headers)
                self.assertNotIn("location", answer.headers)
                self.assertEqual(answer.headers["x-content-type-options"], "nosniff")
                self.assertEqual(answer.headers["referrer-policy"], "no-referrer")
                policy = answer.headers["content-security-policy"]
                self.assertNotIn("unsafe", policy)
                self.assertIn("default-src", policy)
                self.assertEqual(answer.code, 404 if target in ("/task/nosuch", "/nosuch", "/%ff") else 200, target)
                html = headers is HTML and target not in ("/healthz", "/readyz", "/status")
                self.assertEqual(answer.headers["content-type"].startswith("text/html"), html, (target, headers))
                if target in ("/", f"/task/{task_id}"):
                    self.assertIn("Accept", answer.headers["vary"])
            head = await daemon.get(target, method="HEAD")
            self.assertEqual(head.body, b"")
        for method in ("POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "NONSENSE"):
            answer = await daemon.get("/", method=method)
            self.assertEqual(answer.code, 405, method)
            self.assertIn("content-security-policy", answer.headers)
        self.assertIn((await daemon.get("/", body=b"x=1")).code, (400, 411, 413))
        for target in (
            f"/task//{task_id}",
            "//evil.example.com/",
            "/task//evil.example.com/x",
            "/./",
            "/../etc/passwd",
        ):
            answer = await daemon.get(target, host="evil.example.com")
            self.assertNotIn("location", answer.headers)
            self.assertIn(answer.code, (400, 404), target)
        page = (await daemon.get(headers=HTML)).body.decode()
        self.assertIn(f"task/{task_id}", page)
        self.assertNotIn("<script>", page)
        self.assertNotIn(" style=", page)

    async def test_hosts(self) -> None:
        tasks = Endpoints(self)
        port = free_port()
        web = "hosts = pinger.example.com, localhost"
        daemon = Daemon(self, ini(port, [tasks.url("/task", report())], "only_log = 1", web=web), port)
        await daemon.is_ready()
        for host, code in (("localhost", 200), (f"LOCALHOST:{port}", 200), ("pinger.example.com", 200)):
            self.assertEqual((await daemon.get(host=host)).code, code, host)
        for host in ("evil.example.com", "127.0.0.1", "pinger.example.com.evil.example.com", "", "a b"):
            for target in ("/", "/task/x"):
                answer = await daemon.get(target, host=host)
                self.assertTrue(400 <= answer.code < 500, (host, answer.code))
                self.assertNotIn(b"task", answer.body)
        for target in ("/healthz", "/readyz", "/status", "/metrics"):
            self.assertEqual((await daemon.get(target, host="127.0.0.1")).code, 200, target)
        self.assertEqual(daemon.log.count("evil.example.com: it is not in [web] hosts"), 2)
        await daemon.stop()
