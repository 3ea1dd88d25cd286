"""
The frame of the pages that list incidents and deliveries: their form, table and links to other pages.

Both have their filters in the URL's query, so that a view can be linked and needs no script.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import urlencode

import msgspec
from twisted.web.iweb import IRequest
from twisted.web.template import Tag, tags

from pypinger.domain.identity import label_of, name_of
from pypinger.domain.model import Instant
from pypinger.domain.url import task_id
from pypinger.ports.showing import TaskBoard
from pypinger.web.formatting import shown
from pypinger.web.html.layout import brand, foot, page, stylesheet, top
from pypinger.web.html.notices import blind

#: Suggestions for the fields of times.
_AGES = ("1h", "24h", "7d", "30d", "90d")


class Frame(msgspec.Struct, frozen=True):
    """
    What pages of a list share.

    :ivar root: the link to the overview.
    :ivar static: name -> path of the static files.
    """

    request: IRequest
    board: TaskBoard
    now: Instant
    root: str
    static: Mapping[str, str]


class Listing(msgspec.Struct, frozen=True):
    """
    One page of a list.

    :ivar name: ``incidents`` or ``deliveries``, its path.
    :ivar values: the query, as it was sent.
    :ivar older: the cursor of the next page, if there is one.
    :ivar problem: why the list cannot be shown; empty if it can.
    """

    name: str
    values: Mapping[str, str]
    older: int | None = None
    problem: str = ""

    def link(self, root: str, **changes: object) -> str:
        """The URL of this list with other values; empty ones are left out."""
        values = {name: value for name, value in {**self.values, **changes}.items() if value}
        return f"{root}{self.name}?{urlencode(values)}" if values else f"{root}{self.name}"

    @property
    def filtered(self) -> bool:
        """Whether any filter is set."""
        return any(value.strip() for name, value in self.values.items() if name not in ("limit", "before"))


async def list_page(
    frame: Frame,
    listing: Listing,
    lines: Sequence[Tag],
    notices: Sequence[Tag],
    fields: list[Tag],
    table: Tag | None,
) -> tuple[bytes, bytes]:
    """
    The page, and its entity tag.

    :param lines: what the banner says below its heading.
    :param notices: what needs attention.
    :param fields: the fields of the form.
    :param table: None if nothing is found.
    """
    root, daemon = frame.root, frame.board.daemon()
    title = listing.name.capitalize()
    look = "degraded" if daemon.blind is not None else "new"
    main: list[Tag] = [*blind(daemon, frame.now), *notices, _form(listing, root, fields)]
    if listing.problem:
        main.append(tags.p(tags.strong(shown(listing.problem)), class_="notice", id="problem"))
    elif table is None:
        main.append(_nothing(listing, root))
    else:
        main += [tags.section(table, class_="past", id="list"), *_pager(listing, root)]
    body: list[Tag] = [
        top(brand(tags.a("← All tasks", href=root)), tags.h1(title), *_of(frame, listing), *lines, look=look),
        Tag("main")(*main, id="main"),
        foot(*_others(listing, root)),
    ]
    heading = f"(!) {title}" if look == "degraded" else title
    links = (stylesheet(root + frame.static["lists.css"]),)
    return await page(frame.request, f"{heading} · Py Pinger", body, root, frame.static, look, frame.now, links)


def text_field(listing: Listing, name: str, words: str, placeholder: str, *, times: bool = False) -> Tag:
    """A field for a text, with suggestions if it is a time."""
    extra = {"list": "ages"} if times else {}
    field = tags.input(
        type="text",
        name=name,
        id=f"f-{name}",
        value=shown(listing.values.get(name, "")),
        placeholder=placeholder,
        autocomplete="off",
        maxlength="500",
        **extra,
    )
    return _labelled(name, words, field)


def ages() -> Tag:
    """The suggestions of :func:`text_field`."""
    return tags.datalist([tags.option(value=each) for each in _AGES], id="ages")


def choice_field(listing: Listing, name: str, words: str, choices: Mapping[str, str]) -> Tag:
    """
    A field to choose one value.

    :param choices: value -> its words.
    """
    chosen = listing.values.get(name, "")
    options = [tags.option("any", value="")]
    for value, title in choices.items():
        option = tags.option(shown(title), value=value)
        options.append(option(selected="selected") if value == chosen else option)
    return _labelled(name, words, tags.select(options, name=name, id=f"f-{name}"))


def table_of(listing: Listing, columns: Sequence[str], rows: list[Tag]) -> Tag | None:
    """The table; None without rows."""
    if not rows:
        return None
    head = tags.thead(tags.tr([tags.th(column, scope="col") for column in columns]))
    return tags.table(head, tags.tbody(rows), class_=listing.name, **{"aria-label": listing.name.capitalize()})


def task_link(frame: Frame, key: str, name: str = "") -> Tag:
    """
    The task with this key, as a link to its page if it is still monitored.

    :param name: how it was shown at the time; by default how it is shown now.
    """
    entry = frame.board.by_key(key)
    if entry is not None:
        return tags.a(shown(name or entry.name), href=f"{frame.root}task/{entry.task.id}")
    words = name or label_of(key).partition("://")[2] or name_of(key)
    return tags.span(shown(words), " ", tags.small("no longer monitored"))


def task_value(frame: Frame, key: str) -> str:
    """What the filter ``task`` must be to find this task: its id, which holds no secret."""
    entry = frame.board.by_key(key)
    return task_id(key) if entry is None else entry.task.id


def _labelled(name: str, words: str, field: Tag) -> Tag:
    return tags.div(tags.label(words, **{"for": f"f-{name}"}), field, class_="field")


def _of(frame: Frame, listing: Listing) -> list[Tag]:
    """The only task whose list it is, if the filter is a task's id."""
    entry = frame.board.by_id(listing.values.get("task", ""))
    return [] if entry is None else [tags.p("Only those of ", task_link(frame, entry.task.key), ".")]


