from __future__ import annotations

import json
import shutil
import socket
from collections.abc import Callable
from math import nan
from pathlib import Path

import treq
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from twisted.internet import reactor
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, UNIXClientEndpoint, connectProtocol
from twisted.internet.error import ConnectError, ProcessDone, ProcessTerminated
from twisted.internet.interfaces import IListeningPort
from twisted.internet.protocol import ProcessProtocol, Protocol, connectionDone
from twisted.internet.task import Clock, deferLater
from twisted.python.failure import Failure
from twisted.trial.unittest import SkipTest, SynchronousTestCase, TestCase

from pypinger.domain.judge import judge
from pypinger.domain.kinds import Kind, Status
from pypinger.domain.model import Fault, Finding, Invalid, NoAnswer, Report, Reported, Window
from pypinger.domain.times import span
from pypinger.ports.showing import DaemonState, Entry, Sharing
from pypinger.web.serving.stream import MANY, READERS, SILENCE, TICK, EventStream
from tests.acceptance.process import free_port
from tests.web.fakes import (
    NIGHT,
    NOW,
    SILENCED,
    FakeBoard,
    acknowledged,
    daemon_state,
    entry,
    instance,
    new_entry,
    with_incident,
)
from tests.web.pages import make_pages
from tests.web.serving.memory import Transport
from tests.web.test_app import AppTestCase

Event = tuple[str, object]

LENGTHS = st.one_of(st.floats(-1e6, 1e6), st.floats())

#: Findings of every kind.
FINDINGS = (
    Reported(200, Report(ok=True, lastrun=NOW)),
    Reported(200, Report(ok=True, lastrun=NOW, frequency=120.0, sleep=(NIGHT, Window(36_000, 5400.0)))),
    Reported(200, Report(ok=True, lastrun=NOW + 86_400)),
    Reported(503, Report(ok=False, lastrun=NOW, reason="disk full since 3 min")),
    Invalid(502, "the body is not JSON"),
    NoAnswer(Fault.TIMEOUT, "no answer within 20 s: still waiting for the headers", 20.0),
)

ASK = b"GET /events HTTP/1.1\r\nHost: localhost\r\n"


def changed(before: Entry, words: str) -> Entry:
    """The task after a check with another explanation."""
    assert before.state.verdict is not None
    return Entry(before.task, replace(before.state, verdict=replace(before.state.verdict, explanation=words)))


def checked(before: Entry) -> Entry:
    """The task after a check without a visible change."""
    return Entry(before.task, replace(before.state, pings=before.state.pings + 1, checked=NOW))


def events(text: bytes) -> list[Event]:
    """The events of a stream, as a browser parses them."""
    found = []
    for block in text.decode("utf-8").split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if "event" in fields:
            int(fields["id"])
            found.append((fields["event"], json.loads(fields["data"])))
    return found


