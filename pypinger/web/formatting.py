"""
Values as words for people, before any escaping.

:mod:`pypinger.domain.times` has the words for lengths of time; those relative to now are here.
"""

from __future__ import annotations

import re
from math import floor
from typing import NamedTuple

from pypinger.domain import wording
from pypinger.domain.kinds import Kind, Status
from pypinger.domain.model import Instant, Seconds, Window
from pypinger.domain.reasons import reason
from pypinger.domain.times import DAY, iso, number, span
from pypinger.ports.showing import Entry

#: The name of each kind on the pages.
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

#: The standing of each status: its name in links, which is also its class in the stylesheet.
STANDINGS: dict[Status, str] = {Status.NEW: "new", Status.ERROR: "error", Status.SLEEPING: "sleeping", Status.OK: "ok"}

#: The standing of a task that is not seen, whatever its last verdict.
UNSEEN = "unseen"

#: Seconds after which it is said when lateness was noticed.
NOTICED: Seconds = 60.0

MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]

_BLANKS = re.compile(r"[\t\n\v\f\r\x85\u2028\u2029]+")
# Control characters, characters that change the direction of text, surrogates and noncharacters.
_UNFIT = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]"
)


def standing_of(entry: Entry) -> str:
    """The standing of a task: that of its status, or :data:`UNSEEN`."""
    return STANDINGS[entry.state.status] if entry.unseen is None else UNSEEN


def look_of(standing: str) -> str:
    """The class of a standing in the stylesheet, which decides shape and colour; icons have the same names."""
    return "degraded" if standing == UNSEEN else standing


def state_of(entry: Entry) -> str:
    """The state of a task in words: ``on time``, ``not seen``."""
    if entry.unseen is not None:
        return "not seen"
    if entry.task.url is None and entry.state.kind is Kind.NEW:
        return "no push yet"
    return NAMES[entry.state.kind]


def last_known(entry: Entry) -> str:
    """The state that a task was in when it was seen last: never in the words for one that is seen to be on time."""
    return "OK" if entry.unseen is not None and entry.state.kind is Kind.OK else NAMES[entry.state.kind]


class Lapse(NamedTuple):
    """
    A length of time up to now, or from now on.

    :ivar words: ``late by 33 min``.
    :ivar form: the same with ``{}`` for the length: the script keeps it up to date.
    :ivar since: when the length begins, or ends.
    :ivar ends: whether it shrinks, down to nothing.
    """

    words: str
    form: str
    since: Instant
    ends: bool = False


def age_of(entry: Entry, now: Instant) -> Lapse | None:
    """The age that explains a task's verdict at `now`, if there is one; the script keeps it up to date by its form."""
    verdict, report = entry.state.verdict, entry.state.report
    if verdict is None or report is None:
        return None
    found = wording.age_of(verdict.kind, lastrun=report.lastrun, started=report.started, due=verdict.due, now=now)
    return None if found is None or iso(found.since) is None else Lapse(found.words(now), found.form, found.since)


def lasting(form: str, since: Instant | None, now: Instant) -> Lapse | None:
    """How long something has lasted: ``for 25 min`` with the form ``for {}``."""
    if since is None or iso(since) is None:
        return None
    return Lapse(form.replace("{}", span(max(0.0, now - since))), form, since)


def until(form: str, end: Instant | None, now: Instant) -> Lapse | None:
    """How long something still takes: ``wakes in 2 h`` with the form ``wakes in {}``, and ``wakes now`` at last."""
    if end is None or iso(end) is None:
        return None
    words = form.replace("{}", span(end - now)) if end - now >= 1 else form.replace("in {}", "now")
    return Lapse(words, form, end, ends=True)


def late_after(entry: Entry) -> Instant | None:
    """The moment after which a task that is on time becomes late."""
    verdict = entry.state.verdict
    if verdict is None or verdict.due is None or verdict.kind is not Kind.OK:
        return None
    return verdict.due + entry.task.grace


def noticed(entry: Entry, now: Instant) -> Lapse | None:
    """How long ago a late task was found to be late, where that was markedly after it became late."""
    state = entry.state
    if state.kind is not Kind.LATE or state.verdict is None or state.verdict.due is None or state.since is None:
        return None
    if state.since <= state.verdict.due + entry.task.grace + NOTICED:
        return None
    return lasting("noticed {} ago", state.since, now)


