"""The polling agent under treq, and compared with Twisted's agent."""

from __future__ import annotations

import gzip
from io import BytesIO
from typing import Any

import treq
from treq.client import HTTPClient
from treq.response import _Response
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase
from twisted.web.client import (
    Agent,
    ContentDecoderAgent,
    FileBodyProducer,
    GzipDecoder,
    HTTPConnectionPool,
    ResponseDone,
    readBody,
)
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IClientRequest, IResponse
from zope.interface.verify import verifyClass, verifyObject

from pypinger.domain.model import Fault
from pypinger.http.agents.polling import PollingAgent
from pypinger.http.client import within
from pypinger.http.wire.errors import ExchangeFailed
from pypinger.http.wire.limits import Limits
from pypinger.http.wire.network import Network
from pypinger.http.wire.response import Request, Response
from tests.http.faults import REPORT, SHORT, answer, bare, chunked, redirect
from tests.http.faultserver import CLOSE, FaultServer, Trickle


class Base(TestCase):
    """An agent, and treq over it."""

    def setUp(self) -> None:
        network = Network(reactor, Limits())
        self.agent = PollingAgent(network)
        self.addCleanup(network.close)
        self.client = HTTPClient(self.agent)

    def serve(self, script: Any) -> FaultServer:
        server = FaultServer(script)
        listening = server.listen()
        self.addCleanup(listening.stopListening)
        self.url = f"http://127.0.0.1:{server.port}/"
        return server


