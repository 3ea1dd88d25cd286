"""
Telling systemd how the daemon is doing: ``sd_notify(3)`` and ``sd_watchdog_enabled(3)`` without a library.

What is said, and when, is :mod:`pypinger.service`'s business.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping

from pypinger.domain.model import Seconds


def notify(state: str) -> bool:
    """
    Send one state to the service manager; nothing happens and nothing is raised where there is none.

    :param state: ``READY=1``, ``STOPPING=1``, ``WATCHDOG=1``, ``STATUS=…`` or several of them, one a line.
    :returns: whether it was sent.
    """
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address[:1] not in ("/", "@"):
        return False
    if address.startswith("@"):  # an abstract socket: its name begins with NUL
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK) as sock:
            sock.connect(address)
            sock.send(state.encode("utf-8", "replace"))
    except (OSError, ValueError):  # gone, full, too long a name: telling is never worth a check
        return False
    return True


def watchdog_interval(environ: Mapping[str, str]) -> Seconds | None:
    """
    How often the service manager wants to hear ``WATCHDOG=1`` at least.

    :returns: seconds; None when it does not watch this process.
    """
    if environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    try:
        microseconds = int(environ.get("WATCHDOG_USEC", ""))
    except ValueError:
        return None
    return microseconds / 1_000_000 if microseconds > 0 else None
