"""
Whether our wall clock is wrong, by the ``Date`` of answers (contract, section 3, "Whose clock").

The time is a parameter; no I/O. `seconds` are on a clock that never goes back, `now` and `date` by the wall clock.
"""

from __future__ import annotations

from typing import NamedTuple

from pypinger.domain.model import Instant, Seconds, Skew

#: Our clock is wrong if more than half of the hosts, and at least LEAST, differ from it by more than WRONG seconds and
#: agree within AGREE seconds.
LEAST = 3
WRONG: Seconds = 60.0
AGREE: Seconds = 30.0

#: With more hosts than this, all are compared at most once a second.
FEW = 100

#: What explanations of alerts begin with while it is wrong, and when it is right again.
IS_WRONG = "the clock of this machine is wrong"
WAS_WRONG = "the clock of this machine was wrong"

#: A clock differs from ours, as explanations say, from half a minute: they round to a minute.
WORTH_SAYING: Seconds = 30.0


class _Heard(NamedTuple):
    """
    The clock of a host.

    :ivar ahead: seconds that it was ahead of ours.
    :ivar until: until when that counts: an interval later, and the timeout of the check that is then under way.
    """

    ahead: Seconds
    until: Seconds


class Clocks:
    """The clocks of the hosts that answered, compared with ours."""

    def __init__(self) -> None:
        self._heard: dict[str, _Heard] = {}
        self._wrong: Seconds | None = None
        self._looked: Seconds = float("-inf")

    @property
    def wrong(self) -> Seconds | None:
        """Seconds that the hosts' clocks are ahead of ours (negative: behind); None if ours is right."""
        return self._wrong

    def restore(self, *, wrong: bool) -> None:
        """Take up whether our clock was wrong before a restart."""
        self._wrong = 0.0 if wrong else None

    def heard(self, host: str, date: Instant, now: Instant, seconds: Seconds, lasts: Seconds) -> None:
        """
        Record the ``Date`` of an answer.

        :param lasts: for how many seconds it counts.
        """
        ahead = date - now
        self._heard[host] = _Heard(ahead, seconds + lasts)
        odd = abs(ahead) > WRONG
        if (odd or self._wrong is not None) and (len(self._heard) <= FEW or seconds >= self._looked + 1.0):
            self._look(seconds, odd=odd)

    def stepped(self, step: Seconds, seconds: Seconds) -> None:
        """Record that our wall clock was stepped forward by `step` seconds (backward if negative)."""
        self._heard = {host: _Heard(heard.ahead - step, heard.until) for host, heard in self._heard.items()}
        self._look(seconds, odd=False)

    def skew(self, host: str, seconds: Seconds) -> Skew | None:
        """Return how the clock of a host differs from ours, if it does and was heard lately."""
        heard = self._heard.get(host)
        if heard is None or heard.until < seconds or abs(heard.ahead) < WORTH_SAYING:
            return None
        return Skew(host, heard.ahead)

    def _look(self, seconds: Seconds, *, odd: bool) -> None:
        self._looked = seconds
        self._heard = {host: heard for host, heard in self._heard.items() if heard.until >= seconds}
        every = sorted(heard.ahead for heard in self._heard.values())
        if odd and len(every) < LEAST:
            # After a time without answers the first ones must not end what they are about to confirm.
            return
        self._wrong = None
        count = max(LEAST, len(every) // 2 + 1)
        for first, last in zip(every, every[count - 1 :], strict=False):
            if last - first <= AGREE and (first > WRONG or last < -WRONG):
                self._wrong = (first + last) / 2
