"""
The overview's rows and tiles as HTML.

They are written by hand and not with :mod:`twisted.web.template`, which takes some 0.4 ms a row. So every text of a
task or a report must go through :func:`_text`. The pictures of :mod:`~pypinger.web.html.charts` hold no such text.
"""

from __future__ import annotations

from html import escape

from pypinger.domain.kinds import Kind, Status
from pypinger.domain.model import Instant
from pypinger.domain.moments import due_of
from pypinger.domain.times import DAY, iso
from pypinger.ports.showing import DaemonState, Entry
from pypinger.web.formatting import (
    UNSEEN,
    Lapse,
    last_known,
    lasting,
    late_after,
    look_of,
    noticed,
    percent,
    relative,
    shown,
    since_when,
    stamp,
    standing_of,
    state_of,
    trouble_for,
    until,
    why,
)
from pypinger.web.html.charts import share, sparkline, strip
from pypinger.web.html.figures import Figures
from pypinger.web.html.flags import flags
from pypinger.web.html.times import fixed_html, mark_html

#: The headings of the columns, with the orders of :data:`pypinger.web.html.view.ORDERS` that they offer.
COLUMNS: dict[str, tuple[str, ...]] = {
    "Status": ("", "oldest"),
    "Task": ("name",),
    "Why": (),
    "Last run": ("lastrun",),
    "Due": ("due",),
    "Time between runs": (),
    "On time (90 days)": (),
}

#: Rows in a slice (:func:`pypinger.web.serving.slicing.in_slices`): two or three milliseconds.
SLICE = 10

_UNKNOWN = '<span class="unknown">–</span>'


def row(entry: Entry, figures: Figures | None, daemon: DaemonState, now: Instant) -> bytes:
    """One task's row at `now`; its link is relative to the overview."""
    task, state = entry.task, entry.state
    report = state.report
    kind = state.kind.value if entry.unseen is None else UNSEEN
    tags = "" if report is None else " · ".join(_text(tag) for tag in (report.process, report.server) if tag)
    name = entry.name
    if name != task.name:
        # The name has the tags in it; the URL tells tasks apart that have the same.
        tags = _text(task.name)
    gaps, days = ("", "") if figures is None else _pictures(entry, figures, now)
    html = (
        f'<tr class="{_look(entry, daemon)}" id="t-{_text(task.id)}" data-kind="{kind}">'
        f'<td class="kind"><span class="mark"></span>{_state(entry, daemon, now)}</td>'
        f'<th scope="row"><a href="task/{_text(task.id)}">{_text(name)}</a>'
        f'<span class="tags">{tags}</span></th>'
        f'<td class="why">{_why(entry, daemon, now)}{_flags(entry, now)}</td>'
        f"{_when('Last run', None if report is None else report.lastrun, now)}{_when('Due', due_of(task, state), now)}"
        f'<td class="gaps">{gaps or _UNKNOWN}</td>'
        f'<td class="days">{days or _UNKNOWN}</td></tr>\n'
    )
    return html.encode("utf-8")


def tile(entry: Entry, daemon: DaemonState, now: Instant) -> bytes:
    """One task on the wall."""
    reason = why(entry) if entry.state.status is Status.ERROR else ""
    marks = " ".join(f'<span class="flag {each.look}">{each.look}</span>' for each in flags(entry, now))
    kind = entry.state.kind.value if entry.unseen is None else UNSEEN
    html = (
        f'<li class="tile {_look(entry, daemon)}" id="t-{_text(entry.task.id)}" data-kind="{kind}">'
        f'<a href="task/{_text(entry.task.id)}"><span class="mark"></span><b>{_text(entry.name)}</b>'
        f'<span class="state">{_state(entry, daemon, now)}</span>'
        f'{f"""<span class="why">{_text(reason)}</span>""" if reason else ""}'
        f'{f"""<span class="marks">{marks}</span>""" if marks else ""}</a></li>\n'
    )
    return html.encode("utf-8")


def _look(entry: Entry, daemon: DaemonState) -> str:
    return look_of(standing_of(entry) if daemon.blind is None else UNSEEN)


