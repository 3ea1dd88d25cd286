"""
Blocking calls in daemon threads, for libraries that offer no other way.

Neither the reactor's thread pool nor a stop of the process waits for them.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from threading import Thread
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.error import ReactorNotRunning
from twisted.python.failure import Failure

_T = TypeVar("_T")


class TooManyThreads(Exception):
    """Too many earlier calls have not returned yet, or the system gives no thread."""


class Background:
    """
    Runs blocking calls, each in a thread of its own.

    :param most: how many may run at once. Calls that were cancelled count until they return.
    """

    def __init__(self, reactor: Any, most: int) -> None:
        self._reactor = reactor
        self._most = most
        self._running = 0

    def call(self, function: Callable[[], _T], returned: Callable[[_T], object] | None = None) -> Deferred[_T]:
        """
        Call a function.

        :param returned: is called with the result, also after a cancellation.
        :returns: the result. If it is cancelled, the call runs on.
        :raises TooManyThreads: as many as allowed are running, or no thread can be started.
        """
        if self._running >= self._most:
            raise TooManyThreads
        self._running += 1
        result: Deferred[_T] = Deferred()

        def ended(outcome: _T | Failure) -> None:
            self._running -= 1
            # A cancelled Deferred ignores these.
            if isinstance(outcome, Failure):
                result.errback(outcome)
                return
            if returned is not None:
                returned(outcome)
            result.callback(outcome)

        def run() -> None:
            outcome: _T | Failure
            try:
                outcome = function()
            except BaseException:
                outcome = Failure()
            with suppress(ReactorNotRunning):
                self._reactor.callFromThread(ended, outcome)

        try:
            Thread(target=run, name="pypinger-notify", daemon=True).start()
        except RuntimeError:
            # The process has as many threads as it may have.
            self._running -= 1
            raise TooManyThreads from None
        return result
