"""
Messages to systemd: ``sd_notify(3)`` and ``sd_watchdog_enabled(3)`` without a library.

systemd learns when Py Pinger is ready, reloads and stops. If its watchdog is on, it is fed only while checks make
progress, so that a process that hangs is restarted (contract, section 8).
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping
from typing import Any

from twisted.application.service import Service
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from pypinger.domain.model import Seconds


def notify(environ: Mapping[str, str], state: str) -> bool:
    """
    Send a state to the service manager, if there is one. Errors are ignored.

    :param environ: systemd sets ``NOTIFY_SOCKET``.
    :param state: one or more lines such as ``READY=1`` or ``STATUS=…``.
    :returns: whether it was sent.
    """
    address = environ.get("NOTIFY_SOCKET", "")
    if address[:1] not in ("/", "@"):
        return False
    if address.startswith("@"):  # The name of an abstract socket starts with NUL.
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK) as sock:
            sock.connect(address)
            sock.send(state.encode("utf-8", "replace"))
    except (OSError, ValueError):
        return False
    return True


def watchdog_interval(environ: Mapping[str, str]) -> Seconds | None:
    """
    Return the longest time between two ``WATCHDOG=1`` that the service manager accepts.

    :returns: seconds; None if it does not watch this process.
    """
    if environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    try:
        microseconds = int(environ.get("WATCHDOG_USEC", ""))
    except ValueError:
        return None
    return microseconds / 1_000_000 if microseconds > 0 else None


class Supervision(Service):
    """
    Reports the state of the daemon to the service manager.

    :param environ: the environment variables.
    :param stuck: returns why checks make no progress, or None.
    :param explain: returns one line about the state, for ``systemctl status``.
    """

    _log = Logger()

    def __init__(
        self, reactor: Any, environ: Mapping[str, str], stuck: Callable[[], str | None], explain: Callable[[], str]
    ) -> None:
        self._reactor = reactor
        self._environ = environ
        self._stuck = stuck
        self._explain = explain
        self._interval = watchdog_interval(environ)
        self._feeding = LoopingCall(self._feed)
        self._feeding.clock = reactor

    def startService(self) -> None:
        """Report that the daemon is ready, as soon as the reactor runs."""
        super().startService()
        self._reactor.callWhenRunning(self._begin)

    def stopService(self) -> None:
        """Stop feeding the watchdog."""
        super().stopService()
        if self._feeding.running:
            self._feeding.stop()

    def stopping(self) -> None:
        """Report that the daemon is about to stop."""
        notify(self._environ, "STOPPING=1")

    def reloading(self) -> None:
        """Report that a reload has begun; :meth:`ready` ends it."""
        notify(self._environ, f"RELOADING=1\nMONOTONIC_USEC={round(self._reactor.seconds() * 1_000_000)}")

    def ready(self) -> None:
        """Report that the daemon is ready."""
        notify(self._environ, f"READY=1\nSTATUS={self._explain()}")

    def _begin(self) -> None:
        self.ready()
        if self._interval is not None and self.running:
            self._feeding.start(self._interval / 2)

    def _feed(self) -> None:
        words = self._stuck()
        if words is None:
            notify(self._environ, f"WATCHDOG=1\nSTATUS={self._explain()}")
        else:
            self._log.error("{words}; the watchdog is not fed", words=words)
