"""Runs the command as a process, without the time of its imports."""

from __future__ import annotations

import os
import sys

from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from tests.forked import ForkedProcess

CODE = "import sys; from pypinger.cli import main; sys.exit(main())"


class Process(ProcessProtocol):
    """
    A ``pypinger`` process; it is killed at the end of the test.

    :ivar ended: fires with the exit code, or with None if a signal killed it.
    """

    def __init__(self, test: TestCase, *arguments: str, code: str = CODE) -> None:
        self.out = b""
        self.err = b""
        self.ended: Deferred[int | None] = Deferred()
        self._waiting: tuple[bytes, Deferred[None]] | None = None
        directory = test.mktemp()
        os.mkdir(directory)
        self.directory = os.path.abspath(directory)
        command = (sys.executable, "-c", code, *arguments)
        self._process = ForkedProcess(self, command, os.environ, self.directory)
        self._over: Deferred[None] = Deferred()
        test.addCleanup(self._kill)

    def outReceived(self, data: bytes) -> None:
        self.out += data
        if self._waiting is not None and self._waiting[0] in self.out:
            self._waiting[1].callback(None)
            self._waiting = None

    def errReceived(self, data: bytes) -> None:
        self.err += data

    def said(self, words: bytes) -> Deferred[None]:
        """Fires when `words` have been printed; fails if the process ends before."""
        done: Deferred[None] = Deferred()
        self._waiting = (words, done)
        self.outReceived(b"")
        return done

    def signal(self, name: str) -> None:
        self._process.signalProcess(name)

    def processEnded(self, reason: Failure) -> None:
        if self._waiting is not None:
            self._waiting[1].errback(AssertionError((self.out + self.err).decode()))
            self._waiting = None
        self.ended.callback(reason.value.exitCode)  # type: ignore[attr-defined]
        self._over.callback(None)

    def _kill(self) -> Deferred[None]:
        try:
            self.signal("KILL")
        except ProcessExitedAlready:
            pass
        return self._over
