"""
Silences and maintenance: when the alerts of a task are muted, until when, by whom and why (contract, section 4).

A silence is given by hand and kept in the store; a maintenance is a section of the ini file, once or on a schedule.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

import msgspec

from pypinger.domain.cron import cron
from pypinger.domain.model import Instant, Seconds
from pypinger.domain.selector import Selector, Subject
from pypinger.domain.times import MINUTE

#: The longest silence, in seconds (366 days).
LONGEST: Seconds = 366 * 86_400.0

# How many windows that overlap are joined, at 0.1 ms each.
_JOINED = 100


class Silence(msgspec.Struct, frozen=True):
    """
    A silence as it is stored.

    :ivar id: short, for ``pypinger unsilence``.
    :ivar selector: as it was typed.
    :ivar until: excluded.
    :ivar by: the login name that the command sent.
    """

    id: str
    selector: str
    start: Instant
    until: Instant
    reason: str = ""
    by: str = ""


class Maintenance(msgspec.Struct, frozen=True):
    """
    A ``[maintenance NAME]`` section: `cron` and `duration`, or `start` and `until`.

    :ivar duration: seconds of each window of the schedule.
    """

    name: str
    selector: Selector
    reason: str = ""
    schedule: str = ""
    timezone: str = "UTC"
    duration: Seconds = 0.0
    start: Instant = 0.0
    until: Instant = 0.0

    def end(self, now: Instant) -> Instant | None:
        """When the window that `now` lies in ends, windows that overlap or touch as one; None outside."""
        if not self.schedule:
            return self.until if self.start <= now < self.until else None
        end = _joined_end(self.schedule, self.timezone, self.duration, now // MINUTE)
        return end if end is not None and now < end else None

    def next_change(self, now: Instant) -> Instant | None:
        """The next moment at which a window begins or ends; None if none does."""
        end = self.end(now)
        if end is not None:
            return end
        if not self.schedule:
            return self.start if now < self.start else None
        return cron(self.schedule, self.timezone).after(now)


@lru_cache(maxsize=256)
def _joined_end(schedule: str, timezone: str, duration: Seconds, minute: float) -> Instant | None:
    """
    When the window that began last, windows that overlap or touch as one, ends; None if none has begun.

    Windows begin with a minute, so the answer holds for the whole minute: it is worked out once for all tasks.
    """
    rule = cron(schedule, timezone)
    # A moment equal to the minute's beginning begins a window.
    latest = rule.before(minute * MINUTE + 0.001)
    if latest is None or minute * MINUTE >= latest + duration:
        return None
    for _ in range(_JOINED):
        following = rule.after(latest)
        if following is None or following > latest + duration:
            break
        latest = following
    return latest + duration


class Muted(msgspec.Struct, frozen=True):
    """
    Why and until when a task's alerts are muted now.

    :ivar source: ``silence ID`` or ``maintenance NAME``.
    """

    until: Instant
    reason: str
    by: str
    source: str


class Muting:
    """
    All silences and maintenance at present: answers whether a task is muted.

    :param silences: with their parsed selectors.
    """

    def __init__(
        self, silences: Iterable[tuple[Silence, Selector]] = (), maintenance: Iterable[Maintenance] = ()
    ) -> None:
        self._silences = tuple(silences)
        self._maintenance = tuple(maintenance)

    def muted(self, subject: Subject, now: Instant) -> Muted | None:
        """Of what mutes this task now, the one that ends last; None if nothing does."""
        found = [
            Muted(silence.until, silence.reason, silence.by, f"silence {silence.id}")
            for silence, selector in self._silences
            # Its start is when it was given; that the clock was set back since does not end it.
            if now < silence.until and selector.matches(subject)
        ]
        for each in self._maintenance:
            if each.selector.matches(subject) and (end := each.end(now)) is not None:
                found.append(Muted(end, each.reason, "", f"maintenance {each.name}"))
        return max(found, key=lambda muted: muted.until, default=None)

    def next_change(self, now: Instant) -> Instant | None:
        """The next moment at which a silence or a window begins or ends."""
        moments = [silence.until for silence, _ in self._silences if silence.until > now]
        moments += [edge for each in self._maintenance if (edge := each.next_change(now)) is not None]
        return min(moments, default=None)
