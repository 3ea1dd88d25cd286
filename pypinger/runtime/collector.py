"""
Keeps the garbage collector from stopping the reactor for long.

A full collection visits every object: with 50,000 tasks that takes half a second. So what lives as long as the process
is moved out of the collector's sight. Checks leave next to no cycles, and a task that is watched no longer leaves none:
what is out of sight would never be freed.
"""

from __future__ import annotations

import gc

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from pypinger.domain.model import Seconds

#: Seconds after which everything that lives long exists: most tasks are checked each minute.
SETTLED: Seconds = 90.0

#: With at least so many tasks they are moved out of sight at the start already, and then every so many seconds: 830
#: checks a second leave 7,000 objects a second to look at.
MANY = 2000
STEP: Seconds = 2.0

#: After how many more objects than before the youngest are looked at, after how many of these looks the next
#: generation, and so on. A look at 10,000 objects takes some 10 ms.
THRESHOLDS = (5_000, 2, 50)


class Collector:
    """Sets the garbage collector."""

    def __init__(self, reactor: IReactorTime) -> None:
        self._reactor = reactor
        self._timer: IDelayedCall | None = None
        self._frozen = False
        # When everything exists.
        self._settled: Seconds = 0.0

    def start(self, tasks: int) -> None:
        """
        Everything has started.

        :param tasks: how many are configured.
        """
        if tasks >= MANY:
            self._freeze()
        self._freeze_later()

    def grow(self) -> None:
        """
        There is more that will live long: some of it exists, the rest follows.

        The youngest of thousands of tasks are many, too: each check makes new timers. To look at them takes 0.2 s, so
        they are moved out of sight before more is made.
        """
        if self._frozen:
            gc.freeze()
        self._freeze_later()

    def _freeze_later(self) -> None:
        self._settled = self._reactor.seconds() + SETTLED
        if self._timer is None:
            self._wait()

    def _wait(self) -> None:
        left = self._settled - self._reactor.seconds()
        self._timer = self._reactor.callLater(min(STEP, left) if self._frozen else left, self._ring)

    def _ring(self) -> None:
        self._timer = None
        if self._reactor.seconds() >= self._settled:
            # Frozen garbage is never freed; the old generation holds next to none.
            gc.collect(1)
            self._freeze()
            return
        if self._frozen:
            gc.freeze()
        self._wait()

    def stop(self) -> None:
        """Set nothing more."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None

    def _freeze(self) -> None:
        self._frozen = True
        gc.freeze()
        # Looking for cycles every 700 objects takes 5 % of the CPU time of checks.
        gc.set_threshold(*THRESHOLDS)