class TreqTests(Base):
    """treq's client over the polling agent."""

    async def test_interfaces(self) -> None:
        verifyClass(IAgent, PollingAgent)
        self.serve([answer()])
        response = await self.agent.request(b"GET", self.url.encode())
        verifyObject(IResponse, response)
        verifyObject(IClientRequest, response.request)
        self.assertEqual((b"HTTP", 1, 1), response.version)
        self.assertEqual(b"OK", response.phrase)
        self.assertIs(Response, type(response))
        self.assertIs(Request, type(response.request))

    async def test_get(self) -> None:
        server = self.serve([answer(b'{"a": "\xc3\xbc"}', b"Content-Type: application/json", b"X: 1", b"X: 2")])
        response = await self.client.get(self.url, params={"q": "x y"}, headers={"X-Y": ["1", "2"]})
        self.assertEqual({"a": "ü"}, await response.json())
        self.assertEqual('{"a": "ü"}', await response.text())
        self.assertEqual(b'{"a": "\xc3\xbc"}', await response.content())
        self.assertEqual(["1", "2"], response.headers.getRawHeaders("x"))
        self.assertEqual(11, response.length)
        self.assertIn("200", repr(response))
        (asked,) = server.requests
        self.assertTrue(asked.startswith(b"GET /?q=x+y HTTP/1.1\r\nHost: 127.0.0.1:"), asked)
        self.assertIn(b"X-Y: 1\r\nX-Y: 2\r\n", asked)

    async def test_treq_functions(self) -> None:
        """treq's functions and its response object work with the agent's responses."""
        self.serve([answer()])
        response = await self.agent.request(b"GET", self.url.encode())
        self.assertEqual(REPORT, await treq.content(response))
        wrapped = _Response(response, self.client._cookiejar)
        self.assertEqual("ok", (await wrapped.json())["status"])
        pieces: list[bytes] = []
        await wrapped.collect(pieces.append)
        self.assertEqual([REPORT], pieces)
        nothing = Response(response.request, (b"HTTP", 1, 1), 200, b"OK", [], b"")
        self.assertEqual(b"", await readBody(nothing))
        self.assertEqual(REPORT, await readBody(response))
        self.assertEqual([], wrapped.history())

    async def test_post(self) -> None:
        server = self.serve([answer(b"ok")])
        for more, body in (
            ({"json": {"a": 1}}, b'{"a":1}'),
            ({"data": {"a": "1"}}, b"a=1"),
            ({"data": b"raw"}, b"raw"),
        ):
            await self.client.post(self.url, **more)
            self.assertTrue(server.requests[-1].endswith(b"\r\n\r\n" + body), server.requests)
            self.assertIn(b"Content-Length: %d\r\n" % len(body), server.requests[-1])
        producer = FileBodyProducer(BytesIO(b"x" * 70_000))
        response = await self.agent.request(b"PUT", self.url.encode(), None, producer)
        self.assertEqual(200, response.code)

    async def test_head(self) -> None:
        """The answer has no body, although its headers announce one."""
        server = self.serve([answer(b"", length=99)])
        for _ in range(2):
            response = await self.client.head(self.url)
            self.assertEqual(b"", await response.content())
            self.assertEqual(["99"], response.headers.getRawHeaders("content-length"))
        self.assertEqual(2, server.connections)

    async def test_redirect(self) -> None:
        server = self.serve(lambda asked: [answer() if b"/b" in asked else redirect(b"/b", body=b"moved")])
        response = await self.client.get(self.url)
        self.assertEqual(REPORT, await response.content())
        self.assertEqual([302], [earlier.code for earlier in response.history()])
        response = await self.client.get(self.url, allow_redirects=False)
        self.assertEqual((302, b"moved"), (response.code, await response.content()))
        self.assertEqual(1, server.connections)

    async def test_gzip(self) -> None:
        self.serve([answer(gzip.compress(REPORT), b"Content-Encoding: gzip")])
        response = await self.client.get(self.url)
        self.assertEqual(REPORT, await response.content())
        # treq's own decoder found nothing left to do.
        self.assertEqual([""], response.headers.getRawHeaders("content-encoding"))

    async def test_auth_and_cookies(self) -> None:
        server = self.serve([answer(REPORT, b"Set-Cookie: c=d")])
        response = await self.client.get(self.url, auth=("a", "b"), cookies={"x": "y"})
        self.assertIn(b"Authorization: Basic YTpi\r\n", server.requests[0].title().replace(b"Ytpi", b"YTpi"))
        self.assertIn(b"x=y", server.requests[0])
        self.assertEqual(["c", "x"], sorted(cookie.name for cookie in response.cookies()))

    async def test_timeout(self) -> None:
        """treq's time limit covers the body and leaves no socket."""
        server = self.serve([answer(b"", length=99), Trickle(b"x")])
        failure = await self.client.get(self.url, timeout=SHORT).addErrback(lambda failure: failure.value)
        self.assertIsInstance(failure, CancelledError)
        self.assertIn("reading the body", failure.stage)
        await server.all_closed()

    async def test_failures(self) -> None:
        for uri, fault in ((b"ftp://a/", Fault.URL), (b"http://a:b@127.0.0.1/", Fault.URL), (b"", Fault.URL)):
            failure = await self.agent.request(b"GET", uri).addErrback(lambda failure: failure.value)
            self.assertEqual(fault, failure.fault)
        for method, headers in ((b"G T", None), (b"GET", Headers({b"A": [b"\x00"]}))):
            failure = await self.agent.request(method, b"http://127.0.0.1/", headers).addErrback(
                lambda failure: failure.value
            )
            self.assertEqual(Fault.URL, failure.fault)

    async def test_body_that_comes_late(self) -> None:
        """A protocol that pauses or stops the transport still gets the whole body at once."""
        self.serve([answer()])
        response = await self.agent.request(b"GET", self.url.encode())
        got: list[Any] = []

        class Pausing(Protocol):
            def connectionMade(self) -> None:
                self.transport.pauseProducing()
                self.transport.resumeProducing()
                self.transport.stopProducing()

            def dataReceived(self, data: bytes) -> None:
                got.append(data)

            def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
                got.append(reason.type)

        response.deliverBody(Pausing())
        self.assertEqual([REPORT, ResponseDone], got)

    async def test_collector_that_fails(self) -> None:
        self.serve([answer()])
        response = await self.client.get(self.url, unbuffered=True)

        def refuse(data: bytes) -> None:
            raise ZeroDivisionError

        failure = await response.collect(refuse).addErrback(lambda failure: failure.type)
        self.assertIs(ZeroDivisionError, failure)


class TimeLimitTests(Base):
    """Time limits."""

    async def test_limit(self) -> None:
        server = self.serve([bare()[:5]])
        failure = await within(SHORT, reactor, self.client.get(self.url)).addErrback(lambda failure: failure.value)
        self.assertIsInstance(failure, ExchangeFailed)
        self.assertEqual(Fault.TIMEOUT, failure.fault)
        await server.all_closed()

    async def test_body_that_never_comes(self) -> None:
        """The time limit also ends a request whose body is never complete."""
        self.serve([answer()])

        class Never:
            length = 3

            def startProducing(self, consumer: Any) -> Deferred[None]:
                consumer.registerProducer(self, True)
                consumer.unregisterProducer()
                return Deferred()

            def stopProducing(self) -> None:
                stopped.append(True)

        stopped: list[bool] = []
        posted = self.agent.request(b"POST", self.url.encode(), None, Never())  # type: ignore[arg-type]
        failure = await within(SHORT, reactor, posted).addErrback(lambda failure: failure.value)
        self.assertIn("while collecting the request's body", failure.words)
        self.assertEqual([True], stopped)


