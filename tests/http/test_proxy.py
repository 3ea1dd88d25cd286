"""Proxies: plain HTTP, tunnels for https, and where credentials are sent."""

from __future__ import annotations

import os
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase, TestCase

from pypinger.config.settings import TokenAuth
from pypinger.domain.model import Fault, Task
from pypinger.domain.url import parse
from pypinger.http.fetcher import TaskFetcher
from pypinger.http.wire.errors import ExchangeFailed
from pypinger.http.wire.proxy import bypasses, proxy_for, tunnel_proxy
from tests.http.faults import REPORT, SHORT, answer, redirect
from tests.http.faultserver import CLOSE, FaultServer, Trickle
from tests.http.memory import Bench
from tests.http.test_faults import task
from tests.http.test_tls import CA, GOOD, OTHER_CA, Server
from tests.http.tunnelserver import TunnelServer

SECRET = "http://us:hunter2@127.0.0.1:{}"
LINE = b"Proxy-Authorization: Basic dXM6aHVudGVyMg==\r\n"


class Proxies(TestCase):
    """Over real sockets."""

    def setUp(self) -> None:
        self.fetcher = TaskFetcher(reactor, token=TokenAuth(header="X-Token", token="t0ken"))
        self.addCleanup(lambda: Deferred.fromCoroutine(self.fetcher.close()))
        self.ca_file = self.mktemp()
        CA.cert_pem.write_to_path(self.ca_file)

    def serve(self, script: Any, context: Any = None) -> FaultServer:
        server = FaultServer(script)
        listening = server.listen(context)
        self.addCleanup(listening.stopListening)
        return server

    def tunnels(self) -> TunnelServer:
        proxy = TunnelServer()
        self.addCleanup(proxy.listen().stopListening)
        return proxy

    async def test_plain(self) -> None:
        """The proxy gets the whole URL, its own credentials and the task's."""
        proxy = self.serve([answer()])
        more = {"credentials": "a:b", "proxy": SECRET.format(proxy.port)}
        found = await self.fetcher.fetch(task("http://origin.example:81/x?y", **more))
        self.assertEqual(REPORT, found.body)
        (asked,) = proxy.requests
        self.assertTrue(asked.startswith(b"GET http://origin.example:81/x?y HTTP/1.1\r\nHost: origin.example:81\r\n"))
        self.assertIn(LINE, asked)
        self.assertIn(b"Authorization: Basic YTpi\r\n", asked)

    async def test_tunnel(self) -> None:
        """The proxy gets the origin's name only, the origin nothing about the proxy; the tunnel is kept."""
        context = Server(GOOD)
        origin = self.serve([answer()], context)
        proxy = self.tunnels()
        asked = task(f"https://localhost:{origin.port}/", ca_file=self.ca_file, proxy=SECRET.format(proxy.port))
        for _ in range(2):
            found = await self.fetcher.fetch(asked)
            self.assertEqual(REPORT, getattr(found, "body", None), found)
        (request,) = proxy.requests
        self.assertTrue(request.startswith(b"CONNECT localhost:%d HTTP/1.1\r\n" % origin.port))
        self.assertIn(LINE, request)
        self.assertNotIn(b"t0ken", request)
        self.assertEqual([b"localhost"], context.names)
        for request in origin.requests:
            self.assertNotIn(b"Proxy", request)
            self.assertIn(b"X-Token: t0ken", request)

    async def test_verified_through_a_tunnel(self) -> None:
        origin = self.serve([answer()], Server(OTHER_CA.issue_cert("localhost")))
        proxy = self.tunnels()
        url = f"https://localhost:{origin.port}/"
        found = await self.fetcher.fetch(task(url, ca_file=self.ca_file, proxy=f"http://127.0.0.1:{proxy.port}"))
        self.assertEqual((Fault.TLS, True), (found.fault, "unknown authority" in found.words))
        await origin.all_closed()

    async def test_no_connection_shared(self) -> None:
        """Requests with and without the proxy do not share connections."""
        origin = self.serve([answer()])
        proxy = self.serve([answer(b"{}")])
        url = f"http://127.0.0.1:{origin.port}/"
        for setting, body in ((None, REPORT), (f"http://127.0.0.1:{proxy.port}", b"{}"), (None, REPORT)):
            self.assertEqual(body, (await self.fetcher.fetch(task(url, proxy=setting))).body)
        self.assertEqual((1, 1), (origin.connections, proxy.connections))

    async def test_redirect(self) -> None:
        """A redirect to another origin goes through the proxy, without the token."""
        proxy = self.serve(lambda asked: [answer() if b"b.example" in asked else redirect(b"http://b.example/")])
        found = await self.fetcher.fetch(task("http://a.example/", proxy=SECRET.format(proxy.port)))
        self.assertEqual(REPORT, found.body)
        self.assertEqual([True, True], [LINE in asked for asked in proxy.requests])
        self.assertEqual([True, False], [b"t0ken" in asked for asked in proxy.requests])

    async def test_faults(self) -> None:
        for url, script, fault, words in (
            (
                "http://a.example/",
                [answer(b"", status=b"407 x")],
                Fault.CONNECT,
                "does not accept our credentials (407)",
            ),
            ("https://a.example/", [answer(b"", status=b"407 x")], Fault.CONNECT, "not accept our credentials (407)"),
            ("https://a.example/", [answer(b"", status=b"403 x")], Fault.CONNECT, "refused to open a tunnel (403)"),
            ("https://a.example/", [b"hello\r\n\r\n"], Fault.BROKEN, "did not answer in HTTP"),
            ("https://a.example/", [b"HTTP/1.1 200 OK\r\n\r\nhello"], Fault.BROKEN, "before the tunnel was used"),
            ("https://a.example/", [b"x" * 20_000], Fault.TOO_LARGE, "headers larger than 16,384 bytes"),
            ("https://a.example/", [b"HTTP/1.1 200 OK\r\n", CLOSE], Fault.CONNECT, "closed the connection without"),
            ("https://a.example/", [Trickle(b"HTTP/1.1 200 OK\r\n")], Fault.TIMEOUT, "still waiting for the proxy"),
            (
                "https://a.example/",
                [b"HTTP/1.1 100 x\r\n\r\nHTTP/1.1 103 x\r\n\r\nHTTP/1.1 500 x\r\n\r\n"],
                Fault.CONNECT,
                "tunnel (500)",
            ),
            ("https://a.example/", [b"HTTP/1.1 100 x\r\n\r\n"], Fault.TIMEOUT, "still waiting for the proxy 127.0.0.1"),
            ("https://a.example/", [b"HTTP/1.1 200 OK\r\n\r\n"], Fault.TIMEOUT, "TLS handshake with a.example:443"),
        ):
            proxy = self.serve(script)
            timeout = SHORT if fault is Fault.TIMEOUT else 60.0
            found = await self.fetcher.fetch(task(url, proxy=SECRET.format(proxy.port), timeout=timeout))
            self.assertEqual(
                (fault, True), (getattr(found, "fault", None), words in getattr(found, "words", "")), found
            )
            self.assertNotIn("hunter2", found.words)
            if url.startswith("https"):
                await proxy.all_closed()
                self.assertEqual(0, len(self.fetcher.network.pool) - self.fetcher.network.pool.idle)

    async def test_refused(self) -> None:
        found = await self.fetcher.fetch(task("http://a.example/", proxy="http://127.0.0.1:1"))
        self.assertEqual((Fault.REFUSED, "connection refused by the proxy 127.0.0.1:1"), (found.fault, found.words))


