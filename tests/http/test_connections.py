"""Connections are opened, kept, closed and limited in number."""

from __future__ import annotations

import errno
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectBindError, ConnectError, NotConnectingError, getConnectError
from twisted.trial.unittest import SynchronousTestCase

from pypinger.domain.model import Answer, Fault, Task
from pypinger.http import fetcher
from pypinger.http.fetcher import TaskFetcher
from pypinger.http.wire.limits import Limits, free_descriptors
from tests.http.faults import REPORT, answer
from tests.http.memory import Bench


def task(host: str = "127.0.0.1", **more: Any) -> Task:
    """Return a task at a host."""
    return Task(url=f"http://{host}/", id="id", name="name", label="label", **{"timeout": 20.0, **more})


class Base(SynchronousTestCase):
    limits = Limits()

    def setUp(self) -> None:
        self.bench = Bench(self.limits)
        self.reactor = self.bench.reactor
        self.pool = self.bench.pool
        self.addCleanup(self.bench.close)

    def hosts(self) -> list[str]:
        return [host for host, *_ in self.reactor.tcpClients]

    def know(self, host: str, *addresses: str) -> None:
        self.bench.fetcher.network.names._known[host] = (1e9, addresses)

    def once(self, host: str = "127.0.0.1", wire: Any = None, reply: bytes = answer()) -> Any:
        """Make one check that is answered; returns its transport."""
        running = self.bench.fetch(task(host))
        if wire is None or wire.how:
            wire = self.bench.connect()
        wire.asked()
        wire.arrives(reply)
        self.assertEqual(REPORT, self.successResultOf(running).body)
        return wire


