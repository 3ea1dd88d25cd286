"""
The HTML pages, as :mod:`twisted.web.template` trees: the overview's frame, a task's page, and what is not found.

No script and no inline style, so that the Content-Security-Policy can forbid both. Pages show a task's label, never
its URL, whose query may hold a secret. The overview's rows are :mod:`pypinger.web.rows`'; which page is sent with
which status code is :mod:`pypinger.web.app`'s.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from twisted.web.iweb import IRequest
from twisted.web.template import Comment, Tag, flattenString, tags

from pypinger.domain.model import Instant, Report, Seconds, Status
from pypinger.domain.times import clock, iso, number, span
from pypinger.ports import DaemonState, Entry
from pypinger.web.api import NO_VERDICT, reason_of
from pypinger.web.words import LOOKS, NAMES, count, daily, every, relative, shown, stamp

#: The groups of the overview, in the order in which people need them, with their headings.
GROUPS: dict[Status, str] = {
    Status.ERROR: "In trouble",
    Status.SLEEPING: "Sleeping",
    Status.OK: "On time",
    Status.NEW: "Not checked yet",
}


async def overview(
    request: IRequest,
    rows: Mapping[Status, Sequence[bytes]],
    daemon: DaemonState,
    now: Instant,
    static: Mapping[str, str],
) -> bytes:
    """
    The overview of all tasks.

    :param rows: the rendered rows of every group that is not empty.
    :param static: name -> path of the static files, see :mod:`pypinger.web.assets`.
    """
    counts = {status: len(rows.get(status, ())) for status in GROUPS}
    heading, look = _summary(counts)
    body: list[Tag] = [
        tags.header(
            tags.p("Py Pinger", class_="brand"),
            tags.h1(tags.span(class_="mark"), heading),
            tags.p(
                [
                    tags.a(f"{counts[status]:,} {title.lower()}", href=f"#{LOOKS[status]}", class_=LOOKS[status])
                    for status, title in GROUPS.items()
                    if counts[status]
                ],
                class_="counts",
            ),
            class_=f"banner {look}",
        ),
        *_notices(daemon, now),
        Tag("main")([_group(status, title) for status, title in GROUPS.items() if counts[status]]),
        _footer(daemon, now),
    ]
    page = await _page(request, heading, body, "", static, look)
    pieces: list[bytes] = []
    for status in GROUPS:
        if counts[status]:
            # Nothing but our own comments can look like this: every other "<" was escaped.
            before, _, page = page.partition(f"<!--{LOOKS[status]}-->".encode("ascii"))
            pieces += before, *rows[status]
    return b"".join((*pieces, page))


async def task_page(request: IRequest, entry: Entry, now: Instant, root: str, static: Mapping[str, str]) -> bytes:
    """
    The page of one task.

    :param root: what leads from this page to the overview: ``../`` or a path.
    """
    task, state = entry.task, entry.state
    verdict, report, incident = state.verdict or NO_VERDICT, state.report, state.incident
    look, name = LOOKS[state.status], shown(task.name)
    sections = [
        _facts(
            "Time",
            ("Last run", _moment(None if report is None else report.lastrun, now)),
            ("Runs every", None if report is None else every(report.frequency)),
            ("Due", _moment(verdict.due, now)),
            ("Late after", f"{span(task.grace)} of grace"),
            ("Next change", _moment(verdict.next_change, now)),
            ("Asleep since", _moment(verdict.sleep_start, now)),
            ("Asleep until", _moment(verdict.sleep_end, now)),
            ("Sleeps daily", _windows(report)),
        ),
        _facts(
            "Report",
            ("Process", None if report is None else report.process),
            ("Server", None if report is None else report.server),
            ("Reason", reason_of(state)),
        ),
        _facts(
            "Checks",
            ("Checked", _moment(state.checked, now)),
            ("Status since", _moment(state.since, now)),
            ("Took", _latency(state.latency)),
            ("Checked every", span(task.interval)),
            ("Checks", f"{state.pings:,}"),
            ("With an error", f"{state.errors:,}"),
        ),
    ]
    if incident is not None:
        sections.insert(
            0,
            _facts(
                "Open incident",
                ("Started", _moment(incident.started, now)),
                ("Latest problem", NAMES[incident.kind]),
                ("Alerts so far", f"{incident.alerts:,}"),
                look="error",
            ),
        )
    body: list[Tag] = [
        tags.header(
            tags.p(tags.a("← All tasks", href=root), class_="brand"),
            tags.h1(name),
            tags.p(tags.span(class_="mark"), NAMES[state.kind], class_="verdict"),
            tags.p(shown(verdict.explanation), class_="why"),
            tags.p(shown(task.label), class_="label"),
            class_=f"banner task {look}",
        ),
        Tag("main")(sections, class_="facts"),
        tags.footer(tags.p(f"Task {task.id}. Shown as of {stamp(now)}.")),
    ]
    return await _page(request, f"{NAMES[state.kind]}: {name}", body, root, static, look)


async def not_found(request: IRequest, words: str, root: str, static: Mapping[str, str]) -> bytes:
    """The page for what is not there."""
    body: list[Tag] = [
        tags.header(
            tags.p(tags.a("← All tasks", href=root), class_="brand"),
            tags.h1(tags.span(class_="mark"), "Not found"),
            tags.p(words, class_="why"),
            class_="banner new",
        ),
    ]
    return await _page(request, "Not found", body, root, static, "new")


async def _page(
    request: IRequest, title: str, body: list[Tag], root: str, static: Mapping[str, str], look: str
) -> bytes:
    page = tags.html(
        tags.head(
            tags.meta(charset="utf-8"),
            tags.title(f"{title} · Py Pinger"),
            tags.meta(name="viewport", content="width=device-width, initial-scale=1"),
            tags.meta(name="color-scheme", content="light dark"),
            tags.link(rel="stylesheet", href=root + static["style.css"]),
            tags.link(rel="icon", type="image/svg+xml", href=root + static[f"{look}.svg"]),
        ),
        tags.body(body),
        lang="en",
    )
    return b"<!DOCTYPE html>\n" + await flattenString(request, page)


def _summary(counts: Mapping[Status, int]) -> tuple[str, str]:
    """The banner's line, and the look that goes with it."""
    total = sum(counts.values())
    if not total:
        return "No tasks to watch", "new"
    if counts[Status.ERROR]:
        return f"{counts[Status.ERROR]:,} of {count(total, 'task')} in trouble", "error"
    if counts[Status.NEW]:
        return f"{counts[Status.NEW]:,} of {count(total, 'task')} not checked yet", "new"
    return "All tasks on time" if total > 1 else "The task is on time", "ok"


