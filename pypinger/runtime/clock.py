"""
The wall clock and the reactor's clock.

Note [Two clocks]
~~~~~~~~~~~~~~~~~
Verdicts are about wall-clock time (a report says *when* its task ran), schedules about elapsed time. The two diverge
when the wall clock is stepped. Twisted's ``reactor.seconds()`` is the wall clock, so a step back of an hour would
freeze every timeout and loop for an hour. Therefore :func:`use_monotonic_time` puts the reactor on the monotonic clock,
and :data:`pypinger.ports.clock.WallClock` is the only source of the time of day.

A timer for a wall-clock moment (the end of a sleep, the end of a grace) is a delay on the monotonic clock, and wrong
after a step. :class:`StepWatch` detects a step within a second and has such timers set again.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from pypinger.domain.model import Seconds
from pypinger.ports.clock import WallClock

#: Drift in seconds between the clocks from which timers for wall-clock moments are set again.
TOLERANCE: Seconds = 0.2


def use_monotonic_time(reactor: object) -> None:
    """Put `reactor` on the monotonic clock; call this before anything is scheduled on it."""
    reactor.seconds = time.monotonic  # type: ignore[attr-defined]


class StepWatch:
    """
    Detects steps (and slow drift) of the wall clock.

    :param stepped: called with the step when the wall clock has moved by more than :data:`TOLERANCE` against the
        reactor's clock.
    """

    _log = Logger()

    def __init__(self, reactor: IReactorTime, now: WallClock, stepped: Callable[[Seconds], None]) -> None:
        self._reactor = reactor
        self._now = now
        self._stepped = stepped
        self._loop = LoopingCall(self._look)
        self._loop.clock = reactor
        self._offset = 0.0

    def start(self) -> None:
        """Compare the clocks once a second."""
        self._offset = self._now() - self._reactor.seconds()
        self._loop.start(1.0, now=False)

    def stop(self) -> None:
        """Stop comparing."""
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
            self._stepped(step)
        except Exception:
            self._log.failure("setting timers after a step of the wall clock")
