"""
Instants and lengths of time, as ISO 8601 and as words.

Texts are in UTC; showing the reader's own zone is left to the pages. Nothing here raises, whatever the number.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import lru_cache
from math import isnan

from pypinger.domain.model import Instant, Seconds

MINUTE: Seconds = 60.0
HOUR: Seconds = 3600.0
DAY: Seconds = 86_400.0

_EPOCH = datetime(1970, 1, 1)
# The first and the last millisecond that a datetime can hold.
_FIRST: Instant = -62_135_596_800.0
_LAST: Instant = 253_402_300_799.999
_LONGEST: Seconds = _LAST - _FIRST
_SECONDS = tuple(f":{second:02}" for second in range(60))
_MILLIS = tuple(f".{milli:03}Z" for milli in range(1000))


def iso(instant: Instant | None) -> str | None:
    """
    ISO 8601 in UTC with milliseconds and ``Z``; None for None and for what is not a number.

    Instants outside the years 1 to 9999 are shown as the nearest one inside.
    """
    if instant is None or isnan(instant):
        return None
    # An overview of thousands of tasks asks for tens of thousands of times, most of them in the same few minutes.
    millis = _millis(instant)
    seconds = millis // 1000
    return _minute(seconds // 60) + _SECONDS[seconds % 60] + _MILLIS[millis % 1000]


def clock(instant: Instant, now: Instant) -> str:
    """``21:55:00 UTC``, with the date before it unless it is the UTC day of `now`; seconds are cut, not rounded."""
    seconds, today = _millis(instant) // 1000, _millis(now) // 86_400_000
    day, second = divmod(seconds, 86_400)
    if day == today:
        return f"{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02} UTC"
    return f"{_EPOCH + timedelta(seconds=seconds)} UTC"


def same_day(instant: Instant, other: Instant) -> bool:
    """Whether :func:`clock` holds two moments to be of the same UTC day."""
    return _millis(instant) // 86_400_000 == _millis(other) // 86_400_000


def span(seconds: Seconds) -> str:
    """
    A length of time in its one or two largest units: ``45 s``, ``34 min``, ``1 h 12 min``, ``3 d 4 h``.

    What is smaller is cut, not rounded.
    """
    if isnan(seconds):
        return "an unknown time"
    if seconds < 0:
        return f"-{span(-seconds)}"
    if seconds > _LONGEST:
        return "over 9999 years"
    # Sums of floats miss whole seconds by a hair.
    whole = int(round(seconds, 3))
    if whole < 60:
        return "less than 1 s" if whole == 0 and seconds > 0 else f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min"
    if whole < 86_400:
        return _two(whole // 3600, "h", whole % 3600 // 60, "min")
    return _two(whole // 86_400, "d", whole % 86_400 // 3600, "h")


def number(value: float) -> str:
    """A number as people write it: ``10``, ``0.5``; at most three decimals unless it is tiny."""
    if 0.001 <= abs(value) < 1e15:
        return f"{value:.3f}".rstrip("0").rstrip(".")
    return f"{value:.3g}"


def _two(many: int, unit: str, few: int, smaller: str) -> str:
    return f"{many} {unit} {few} {smaller}" if few else f"{many} {unit}"


@lru_cache(maxsize=4096)
def _minute(minutes: int) -> str:
    """A minute since the epoch, up to its colon."""
    return (_EPOCH + timedelta(minutes=minutes)).isoformat(timespec="minutes")


def _millis(instant: Instant) -> int:
    """Whole milliseconds, of the nearest moment that a datetime can hold; 0 for what is not a number."""
    if _FIRST <= instant <= _LAST:
        return round(instant * 1000)
    return 0 if isnan(instant) else round((_FIRST if instant < _FIRST else _LAST) * 1000)