def _notices(daemon: DaemonState, now: Instant) -> list[Tag]:
    """What is wrong with Py Pinger itself, if anything is."""
    lines: list[Tag] = []
    if daemon.status is not Status.OK:
        lines.append(tags.p(tags.strong("Py Pinger itself: "), shown(daemon.explanation)))
    if daemon.blind is not None:
        lines.append(
            tags.p(
                tags.strong("Blind since "), _time(daemon.blind, now), ". The tasks are shown as they were last seen."
            )
        )
    if daemon.dead:
        lines.append(
            tags.p(tags.strong(count(daemon.dead, "alert")), " could not be delivered and will not be tried again.")
        )
    return [tags.section(lines, class_="notice")] if lines else []


def _group(status: Status, title: str) -> Tag:
    look = LOOKS[status]
    columns = ("Status", "Task", "What is known", "Last run", "Due", "Checked")
    return tags.section(
        tags.h2(title, id=f"{look}-title"),
        tags.table(
            tags.thead(tags.tr([tags.th(column, scope="col") for column in columns])),
            tags.tbody(Comment(look)),
            **{"aria-labelledby": f"{look}-title"},
        ),
        id=look,
        class_="group",
    )


def _footer(daemon: DaemonState, now: Instant) -> Tag:
    waiting = f" {count(daemon.undelivered, 'alert')} waiting to be delivered." if daemon.undelivered else ""
    return tags.footer(
        tags.p(
            "Py Pinger started ",
            _time(daemon.started, now),
            f".{waiting} Shown as of {stamp(now)}; renewed every 30 s.",
        )
    )


def _facts(title: str, *facts: tuple[str, Tag | str | None], look: str = "") -> Tag:
    """A block of names and values; what is not known or empty is left out."""
    known = [(name, shown(value) if isinstance(value, str) else value) for name, value in facts if value]
    listed = tags.dl([tags.div(tags.dt(name), tags.dd(value)) for name, value in known])
    return tags.section(
        tags.h2(title), listed if known else tags.p("Nothing is known yet.", class_="unknown"), class_=look
    )


def _time(instant: Instant, now: Instant) -> Tag:
    return tags.time(relative(instant, now), datetime=iso(instant) or "", title=stamp(instant))


def _moment(instant: Instant | None, now: Instant) -> Tag | None:
    """A time in both its forms."""
    if instant is None:
        return None
    return tags.span(_time(instant, now), " ", tags.small(clock(instant, now)), class_="moment")


def _windows(report: Report | None) -> Tag | None:
    if report is None or not report.sleep:
        return None
    return tags.ul([tags.li(daily(window)) for window in report.sleep])


def _latency(latency: Seconds | None) -> str | None:
    if latency is None:
        return None
    return f"{number(latency)} s" if latency >= 1 else f"{number(round(latency * 1000, 1))} ms"
