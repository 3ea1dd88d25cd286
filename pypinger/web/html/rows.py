"""
The overview's rows as HTML.

They are written by hand and not with :mod:`twisted.web.template`, which takes some 0.4 ms a row. So every text of a
task or a report must go through :func:`_text`. The pictures of :mod:`~pypinger.web.html.charts` hold no such text.
"""

from __future__ import annotations

from html import escape

from pypinger.domain.kinds import Kind, Status
from pypinger.domain.model import Instant
from pypinger.domain.times import clock, iso
from pypinger.ports.showing import Entry
from pypinger.web.formatting import UNSEEN, age_of, look_of, percent, relative, shown, stamp, standing_of, state_of
from pypinger.web.html.charts import share, sparkline, strip
from pypinger.web.html.figures import Figures
from pypinger.web.html.flags import flags
from pypinger.web.json.objects import NO_VERDICT

#: The headings of the columns.
COLUMNS = ("Status", "Task", "Explanation", "Last run", "Due", "Gaps", "90 days")

#: Rows in a slice (:func:`pypinger.web.serving.slicing.in_slices`): two or three milliseconds.
SLICE = 10

_UNKNOWN = '<span class="unknown">–</span>'


def row(entry: Entry, figures: Figures | None, now: Instant) -> bytes:
    """One task's row at `now`; its link is relative to the overview."""
    task, state = entry.task, entry.state
    report, verdict = state.report, state.verdict or NO_VERDICT
    kind = state.kind.value if entry.unseen is None else UNSEEN
    tags = "" if report is None else " · ".join(_text(tag) for tag in (report.process, report.server) if tag)
    name = entry.name
    if name != task.name:
        # The name has the tags in it; the URL tells tasks apart that have the same.
        tags = _text(task.name)
    gaps, days = ("", "") if figures is None else _pictures(entry, figures, now)
    html = (
        f'<tr class="{look_of(standing_of(entry))}" id="t-{_text(task.id)}" data-kind="{kind}">'
        f'<td class="kind"><span class="mark"></span>{state_of(entry)}{_since(entry, now)}</td>'
        f'<th scope="row"><a href="task/{_text(task.id)}">{_text(name)}</a>'
        f'<span class="tags">{tags}</span></th>'
        f'<td class="why"><span>{_text(verdict.explanation)}{_age(entry, now)}</span>{_flags(entry, now)}</td>'
        f"{_when('Last run', None if report is None else report.lastrun, now)}{_when('Due', verdict.due, now)}"
        f'<td class="gaps" data-label="Gaps">{gaps or _UNKNOWN}</td>'
        f'<td class="days" data-label="90 days">{days or _UNKNOWN}</td></tr>\n'
    )
    return html.encode("utf-8")


def _pictures(entry: Entry, figures: Figures, now: Instant) -> tuple[str, str]:
    """The gaps between the task's runs, and its last 90 days; each is empty if nothing is known."""
    report, part = entry.state.report, share(figures.days)
    uptime = "" if part is None else f'<span class="share">{percent(part)}</span>'
    gaps = "" if report is None else sparkline(figures.gaps, entry.task, report)
    return gaps, strip(figures.days, now) + uptime


def _since(entry: Entry, now: Instant) -> str:
    """Since when a task has been in trouble or not seen; empty for others."""
    since = entry.unseen
    if since is None and entry.state.status is Status.ERROR:
        since = entry.state.since
    datetime = iso(since)
    if since is None or datetime is None:
        return ""
    return (
        f' <small class="since">since <time datetime="{datetime}" title="{stamp(since)}">'
        f"{relative(since, now)}</time></small>"
    )


def _age(entry: Entry, now: Instant) -> str:
    """How late, or how far ahead, a task is; other ages are in the columns."""
    if entry.state.kind not in (Kind.LATE, Kind.FUTURE) or (age := age_of(entry, now)) is None:
        return ""
    datetime = iso(age.since) or ""
    attributes = f'class="age" datetime="{datetime}" data-age="{age.form}" title="{stamp(age.since)}"'
    return f" (<time {attributes}>{age.words(now)}</time>)"


def _flags(entry: Entry, now: Instant) -> str:
    found = flags(entry, now)
    if not found:
        return ""
    items = "".join(f'<li class="flag {look}">{_text(words)}</li>' for look, words, _ in found)
    return f'<ul class="flags">{items}</ul>'


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
