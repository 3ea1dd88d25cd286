"""
The overview as HTML, and the page for paths and tasks that do not exist.

Pages show a task's label, never its URL, whose query may hold a secret. :mod:`~pypinger.web.html.view` selects the
tasks, and :mod:`~pypinger.web.html.rows` renders their rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from twisted.web.iweb import IRequest
from twisted.web.template import Comment, Tag, tags

from pypinger.domain.kinds import Status
from pypinger.domain.model import Instant
from pypinger.domain.times import clock
from pypinger.ports.showing import DaemonState, Entry
from pypinger.web.formatting import UNSEEN, count, look_of, shown, standing_of
from pypinger.web.html import undelivered
from pypinger.web.html.layout import ago, brand, foot, page, top
from pypinger.web.html.listing import Listing
from pypinger.web.html.rows import COLUMNS
from pypinger.web.html.view import GROUPINGS, PAGE, TITLES, Group, Selection, View


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
    heading, look = _summary(counts, daemon)
    body: list[Tag] = [
        top(
            brand("Py Pinger"),
            # Screen readers announce changes.
            tags.h1(tags.span(class_="mark"), heading, **{"aria-live": "polite"}),
            *_details(entries, counts, daemon, now),
            look=look,
        ),
        Tag("main")(
            *_notices(daemon, now),
            *([_tools(selection, grouped=any(entry.task.group for entry in entries))] if entries else []),
            *[_group(group, selection.view) for group in selection.groups],
            *([] if selection.groups or not entries else [_nothing(selection)]),
            *([_pager(selection)] if selection.pages > 1 else []),
            id="main",
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
    title = _title(heading, counts, daemon)
    feed = tags.link(rel="alternate", type="application/atom+xml", title="Incidents", href="feed.atom")
    return await page(request, title, body, "", static, look, now, (feed,), rows)


async def not_found(
    request: IRequest, words: str, now: Instant, root: str, static: Mapping[str, str]
) -> tuple[bytes, bytes]:
    """The page for a path or a task that does not exist, and its entity tag."""
    body: list[Tag] = [
        top(
            brand(tags.a("← All tasks", href=root)),
            tags.h1(tags.span(class_="mark"), "Not found"),
            look="new",
        ),
        Tag("main")(tags.p(words), id="main", class_="plain"),
    ]
    return await page(request, "Not found · Py Pinger", body, root, static, "new", now)


def _summary(counts: Mapping[str, int], daemon: DaemonState) -> tuple[str, str]:
    """The banner's heading and its look."""
    if daemon.blind is not None:
        return "Py Pinger is blind", "degraded"
    heading, look = _tasks_summary(counts)
    if daemon.status is Status.OK:
        return heading, look
    # States may be outdated, or alerts undelivered: never green.
    return f"{heading}; Py Pinger is degraded", "error" if look == "error" else "degraded"


def _tasks_summary(counts: Mapping[str, int]) -> tuple[str, str]:
    """The heading and look by the tasks alone."""
    total = sum(counts.values())
    if not total:
        return "No tasks", "new"
    unseen = counts[UNSEEN]
    if counts["error"]:
        heading = f"{counts['error']:,} of {count(total, 'task')} in trouble"
        return f"{heading}, {unseen:,} not seen" if unseen else heading, "error"
    if unseen:
        return f"{unseen:,} of {count(total, 'task')} not seen", "degraded"
    if counts["new"]:
        return f"{counts['new']:,} of {count(total, 'task')} not checked yet", "new"
    if total == 1:
        return "The task is asleep" if counts["sleeping"] else "The task is on time", "ok"
    return "All tasks on time", "ok"


def _title(heading: str, counts: Mapping[str, int], daemon: DaemonState) -> str:
    """The title of the browser's tab, which has room for a few words."""
    if daemon.blind is not None:
        return f"(!) {heading}"
    name = "Py Pinger" if daemon.status is Status.OK else "Py Pinger is degraded"
    if counts["error"]:
        return f"({counts['error']:,}) {name}"
    if counts[UNSEEN]:
        return f"(!) {heading} · {name}"
    return f"{heading} · {name}" if daemon.status is Status.OK else f"(!) {name}"


def _details(entries: Sequence[Entry], counts: Mapping[str, int], daemon: DaemonState, now: Instant) -> list[Tag]:
    """The banner's lines below its heading."""
    if daemon.blind is not None:
        known = f"{counts['error']:,} of {count(len(entries), 'task')} in trouble."
        return [
            tags.p("It cannot see its tasks since ", ago(daemon.blind, now), f" ({clock(daemon.blind, now)})."),
            tags.p("The last known states are shown: ", known, class_="quiet"),
        ]
    flagged = _flagged(entries)
    troubled = [entry for entry in entries if entry.state.status is Status.ERROR and entry.state.since is not None]
    if troubled:
        since_when = sorted(troubled, key=lambda entry: entry.state.since or now)
        first, latest = since_when[0], since_when[-1]
        words: list[Tag | str] = ["Since ", ago(first.state.since or now, now)]
        words.append(f" ({clock(first.state.since or now, now)}).")
        if latest is not first:
            words += " Latest: ", tags.a(shown(latest.name), href=f"task/{latest.task.id}"), ", "
            words += ago(latest.state.since or now, now), "."
        return [tags.p(*words), *flagged]
    asleep = counts["sleeping"]
    return [*([tags.p(f"{asleep:,} of them asleep.")] if asleep and len(entries) > 1 else []), *flagged]


