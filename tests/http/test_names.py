"""Names are looked up in threads of their own, once for all exchanges that wait."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase, TestCase

from pypinger.domain.model import Fault
from pypinger.http.wire import names
from pypinger.http.wire.errors import ExchangeFailed
from pypinger.http.wire.names import Names


class FakeThreads(Clock):
    """Threads that run when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.started: list[Callable[[], None]] = []
        self.asked: list[str] = []
        self.answers: dict[str, Any] = {}

    def callFromThread(self, call: Callable[..., None], *args: Any) -> None:
        call(*args)

    def start(self, run: Callable[[], None]) -> None:
        self.started.append(run)

    def look_up(self, host: str) -> list[str]:
        self.asked.append(host)
        answer = self.answers.get(host, ["10.0.0.1"])
        if isinstance(answer, Exception):
            raise answer
        return list(answer)

    def run(self) -> None:
        started, self.started = self.started, []
        for run in started:
            run()


class LookUps(SynchronousTestCase):
    """With threads that run when the test says so."""

    def setUp(self) -> None:
        self.threads = FakeThreads()
        self.names = Names(self.threads, look_up=self.threads.look_up, start=self.threads.start)

    def ask(self, host: str = "a.example") -> Deferred[Any]:
        return self.names.addresses(host)

    def test_shared(self) -> None:
        """Exchanges share a look-up and, for a short time, its result."""
        waiting = [self.ask(), self.ask(), self.ask()]
        self.assertEqual(1, len(self.threads.started))
        self.threads.run()
        for waiter in waiting:
            self.assertEqual(["10.0.0.1"], self.successResultOf(waiter))
        self.threads.advance(29.9)
        self.assertEqual(["10.0.0.1"], self.successResultOf(self.ask()))
        self.assertEqual(["a.example"], self.threads.asked)
        self.threads.advance(0.1)
        self.assertNoResult(self.ask())
        self.threads.run()
        self.assertEqual(["a.example"] * 2, self.threads.asked)

    def test_forgotten(self) -> None:
        """Old results are dropped."""
        for index in range(9):
            self.ask(f"{index}.example")
            self.threads.run()
            self.threads.advance(10)
        self.assertLess(len(self.names._known), 5)

    def test_failures_not_kept(self) -> None:
        self.threads.answers["a.example"] = socket.gaierror(socket.EAI_NONAME, "unknown")
        waiter = self.ask()
        self.threads.run()
        self.assertEqual(Fault.DNS, self.failureResultOf(waiter, ExchangeFailed).value.fault)
        del self.threads.answers["a.example"]
        waiter = self.ask()
        self.threads.run()
        self.successResultOf(waiter)

    def test_words(self) -> None:
        for answer, fault, words in (
            (socket.gaierror(socket.EAI_NONAME, "x"), Fault.DNS, "cannot look up a.example: there is no such name"),
            (socket.gaierror(socket.EAI_AGAIN, "x"), Fault.DNS, "cannot look up a.example: no name server answered"),
            (socket.gaierror(socket.EAI_FAIL, "Hm"), Fault.DNS, "cannot look up a.example: Hm"),
            (socket.gaierror(socket.EAI_SYSTEM, "Hm"), Fault.OWN, "this machine cannot look up names: Hm"),
            (OSError(errno.EMFILE, "x"), Fault.OWN, "this process has no free file descriptors (EMFILE)"),
            (OSError(errno.EIO, "x"), Fault.DNS, "cannot look up a.example"),
            (ValueError("x"), Fault.DNS, "cannot look up a.example"),
            ([], Fault.DNS, "cannot look up a.example: it has no address"),
        ):
            self.threads.answers["a.example"] = answer
            waiter = self.ask()
            self.threads.run()
            failure = self.failureResultOf(waiter, ExchangeFailed).value
            self.assertEqual((fault, words), (failure.fault, failure.words))

    def test_given_up(self) -> None:
        """Cancelling a waiter ends its wait at once; the look-up continues for the others."""
        first, second = self.ask(), self.ask()
        first.cancel()
        self.failureResultOf(first, CancelledError)
        self.threads.run()
        self.successResultOf(second)
        third = self.ask("b.example")
        third.cancel()
        self.failureResultOf(third, CancelledError)
        self.threads.run()
        self.successResultOf(self.ask("b.example"))

    def test_bounded(self) -> None:
        """The number of threads is limited; later names wait for a free one."""
        self.patch(names, "MAX_THREADS", 2)
        waiting = [self.ask(f"{index}.example") for index in range(5)]
        self.assertEqual(2, len(self.threads.started))
        self.threads.run()
        for waiter in waiting:
            self.successResultOf(waiter)
        self.ask("later.example")
        self.assertEqual(1, len(self.threads.started))

    def test_queued_at_the_end(self) -> None:
        """A name queued while the last thread ends is looked up."""
        self.patch(names, "MAX_THREADS", 1)
        calls: list[tuple[Any, ...]] = []
        self.threads.callFromThread = lambda *call: calls.append(call)  # type: ignore[method-assign]
        first = self.ask("a.example")
        self.threads.run()
        second = self.ask("b.example")
        self.assertEqual([], self.threads.started)
        for call, *args in calls:
            call(*args)
        calls.clear()
        self.threads.run()
        for call, *args in calls:
            call(*args)
        self.successResultOf(first)
        self.successResultOf(second)

    def test_no_thread(self) -> None:
        def cannot(run: Callable[[], None]) -> None:
            raise RuntimeError("can't start new thread")

        self.names._start = cannot
        failure = self.failureResultOf(self.ask(), ExchangeFailed).value
        self.assertEqual(Fault.OWN, failure.fault)
        self.assertIn("cannot start a thread", failure.words)

    def test_no_second_thread(self) -> None:
        """If a second thread cannot start, the first looks up all names."""
        first = self.ask()

        def cannot(run: Callable[[], None]) -> None:
            raise RuntimeError("can't start new thread")

        self.names._start = cannot
        second = self.ask("b.example")
        self.assertNoResult(second)
        self.threads.run()
        self.successResultOf(first)
        self.successResultOf(second)


class System(TestCase):
    """The system's resolver in real threads."""

    async def test_localhost(self) -> None:
        found = await Names(reactor).addresses("localhost")
        self.assertTrue({"127.0.0.1", "::1"} & set(found), found)

    def test_families(self) -> None:
        """Each address is returned once, and only IPv4 and IPv6."""
        found = [
            (socket.AF_INET6, 1, 6, "", ("::1", 0, 0, 0)),
            (socket.AF_INET, 1, 6, "", ("127.0.0.1", 0)),
            (socket.AF_INET, 1, 6, "", ("127.0.0.1", 0)),
            (socket.AF_UNIX, 1, 6, "", "/x"),
        ]
        self.patch(socket, "getaddrinfo", lambda *args, **more: found)
        self.assertEqual(["::1", "127.0.0.1"], names.look_up("localhost"))