class Making(Base):
    """Opening a connection."""

    def test_next_after_a_failure(self) -> None:
        self.know("a.example", "::1", "127.0.0.1")
        running = self.bench.fetch(task("a.example"))
        self.assertEqual(["::1"], self.hosts())
        self.bench.refuse(getConnectError((errno.ECONNREFUSED, "x")))
        self.assertEqual(["::1", "127.0.0.1"], self.hosts())
        self.bench.connect().arrives(answer())
        self.assertEqual(Answer, type(self.successResultOf(running)))

    def test_next_after_a_moment(self) -> None:
        """The first address that connects wins, the other attempts are stopped."""
        self.know("a.example", "::1", "127.0.0.1", "10.0.0.1")
        running = self.bench.fetch(task("a.example"))
        self.reactor.advance(0.3)
        self.assertEqual(["::1", "127.0.0.1"], self.hosts())
        wire = self.bench.connect(1)
        self.assertTrue(self.reactor.connectors[0].stoppedConnecting)
        self.reactor.advance(0.3)
        self.assertEqual(2, len(self.hosts()))
        # An attempt that still succeeds is dropped, and one that fails is ignored.
        self.assertIsNone(self.reactor.tcpClients[0][2].buildProtocol(IPv4Address("TCP", "x", 1)))
        self.bench.refuse(ConnectError(), 0)
        wire.arrives(answer())
        self.assertEqual(Answer, type(self.successResultOf(running)))

    def test_the_one_that_won(self) -> None:
        """A connector that has connected is not stopped."""
        running = self.bench.fetch(task())

        def stop() -> None:
            raise NotConnectingError

        self.reactor.connectors[0].stopConnecting = stop
        self.bench.connect().arrives(answer())
        self.successResultOf(running)

    def test_failures(self) -> None:
        def refused(number: int) -> Exception:
            return getConnectError((number, "x"))

        for addresses, errors, fault, words in (
            (["10.0.0.1"], [refused(errno.ECONNREFUSED)], Fault.REFUSED, "refused by a.example:80 (10.0.0.1)"),
            (["10.0.0.1"], [refused(errno.EHOSTUNREACH)], Fault.CONNECT, "(10.0.0.1): no route to host"),
            (["10.0.0.1"], [refused(errno.ETIMEDOUT)], Fault.CONNECT, "connection timed out"),
            (["10.0.0.1"], [ConnectError()], Fault.CONNECT, "cannot connect to a.example:80 (10.0.0.1)"),
            (["10.0.0.1"], [refused(errno.ENETUNREACH)], Fault.NO_ROUTE, "no route to the network (ENETUNREACH)"),
            (["10.0.0.1"], [refused(errno.ENETDOWN)], Fault.NO_ROUTE, "(ENETDOWN)"),
            (["10.0.0.1"], [refused(errno.EADDRNOTAVAIL)], Fault.NO_ROUTE, "no free local port (EADDRNOTAVAIL)"),
            (["10.0.0.1"], [ConnectBindError(errno.EMFILE, "x")], Fault.OWN, "descriptors (EMFILE)"),
            (["10.0.0.1"], [ConnectBindError(errno.ENFILE, "x")], Fault.OWN, "descriptors (ENFILE)"),
            (["::1"], [refused(errno.ENETUNREACH)], Fault.CONNECT, "does not reach it over IPv6"),
            (["::1"], [refused(errno.EADDRNOTAVAIL)], Fault.CONNECT, "does not reach it over IPv6"),
            (
                ["::1", "10.0.0.1"],
                [refused(errno.ENETUNREACH), refused(errno.ECONNREFUSED)],
                Fault.REFUSED,
                "10.0.0.1",
            ),
            (["10.0.0.1", "::1"], [refused(errno.ENETUNREACH), refused(errno.ECONNREFUSED)], Fault.REFUSED, "::1"),
        ):
            self.know("a.example", *addresses)
            running = self.bench.fetch(task("a.example"))
            for error in errors:
                self.bench.refuse(error)
            found = self.successResultOf(running)
            self.assertEqual((fault, True), (found.fault, words in found.words), found)
            self.assertEqual(0, len(self.pool))

    def test_addresses_forgotten(self) -> None:
        """Addresses that do not answer are looked up again."""
        self.know("a.example", "10.0.0.1")
        running = self.bench.fetch(task("a.example"))
        self.bench.refuse(getConnectError((errno.ECONNREFUSED, "x")))
        self.successResultOf(running)
        self.assertEqual({}, self.bench.fetcher.network.names._known)

    def test_unknown_interface(self) -> None:
        """A link-local address with an unknown interface fails at once."""

        def connect(*args: object) -> None:
            raise OSError(errno.ENODEV, "no such device")

        self.patch(self.reactor, "connectTCP", connect)
        found = self.successResultOf(self.bench.fetch(task("[fe80::1%25nope]")))
        self.assertEqual((Fault.CONNECT, True), (found.fault, "no such device" in found.words))

    def test_cancelled(self) -> None:
        """No attempt is left."""
        self.know("a.example", "10.0.0.1", "10.0.0.2")
        running = self.bench.fetch(task("a.example"))
        self.reactor.advance(0.3)
        running.cancel()
        self.failureResultOf(running, CancelledError)
        self.assertEqual([True, True], [connector.stoppedConnecting for connector in self.reactor.connectors])
        self.assertEqual(0, len(self.pool))
        self.bench.refuse(ConnectError())

    def test_late(self) -> None:
        running = self.bench.fetch(task(timeout=1.0))
        self.reactor.advance(1)
        found = self.successResultOf(running)
        self.assertEqual("no answer within 1 s: still connecting to 127.0.0.1:80", found.words)
        self.assertEqual(0, len(self.pool))

    def test_late_look_up(self) -> None:
        self.bench.fetcher.network.names._start = lambda run: None
        running = self.bench.fetch(task("a.example", timeout=1.0))
        self.reactor.advance(1)
        found = self.successResultOf(running)
        self.assertEqual(
            (Fault.TIMEOUT, "no answer within 1 s: still looking up a.example"), (found.fault, found.words)
        )

    def test_late_tls(self) -> None:
        """A handshake that is not complete in time is aborted."""
        asked = Task(url="https://127.0.0.1/", id="", name="", label="", timeout=1.0)
        running = self.bench.fetch(asked)
        wire = self.bench.connect()
        self.assertNotEqual(b"", wire.asked())
        self.reactor.advance(1)
        self.assertEqual(Fault.TIMEOUT, self.successResultOf(running).fault)
        self.assertEqual("aborted", wire.how)

    def test_surprise(self) -> None:
        """An error in the client itself does not raise."""
        broken = TaskFetcher(self.reactor)

        def surprise(*args: object) -> None:
            raise RuntimeError("surprise")

        self.patch(broken.network, "route", surprise)
        found = self.successResultOf(Deferred.fromCoroutine(broken.fetch(task())))
        self.assertEqual((Fault.BROKEN, True), (found.fault, "in Py Pinger itself" in found.words))
        self.assertEqual(1, len(self.flushLoggedErrors(RuntimeError)))

    def test_bad_url(self) -> None:
        found = self.successResultOf(self.bench.fetch(task("127.0.0.1:70000")))
        self.assertEqual(Fault.URL, found.fault)


