"""Processes of Python without the time of its imports: they are forked by :mod:`tests.forks`."""

from __future__ import annotations

import atexit
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path

from twisted.internet import reactor
from twisted.internet.abstract import FileDescriptor
from twisted.internet.error import ConnectionDone, ProcessDone, ProcessExitedAlready, ProcessTerminated
from twisted.internet.fdesc import readFromFD
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure

from tests import forks

CHECKOUT = str(Path(__file__).parent.parent)


@cache
def _server() -> socket.socket:
    """The socket for messages to the process that forks, which ends with this one."""
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    environ = {**os.environ, "PYTHONPATH": CHECKOUT, "PYTHONUNBUFFERED": "1"}
    with its:
        process = subprocess.Popen((sys.executable, "-m", forks.__name__), stdin=its, env=environ)
    # The time that it and its processes have used counts only if it is waited for. Its input ends first.
    atexit.register(process.wait)
    atexit.register(ours.close)
    return ours


class _Pipe(FileDescriptor):
    """Reads a pipe to its end."""

    def __init__(self, descriptor: int, received: Callable[[bytes], None], ended: Callable[[], None]) -> None:
        super().__init__(reactor)
        self._descriptor = descriptor
        self._received = received
        self._ended = ended
        os.set_blocking(descriptor, False)
        self.connected = 1
        self.startReading()

    def fileno(self) -> int:
        return self._descriptor

    def doRead(self) -> Exception | int | None:
        return readFromFD(self._descriptor, self._received)

    def connectionLost(self, reason: Failure) -> None:
        if self.connected:
            super().connectionLost(reason)
            os.close(self._descriptor)
            self._ended()


class ForkedProcess:
    """
    Does what ``reactor.spawnProcess`` does for a command that is ``python -c CODE ...`` or ``python -m MODULE ...``.
    Standard input is empty.

    :param imports: modules that this process, and some later ones, would import.
    :ivar pid: the process id.
    """

    def __init__(
        self,
        protocol: ProcessProtocol,
        command: Sequence[str],
        env: Mapping[str, str],
        path: str,
        imports: Sequence[str] = (),
    ) -> None:
        assert command[0] == sys.executable, command
        self._protocol = protocol
        self._last = b""
        out, err, news = pipes = [os.pipe() for _ in range(3)]
        message = json.dumps((command[1:], path, dict(env), imports)).encode()
        socket.send_fds(_server(), [message], [write for _, write in pipes])
        for _, write in pipes:
            os.close(write)
        (self.pid,) = forks.NUMBER.unpack(os.read(news[0], forks.NUMBER.size))
        self._open = 3
        self._streams = [
            _Pipe(out[0], protocol.outReceived, self._closed),
            _Pipe(err[0], protocol.errReceived, self._closed),
        ]
        _Pipe(news[0], self._told, self._closed)

    def signalProcess(self, name: str) -> None:
        if not self._open:
            raise ProcessExitedAlready
        # It may have ended just now.
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.Signals[f"SIG{name}"])

    def closeStdin(self) -> None:
        """There is none."""

    def loseConnection(self) -> None:
        """Read no more of its output."""
        for stream in self._streams:
            stream.connectionLost(Failure(ConnectionDone()))

    def _told(self, data: bytes) -> None:
        self._last += data

    def _closed(self) -> None:
        self._open -= 1
        if self._open:
            return
        (code,) = forks.NUMBER.unpack(self._last)
        ended = ProcessTerminated(code if code > 0 else None, -code if code < 0 else None) if code else ProcessDone(0)
        self._protocol.processEnded(Failure(ended))
