"""
The overview as HTML, and the page for paths and tasks that do not exist.

Pages show a task's label, never its URL, whose query may hold a secret. :mod:`~pypinger.web.html.view` selects the
tasks, and :mod:`~pypinger.web.html.rows` renders their rows.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence

from twisted.web.iweb import IRequest
from twisted.web.template import Comment, Tag, tags

from pypinger.domain.model import Instant
from pypinger.ports.showing import DaemonState, Entry
from pypinger.web.formatting import count, lasting, shown, standing_of
from pypinger.web.html import banner
from pypinger.web.html.groups import Group
from pypinger.web.html.instances import panel
from pypinger.web.html.layout import aged, ago, brand, card, foot, page, top
from pypinger.web.html.listing import Listing
from pypinger.web.html.notices import blind, notices
from pypinger.web.html.rows import COLUMNS
from pypinger.web.html.storms import LISTED, Storm
from pypinger.web.html.tools import heading, pager, search, tools
from pypinger.web.html.view import TITLES, Selection, View

_EXAMPLE = """[task Nightly backup]
url = https://backup.example.com/status.json
grace = 5m"""

_REPORT = '{"status": "ok", "lastrun": "2026-03-01T03:10:00Z", "frequency": 1440}'


async def page_of(
    request: IRequest,
    entries: Sequence[Entry],
    selection: Selection,
    rows: Mapping[str, Sequence[bytes]],
    daemon: DaemonState,
    now: Instant,
    static: Mapping[str, str],
    *,
    complete: bool = True,
) -> tuple[bytes, bytes]:
    """
    The overview, and its entity tag.

    :param entries: every task, for the banner.
    :param selection: the tasks that are shown.
    :param rows: the rendered rows of each group, by its key, in the order of the groups.
    :param complete: whether the rows have all their pictures; if not, the script fetches the page again soon.
    """
    counts = dict.fromkeys(TITLES, 0)
    for entry in entries:
        counts[standing_of(entry)] += 1
    title, look = banner.summary(counts, daemon)
    view = selection.view
    body: list[Tag] = [
        top(
            brand("Py Pinger"),
            # Screen readers announce changes.
            tags.h1(tags.span(class_="mark"), title, **{"aria-live": "polite"}),
            *banner.details(entries, counts, daemon, now),
            look=f"overview {look}",
        ),
        Tag("main")(
            *notices(daemon, now),
            *panel(daemon, now),
            *([_tools(selection, entries, daemon)] if entries else []),
            *_groups(selection.groups, view, now),
            *([] if entries else [_no_tasks(daemon)]),
            *([] if selection.groups or not entries else [_nothing(view)]),
            *([pager(selection)] if selection.pages > 1 else []),
            *([_legend()] if selection.groups and not view.wall else []),
            id="main",
            class_="wall" if view.wall else "",
            **({} if complete else {"data-incomplete": "yes"}),
        ),
        foot(
            "Py Pinger started ",
            ago(daemon.started, now),
            ".",
            *_pending(daemon),
            " ",
            tags.a("Incidents", href="incidents"),
            ". ",
            tags.a("Deliveries of alerts", href="deliveries"),
            ". ",
            tags.a("Feed of incidents", href="feed.atom"),
            ". ",
        ),
    ]
    feed = tags.link(rel="alternate", type="application/atom+xml", title="Incidents", href="feed.atom")
    words = banner.title(title, counts, daemon)
    return await page(request, words, body, "", static, look, now, (feed,), rows)


async def not_found(
    request: IRequest,
    words: str,
    daemon: DaemonState,
    now: Instant,
    root: str,
    static: Mapping[str, str],
    removed: list[Tag] | None = None,
) -> tuple[bytes, bytes]:
    """
    The page for a path or a task that does not exist, and its entity tag.

    :param removed: what is known of a task that is no longer monitored.
    """
    body: list[Tag] = [
        top(
            brand(tags.a("← All tasks", href=root)),
            tags.h1(tags.span(class_="mark"), "No longer monitored" if removed else "Not found"),
            look="new",
        ),
        Tag("main")(
            *blind(daemon, now),
            *([tags.section(removed, class_="card")] if removed else [tags.p(words, class_="plain")]),
            *([] if removed else [tags.p("It may have been removed, or its address may have changed.")]),
            tags.div(tags.p("Search the tasks that are monitored:"), search(View(), root), class_="tools lost"),
            id="main",
        ),
    ]
    title = "No longer monitored" if removed else "Not found"
    return await page(request, f"{title} · Py Pinger", body, root, static, "new", now)


def _tools(selection: Selection, entries: Sequence[Entry], daemon: DaemonState) -> Tag:
    grouped = any(entry.task.group for entry in entries)
    return tools(selection, grouped=grouped, sharing=daemon.sharing is not None)


def _pending(daemon: DaemonState) -> list[Tag | str]:
    if not daemon.undelivered:
        return []
    link = Listing("deliveries", {"outcome": "pending"}).link("")
    return [" ", tags.a(f"{count(daemon.undelivered, 'alert')} pending", href=link), "."]


def _groups(groups: Sequence[Group], view: View, now: Instant) -> list[Tag]:
    """The groups; tables after the first that is always shown have no visible headings, and so no links in them."""
    always = [number for number, group in enumerate(groups) if not group.folded and group.storm is None]
    return [
        _group(group, view, now, linked=number <= min(always, default=number)) for number, group in enumerate(groups)
    ]


def _group(group: Group, view: View, now: Instant, *, linked: bool) -> Tag:
    """
    A group of tasks.

    :param linked: whether its headings are links to the orders.
    """
    if group.storm is not None:
        return _storm(group, group.storm, view, now)
    if view.wall:
        return _wall(group)
    headings = [heading(column, view) if linked else tags.th(column, scope="col") for column in COLUMNS]
    table = tags.table(
        tags.colgroup([tags.col() for _ in COLUMNS]),
        tags.thead(tags.tr(headings)),
        tags.tbody(Comment(group.key)),
        **{"aria-labelledby": f"{group.key}-title"},
    )
    if group.folded:
        name = tags.h2(*_name(group), tags.span("all fine", class_="many ok"), id=f"{group.key}-title")
        return tags.details(tags.summary(tags.span(class_="mark"), name), table, id=group.key, class_="group ok")
    return tags.section(
        _heading(group), table, id=group.key, class_="group", **{"aria-labelledby": f"{group.key}-title"}
    )


def _name(group: Group) -> list[Tag | str]:
    return [shown(group.title), " ", tags.span(f"{group.total:,}", class_="many"), " "]


def _heading(group: Group) -> Tag:
    if group.bare:
        return tags.h2(shown(group.title), id=f"{group.key}-title", class_="hidden")
    heading = tags.h2(*_name(group), id=f"{group.key}-title")
    if group.trouble:
        heading(tags.span(f"{group.trouble:,} in trouble", class_="many error"))
    return heading


def _tiles(group: Group) -> Tag:
    return tags.ul(Comment(group.key), class_="tiles-of-tasks")


def _wall(group: Group) -> Tag:
    return tags.section(
        _heading(group),
        _tiles(group),
        id=group.key,
        class_="group",
        **{"aria-labelledby": f"{group.key}-title"},
    )


def _storm(group: Group, storm: Storm, view: View, now: Instant) -> Tag:
    """A storm as one line, with its first tasks when it is unfolded."""
    facts: list[Tag | str] = [aged(lasting("for {}", storm.began, now))]
    if storm.latest is not None and storm.latest != storm.began:
        facts += " · latest ", ago(storm.latest, now)
    for name, many in (("silenced", storm.silenced), ("acknowledged", storm.acknowledged)):
        facts += [f" · {many:,} {name}"] if many else []
    table = tags.table(
        tags.colgroup([tags.col() for _ in COLUMNS]),
        tags.thead(tags.tr([tags.th(column, scope="col") for column in COLUMNS])),
        tags.tbody(Comment(group.key)),
        **{"aria-label": f"{shown(storm.words)}: tasks"},
    )
    everything = View(storm=storm.key)
    more = f"All {storm.total:,} tasks" if storm.total > LISTED else "These tasks alone"
    silence = f"pypinger silence {shlex.quote(shown(storm.selector))} 2h REASON"
    return tags.details(
        tags.summary(
            tags.span(class_="mark"),
            tags.h2(f"{storm.total:,} × {shown(storm.cause)}", tags.span(f" on {shown(storm.origin)}", class_="place")),
            tags.span(facts, class_="quiet"),
        ),
        _tiles(group) if view.wall else table,
        tags.p(
            tags.a(more, href=everything.link, class_="more"),
            tags.code(silence, class_="command"),
            tags.span(" No alerts for this origin for two hours", class_="quiet"),
            class_="below",
        ),
        id=group.key,
        class_="group storm error",
    )


def _legend() -> Tag:
    def swatch(look: str, words: str) -> Tag:
        return tags.span(tags.span(class_=f"swatch {look}"), words)

    return tags.div(
        tags.p(
            tags.b("Time between runs: "),
            "a bar for each of the last 30 runs; the dotted line is how often the task should run. ",
            swatch("overdue", "came late"),
        ),
        tags.p(
            tags.b("On time: "),
            "a column for each day. ",
            swatch("fine", "on time "),
            swatch("overdue", "in trouble "),
            swatch("nap", "asleep "),
            swatch("unknown", "not known"),
        ),
        class_="legend key",
        id="legend",
    )


def _nothing(view: View) -> Tag:
    words = "This storm is over. " if view.storm else "No task matches. "
    return tags.p(words, tags.a("Show all tasks", href=View(by=view.by).link), class_="plain", id="nothing")


def _no_tasks(daemon: DaemonState) -> Tag:
    """What to do if there is no task."""
    ini = shown(daemon.ini) or "pinger.ini"
    return card(
        "Add the first task",
        tags.ol(
            tags.li("Add these lines to ", tags.code(ini), ":", tags.pre(_EXAMPLE)),
            tags.li("Have the task publish its report there, for example:", tags.pre(_REPORT)),
            tags.li(
                "Reload: ",
                tags.code(f"pypinger validate {shlex.quote(ini)} && pypinger reload", class_="command"),
            ),
            class_="steps",
        ),
    )
