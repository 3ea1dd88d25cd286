"""A store with threads but without the global reactor, for synchronous tests."""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine
from queue import SimpleQueue
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import Clock
from zope.interface import implementer


@implementer(IReactorTime)
class Pump(Clock):
    """A reactor that runs only while a test waits; its time stands still unless it is advanced."""

    def __init__(self) -> None:
        super().__init__()
        self._calls: SimpleQueue[Callable[[], None]] = SimpleQueue()

    def callFromThread(self, call: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        self._calls.put(lambda: call(*args, **kwargs))

    def wait(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Run until `work` is done; return its result."""
        results: list[Any] = []
        failures: list[Any] = []
        Deferred.fromCoroutine(work).addCallbacks(results.append, failures.append)
        while not results and not failures:
            if self.calls and self.calls[0].getTime() <= self.seconds():
                self.advance(0)
            else:
                self._calls.get(timeout=30)()
        if failures:
            failures[0].raiseException()
        return results[0]

    def until(self, condition: Callable[[], Any], limit: float = 30.0) -> None:
        """Run until a condition holds."""
        deadline = time.monotonic() + limit
        while not condition():
            assert time.monotonic() < deadline, "the condition was not met in time"
            while not self._calls.empty():
                self._calls.get()()
            time.sleep(0.01)
