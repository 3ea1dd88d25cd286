"""
Charts as inline SVG without style, script or any text from a report.

Colours come from the stylesheet by class, so that charts follow light and dark mode. Nothing is shown by colour alone:
trouble also has another height or shape, and every chart has a label in words.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import inf
from statistics import median

from pypinger.domain.model import Instant, Report, Seconds, Task
from pypinger.domain.schedule import Plan, plan_of
from pypinger.domain.times import DAY, MINUTE, iso, number, span
from pypinger.ports.history import Day, Gap
from pypinger.web.formatting import count, every, percent

#: Days in the charts of uptime.
DAYS = 90

_BAR = 4
_SPARK_HEIGHT = 24


def sparkline(gaps: Sequence[Gap], task: Task, report: Report) -> str:
    """
    The gaps between a task's runs, one bar each, with a line for how often it should run; empty if there are none.

    The bar of a late run is marked. A long gap alone is not late: the task may have slept. Where runs take a time that
    is not limited, none is marked. A schedule has no line.

    :param gaps: newest first.
    """
    known = [(gap.lastrun, gap.gap) for gap in reversed(gaps) if gap.gap is not None and gap.gap > 0]
    if not known:
        return ""
    plan = plan_of(task, report)
    longest = max(gap for _, gap in known)
    frequency = plan.frequency
    top = longest if frequency is None else max(1.4 * frequency, min(longest, 2.5 * frequency))
    runs_take = plan.max_runtime or (0.0 if report.started is None else inf)
    allowed = task.grace + (0.0 if frequency is not None and report.started is None else runs_take)
    usual: list[str] = []
    late: list[str] = []
    for place, (lastrun, gap) in enumerate(known):
        height = max(1.0, round((_SPARK_HEIGHT - 1) * min(gap / top, 1.0), 1))
        due = plan.due_after(lastrun - gap).at
        bars = late if due is not None and lastrun > due + allowed else usual
        bars.append(f"M{place * _BAR} {_SPARK_HEIGHT}v-{number(height)}h3v{number(height)}z")
    width = len(known) * _BAR - 1
    words = (
        f"Gaps between the last runs: median {span(median(gap for _, gap in known))}, longest {span(longest)};"
        f" expected {expected(plan)}; {len(late) or 'none'} of {count(len(known), 'run')} late"
    )
    return (
        f'<svg class="spark" role="img" aria-label="{words}" width="{width}" height="{_SPARK_HEIGHT}"'
        f' viewBox="0 0 {width} {_SPARK_HEIGHT}">{_path("usual", usual)}{_path("late", late)}'
        f"{_level(frequency, top, width)}</svg>"
    )


def expected(plan: Plan) -> str:
    """How often a task should run, in words: ``every 10 min``, ``at 03:00 UTC every day``."""
    return plan.words if plan.frequency is None else f"every {every(plan.frequency / MINUTE)}"


def _level(frequency: Seconds | None, top: Seconds, width: int) -> str:
    if frequency is None:
        return ""
    level = number(_SPARK_HEIGHT - (_SPARK_HEIGHT - 1) * frequency / top)
    return f'<path class="level" d="M0 {level}h{width}"/>'


def share(days: Iterable[Day]) -> float | None:
    """The part of the monitored time awake in which a task was on time; None if there was no such time."""
    up = down = 0.0
    for day in days:
        up, down = up + day.up, down + day.down
    return up / (up + down) if up + down else None


def strip(days: Sequence[Day], now: Instant) -> str:
    """The last 90 days as a narrow strip; empty if nothing is known."""
    places = _places(days, now)
    if not places:
        return ""
    shapes: dict[str, list[str]] = {"up": [], "asleep": [], "down": []}
    for place, day in places.items():
        for look, top, height in _day(day):
            shapes[look].append(f"M{place} {number(top)}h1v{number(height)}h-1z")
    return (
        f'<svg class="strip" role="img" aria-label="{_label(days)}" viewBox="0 0 {DAYS} 20" preserveAspectRatio="none">'
        f'<path class="unseen" d="M0 18h{DAYS}v2h-{DAYS}z"/>'
        + "".join(_path(look, drawn) for look, drawn in shapes.items())
        + "</svg>"
    )


def calendar(days: Sequence[Day], now: Instant) -> str:
    """The last 90 days as bars, each with a title."""
    places = _places(days, now)
    today = now // DAY
    bars: list[str] = []
    for place in range(DAYS):
        day = places.get(place)
        date = (iso((today - DAYS + 1 + place) * DAY) or "")[:10]
        shapes = [("unseen", 18.0, 2.0)] if day is None else _day(day)
        drawn = "".join(
            f'<rect class="{look}" x="{place}" y="{number(top)}" width="0.72" height="{number(height)}"/>'
            for look, top, height in shapes
        )
        words = "no data" if day is None else _day_words(day)
        bars.append(
            f'<g><title>{date}: {words}</title><rect class="hit" x="{place}" width="1" height="20"/>{drawn}</g>'
        )
    return (
        f'<svg class="calendar" role="img" aria-label="{_label(days)}" viewBox="0 0 {DAYS} 20"'
        f' preserveAspectRatio="none">{"".join(bars)}</svg>'
    )


def _places(days: Sequence[Day], now: Instant) -> dict[int, Day]:
    """The days by place from left to right, without those outside the 90."""
    first = now // DAY - DAYS + 1
    placed = ((int(day.start // DAY - first), day) for day in days)
    return {place: day for place, day in placed if 0 <= place < DAYS and day.up + day.down + day.asleep > 0}


def _day(day: Day) -> list[tuple[str, float, float]]:
    """The shapes of one day: class, top and height, of 20."""
    awake = day.up + day.down
    if not awake:
        return [("asleep", 8.0, 12.0)]
    if not day.down:
        return [("up", 0.0, 20.0)]
    # Even short trouble must be visible.
    height = round(max(8.0, 20 * day.down / awake), 1)
    return [("up", 0.0, 20 - height), ("down", 20 - height, height)] if height < 20 else [("down", 0.0, 20.0)]


def _day_words(day: Day) -> str:
    parts = []
    if day.down:
        parts.append(f"in trouble for {span(day.down)}")
    if day.up:
        parts.append(f"on time for {span(day.up)}")
    if day.asleep:
        parts.append(f"asleep for {span(day.asleep)}")
    return ", ".join(parts)


def _label(days: Sequence[Day]) -> str:
    part = share(days)
    if part is None:
        return f"The last {DAYS} days: no data"
    troubled = sum(1 for day in days if day.down)
    words = f"trouble on {count(troubled, 'day')}" if troubled else "no trouble"
    return f"The last {DAYS} days: {percent(part)} on time, {words}"


def _path(look: str, shapes: Sequence[str]) -> str:
    return f'<path class="{look}" d="{"".join(shapes)}"/>' if shapes else ""


def finite(*instants: Instant | None) -> bool:
    """Whether these times can be drawn: whether they lie in about the years 1 to 9999."""
    return all(instant is not None and -6.2e10 < instant < 2.5e11 for instant in instants)
