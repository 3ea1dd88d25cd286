"""Redirects are followed, and credentials stay at their origin."""

from __future__ import annotations

from typing import Any

from OpenSSL import SSL
from twisted.internet import reactor
from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase, TestCase
from twisted.web.http_headers import Headers

from pypinger.config.settings import TokenAuth
from pypinger.domain.model import Answer
from pypinger.http.agents.redirects import Redirects
from pypinger.http.fetcher import TaskFetcher
from pypinger.http.wire.response import Request, Response
from tests.http.faults import REPORT, answer, redirect
from tests.http.faultserver import FaultServer
from tests.http.test_faults import task
from tests.http.test_tls import CA, GOOD, Server

ALL = (b"301 x", b"302 x", b"303 x", b"307 x", b"308 x")


class Chains(TestCase):
    """Over real sockets, several origins."""

    def setUp(self) -> None:
        self.servers: list[FaultServer] = []

    def serve(self, script: Any, context: Any = None) -> FaultServer:
        server = FaultServer(script)
        listening = server.listen(context)
        self.addCleanup(listening.stopListening)
        self.servers.append(server)
        return server

    async def fetch(self, url: str, header: str = "X-Auth-Token", **more: Any) -> Any:
        fetcher = TaskFetcher(reactor, token=TokenAuth(header=header, token="s3cret"))
        self.addCleanup(lambda: Deferred.fromCoroutine(fetcher.close()))
        return await fetcher.fetch(task(url, **more))

    async def test_every_code(self) -> None:
        """Each of the five codes leads to another path of the same origin, with credentials."""
        for status in ALL:
            server = self.serve(
                lambda asked, status=status: [answer() if b"/new" in asked else redirect(b"/new", status)]
            )
            found = await self.fetch(f"http://127.0.0.1:{server.port}/old?x=1", credentials="user:password")
            self.assertEqual((200, REPORT), (found.code, found.body))
            self.assertTrue(server.requests[1].startswith(b"GET /new HTTP/1.1\r\n"))
            for asked in server.requests:
                self.assertIn(b"X-Auth-Token: s3cret\r\n", asked)
                self.assertIn(b"Authorization: Basic dXNlcjpwYXNzd29yZA==\r\n", asked)
            self.assertEqual(1, server.connections)

    async def test_another_origin(self) -> None:
        """Another origin gets neither token nor password, and the first gets none on the way back."""
        away = self.serve(lambda asked: [redirect(b"http://127.0.0.1:%d/back" % home.port)])
        home = self.serve(
            lambda asked: [
                answer() if b"/back" in asked else redirect(b"http://u:p@127.0.0.1:%d/away" % away.port),
            ]
        )
        for header in ("X-Auth-Token", "Authorization", "Cookie"):
            home.requests.clear()
            away.requests.clear()
            more = {} if header == "Authorization" else {"credentials": "user:password"}
            found = await self.fetch(f"http://127.0.0.1:{home.port}/", header, **more)
            self.assertEqual(Answer, type(found), found)
            first, back = home.requests
            self.assertIn(f"{header}: s3cret\r\n".encode(), first)
            for asked in (*away.requests, back):
                self.assertNotIn(b"s3cret", asked)
                self.assertNotIn(b"Authorization", asked)
                self.assertNotIn(b"Cookie", asked)

    async def test_another_name_of_the_same_host(self) -> None:
        server = self.serve(
            lambda asked: [
                answer() if b"/new" in asked else redirect(b"http://localhost:PORT/new"),
            ]
        )
        found = await self.fetch(f"http://127.0.0.1:{server.port}/")
        self.assertEqual(Answer, type(found), found)
        self.assertNotIn(b"s3cret", server.requests[1])

    async def test_five(self) -> None:
        """Five redirects are followed, six are too many."""
        for length, code in ((5, 200), (6, None)):
            server = self.serve(
                lambda asked, length=length: [
                    answer() if b"/%d " % length in asked else redirect(b"/%d" % (int(asked[5:6]) + 1)),
                ]
            )
            found = await self.fetch(f"http://127.0.0.1:{server.port}/0")
            self.assertEqual(code, getattr(found, "code", None), found)
            self.assertEqual(6, len(server.requests))

    async def test_cookie(self) -> None:
        """A loop that a cookie would end is explained."""
        server = self.serve([answer(b"", b"Location: /", b"Set-Cookie: a=hunter2", status=b"302 x")])
        found = await self.fetch(f"http://127.0.0.1:{server.port}/")
        self.assertEqual(
            "too many redirects (more than 5); the server sets a cookie and may need it back, "
            "but Py Pinger keeps no cookies",
            found.words,
        )

    async def test_refused_away_from_home(self) -> None:
        """A 401 from an origin without the token does not renew the token."""
        away = self.serve([answer(b"", status=b"401 x")])
        home = self.serve([redirect(b"http://127.0.0.1:%d/" % away.port)])
        found = await self.fetch(f"http://127.0.0.1:{home.port}/")
        self.assertEqual(401, found.code)
        self.assertEqual((1, 1), (len(home.requests), len(away.requests)))

    async def test_client_certificate(self) -> None:
        """The client certificate is shown to the task's origin only."""
        both, ca_file = self.mktemp(), self.mktemp()
        CA.issue_cert("client@example.org").private_key_and_cert_chain_pem.write_to_path(both)
        CA.cert_pem.write_to_path(ca_file)
        shown: list[str] = []

        def asking(name: str) -> Server:
            context = Server(GOOD)
            CA.configure_trust(context.context)
            context.context.set_verify(SSL.VERIFY_PEER, lambda *_: shown.append(name) or True)
            return context

        away = self.serve([answer()], asking("away"))
        home = self.serve([redirect(b"https://127.0.0.1:%d/" % away.port)], asking("home"))
        found = await self.fetch(f"https://localhost:{home.port}/", ca_file=ca_file, client_cert=both)
        self.assertEqual(REPORT, getattr(found, "body", None), found)
        self.assertEqual({"home"}, set(shown))

    async def test_no_cookies(self) -> None:
        server = self.serve([answer(REPORT, b"Set-Cookie: a=b; Path=/")])
        fetcher = TaskFetcher(reactor)
        self.addCleanup(lambda: Deferred.fromCoroutine(fetcher.close()))
        for _ in range(2):
            await fetcher.fetch(task(f"http://127.0.0.1:{server.port}/"))
        self.assertNotIn(b"ookie", b"".join(server.requests))