class StreamTests(SynchronousTestCase):
    """The stream over connections in memory."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.board = FakeBoard([entry("http://h/a"), entry("http://h/b", Kind.LATE), new_entry("http://h/c")])
        self.site = make_pages(self.board, self.clock).site
        self.site.doStart()
        self.stream = self.connect()

    def connect(self, head: bytes = ASK) -> Transport:
        transport = Transport()
        transport.protocol = self.site.buildProtocol(IPv4Address("TCP", "127.0.0.1", 1))
        transport.protocol.makeConnection(transport)
        transport.protocol.dataReceived(head + b"\r\n")
        return transport

    def heard(self, transport: Transport | None = None) -> bytes:
        """The new data, without the chunked encoding."""
        transport = transport or self.stream
        text = transport.value()
        transport.clear()
        body = text.partition(b"\r\n\r\n")[2] if text.startswith(b"HTTP/") else text
        chunks = b""
        while body:
            size, _, rest = body.partition(b"\r\n")
            chunks, body = chunks + rest[: int(size, 16)], rest[int(size, 16) + 2 :]
        return chunks

    def tick(self) -> list[Event]:
        self.clock.advance(TICK + 0.001)
        return events(self.heard())

    def test_head_of_the_answer(self) -> None:
        for transport in (self.stream, self.connect(ASK.replace(b"GET", b"HEAD"))):
            head = transport.value().partition(b"\r\n\r\n")[0]
            self.assertTrue(head.startswith(b"HTTP/1.1 200 OK\r\n"))
            for line in (
                b"Content-Type: text/event-stream",
                b"Cache-Control: no-store",
                b"X-Accel-Buffering: no",
                b"X-Content-Type-Options: nosniff",
            ):
                self.assertIn(b"\r\n" + line, head)
        self.assertEqual(self.heard(), b"retry: 3000\n\n")

    def test_change(self) -> None:
        self.board.show(entry("http://h/a", Kind.FAILED))
        task = self.board.entries()[0].task
        data = {
            "id": task.id,
            "status": "error",
            "was": "ok",
            "kind": "failed",
            "unseen": False,
            "checked": "2026-11-22T22:28:13.000Z",
            "changed": "kind",
        }
        self.assertEqual(self.tick(), [("task", data)])
        self.assertEqual(self.tick(), [])

    def test_within_a_second(self) -> None:
        self.assertLess(TICK, 1)

    def test_no_event_without_a_visible_change(self) -> None:
        for each in self.board.entries()[:2]:
            self.board.show(checked(each))
        self.assertEqual(self.tick(), [])

    def test_every_kind_of_change(self) -> None:
        first = entry("http://h/a", Kind.LATE)
        incident = first.state.incident
        assert incident is not None
        for made in (
            first,
            changed(first, "another"),
            Entry(first.task, replace(first.state, incident=replace(incident, alerts=9))),
            entry("http://h/a"),
        ):
            self.board.show(made)
            self.assertEqual([event for event, _ in self.tick()], ["task"])

    def test_importance_of_changes(self) -> None:
        first = entry("http://h/a", Kind.LATE)
        assert first.state.report is not None
        self.board.show(first)
        self.tick()
        for words, members, change in (
            ("12 min late, at 21:55:00 UTC", {}, "words"),
            ("13 min late, at 21:56:00 UTC", {}, "time"),
            ("1 h 2 min late, at 2026-11-21 23:56:00 UTC", {}, "time"),
            ("1 h 2 min late, at 2026-11-21 23:56:00 UTC", {"lastrun": NOW - 7}, "report"),
            ("2 d late, at 23:57:00 UTC", {"lastrun": NOW - 6}, "report"),
            ("down: HTTP 500", {}, "words"),
            ("down: HTTP 503", {"lastrun": NOW}, "words"),
        ):
            made = changed(self.board.entries()[0], words)
            assert made.state.report is not None
            made = Entry(made.task, replace(made.state, report=replace(made.state.report, **members)))
            self.board.show(made)
            [(_, data)] = self.tick()
            self.assertEqual(data["changed"], change, words)
        # One more alert is only a count; a change that was undone is none.
        last = self.board.entries()[0]
        assert last.state.incident is not None
        self.board.show(Entry(last.task, replace(last.state, incident=replace(last.state.incident, alerts=9))))
        self.assertEqual([data["changed"] for _, data in self.tick()], ["time"])
        self.board.show(changed(last, "down: HTTP 504"))
        self.board.show(changed(last, "down: HTTP 503"))
        self.assertEqual([data["changed"] for _, data in self.tick()], ["time"])

    def test_silenced_acknowledged_and_flapping(self) -> None:
        """Pages show it at once, as people wait for it."""
        late = entry("http://h/a", Kind.LATE)
        self.board.show(late)
        self.tick()
        silenced, taken = replace(late, muted=SILENCED), acknowledged(late)
        longer = replace(late, muted=replace(SILENCED, until=NOW + 7200))
        for made in (silenced, longer, late, taken, late, with_incident(late, flapping=True), late):
            self.board.show(made)
            self.assertEqual([data["changed"] for _, data in self.tick()], ["kind"])
        # How long a flapping task has kept its status is not shown.
        self.board.show(with_incident(late, steady=60.0))
        self.assertEqual(self.tick(), [])

    def test_instances(self) -> None:
        """Who watches a task is no more urgent than a report; a change of the instances shows at once."""
        self.board.show(replace(self.board.entries()[0], owner="a"))
        self.assertEqual([data["changed"] for _, data in self.tick()], ["report"])
        for sharing in (
            Sharing("a", (instance("a"),)),
            Sharing("a", (instance("a"), instance("b"))),
            Sharing("a", (instance("a"), instance("b", digest="two"))),
            Sharing("a", (instance("a"), instance("b", blind=NOW))),
            Sharing("a", (instance("a"),), away=NOW),
        ):
            self.board.state = daemon_state(sharing=sharing)
            self.assertEqual([event for event, _ in self.tick()], ["self"])
            self.board.state = daemon_state(sharing=replace(sharing, words="why"))
            self.assertEqual(self.tick(), [])

    def test_another_incident(self) -> None:
        """It is news even if the kind and the explanation are the same."""
        late = entry("http://h/a", Kind.LATE)
        assert late.state.incident is not None
        other = replace(late.state.incident, started=NOW - 60)
        self.board.show(late)
        self.tick()
        for incident in (None, other, late.state.incident):
            self.board.show(Entry(late.task, replace(late.state, incident=incident)))
            self.assertEqual([data["changed"] for _, data in self.tick()], ["words"])

    @settings(deadline=None)
    @given(st.sampled_from(("last ran {} ago; runs every 10 min", "{} from now", "{} late")), LENGTHS, LENGTHS)
    @example("{} ago", -0.5, nan)
    @example("{} ago", 0.5, 1e12)
    def test_times_are_not_words(self, words: str, one: float, other: float) -> None:
        self.board.show(changed(entry("http://h/a"), words.format(span(one))))
        self.tick()
        self.board.show(changed(entry("http://h/a"), words.format(span(other))))
        self.assertIn([data["changed"] for _, data in self.tick()], ([], ["time"]))

    @settings(deadline=None)
    @given(st.sampled_from(FINDINGS), st.floats(0, 86_400), st.floats(0, 4000))
    @example(FINDINGS[0], 0.5, 1.0)
    def test_passing_time(self, finding: Finding, age: float, later: float) -> None:
        """A finding that is judged again as the same kind is no news."""
        made = entry("http://h/a")
        verdicts = [judge(finding, made.task, NOW + at) for at in (age, age + later)]
        before, after = (Entry(made.task, replace(made.state, verdict=verdict)) for verdict in verdicts)
        self.board.set([before])
        self.stream.loseConnection()
        self.stream = self.connect()
        self.heard()
        self.board.show(after)
        if verdicts[0].kind is verdicts[1].kind:
            self.assertIn([data["changed"] for _, data in self.tick()], ([], ["time"]), verdicts)

    def test_unseen(self) -> None:
        made = self.board.entries()[0]
        for unseen in (NOW, None):
            self.board.show(Entry(made.task, made.state, seen=NOW, unseen=unseen))
            [(_, data)] = self.tick()
            self.assertEqual((data["changed"], data["unseen"], data["kind"]), ("kind", unseen is not None, "ok"))
        self.board.show(Entry(made.task, made.state, seen=NOW + 60))
        self.assertEqual(self.tick(), [])

    def test_changes_of_one_task_are_merged(self) -> None:
        for i in range(50):
            self.board.show(changed(self.board.entries()[0], f"{i}"))
        self.assertEqual(len(self.tick()), 1)

    def test_previous_status(self) -> None:
        """The status sent last counts, not those between two messages."""
        late, good = entry("http://h/a", Kind.LATE), entry("http://h/a")
        for shown, was in (
            ((late,), "ok"),
            ((changed(late, "still"),), "error"),
            ((good, late, good), "error"),
            ((entry("http://h/c"),), ""),
        ):
            for made in shown:
                self.board.show(made)
            [(_, data)] = self.tick()
            self.assertEqual(data["was"], was)

    def test_many(self) -> None:
        self.stream.loseConnection()
        self.board.set([entry(f"http://h/{i}") for i in range(MANY + 1)])
        self.stream = self.connect()
        self.heard()
        for each in self.board.entries()[:MANY]:
            self.board.show(changed(each, "x"))
        self.assertEqual([event for event, _ in self.tick()], ["task"] * MANY)
        for each in self.board.entries():
            self.board.show(changed(each, "y"))
        self.assertEqual(self.tick(), [("many", {"count": MANY + 1, "changed": "words"})])
        self.board.show(entry("http://h/0", Kind.LATE))
        for each in self.board.entries():
            self.board.show(changed(each, "z"))
        self.assertEqual(self.tick(), [("many", {"count": MANY + 1, "changed": "kind"})])

    def test_news_among_many(self) -> None:
        """An important change is sent singly, however many unimportant ones there are."""
        self.stream.loseConnection()
        self.board.set([changed(entry(f"http://h/{i}", Kind.LATE), "1 min late") for i in range(2 * MANY)])
        self.stream = self.connect()
        self.heard()
        for each in self.board.entries()[1:]:
            self.board.show(changed(each, "2 min late"))
        self.board.show(changed(self.board.entries()[0], "never ran"))
        (task, data), many = self.tick()
        assert isinstance(data, dict)
        self.assertEqual((task, data["id"], data["changed"]), ("task", self.board.entries()[0].task.id, "words"))
        self.assertEqual(many, ("many", {"count": 2 * MANY - 1, "changed": "time"}))
        for each in self.board.entries():
            self.board.show(changed(each, "3 min late"))
        self.tick()
        for each in self.board.entries():
            self.board.show(changed(each, "4 min late"))
        self.assertEqual(self.tick(), [("many", {"count": 2 * MANY, "changed": "time"})])

    def test_reload(self) -> None:
        self.board.set(self.board.entries()[:2])
        self.assertEqual(self.tick(), [("many", {"count": 0, "changed": "kind"})])
        self.assertEqual(self.tick(), [])
        self.board.set([*self.board.entries(), entry("http://h/d")])
        self.board.show(self.board.entries()[2])
        self.assertEqual(self.tick(), [("many", {"count": 1, "changed": "kind"})])

    def test_self(self) -> None:
        self.board.state = daemon_state(lastrun=NOW, explanation="running for 2 s")
        self.assertEqual(self.tick(), [])
        for state in (daemon_state(undelivered=1), daemon_state(status=Status.ERROR, explanation="stuck")):
            self.board.state = state
            [(event, data)] = self.tick()
            assert isinstance(data, dict)
            self.assertEqual((event, data["status"], data["undelivered"]), ("self", state.status, state.undelivered))
        self.board.state = daemon_state(status=Status.ERROR, explanation="stuck, and more")
        self.assertEqual(len(self.tick()), 1)

    def test_heartbeat(self) -> None:
        self.heard()
        self.clock.pump([TICK + 0.001] * round((SILENCE + TICK) / TICK))
        self.assertEqual(self.heard(), b":\n\n")

    def test_stream_has_no_time_limit(self) -> None:
        for _ in range(100):
            self.clock.pump([TICK] * 10)
        self.assertTrue(self.stream.connected)
        self.assertIn(b":\n\n", self.heard())

    def test_reconnect(self) -> None:
        for last in (b"7", b"", b"\xff nonsense"):
            back = self.connect(ASK + b"Last-Event-ID: " + last + b"\r\n")
            self.assertEqual(events(self.heard(back)), [("many", {"count": 3, "changed": "kind"})])

    def test_full_buffer(self) -> None:
        self.stream.producer.pauseProducing()  # type: ignore[union-attr]
        self.assertTrue(self.stream.aborted)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_idle_without_readers(self) -> None:
        other = self.connect()
        self.stream.loseConnection()
        self.assertTrue(self.clock.getDelayedCalls())
        other.loseConnection()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.board.watchers, 0)
        self.board.show(entry("http://h/a", Kind.FAILED))
        self.stream = self.connect()
        self.heard()
        self.assertEqual(self.tick(), [])

    def test_limit_of_readers(self) -> None:
        others = [self.connect() for _ in range(READERS - 1)]
        answer = self.connect().value()
        self.assertTrue(answer.startswith(b"HTTP/1.1 503 Service Unavailable\r\n"))
        self.assertIn(b"\r\nRetry-After: 30\r\n", answer)
        self.assertIn(b"\r\nCache-Control: no-store\r\n", answer)
        others[0].loseConnection()
        self.assertTrue(self.connect().value().startswith(b"HTTP/1.1 200 OK\r\n"))

    def test_stop(self) -> None:
        self.heard()
        self.site.doStop()
        self.assertEqual(self.stream.value(), b"0\r\n\r\n")
        self.assertFalse(self.stream.connected)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_stop_without_readers(self) -> None:
        self.stream.loseConnection()
        self.site.doStop()

    def test_unexpected_error(self) -> None:
        class Broken(FakeBoard):
            def daemon(self) -> DaemonState:
                raise RuntimeError

        good, self.board.__class__ = self.board.__class__, Broken
        self.assertEqual(self.tick(), [])
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.board.__class__ = good
        self.board.show(entry("http://h/a", Kind.FAILED))
        self.assertEqual(len(self.tick()), 1)

    def test_number_of_readers(self) -> None:
        stream = EventStream(self.board, self.clock)
        self.assertEqual(stream.readers, 0)


class Reader(Protocol):
    """Reads the stream."""

    def __init__(self) -> None:
        self.received = b""
        self.closed: Deferred[None] = Deferred()

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.write(ASK + b"\r\n")

    def dataReceived(self, data: bytes) -> None:
        self.received += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.closed.callback(None)


class SocketTests(TestCase):
    """The stream over real sockets, with a clock in memory."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.board = FakeBoard([entry(f"http://h/{i}") for i in range(MANY)])
        pages = make_pages(self.board, self.clock)
        self.site, self.stream = pages.site, pages.stream
        self.port: IListeningPort = reactor.listenTCP(0, self.site, interface="127.0.0.1")
        self.addCleanup(self.port.stopListening)

    async def connect(self) -> Reader:
        reader = Reader()
        where = TCP4ClientEndpoint(reactor, "127.0.0.1", self.port.getHost().port)
        await connectProtocol(where, reader)
        self.addCleanup(reader.transport.abortConnection)  # type: ignore[union-attr]
        await self.until(lambda: b"retry" in reader.received)
        return reader

    async def until(self, true: Callable[[], bool]) -> None:
        while not true():
            await deferLater(reactor, 0.005)

    def storm(self, words: str) -> None:
        for each in self.board.entries():
            self.board.show(changed(each, words))
        self.clock.advance(TICK + 0.001)

    async def test_change(self) -> None:
        reader = await self.connect()
        self.board.show(entry("http://h/1", Kind.LATE))
        self.clock.advance(TICK + 0.001)
        await self.until(lambda: b'"kind":"late"' in reader.received)

    async def test_reader_disconnects(self) -> None:
        reader = await self.connect()
        assert reader.transport is not None
        reader.transport.loseConnection()
        await self.until(lambda: self.board.watchers == 0)

    async def test_slow_reader_is_dropped(self) -> None:
        good = await self.connect()
        slow = socket.socket()
        self.addCleanup(slow.close)
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.connect(("127.0.0.1", self.port.getHost().port))
        slow.sendall(ASK + b"\r\n")
        await self.until(lambda: self.readers() == 2)
        sent = 0
        while self.readers() == 2:
            self.storm(str(sent))
            sent += 1
            self.assertLess(sent, 100)
            await deferLater(reactor, 0.005)
        await self.until(lambda: good.received.count(b"event: task") == sent * MANY)
        slow.settimeout(5)
        taken = 0
        with self.assertRaises(ConnectionResetError):
            while data := slow.recv(65536):
                taken += len(data)
        self.assertLess(taken, 400_000)

    async def test_stop(self) -> None:
        readers = [await self.connect() for _ in range(3)]
        await self.port.stopListening()
        for reader in readers:
            await reader.closed
            self.assertTrue(reader.received.endswith(b"0\r\n\r\n"))

    async def test_unix_socket(self) -> None:
        path = self.mktemp()
        port = reactor.listenUNIX(path, self.site)
        self.addCleanup(port.stopListening)
        reader = Reader()
        await connectProtocol(UNIXClientEndpoint(reactor, path), reader)
        await self.until(lambda: b"retry" in reader.received)
        self.storm("x")
        await self.until(lambda: reader.received.count(b"event: task") == MANY)
        assert reader.transport is not None
        reader.transport.loseConnection()
        await self.until(lambda: self.board.watchers == 0)

    def readers(self) -> int:
        return self.stream.readers