class InMemory(SynchronousTestCase):
    """Cases that real sockets cannot produce."""

    def test_tunnel_lost(self) -> None:
        """A tunnel that is lost in the handshake, and one that is cancelled."""
        bench = Bench()
        asked = Task(url="https://a.example/", id="", name="", label="", timeout=9.0, proxy="http://10.0.0.1:3128")
        running = bench.fetch(asked)
        wire = bench.connect()
        wire.arrives(b"HTTP/1.1 200 OK\r\n\r\n")
        wire.ends()
        self.assertEqual(Fault.TLS, self.successResultOf(running).fault)
        running = bench.fetch(asked)
        wire = bench.connect()
        running.cancel()
        running.addErrback(lambda _: None)
        self.assertEqual("aborted", wire.how)
        bench.reactor.advance(0)
        wire.protocol.abort()
        bench.close()


class Settings(SynchronousTestCase):
    """Choosing the proxy."""

    def test_url(self) -> None:
        for setting, peer in (
            (None, None),
            ("", None),
            ("direct", None),
            ("http://p.example:3128", "p.example:3128"),
            ("http://p.example", "p.example:80"),
            ("p.example:3128/", "p.example:3128"),
            ("http://[::1]:1", "[::1]:1"),
        ):
            proxy = proxy_for(setting, parse("http://a.example/"))
            self.assertEqual(peer, proxy and proxy.peer)

    def test_unusable(self) -> None:
        for setting in ("https://p.example", "socks5://p.example", "http://"):
            with self.assertRaises(ExchangeFailed) as raised:
                proxy_for(setting, parse("http://a.example/"))
            self.assertEqual(Fault.URL, raised.exception.fault)

    def test_no_proxy(self) -> None:
        """As curl and Go read it."""
        for entries, host, port, exempt in (
            ("", "a.example", 80, False),
            ("*", "a.example", 80, True),
            ("a.example", "a.example", 80, True),
            ("A.Example.", "a.example", 80, True),
            ("a.example", "b.a.example", 80, True),
            ("a.example", "ba.example", 80, False),
            (".a.example", "b.a.example", 80, True),
            (".a.example", "a.example", 80, True),
            ("*.a.example", "b.a.example", 80, True),
            ("b.a.example", "a.example", 80, False),
            ("x.example, a.example", "a.example", 80, True),
            ("x.example a.example", "a.example", 80, True),
            ("x.example,,a.example,", "a.example", 80, True),
            ("a.example:81", "a.example", 81, True),
            ("a.example:81", "a.example", 80, False),
            ("a.example:81", "b.a.example", 81, True),
            ("10.0.0.1", "10.0.0.1", 80, True),
            ("10.0.0.1", "10.0.0.11", 80, False),
            ("10.0.0.1:81", "10.0.0.1", 81, True),
            ("10.0.0.1:81", "10.0.0.1", 80, False),
            ("0.0.1", "10.0.0.1", 80, False),
            ("10.0.0.0/8", "10.1.2.3", 80, True),
            ("10.0.0.7/8", "10.1.2.3", 80, True),
            ("10.0.0.0/8", "11.1.2.3", 80, False),
            ("10.0.0.0/8", "a.example", 80, False),
            ("10.0.0.0/99", "10.0.0.1", 80, False),
            ("::1", "::1", 80, True),
            ("[::1]", "::1", 80, True),
            ("[::1]:81", "::1", 81, True),
            ("[::1]:81", "::1", 80, False),
            ("0:0:0:0:0:0:0:1", "::1", 80, True),
            ("fe80::/10", "fe80::1%eth0", 80, True),
            ("fd00::/8", "fd00::7", 80, True),
            ("fd00::/8", "10.0.0.1", 80, False),
            (".", "a.example", 80, False),
            (":81", "a.example", 81, False),
        ):
            self.assertEqual(exempt, bypasses(entries, host, port), (entries, host, port))

    def test_environment(self) -> None:
        for name in list(os.environ):
            if name.lower().endswith("_proxy"):
                self.patch(os, "environ", {key: value for key, value in os.environ.items() if key != name})
        environment = {
            "http_proxy": "http://p.example:1",
            "https_proxy": "http://u:p@p.example:2",
            "no_proxy": "inside.example,10.0.0.1,127.0.0.1:81",
        }
        self.patch(os, "environ", {**os.environ, **environment})
        for url, peer in (
            ("http://a.example/", "p.example:1"),
            ("https://a.example/", "p.example:2"),
            ("https://x.inside.example/", None),
            ("http://10.0.0.1/", None),
            ("http://127.0.0.1:80/", "p.example:1"),
            ("http://127.0.0.1:81/", None),
        ):
            proxy = proxy_for("env", parse(url))
            self.assertEqual(peer, proxy and proxy.peer, url)
        self.assertIsNone(proxy_for(None, parse("http://a.example/")))
        for (scheme, host), peer in {
            ("smtp", "a.example"): "p.example:2",
            ("smtp", "mail.inside.example"): None,
            ("smtp", "127.0.0.1"): None,
        }.items():
            proxy = tunnel_proxy("env", scheme, host, 25)
            self.assertEqual(peer, proxy and proxy.peer, host)
        self.patch(os, "environ", {**os.environ, "smtp_proxy": "http://m.example:4"})
        for scheme, peer in (("smtp", "m.example:4"), ("smtps", "p.example:2")):
            proxy = tunnel_proxy("env", scheme, "a.example", 25)
            self.assertEqual(peer, proxy and proxy.peer, scheme)
        self.patch(os, "environ", {"all_proxy": "http://q.example:3"})
        proxy = tunnel_proxy("env", "smtp", "a.example", 25)
        self.assertEqual("q.example:3", proxy and proxy.peer)
        found = proxy_for("env", parse("http://a.example/"))
        self.assertEqual("q.example:3", found and found.peer)

    def test_tunnels_to_this_machine(self) -> None:
        """A proxy on another machine does not lead to our loopback interface."""
        for host in ("localhost", "127.0.0.1", "::1"):
            self.assertIsNone(tunnel_proxy("http://p.example:3128", "smtp", host, 25))
            for near in ("http://localhost:3128", "http://127.0.0.1:3128", "http://[::1]:3128"):
                self.assertIsNotNone(tunnel_proxy(near, "smtp", host, 25))
        for setting in ("http://p.example:3128", "http://127.0.0.1:3128"):
            self.assertIsNotNone(tunnel_proxy(setting, "smtp", "mail.example", 25))
        for setting in (None, "", "direct"):
            self.assertIsNone(tunnel_proxy(setting, "smtp", "mail.example", 25))
        with self.assertRaises(ExchangeFailed):
            tunnel_proxy("socks5://p.example", "smtp", "mail.example", 25)
