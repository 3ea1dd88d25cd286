"""A log stream whose reader may stop reading: writing to it never blocks the reactor."""

from __future__ import annotations

import os
import select
import threading
import time
from collections import deque
from typing import Any

from twisted.logger import Logger

from pypinger.domain.model import Seconds

#: How much is buffered while the reader does not read, in bytes.
CAPACITY = 1_048_576

#: How long to wait before trying again.
RETRY: Seconds = 0.1


class LogStream:
    """
    Writes lines to a pipe, socket, terminal or file.

    A descriptor that is reported writable accepts ``PIPE_BUF`` bytes without blocking, so that is the size of a chunk.
    The descriptor itself stays blocking, since other processes may share it. Lines that do not fit into the buffer are
    dropped; their number is logged once the reader reads again. Threads may share a stream.

    :param encoding: of the stream; characters it lacks are written as escapes.
    """

    _log = Logger()

    def __init__(self, descriptor: int, encoding: str, capacity: int = CAPACITY) -> None:
        self._descriptor = descriptor
        self._encoding = encoding
        self._capacity = capacity
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLOUT)
        self._lock = threading.Lock()
        self._chunks: deque[bytes] = deque()
        self._size = 0
        self._dropped = 0
        self._reactor: Any = None
        self._waiting = False

    def use(self, reactor: Any) -> None:
        """Write what is buffered with this reactor's timers. Until then each line tries to write the buffer."""
        self._reactor = reactor
        self._pump()

    def write(self, text: str) -> None:
        """Write a line, now or later."""
        data = text.encode(self._encoding, "backslashreplace")
        with self._lock:
            if self._size + len(data) > self._capacity:
                self._dropped += 1
            else:
                starts = range(0, len(data), select.PIPE_BUF)
                self._chunks.extend(data[start : start + select.PIPE_BUF] for start in starts)
                self._size += len(data)
        self._pump()

    def flush(self) -> None:
        """Do nothing: lines are written as soon as possible."""

    def drain(self, limit: Seconds) -> None:
        """Wait until the buffer is written, at most `limit` seconds. Called when the process ends."""
        deadline = time.monotonic() + limit
        while not self._write() and (left := deadline - time.monotonic()) > 0:
            self._poll.poll(max(1, left * 1000))

    def _pump(self) -> None:
        if self._write():
            with self._lock:
                dropped, self._dropped = self._dropped, 0
            if dropped:
                self._log.warn("{count} log lines were dropped, because the log was not read", count=dropped)
        elif self._reactor is not None and not self._waiting:
            self._waiting = True
            self._reactor.callFromThread(self._reactor.callLater, RETRY, self._retry)

    def _retry(self) -> None:
        self._waiting = False
        self._pump()

    def _write(self) -> bool:
        """Write without blocking; return whether the buffer is empty."""
        with self._lock:
            while self._chunks:
                if not self._poll.poll(0):
                    return False
                try:
                    written = os.write(self._descriptor, self._chunks[0])
                except BlockingIOError:
                    return False
                except OSError:
                    # The reader is gone or the disk is full: there is no other place to report it.
                    self._chunks.clear()
                    self._size = 0
                    return True
                self._size -= written
                if written == len(self._chunks[0]):
                    self._chunks.popleft()
                else:
                    self._chunks[0] = self._chunks[0][written:]
            return True
