"""
Read date-times (contract, section 1): all forms of ISO 8601, and what Ruby, git and Java print.

Calendar, week and ordinal dates are read in extended and basic format, with a time down to the hour, minute or second
whose last part may have a fraction. Ruby and git write a space before the offset, and ``UTC`` or ``GMT`` for ``Z``;
Java adds the name of the zone in brackets.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime

from pypinger.domain.model import Instant

# What datetime.fromisoformat accepts in every version of Python, which is nearly every date-time there is.
_USUAL = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ](?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,6})?"
    r"(?:Z|[+-][0-9]{2}:[0-5][0-9])?"
)
_DATE_TIME = re.compile(
    r"(?P<date>[0-9]{4}-[0-9]{2}-[0-9]{2}|[0-9]{8}"  # calendar
    r"|[0-9]{4}-[Ww][0-9]{2}-[1-7]|[0-9]{4}[Ww][0-9]{2}[1-7]"  # week
    r"|[0-9]{4}-[0-9]{3}|[0-9]{7})"  # ordinal
    r"[Tt ](?P<hour>[0-9]{2})(?:(?P<colon>:?)(?P<minute>[0-9]{2})(?:(?P=colon)(?P<second>[0-9]{2}))?)?"
    r"(?:[.,](?P<fraction>[0-9]++))?"
    r"(?: ?(?P<zone>[Zz]|UTC|GMT"
    "|(?P<sign>[+\N{MINUS SIGN}-])(?P<hours>[0-9]{2})(?::?(?P<minutes>[0-9]{2})(?::?(?P<seconds>[0-9]{2}))?)?)"
    r"(?:\[[^\[\]]++\])*+)?"
)
_EPOCH = date(1970, 1, 1).toordinal()


def parse_date_time(text: str) -> Instant | None:
    """
    Return the instant of a date-time, in UTC unless it says otherwise; None if `text` is none.

    White space around it is ignored. Fractions are truncated to microseconds. A leap second is the second after it.
    """
    text = text.strip()
    try:
        if _USUAL.fullmatch(text):
            when = datetime.fromisoformat(text)
            # Subtracting aware datetimes, as timestamp() does, cannot overflow where converting to UTC would.
            return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
        match = _DATE_TIME.fullmatch(text)
        return None if match is None else _instant(match)
    except ValueError:
        return None


def _instant(match: re.Match[str]) -> Instant:
    """
    Return the instant of any form.

    :raises ValueError: there is no such day, time or offset.
    """
    hour, minute, second = (int(match[name] or 0) for name in ("hour", "minute", "second"))
    # The fraction is of the last part given; more than 15 digits are below a microsecond, even of an hour.
    digits = (match["fraction"] or "0")[:15]
    unit = 1 if match["second"] else 60 if match["minute"] else 3600
    micros = int(f"{digits:0<15}") * unit // 1_000_000_000
    end_of_day = hour == 24 and minute == second == micros == 0
    if not end_of_day and (hour > 23 or minute > 59 or second > 60):
        raise ValueError("no such time")
    seconds = (_day(match["date"].upper()) - _EPOCH) * 86_400 + hour * 3600 + minute * 60 + second - _offset(match)
    return (seconds * 1_000_000 + micros) / 1_000_000


def _day(text: str) -> int:
    """Return the proleptic ordinal of a date."""
    digits = text.replace("-", "")
    year = int(digits[:4])
    if "W" in digits:
        return date.fromisocalendar(year, int(digits[5:7]), int(digits[7])).toordinal()
    if len(digits) == 7:
        day = date(year, 1, 1).toordinal() + int(digits[4:]) - 1
        if date.fromordinal(day).year != year:
            raise ValueError("no such day")
        return day
    return date(year, int(digits[4:6]), int(digits[6:8])).toordinal()


def _offset(match: re.Match[str]) -> int:
    """Return the offset from UTC in seconds."""
    if match["sign"] is None:
        return 0
    hours, minutes, seconds = (int(match[name] or 0) for name in ("hours", "minutes", "seconds"))
    if hours > 23 or minutes > 59 or seconds > 59:
        raise ValueError("no such offset")
    offset = hours * 3600 + minutes * 60 + seconds
    return offset if match["sign"] == "+" else -offset
