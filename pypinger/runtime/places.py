"""The places for checks: how many may be under way at once (``[main] concurrency``; contract, section 3)."""

from __future__ import annotations

from collections import deque

from twisted.internet.defer import Deferred


class Places:
    """
    A semaphore whose limit can be changed while places are taken.

    :ivar limit: how many may be taken at once; fewer than are taken now only means that none is given for a while.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._taken = 0
        self._waiting: deque[Deferred[None]] = deque()
        self._letting_in = False

    def take_free(self) -> bool:
        """Take a place if one is free."""
        if self._taken < self.limit and not self._waiting:
            self._taken += 1
            return True
        return False

    async def take(self) -> None:
        """Wait for a place and take it; first come, first served. Cancelling gives up waiting."""
        if self.take_free():
            return
        turn: Deferred[None] = Deferred(self._waiting.remove)
        self._waiting.append(turn)
        await turn

    def leave(self) -> None:
        """Give a place back."""
        self._taken -= 1
        if self._waiting:
            self.let_in()

    def let_in(self) -> None:
        """Give free places to those who wait; to be called after the limit was raised."""
        if self._letting_in:
            # Whoever was let in has left at once. The loop below goes on; one more inside it for each of thousands
            # who wait would be deeper than Python's stack.
            return
        self._letting_in = True
        try:
            while self._waiting and self._taken < self.limit:
                self._taken += 1
                self._waiting.popleft().callback(None)
        finally:
            self._letting_in = False
