"""How many checks may be under way at once (``[main] concurrency``; contract, section 3)."""

from __future__ import annotations

from collections import deque

from twisted.internet.defer import Deferred


class Semaphore:
    """
    A first-come-first-served semaphore that can be resized while it is in use.

    Unlike :class:`twisted.internet.defer.DeferredSemaphore`, it takes a free permit without a Deferred, and thousands
    of waiters that release at once do not recurse.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._taken = 0
        self._waiting: deque[Deferred[None]] = deque()
        self._granting = False

    @property
    def limit(self) -> int:
        """The number of permits."""
        return self._limit

    def resize(self, limit: int) -> None:
        """Change the number of permits; with fewer than are taken, none is granted until enough are released."""
        self._limit = limit
        self._grant()

    def try_acquire(self) -> bool:
        """Take a permit if one is free and there are no waiters."""
        if self._taken < self._limit and not self._waiting:
            self._taken += 1
            return True
        return False

    async def acquire(self) -> None:
        """Wait for a permit and take it. Cancel to stop waiting."""
        if self.try_acquire():
            return
        turn: Deferred[None] = Deferred(self._waiting.remove)
        self._waiting.append(turn)
        await turn

    def release(self) -> None:
        """Return a permit."""
        self._taken -= 1
        if self._waiting:
            self._grant()

    def _grant(self) -> None:
        if self._granting:
            # A waiter that was granted a permit has released it already; the loop below continues. A nested loop for
            # each of thousands of waiters would exceed Python's stack.
            return
        self._granting = True
        try:
            while self._waiting and self._taken < self._limit:
                self._taken += 1
                self._waiting.popleft().callback(None)
        finally:
            self._granting = False


def after(running: Deferred[None]) -> Deferred[None]:
    """Return a Deferred that fires when `running` has, without changing its result."""
    over: Deferred[None] = Deferred()
    running.chainDeferred(over)
    return over
