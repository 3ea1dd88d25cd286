"""
The timers of thousands of tasks.

Note [Timers]
~~~~~~~~~~~~~
Twisted's reactors leave cancelled timers in their heap until these are more than half of it, and then make a new heap,
comparing timers in Python: 0.1 s with 50,000 tasks. They also make all calls that are due before they read from any
socket.

So tasks have their timers here, in a timing wheel, and the reactor has one for them all. There is a bucket of entries
for each second, which drops stale ones when they are more than half of it, and a heap for the present second. Calls
that are due are made for :data:`TURN` at a time. ``bench/timers.py`` compares both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from heapq import heapify, heappop, heappush
from itertools import chain, count
from typing import Any, TypeAlias

from twisted.internet.error import AlreadyCalled, AlreadyCancelled
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from pypinger.domain.model import Seconds

#: For how many seconds calls are made before the reactor does other work.
TURN: Seconds = 0.01

#: For how many seconds each bucket is.
SPAN: Seconds = 1.0

#: The time of a timer that has no entry.
NOWHERE: Seconds = float("nan")


@implementer(IDelayedCall)
class Timer:
    """
    A call to come.

    :ivar entered: the time of its entry in the timetable; :data:`NOWHERE` once it is over. Other entries are stale.
    """

    __slots__ = ("_args", "_call", "_called", "_kwargs", "_time", "_times", "entered")

    def __init__(
        self, times: Timetable, time: Seconds, call: Callable[..., object], args: Sequence[Any], kwargs: dict[str, Any]
    ) -> None:
        self._times = times
        self._time = self.entered = time
        self._call: Callable[..., object] | None = call
        self._args = args
        self._kwargs = kwargs
        self._called = False

    def getTime(self) -> float:
        """See :meth:`twisted.internet.interfaces.IDelayedCall.getTime`."""
        return self._time

    def active(self) -> bool:
        """See :meth:`twisted.internet.interfaces.IDelayedCall.active`."""
        return self._call is not None

    def cancel(self) -> None:
        """See :meth:`twisted.internet.interfaces.IDelayedCall.cancel`."""
        self._check()
        self._end()

    def reset(self, secondsFromNow: float) -> None:
        """See :meth:`twisted.internet.interfaces.IDelayedCall.reset`."""
        self._move(self._times.seconds() + secondsFromNow)

    def delay(self, secondsLater: float) -> None:
        """See :meth:`twisted.internet.interfaces.IDelayedCall.delay`."""
        self._move(self._time + secondsLater)

    def enter(self) -> None:
        """Enter it for its present time."""
        self.entered = self._time
        self._times.enter(self)

    def run(self) -> None:
        """Make the call."""
        call, args, kwargs = self._call, self._args, self._kwargs
        assert call is not None
        self._called = True
        self._end()
        call(*args, **kwargs)

    def _move(self, time: Seconds) -> None:
        self._check()
        self._time = time
        if time < self.entered:
            entered, self.entered = self.entered, NOWHERE
            self._times.leave(entered)
            self.enter()

    def _check(self) -> None:
        if self._called:
            raise AlreadyCalled
        if self._call is None:
            raise AlreadyCancelled

    def _end(self) -> None:
        # What it would call is freed now; its entry may stay for long.
        self._call, self._args, self._kwargs = None, (), {}
        entered, self.entered = self.entered, NOWHERE
        self._times.end(entered)


#: A time, a number that is higher than those before, and the timer.
Entry: TypeAlias = tuple[Seconds, int, Timer]


@implementer(IReactorTime)
class Timetable:
    """Timers that cost the reactor one: see Note [Timers]."""

    _log = Logger()

    def __init__(self, reactor: IReactorTime) -> None:
        self._reactor = reactor
        # The entries of the present second and of those before, as a heap. A timer that is put off is entered anew when
        # its time has come.
        self._near: list[Entry] = []
        # The number of a second -> its entries; how many of them are stale; and the numbers, as a heap.
        self._far: dict[int, list[Entry]] = {}
        self._stale: dict[int, int] = {}
        self._coming: list[int] = []
        self._next = _second(reactor.seconds()) + 1
        self._numbers = count()
        self._active = 0
        self._wake: IDelayedCall | None = None
        self._ringing = False

    def seconds(self) -> float:
        """See :meth:`twisted.internet.interfaces.IReactorTime.seconds`."""
        return self._reactor.seconds()

    def callLater(self, delay: float, callable: Callable[..., object], *args: Any, **kwargs: Any) -> IDelayedCall:
        """See :meth:`twisted.internet.interfaces.IReactorTime.callLater`."""
        timer = Timer(self, self._reactor.seconds() + delay, callable, args, kwargs)
        self.enter(timer)
        self._active += 1
        return timer

    def getDelayedCalls(self) -> Sequence[IDelayedCall]:
        """See :meth:`twisted.internet.interfaces.IReactorTime.getDelayedCalls`."""
        return [timer for _, _, timer in _live(chain(self._near, *self._far.values()))]

    def enter(self, timer: Timer) -> None:
        """Make an entry for a timer."""
        time = timer.entered
        entry, second = (time, next(self._numbers), timer), _second(time)
        if second < self._next:
            heappush(self._near, entry)
            if self._near[0] is entry:
                self._set_wake()
        elif second in self._far:
            self._far[second].append(entry)
        else:
            self._far[second] = [entry]
            heappush(self._coming, second)
            if self._coming[0] == second:
                self._set_wake()

    def leave(self, entered: Seconds) -> None:
        """The entry that a timer had for this time is stale."""
        second = _second(entered)
        if (entries := self._far.get(second)) is not None:
            self._stale[second] = stale = self._stale.get(second, 0) + 1
            if 2 * stale > len(entries):
                entries[:] = _live(entries)
                self._stale[second] = 0

    def end(self, entered: Seconds) -> None:
        """A timer is over; `entered`: as for :meth:`leave`."""
        self.leave(entered)
        self._active -= 1
        if not self._active:
            self._near, self._far, self._stale, self._coming = [], {}, {}, []
            self._set_wake()

    def _set_wake(self) -> None:
        """Have the reactor call when the next timer may be due."""
        if self._ringing:
            return
        due = None
        if self._near:
            due = self._near[0][0]
        elif self._coming:
            due = self._coming[0] * SPAN
        wake = self._wake
        if wake is not None:
            if due is not None and due >= wake.getTime():
                return
            wake.cancel()
            self._wake = None
        if due is not None:
            self._wake = self._reactor.callLater(max(0.0, due - self._reactor.seconds()), self._ring)

    def _ring(self) -> None:
        """Make the calls that are due, but not those that these add."""
        self._wake, self._ringing = None, True
        now = self._reactor.seconds()
        last = next(self._numbers)
        try:
            self._come(_second(now))
            while self._near and self._near[0][0] <= now and self._near[0][1] < last:
                time, _, timer = heappop(self._near)
                if timer.entered == time:
                    if timer.getTime() > time:
                        timer.enter()
                    else:
                        self._run(timer)
                if self._reactor.seconds() >= now + TURN:
                    break
        finally:
            self._ringing = False
            self._set_wake()

    def _come(self, present: int) -> None:
        """Take up the entries until a second."""
        self._next = max(self._next, present + 1)
        come: list[Entry] = []
        while self._coming and self._coming[0] <= present:
            second = heappop(self._coming)
            come += _live(self._far.pop(second))
            self._stale.pop(second, None)
        if come:
            self._near += come
            heapify(self._near)

    def _run(self, timer: Timer) -> None:
        try:
            timer.run()
        except Exception:
            self._log.failure("unexpected error in a timed call")


def _second(time: Seconds) -> int:
    return int(time // SPAN)


def _live(entries: Iterable[Entry]) -> list[Entry]:
    return [entry for entry in entries if entry[2].entered == entry[0]]
