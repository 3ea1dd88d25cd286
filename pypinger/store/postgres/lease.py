"""
The lease of an instance, and the common clock.

Note [Fence]
~~~~~~~~~~~~
An instance owns tasks and channels while its lease lasts: until the moment in its row of ``instance``, by the clock of
the server. Only when that has passed, or its process is known to be gone, may others *bury* it: delete the row and free
what it owned. Each transaction that writes first updates that row, and so locks it, and finds out that it is still
there. A stale instance finds no row, or another owner and epoch in a row of ``ownership`` or ``channel``, and writes
nothing.

Rows of ``ownership`` are read, and not locked: no other instance changes those of one whose row of ``instance`` is
locked.

The number in ``instance.written`` tells whether a transaction was committed whose answer was lost.

Note [Local deadline]
~~~~~~~~~~~~~~~~~~~~~
A check or a message cannot be fenced by the database, so an instance must know by itself when its lease is over. The
deadline is reckoned from before the renewal was sent, with a margin, on a clock that also counts during sleep.
"""

from __future__ import annotations

import time
from threading import Event, Lock

from pypinger.domain.model import Instant, Seconds

#: Seconds for which a lease is given.
TTL: Seconds = 6.0

#: Seconds between two renewals.
BEAT: Seconds = 1.5

#: Seconds before its end at which the instance itself takes its lease to be over.
MARGIN: Seconds = 1.0

#: How far the common clock may be off, in seconds, before it is set.
OFF: Seconds = 0.5

#: Whether stale instances are kept from writing. Tests switch it off to show that they would find out.
FENCED = True

_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def boottime() -> Seconds:
    """A clock that is never set, and that counts while the machine sleeps."""
    return time.clock_gettime(_CLOCK)


class Lease:
    """
    One membership of this instance, from when it joins until it leaves or loses it. All threads use it.

    :param sent: when it was asked for, by :func:`boottime`.
    :ivar id: of the instance; the next lease has another one.
    :ivar words: why it is over, in one line; empty while it is not.
    """

    def __init__(self, id: str, name: str, sent: Seconds) -> None:
        self.id = id
        self.name = name
        self.deadline = sent + TTL - MARGIN
        self.words = ""
        self._over = Event()
        self._lock = Lock()

    def alive(self) -> bool:
        """Whether what is owned is still owned."""
        return not self._over.is_set() and (boottime() < self.deadline or not FENCED)

    @property
    def over(self) -> bool:
        """Whether it was ended; it never lives again."""
        return self._over.is_set()

    def renew(self, sent: Seconds) -> None:
        """The server has renewed it; `sent`: when it was asked to."""
        self.deadline = sent + TTL - MARGIN

    def end(self, words: str) -> None:
        """End it; the first words count."""
        with self._lock:
            if not self._over.is_set():
                self.words = words
                self._over.set()

    def wait(self, seconds: Seconds) -> None:
        """Wait, or until it is ended."""
        self._over.wait(seconds)


class CommonClock:
    """The clock of the server, as far as is known; see :meth:`pypinger.ports.sharing.SharedStore.now`."""

    def __init__(self) -> None:
        self._offset: Seconds | None = None

    def now(self) -> Instant:
        """Seconds since the epoch."""
        return time.time() if self._offset is None else boottime() + self._offset

    def learn(self, sent: Seconds, answered: Seconds, told: Instant) -> None:
        """The server told its time between two moments by :func:`boottime`."""
        offset = told - (sent + answered) / 2
        known = self._offset
        if known is None or abs(offset - known) > OFF + (answered - sent) / 2:
            self._offset = offset