SCRIPTS: dict[str, Any] = {
    "plain": [answer()],
    "chunks": [chunked(REPORT[:5], REPORT[5:])],
    "trailers": [chunked(REPORT, end=b"0\r\nA: b\r\n\r\n")],
    "until close": [bare() + REPORT, CLOSE],
    "HTTP/1.0": [b"HTTP/1.0 200 OK\r\n\r\n" + REPORT, CLOSE],
    "no content": [bare(status=b"204 No Content")],
    "not modified": [bare(status=b"304 Not Modified")],
    "empty": [answer(b"")],
    "an error": [answer(b"oops", status=b"503 Service Unavailable")],
    "a redirect": [redirect(b"/x", body=b"moved")],
    "interim": [b"HTTP/1.1 100 Continue\r\n\r\n" + answer()],
    "gzip": [answer(gzip.compress(REPORT), b"Content-Encoding: gzip")],
    "gzip in chunks": [chunked(gzip.compress(REPORT), lines=(b"Content-Encoding: gzip",))],
    "many headers": [answer(REPORT, *[b"X-%d: %d" % (index, index) for index in range(50)])],
    "line feeds": [answer().replace(b"\r\n", b"\n")],
    "closes": [CLOSE],
    "closes in the headers": [b"HTTP/1.1 200 OK\r\nA", CLOSE],
    "closes in the body": [answer(b"abc", length=9), CLOSE],
    "closes in a chunk": [chunked(end=b"9\r\nabc"), CLOSE],
    "noise": [b"hello\r\n\r\n", CLOSE],
}


class TwistedTests(Base):
    """Both agents get the same result from the same script."""

    async def outcome(self, agent: IAgent, method: bytes) -> Any:
        try:
            response = await agent.request(method, self.url.encode(), Headers({b"X-Test": [b"1"]}))
            body = await treq.content(response)
        except Exception:
            return "failed"
        headers = sorted(
            (name.lower(), values)
            for name, values in response.headers.getAllRawHeaders()
            if name.lower() not in (b"content-length", b"content-encoding", b"transfer-encoding", b"connection")
        )
        return response.code, response.phrase, body, headers, response.version

    async def test_same(self) -> None:
        pool = HTTPConnectionPool(reactor)
        self.addCleanup(pool.closeCachedConnections)
        theirs = ContentDecoderAgent(Agent(reactor, pool=pool), [(b"gzip", GzipDecoder)])
        for name, script in SCRIPTS.items():
            for method in (b"GET", b"HEAD"):
                if method == b"HEAD" and (b"abc" in script[0] if isinstance(script[0], bytes) else False):
                    continue
                steps = script
                if method == b"HEAD" and isinstance(script[0], bytes) and b"\r\n\r\n" in script[0]:
                    steps = [script[0].partition(b"\r\n\r\n")[0] + b"\r\n\r\n", CLOSE]
                server = self.serve(steps)
                mine = await self.outcome(self.agent, method)
                other = await self.outcome(theirs, method)
                self.assertEqual(other, mine, (name, method))
                request, reference = (sorted(asked.lower().split(b"\r\n")) for asked in server.requests[:2])
                # They decode different encodings; ours does not keep a connection that carried a HEAD.
                ours = (b"accept-encoding", b"connection: close")
                reference = [line for line in reference if line and not line.startswith(ours)]
                request = [line for line in request if line and not line.startswith(ours)]
                self.assertEqual(reference, request, (name, method))

    async def test_requests(self) -> None:
        """Requests reuse a kept connection, and use several at the same time."""
        server = self.serve([answer()])
        for _ in range(3):
            self.assertEqual(200, (await self.outcome(self.agent, b"GET"))[0])
        self.assertEqual(1, server.connections)
        running = [self.agent.request(b"GET", self.url.encode()) for _ in range(4)]
        for waiting in running:
            self.assertEqual(200, (await waiting).code)
        self.assertEqual(4, server.connections)