def trouble_for(entry: Entry, now: Instant) -> Lapse | None:
    """How long a task has been in its state: ``by 33 min`` follows "late", ``for 25 min`` the other states."""
    state = entry.state
    if state.status is not Status.ERROR:
        return None
    if state.kind in (Kind.LATE, Kind.FUTURE):
        known = age_of(entry, now)
        if known is not None and " by " in known.words:
            return known._replace(words=_by(known.words), form=_by(known.form))
    return lasting("for {}", state.since, now)


def why(entry: Entry) -> str:
    """The reason alone for which a task is in trouble; empty if it is not."""
    state = entry.state
    if state.verdict is None:
        return ""
    return reason(state.kind, state.verdict.explanation, None if state.report is None else state.report.reason)


def _by(words: str) -> str:
    return words[words.index("by ") :]


def shown(text: str) -> str:
    """`text` in one line, without characters that a page cannot hold or that disturb the text around it."""
    if text.isascii() and text.isprintable():
        return text
    return _UNFIT.sub("\N{REPLACEMENT CHARACTER}", _BLANKS.sub(" ", text))


def shown_lines(text: str) -> str:
    """:func:`shown`, line by line."""
    return "\n".join(shown(line) for line in text.split("\n"))


def relative(instant: Instant, now: Instant) -> str:
    """``12 min ago``, ``in 3 min``, or ``now``."""
    passed = now - instant
    if -1 < passed < 1:
        return "now"
    return f"{span(passed)} ago" if passed > 0 else f"in {span(-passed)}"


def coming(instant: Instant, now: Instant) -> str:
    """The same for something expected: ``in 3 min``, then ``due now``, then ``due 3 min ago``."""
    passed = now - instant
    if passed <= -1:
        return relative(instant, now)
    return "due now" if passed < 60 else f"due {relative(instant, now)}"


def stamp(instant: Instant) -> str:
    """``2026-11-22 21:55:00 UTC``."""
    text = iso(instant) or ""
    return f"{text[:10]} {text[11:19]} UTC"


def since_when(instant: Instant, now: Instant) -> str:
    """When something began, in a few characters: ``20:30``, ``6 Sep`` or ``6 Sep 2025``, in UTC."""
    text = iso(instant) or ""
    return text[11:16] if 0 <= now - instant < DAY else _date(text, now)


def short_clock(instant: Instant, now: Instant) -> str:
    """A moment to the minute: ``20:30 UTC`` or ``28 Nov 20:30 UTC``."""
    text = iso(instant) or ""
    today = text[:10] == (iso(now) or "")[:10]
    return f"{text[11:16]} UTC" if today else f"{_date(text, now)} {text[11:16]} UTC"


def _date(text: str, now: Instant) -> str:
    if not text:
        return "unknown"
    words = f"{int(text[8:10])} {MONTHS[int(text[5:7]) - 1]}"
    return words if text[:4] == (iso(now) or "")[:4] else f"{words} {text[:4]}"


def daily(window: Window, zone: str = "UTC") -> str:
    """A sleep window: ``22:00 to 06:00 UTC (8 h)``."""
    end = _time_of_day(window.start + window.duration)
    return f"{_time_of_day(window.start)} to {end} {zone} ({span(window.duration)})"


def every(minutes: float) -> str:
    """How often a task runs: ``10 min``, ``2.5 min``, ``1 d``."""
    return f"{number(minutes)} min" if minutes < 60 else span(minutes * 60)


def count(many: int, noun: str) -> str:
    """``1 task``, ``12 tasks``."""
    return f"{many:,} {noun}" if many == 1 else f"{many:,} {noun}s"


def percent(part: float) -> str:
    """A fraction, rounded down, so that only 1 is ``100 %``."""
    return f"{number(floor(part * 10_000 + 1e-6) / 100)} %"


def _time_of_day(second: float) -> str:
    minutes, seconds = divmod(int(second) % 86_400, 60)
    text = f"{minutes // 60:02}:{minutes % 60:02}"
    return f"{text}:{seconds:02}" if seconds else text
