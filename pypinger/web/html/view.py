"""
The part of the overview that a request asks for: search, filter, grouping, order and page, all in the URL's query.

So a view can be linked, comes back with the browser's back button, and needs no script.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from urllib.parse import urlencode

import msgspec
from msgspec.structs import replace

from pypinger.domain.moments import due_of
from pypinger.ports.showing import Entry
from pypinger.web.formatting import UNSEEN, standing_of, state_of
from pypinger.web.html.flags import MAINTENANCE
from pypinger.web.html.groups import GROUPINGS, Group, grouped
from pypinger.web.html.storms import storm_key, storms

#: Tasks on a page of the overview, and on one of the wall.
PAGE = 100
WALL_PAGE = 1000

#: Characters of a search that count.
MAX_SEARCH = 200

#: The standings by importance, with the headings of their groups.
TITLES: dict[str, str] = {
    "error": "In trouble",
    UNSEEN: "Not seen",
    "sleeping": "Sleeping",
    "ok": "On time",
    "new": "Not checked yet",
}

#: The other orders, in words. The first order is by status, newest trouble first.
ORDERS: dict[str, str] = {
    "": "newest trouble",
    "oldest": "longest trouble",
    "name": "name",
    "lastrun": "last run",
    "due": "due",
}

_RANKS = {standing: rank for rank, standing in enumerate(TITLES)}
_NEVER = float("-inf")
_LAST = float("inf")


class View(msgspec.Struct, frozen=True):
    """
    Which tasks are shown, and how.

    :ivar search: all of its words must occur in a row; letter case does not matter.
    :ivar status: a standing (see :mod:`pypinger.web.formatting`), or empty for all.
    :ivar by: what they are grouped by: ``server``, ``process``, ``group``, ``instance``, or empty for nothing.
    :ivar sort: one of :data:`ORDERS`.
    :ivar wall: whether the tasks are shown as small tiles.
    :ivar storm: the key of a storm (:mod:`pypinger.web.html.storms`) whose tasks are shown alone, or empty.
    :ivar page: from 1.
    """

    search: str = ""
    status: str = ""
    by: str = ""
    page: int = 1
    sort: str = ""
    wall: bool = False
    storm: str = ""

    @property
    def link(self) -> str:
        """The URL of this view, relative to the overview."""
        query = urlencode({name: value for name, value in self.members.items() if value})
        return f"./?{query}" if query else "./"

    @property
    def members(self) -> dict[str, str]:
        """The members of the query; empty ones are left out of it."""
        return {
            "q": self.search,
            "status": self.status,
            "by": self.by,
            "sort": self.sort,
            "view": "wall" if self.wall else "",
            "storm": self.storm,
            "page": "" if self.page == 1 else str(self.page),
        }

    @property
    def size(self) -> int:
        """Tasks on a page."""
        return WALL_PAGE if self.wall else PAGE

    def finds(self, entry: Entry) -> bool:
        """Whether the search finds a task."""
        text = _searched(entry)
        return all(word in text for word in self.search.casefold().split())

    def with_status(self, status: str) -> View:
        """This view, of another standing; of all if it is empty."""
        return replace(self, status=status, page=1, storm="")

    def with_grouping(self, by: str) -> View:
        """This view, grouped otherwise."""
        return replace(self, by=by, page=1)

    def with_sort(self, sort: str) -> View:
        """This view in another order."""
        return replace(self, sort=sort, page=1)

    def with_page(self, page: int) -> View:
        """Another page of this view."""
        return replace(self, page=page)


class Selection(msgspec.Struct, frozen=True):
    """
    The tasks of one view.

    :ivar view: the view, on a page that exists.
    :ivar counts: how many tasks of each standing the search found, filter aside.
    :ivar total: how many tasks the view has on all pages.
    :ivar first: the number of the first task on this page, from 1, and `last` of the last.
    :ivar pages: how many pages there are, at least 1.
    """

    view: View
    counts: Mapping[str, int]
    groups: Sequence[Group]
    total: int
    pages: int
    first: int
    last: int

    @property
    def entries(self) -> list[Entry]:
        """The tasks on this page, in order."""
        return [entry for group in self.groups for entry in group.entries]


def read(arguments: Mapping[bytes, Sequence[bytes]]) -> View:
    """The view that a query asks for; invalid parts are ignored."""

    def last(name: bytes) -> str:
        values = arguments.get(name)
        return values[-1].decode("utf-8", "replace") if values else ""

    by, page, status, sort, storm = (last(name) for name in (b"by", b"page", b"status", b"sort", b"storm"))
    return View(
        search=" ".join(last(b"q")[:MAX_SEARCH].split()),
        status=status if status in TITLES else "",
        by=by if by in GROUPINGS else "",
        page=max(1, int(page)) if page.isascii() and page.isdigit() and len(page) < 7 else 1,
        sort=sort if sort in ORDERS else "",
        wall=last(b"view") == "wall",
        storm=storm if len(storm) == 8 and storm.isascii() and storm.isalnum() else "",
    )


def _searched(entry: Entry) -> str:
    """The texts of a row. The URL is not among them, since its query may be a secret."""
    task, state = entry.task, entry.state
    texts = [entry.name, task.label, task.group, state_of(entry)]
    if state.verdict is not None:
        texts.append(state.verdict.explanation)
    if state.report is not None:
        texts += state.report.process or "", state.report.server or "", "running" if state.report.running else ""
    # The words of the flags, without the time, which would have to be worked out for each.
    if entry.muted is not None:
        word = "" if entry.muted.source.startswith(MAINTENANCE) else "silenced"
        texts += word, entry.muted.source, entry.muted.by, entry.muted.reason
    if state.incident is not None and (taken := state.incident.acknowledged) is not None:
        texts += "acknowledged", taken.by, taken.reason
    if state.incident is not None and state.incident.flapping:
        texts.append("flapping")
    return "\n".join(texts).casefold()


def select(entries: Sequence[Entry], view: View) -> Selection:
    """
    Select the tasks of a view.

    :param entries: the tasks that the search finds, see :meth:`View.finds`, in the order of the ini file.
    """
    counts = dict.fromkeys(TITLES, 0)
    for entry in entries:
        counts[standing_of(entry)] += 1
    if view.status:
        entries = [entry for entry in entries if standing_of(entry) == view.status]
    if view.storm:
        entries = [
            entry for entry in entries if standing_of(entry) == "error" and (storm_key(entry) or "") == view.storm
        ]
    entries = sorted(entries, key=_BY[view.sort])
    if view.by:
        groups = grouped(entries, view.by, folds=not (view.search or view.status or view.wall))
    else:
        groups = _storms_folded(entries, view)
    pages = _in_pages(groups, view.size)
    view = view.with_page(min(view.page, len(pages)))
    before = sum(_tasks(page) for page in pages[: view.page - 1])
    shown = pages[view.page - 1]
    return Selection(view, counts, shown, len(entries), len(pages), before + 1, before + _tasks(shown))


def _in_pages(groups: Sequence[Group], size: int) -> list[list[Group]]:
    """The groups of each page; there is at least one. A storm stays whole."""
    pages: list[list[Group]] = [[]]
    room = size
    for group in groups:
        at = 0
        while at < len(group.entries):
            if room <= 0:
                pages.append([])
                room = size
            part = group.entries[at : len(group.entries) if group.storm else at + room]
            pages[-1].append(replace(group, entries=part))
            at, room = at + len(part), room - len(part)
    return pages


def _tasks(groups: Sequence[Group]) -> int:
    """How many tasks a page shows, those that a storm only counts included."""
    return sum(group.total if group.storm else len(group.entries) for group in groups)


def _importance(entry: Entry) -> tuple[int, float]:
    """Trouble first, the newest before all; others in the order of the ini file."""
    standing = standing_of(entry)
    since = entry.state.since if standing == "error" else entry.unseen
    return _RANKS[standing], 0.0 if since is None else -since


def _longest(entry: Entry) -> tuple[int, float]:
    rank, since = _importance(entry)
    return rank, -since


def _lastrun(entry: Entry) -> float:
    report = entry.state.report
    return _LAST if report is None or report.lastrun is None else -report.lastrun


def _due(entry: Entry) -> float:
    due = due_of(entry.task, entry.state)
    return _LAST if due is None else due


_BY: dict[str, Callable[[Entry], tuple[int, float] | float | str]] = {
    "": _importance,
    "oldest": _longest,
    "name": lambda entry: entry.name.casefold(),
    "lastrun": _lastrun,
    "due": _due,
}


def _storms_folded(entries: Sequence[Entry], view: View) -> list[Group]:
    """
    All tasks in their order, with one group for each storm in place of its newest task.

    On the wall those that are fine are a group of their own.
    """
    found = {} if view.search or view.sort or view.storm else storms(entries)
    groups: list[Group] = []
    plain: list[Entry] = []
    key, title, placed = "tasks", "Tasks", set[str]()
    apart = view.wall and not view.sort

    def close() -> None:
        if plain:
            groups.append(Group(key, title, len(plain), 0, tuple(plain), bare=True))
            plain.clear()

    for entry in entries:
        storm = found.get(entry.task.id)
        if apart and standing_of(entry) not in ("error", UNSEEN):
            close()
            key, title, apart = "tasks-fine", "Tasks that are fine", False
        if storm is None:
            plain.append(entry)
        elif storm.key not in placed:
            close()
            placed.add(storm.key)
            groups.append(Group(f"storm-{storm.key}", storm.words, storm.total, storm.total, storm.first, storm=storm))
            key, title = f"tasks-{storm.key}", f"Tasks after {storm.words}"
    close()
    return groups
