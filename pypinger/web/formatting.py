"""
Values as the words that HTML pages show, before any escaping.

:mod:`pypinger.domain.times` has the words for lengths of time; here they are turned towards the reader's now.
"""

from __future__ import annotations

import re
from math import floor

from pypinger.domain.kinds import Kind, Status
from pypinger.domain.model import Instant, Window
from pypinger.domain.times import iso, number, span

#: What a kind is called on the pages.
NAMES: dict[Kind, str] = {
    Kind.NEW: "not checked",
    Kind.UNREACHABLE: "unreachable",
    Kind.INVALID: "invalid",
    Kind.SLEEPING: "sleeping",
    Kind.FAILED: "failed",
    Kind.FUTURE: "in the future",
    Kind.LATE: "late",
    Kind.OK: "on time",
}

#: Which shape and colour goes with a status: names of the stylesheet.
LOOKS: dict[Status, str] = {Status.NEW: "new", Status.ERROR: "error", Status.SLEEPING: "sleeping", Status.OK: "ok"}

_BLANKS = re.compile(r"[\t\n\v\f\r\x85\u2028\u2029]+")
# Control characters, those that turn the direction of what follows, and what is no character at all.
_UNFIT = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]"
)


def shown(text: str) -> str:
    """`text` in one line, with nothing in it that a page cannot carry or that disturbs what stands around it."""
    if text.isascii() and text.isprintable():
        return text
    return _UNFIT.sub("\N{REPLACEMENT CHARACTER}", _BLANKS.sub(" ", text))


def shown_lines(text: str) -> str:
    """`text` as :func:`shown` does it, line by line."""
    return "\n".join(shown(line) for line in text.split("\n"))


def relative(instant: Instant, now: Instant) -> str:
    """``12 min ago``, ``in 3 min``, or ``now``."""
    passed = now - instant
    if -1 < passed < 1:
        return "now"
    return f"{span(passed)} ago" if passed > 0 else f"in {span(-passed)}"


def coming(instant: Instant, now: Instant) -> str:
    """The same of what is to happen: ``in 3 min``, and then ``due now``, or ``due 3 min ago`` if it does not happen."""
    passed = now - instant
    if passed <= -1:
        return relative(instant, now)
    return "due now" if passed < 60 else f"due {relative(instant, now)}"


def stamp(instant: Instant) -> str:
    """``2026-11-22 21:55:00 UTC``."""
    text = iso(instant) or ""
    return f"{text[:10]} {text[11:19]} UTC"


def daily(window: Window) -> str:
    """A sleep window: ``22:00 to 06:00 UTC (8 h)``."""
    return (
        f"{_time_of_day(window.start)} to {_time_of_day(window.start + window.duration)} UTC ({span(window.duration)})"
    )


def every(minutes: float) -> str:
    """How often a task runs: ``10 min``, ``2.5 min``, ``1 d``."""
    return f"{number(minutes)} min" if minutes < 60 else span(minutes * 60)


def count(many: int, noun: str) -> str:
    """``1 task``, ``12 tasks``."""
    return f"{many:,} {noun}" if many == 1 else f"{many:,} {noun}s"


def percent(part: float) -> str:
    """A part of the whole, cut and not rounded, so that only the whole is ``100 %``."""
    return f"{number(floor(part * 10_000 + 1e-6) / 100)} %"


def _time_of_day(second: float) -> str:
    minutes, seconds = divmod(int(second) % 86_400, 60)
    text = f"{minutes // 60:02}:{minutes % 60:02}"
    return f"{text}:{seconds:02}" if seconds else text
