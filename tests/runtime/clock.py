"""A clock for thousands of timers."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count
from typing import Any

from twisted.internet.base import DelayedCall
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer


@implementer(IReactorTime)
class QuickClock:
    """Like :class:`twisted.internet.task.Clock`, which sorts all its calls whenever one is added or made."""

    def __init__(self) -> None:
        self._now = 0.0
        self._number = count()
        # A call that was put off or cancelled leaves its old place behind.
        self._heap: list[tuple[float, int, DelayedCall]] = []

    def seconds(self) -> float:
        return self._now

    def callLater(self, delay: float, callable: Callable[..., object], *args: Any, **kwargs: Any) -> DelayedCall:
        call = DelayedCall(self._now + delay, callable, args, kwargs, lambda _: None, self._push, self.seconds)
        self._push(call)
        return call

    def getDelayedCalls(self) -> list[DelayedCall]:
        return list(dict.fromkeys(call for *_, call in self._heap if call.active()))

    def due(self) -> float | None:
        """When the next call is due; None if there is none."""
        heap = self._heap
        while heap:
            time, _, call = heap[0]
            if call.active() and call.getTime() <= time:
                return time
            heappop(heap)
            if call.active():
                self._push(call)
        return None

    def advance(self, amount: float) -> None:
        self._now += amount
        while (due := self.due()) is not None and due <= self._now:
            _, _, call = heappop(self._heap)
            call.called = 1
            call.func(*call.args, **call.kw)

    def step(self, amount: float, end: float) -> None:
        """Advance by `amount` until a call has been due, or until `end`."""
        due = self.due()
        quiet = end if due is None else min(due, end)
        while self._now + amount < quiet:
            self._now += amount
        self.advance(min(amount, end - self._now))

    def run(self, seconds: float) -> None:
        """Let time pass, from each moment at which a call is due to the next."""
        end = self._now + seconds
        while (due := self.due()) is not None and due <= end:
            self.advance(max(0.0, due - self._now))
        self.advance(end - self._now)

    def _push(self, call: DelayedCall) -> None:
        heappush(self._heap, (call.getTime(), next(self._number), call))
