"""Every fault of the table, over real sockets: it is reported in words and leaves no socket."""

from __future__ import annotations

import re
import socket
import tracemalloc
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from pypinger.domain.model import Answer, Fault, NoAnswer, Task
from pypinger.http.fetcher import TaskFetcher
from tests.http.faults import BOMB, CASES, GZIP, REDIRECTS, REPORT, SHORT, Case, answer, bare, chunk_of
from tests.http.faultserver import FaultServer, Flood, full_backlog


def task(url: str, **more: Any) -> Task:
    """Return a task with this URL."""
    return Task(url=url, id="id", name="name", label="label", **{"timeout": 60.0, **more})


class Faults(TestCase):
    """One test for each case."""

    def setUp(self) -> None:
        self.fetcher = TaskFetcher(reactor)
        self.addCleanup(lambda: Deferred.fromCoroutine(self.fetcher.close()))

    async def check(self, case: Case) -> None:
        server = FaultServer(case.script)
        listening = server.listen()
        self.addCleanup(listening.stopListening)
        url = f"http://127.0.0.1:{server.port}/report?secret=hunter2"
        found = await self.fetcher.fetch(task(url, timeout=case.timeout))
        pool = self.fetcher.network.pool
        if case.fault is not None:
            self.assertIsInstance(found, NoAnswer, found)
            self.assertEqual(case.fault, found.fault, found)
            self.assertIn(case.words, found.words)
            self.assertNotIn("hunter2", found.words)
            self.assertTrue(found.words.isprintable())
            if case not in REDIRECTS:
                self.assertEqual(0, pool.idle)
        else:
            self.assertIsInstance(found, Answer, found)
            self.assertEqual((case.code, case.body), (found.code, found.body))
            if case.reused is not None:
                self.assertEqual(int(case.reused), pool.idle)
        if pool.idle:
            await self.fetcher.close()
        await server.all_closed()
        self.assertEqual(0, len(pool))

    async def test_refused(self) -> None:
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            port = unused.getsockname()[1]
            found = await self.fetcher.fetch(task(f"http://127.0.0.1:{port}/"))
        self.assertEqual(Fault.REFUSED, found.fault)
        self.assertEqual(f"connection refused by 127.0.0.1:{port}", found.words)

    async def test_ipv6(self) -> None:
        server = FaultServer([answer()])
        self.addCleanup(server.listen(interface="::1").stopListening)
        found = await self.fetcher.fetch(task(f"http://[::1]:{server.port}/"))
        self.assertEqual(REPORT, found.body)
        self.assertIn(b"\r\nHost: [::1]:%d\r\n" % server.port, server.requests[0])

    async def test_memory(self) -> None:
        """A gigabyte bomb, an endless header and an endless body use little memory."""
        block = b"x" * (1 << 16)
        gigabyte = [bare(GZIP, b"Transfer-Encoding: chunked"), *[chunk_of(BOMB)] * 8]
        for script in (gigabyte, [bare()[:-2] + b"A: ", Flood(block)], [bare(), Flood(block)]):
            server = FaultServer(script)
            self.addCleanup(server.listen().stopListening)
            tracemalloc.start()
            try:
                found = await self.fetcher.fetch(task(f"http://127.0.0.1:{server.port}/"))
                peak = tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()
            self.assertEqual(Fault.TOO_LARGE, found.fault)
            self.assertLess(peak, 8_000_000)
            await server.all_closed()

    async def test_full_backlog(self) -> None:
        """The listening socket's queue is full, so the connection is not made."""
        with full_backlog() as port:
            found = await self.fetcher.fetch(task(f"http://127.0.0.1:{port}/", timeout=SHORT))
        self.assertEqual(Fault.TIMEOUT, found.fault)
        self.assertIn(f"still connecting to 127.0.0.1:{port}", found.words)

    async def test_cancelled(self) -> None:
        """Cancelling the check closes the socket at any moment."""
        for script in ([], [b"HTTP/1.1 200 OK\r\n"], [b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"]):
            server = FaultServer(script)
            listening = server.listen()
            self.addCleanup(listening.stopListening)
            running = Deferred.fromCoroutine(self.fetcher.fetch(task(f"http://127.0.0.1:{server.port}/")))
            while not server.requests:
                await _moment()
            running.cancel()
            self.failureResultOf(running)
            await server.all_closed()
            self.assertEqual(0, len(self.fetcher.network.pool))


def _moment() -> Deferred[None]:
    waiter: Deferred[None] = Deferred()
    reactor.callLater(0.005, waiter.callback, None)
    return waiter


def _add(case: Case) -> None:
    async def test(self: Faults) -> None:
        await self.check(case)

    name = "test_" + re.sub(r"\W+", "_", case.name.lower())
    assert not hasattr(Faults, name), name
    setattr(Faults, name, test)


for _case in CASES:
    _add(_case)