class Keeping(Base):
    """Keeping connections between checks."""

    def test_reused(self) -> None:
        wire = self.once()
        for _ in range(3):
            self.assertIs(wire, self.once(wire=wire))
        self.assertEqual(1, len(self.hosts()))

    def test_request(self) -> None:
        """The request, byte by byte."""
        self.bench.fetch(Task(url="http://a:b@127.0.0.1:81/x%20y|ü?z#f", id="", name="", label="")).addErrback(
            lambda _: None
        )
        asked = self.bench.connect().asked()
        self.assertEqual(
            b"GET /x%20y|%C3%BC?z HTTP/1.1\r\nHost: 127.0.0.1:81\r\nUser-Agent: py-pinger/1.0.0\r\n"
            b"Accept: application/json\r\nAuthorization: Basic YTpi\r\nAccept-Encoding: gzip, deflate\r\n\r\n",
            asked,
        )

    def test_changed_task(self) -> None:
        """A changed task is asked with its new settings."""
        wire = self.once()
        self.once(wire=wire)
        running = self.bench.fetch(task(credentials="a:b"))
        self.assertIn(b"Authorization", wire.asked())
        wire.arrives(answer())
        self.successResultOf(running)

    def test_many_tasks(self) -> None:
        """The memory for tasks that have left the configuration is bounded."""
        self.patch(fetcher, "_MAX_PREPARED", 2)
        for index in range(5):
            self.once(f"10.0.0.{index}")
        self.assertLessEqual(len(self.bench.fetcher._prepared), 2)

    def test_idle(self) -> None:
        """A connection is closed after 90 idle seconds, and not before."""
        first = self.once("10.0.0.1")
        self.reactor.advance(50)
        second = self.once("10.0.0.2")
        self.reactor.advance(39.9)
        self.assertEqual("", first.how)
        self.reactor.advance(0.1)
        self.assertEqual("closed", first.how)
        self.assertEqual("", second.how)
        self.reactor.advance(50)
        self.assertEqual("closed", second.how)
        self.reactor.advance(0)
        self.assertEqual(0, len(self.pool))

    def test_age(self) -> None:
        """An old connection is not reused, so that new addresses and certificates are noticed."""
        wire = self.once()
        for _ in range(10):
            self.reactor.advance(60)
            self.once(wire=wire)
        self.assertEqual("closed", wire.how)
        self.reactor.advance(0)

    def test_latest_first(self) -> None:
        """The connection used last is reused, so that surplus ones fall idle."""
        one, two = self.bench.fetch(task()), self.bench.fetch(task())
        first, second = self.bench.connect(0), self.bench.connect(1)
        first.arrives(answer())
        second.arrives(answer())
        self.successResultOf(one)
        self.successResultOf(two)
        second.asked()
        self.once(wire=second)

    def test_dead(self) -> None:
        """A connection that the server has closed while idle is not reused."""
        self.once().ends()
        self.assertEqual((0, 0), (self.pool.idle, len(self.pool)))
        self.once()
        self.assertEqual(2, len(self.hosts()))

    def test_stale(self) -> None:
        """A kept connection that turns out to be dead is replaced once by a new one."""
        wire = self.once()
        running = self.bench.fetch(task())
        wire.ends(clean=False)
        self.assertNoResult(running)
        fresh = self.bench.connect()
        fresh.ends(clean=False)
        self.assertEqual("the connection was reset before any answer", self.successResultOf(running).words)
        self.assertEqual(2, len(self.hosts()))

    def test_dead_in_the_answer(self) -> None:
        """A request is not repeated after the first byte of the answer."""
        wire = self.once()
        running = self.bench.fetch(task())
        wire.arrives(b"H")
        wire.ends(clean=False)
        self.assertEqual(Fault.RESET, self.successResultOf(running).fault)
        self.assertEqual(1, len(self.hosts()))

    def test_unasked(self) -> None:
        """A connection with unexpected bytes is not reused."""
        wire = self.once()
        wire.arrives(b"HTTP/1.1 408 Request Timeout\r\n\r\n")
        self.assertEqual("aborted", wire.how)
        self.assertEqual(0, self.pool.idle)
        self.reactor.advance(0)
        self.once()

    def test_linger(self) -> None:
        """A server that announces a close has a second for it."""
        for closes in (True, False):
            running = self.bench.fetch(task())
            wire = self.bench.connect()
            wire.arrives(answer(REPORT, b"Connection: close"))
            self.successResultOf(running)
            self.assertEqual(("", 1), (wire.how, len(self.pool)))
            if closes:
                wire.ends()
            self.reactor.advance(1)
            self.assertEqual("lost" if closes else "aborted", wire.how)
            self.reactor.advance(0)
            self.assertEqual(0, len(self.pool))

    def test_close_not_answered(self) -> None:
        """A connection that the server does not close with us is aborted after a second."""
        wire = self.once()
        ended: list[str] = []
        wire.loseConnection = lambda: ended.append("asked")
        self.reactor.advance(90)
        self.assertEqual((["asked"], ""), (ended, wire.how))
        self.reactor.advance(1)
        self.assertEqual("aborted", wire.how)
        self.reactor.advance(0)

    def test_closed(self) -> None:
        """Closing the client ends what is under way, and nothing new begins."""
        running = self.bench.fetch(task())
        wire = self.bench.connect()
        connecting = self.bench.fetch(task("10.0.0.1"))
        closed = Deferred.fromCoroutine(self.bench.fetcher.close())
        self.reactor.advance(0)
        self.successResultOf(closed)
        self.assertEqual("aborted", wire.how)
        for found in (running, connecting, self.bench.fetch(task())):
            self.assertEqual(Fault.OWN, self.successResultOf(found).fault)


