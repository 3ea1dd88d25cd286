"""
What the start has made, and will be there to the end, is taken out of the garbage collector's sight.

A full collection looks at every object there is. With 50,000 tasks that stops the reactor for half a second, and it
comes about once a minute, to find nothing: what a check leaves behind holds no cycles (:mod:`pypinger.domain.model`).
With a handful of tasks it is still a tenth of a second, for the code of the libraries alone.
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


class Settling(Service):
    """Freezes what is there, at the start and until :data:`SETTLED`; what comes later is collected as ever."""

    def __init__(self, reactor: IReactorTime) -> None:
        self._reactor = reactor
        self._loop = LoopingCall(self._freeze)
        self._loop.clock = reactor
        self._end: Seconds = 0.0

    def startService(self) -> None:
        """Begin with what is there already."""
        super().startService()
        self._end = self._reactor.seconds() + SETTLED
        self._loop.start(STEP)

    def stopService(self) -> None:
        """Freeze no more."""
        super().stopService()
        if self._loop.running:
            self._loop.stop()

    def _freeze(self) -> None:
        # What is frozen is never collected, so the young are looked through first. They are few.
        gc.collect(1)
        gc.freeze()
        if self._reactor.seconds() >= self._end:
            self._loop.stop()
