"""The messenger that channels post with."""

from __future__ import annotations

import gzip
from typing import Any

from twisted.internet import reactor
from twisted.internet.address import IPv4Address
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase, TestCase

from pypinger.http.messenger import Messenger
from pypinger.ports.notifying import RequestFailed
from tests.http.faults import SHORT, answer, redirect
from tests.http.faultserver import CLOSE, FaultServer
from tests.http.test_tls import CA, GOOD, Server


class Posts(TestCase):
    """Over real sockets."""

    def setUp(self) -> None:
        self.ca_file = self.mktemp()
        CA.cert_pem.write_to_path(self.ca_file)
        self.client = Messenger(reactor, ca_file=self.ca_file)
        self.addCleanup(lambda: Deferred.fromCoroutine(self.client.close()))

    def serve(self, script: Any, context: Any = None) -> FaultServer:
        server = FaultServer(script)
        listening = server.listen(context)
        self.addCleanup(listening.stopListening)
        return server

    async def fails(self, url: str, words: str, **more: Any) -> None:
        try:
            await self.client.post(url, headers=more.pop("headers", {}), data=b"x", **more)
        except RequestFailed as failed:
            self.assertIn(words, str(failed))
            self.assertNotIn("hunter2", str(failed))
            self.assertIsNone(failed.__cause__)
        else:
            self.fail("it did not fail")

    async def test_post(self) -> None:
        server = self.serve([answer(b"ok", b"X-A: 1", b"x-a: 2", b"Retry-After: 7", status=b"429 x")])
        headers = {"Authorization": "Bearer x", "Content-Type": "application/json", "User-Agent": "no", "Host": "no"}
        url = f"http://127.0.0.1:{server.port}/hook?a"
        for _ in range(2):
            reply = await self.client.post(url, headers=headers, data=b"{}")
            self.assertEqual(
                (429, b"ok", "2", "7"), (reply.code, reply.body, reply.headers["x-a"], reply.headers["retry-after"])
            )
        (asked, _) = server.requests
        self.assertEqual(
            b"POST /hook?a HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nAuthorization: Bearer x\r\n"
            b"Content-Type: application/json\r\nUser-Agent: py-pinger/1.0.0\r\nAccept-Encoding: gzip, deflate\r\n"
            b"Content-Length: 2\r\n\r\n{}" % server.port,
            asked,
        )
        self.assertEqual(1, server.connections)

    async def test_get(self) -> None:
        server = self.serve([redirect(b"/elsewhere")])
        url = f"http://me:pw@127.0.0.1:{server.port}/ping?a"
        reply = await self.client.get(url)
        self.assertEqual((302, 1), (reply.code, len(server.requests)))
        self.assertEqual(
            b"GET /ping?a HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nAuthorization: Basic bWU6cHc=\r\n"
            b"User-Agent: py-pinger/1.0.0\r\nAccept-Encoding: gzip, deflate\r\n\r\n" % server.port,
            server.requests[0],
        )
        stalls = self.serve([])
        failed = await self.assertFailure(
            Deferred.fromCoroutine(self.client.get(f"http://127.0.0.1:{stalls.port}/hunter2", timeout=SHORT)),
            RequestFailed,
        )
        self.assertIn("no answer within", str(failed))

    async def test_userinfo(self) -> None:
        server = self.serve([answer(gzip.compress(b"ok"), b"Content-Encoding: gzip")])
        reply = await self.client.post(f"http://a:b@127.0.0.1:{server.port}/", headers={}, data=b"")
        self.assertEqual(b"ok", reply.body)
        self.assertIn(b"Authorization: Basic YTpi\r\n", server.requests[0])

    async def test_tls(self) -> None:
        server = self.serve([answer(b"ok")], Server(GOOD))
        reply = await self.client.post(f"https://localhost:{server.port}/", headers={}, data=b"x" * 100_000)
        self.assertEqual(b"ok", reply.body)

    async def test_large_body(self) -> None:
        """A body that does not fit into the socket's buffer."""
        server = self.serve([answer(b"ok")])
        reply = await self.client.post(f"http://127.0.0.1:{server.port}/", headers={}, data=b"x" * 9_000_000)
        self.assertEqual(b"ok", reply.body)
        await server.all_closed()

    async def test_redirect(self) -> None:
        server = self.serve([redirect(b"/elsewhere")])
        reply = await self.client.post(f"http://127.0.0.1:{server.port}/", headers={}, data=b"")
        self.assertEqual((302, 1), (reply.code, len(server.requests)))

    async def test_large_answer(self) -> None:
        """The first 64 KiB of the answer are kept."""
        for raw in (answer(b"x" * 99_999), answer(gzip.compress(b"x" * 99_999), b"Content-Encoding: gzip")):
            server = self.serve([raw])
            reply = await self.client.post(f"http://127.0.0.1:{server.port}/", headers={}, data=b"")
            self.assertEqual(b"x" * 65_536, reply.body)
            await server.all_closed()

    async def test_faults(self) -> None:
        stalls, closes = self.serve([]), self.serve([CLOSE])
        for url, words, more in (
            (f"http://127.0.0.1:{stalls.port}/hunter2", f"no answer within {SHORT:g} s", {"timeout": SHORT}),
            (f"http://127.0.0.1:{closes.port}/hunter2", "closed before any answer", {}),
            ("http://127.0.0.1:1/hunter2", "connection refused by 127.0.0.1:1", {}),
            ("hunter2", "must start with http", {}),
            (f"http://127.0.0.1:{closes.port}/", "X holds a character", {"headers": {"X": "hunter2\r\nY: z"}}),
            (f"http://127.0.0.1:{closes.port}/", "holds a character", {"headers": {"hunter2\n": "x"}}),
        ):
            await self.fails(url, words, **more)
        await stalls.all_closed()

    async def test_surprise(self) -> None:
        await self.fails("http://127.0.0.1/", "in Py Pinger itself", headers={"X": 7})
        self.assertEqual(1, len(self.flushLoggedErrors(TypeError)))

    async def test_cancelled(self) -> None:
        server = self.serve([])
        running = Deferred.fromCoroutine(self.client.post(f"http://127.0.0.1:{server.port}/", headers={}, data=b""))
        while not server.requests:
            waiter: Deferred[None] = Deferred()
            reactor.callLater(0.005, waiter.callback, None)
            await waiter
        running.cancel()
        self.failureResultOf(running, CancelledError)
        await server.all_closed()


class NotTwice(SynchronousTestCase):
    """A post is not repeated."""

    def test_dead_connection(self) -> None:
        from tests.http.memory import Wire

        clock = MemoryReactorClock()
        client = Messenger(clock)

        def post() -> Deferred[Any]:
            return Deferred.fromCoroutine(client.post("http://127.0.0.1/", headers={}, data=b"x"))

        running = post()
        wire = Wire(clock, clock.tcpClients[0][2].buildProtocol(IPv4Address("TCP", "127.0.0.1", 80)))
        wire.arrives(answer(b"ok"))
        self.assertEqual(b"ok", self.successResultOf(running).body)
        running = post()
        wire.ends()
        failed = self.failureResultOf(running, RequestFailed).value
        self.assertEqual("the connection was closed before any answer", str(failed))
        self.assertEqual(1, len(clock.tcpClients))
