"""
The two clocks.

Note [Two clocks]
~~~~~~~~~~~~~~~~~
Verdicts are about wall-clock time (a report says *when* its task ran), schedules are about the passing of time. They
part when somebody steps the wall clock: Twisted's ``reactor.seconds()`` is the wall clock, so that a step back of an
hour would freeze every timeout and loop for that hour. Hence :func:`use_monotonic_time` puts the reactor on the
monotonic clock, and only :data:`pypinger.ports.clock.WallClock` says what time it is.

What is scheduled for a wall-clock moment (the end of a sleep, the end of a grace) is a delay on the monotonic clock,
and such delays are wrong after a step. :class:`StepWatch` sees a step within a second and has them made anew.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from pypinger.domain.model import Seconds
from pypinger.ports.clock import WallClock

#: How far the clocks may drift apart, in seconds, before what was scheduled for a wall-clock moment is made anew.
TOLERANCE: Seconds = 0.2


def use_monotonic_time(reactor: object) -> None:
    """Put `reactor` on the monotonic clock; to be called before anything is scheduled on it."""
    reactor.seconds = time.monotonic  # type: ignore[attr-defined]


class StepWatch:
    """
    Sees steps (and slow drift) of the wall clock.

    :param stepped: called after the wall clock has moved by more than :data:`TOLERANCE` against the reactor's.
    """

    _log = Logger()

    def __init__(self, reactor: IReactorTime, now: WallClock, stepped: Callable[[], None]) -> None:
        self._reactor = reactor
        self._now = now
        self._stepped = stepped
        self._loop = LoopingCall(self._look)
        self._loop.clock = reactor
        self._offset = 0.0

    def start(self) -> None:
        """Look once a second from now on."""
        self._offset = self._now() - self._reactor.seconds()
        self._loop.start(1.0, now=False)

    def stop(self) -> None:
        """Look no more."""
        if self._loop.running:
            self._loop.stop()

    def _look(self) -> None:
        offset = self._now() - self._reactor.seconds()
        step = offset - self._offset
        if abs(step) <= TOLERANCE:
            return
        self._offset = offset
        if abs(step) > 5 * TOLERANCE:
            self._log.warn("the wall clock was stepped by {step:+.1f} s", step=step)
        try:
            self._stepped()
        except Exception:
            self._log.failure("after a step of the wall clock")
