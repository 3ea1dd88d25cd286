from __future__ import annotations

import gzip
import zlib

from treq.testing import RequestTraversalAgent
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import readBody
from twisted.web.http_headers import Headers
from twisted.web.iweb import IResponse

from pypinger.domain.kinds import Kind
from pypinger.web.serving import compression
from pypinger.web.serving.compression import PIECE, Compressor
from pypinger.web.serving.slicing import make_cooperator
from tests.web.fakes import FakeBoard, entry
from tests.web.history_pages import PagedHistory
from tests.web.pages import make_pages
from tests.web.test_app import HTML, header

HOME = b"http://localhost:3002"


class CompressedTests(SynchronousTestCase):
    """Answers as they are sent, not as a client decodes them."""

    def setUp(self) -> None:
        self.board = FakeBoard([entry(f"http://h/{n}", Kind.LATE if n == 1 else Kind.OK) for n in range(10)])
        self.clock = Clock()
        pages = make_pages(self.board, self.clock, history=PagedHistory(9), public="*")
        self.stream = pages.stream
        self.agent = RequestTraversalAgent(pages.resource)

    def ask(self, path: str, method: str = "GET", **headers: str) -> IResponse:
        named = Headers({name.replace("_", "-"): [value] for name, value in headers.items()})
        pending = self.agent.request(method.encode(), HOME + path.encode(), named)
        for _ in range(50):
            self.clock.advance(0)
            self.agent.flush()
        return self.successResultOf(pending)

    def body(self, response: IResponse) -> bytes:
        return self.successResultOf(readBody(response))

    def test_json_and_html(self) -> None:
        for path in (
            "/",
            "/task/http://h/0",
            "/task/http://h/1",
            "/incidents",
            "/deliveries",
            "/feed.atom",
            "/metrics",
        ):
            for accept in (HTML, "application/json"):
                plain = self.ask(path, Accept=accept)
                packed = self.ask(path, Accept=accept, Accept_Encoding="gzip, deflate, br")
                if len(self.body(plain)) < compression.LEAST:
                    continue
                self.assertEqual(header(packed, "Content-Encoding"), "gzip", path)
                self.assertFalse(plain.headers.hasHeader("Content-Encoding"))
                sent = self.body(packed)
                self.assertEqual(packed.length, len(sent))
                if path != "/metrics":
                    self.assertEqual(gzip.decompress(sent), self.body(self.ask(path, Accept=accept)), path)
                self.assertLess(len(sent), 0.7 * len(gzip.decompress(sent)))
                for name in ("Vary", "Content-Type", "Cache-Control", "Content-Security-Policy"):
                    self.assertEqual(header(plain, name), header(packed, name), (path, name))
                self.assertEqual(
                    header(packed, "Vary"), "Accept-Encoding" if path == "/feed.atom" else "Accept, Accept-Encoding"
                )

    def test_static_files(self) -> None:
        packed = self.ask("/static/style.css", Accept_Encoding="gzip")
        self.assertEqual(header(packed, "Content-Encoding"), "gzip")
        self.assertEqual(header(packed, "Cache-Control"), "public, max-age=86400")
        self.assertEqual(header(packed, "Vary"), "Accept-Encoding")

    def test_head(self) -> None:
        for path in ("/", "/incidents", "/static/style.css"):
            get, head = (self.ask(path, method, Accept_Encoding="gzip") for method in ("GET", "HEAD"))
            self.assertEqual(header(head, "Content-Length"), str(get.length))
            for name in ("Content-Encoding", "ETag", "Vary"):
                self.assertEqual(header(get, name), header(head, name), (path, name))
            self.assertEqual(self.body(head), b"")

    def test_entity_tags_are_weak(self) -> None:
        plain, packed = self.ask("/"), self.ask("/", Accept_Encoding="gzip")
        tag = header(plain, "ETag") or ""
        self.assertEqual(header(packed, "ETag"), f"W/{tag}")
        for sent in (tag, f"W/{tag}"):
            for coding in ("gzip", "identity"):
                again = self.ask("/", Accept_Encoding=coding, If_None_Match=sent)
                self.assertEqual((again.code, self.body(again)), (304, b""))
                self.assertEqual(header(again, "Vary"), "Accept, Accept-Encoding")
                self.assertFalse(again.headers.hasHeader("Content-Encoding"))
                self.assertEqual(header(again, "ETag"), tag if coding == "identity" else f"W/{tag}")

    def test_clients_that_do_not_want_it(self) -> None:
        for coding in ("", "identity", "br", "gzip;q=0", "*;q=0", "gzip;q=0.2, identity;q=0.9", "gzip;q=x"):
            self.assertFalse(self.ask("/", Accept_Encoding=coding).headers.hasHeader("Content-Encoding"), coding)

    def test_short_bodies(self) -> None:
        self.board.set([])
        for path in ("/", "/nothing", "/healthz", "/status", "/incidents?x=1", "/static/ok.svg"):
            response = self.ask(path, Accept_Encoding="gzip")
            self.assertFalse(response.headers.hasHeader("Content-Encoding"), path)
            self.assertEqual(response.length, len(self.body(response)))

    def test_task_in_trouble(self) -> None:
        response = self.ask("/task/http://h/1", Accept=HTML, Accept_Encoding="gzip")
        self.assertEqual((response.code, header(response, "Content-Encoding")), (500, "gzip"))

    def test_the_stream_is_never_compressed(self) -> None:
        pending = self.agent.request(b"GET", HOME + b"/events", Headers({"Accept-Encoding": ["gzip"]}))
        self.clock.advance(0)
        self.agent.flush()
        response = self.successResultOf(pending)
        self.assertFalse(response.headers.hasHeader("Content-Encoding"))
        self.stream.close()
        self.agent.flush()
        self.assertTrue(self.body(response).startswith(b"retry:"))


