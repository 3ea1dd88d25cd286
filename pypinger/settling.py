"""
The garbage collector, which has next to nothing to do here, is kept from doing much: what a check leaves behind holds
no cycles (:mod:`pypinger.domain.model`, ``tests/http/test_garbage.py``) and is freed at once.

What the start has made, and will be there to the end, is taken out of its sight. A full collection looks at every
object there is: with 50,000 tasks that stops the reactor for half a second, about once a minute, and with a handful of
tasks it is still a tenth of a second, for the code of the libraries alone. And it looks at the young less often. By
default it does so each time 700 of them are there, which a hundred checks under way are: a fifth of a check's cost.
"""

from __future__ import annotations

import gc

from twisted.application.service import Service
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall

from pypinger.domain.model import Seconds

#: How long after the start all is there: tasks are checked each minute, mostly.
SETTLED: Seconds = 90.0

#: How often until then what is there is frozen. A collection in between looks at no more than has come since.
STEP: Seconds = 5.0

#: How many young objects there are before they are looked through.
YOUNG = 10_000


class Settling(Service):
    """Freezes what is there, at the start and until :data:`SETTLED`; what comes later is collected, but less often."""

    def __init__(self, reactor: IReactorTime) -> None:
        self._reactor = reactor
        self._loop = LoopingCall(self._freeze)
        self._loop.clock = reactor
        self._end: Seconds = 0.0
        self._before = gc.get_threshold()

    def startService(self) -> None:
        """Begin with what is there already."""
        super().startService()
        self._before = gc.get_threshold()
        gc.set_threshold(YOUNG, *self._before[1:])
        self._end = self._reactor.seconds() + SETTLED
        self._loop.start(STEP)

    def stopService(self) -> None:
        """Freeze no more, and let the collector work as before."""
        super().stopService()
        gc.set_threshold(*self._before)
        if self._loop.running:
            self._loop.stop()

    def _freeze(self) -> None:
        # What is frozen is never collected, so the young are looked through first. They are few.
        gc.collect(1)
        gc.freeze()
        if self._reactor.seconds() >= self._end:
            self._loop.stop()
