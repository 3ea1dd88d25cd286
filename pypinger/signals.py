"""
The signals of the process: SIGTERM and SIGINT stop it, SIGHUP reloads, SIGUSR1 opens the log file anew.

Handlers are installed in two steps. :meth:`Signals.hold` runs as soon as Py Pinger's code does: it keeps a SIGHUP that
comes during the start, which would kill the process otherwise. :meth:`Signals.obey` runs once the reactor does, since
Twisted installs handlers of its own when the reactor starts: those would let the signal kill the process after a clean
stop, where the contract (section 8) promises exit code 0.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any

from twisted.internet.error import ReactorNotRunning
from twisted.logger import Logger


class Signals:
    """The handlers of one process."""

    _log = Logger()

    def __init__(self) -> None:
        self._held = False

    def hold(self) -> None:
        """Keep a SIGHUP for later, and ignore SIGUSR1: there is no old log file yet."""
        signal.signal(signal.SIGHUP, self._hold)
        signal.signal(signal.SIGUSR1, lambda *_: None)

    def obey(self, reactor: Any, reload: Callable[[], object], reopen: Callable[[], object]) -> None:
        """
        Handle the signals with a running reactor, and a SIGHUP that was kept.

        :param reload: reads the configuration again.
        :param reopen: opens the log file anew; may raise OSError.
        """

        def stop() -> None:
            try:
                reactor.stop()
            except ReactorNotRunning:
                pass  # A second signal during the stop.

        def rotate() -> None:
            try:
                reopen()
            except OSError as error:
                self._log.error("the log file cannot be opened anew: {words}", words=error.strerror)

        def hang_up() -> None:
            rotate()
            reload()

        for number, work in (
            (signal.SIGTERM, stop),
            (signal.SIGINT, stop),
            (signal.SIGUSR1, rotate),
            (signal.SIGHUP, hang_up),
        ):
            signal.signal(number, lambda *_, work=work: reactor.callFromThread(work))
        if self._held:
            reactor.callFromThread(hang_up)

    def _hold(self, *_: object) -> None:
        self._held = True
