"""Lengths of time as people write them in settings and commands: ``90``, ``90s``, ``5m``, ``1h 30m``, ``2d``."""

from __future__ import annotations

import re

from pypinger.domain.model import Seconds

#: The units, in seconds.
UNITS: dict[str, Seconds] = {"d": 86_400.0, "h": 3600.0, "m": 60.0, "min": 60.0, "s": 1.0}

_NUMBER = re.compile(r"\+?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?")
_PART = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+) ?(d|h|min|m|s)(?: ?(?=[0-9.])|\Z)")


def parse_duration(text: str, unit: Seconds = 1.0) -> Seconds:
    """
    Return the length of time in seconds; it may be 0 or infinite, but is never negative.

    :param unit: the unit of a number without one, in seconds.
    :raises ValueError: `text` is no length of time.
    """
    if _NUMBER.fullmatch(text):
        return float(text) * unit
    total, position, seen = 0.0, 0, set[Seconds]()
    while match := _PART.match(text, position):
        position = match.end()
        size = UNITS[match[2]]
        if size in seen:
            break
        seen.add(size)
        total += float(match[1]) * size
        if position == len(text):
            return total
    raise ValueError("not a length of time")
