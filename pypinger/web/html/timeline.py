"""
A verdict as a timeline: the last runs with their lengths, the due time, grace, sleep, the schedule and now.

Positions are in percent, so that the picture takes the width of the page while its words keep their size. Words that
would overlap on a narrow screen stand one above the other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, tzinfo
from itertools import islice
from typing import NamedTuple

import msgspec

from pypinger.domain.calendar import naps, scheduled
from pypinger.domain.kinds import Kind
from pypinger.domain.model import Instant, Report, Reported, Seconds
from pypinger.domain.schedule import Plan, plan_of
from pypinger.domain.sleep import Sleep
from pypinger.domain.times import DAY, HOUR, MINUTE, number
from pypinger.ports.history import Run
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
#: Nor are more scheduled moments.
_SLOTS = 80
#: How many runs are drawn, and by how many times its length the timeline may become longer for the earlier ones.
_RUNS = 5
_BACK = 1.2
#: Where the bar of a run lies in the track, and how high it is.
_BAR_TOP, _BAR = 7, 8
#: The width of the shortest run, in percent.
_THINNEST = 0.5


class TaskRun(NamedTuple):
    """
    A run of the task, as it was reported.

    :ivar end: None while it is under way.
    """

    start: Instant
    end: Instant | None
    ok: bool


class Mark(msgspec.Struct):
    """
    A moment on the timeline.

    :ivar look: its shape: ``run``, ``start``, ``due``, ``late``, ``wake`` or ``now``.
    :ivar failed: whether it is the end of a run that failed.
    :ivar place: in percent.
    :ivar lane: how high its words stand, from 0 just above the line.
    """

    look: str
    words: str
    instant: Instant
    place: float = 0.0
    lane: int = 0
    failed: bool = False

    @property
    def edges(self) -> tuple[float, float, str]:
        """Where its words begin and end, in percent, and their anchor."""
        width = len(self.words) * _CHARACTER
        if self.place < width / 2:
            return self.place, self.place + width, "start"
        if self.place > 100 - width / 2:
            return self.place - width, self.place, "end"
        return self.place - width / 2, self.place + width / 2, "middle"


def zone_of(plan: Plan) -> tuple[tzinfo, str]:
    """The time zone of the timeline's times and its name: that in which the task is scheduled, or sleeps."""
    if plan.cron is not None:
        return plan.cron.zone, plan.cron.timezone
    zone = plan.sleep.zone
    return zone, "UTC" if zone is UTC else str(zone)


def timeline(entry: Entry, now: Instant, runs: Sequence[Run] = ()) -> str:
    """
    The timeline as SVG; empty without a report.

    :param runs: what checks found before, newest first.
    """
    task, report = entry.task, entry.state.report
    ran = None if report is None else report.started if report.lastrun is None else report.lastrun
    if report is None or ran is None or not finite(ran, now):
        return ""
    plan = plan_of(task, report)
    due = plan.due(report, task.grace).at
    marks = [] if report.lastrun is None else [Mark("run", "last run", ran, failed=not report.ok)]
    if report.running and finite(report.started):
        marks.append(Mark("start", "running since", report.started or now))
    if due is not None and finite(due):
        marks.append(Mark("due", "due", due))
        if task.grace:
            marks.append(Mark("late", "late after", due + task.grace))
    verdict = entry.state.verdict
    if verdict is not None and verdict.kind is Kind.SLEEPING and finite(verdict.sleep_end):
        marks.append(Mark("wake", "wakes", verdict.sleep_end or now))
    marks.append(Mark("now", "now", now))
    first, last = min(mark.instant for mark in marks), max(mark.instant for mark in marks)
    earliest = first - _BACK * max(last - first, MINUTE)
    drawn_runs = [run for run in islice(_runs(report, runs), _RUNS) if run.start >= earliest]
    first = min([first, *(run.start for run in drawn_runs)])
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
        # A run that failed is followed by no good time.
        band("fine" if report.ok else "overdue", ran, due)
        band("grace", due, end_of_grace)
        band("overdue", end_of_grace, now)
    for start, end in _naps(plan.sleep, first - edge, last + edge):
        band("nap", start, end)
    for instant in scheduled(plan, first - edge, last + edge, _SLOTS):
        x = place(instant)
        drawn.append(f'<line class="slot" x1="{x}%" x2="{x}%" y1="{bottom - 6}" y2="{bottom}"/>')
    for run in drawn_runs:
        left, right = place(run.start), place(now if run.end is None else run.end)
        look = "running" if run.end is None else "ran" if run.ok else "ran failed"
        width = number(max(right - left, _THINNEST))
        drawn.append(f'<rect class="{look}" x="{left}%" y="{top + _BAR_TOP}" width="{width}%" height="{_BAR}" rx="2"/>')
    for instant, words in _ticks(first, last, zone_of(plan)[0]):
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
        "start": '<path d="M-5 -6L6 0L-5 6z"/>',
        "due": '<path d="M0 -7L7 0L0 7L-7 0z"/>',
        "late": '<path d="M-6 5L0 -6L6 5z"/>',
        "wake": '<path d="M-6 0A6 6 0 0 1 6 0z"/>',
        "now": "",
    }
    low = top + _TRACK + (6 if mark.look == "now" else 0)
    look = f"mark-{mark.look} failed" if mark.failed else f"mark-{mark.look}"
    return (
        f'<g class="{look}"><line x1="{x}" x2="{x}" y1="{base + 4}" y2="{low}"/>'
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


def _runs(report: Report, runs: Sequence[Run]) -> Iterator[TaskRun]:
    """The runs whose length is known, newest first, each once."""
    last: Instant | None = None
    for known in (report, *(run.finding.report for run in runs if isinstance(run.finding, Reported))):
        start, end = known.started, None if known.running else known.lastrun
        if start is None or not finite(start, start if end is None else end) or (last is not None and start >= last):
            continue
        if end is None and known is not report:
            # It was under way then; how it ended was not reported, or comes with another report.
            continue
        last = start
        yield TaskRun(start, end, known.ok)


def _naps(sleep: Sleep, start: Instant, end: Instant) -> list[tuple[Instant, Instant]]:
    """The sleep between two moments; none if there is too much to draw."""
    found = list(islice(naps(sleep, start, end), _NAPS + 1))
    return (
        [(max(nap.start, start), end if nap.end is None else nap.end) for nap in found] if len(found) <= _NAPS else []
    )


def _ticks(first: Instant, last: Instant, zone: tzinfo = UTC) -> list[tuple[Instant, str]]:
    """A handful of round moments, with their words."""
    step = next((step for step in _STEPS if (last - first) / step <= _TICKS), None)
    if step is None:
        return []
    form = "%Y" if step >= 365 * DAY else "%-d %b" if step >= DAY else "%H:%M:%S" if step < MINUTE else "%H:%M"
    offset = datetime.fromtimestamp(first, zone).utcoffset()
    ahead = 0.0 if offset is None else offset.total_seconds()
    ticks: list[tuple[Instant, str]] = []
    at = -(-(first + ahead) // step) * step - ahead
    while at <= last:
        ticks.append((at, datetime.fromtimestamp(at, zone).strftime(form)))
        at += step
    return ticks
