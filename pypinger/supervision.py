"""
The process among others: its signals, and what the service manager is told.

systemd is told when we are ready, when we stop, and, if its watchdog is on, that we live: but only while checks really
make progress, so that a Py Pinger that hangs is restarted (contract, section 8).
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping
from typing import Any

from twisted.application.service import Service
from twisted.internet.error import ReactorNotRunning
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from pypinger import systemd


def obey_signals(reactor: Any, reload: Callable[[], object]) -> None:
    """
    Make SIGTERM and SIGINT stop the reactor and nothing else, and SIGHUP call `reload`.

    Twisted's own signal handlers would, once all is stopped, let the signal kill the process after all, where the
    contract (section 8) promises exit code 0. To be called once the reactor runs, since it installs its own as it
    starts.
    """

    def stop() -> None:
        try:
            reactor.stop()
        except ReactorNotRunning:
            pass  # A second signal while we are stopping.

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: reactor.callFromThread(stop))
    signal.signal(signal.SIGHUP, lambda *_: reactor.callFromThread(reload))


class Supervision(Service):
    """
    Talks to the service manager while Py Pinger runs.

    :param environ: where systemd leaves its variables.
    :param stuck: says in words that checks make no progress, or None while they do.
    :param explain: one line on how things are, for ``systemctl status``.
    """

    _log = Logger()

    def __init__(
        self, reactor: Any, environ: Mapping[str, str], stuck: Callable[[], str | None], explain: Callable[[], str]
    ) -> None:
        self._reactor = reactor
        self._stuck = stuck
        self._explain = explain
        self._feeding: LoopingCall | None = None
        interval = systemd.watchdog_interval(environ)
        if interval is not None:
            self._feeding = LoopingCall(self._feed)
            self._feeding.clock = reactor
            self._every = interval / 2

    def startService(self) -> None:
        """Say that we are ready as soon as the reactor runs."""
        super().startService()
        self._reactor.callWhenRunning(self._begin)

    def stopService(self) -> None:
        """Stop feeding the watchdog."""
        super().stopService()
        if self._feeding is not None and self._feeding.running:
            self._feeding.stop()

    def stopping(self) -> None:
        """Say that we are about to stop."""
        systemd.notify("STOPPING=1")

    def reloading(self) -> None:
        """Say that we are about to read the configuration again; :meth:`ready` ends it."""
        systemd.notify(f"RELOADING=1\nMONOTONIC_USEC={round(self._reactor.seconds() * 1_000_000)}")

    def ready(self) -> None:
        """Say that we serve."""
        systemd.notify(f"READY=1\nSTATUS={self._explain()}")

    def _begin(self) -> None:
        self.ready()
        if self._feeding is not None and self.running:
            self._feeding.start(self._every)

    def _feed(self) -> None:
        words = self._stuck()
        if words is None:
            systemd.notify(f"WATCHDOG=1\nSTATUS={self._explain()}")
        else:
            self._log.error("{words}; the watchdog is not fed", words=words)
