"""The lives of a daemon, from the side of the test: see :mod:`tests.crash.forks`."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from tests.acceptance.process import CHECKOUT, until
from tests.crash import forks


class Life:
    """
    A process of the daemon; like :class:`tests.acceptance.process.Process`.

    :ivar ended: its exit code, or the negative number of the signal that ended it; None while it runs.
    """

    def __init__(self) -> None:
        self.out = self.err = b""
        self.ended: int | None = None
        self._pid: int | None = None
        self._early: list[str] = []

    @property
    def pid(self) -> int:
        assert self._pid is not None
        return self._pid

    @property
    def log(self) -> str:
        return (self.out + self.err).decode()

    def born(self, pid: int) -> None:
        self._pid = pid
        for name in self._early:
            self.signal(name)

    def signal(self, name: str) -> None:
        if self._pid is None:
            self._early.append(name)
        elif self.ended is None:
            with suppress(ProcessLookupError):
                os.kill(self._pid, signal.Signals[f"SIG{name}"])

    async def end(self) -> int:
        """Wait until the process ends. Returns the exit code."""
        await until(lambda: self.ended is not None, f"the end of the process with {self.log}")
        assert self.ended is not None
        return self.ended


class Lives(ProcessProtocol):
    """
    The process that forks lives, one after another, in one directory; it ends when the test ends.

    :param imports: modules that a daemon imports later, for its channels.
    """

    def __init__(self, test: TestCase, directory: str, imports: Iterable[str] = ()) -> None:
        self._life = Life()
        self._unread = {1: b"", 2: b""}
        self._dead: set[int] = set()
        self._over: Deferred[None] = Deferred()
        self._process = reactor.spawnProcess(
            self,
            sys.executable,
            (sys.executable, "-m", forks.__name__, *imports),
            env={**os.environ, "PYTHONPATH": CHECKOUT, "PYTHONUNBUFFERED": "1"},
            path=directory,
        )
        test.addCleanup(self._end)

    def begin(self, *arguments: str, environ: Mapping[str, str]) -> Life:
        """Begin a life; the one before has ended."""
        self._life, self._dead = Life(), set()
        self._process.writeToChild(0, json.dumps((arguments, dict(environ))).encode() + b"\n")
        return self._life

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        unread, life = self._unread[childFD] + data, self._life
        while True:
            written, mark, unread = unread.partition(b"\0")
            if childFD == 1:
                life.out += written
            else:
                life.err += written
            line, end, rest = unread.partition(b"\n")
            if not end:
                break
            word, number = line.split()
            if word == b"born":
                life.born(int(number))
            else:
                self._dead.add(childFD)
                if len(self._dead) == 2:
                    life.ended = int(number)
            unread = rest
        self._unread[childFD] = mark + unread

    def processEnded(self, reason: Failure) -> None:
        if self._life.ended is None:
            self._life.ended = reason.value.exitCode if reason.value.signal is None else -reason.value.signal
        self._over.callback(None)

    def _end(self) -> Deferred[None]:
        with suppress(ProcessExitedAlready):
            self._process.signalProcess("TERM")
        self._process.loseConnection()
        return self._over
