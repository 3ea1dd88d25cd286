"""The overview's tools: search, filters, grouping, order and pages, as a plain form and plain links."""

from __future__ import annotations

from twisted.web.template import Tag, tags

from pypinger.web.formatting import count, look_of, shown
from pypinger.web.html.groups import GROUPINGS
from pypinger.web.html.rows import COLUMNS
from pypinger.web.html.view import ORDERS, TITLES, Selection, View


def tools(selection: Selection, *, grouped: bool, sharing: bool = False) -> Tag:
    """
    Everything above the tasks.

    :param grouped: whether any task has a configured group.
    :param sharing: whether instances share the tasks.
    """
    view = selection.view
    everything = sum(selection.counts.values())
    filters = [_choice("All", everything, view.with_status(""), not view.status)]
    filters += [
        _choice(TITLES[standing], many, view.with_status(standing), view.status == standing, look_of(standing))
        for standing, many in selection.counts.items()
        if many or view.status == standing
    ]
    offered = {"group": grouped, "instance": sharing}
    groupings = [
        _choice(name or "none", None, view.with_grouping(name), view.by == name)
        for name in GROUPINGS
        if offered.get(name, True) or view.by == name
    ]
    orders = [_choice(words, None, view.with_sort(name), view.sort == name) for name, words in ORDERS.items()]
    wall = View(search=view.search, status=view.status, wall=not view.wall)
    parts = [
        tags.nav(tags.ul(_choice("wall", None, wall, view.wall)), class_="choices looks", **{"aria-label": "Look"})
    ]
    if not view.wall:
        parts = [_choices("Sort by", "sort-by", orders, "sorts"), _choices("Group by", "group-by", groupings), *parts]
    return tags.div(
        search(view),
        tags.nav(tags.ul(filters), class_="choices filters", **{"aria-label": "Filter by status"}),
        *parts,
        class_="tools",
        id="tools",
    )


def search(view: View, action: str = "./") -> Tag:
    """The form that searches, and keeps the rest of the view."""
    hidden = [
        tags.input(type="hidden", name=name, value=value)
        for name, value in view.members.items()
        if value and name not in ("q", "page", "storm")
    ]
    return tags.form(
        tags.label("Search", **{"for": "q"}, class_="hidden"),
        tags.input(
            type="search",
            name="q",
            id="q",
            value=shown(view.search),
            placeholder="Name, process, server",
            autocomplete="off",
            maxlength="200",
        ),
        hidden,
        tags.button("Search", type="submit"),
        action=action,
        method="get",
        role="search",
        id="search",
    )


def heading(column: str, view: View) -> Tag:
    """The heading of a column, with a link to its order if it has one."""
    orders = COLUMNS[column]
    if not orders:
        return tags.th(column, scope="col")
    # A second click on a heading with two orders takes the other one.
    other = next((order for order in orders if order != view.sort), orders[0])
    link = tags.a(column, href=view.with_sort(other).link, title=f"Sort by {ORDERS[other]}")
    if view.sort in orders:
        ascending = view.sort in ("name", "due")
        return tags.th(link, scope="col", **{"aria-sort": "ascending" if ascending else "descending"})
    return tags.th(link, scope="col")


def pager(selection: Selection) -> Tag:
    """Links to the pages before and after."""
    view = selection.view
    return tags.nav(
        tags.a("← Previous", href=view.with_page(view.page - 1).link, rel="prev") if view.page > 1 else "",
        tags.span(f"{selection.first:,}–{selection.last:,} of {count(selection.total, 'task')}"),
        tags.a("Next →", href=view.with_page(view.page + 1).link, rel="next") if view.page < selection.pages else "",
        class_="pager",
        id="pager",
        **{"aria-label": "Pages"},
    )


def _choices(words: str, key: str, links: list[Tag], look: str = "") -> Tag:
    return tags.nav(
        tags.span(words, id=key), tags.ul(links), class_=f"choices {look}".rstrip(), **{"aria-labelledby": key}
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
