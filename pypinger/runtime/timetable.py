"""
The clock of the loops: what is due in the same millisecond shares one timer of the reactor.

The reactor keeps its timers in a heap that compares them in Python, so that each costs more the more there are: with
50,000 tasks as much as to parse a report. Loops that began together stay together, and need one timer between them.
"""

from __future__ import annotations

from collections.abc import Callable
from math import ceil, inf, nextafter

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from pypinger.domain.model import Seconds

#: How many slots a second has.
SLOTS = 1000


class _Slot:
    """What is due in one millisecond."""

    __slots__ = ("calls", "number", "timer", "waiting")

    def __init__(self, number: int) -> None:
        self.number = number
        self.calls: list[Call] = []
        self.waiting = 0
        self.timer: IDelayedCall | None = None


class Call:
    """
    Something that will be called, unless it is cancelled before.

    :ivar what: None once it was either.
    """

    __slots__ = ("slot", "timetable", "what")

    def __init__(self, timetable: Timetable, slot: _Slot, what: Callable[[], object]) -> None:
        self.timetable = timetable
        self.slot = slot
        self.what: Callable[[], object] | None = what

    def cancel(self) -> None:
        """Do not call it."""
        if self.what is not None:
            self.what = None
            self.timetable.strike_out(self.slot)


class Timetable:
    """As much of ``IReactorTime`` as ``LoopingCall`` needs. Nothing is called before its time."""

    _log = Logger()

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._slots: dict[int, _Slot] = {}
        self.seconds = clock.seconds

    def callLater(self, delay: Seconds, what: Callable[[], object]) -> Call:
        """Call `what` after so many seconds, and up to a millisecond more."""
        now = self.seconds()
        due = now + delay
        number = ceil(due * SLOTS)
        slot = self._slots.get(number)
        if slot is None:
            slot = self._slots[number] = _Slot(number)
            due = max(due, number / SLOTS)
            wait = max(0.0, due - now)
            while now + wait < due:  # by what a float loses
                wait = nextafter(wait, inf)
            slot.timer = self._clock.callLater(wait, self._ring, slot)
        call = Call(self, slot, what)
        slot.calls.append(call)
        slot.waiting += 1
        return call

    def strike_out(self, slot: _Slot) -> None:
        """One of its calls was cancelled; the last takes the timer with it."""
        slot.waiting -= 1
        if not slot.waiting and slot.timer is not None:
            slot.timer.cancel()
            slot.calls.clear()
            del self._slots[slot.number]

    def _ring(self, slot: _Slot) -> None:
        slot.timer = None
        del self._slots[slot.number]
        # Calls and slots hold on to each other no more: there is nothing for the garbage collector.
        calls, slot.calls = slot.calls, []
        for call in calls:
            what, call.what = call.what, None
            if what is not None:
                try:
                    what()
                except Exception:
                    self._log.failure("something that was due")
