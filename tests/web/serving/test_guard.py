"""Requests that are refused before they are routed."""

from __future__ import annotations

from twisted.logger import capturedLogs, formatEvent

from pypinger.web.serving.guard import MOST_LOGGED
from tests.web.test_app import HOME, AppTestCase, header


class GuardTests(AppTestCase):
    def test_other_methods(self) -> None:
        for method in ("POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "PROPFIND"):
            for path in ("/", "/nothing", "/task/http://h/a", "/healthz"):
                response = self.successResultOf(self.treq.request(method, HOME + path))
                self.assertEqual(response.code, 405, method)
                self.assertEqual(header(response, "Allow"), "GET, HEAD")
                self.assertEqual(self.text(response), "405 Method Not Allowed\n")

    def test_bodies(self) -> None:
        response = self.successResultOf(self.treq.request("GET", HOME, data=b"x"))
        self.assertEqual(response.code, 413)
        response = self.successResultOf(self.treq.request("POST", HOME, data={"a": "b"}))
        self.assertEqual(response.code, 405)

    def test_content_length_zero(self) -> None:
        for length in ("0", "000"):
            self.assertEqual(self.ask("/", Content_Length=length).code, 200)

    def test_any_host(self) -> None:
        for host in ("localhost:3002", "EXAMPLE.org", "[::1]:80", "127.0.0.1", "a_b.example.", "x" * 70 + ":1"):
            self.assertEqual(self.ask("/", Host=host).code, 200, host)

    def test_malformed_host(self) -> None:
        for host in ("", "a b", "a/b", "a@b", "ä", "a,b", "::1", "a:b", "[a", "<b>"):
            self.assertEqual(self.ask("/", Host=host).code, 400, host)

    def test_hosts(self) -> None:
        self.serve(hosts=["pinger.example.org", "::1", "[fe80::1]"])
        for host in ("pinger.example.org", "PINGER.example.org:3002", "pinger.example.org.", "[::1]:1", "[FE80::1]"):
            self.assertEqual(self.ask("/", Host=host).code, 200, host)
        for host in ("example.org", "localhost", "127.0.0.1", "xpinger.example.org", "[::2]"):
            for path in ("/", "/task/http://h/a", "/nothing"):
                response = self.ask(path, Host=host)
                self.assertEqual(response.code, 421, host)
                self.assertEqual(response.phrase, b"Misdirected Request")
                self.assertIn("see the option hosts in [web] of Py Pinger's ini file", self.text(response))

    def test_public_host_is_always_served(self) -> None:
        self.serve(hosts=["a.example"], public_url="https://Pinger.Example:8443/p", loopback=True)
        for host, code in (("a.example", 200), ("pinger.example", 200), ("localhost", 421), ("127.0.0.1", 421)):
            self.assertEqual(self.ask("/", Host=host).code, code, host)

    def test_public_url_on_the_loopback_interface(self) -> None:
        """It limits the hosts, since a page of another site could read these pages by DNS rebinding."""
        self.serve(public_url="https://pinger.example", loopback=True)
        for host in ("pinger.example", "localhost:3002", "127.0.0.1:3002", "192.0.2.7", "[::1]:3002"):
            self.assertEqual(self.ask("/", Host=host).code, 200, host)
        for host in ("evil.example", "localhost.evil.example", "1.2.3"):
            self.assertEqual(self.ask("/", Host=host).code, 421, host)
        for changed in ({"public_url": "https://pinger.example"}, {"loopback": True}):
            self.serve(**changed)  # type: ignore[arg-type]
            self.assertEqual(self.ask("/", Host="evil.example").code, 200)

    def test_probes_may_use_any_host(self) -> None:
        self.serve(hosts=["pinger.example"])
        for path in ("/healthz", "/readyz", "/status", "/metrics"):
            for host in ("10.1.2.3:3002", "evil.example"):
                self.assertEqual(self.ask(path, Host=host).code, 200, path)

    def test_each_refused_host_is_logged_once(self) -> None:
        self.serve(hosts=["pinger.example"])
        with capturedLogs() as events:
            for host in ("a.example", "b.example", "a.example", "A.example:80"):
                self.ask("/", Host=host)
        lines = [formatEvent(event) for event in events if event["log_namespace"].startswith("pypinger.")]
        self.assertEqual(
            lines,
            [f"refused a request for host {name}.example: it is not in [web] hosts" for name in "ab"],
        )
        with capturedLogs() as events:
            for number in range(2 * MOST_LOGGED):
                self.ask("/", Host=f"h{number}")
        self.assertLess(len(events), MOST_LOGGED)

    def test_hosts_change_at_a_reload(self) -> None:
        self.pages.configure(hosts=["pinger.example"], public_url="")
        self.assertEqual(self.ask("/", Host="localhost").code, 421)
        self.pages.configure(hosts=[], public_url="https://x/pinger")
        self.assertEqual(self.ask("/", Host="localhost").code, 200)
        self.assertIn('<a href="/pinger/">', self.html("/task/http://h/a"))
