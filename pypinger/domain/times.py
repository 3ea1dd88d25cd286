"""
Instants and lengths of time as text: ISO 8601, and words.

Texts are in UTC unless a zone is given; pages convert to the reader's zone. No function here raises, whatever the
number.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from math import isnan

from pypinger.domain.model import Instant, Seconds

MINUTE: Seconds = 60.0
HOUR: Seconds = 3600.0
DAY: Seconds = 86_400.0
WEEK: Seconds = 604_800.0

_EPOCH = datetime(1970, 1, 1)
# The first and the last millisecond that a datetime can hold.
_FIRST: Instant = -62_135_596_800.0
_LAST: Instant = 253_402_300_799.999
_LONGEST: Seconds = _LAST - _FIRST
_SECONDS = tuple(f":{second:02}" for second in range(60))
_MILLIS = tuple(f".{milli:03}Z" for milli in range(1000))
_NAMED = {1.0: "second", MINUTE: "minute", HOUR: "hour", DAY: "day", WEEK: "week"}
_UNITS = (("day", "days", 86_400), ("h", "h", 3600), ("min", "min", 60), ("s", "s", 1))


def iso(instant: Instant | None) -> str | None:
    """
    Return ISO 8601 in UTC with milliseconds and ``Z``; None for None and NaN.

    Instants outside the years 1 to 9999 are shown as the nearest one inside.
    """
    if instant is None or isnan(instant):
        return None
    # An overview of thousands of tasks needs tens of thousands of times, most of them in the same few minutes.
    millis = _millis(instant)
    seconds = millis // 1000
    return _minute(seconds // 60) + _SECONDS[seconds % 60] + _MILLIS[millis % 1000]


def clock(instant: Instant, before: Instant | None = None) -> str:
    """
    Return ``2026-03-01 21:55:00 UTC``, or ``21:55:00 UTC`` if `before` is of the same UTC day. Seconds are truncated.

    :param before: the moment that the reader knows: one named earlier in the same text, or now.
    """
    seconds = _millis(instant) // 1000
    day, second = divmod(seconds, 86_400)
    time = f"{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02} UTC"
    if before is not None and day == _millis(before) // 86_400_000:
        return time
    return f"{_date(day)} {time}"


def local_clock(instant: Instant, zone: tzinfo, before: Instant | None = None) -> str:
    """
    Return ``2026-03-02 03:00 Europe/Berlin``, or ``03:00 Europe/Berlin`` if `before` is of the same day there.

    Seconds are shown unless they are 0. A time that the autumn change repeats has its offset, too. Moments at the ends
    of time are in UTC.
    """
    try:
        wall = _wall(instant, zone)
        known = None if before is None else _wall(before, zone).date()
    except (OverflowError, ValueError, OSError):
        return clock(instant, before)
    text = f"{wall:%H:%M:%S}" if wall.second else f"{wall:%H:%M}"
    if wall.utcoffset() != wall.replace(fold=1 - wall.fold).utcoffset():
        text += wall.isoformat()[-6:]
    shown = "UTC" if zone is UTC else str(zone)
    return f"{text} {shown}" if known == wall.date() else f"{wall.date().isoformat()} {text} {shown}"


def _wall(instant: Instant, zone: tzinfo) -> datetime:
    return datetime.fromtimestamp(_millis(instant) // 1000, UTC).astimezone(zone)


def span(seconds: Seconds) -> str:
    """
    Return a duration in its one or two largest units: ``45 s``, ``34 min``, ``1 h 12 min``, ``3 d 4 h``.

    Smaller units are truncated. For durations that count to the second see :func:`length`.
    """
    if isnan(seconds):
        return "an unknown time"
    if seconds < 0:
        return f"-{span(-seconds)}"
    if seconds > _LONGEST:
        return "over 9999 years"
    # Sums of floats miss whole seconds by a tiny amount.
    whole = int(round(seconds, 3))
    if whole < 60:
        return "less than 1 s" if whole == 0 and seconds > 0 else f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min"
    if whole < 86_400:
        return _two(whole // 3600, "h", whole % 3600 // 60, "min")
    return _two(whole // 86_400, "d", whole % 86_400 // 3600, "h")


@lru_cache(maxsize=1024)
def length(seconds: Seconds) -> str:
    """Return a length of time that people chose, in full: ``30 s``, ``10 min``, ``1 h 30 min``, ``7 days``."""
    if isnan(seconds) or abs(seconds) > _LONGEST:
        return span(seconds)
    if seconds < 0:
        return f"-{length(-seconds)}"
    whole, millis = divmod(round(seconds * 1000), 1000)
    if whole < 60 and (millis or not whole):
        return f"{number(seconds)} s"
    parts = []
    for one, many, size in _UNITS:
        amount, whole = divmod(whole, size)
        if size == 1 and millis:
            parts.append(f"{number(amount + millis / 1000)} s")
        elif amount:
            parts.append(f"{amount} {one if amount == 1 else many}")
    return " ".join(parts)


@lru_cache(maxsize=1024)
def every(seconds: Seconds) -> str:
    """Return how often something happens: ``every 30 s``, ``every minute``, ``every 10 min``, ``every day``."""
    return f"every {_NAMED.get(round(seconds, 3)) or length(seconds)}"


def number(value: float) -> str:
    """Return a number as people write it: ``10``, ``0.5``; at most three decimals unless it is tiny."""
    if 0.001 <= abs(value) < 1e15:
        return f"{value:.3f}".rstrip("0").rstrip(".")
    return f"{value:.3g}"


def _two(many: int, unit: str, few: int, smaller: str) -> str:
    return f"{many} {unit} {few} {smaller}" if few else f"{many} {unit}"


@lru_cache(maxsize=4096)
def _minute(minutes: int) -> str:
    """Return a minute since the epoch, up to its colon."""
    return (_EPOCH + timedelta(minutes=minutes)).isoformat(timespec="minutes")


@lru_cache(maxsize=1024)
def _date(day: int) -> str:
    """Return a day since the epoch as ``2026-03-01``."""
    return (_EPOCH + timedelta(days=day)).date().isoformat()


def _millis(instant: Instant) -> int:
    """Return whole milliseconds of the nearest moment that a datetime can hold; 0 for NaN."""
    if _FIRST <= instant <= _LAST:
        return round(instant * 1000)
    return 0 if isnan(instant) else round((_FIRST if instant < _FIRST else _LAST) * 1000)
