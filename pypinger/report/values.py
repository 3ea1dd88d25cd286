"""What people write: lengths of time, sleep windows, schedules and time zones (contract, sections 1 and 6)."""

from __future__ import annotations

import os
import re
from datetime import timedelta
from typing import Dict, List, Mapping, Sequence, Union

#: A length of time: minutes, text such as ``10m`` or ``1h 30m``, or a timedelta.
Length = Union[float, str, timedelta]

#: A member ``sleep`` of a report.
Sleep = List[Dict[str, Union[str, float]]]

#: The longest length of time, in minutes: 366 days.
MOST_MINUTES = 527_040.0

#: The longest sleep window, in minutes.
MOST_SLEEP = 1440.0

_SECONDS = {"d": 86_400.0, "h": 3600.0, "m": 60.0, "min": 60.0, "s": 1.0}
_NUMBER = re.compile(r"\+?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?")
_PART = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+) ?(d|h|min|m|s)(?: ?(?=[0-9.])|\Z)")
_WINDOW = re.compile(r"((?:[01][0-9]|2[0-3]):[0-5][0-9](?::[0-5][0-9])?)\s*\+\s*(.+)", re.DOTALL)

_NAMED_SCHEDULES = ("@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly")
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_DAY_OF_MONTH, _DAY_OF_WEEK = "day of month", "day of week"
_FIELDS: tuple[tuple[str, int, int, Sequence[str]], ...] = (
    ("minute", 0, 59, ()),
    ("hour", 0, 23, ()),
    (_DAY_OF_MONTH, 1, 31, ()),
    ("month", 1, 12, _MONTHS),
    (_DAY_OF_WEEK, 0, 7, _DAYS),
)

# Machines have "localtime" and a few others beside the IANA names; elsewhere they mean something else.
_ZONE = re.compile(r"(?!(?:localtime|posixrules)\Z|(?:posix|right)/)[A-Za-z0-9_+-]+(?:/[A-Za-z0-9_+-]+)*")
_ZONE_FILES = ("/usr/share/zoneinfo", "/usr/lib/zoneinfo", "/usr/share/lib/zoneinfo", "/etc/zoneinfo")


def minutes(value: Length, most: float = MOST_MINUTES) -> float:
    """
    Return a length of time in minutes, which is also the unit of a number without one.

    :raises ValueError: it is none, or not above 0 and at most `most` minutes.
    """
    try:
        seconds = value.total_seconds() if isinstance(value, timedelta) else _seconds(value)
    except ValueError:
        raise ValueError(f"{value!r} is no length of time, such as 10m, 1h 30m or 90s") from None
    if not 0 < seconds <= most * 60:
        raise ValueError(f"{value!r} is not above 0 and at most {most:,.0f} minutes")
    found = seconds / 60
    return int(found) if found.is_integer() else found


def _seconds(value: float | str) -> float:
    if not isinstance(value, str):
        return float(value) * 60
    text = value.strip()
    if _NUMBER.fullmatch(text):
        return float(text) * 60
    total, position, units = 0.0, 0, set()
    match = _PART.match(text)
    while match and _SECONDS[match[2]] not in units:
        units.add(_SECONDS[match[2]])
        total += float(match[1]) * _SECONDS[match[2]]
        position = match.end()
        if position == len(text):
            return total
        match = _PART.match(text, position)
    raise ValueError(value)


def sleep_windows(text: str) -> Sleep:
    """
    Return the windows of a text such as ``22:00 + 450m, 12:00 + 30m``; their starts are UTC.

    :raises ValueError: one of them is wrong.
    """
    windows: Sleep = []
    for each in text.split(","):
        match = _WINDOW.fullmatch(each.strip())
        if match is None:
            raise ValueError(f"{each.strip()!r} is no sleep window, such as 22:00 + 450m")
        windows.append({"start": match[1], "duration": minutes(match[2], MOST_SLEEP)})
    return windows


def cron_expression(text: str) -> str:
    """
    Return a schedule with single spaces.

    :raises ValueError: it is neither five valid fields nor one of cron's names.
    """
    fields = text.split()
    expression = " ".join(fields)
    if len(fields) == 1 and expression.lower() in _NAMED_SCHEDULES:
        return expression
    if len(fields) != 5:
        raise ValueError(f"{text!r} is no schedule: five fields are needed, or a name such as @daily")
    for field, (name, low, high, words) in zip(fields, _FIELDS):
        if not _is_field(field.upper(), name, low, high, words):
            raise ValueError(f"{text!r} is no schedule: {field!r} is no {name}")
    return expression


def _is_field(text: str, name: str, low: int, high: int, words: Sequence[str]) -> bool:
    def number(part: str) -> int:
        if part in words:
            return words.index(part) + low
        value = int(part) if part.isdecimal() and part.isascii() else -1
        return value if low <= value <= high else -1

    def is_term(term: str) -> bool:
        if name == _DAY_OF_WEEK and term.endswith("L"):
            return term[:-1].isdigit() and number(term[:-1]) >= 0
        if name == _DAY_OF_WEEK and "#" in term:
            day, _, nth = term.partition("#")
            return number(day) >= 0 and nth.lstrip("0") in tuple("12345")
        if "/" in term:
            start, _, step = term.partition("/")
            return step.isdecimal() and step.isascii() and int(step) > 0 and is_term(start)
        if "-" in term:
            first, _, last = term.partition("-")
            return 0 <= number(first) <= number(last)
        return term == "*" or number(term) >= 0 or (name == _DAY_OF_MONTH and term in ("L", "LW"))

    return all(is_term(term) for term in text.split(","))


def time_zone(name: str) -> str:
    """
    Return the name of an IANA time zone.

    :raises ValueError: this machine has a database of time zones, which does not have it.
    """
    name = name.strip()
    folders = [folder for folder in _ZONE_FILES if os.path.isdir(folder)]
    if not _ZONE.fullmatch(name) or (folders and not any(_is_zone(os.path.join(each, name)) for each in folders)):
        raise ValueError(f"{name!r} is no time zone, such as Europe/Berlin")
    return name


def _is_zone(path: str) -> bool:
    try:
        with open(path, "rb") as file:
            return file.read(4) == b"TZif"
    except OSError:
        return False


def machine_zone(environ: Mapping[str, str], etc: str = "/etc") -> str:
    """
    Return the time zone of this machine: of ``CRON_TZ``, ``TZ``, ``/etc/localtime`` or ``/etc/timezone``; else UTC.

    What is no IANA name, such as ``CET-1CEST,M3.5.0,M10.5.0/3``, is passed over.
    """
    localtime = os.path.join(etc, "localtime")
    for name in (environ.get("CRON_TZ", ""), environ.get("TZ", ""), _link(localtime), os.path.realpath(localtime)):
        try:
            return _usual(time_zone(_after_folder(name)))
        except ValueError:
            pass
    try:
        with open(os.path.join(etc, "timezone"), encoding="ascii") as file:
            return _usual(time_zone(file.readline()))
    except (OSError, ValueError):
        return "UTC"


def _usual(name: str) -> str:
    """The name that people use, where Debian has another one."""
    return "UTC" if name == "Etc/UTC" else name


def _link(path: str) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""


def _after_folder(path: str) -> str:
    """The name of a zone that may be written as ``:NAME`` or as the path of its file."""
    name = path.rpartition("zoneinfo/")[2].lstrip(":")
    for folder in ("posix/", "right/"):
        if name.startswith(folder):
            name = name[len(folder) :]
    return name
