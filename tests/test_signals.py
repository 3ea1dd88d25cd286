"""The handlers of signals."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

from twisted.internet.error import ReactorNotRunning
from twisted.trial.unittest import SynchronousTestCase

from pypinger.signals import Signals


class FakeReactor:
    """Counts stops."""

    def __init__(self) -> None:
        self.stops = 0

    def callFromThread(self, work: Callable[..., Any]) -> None:
        work()

    def stop(self) -> None:
        self.stops += 1
        if self.stops > 1:
            raise ReactorNotRunning


class SignalTests(SynchronousTestCase):
    def setUp(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
            self.addCleanup(signal.signal, number, signal.getsignal(number))
        self.reactor = FakeReactor()
        self.calls: list[str] = []
        self.signals = Signals()

    def obey(self) -> None:
        self.signals.obey(self.reactor, lambda: self.calls.append("reload"), lambda: self.calls.append("reopen"))

    def test_term_and_int_stop_the_reactor(self) -> None:
        self.obey()
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)
        self.assertEqual((self.reactor.stops, self.calls), (2, []))

    def test_hup_reopens_the_log_and_reloads(self) -> None:
        self.obey()
        os.kill(os.getpid(), signal.SIGHUP)
        self.assertEqual((self.reactor.stops, self.calls), (0, ["reopen", "reload"]))

    def test_usr1_reopens_the_log(self) -> None:
        self.obey()
        os.kill(os.getpid(), signal.SIGUSR1)
        self.assertEqual(self.calls, ["reopen"])

    def test_held_during_the_start(self) -> None:
        """SIGHUP and SIGUSR1 do not kill; SIGHUP reloads once the reactor runs."""
        self.signals.hold()
        os.kill(os.getpid(), signal.SIGUSR1)
        os.kill(os.getpid(), signal.SIGHUP)
        self.assertEqual(self.calls, [])
        self.obey()
        self.assertEqual(self.calls, ["reopen", "reload"])

    def test_log_file_that_cannot_be_opened(self) -> None:
        """It is logged, and the reload happens."""

        def fail() -> None:
            raise PermissionError(13, "Permission denied")

        self.signals.obey(self.reactor, lambda: self.calls.append("reload"), fail)
        os.kill(os.getpid(), signal.SIGHUP)
        self.assertEqual(self.calls, ["reload"])