class Counting(Base):
    """The limit of connections."""

    limits = Limits(connections=2)

    def test_linger_makes_room(self) -> None:
        """Connections that wait for the server's close make room for new ones."""
        for number in range(self.limits.connections):
            running = self.bench.fetch(task(f"10.0.0.{number}"))
            wire = self.bench.connect()
            wire.arrives(answer(REPORT, b"Connection: close"))
            self.successResultOf(running)
            if not number:
                first = wire
        self.assertEqual("", first.how)
        running = self.bench.fetch(task("10.0.1.1"))
        self.assertEqual("aborted", first.how)
        self.bench.connect().arrives(answer())
        self.assertEqual(REPORT, self.successResultOf(running).body)
        self.reactor.advance(1)
        self.reactor.advance(0)

    def test_oldest_given_up(self) -> None:
        first, second = self.once("10.0.0.1"), self.once("10.0.0.2")
        running = self.bench.fetch(task("10.0.0.3"))
        self.assertEqual(["aborted", ""], [first.how, second.how])
        self.reactor.advance(0)
        self.bench.connect().arrives(answer())
        self.successResultOf(running)
        self.assertEqual(2, len(self.pool))

    def test_what_was_given_up_makes_room(self) -> None:
        """At once, although the reactor closes the aborted connection at its next turn."""
        first = self.bench.fetch(task("10.0.0.1"))
        wire = self.bench.connect()
        second = self.bench.fetch(task("10.0.0.2"))
        first.cancel()
        self.failureResultOf(first)
        third = self.bench.fetch(task("10.0.0.3"))
        self.assertEqual("aborted", wire.how)
        self.assertEqual(2, len(self.pool) - 1)
        self.bench.connect().arrives(answer())
        self.assertEqual(REPORT, self.successResultOf(third).body)
        self.reactor.advance(20)
        self.assertEqual(Fault.TIMEOUT, self.successResultOf(second).fault)

    def test_all_in_use(self) -> None:
        for index in (1, 2):
            self.bench.fetch(task(f"10.0.0.{index}"))
        found = self.successResultOf(self.bench.fetch(task("10.0.0.3")))
        self.assertEqual(Fault.OWN, found.fault)
        self.assertEqual("all 2 connections that this process may have are in use", found.words)
        self.reactor.advance(20)


class NoKeeping(Base):
    """Without idle connections."""

    limits = Limits(idle=0.0)

    def test_not_kept(self) -> None:
        self.assertEqual("closed", self.once().how)
        self.reactor.advance(0)


class Descriptors(SynchronousTestCase):
    """The number of descriptors for fetching."""

    def test_reserve(self) -> None:
        import resource

        for soft, free in ((1024, 384), (4096, 1920), (100, 25), (resource.RLIM_INFINITY, 1_000_000)):
            self.patch(resource, "getrlimit", lambda which, soft=soft: (soft, soft))
            self.assertEqual(free, free_descriptors())