class OtherServerTests(AppTestCase):
    """The stream served by Twisted's own site."""

    def test_stream(self) -> None:
        response = self.ask("/events")
        self.assertEqual(response.code, 200)
        got: list[bytes] = []
        treq.collect(response, got.append)
        self.board.show(entry("http://h/a", Kind.FAILED))
        self.clock.advance(TICK)
        self.treq.flush()
        self.assertEqual([event for event, _ in events(b"".join(got))], ["task"])


class Process(ProcessProtocol):
    """A process."""

    def __init__(self) -> None:
        self.ended: Deferred[None] = Deferred()

    def processEnded(self, reason: Failure) -> None:
        reason.trap(ProcessDone, ProcessTerminated)
        self.ended.callback(None)


class NginxTests(TestCase):
    """The stream through a buffering proxy."""

    async def test_through_nginx(self) -> None:
        nginx = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
        if nginx is None:
            raise SkipTest("there is no nginx")
        board = FakeBoard([entry("http://h/a")])
        port = reactor.listenTCP(0, make_pages(board, reactor).site, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        number = free_port()
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        configuration = folder / "nginx.conf"
        temporary = "".join(
            f"{name}_temp_path {folder}/{name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        configuration.write_text(
            f"pid {folder}/pid; error_log {folder}/error.log; daemon off; master_process off; events {{}}\n"
            f"http {{ access_log off; gzip on; {temporary} server {{ listen 127.0.0.1:{number};\n"
            f"location / {{ proxy_pass http://127.0.0.1:{port.getHost().port}; }} }} }}\n"
        )
        process = Process()
        command = [nginx, "-p", str(folder), "-c", str(configuration), "-e", str(folder / "error.log")]
        transport = reactor.spawnProcess(process, nginx, command)
        self.addCleanup(lambda: process.ended)
        self.addCleanup(transport.signalProcess, "KILL")
        reader = Reader()
        while True:
            try:
                await connectProtocol(TCP4ClientEndpoint(reactor, "127.0.0.1", number), reader)
                break
            except ConnectError as error:
                if process.ended.called:
                    raise AssertionError((folder / "error.log").read_text()) from error
                await deferLater(reactor, 0.05)
        self.addCleanup(reader.transport.abortConnection)  # type: ignore[union-attr]
        while b"retry" not in reader.received:
            await deferLater(reactor, 0.01)
        board.show(entry("http://h/a", Kind.LATE))
        while b'"kind":"late"' not in reader.received:
            await deferLater(reactor, 0.01)
        assert reader.transport is not None
        reader.transport.abortConnection()
        while board.watchers:
            await deferLater(reactor, 0.01)
