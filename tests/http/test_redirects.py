"""Redirects are followed, and credentials stay at home."""

from __future__ import annotations

from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase, TestCase

from pypinger.config.settings import TokenAuth
from pypinger.domain.model import Answer
from pypinger.http.fetcher import TaskFetcher
from pypinger.http.redirects import Ask, next_ask
from pypinger.http.tls import TrustSetting
from pypinger.http.url import parse
from tests.http.faults import REPORT, answer, redirect
from tests.http.faultserver import FaultServer
from tests.http.test_faults import task

ALL = (b"301 x", b"302 x", b"303 x", b"307 x", b"308 x")


class Chains(TestCase):
    """Over real sockets, several origins."""

    def setUp(self) -> None:
        self.servers: list[FaultServer] = []

    def serve(self, script: Any) -> FaultServer:
        server = FaultServer(script)
        listening = server.listen()
        self.addCleanup(listening.stopListening)
        self.servers.append(server)
        return server

    async def fetch(self, url: str, header: str = "X-Auth-Token", **more: Any) -> Any:
        fetcher = TaskFetcher(reactor, token=TokenAuth(header=header, token="s3cret"))
        self.addCleanup(lambda: Deferred.fromCoroutine(fetcher.close()))
        return await fetcher.fetch(task(url, **more))

    async def test_every_code(self) -> None:
        """To another path of the same origin, with credentials, each of the five codes."""
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
        """Neither token nor password reach it, and they are not sent again on the way back home."""
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
        """Five are followed, six are too many."""
        for length, code in ((5, 200), (6, None)):
            server = self.serve(
                lambda asked, length=length: [
                    answer() if b"/%d " % length in asked else redirect(b"/%d" % (int(asked[5:6]) + 1)),
                ]
            )
            found = await self.fetch(f"http://127.0.0.1:{server.port}/0")
            self.assertEqual(code, getattr(found, "code", None), found)
            self.assertEqual(6, len(server.requests))

    async def test_refused_away_from_home(self) -> None:
        """A 401 of an origin that never saw the token says nothing of the token."""
        away = self.serve([answer(b"", status=b"401 x")])
        home = self.serve([redirect(b"http://127.0.0.1:%d/" % away.port)])
        found = await self.fetch(f"http://127.0.0.1:{home.port}/")
        self.assertEqual(401, found.code)
        self.assertEqual((1, 1), (len(home.requests), len(away.requests)))

    async def test_no_cookies(self) -> None:
        server = self.serve([answer(REPORT, b"Set-Cookie: a=b; Path=/")])
        fetcher = TaskFetcher(reactor)
        self.addCleanup(lambda: Deferred.fromCoroutine(fetcher.close()))
        for _ in range(2):
            await fetcher.fetch(task(f"http://127.0.0.1:{server.port}/"))
        self.assertNotIn(b"ookie", b"".join(server.requests))


class NextAsk(SynchronousTestCase):
    """What is asked next."""

    def test_credentials(self) -> None:
        trust = TrustSetting(ca_file="ca", client_cert="cert", client_key="key")
        ask = Ask(parse("https://a.example/x/y?z"), b"", b"Authorization: x\r\n", trust, "env")
        for location, url, home in (
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
            new = next_ask(ask, location)
            self.assertEqual(url, new.url.absolute)
            self.assertEqual(home, bool(new.secret), location)
            self.assertEqual(trust if home else TrustSetting(ca_file="ca"), new.trust)
            self.assertEqual("env", new.proxy)