def _form(listing: Listing, root: str, fields: list[Tag]) -> Tag:
    clear = tags.a("Show all", href=f"{root}{listing.name}", class_="clear")
    return tags.form(
        fields,
        ages(),
        tags.div(tags.button("Show", type="submit"), clear if listing.filtered else "", class_="field go"),
        action=f"{root}{listing.name}",
        method="get",
        class_="filters",
        id="filters",
        **{"aria-label": "Filter"},
    )


def _nothing(listing: Listing, root: str) -> Tag:
    if listing.values.get("before"):
        return tags.p("Nothing older. ", tags.a("Show the newest", href=listing.link(root, before="")), class_="plain")
    if listing.filtered:
        words = f"No {'incident' if listing.name == 'incidents' else 'delivery'} matches. "
        return tags.p(words, tags.a("Show all", href=f"{root}{listing.name}"), class_="plain", id="nothing")
    words = "No incidents yet: nothing has gone wrong." if listing.name == "incidents" else "No alerts yet."
    return tags.p(words, class_="plain")


def _pager(listing: Listing, root: str) -> list[Tag]:
    newest, older = listing.values.get("before"), listing.older
    if not newest and older is None:
        return []
    return [
        tags.nav(
            tags.a("← Newest", href=listing.link(root, before=""), rel="first") if newest else "",
            tags.a("Older →", href=listing.link(root, before=older), rel="next") if older is not None else "",
            class_="pager",
            id="pager",
            **{"aria-label": "Pages"},
        )
    ]


def _others(listing: Listing, root: str) -> list[Tag | str]:
    other = "deliveries" if listing.name == "incidents" else "incidents"
    feed = tags.a("Feed of incidents", href=f"{root}feed.atom")
    return [tags.a(other.capitalize(), href=f"{root}{other}"), ". ", feed, ". "]
