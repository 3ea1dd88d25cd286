"""Requests and connections: limits, refusals and long answers."""

from __future__ import annotations

import re
import select
import socket
from pathlib import Path
from resource import RLIM_INFINITY, RLIMIT_NOFILE, getpagesize, getrlimit

import trustme
from treq import content, get
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol, serverFromString, wrapClientTLS
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.ssl import Certificate, optionsForClientTLS
from twisted.internet.task import deferLater
from twisted.logger import globalLogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request

from pypinger.domain.kinds import Kind
from pypinger.web.serving import connections, outgoing
from pypinger.web.serving.connections import CLOSE_LIMIT, LINGER, REQUEST_LIMIT
from pypinger.web.serving.outgoing import BACKLOG, PIECE
from tests.web.fakes import NOW, FakeBoard, entry
from tests.web.pages import make_pages
from tests.web.serving.memory import ANSWER, MemoryTestCase


class TimeLimitTests(MemoryTestCase):
    """Every client is gone within 60 s of its last request."""

    def test_limits(self) -> None:
        self.assertLess(REQUEST_LIMIT + CLOSE_LIMIT, 60)

    def test_silence(self) -> None:
        self.clock.advance(REQUEST_LIMIT)
        self.assert_gone()

    def test_trickling_head(self) -> None:
        for byte in b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: " + b"x" * 100:
            if self.transport.connected:
                self.send(bytes([byte]))
                self.clock.advance(1)
        self.assert_gone()
        self.assertEqual(self.transport.value(), b"")

    def test_idle_between_requests(self) -> None:
        for _ in range(3):
            self.clock.advance(REQUEST_LIMIT - 1)
            self.assertTrue(self.send(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").startswith(ANSWER))
        self.clock.advance(REQUEST_LIMIT)
        self.assert_gone()

    def test_answer_that_is_not_read(self) -> None:
        for connection in (b"keep-alive", b"close"):
            self.connect()
            self.transport.slow = True
            self.send(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: " + connection + b"\r\n\r\n")
            self.clock.advance(REQUEST_LIMIT)
            self.assertTrue(self.transport.connected)
            self.clock.advance(CLOSE_LIMIT)
            self.assertTrue(self.transport.aborted)
            self.assert_gone()

    def test_client_that_leaves(self) -> None:
        self.send(b"GET / HT")
        self.transport.loseConnection()
        self.assert_gone()


class RefusalTests(MemoryTestCase):
    def test_body_is_not_waited_for(self) -> None:
        for head, code in (
            (b"GET / HTTP/1.1\r\nContent-Length: 8000000\r\n", b"413"),
            (b"GET / HTTP/1.0\r\nContent-Length: 1\r\n", b"413"),
            (b"HEAD / HTTP/1.1\r\nContent-Length: 1\r\n", b"413"),
            (b"POST / HTTP/1.1\r\nContent-Length: 8000000\r\n", b"405"),
            (b"POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 9\r\n", b"405"),
        ):
            self.connect()
            answer = self.send(head + b"Host: localhost\r\nContent-Type: multipart/form-data; boundary=x\r\n\r\n")
            status, _, rest = answer.partition(b"\r\n")
            self.assertEqual(status.split()[1], code, head)
            self.assertIn(b"Connection: close\r\n", rest)
            self.assertIn(b"\r\nX-Content-Type-Options: nosniff\r\n", rest)

    def test_chunked_body(self) -> None:
        """An empty one is no body."""
        head = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
        for body, status in (
            (b"0\r\n\r\n", b"200"),
            (b"0;x=1\r\nTrailer: x\r\n\r\n", b"200"),
            (b"1\r\nx", b"413"),
            (b"ffffff\r\nx", b"413"),
            (b"x\r\n", b"400"),
        ):
            self.connect()
            self.assertEqual(self.send(head), b"")
            answer = self.send(body)
            # The words after the code differ between versions of Python.
            self.assertEqual(answer.split(b" ")[:2], [b"HTTP/1.1", status], body)
            self.assertEqual(answer.count(b"HTTP/1.1"), 1)
        self.connect()
        self.assertIn(b"405 Method", self.send(head.replace(b"GET", b"POST")))

    def test_unfinished_chunked_body(self) -> None:
        self.send(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n")
        self.clock.advance(REQUEST_LIMIT)
        self.assert_gone()

    def test_data_after_a_refusal_is_discarded(self) -> None:
        body = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
        answer = self.send(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9999\r\n\r\n" + body)
        self.assertEqual(answer.count(b"HTTP/1.1 "), 1)
        for _ in range(1000):
            self.assertEqual(self.send(body * 100), b"")
        self.clock.advance(LINGER)
        self.assert_gone()

    def test_malformed_requests(self) -> None:
        for data in (
            b"nonsense\r\n",
            b"GET / HTTP/2.0\r\n",
            b"GET /\xff HTTP/1.1\r\n",
            b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
            b"GET / HTTP/1.1\r\nbad name: x\r\n\r\n",
            b"GET / HTTP/1.1\r\nX: a\x00b\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
            b"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\nxx",
            b"GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\n\r\nxx",
            b"GET /" + b"a" * 40_000,
            b"GET /" + b"a" * 40_000 + b" HTTP/1.1\r\n\r\n",
            b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 501 + b"\r\n",
            b"GET / HTTP/1.1\r\n" + b"X: " + b"y" * 20_000 + b"\r\nX: " + b"y" * 25_000 + b"\r\n\r\n",
        ):
            self.connect()
            answer = self.send(data)
            self.assertTrue(answer.startswith(b"HTTP/1.1 400 Bad Request\r\n"), data[:80])
            self.assertTrue(answer.endswith(b"\r\n\r\n400 Bad Request\n"), data[:80])
            self.assertEqual(answer.count(b"HTTP/1.1"), 1)
            self.assertIn(b"Content-Security-Policy: default-src 'none'", answer)
            self.assertEqual(self.send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n" * 3), b"")
            self.clock.advance(LINGER)
            self.assert_gone()

    def test_targets(self) -> None:
        for target, code in (
            (b"GET /task/" + b"a" * 32_000, 404),
            (b"GET //healthz", 404),
            (b"GET //evil.example.org/%2e%2e", 404),
            (b"GET http:/localhost/", 400),
            (b"GET ftp://localhost/", 400),
            (b"GET http://localhost#", 400),
            (b"GET healthz", 400),
            (b"GET *", 400),
            (b"GET /\x80", 400),
            (b"OPTIONS *", 405),
            (b"get /", 405),
            (b"CONNECT evil.example.org:443", 405),
            (b"GET /task/%ff%00%", 404),
            (b"GET /?q=%ff%00%", 200),
            (b"GET /healthz?" + b"&" * 9000, 200),
        ):
            answer = self.send(target + b" HTTP/1.1\r\nHost: localhost\r\n\r\n")
            self.assertTrue(answer.startswith(b"HTTP/1.1 %d " % code), (target[:50], answer[:50]))
            self.assertNotIn(b"ocation:", answer)
            self.assertIn(b"Referrer-Policy: no-referrer", answer)

    def test_absolute_targets(self) -> None:
        """The target may be a whole URL; its host counts, not the header (RFC 9112, 3.2.2)."""
        self.connect(hosts=["pinger.example"])
        for target, host, code in (
            (b"http://pinger.example/healthz", b"pinger.example", 200),
            (b"HTTPS://Pinger.Example:8443/healthz?x=//", b"other.example", 200),
            (b"http://pinger.example", b"pinger.example", 200),
            (b"http://pinger.example?q=http://x/", b"pinger.example", 200),
            (b"http://pinger.example/task/http://host/task", b"pinger.example", 404),
            (b"http://pinger.example//healthz", b"pinger.example", 404),
            (b"http://other.example/", b"pinger.example", 421),
            (b"http://user@pinger.example/healthz", b"pinger.example", 400),
            (b"http:///healthz", b"pinger.example", 400),
            (b"http://pinger.example/healthz", b"pinger.example\r\nHost: pinger.example", 400),
        ):
            answer = self.send(b"GET " + target + b" HTTP/1.1\r\nHost: " + host + b"\r\n\r\n")
            self.assertTrue(answer.startswith(b"HTTP/1.1 %d " % code), (target, answer[:50]))
            self.assertNotIn(b"ocation:", answer)

    def dateless(self, request: bytes) -> bytes:
        """The answer without its date: a second may begin between two."""
        return re.sub(rb"\r\nDate: [^\r]*", b"", self.send(request))

    def test_absolute_target_of_a_task(self) -> None:
        url = entry().task.url.encode()
        answers = [
            self.dateless(
                b"GET " + place + b"/task/" + url + b"?x=1&y HTTP/1.1\r\nHost: h\r\nAccept: text/html\r\n\r\n"
            )
            for place in (b"", b"http://h")
        ]
        self.assertEqual(answers[0], answers[1])
        answers = [
            self.dateless(b"GET " + place + b"/task/" + url + b" HTTP/1.1\r\nHost: h\r\n\r\n")
            for place in (b"", b"http://h")
        ]
        self.assertIn(b'"url":"' + url + b'"', answers[1])
        self.assertEqual(answers[0], answers[1])

    def test_host_header(self) -> None:
        for head, code in (
            (b"GET / HTTP/1.1\r\n", 400),
            (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n", 400),
            (b"GET / HTTP/1.0\r\n", 200),
        ):
            self.connect()
            self.assertEqual(self.send(head + b"\r\n").split(b" ")[1], b"%d" % code)

    def test_http_1_0_without_host(self) -> None:
        self.connect(hosts=["localhost"])
        self.assertIn(b" 421 Misdirected Request\r\n", self.send(b"GET / HTTP/1.0\r\n\r\n"))

    def test_pipelining(self) -> None:
        one = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
        self.assertEqual(self.send(one * 5).count(ANSWER), 5)
        self.assertEqual(
            self.send(one + b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n" + one).count(ANSWER), 1
        )


class HalfCloseTests(MemoryTestCase):
    """A client may end its side of the connection after its request."""

    ASK = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n"

    def setUp(self) -> None:
        self.board = FakeBoard([entry(f"http://h/{i}") for i in range(1000)])
        self.connect()

    def half_close(self) -> None:
        IHalfCloseableProtocol(self.transport.protocol).readConnectionLost()

    def test_answer(self) -> None:
        self.transport.protocol.dataReceived(self.ASK)
        self.half_close()
        self.assertTrue(self.transport.connected)
        self.transport.stuck = True
        self.clock.advance(0)
        while self.transport.connected and self.transport.drain():
            pass
        self.assertTrue(self.transport.value().startswith(ANSWER))
        self.assertTrue(self.transport.value().endswith(b"\n"))
        self.assert_gone()

    def test_pipelined_requests(self) -> None:
        self.transport.protocol.dataReceived(self.ASK * 3)
        self.half_close()
        for _ in range(100):
            self.clock.advance(0)
            self.transport.drain()
        self.assertEqual(self.transport.value().count(ANSWER), 3)
        self.assert_gone()

    def test_without_a_request(self) -> None:
        for data in (b"", b"GET / HT", self.ASK):
            self.connect()
            self.send(data)
            self.half_close()
            self.assert_gone()

    def test_refused_request(self) -> None:
        self.send(b"nonsense\r\n")
        self.half_close()
        self.assert_gone()

    def test_stream(self) -> None:
        """It ends, since a reader that left looks the same."""
        self.send(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        self.half_close()
        self.assert_gone()


class CapTests(MemoryTestCase):
    """The client that has been idle longest makes room for another one."""

    ASK = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"

    def setUp(self) -> None:
        self.board = FakeBoard([entry()])
        self.connect(most=3)

    def test_idle_longest(self) -> None:
        first, second, third = self.transport, self.another(), self.another()
        self.send(self.ASK, first)
        fourth = self.another()
        self.assertTrue(second.aborted)
        self.assertEqual([each.connected for each in (first, third, fourth)], [True] * 3)
        self.another()
        self.assertTrue(third.aborted)
        self.another()
        self.assertTrue(first.aborted)

    def test_trickling_is_idle(self) -> None:
        others = [self.another(), self.another()]
        for _ in range(3):
            self.transport.protocol.dataReceived(b"x")
        self.send(self.ASK, others[0])
        self.another()
        self.assertTrue(self.transport.aborted)

    def test_clients_that_are_being_answered(self) -> None:
        """They are dropped only if there is no other."""
        events = [self.transport, self.another()]
        for each in events:
            self.send(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n", each)
        idle = self.another()
        answered = self.another()
        self.assertTrue(idle.aborted)
        self.send(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n", answered)
        self.another()
        self.assertEqual([each.aborted for each in (*events, answered)], [True, False, False])

    def test_default(self) -> None:
        """Half of the file descriptors that the process may have."""
        self.connect()
        self.assertEqual(self.site.most, getrlimit(RLIMIT_NOFILE)[0] // 2)
        self.patch(connections, "getrlimit", lambda _: (RLIM_INFINITY, RLIM_INFINITY))
        self.connect()
        self.assertEqual(self.site.most, connections.MOST_CLIENTS)

    def test_many(self) -> None:
        self.connect(most=50)
        for _ in range(1000):
            last = self.another()
        self.assertTrue(self.send(self.ASK, last).startswith(ANSWER))
        self.assertEqual(len(self.site.protocols), 50)


#: Clients that do not read; each takes two descriptors.
CLIENTS = 200


def resident() -> int:
    """The memory of this process, in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * getpagesize()


def _readable(client: socket.socket) -> bool:
    return bool(select.select([client], [], [], 0)[0])


class Client(Protocol):
    """Keeps what it receives until the server closes."""

    def __init__(self) -> None:
        self.received = b""
        self.closed: Deferred[bytes] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        self.received += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.closed.callback(self.received)


class SocketTests(TestCase):
    """Requests over real sockets."""

    async def connect(self, board: FakeBoard | None = None) -> Client:
        pages = make_pages(board or FakeBoard([entry("http://h/a?x=1", Kind.LATE)]), reactor)
        port = reactor.listenTCP(0, pages.site, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        client = Client()
        await connectProtocol(TCP4ClientEndpoint(reactor, "127.0.0.1", port.getHost().port), client)
        return client

    async def ask(self, head: bytes, rest: bytes = b"") -> bytes:
        client = await self.connect()
        assert client.transport is not None
        client.transport.write(head + b"\r\nHost: localhost\r\nConnection: close\r\n\r\n" + rest)
        return await client.closed

    async def test_get(self) -> None:
        answer = await self.ask(b"GET /task/http://h/a?x=1 HTTP/1.1")
        self.assertTrue(answer.startswith(b"HTTP/1.1 500 Internal Server Error\r\n"))
        self.assertIn(b'{"data":{"url":"http://h/a?x=1",', answer)

    async def test_head(self) -> None:
        answer = await self.ask(b"HEAD / HTTP/1.1")
        self.assertTrue(answer.startswith(ANSWER))
        self.assertTrue(answer.endswith(b"\r\n\r\n"))

    async def test_tls(self) -> None:
        """HTTP/1.1 alone, and long answers in pieces."""
        authority = trustme.CA()
        folder = Path(self.mktemp())
        folder.mkdir()
        authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(folder / "pem")
        board = FakeBoard([entry(f"http://h/{number}") for number in range(1000)])
        endpoint = f"ssl:0:interface=127.0.0.1:privateKey={folder}/pem:certKey={folder}/pem"
        port = await serverFromString(reactor, endpoint).listen(make_pages(board, reactor).site)
        self.addCleanup(port.stopListening)
        root = Certificate.loadPEM(authority.cert_pem.bytes())
        options = optionsForClientTLS("localhost", trustRoot=root, acceptableProtocols=[b"h2", b"http/1.1"])
        client = Client()
        await connectProtocol(
            wrapClientTLS(options, TCP4ClientEndpoint(reactor, "127.0.0.1", port.getHost().port)), client
        )
        ask = b"GET / HTTP/1.1\r\nHost: localhost\r\n"
        client.transport.write(ask + b"\r\n" + ask + b"Connection: close\r\n\r\n")  # type: ignore[union-attr]
        answer = await client.closed
        self.assertEqual(answer.count(ANSWER), 2)
        self.assertEqual(answer.count(b'"url":"http://h/999"'), 2)

    async def test_half_close(self) -> None:
        """As ``nc -N`` does it."""
        client = await self.connect()
        assert client.transport is not None
        client.transport.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        client.transport.loseWriteConnection()
        answer = await client.closed
        self.assertTrue(answer.startswith(ANSWER))
        self.assertIn(b'{"data":[', answer)

    async def test_memory_of_clients_that_do_not_read(self) -> None:
        """Each costs a piece of its answer, and all together not more than the backlog."""
        board = FakeBoard([entry(f"http://h/{number}") for number in range(3000)])
        pages = make_pages(board, reactor, most=2 * CLIENTS)
        port = reactor.listenTCP(0, pages.site, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        answer = await get(f"http://127.0.0.1:{port.getHost().port}/", persistent=False)
        self.assertGreater(len(await content(answer)), 1_000_000)
        before = resident()
        clients = [socket.socket() for _ in range(CLIENTS)]
        for client in clients:
            self.addCleanup(client.close)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect(("127.0.0.1", port.getHost().port))
            client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            client.setblocking(False)
            await deferLater(reactor, 0)
        for client in clients:
            while not _readable(client):
                await deferLater(reactor, 0.01)
        self.assertLess(resident() - before, BACKLOG + CLIENTS * 3 * PIECE)

    async def test_large_form(self) -> None:
        client = await self.connect()
        assert client.transport is not None
        form = b"a=b&" * 2_000_000
        client.transport.write(
            b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\n"
            b"Content-Length: %d\r\n\r\n" % len(form)
        )
        client.transport.write(form)
        answer = await client.closed
        self.assertTrue(answer.startswith(b"HTTP/1.1 405 Method Not Allowed\r\n"))
        self.assertIn(b"\r\nAllow: GET, HEAD\r\n", answer)

    async def test_nothing_is_logged(self) -> None:
        events: list[object] = []
        globalLogPublisher.addObserver(events.append)
        self.addCleanup(globalLogPublisher.removeObserver, events.append)
        for target in (b"/?secret=1", b"/task/http://h/a?x=1", b"/nothing/%ff?secret", b"//x", b"/task//x", b"/\x80"):
            await self.ask(b"GET " + target + b" HTTP/1.1")
        await self.ask(b"nonsense")
        texts = [event for event in map(str, events) if "secret" in event or "h/a" in event or "Traceback" in event]
        self.assertEqual(texts, [])


class LongAnswerTests(MemoryTestCase):
    """Answers longer than one piece."""

    unmeasured = True
    ASK = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n"

    def setUp(self) -> None:
        self.board = FakeBoard([entry(f"http://h/{i}") for i in range(1000)])
        self.connect()
        self.transport.stuck = True

    def length(self, answer: bytes) -> int:
        [line] = [line for line in answer.split(b"\r\n") if line.startswith(b"Content-Length: ")]
        return int(line[16:])

    def test_in_pieces(self) -> None:
        head, _, body = self.send(self.ASK + b"\r\n").partition(b"\r\n\r\n")
        rest = self.length(head) - PIECE
        self.assertEqual(len(body), PIECE)
        while rest > 0:
            self.assertEqual(self.transport.drain(), min(PIECE, rest))
            rest -= PIECE
        # The connection stays open.
        self.assertTrue(self.send(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").startswith(ANSWER))
        self.transport.stuck = False
        self.assertEqual(self.send(self.ASK + b"\r\n").partition(b"\r\n\r\n")[2].count(b"pypinger_task_info{"), 1000)

    def test_last_answer(self) -> None:
        answer = self.send(self.ASK + b"Connection: close\r\n\r\n")
        for _ in range(self.length(answer) // PIECE):
            self.assertTrue(self.transport.connected)
            self.transport.drain()
        self.assert_gone()

    def test_head(self) -> None:
        answer = self.send(self.ASK.replace(b"GET", b"HEAD") + b"\r\n")
        self.assertGreater(self.length(answer), PIECE)
        self.assertTrue(answer.endswith(b"\r\n\r\n"))
        self.assertTrue(self.send(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").startswith(ANSWER))

    def test_time_to_read(self) -> None:
        """It begins when the answer does, and again at its end."""
        self.clock.advance(REQUEST_LIMIT - 1)
        self.send(self.ASK + b"\r\n")
        self.clock.advance(REQUEST_LIMIT - 1)
        self.assertTrue(self.transport.connected)
        while self.transport.drain():
            pass
        self.clock.advance(REQUEST_LIMIT - 1)
        self.assertTrue(self.transport.connected)
        self.clock.advance(1)
        self.assert_gone()

    def test_client_that_sends_and_does_not_read(self) -> None:
        """Nothing is read from it until it has its answer."""
        self.send(self.ASK + b"\r\n")
        self.assertEqual(self.transport.producerState, "paused")
        while self.transport.drain():
            pass
        self.assertEqual(self.transport.producerState, "producing")
        self.assertTrue(self.send(self.ASK + b"\r\n").startswith(ANSWER))

    def test_pipelined_request(self) -> None:
        """It is answered when the answer before is with the transport."""
        answer = self.send((self.ASK + b"\r\n") * 2)
        while len(self.transport.value()) < self.length(answer):
            self.clock.pump([0.01] * 20)
            self.assertEqual(self.transport.value().count(ANSWER), 1)
            self.transport.drain()
        self.clock.advance(0)
        while self.transport.drain():
            pass
        self.assertGreater(len(self.transport.value()), 2 * self.length(answer))

    def test_client_that_reads_late(self) -> None:
        """It gets the whole answer if it reads it within the last seconds."""
        answer = self.send(self.ASK + b"\r\n")
        self.clock.advance(REQUEST_LIMIT)
        while self.transport.connected and self.transport.drain():
            pass
        self.assertGreater(len(self.transport.value()), self.length(answer))
        self.assert_gone()

    def test_many_clients_that_do_not_read(self) -> None:
        """Beyond the limit the one that has not read for the longest time is dropped."""
        # Each client has a page of its own; those for the real limit take seconds to make.
        limit = BACKLOG // 8
        self.patch(outgoing, "BACKLOG", limit)
        clients = []
        while not clients or not clients[0].aborted:
            self.board.show(entry("http://h/0", lastrun=NOW + len(clients)))
            clients.append(self.another())
            clients[-1].stuck = True
            answer = self.send(self.ASK + b"\r\n", clients[-1])
            self.clock.advance(0)
        self.assertGreater(len(clients) * self.length(answer), limit)
        self.assertLess((len(clients) - 3) * self.length(answer), limit)
        # A client that reads is not the next one.
        clients[1].drain()
        clients.append(self.another())
        clients[-1].stuck = True
        self.board.show(entry("http://h/0", lastrun=NOW - 1))
        self.send(self.ASK + b"\r\n", clients[-1])
        self.assertEqual([each.aborted for each in clients[:4]], [True, False, True, False])

    def test_clients_of_the_same_answer(self) -> None:
        """It counts once."""
        clients = [self.another() for _ in range(500)]
        for client in clients:
            client.stuck = True
            client.protocol.dataReceived(self.ASK + b"\r\n")
        self.clock.pump([0] * 50)
        self.assertFalse(any(client.aborted for client in clients))
        self.assertTrue(all(client.value().startswith(ANSWER) for client in clients))

    def test_client_that_does_not_read(self) -> None:
        self.transport.slow = True
        self.send(self.ASK + b"\r\n")
        self.clock.advance(REQUEST_LIMIT)
        self.assertTrue(self.transport.connected)
        self.clock.advance(CLOSE_LIMIT)
        self.assert_gone()

    def test_client_that_leaves(self) -> None:
        self.send(self.ASK + b"\r\n")
        self.transport.loseConnection()
        self.assert_gone()

    def test_answer_after_the_time_is_up(self) -> None:
        """Closing takes a turn of the reactor, in which an answer may become ready."""

        class Late(Resource):
            isLeaf = True

            def render(self, request: Request) -> int:
                self.request = request
                return NOT_DONE_YET

        self.site.wrappedFactory.resource = late = Late()
        self.transport.slow = True
        self.patch(self.transport, "abortConnection", lambda: None)
        self.send(self.ASK + b"\r\n")
        self.clock.advance(REQUEST_LIMIT)
        self.clock.advance(CLOSE_LIMIT)
        late.request.write(b"x" * (PIECE + 1))
        self.transport.loseConnection()
