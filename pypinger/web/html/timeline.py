"""
A verdict as a timeline: the last run, the due time, grace, sleep and now.

Positions are in percent, so that the picture takes the width of the page while its words keep their size. Words that
would overlap on a narrow screen stand one above the other.
"""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

from pypinger.domain.kinds import Kind
from pypinger.domain.model import Instant, Seconds
from pypinger.domain.schedule import plan_of
from pypinger.domain.sleep import Sleep
from pypinger.domain.times import DAY, HOUR, MINUTE, number
from pypinger.ports.showing import Entry
from pypinger.web.formatting import relative
from pypinger.web.html.charts import finite

#: The width of a character in percent of a narrow picture.
_CHARACTER = 2.2
_LANE = 18
_TRACK = 22
_TICKS = 5
_STEPS: tuple[Seconds, ...] = (
    *(15.0, 30.0),
    *(MINUTE * many for many in (1, 2, 5, 10, 15, 30)),
    *(HOUR * many for many in (1, 2, 3, 6, 12)),
    *(DAY * many for many in (1, 2, 7, 14, 30, 90, 365, 1825, 3650, 7300, 36_500)),
)
#: More sleep windows than this are not distinguishable.
_NAPS = 40


class Mark(msgspec.Struct):
    """
    A moment on the timeline.

    :ivar look: its shape: ``run``, ``due``, ``late``, ``wake`` or ``now``.
    :ivar place: in percent.
    :ivar lane: how high its words stand, from 0 just above the line.
    """

    look: str
    words: str
    instant: Instant
    place: float = 0.0
    lane: int = 0

    @property
    def edges(self) -> tuple[float, float, str]:
        """Where its words begin and end, in percent, and their anchor."""
        width = len(self.words) * _CHARACTER
        if self.place < width / 2:
            return self.place, self.place + width, "start"
        if self.place > 100 - width / 2:
            return self.place - width, self.place, "end"
        return self.place - width / 2, self.place + width / 2, "middle"


def timeline(entry: Entry, now: Instant) -> str:
    """The timeline as SVG; empty without a report."""
    task, report = entry.task, entry.state.report
    ran = None if report is None else report.started if report.lastrun is None else report.lastrun
    if report is None or ran is None or not finite(ran, now):
        return ""
    due = plan_of(task, report).due(report, task.grace).at
    marks = [Mark("run", "running since" if report.lastrun is None else "last run", ran)]
    if due is not None and finite(due):
        marks.append(Mark("due", "due", due))
        if task.grace:
            marks.append(Mark("late", "late after", due + task.grace))
    verdict = entry.state.verdict
    if verdict is not None and verdict.kind is Kind.SLEEPING and finite(verdict.sleep_end):
        marks.append(Mark("wake", "wakes", verdict.sleep_end or now))
    marks.append(Mark("now", "now", now))
    first, last = min(mark.instant for mark in marks), max(mark.instant for mark in marks)
    length = max(last - first, MINUTE)

    def place(instant: Instant) -> float:
        # About a pixel: any finer, and the page would change with every request.
        return round(3 + 94 * (instant - first) / length, 1)

    for mark in marks:
        mark.place = place(mark.instant)
    top = 6 + _LANE * _stack(marks)
    bottom = top + _TRACK
    edge = length * 3 / 94
    drawn = [f'<rect class="track" x="0" y="{top}" width="100%" height="{_TRACK}" rx="4"/>']

    def band(look: str, start: Instant, end: Instant) -> None:
        left, right = max(0.0, place(start)), min(100.0, place(end))
        if left < right:
            width = number(right - left)
            drawn.append(f'<rect class="{look}" x="{left}%" y="{top}" width="{width}%" height="{_TRACK}"/>')

    if due is not None and finite(due):
        end_of_grace = due + task.grace
        band("fine", ran, due)
        band("grace", due, end_of_grace)
        band("overdue", end_of_grace, now)
    for start, end in _naps(plan_of(task, report).sleep, first - edge, last + edge):
        band("nap", start, end)
    for instant, words in _ticks(first, last):
        x = place(instant)
        drawn.append(f'<line class="tick" x1="{x}%" x2="{x}%" y1="{bottom}" y2="{bottom + 5}"/>')
        drawn.append(f'<text class="tick" x="{x}%" y="{bottom + 18}" text-anchor="{_anchor(x)}">{words}</text>')
    for mark in marks:
        drawn.append(_drawn(mark, top))
    label = "; ".join(f"{mark.words} {relative(mark.instant, now)}" for mark in marks if mark.look != "now")
    return (
        f'<svg class="timeline" role="img" aria-label="Timeline: {label}" width="100%" height="{bottom + 24}">'
        f"{''.join(drawn)}</svg>"
    )


def _drawn(mark: Mark, top: int) -> str:
    """A mark: its line, its shape on the track, its words."""
    x = f"{mark.place}%"
    base = top - 6 - _LANE * mark.lane
    middle = top + _TRACK / 2
    # A path has no position in percent, but a nested SVG has.
    shapes = {
        "run": '<circle r="6"/>',
        "due": '<path d="M0 -7L7 0L0 7L-7 0z"/>',
        "late": '<path d="M-6 5L0 -6L6 5z"/>',
        "wake": '<path d="M-6 0A6 6 0 0 1 6 0z"/>',
        "now": "",
    }
    low = top + _TRACK + (6 if mark.look == "now" else 0)
    return (
        f'<g class="mark-{mark.look}"><line x1="{x}" x2="{x}" y1="{base + 4}" y2="{low}"/>'
        f'<svg x="{x}" y="{number(middle)}" overflow="visible">{shapes[mark.look]}</svg>'
        f'<text x="{x}" y="{base}" text-anchor="{mark.edges[2]}">{mark.words}</text></g>'
    )


def _stack(marks: list[Mark]) -> int:
    """Give every mark a lane in which its words have room; returns the number of lanes."""
    ends: list[float] = []
    for mark in sorted(marks, key=lambda mark: mark.edges[0]):
        left, right, _ = mark.edges
        lane = next((lane for lane, end in enumerate(ends) if end + _CHARACTER < left), len(ends))
        mark.lane = lane
        ends[lane : lane + 1] = [right]
    return len(ends)


def _anchor(x: float) -> str:
    return "start" if x < 8 else "end" if x > 92 else "middle"


def _naps(sleep: Sleep, start: Instant, end: Instant) -> list[tuple[Instant, Instant]]:
    """The sleep between two moments; none if there is too much to draw."""
    if sleep.always:
        return [(start, end)]
    naps: list[tuple[Instant, Instant]] = []
    at = start
    while at < end:
        nap = sleep.period_at(at)
        if nap is not None and nap.end is not None:
            naps.append((at, nap.end))
            at = nap.end
            continue
        following = sleep.next_start(at)
        if following is None or len(naps) > _NAPS:
            break
        at = following
    return naps if len(naps) <= _NAPS else []


def _ticks(first: Instant, last: Instant) -> list[tuple[Instant, str]]:
    """A handful of round moments, with their words."""
    step = next((step for step in _STEPS if (last - first) / step <= _TICKS), None)
    if step is None:
        return []
    form = "%Y" if step >= 365 * DAY else "%-d %b" if step >= DAY else "%H:%M:%S" if step < MINUTE else "%H:%M"
    ticks: list[tuple[Instant, str]] = []
    at = -(-first // step) * step
    while at <= last:
        ticks.append((at, datetime.fromtimestamp(at, UTC).strftime(form)))
        at += step
    return ticks
