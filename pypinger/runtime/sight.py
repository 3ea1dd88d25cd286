"""
Whether Py Pinger can see at all, or is blind: whether failures are the tasks' or our own side's (contract, section 3).

It only decides; the monitor asks it about every observation and acts. It is told the time, in seconds on the reactor's
clock, and knows origins (scheme, host, port), not tasks.

Note [Blindness]
~~~~~~~~~~~~~~~~
There are two ways to be blind. An error number of our own side (no descriptors, no network) says so by itself. And if
all origins fail that answered until just now, at least two of them and within one interval, the fault is ours and not
theirs: the cable, the resolver.

The second way takes evidence of *all*, but the first failure must not wait for an interval until every other origin has
had its turn. So it is held back as a *suspicion* only if no other origin has answered since that check began, and the
monitor then checks one task of each other origin right away: the first answer lifts the suspicion (usually within
milliseconds), and if none comes, we are blind and nobody was blamed. An origin that has been failing for longer than an
interval is no evidence either way: it was down before.

We see again with the first answer, but after an error number of our own not before :data:`CALM` seconds without
another: when descriptors are short, every other check may succeed, and that must not make an alert each.
"""

from __future__ import annotations

from enum import Enum

from pypinger.domain.model import Seconds

#: For how many seconds no error of our own side must have come before an answer ends a blindness.
CALM: Seconds = 10.0


class View(Enum):
    """What a failure tells us."""

    THEIRS = "theirs"
    SUSPECT = "suspect"
    OURS = "ours"


class Sight:
    """
    Keeps who answers and who fails.

    :ivar blind: whether we are.
    """

    def __init__(self) -> None:
        self.blind = False
        # Origins that have answered since the start: those whose latest check did, with its time, and those whose
        # latest did not, with the time when their failing began.
        self._answering: dict[str, Seconds] = {}
        self._failing: dict[str, Seconds] = {}
        self._latest: Seconds = float("-inf")
        self._own_fault: Seconds = float("-inf")

    def answering(self) -> list[str]:
        """The origins whose latest check was answered; the one that was heard longest ago comes first."""
        return sorted(self._answering, key=self._answering.__getitem__)

    def answered(self, origin: str, now: Seconds) -> None:
        """An HTTP answer came, whatever it said."""
        self._failing.pop(origin, None)
        self._answering[origin] = self._latest = now
        if now - self._own_fault >= CALM:
            self.blind = False

    def own_fault(self, now: Seconds) -> None:
        """A check failed with an error number of our own side."""
        self._own_fault = now
        self.blind = True

    def failed(self, origin: str, began: Seconds, now: Seconds, interval: Seconds) -> View:
        """
        A check got no HTTP answer, and no error number of our own side explains it.

        :param began: when that check began.
        :param interval: seconds within which failures belong together.
        """
        if self._answering.pop(origin, None) is not None:
            self._failing[origin] = now
        if self.blind:
            return View.OURS
        onset = self._failing.get(origin)
        if onset is None or now - onset > interval or self._latest >= began:
            return View.THEIRS
        if self._answering:
            return View.SUSPECT
        if sum(now - each <= interval for each in self._failing.values()) < 2:
            return View.THEIRS
        self.blind = True
        return View.OURS

    def forget(self, origin: str) -> None:
        """It is checked no more, and so is no evidence."""
        self._answering.pop(origin, None)
        self._failing.pop(origin, None)
