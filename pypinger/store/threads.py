"""Threads for calls that may block, and what the store needs of a reactor."""

from __future__ import annotations

from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread
from typing import Any, ParamSpec, Protocol, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.python.failure import Failure

P = ParamSpec("P")
T = TypeVar("T")


class Reactor(Protocol):
    """Parts of ``IReactorTime`` and ``IReactorFromThreads``."""

    def seconds(self) -> float:
        """See :meth:`twisted.internet.interfaces.IReactorTime.seconds`."""

    def callLater(self, delay: float, callable: Callable[..., Any], *args: Any, **kwargs: Any) -> IDelayedCall:
        """See :meth:`twisted.internet.interfaces.IReactorTime.callLater`."""

    def callFromThread(self, callable: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        """See :meth:`twisted.internet.interfaces.IReactorFromThreads.callFromThread`."""


class Worker(Protocol):
    """Makes calls one after the other, in the order in which they were given."""

    def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Deferred[T]:
        """Call `function`; its result or failure comes back in the reactor's thread."""

    def stop(self) -> None:
        """End after the calls given so far."""


class ThreadWorker:
    """A :class:`Worker` with a thread of its own."""

    def __init__(self, reactor: Reactor, name: str) -> None:
        self._reactor = reactor
        self._calls: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        # A daemon thread: a disk that does not answer must not keep the process alive.
        self._thread = Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Deferred[T]:
        """See :meth:`Worker.run`."""
        done: Deferred[T] = Deferred()

        def call() -> None:
            result: T | Failure
            try:
                result = function(*args, **kwargs)
            except BaseException:
                result = Failure()
            self._reactor.callFromThread(done.callback, result)

        self._calls.put(call)
        return done

    def stop(self) -> None:
        """See :meth:`Worker.stop`."""
        self._calls.put(None)

    def _run(self) -> None:
        while (call := self._calls.get()) is not None:
            call()


class LateWorker:
    """A :class:`Worker` that is made later, because a thread must follow daemonising."""

    def __init__(self, make: Callable[[], Worker]) -> None:
        self._make = make
        self._worker: Worker | None = None

    @property
    def started(self) -> bool:
        """Whether it was made."""
        return self._worker is not None

    def start(self) -> None:
        """Make it."""
        self._worker = self._make()

    def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Deferred[T]:
        """See :meth:`Worker.run`."""
        assert self._worker is not None
        return self._worker.run(function, *args, **kwargs)

    def stop(self) -> None:
        """See :meth:`Worker.stop`."""
        assert self._worker is not None
        self._worker.stop()
