"""
Keeps the garbage collector from stopping the reactor for long.

A full collection visits every object: with 50,000 tasks that takes half a second. So what lives as long as the process
is moved out of the collector's sight. Checks leave next to no cycles.
"""

from __future__ import annotations

import gc

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from pypinger.domain.model import Seconds

#: Seconds after which everything that lives long exists: most tasks are checked each minute.
SETTLED: Seconds = 90.0

#: With at least so many tasks they are moved out of sight at the start already.
MANY = 2000

#: After how many more objects than before the youngest are looked at, after how many of these looks the next
#: generation, and so on. A look at 10,000 objects takes some 10 ms.
THRESHOLDS = (5_000, 2, 50)


class Collector:
    """Sets the garbage collector."""

    def __init__(self, reactor: IReactorTime) -> None:
        self._reactor = reactor
        self._timer: IDelayedCall | None = None

    def start(self, tasks: int) -> None:
        """
        Everything has started.

        :param tasks: how many are configured.
        """
        if tasks >= MANY:
            gc.freeze()
            gc.set_threshold(*THRESHOLDS)
        self.grow()

    def grow(self) -> None:
        """There is more that will live long: some of it exists, the rest follows."""
        if gc.get_threshold() == THRESHOLDS:
            gc.freeze()
        if self._timer is not None and self._timer.active():
            self._timer.reset(SETTLED)
        else:
            self._timer = self._reactor.callLater(SETTLED, self._freeze)

    def stop(self) -> None:
        """Set nothing more."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None

    def _freeze(self) -> None:
        # Frozen garbage is never freed; the old generation holds next to none.
        gc.collect(1)
        gc.freeze()
        # Looking for cycles every 700 objects takes 5 % of the CPU time of checks.
        gc.set_threshold(*THRESHOLDS)
