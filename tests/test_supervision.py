"""What systemd is told, and what signals do."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

from twisted.internet.error import ReactorNotRunning
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from pypinger import supervision, systemd
from pypinger.supervision import Supervision, obey_signals


class FakeReactor(Clock):
    """A clock that also counts stops and runs what should run at its start."""

    def __init__(self) -> None:
        super().__init__()
        self.stops = 0

    def callWhenRunning(self, work: Callable[..., Any], *args: Any) -> None:
        work(*args)

    def callFromThread(self, work: Callable[..., Any]) -> None:
        work()

    def stop(self) -> None:
        self.stops += 1
        if self.stops > 1:
            raise ReactorNotRunning


class SupervisionTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.told: list[str] = []
        self.patch(supervision.systemd, "notify", self.told.append)
        self.reactor = FakeReactor()
        self.stuck: str | None = None

    def start(self, **environ: str) -> Supervision:
        made = Supervision(self.reactor, environ, lambda: self.stuck, lambda: "all is well")
        made.startService()
        return made

    def test_ready_and_stopping(self) -> None:
        made = self.start()
        self.assertEqual(self.told, ["READY=1\nSTATUS=all is well"])
        made.stopping()
        self.assertEqual(self.told[1:], ["STOPPING=1"])
        made.stopService()
        self.reactor.advance(1000)
        self.assertEqual(len(self.told), 2)

    def test_a_reload(self) -> None:
        made = self.start()
        self.reactor.advance(2.5)
        made.reloading()
        made.ready()
        self.assertEqual(self.told[1:], ["RELOADING=1\nMONOTONIC_USEC=2500000", "READY=1\nSTATUS=all is well"])

    def test_the_watchdog_is_fed_twice_as_often_as_asked(self) -> None:
        made = self.start(WATCHDOG_USEC="20000000", WATCHDOG_PID=str(os.getpid()))
        self.reactor.pump([1.0] * 25)
        self.assertEqual([text.split("\n")[0] for text in self.told[1:]], ["WATCHDOG=1"] * 3)
        made.stopService()
        self.reactor.advance(1000)
        self.assertEqual(len(self.told), 4)

    def test_but_not_while_checks_are_stuck(self) -> None:
        self.start(WATCHDOG_USEC="20000000")
        self.stuck = "checks are stuck"
        fed = len(self.told)
        self.reactor.pump([1.0] * 30)
        self.assertEqual(len(self.told), fed)
        self.stuck = None
        self.reactor.pump([1.0] * 11)
        self.assertEqual(len(self.told), fed + 1)

    def test_without_a_watchdog(self) -> None:
        self.assertIsNone(systemd.watchdog_interval({}))


class SignalTests(SynchronousTestCase):
    def test_stop_the_reactor_once(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            self.addCleanup(signal.signal, number, signal.getsignal(number))
        reactor = FakeReactor()
        reloads: list[bool] = []
        obey_signals(reactor, lambda: reloads.append(True))
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGHUP)
        self.assertEqual((reactor.stops, reloads), (2, [True]))