class Turns(Clock):
    """Counts the turns of the reactor that work takes, one each time `advance` is called."""

    def advance(self, amount: float) -> None:
        for call in [each for each in self.calls if each.getTime() <= self.seconds()]:
            self.calls.remove(call)
            call.called = 1
            call.func(*call.args, **call.kw)


class CompressorTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Turns()
        self.compressor = Compressor(make_cooperator(self.clock))

    def compress(self, body: bytes) -> Deferred[bytes]:
        return Deferred.fromCoroutine(self.compressor.compress(body))

    def spend(self, size: int) -> None:
        """Let each slice take the whole share of a turn."""
        real = zlib.compressobj

        class Slow:
            def __init__(inner, *arguments: int) -> None:
                inner.packer = real(*arguments)
                self.objects += 1

            def compress(inner, data: bytes) -> bytes:
                self.clock.rightNow += 1
                self.assertLessEqual(len(data), size)
                return inner.packer.compress(data)

            def flush(inner) -> bytes:
                return inner.packer.flush()

        self.objects = 0
        self.patch(compression.zlib, "compressobj", Slow)

    def test_long_bodies_in_slices(self) -> None:
        self.spend(PIECE)
        body = bytes(range(256)) * 4096
        pending = self.compress(body)
        turns = 0
        while not pending.called:
            self.clock.advance(0)
            turns += 1
            self.assertLess(turns, 100)
        self.assertGreaterEqual(turns, len(body) // PIECE)
        self.assertEqual(gzip.decompress(self.successResultOf(pending)), body)

    def test_once_for_all_who_get_the_same(self) -> None:
        self.spend(PIECE)
        body = b"x" * (4 * PIECE)
        first = self.compress(body)
        self.clock.advance(0)
        self.clock.advance(0)
        second = self.compress(body)
        self.clock.pump([0] * 20)
        third = self.compress(body)
        results = {self.successResultOf(each) for each in (first, second, third)}
        self.assertEqual((len(results), self.objects), (1, 1))

    def test_equal_bodies_of_others(self) -> None:
        for number in range(5):
            pending = self.compress(bytes([number]) * (2 * PIECE))
            self.clock.pump([0] * 10)
            self.assertEqual(gzip.decompress(self.successResultOf(pending))[:1], bytes([number]))

    def test_a_client_that_leaves(self) -> None:
        self.spend(PIECE)
        body = b"x" * (4 * PIECE)
        first, second = self.compress(body), self.compress(body)
        self.clock.advance(0)
        first.cancel()
        self.clock.pump([0] * 20)
        self.failureResultOf(first)
        self.assertEqual(gzip.decompress(self.successResultOf(second)), body)

    def test_short_bodies_at_once(self) -> None:
        self.assertEqual(gzip.decompress(self.successResultOf(self.compress(b"x" * PIECE))), b"x" * PIECE)
