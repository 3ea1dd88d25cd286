"""Free ports for servers that cannot choose one themselves."""

from __future__ import annotations

import fcntl
import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from itertools import cycle

#: Below the range from which the kernel takes ports, so that a free one stays free until the server listens. Each
#: process of the tests has a share of its own.
_PORTS = range(10_000, 32_000)
_SHARE = 500


def free_port() -> int:
    """A port of 127.0.0.1 that is not in use, and that no process of the tests has named lately."""
    while True:
        port = next(_ports)
        with socket.socket() as free, suppress(OSError):
            # Connections of an earlier server that are closed do not matter.
            free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            free.bind(("127.0.0.1", port))
            return port


def _own_ports() -> Iterator[int]:
    """The ports of this process, over and over: a lock that lasts as long as the process keeps others away."""
    shares = len(_PORTS) // _SHARE
    for number in range(os.getpid(), os.getpid() + shares):
        share = number % shares
        path = os.path.join(tempfile.gettempdir(), f"pypinger-tests-{os.getuid()}-ports-{share}")
        lock = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
        else:
            yield from cycle(_PORTS[share * _SHARE : (share + 1) * _SHARE])
    raise AssertionError("too many processes of tests run")


_ports = _own_ports()
