"""
The options of a task's schedule (contract, section 6): ``frequency``, ``schedule``, ``timezone``, ``max_runtime`` and
``sleep`` of task and group sections.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping

from pypinger.config.section import SectionReader
from pypinger.domain import cron
from pypinger.domain.cron import CronError
from pypinger.domain.durations import parse_duration
from pypinger.domain.model import Window
from pypinger.domain.times import DAY, MINUTE

_EXAMPLE = "22:00 + 450m, 12:00 + 30m"
_WINDOW = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])(?::([0-5][0-9]))?\s*\+\s*(\S.*)", re.DOTALL)


def minutes(section: SectionReader, name: str) -> float | None:
    """Return a length of time in minutes; a number without a unit is minutes."""
    return section.seconds(name, 0.0, unit=MINUTE) / MINUTE or None


def schedule(section: SectionReader, name: str) -> str | None:
    """Return a cron expression or name, with one space between its fields."""
    text = " ".join(section.text(name).split())
    return text if valid(section, name, text, cron.fields) else None


def timezone(section: SectionReader, name: str) -> str | None:
    """Return the name of a time zone."""
    text = section.text(name)
    return text if valid(section, name, text, cron.zone) else None


def valid(section: SectionReader, name: str, text: str, check: Callable[[str], object]) -> bool:
    """Whether a schedule or zone is given and valid; records a problem of one that is not."""
    if not text or name in section.unresolved:
        return False
    try:
        check(text)
    except CronError as error:
        section.problem(name, f"{section.quoted(name)}: {error}")
        return False
    return True


def sleep(section: SectionReader, name: str) -> tuple[Window, ...] | None:
    """Return daily windows; ``none`` is an empty list of them, with which the task never sleeps."""
    items = [item.strip() for _, line in section.lines(name) for item in line.split(",")]
    items = [item for item in items if item]
    if not items or name in section.unresolved:
        return None
    if [item.lower() for item in items] == ["none"]:
        return ()
    windows = [window for item in items if (window := _window(section, name, item)) is not None]
    return tuple(windows) if len(windows) == len(items) else None


def _window(section: SectionReader, name: str, text: str) -> Window | None:
    """Read ``HH:MM + LENGTH``."""
    shown = json.dumps(text if len(text) <= 60 else f"{text[:60]}…", ensure_ascii=False)
    match = _WINDOW.fullmatch(text)
    if match is None:
        section.problem(name, f"must be start times and lengths, as in {_EXAMPLE}, or none; not {shown}")
        return None
    hour, minute, second, length = match.groups("0")
    try:
        duration = parse_duration(length, MINUTE)
    except ValueError:
        duration = -1.0
    if not 0 < duration <= DAY:
        section.problem(name, f"a length must be above 0 and at most 24 hours (30, 450m, 7h 30m), not {shown}")
        return None
    return Window(int(hour) * 3600 + int(minute) * 60 + int(second), duration)


#: Option -> what reads it.
READERS: Mapping[str, Callable[[SectionReader, str], object]] = {
    "frequency": minutes,
    "schedule": schedule,
    "timezone": timezone,
    "max_runtime": minutes,
    "sleep": sleep,
}
