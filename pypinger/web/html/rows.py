"""
The overview's rows as HTML.

They are written by hand and not with :mod:`twisted.web.template`, which takes some 0.4 ms a row. Hence the one rule
here: whatever comes from a task or a report goes through :func:`_text`. Pictures come drawn from
:mod:`~pypinger.web.html.charts` and hold no such text; they are nine tenths of what a row costs, and are kept.
"""

from __future__ import annotations

from html import escape

from pypinger.domain.kinds import Status
from pypinger.domain.model import Instant, TaskState
from pypinger.domain.times import DAY, clock, iso
from pypinger.ports.showing import Entry
from pypinger.web.formatting import LOOKS, NAMES, percent, relative, shown, stamp
from pypinger.web.html.charts import share, sparkline, strip
from pypinger.web.html.figures import Figures
from pypinger.web.json.objects import NO_VERDICT

#: The headings of the columns.
COLUMNS = ("Status", "Task", "What is known", "Last run", "Due", "Gaps", "90 days")

#: How many rows make a slice (:func:`pypinger.web.serving.slicing.in_slices`): two or three milliseconds' worth with pictures.
SLICE = 10

#: Of how many rows the pictures are kept: those of ten pages, of some 4 kB each.
KEPT = 1000

_UNKNOWN = '<span class="unknown">–</span>'


class Pictures:
    """
    The pictures of rows, kept while they would be drawn the same.

    :param most: of how many tasks; those whose pictures were asked for last.
    """

    def __init__(self, most: int = KEPT) -> None:
        self._most = most
        self._kept: dict[str, tuple[Figures, tuple[object, ...], tuple[str, str]]] = {}

    def of(self, entry: Entry, figures: Figures | None, now: Instant) -> tuple[str, str]:
        """The gaps between a task's runs, and its last 90 days with the share of them; each empty if none is known."""
        if figures is None:
            return "", ""
        report, task = entry.state.report, entry.task
        # A report is another one after every check; of figures there are others only if they were asked for anew.
        shows = (None if report is None else (report.frequency, report.sleep), task.grace, now // DAY)
        kept = self._kept.pop(task.id, None)
        if kept is None or kept[0] is not figures or kept[1] != shows:
            kept = figures, shows, _draw(entry, figures, now)
        self._kept[task.id] = kept
        if len(self._kept) > self._most:
            del self._kept[next(iter(self._kept))]
        return kept[2]


def row(entry: Entry, drawn: tuple[str, str], now: Instant) -> bytes:
    """
    One task's row as it reads at `now`; its link is relative to the overview.

    :param drawn: its pictures, see :class:`Pictures`.
    """
    task, state = entry.task, entry.state
    report, verdict = state.report, state.verdict or NO_VERDICT
    look, kind = LOOKS[state.status], NAMES[state.kind]
    tags = "" if report is None else " · ".join(_text(tag) for tag in (report.process, report.server) if tag)
    gaps, days = drawn
    html = (
        f'<tr class="{look}" id="t-{_text(task.id)}" data-kind="{state.kind.value}">'
        f'<td class="kind"><span class="mark"></span>{kind}{_since(state, now)}</td>'
        f'<th scope="row"><a href="task/{_text(task.id)}">{_text(task.name)}</a>'
        f'<span class="tags">{tags}</span></th>'
        f'<td class="why"><span>{_text(verdict.explanation)}</span></td>'
        f"{_when('Last run', None if report is None else report.lastrun, now)}{_when('Due', verdict.due, now)}"
        f'<td class="gaps" data-label="Gaps">{gaps or _UNKNOWN}</td>'
        f'<td class="days" data-label="90 days">{days or _UNKNOWN}</td></tr>\n'
    )
    return html.encode("utf-8")


def _draw(entry: Entry, figures: Figures, now: Instant) -> tuple[str, str]:
    report, part = entry.state.report, share(figures.days)
    said = "" if part is None else f'<span class="share">{percent(part)}</span>'
    gaps = "" if report is None else sparkline(figures.gaps, report, entry.task.grace)
    return gaps, strip(figures.days, now) + said


def _since(state: TaskState, now: Instant) -> str:
    """Since when a task has been in trouble; of the others nobody asks."""
    datetime = iso(state.since)
    if state.status is not Status.ERROR or state.since is None or datetime is None:
        return ""
    return (
        f' <small class="since">since <time datetime="{datetime}" title="{stamp(state.since)}">'
        f"{relative(state.since, now)}</time></small>"
    )


def _when(label: str, instant: Instant | None, now: Instant) -> str:
    datetime = iso(instant)
    if instant is None or datetime is None:
        return f'<td class="when" data-label="{label}">{_UNKNOWN}</td>'
    return (
        f'<td class="when" data-label="{label}"><time datetime="{datetime}" title="{stamp(instant)}">'
        f"{relative(instant, now)}</time> <small>{clock(instant, now)}</small></td>"
    )


def _text(value: str) -> str:
    return escape(shown(value))