class Recorder:
    """An agent that answers a redirect once, then 200, and records what it is asked."""

    def __init__(self, location: bytes = b"") -> None:
        self.location = location
        self.asked: list[tuple[bytes, Headers]] = []

    def request(self, method: bytes, uri: bytes, headers: Headers, bodyProducer: object = None) -> Deferred[Response]:
        self.asked.append((uri, headers))
        moved = bool(self.location)
        lines = [(b"Location", self.location)] if moved else []
        self.location = b""
        request = Request(method, uri, headers, "", "")
        return succeed(Response(request, (b"HTTP", 1, 1), 302 if moved else 200, b"", lines, b""))


class NextRequest(SynchronousTestCase):
    """Which agent is asked next, with which headers."""

    def test_credentials(self) -> None:
        for location, url, at_home in (
            (b"v", b"https://a.example/x/v", True),
            (b"?q", b"https://a.example/x/y?q", True),
            (b"//a.example/v#f", b"https://a.example/v", True),
            (b"https://a.example:443/", b"https://a.example/", True),
            (b"HTTPS://A.EXAMPLE/v w", b"https://a.example/v%20w", True),
            (b"https://a.example:444/", b"https://a.example:444/", False),
            (b"http://a.example/", b"http://a.example/", False),
            (b"http://a.example:443/", b"http://a.example:443/", False),
            (b"//b.a.example/", b"https://b.a.example/", False),
            ("https://b\u00fccher.example/\u00fc".encode(), b"https://xn--bcher-kva.example/%C3%BC", False),
        ):
            home, away = Recorder(location), Recorder()
            headers = Headers({b"Authorization": [b"x"], b"Cookie": [b"y"], b"Accept": [b"z"]})
            running = Redirects(home, away, 5).request(b"GET", b"https://a.example/x/y?z", headers)
            response = self.successResultOf(running)
            self.assertEqual((200, 302), (response.code, response.previousResponse.code))
            asked = home.asked[1:] + away.asked
            self.assertEqual([url], [uri for uri, _ in asked], location)
            self.assertEqual(2 if at_home else 1, len(home.asked), location)
            sent = asked[0][1]
            self.assertEqual(at_home, sent.hasHeader(b"authorization"), location)
            self.assertEqual(at_home, sent.hasHeader(b"cookie"), location)
            self.assertTrue(sent.hasHeader(b"accept"))

    def test_other_methods(self) -> None:
        """A redirect of a POST is not followed."""
        home, away = Recorder(b"/x"), Recorder()
        running = Redirects(home, away, 5).request(b"POST", b"https://a.example/", Headers())
        self.assertEqual(302, self.successResultOf(running).code)
        self.assertEqual((1, 0), (len(home.asked), len(away.asked)))