def _state(entry: Entry, daemon: DaemonState, now: Instant) -> str:
    """The state in a word or two, with how long it has lasted."""
    if daemon.blind is not None:
        return f'<span class="word">blind</span> <small>{_was(entry)}</small>'
    if entry.unseen is not None:
        since = fixed_html(entry.unseen, since_when(entry.unseen, now))
        return f'<span class="word">{state_of(entry)}</span> <small>since {since}</small>'
    lasted = trouble_for(entry, now)
    return f'<span class="word">{state_of(entry)}</span>' + (
        "" if lasted is None else f" <small>{_aged(lasted)}</small>"
    )


def _was(entry: Entry) -> str:
    return "never checked" if entry.state.verdict is None else f"was {last_known(entry)}"


def _pictures(entry: Entry, figures: Figures, now: Instant) -> tuple[str, str]:
    """The time between the task's runs, and its last 90 days; each is empty if nothing is known."""
    report, part = entry.state.report, share(figures.days)
    gaps = "" if report is None else sparkline(figures.gaps, entry.task, report)
    uptime = ""
    if part is not None:
        # The figures rest on whole days.
        begins = figures.begins
        short = begins is not None and begins > now - 89 * DAY
        since = since_when(begins or now, now)
        known = f"since {fixed_html(begins or now, since)}" if short else percent(part)
        whole = f' title="{percent(part)} since {since}"' if short else ""
        uptime = f'<span class="share"{whole}>{known}</span>'
    return gaps, strip(figures.days, now) + uptime


def _why(entry: Entry, daemon: DaemonState, now: Instant) -> str:
    """The reason alone, or what happens next."""
    state = entry.state
    if daemon.blind is not None:
        text = _text(why(entry))
        return f'<span title="{text}">{text}</span>' if text else ""
    if entry.unseen is not None:
        lasted = lasting("for {}", entry.unseen, now)
        return f"<span>{'' if lasted is None else f'{_aged(lasted)}; '}{_was(entry)}</span>"
    if (late := late_after(entry)) is not None:
        return _soon(entry, late, now)
    if state.kind is Kind.SLEEPING and state.verdict is not None:
        wakes = until("wakes in {}", state.verdict.sleep_end, now)
        return f"<span>{'sleeps all day' if wakes is None else _aged(wakes)}</span>"
    text = _text(why(entry))
    found = noticed(entry, now)
    if not text and found is None:
        return ""
    seen = "" if found is None else f" ({_aged(found)})"
    return f'<span title="{text}">{mark_html(text, now)}{seen}</span>'


def _soon(entry: Entry, late: Instant, now: Instant) -> str:
    """A task that is due, and becomes late soon; the script shows it once the task is due."""
    due = None if entry.state.verdict is None else entry.state.verdict.due
    age, begins = until("becomes late in {}", late, now), iso(due)
    if age is None or begins is None or due is None:
        return ""
    datetime = iso(late) or ""
    words = age.words if now >= due else ""
    return f'<time class="soon" datetime="{datetime}" data-from="{begins}" data-until="{age.form}">{words}</time>'


def _aged(age: Lapse) -> str:
    form = "until" if age.ends else "age"
    return (
        f'<time class="age" datetime="{iso(age.since)}" data-{form}="{age.form}" title="{stamp(age.since)}">'
        f"{age.words}</time>"
    )


def _flags(entry: Entry, now: Instant) -> str:
    found = flags(entry, now)
    if not found:
        return ""
    items = "".join(f'<li class="flag {look}">{mark_html(_text(words), now)}</li>' for look, words, _ in found)
    return f'<ul class="flags">{items}</ul>'


def _when(label: str, instant: Instant | None, now: Instant) -> str:
    datetime = iso(instant)
    if instant is None or datetime is None:
        return f'<td class="when" data-label="{label}">{_UNKNOWN}</td>'
    return (
        f'<td class="when" data-label="{label}"><time datetime="{datetime}" title="{stamp(instant)}">'
        f"{relative(instant, now)}</time></td>"
    )


def _text(value: str) -> str:
    return escape(shown(value))
