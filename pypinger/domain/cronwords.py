"""Cron expressions as people say them: ``at 03:00 Europe/Berlin, Monday to Friday``, ``every 10 min``."""

from __future__ import annotations

import re
from functools import lru_cache

from cronsim.explain import explain

from pypinger.domain.cron import Cron
from pypinger.domain.texts import cut

#: How many times of day are listed.
LISTED = 6

#: How long the words may be; a longer text says less than the expression.
LONGEST = 120

_EVERY_DAY = "every day"
_AT_MIDNIGHT = "At 00:00 "
_WEEKDAYS = re.compile(r"on ([A-Z][a-z]+day) through ([A-Z][a-z]+day)")
_WEEKDAY = re.compile(r"on ([A-Z][a-z]+day)")
_STEP = re.compile(r"\*/([0-9]{1,2})")


@lru_cache(maxsize=1024)
def words(cron: Cron) -> str:
    """Return when a schedule runs, in words that follow "runs"; the expression itself where words are too long."""
    zone, fields = cron.timezone, cron.fields
    try:
        date = _date(fields[2:])
        time = _times(cron) or _steps(fields)
        if time is None:
            whole = explain(" ".join(fields))
            text = f"{whole[:1].lower()}{whole[1:]} ({zone})"
        elif time.startswith("at "):
            text = f"{time} {zone}{date}"
        elif date == f" {_EVERY_DAY}":
            text = time
        else:
            text = f"{time}{date} ({zone})"
    except (ValueError, LookupError, ArithmeticError, AttributeError, AssertionError):
        # cronsim cannot say all that it accepts.
        text = ""
    return text if 0 < len(text) <= LONGEST else f"by the schedule {cut(cron.expression, LONGEST)} ({zone})"


def _date(fields: tuple[str, ...]) -> str:
    """Return the days, with what separates them from the time."""
    date = explain(" ".join(("0", "0", *fields)))
    date = date.removeprefix(_AT_MIDNIGHT).replace(", and ", " and ")
    if match := _WEEKDAYS.fullmatch(date):
        return f", {match[1]} to {match[2]}"
    if match := _WEEKDAY.fullmatch(date):
        return f" every {match[1]}"
    return f" {date}"


def _times(cron: Cron) -> str | None:
    """Return a few times of day."""
    if len(cron.times) > LISTED:
        return None
    times = [f"{int(time) // 3600:02}:{int(time) // 60 % 60:02}" for time in cron.times]
    *most, last = times
    return f"at {', '.join(most)} and {last}" if most else f"at {last}"


def _steps(fields: tuple[str, ...]) -> str | None:
    """Return a step that is the same all day."""
    minute, hour = fields[:2]
    if hour != "*":
        return None
    if minute in ("*", "*/1"):
        return "every minute"
    if minute.isdigit():
        return "every hour" if int(minute) == 0 else f"every hour at minute {int(minute)}"
    match = _STEP.fullmatch(minute)
    return f"every {int(match[1])} min" if match and 60 % int(match[1]) == 0 else None
