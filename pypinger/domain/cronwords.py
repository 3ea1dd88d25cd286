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
_HOURS = re.compile(r"([0-9]{1,2})-([0-9]{1,2})")
_STEP = re.compile(r"\*/([0-9]{1,2})")


@lru_cache(maxsize=1024)
def words(cron: Cron) -> str:
    """Return when a schedule runs, in words that follow "runs"; the expression itself where words are too long."""
    zone, fields = cron.timezone, cron.fields
    try:
        date = _date(fields[2:])
        every_day = date == f" {_EVERY_DAY}"
        if time := _times(cron):
            text = f"{time} {zone}{date}"
        elif time := _stretch(fields):
            text = f"{time} {zone}{'' if every_day else date}"
        elif time := _steps(fields[0]) if fields[1] == "*" else "":
            text = time if every_day else f"{time}{date} ({zone})"
        else:
            whole = explain(" ".join(fields))
            text = f"{whole[:1].lower()}{whole[1:]} ({zone})"
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


def _times(cron: Cron) -> str:
    """Return a few times of day; empty for many."""
    if len(cron.times) > LISTED:
        return ""
    times = [f"{int(time) // 3600:02}:{int(time) // 60 % 60:02}" for time in cron.times]
    *most, last = times
    return f"at {', '.join(most)} and {last}" if most else f"at {last}"


def _stretch(fields: tuple[str, ...]) -> str:
    """Return a step that is the same from one hour to another; empty if it is another form."""
    minute, hours = fields[0], _HOURS.fullmatch(fields[1])
    steps = _steps(minute)
    if not hours or not steps or int(hours[1]) >= int(hours[2]):
        return ""
    if minute.isdigit():
        first = last = int(minute)
        steps = "every hour"
    else:
        first, last = 0, 60 - (int(minute[2:]) if minute[1:] else 1)
    return f"{steps} from {int(hours[1]):02}:{first:02} to {int(hours[2]):02}:{last:02}"


def _steps(minute: str) -> str:
    """Return a step that is the same in every hour; empty if it is another form."""
    if minute in ("*", "*/1"):
        return "every minute"
    if minute.isdigit():
        return "every hour" if int(minute) == 0 else f"every hour at minute {int(minute)}"
    match = _STEP.fullmatch(minute)
    return f"every {int(match[1])} min" if match and 60 % int(match[1]) == 0 else ""
