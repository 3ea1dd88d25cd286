"""A reactor's clock that jumps from one timer to the next: a month of timers takes minutes."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any

from twisted.internet.error import AlreadyCalled, AlreadyCancelled
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from zope.interface import implementer


@implementer(IDelayedCall)
class Timer:
    """A call to be made; a timer that was put off or cancelled leaves its old place in the heap behind."""

    __slots__ = ("_clock", "call", "called", "cancelled", "time")

    def __init__(self, clock: HeapClock, time: float, call: Callable[[], object]) -> None:
        self._clock = clock
        self.time = time
        self.call = call
        self.called = self.cancelled = False

    def getTime(self) -> float:
        return self.time

    def cancel(self) -> None:
        self._check()
        self.cancelled = True

    def delay(self, secondsLater: float) -> None:
        self._check()
        self._move(self.time + secondsLater)

    def reset(self, secondsFromNow: float) -> None:
        self._check()
        self._move(self._clock.seconds() + secondsFromNow)

    def active(self) -> bool:
        return not (self.called or self.cancelled)

    def _check(self) -> None:
        if self.cancelled:
            raise AlreadyCancelled
        if self.called:
            raise AlreadyCalled

    def _move(self, time: float) -> None:
        self.time = time
        self._clock.push(self)


class HeapClock:
    """The time that passes, and the timers of all processes."""

    def __init__(self) -> None:
        self._now = 0.0
        self._number = 0
        self._heap: list[tuple[float, int, Timer]] = []

    def seconds(self) -> float:
        return self._now

    def push(self, timer: Timer) -> None:
        self._number += 1
        heappush(self._heap, (timer.time, self._number, timer))

    def run(self, until: float) -> None:
        """Make the calls that are due up to then, each at its time."""
        heap = self._heap
        while heap and heap[0][0] <= until:
            time, _, timer = heappop(heap)
            if timer.cancelled or timer.called or timer.time != time:
                continue
            self._now = max(self._now, time)
            timer.called = True
            timer.call()
        self._now = until


@implementer(IReactorTime)
class ProcessClock:
    """The reactor of one process: when that is killed none of its timers fires any more."""

    def __init__(self, clock: HeapClock) -> None:
        self._clock = clock
        self._alive = True
        self.seconds = clock.seconds

    def callLater(self, delay: float, callable: Callable[..., object], *args: Any, **kwargs: Any) -> Timer:
        def call() -> None:
            if self._alive:
                callable(*args, **kwargs)

        timer = Timer(self._clock, self._clock.seconds() + delay, call)
        if self._alive:
            self._clock.push(timer)
        return timer

    def getDelayedCalls(self) -> list[IDelayedCall]:
        return []

    def kill(self) -> None:
        self._alive = False