def _flagged(entries: Sequence[Entry]) -> list[Tag]:
    """How many tasks are silenced, acknowledged or flapping; nothing if none is."""
    incidents = [entry.state.incident for entry in entries if entry.state.incident is not None]
    counts = {
        "silenced": sum(entry.muted is not None for entry in entries),
        "acknowledged": sum(incident.acknowledged is not None for incident in incidents),
        "flapping": sum(incident.flapping for incident in incidents),
    }
    words = [tags.a(f"{many:,} {name}", href=View(search=name).link) for name, many in counts.items() if many]
    return [tags.ul([tags.li(link) for link in words], class_="sums")] if words else []


def _notices(daemon: DaemonState, now: Instant) -> list[Tag]:
    """What is wrong with Py Pinger itself."""
    lines: list[Tag] = []
    if daemon.status is not Status.OK:
        lines.append(tags.p(tags.strong("Py Pinger itself is in trouble: "), shown(daemon.explanation), "."))
    lines += undelivered.lines(daemon)
    return [tags.section(lines, class_="notice", id="notice", **{"aria-label": "Py Pinger itself"})] if lines else []


def _pending(daemon: DaemonState) -> list[Tag | str]:
    if not daemon.undelivered:
        return []
    link = Listing("deliveries", {"outcome": "pending"}).link("")
    return [" ", tags.a(f"{count(daemon.undelivered, 'alert')} pending", href=link), "."]


def _tools(selection: Selection, *, grouped: bool) -> Tag:
    """Search, filter and grouping, as a plain form and plain links."""
    view = selection.view
    hidden = [
        tags.input(type="hidden", name=name, value=value)
        for name, value in (("status", view.status), ("by", view.by))
        if value
    ]
    form = tags.form(
        tags.label("Search", **{"for": "q"}, class_="hidden"),
        tags.input(
            type="search",
            name="q",
            id="q",
            value=shown(view.search),
            placeholder="Name, process, server, …",
            autocomplete="off",
            maxlength="200",
        ),
        hidden,
        tags.button("Search", type="submit"),
        action="./",
        method="get",
        role="search",
        id="search",
    )
    everything = sum(selection.counts.values())
    filters = [_choice("All", everything, view.with_status(""), not view.status)]
    filters += [
        _choice(TITLES[standing], many, view.with_status(standing), view.status == standing, look_of(standing))
        for standing, many in selection.counts.items()
        if many or view.status == standing
    ]
    groupings = [
        _choice(name or "status", None, view.with_grouping(name), view.by == name)
        for name in GROUPINGS
        if name != "group" or grouped or view.by == name
    ]
    return tags.div(
        form,
        tags.nav(tags.ul(filters), class_="choices", **{"aria-label": "Filter by status"}),
        tags.nav(
            tags.span("Group by", id="group-by"),
            tags.ul(groupings),
            class_="choices",
            **{"aria-labelledby": "group-by"},
        ),
        class_="tools",
        id="tools",
    )


def _choice(title: str, many: int | None, view: View, chosen: bool, look: str = "") -> Tag:
    link = tags.a(href=view.link, class_=look)
    if chosen:
        link(**{"aria-current": "true"})
    if look:
        link(tags.span(class_="mark"))
    link(title)
    if many is not None:
        link(" ", tags.b(f"{many:,}"))
    return tags.li(link)


def _group(group: Group, view: View) -> Tag:
    heading = tags.h2(shown(group.title), " ", tags.span(f"{group.total:,}", class_="many"), id=f"{group.key}-title")
    if view.by and group.trouble:
        heading(" ", tags.span(f"{group.trouble:,} in trouble", class_="many error"))
    return tags.section(
        heading,
        tags.table(
            tags.colgroup([tags.col() for _ in COLUMNS]),
            tags.thead(tags.tr([tags.th(column, scope="col") for column in COLUMNS])),
            tags.tbody(Comment(group.key)),
            **{"aria-labelledby": f"{group.key}-title"},
        ),
        id=group.key,
        class_=f"group {'' if view.by else look_of(group.key)}".rstrip(),
        **{"aria-labelledby": f"{group.key}-title"},
    )


def _nothing(selection: Selection) -> Tag:
    return tags.p(
        "No task matches. ",
        tags.a("Show all tasks", href=View(by=selection.view.by).link),
        class_="plain",
        id="nothing",
    )


def _pager(selection: Selection) -> Tag:
    view = selection.view
    first = (view.page - 1) * PAGE + 1
    last = min(view.page * PAGE, selection.total)
    return tags.nav(
        tags.a("← Previous", href=view.with_page(view.page - 1).link, rel="prev") if view.page > 1 else "",
        tags.span(f"{first:,}–{last:,} of {count(selection.total, 'task')}"),
        tags.a("Next →", href=view.with_page(view.page + 1).link, rel="next") if view.page < selection.pages else "",
        class_="pager",
        id="pager",
        **{"aria-label": "Pages"},
    )
