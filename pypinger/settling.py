"""
What the start has made, and will be there to the end, is taken out of the garbage collector's sight.

A full collection looks at every object there is. With 50,000 tasks that stops the reactor for half a second, and it
comes about once a minute, to find nothing: what a check leaves behind holds no cycles (:mod:`pypinger.domain.model`).
"""

from __future__ import annotations

import gc

from twisted.application.service import Service
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from pypinger.domain.model import Seconds

#: How long after the start all is there: tasks are checked each minute, mostly.
SETTLED: Seconds = 90.0


class Settling(Service):
    """Freezes what is there :data:`SETTLED` seconds after the start; what comes later is collected as ever."""

    def __init__(self, reactor: IReactorTime) -> None:
        self._reactor = reactor
        self._call: IDelayedCall | None = None

    def startService(self) -> None:
        """Begin to wait."""
        super().startService()
        self._call = self._reactor.callLater(SETTLED, self._settle)

    def stopService(self) -> None:
        """Wait no more."""
        super().stopService()
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def _settle(self) -> None:
        self._call = None
        gc.freeze()
