"""
Cron expressions in a time zone: the moments after and before a moment (contract, sections 1 and 6).

Note [Who decides]
~~~~~~~~~~~~~~~~~~
cronsim reads the expressions and says which days match. It also finds moments, but it reads the expression anew for
each, goes back in the hour that the autumn change repeats, and skips moments where a zone changes by half an hour. So
:class:`Cron` looks for them itself, by cronsim's rules, which are those of Debian's cron:

* If minute and hour are plain (neither begins with ``*``), each moment of a day comes once: in the hour that the autumn
  change repeats the first time counts, in the gap of spring it moves to the end of the gap.
* Otherwise each minute whose local time matches is a moment; a repeated hour has them twice, a gap has none.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import overload
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from pypinger.domain.model import Instant, Seconds
from pypinger.domain.texts import LIMIT
from pypinger.domain.times import DAY

#: The names that stand for an expression, as cron has them.
NAMES: dict[str, str] = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}

#: How many years are searched, as in cronsim: an expression without a moment in them is not valid.
YEARS = 50

_SOME_DAY = datetime(2000, 1, 1, tzinfo=UTC)
_EPOCH = date(1970, 1, 1).toordinal()
_ONE_DAY = timedelta(days=1)
# No local time that is needed for moments between these is outside the years that a datetime can hold.
_LAST_YEAR = 9998
FIRST: Instant = datetime(2, 1, 1, tzinfo=UTC).timestamp()
LAST: Instant = datetime(_LAST_YEAR, 12, 1, tzinfo=UTC).timestamp()
# Machines have "localtime" and a few others beside the IANA names; elsewhere they mean something else.
_ZONE_NAME = re.compile(r"(?!(?:localtime|posixrules)\Z|(?:posix|right)/)[A-Za-z][A-Za-z0-9_+-]*(?:/[A-Za-z0-9_+-]+)*")
_LONGEST_NAME = 64


class CronError(ValueError):
    """The expression or the zone is not valid; ``str()`` says why and quotes nothing."""


class Cron:
    """
    A schedule: five fields, or one of :data:`NAMES`, in a time zone; see Note [Who decides].

    :param expression: five fields or a name.
    :param timezone: an IANA name.
    :raises CronError: one of them is not valid.
    :ivar fields: the five fields.
    :ivar times: the times of a day that matches, in seconds after midnight by the clock on the wall, in order.
    :ivar zone: the time zone.
    """

    __slots__ = ("_days", "_plain", "expression", "fields", "times", "timezone", "zone")

    def __init__(self, expression: str, timezone: str = "UTC") -> None:
        self.expression = " ".join(expression.split())
        self.zone = zone(timezone)
        self.timezone = "UTC" if self.zone is UTC else timezone.strip()
        text = fields(expression)
        self.fields = tuple(text.split())
        self._days = _parsed(text)
        minute, hour = self.fields[:2]
        self._plain = not minute.startswith("*") and not hour.startswith("*")
        self.times = _Times(sorted(self._days.hours), sorted(self._days.minutes))

    def after(self, instant: Instant) -> Instant | None:
        """The first moment after `instant`; None if none follows within :data:`YEARS`."""
        if instant > LAST:
            return None
        for day in _matching(self._days, local(max(instant, FIRST), self.zone).date(), 1):
            start, times = self._on(day)
            index = bisect_right(times, instant - start)
            if index < len(times):
                return start + times[index]
        return None

    def before(self, instant: Instant) -> Instant | None:
        """The last moment before `instant`; None if there is none within :data:`YEARS`."""
        if instant < FIRST:
            return None
        for day in _matching(self._days, local(min(instant, LAST), self.zone).date(), -1):
            start, times = self._on(day)
            index = bisect_left(times, instant - start)
            if index:
                return start + times[index - 1]
        return None

    def _on(self, day: date) -> tuple[Instant, Sequence[Seconds]]:
        """Return the moments of a day that matches: a start, and seconds from it in order."""
        midnight = _naive_midnight(day)
        if self.zone is UTC:
            return midnight, self.times
        before, after = offset(day, self.zone), offset(day + _ONE_DAY, self.zone)
        if before == after:
            return midnight - before, self.times
        if self._plain:
            return 0.0, sorted({wall_moment(day, time, self.zone) for time in self.times})
        return 0.0, sorted({moment for time in self.times for moment in _wall_moments(day, time, self.zone)})


class _Times(Sequence[Seconds]):
    """Each minute of each hour, in seconds after midnight; thousands of schedules are kept."""

    __slots__ = ("_hours", "_minutes")

    def __init__(self, hours: Sequence[int], minutes: Sequence[int]) -> None:
        self._hours = hours
        self._minutes = minutes

    def __len__(self) -> int:
        return len(self._hours) * len(self._minutes)

    @overload
    def __getitem__(self, index: int) -> Seconds: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Seconds]: ...

    def __getitem__(self, index: int | slice) -> Seconds | Sequence[Seconds]:
        if isinstance(index, slice):
            return [self[each] for each in range(*index.indices(len(self)))]
        hour, minute = divmod(index, len(self._minutes))
        return self._hours[hour] * 3600.0 + self._minutes[minute] * 60.0


@lru_cache(maxsize=4096)
def cron(expression: str, timezone: str = "UTC") -> Cron:
    """
    Return a schedule; thousands of tasks may share one.

    :raises CronError: the expression or the zone is not valid.
    """
    return Cron(expression, timezone)


def fields(expression: str) -> str:
    """
    Return the five fields of an expression or name.

    :raises CronError: it is not valid, or has no moment within :data:`YEARS`.
    """
    text = " ".join(expression.split())
    words = "it is longer than any schedule" if len(text) > LIMIT else _problem(text)
    if words:
        raise CronError(words)
    return NAMES.get(text.lower(), text)


@lru_cache(maxsize=4096)
def _problem(text: str) -> str:
    """Return what is wrong with an expression; empty for nothing."""
    text = NAMES.get(text.lower(), text)
    if text.startswith("@"):
        return f"of the names there are {', '.join(NAMES)}"
    if len(text.split()) != 5:
        return "five fields are needed: minute, hour, day of month, month, day of week"
    try:
        days = _parsed(text)
    except CronSimError as error:
        words = str(error)
        return f"{words[:1].lower()}{words[1:]} in the schedule"
    return "" if next(_matching(days, _SOME_DAY.date(), 1), None) else "no day matches the schedule"


@lru_cache(maxsize=4096)
def _parsed(text: str) -> CronSim:
    return CronSim(text, _SOME_DAY)


def _matching(days: CronSim, day: date, step: int) -> Iterator[date]:
    """Yield the days that match, from one on in a direction."""
    last = min(day.year + step * YEARS, _LAST_YEAR)
    try:
        while (last - day.year) * step >= 0:
            if day.month not in days.months:
                # To the nearest day of the next month in this direction.
                day = (day.replace(day=28) + timedelta(days=4)).replace(day=1) if step > 0 else day.replace(day=1)
                day = day if step > 0 else day - _ONE_DAY
                continue
            if days.match_day(day):
                yield day
            day += step * _ONE_DAY
    except OverflowError:
        return


@lru_cache(maxsize=256)
def zone(name: str) -> tzinfo:
    """
    Return the time zone of an IANA name.

    :raises CronError: there is no such zone.
    """
    name = name.strip()
    if name.upper() in ("UTC", ""):
        return UTC
    try:
        if len(name) <= _LONGEST_NAME and _ZONE_NAME.fullmatch(name):
            return ZoneInfo(name)
    except (OSError, ValueError, LookupError):
        pass
    raise CronError("unknown time zone; give an IANA name such as Europe/Berlin")


def local(instant: Instant, zone: tzinfo) -> datetime:
    """Return a moment as local time."""
    return datetime.fromtimestamp(instant, UTC).astimezone(zone)


def offset(day: date, zone: tzinfo) -> Seconds:
    """Return how far local time is ahead of UTC at the beginning of a day."""
    ahead = datetime(day.year, day.month, day.day, tzinfo=zone).utcoffset()
    assert ahead is not None
    return ahead.total_seconds()


def wall_moment(day: date, time: Seconds, zone: tzinfo) -> Instant:
    """
    Return when a local time of a day comes: the first time if it comes twice, at the end of the gap if it is in one.

    :param time: seconds after midnight by the clock on the wall.
    """
    wall = datetime(day.year, day.month, day.day) + timedelta(seconds=time)
    instant = wall.replace(tzinfo=zone).timestamp()
    if local(instant, zone).replace(tzinfo=None) == wall:
        return instant
    # The gap ends with the first minute that there is.
    wall = wall.replace(second=0)
    while True:
        wall += timedelta(minutes=1)
        instant = wall.replace(tzinfo=zone).timestamp()
        if local(instant, zone).replace(tzinfo=None) == wall:
            return instant


def _wall_moments(day: date, time: Seconds, zone: tzinfo) -> Iterator[Instant]:
    """Yield each moment at which a local time of a day comes: none, one or two."""
    wall = datetime(day.year, day.month, day.day) + timedelta(seconds=time)
    for fold in (0, 1):
        instant = wall.replace(tzinfo=zone, fold=fold).timestamp()
        if local(instant, zone).replace(tzinfo=None) == wall:
            yield instant


def _naive_midnight(day: date) -> Seconds:
    return (day.toordinal() - _EPOCH) * DAY
