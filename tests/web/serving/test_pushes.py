"""The two paths of pushes, in memory: what is taken, answered and refused."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import formatEvent, globalLogPublisher

from pypinger.domain.pushes import PING_BODY, Action, Ping
from pypinger.ports.pushing import PushResult, Taken
from pypinger.web.serving.connections import BODY_PIECE, REQUEST_LIMIT
from pypinger.web.serving.pushes import PushPaths, read
from pypinger.web.serving.site import serve
from tests.web.serving.memory import ANSWER, MemoryTestCase, Transport, lose

KEY = "0e9e5a8a-1111-4222-8333-000000000001"
RID = "0f0f0f0f-0000-4000-8000-00000000000a"


class FakeReceiver:
    """
    Keeps what it is given.

    :ivar result: what it answers; None: nothing until `waiting` fires.
    """

    max_body = 100

    def __init__(self) -> None:
        self.result: PushResult | None = PushResult(Taken.KEPT)
        self.waiting: Deferred[PushResult] = Deferred()
        self.pings: list[Ping] = []
        self.reports: list[tuple[bytes, bool]] = []
        self.busy = False

    def knows(self, key: str) -> bool:
        return key == KEY

    def overloaded(self) -> bool:
        return self.busy

    async def report(self, key: str, body: bytes, *, whole: bool) -> PushResult:
        assert key == KEY
        self.reports.append((body, whole))
        return await self.waiting if self.result is None else self.result

    async def ping(self, key: str, ping: Ping) -> PushResult:
        assert key == KEY
        self.pings.append(ping)
        return await self.waiting if self.result is None else self.result


def request(target: str, method: str = "GET", body: bytes = b"", headers: Iterable[str] = ()) -> bytes:
    lines = [f"{method} {target} HTTP/1.1", "Host: anything.example", *headers]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def status(answer: bytes) -> int:
    return int(answer.split()[1])


class PushTestCase(MemoryTestCase):
    def setUp(self) -> None:
        self.receiver = FakeReceiver()
        super().setUp()
        self.connect(hosts=["status.example"], pushes=self.receiver)

    def ask(
        self, target: str, method: str = "GET", body: bytes = b"", headers: Iterable[str] = ()
    ) -> tuple[int, bytes]:
        """The status and the body of an answer, over a connection of its own."""
        self.transport = self.another()
        answer = self.send(request(target, method, body, headers))
        return status(answer), answer.partition(b"\r\n\r\n")[2]


class PingTests(PushTestCase):
    def test_every_path(self) -> None:
        for suffix, ping in (
            ("", Ping(Action.SUCCESS)),
            ("/", Ping(Action.SUCCESS)),
            ("/start", Ping(Action.START)),
            ("/fail", Ping(Action.FAIL)),
            ("/log", Ping(Action.LOG)),
            ("/0", Ping(Action.SUCCESS, code=0)),
            ("/1", Ping(Action.FAIL, code=1)),
            ("/255", Ping(Action.FAIL, code=255)),
            (f"?rid={RID}", Ping(Action.SUCCESS, RID)),
            (f"/start?rid={RID.upper()}", Ping(Action.START, RID)),
            (f"/fail?create=1&rid={RID.replace('-', '')}", Ping(Action.FAIL, RID)),
        ):
            for method in ("GET", "HEAD", "POST"):
                code, body = self.ask(f"/ping/{KEY}{suffix}", method)
                self.assertEqual((code, body), (200, b"" if method == "HEAD" else b"OK"), (method, suffix))
                self.assertEqual(self.receiver.pings.pop(), ping)

    def test_headers(self) -> None:
        for target, code in ((f"/ping/{KEY}", 200), ("/ping/other", 404), (f"/ping/{KEY}/256", 400)):
            answer = self.send(request(target), self.another())
            self.assertEqual(status(answer), code)
            for header in (b"Ping-Body-Limit: 10000", b"Access-Control-Allow-Origin: *", b"Cache-Control: no-store"):
                self.assertIn(b"\r\n" + header + b"\r\n", answer)
            self.assertNotIn(KEY.encode(), answer)

    def test_problems(self) -> None:
        for target, answer in (
            (f"/ping/{KEY}x", (404, b"not found")),
            ("/ping/", (404, b"not found")),
            ("/ping/%20", (404, b"not found")),
            (f"/ping/{KEY}/256", (400, b"invalid url format")),
            (f"/ping/{KEY}/begin", (400, b"invalid url format")),
            (f"/ping/{KEY}/start/", (400, b"invalid url format")),
            (f"/ping/{KEY}/-1", (400, b"invalid url format")),
            (f"/ping/{KEY}?rid=17", (400, b"invalid uuid format")),
            (f"/ping/{KEY}/start?rid=", (400, b"invalid uuid format")),
        ):
            self.assertEqual(self.ask(target), answer, target)
            # A body changes nothing.
            self.assertEqual(self.ask(target, "POST", b"x"), answer, target)
        self.assertEqual(self.receiver.pings, [])

    def test_refusals_of_head_are_not_logged(self) -> None:
        """Twisted logs the target of a HEAD request whose answer has a body, and targets hold keys."""
        logged: list[dict[str, Any]] = []
        globalLogPublisher.addObserver(logged.append)
        self.addCleanup(globalLogPublisher.removeObserver, logged.append)
        for target, code, length in (
            ("/ping/other", 404, 9),
            (f"/ping/{KEY}/256", 400, 18),
            (f"/push/{KEY}", 405, 18),
            ("/task/former?token=s3cret", 421, 128),
        ):
            answer = self.send(request(target, "HEAD"), self.another())
            self.assertEqual(status(answer), code)
            self.assertIn(b"\r\nContent-Length: %d\r\n" % length, answer)
            self.assertTrue(answer.endswith(b"\r\n\r\n"))
        self.assertEqual([words for words in map(formatEvent, logged) if "HEAD" in words], [])

    def test_methods(self) -> None:
        for method in ("PUT", "DELETE", "OPTIONS", "get"):
            for body in (b"", b"x"):
                answer = self.send(request(f"/ping/{KEY}", method, body), self.another())
                self.assertEqual(status(answer), 405)
                self.assertIn(b"\r\nAllow: GET, HEAD, POST\r\n", answer)

    def test_results(self) -> None:
        for result, code, body in (
            (PushResult(Taken.UNKNOWN, "not found"), 404, b"not found"),
            (PushResult(Taken.LIMITED, "too many", 12.5), 429, b"too many"),
            (PushResult(Taken.REFUSED, "not stored", 5), 503, b"not stored"),
        ):
            self.receiver.result = result
            self.assertEqual(self.ask(f"/ping/{KEY}"), (code, body))
        self.receiver.result = PushResult(Taken.LIMITED, "too many", 12.5)
        self.assertIn(b"\r\nRetry-After: 13\r\n", self.send(request(f"/ping/{KEY}"), self.another()))

    def test_a_request_to_a_proxy(self) -> None:
        self.assertEqual(self.ask(f"http://status.example/ping/{KEY}"), (200, b"OK"))

    def test_http_1_0(self) -> None:
        answer = self.send(f"GET /ping/{KEY} HTTP/1.0\r\n\r\n".encode())
        self.assertEqual((status(answer), answer[-2:]), (200, b"OK"))

    def test_kept_connection(self) -> None:
        for _ in range(3):
            self.assertTrue(self.send(request(f"/ping/{KEY}", "POST", b"out")).startswith(ANSWER))
        self.assertTrue(self.transport.connected)
        self.assertEqual(len(self.receiver.pings), 3)


class BodyTests(PushTestCase):
    def kept(self) -> bytes:
        return self.receiver.pings.pop().body

    def test_the_first_10_000_bytes_are_kept(self) -> None:
        for size in (1, PING_BODY, PING_BODY + 1, 3_000_000):
            self.assertEqual(self.ask(f"/ping/{KEY}", "POST", b"x" * size), (200, b"OK"))
            self.assertEqual(self.kept(), b"x" * min(size, PING_BODY))

    def test_in_pieces(self) -> None:
        whole = request(f"/ping/{KEY}/fail", "POST", b"disk full")
        answer = b"".join(self.send(whole[place : place + 1]) for place in range(len(whole)))
        self.assertTrue(answer.startswith(ANSWER))
        self.assertEqual(self.kept(), b"disk full")

    def test_chunked(self) -> None:
        head = request(f"/ping/{KEY}", "POST", headers=["Transfer-Encoding: chunked"])
        for chunks, body in ((b"4\r\ndisk\r\n5\r\n full\r\n0\r\n\r\n", b"disk full"), (b"0\r\n\r\n", b"")):
            self.assertTrue(self.send(head + chunks).startswith(ANSWER))
            self.assertEqual(self.kept(), body)

    def test_with_get_and_head(self) -> None:
        for method in ("GET", "HEAD"):
            self.assertEqual(self.ask(f"/ping/{KEY}", method, b"out")[0], 200)
            self.assertEqual(self.kept(), b"out")

    def test_forms_are_bodies_too(self) -> None:
        """They are not parsed, malformed ones included."""
        for kind in ("application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "multipart/form-data"):
            self.assertEqual(self.ask(f"/ping/{KEY}", "POST", b"a=1", [f"Content-Type: {kind}"]), (200, b"OK"))
            self.assertEqual(self.kept(), b"a=1")

    def test_expect(self) -> None:
        """A client that asks first is invited, unless the request is refused without its body."""
        head = ["Expect: 100-continue", "Content-Length: 3"]
        self.assertEqual(self.send(request(f"/ping/{KEY}", "POST", headers=head)), b"HTTP/1.1 100 Continue\r\n\r\n")
        self.assertTrue(self.send(b"out").startswith(ANSWER))
        self.assertEqual(self.ask("/ping/other", "POST", headers=head)[0], 404)
        self.assertEqual(self.ask("/", "POST", headers=head)[0], 405)

    def test_refused_without_its_body(self) -> None:
        """The rest is dropped, and the connection closed."""
        answer = self.send(request("/ping/other", "POST", headers=["Content-Length: 1000000"]))
        self.assertEqual(status(answer), 404)
        self.assertIn(b"\r\nConnection: close\r\n", answer)
        self.assertEqual(self.send(b"x" * 500_000), b"")

    def test_a_steady_client_has_time(self) -> None:
        size = 5 * BODY_PIECE
        self.send(request(f"/ping/{KEY}", "POST", headers=[f"Content-Length: {size}"]))
        for _ in range(4):
            self.clock.advance(REQUEST_LIMIT - 1)
            self.send(b"x" * BODY_PIECE)
        self.assertTrue(self.send(b"x" * BODY_PIECE).startswith(ANSWER))

    def test_a_client_that_trickles_has_not(self) -> None:
        self.send(request(f"/ping/{KEY}", "POST", headers=["Content-Length: 1000"]))
        for _ in range(100):
            if self.transport.connected:
                self.send(b"x")
                self.clock.advance(1)
        self.assert_gone()
        self.assertEqual(self.receiver.pings, [])

    def test_other_paths_take_none(self) -> None:
        for target, code in (("/", 405), ("/push", 405), ("/ping", 405), (f"/task/ping/{KEY}", 405), ("/pings/x", 405)):
            self.assertEqual(self.ask(target, "POST", b"x", ["Host: status.example"])[0], code, target)


class ReportTests(PushTestCase):
    def test_report(self) -> None:
        self.assertEqual(self.ask(f"/push/{KEY}", "POST", b"{}"), (200, b"OK"))
        self.assertEqual(self.receiver.reports, [(b"{}", True)])

    def test_at_most_max_body(self) -> None:
        for size, whole in ((100, True), (101, True), (102, False)):
            self.ask(f"/push/{KEY}", "POST", b"x" * size)
            self.assertEqual(self.receiver.reports.pop(), (b"x" * min(size, 101), whole))

    def test_invalid(self) -> None:
        self.receiver.result = PushResult(Taken.INVALID, 'status must be ok or error, not "\N{SNOWMAN}"')
        self.assertEqual(
            self.ask(f"/push/{KEY}", "POST", b"{}"), (400, 'status must be ok or error, not "\N{SNOWMAN}"'.encode())
        )

    def test_problems(self) -> None:
        for method in ("GET", "HEAD", "PUT"):
            answer = self.send(request(f"/push/{KEY}", method), self.another())
            self.assertEqual(status(answer), 405)
            self.assertIn(b"\r\nAllow: POST\r\n", answer)
        for target in (f"/push/{KEY}x", f"/push/{KEY}/x", "/push/"):
            self.assertEqual(self.ask(target, "POST", b"{}"), (404, b"not found"))


class WaitingTests(PushTestCase):
    def test_answered_when_it_is_kept(self) -> None:
        self.receiver.result = None
        self.assertEqual(self.send(request(f"/ping/{KEY}")), b"")
        self.receiver.waiting.callback(PushResult(Taken.KEPT))
        self.assertTrue(self.transport.value().startswith(ANSWER))

    def test_a_client_that_leaves(self) -> None:
        self.receiver.result = None
        self.send(request(f"/ping/{KEY}"))
        lose(self.transport)
        self.receiver.waiting.callback(PushResult(Taken.KEPT))
        self.assertEqual(self.transport.value(), b"")

    def test_unexpected_errors(self) -> None:
        self.receiver.result = None
        self.send(request(f"/ping/{KEY}"))
        self.receiver.waiting.errback(ZeroDivisionError())
        self.assertEqual(status(self.transport.value()), 500)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_unexpected_errors_after_the_client_has_left(self) -> None:
        self.receiver.result = None
        self.send(request(f"/ping/{KEY}"))
        lose(self.transport)
        self.receiver.waiting.errback(ZeroDivisionError())
        self.assertEqual(self.transport.value(), b"")
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)


class SheddingTests(PushTestCase):
    """Pushes that there is no time to read."""

    def test_whole_requests_keep_their_connection(self) -> None:
        self.receiver.busy = True
        for whole in (
            request(f"/ping/{KEY}"),
            request(f"/ping/{KEY}", "POST", b"out"),
            request(f"/push/{KEY}", "POST", b"{}"),
            request(f"/ping/{KEY}", "HEAD"),
        ):
            answer = self.send(whole)
            self.assertEqual(status(answer), 503)
            self.assertIn(b"\r\nRetry-After: 5\r\n", answer)
        self.receiver.busy = False
        self.assertTrue(self.send(request(f"/ping/{KEY}")).startswith(ANSWER))
        self.assertEqual(len(self.receiver.pings), 1)

    def test_others_close_it(self) -> None:
        self.receiver.busy = True
        for part in (
            request(f"/ping/{KEY}")[:-1],
            request(f"/ping/{KEY}", "POST", headers=["Content-Length: 5"]),
            request(f"/ping/{KEY}", "POST", headers=["Transfer-Encoding: chunked"]),
            request(f"/ping/{KEY}", headers=["Connection: close"]),
            f"GET /ping/{KEY} HTTP/1.0\r\n\r\n".encode(),
        ):
            self.transport = self.another()
            answer = self.send(part)
            self.assertEqual(status(answer), 503)
            self.assertIn(b"\r\nConnection: close\r\n", answer)
            self.assertEqual(self.send(b"more"), b"")

    def test_pages_are_served_meanwhile(self) -> None:
        self.receiver.busy = True
        self.assertTrue(self.send(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").startswith(ANSWER))

    def test_a_request_under_way_goes_on(self) -> None:
        whole = request(f"/ping/{KEY}", "POST", b"GET /ping/")
        self.send(whole[:-10])
        self.receiver.busy = True
        self.assertTrue(self.send(whole[-10:]).startswith(ANSWER))


class SwitchTests(PushTestCase):
    def test_pages_without_pushes(self) -> None:
        """With an endpoint of their own, pushes are not taken beside the pages."""
        self.pages.configure([], "", pushes=False)
        self.assertEqual(self.ask(f"/ping/{KEY}")[0], 404)
        self.assertEqual(self.ask(f"/ping/{KEY}", "POST", b"x")[0], 405)
        self.receiver.busy = True
        self.assertEqual(self.ask(f"/ping/{KEY}")[0], 404)

    def test_pushes_without_pages(self) -> None:
        paths, clock = PushPaths(self.receiver), Clock()
        site = serve(paths, clock, lambda: None, None, paths)
        site.doStart()
        self.addCleanup(site.doStop)

        def answer(sent: bytes) -> bytes:
            transport = Transport()
            transport.protocol = site.buildProtocol(IPv4Address("TCP", "127.0.0.1", 1))
            transport.protocol.makeConnection(transport)
            transport.protocol.dataReceived(sent)
            lose(transport)
            return transport.value()

        self.assertTrue(answer(request(f"/ping/{KEY}")).startswith(ANSWER))
        for target in ("/", "/healthz", "/task/x", "/metrics", "/push", "/pings/x"):
            refused = answer(request(target))
            self.assertEqual(status(refused), 404)
            self.assertIn(b"\r\nX-Content-Type-Options: nosniff\r\n", refused)
            self.assertNotIn(b"\r\nServer:", refused)
        self.assertEqual(status(answer(request("/", "POST", b"x"))), 405)


class TargetTests(MemoryTestCase):
    def test_keys_are_not_decoded(self) -> None:
        self.assertEqual(read(b"/ping/%6b" + b"k" * 20).key, "")
