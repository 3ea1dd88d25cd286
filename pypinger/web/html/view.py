"""
The part of the overview that a request asks for: search, filter, grouping and page, all in the URL's query.

So a view can be linked, comes back with the browser's back button, and needs no script.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import urlencode

import msgspec
from msgspec.structs import replace

from pypinger.domain.kinds import Status
from pypinger.ports.showing import Entry
from pypinger.web.formatting import UNSEEN, standing_of, state_of

#: Tasks on a page of the overview.
PAGE = 100

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

#: What tasks can be grouped by, with the heading for tasks without it.
GROUPINGS: dict[str, str] = {"": "", "server": "No server", "process": "No process", "group": "No group"}

_RANKS = {standing: rank for rank, standing in enumerate(TITLES)}


class View(msgspec.Struct, frozen=True):
    """
    Which tasks are shown, and how.

    :ivar search: all of its words must occur in a row; letter case does not matter.
    :ivar status: a standing (see :mod:`pypinger.web.formatting`), or empty for all.
    :ivar by: what they are grouped by: ``server``, ``process``, ``group``, or empty for their status.
    :ivar page: from 1.
    """

    search: str = ""
    status: str = ""
    by: str = ""
    page: int = 1

    @property
    def link(self) -> str:
        """The URL of this view, relative to the overview."""
        members = {
            "q": self.search,
            "status": self.status,
            "by": self.by,
            "page": "" if self.page == 1 else str(self.page),
        }
        query = urlencode({name: value for name, value in members.items() if value})
        return f"./?{query}" if query else "./"

    def finds(self, entry: Entry) -> bool:
        """Whether the search finds a task."""
        text = _searched(entry)
        return all(word in text for word in self.search.casefold().split())

    def with_status(self, status: str) -> View:
        """This view, of another standing; of all if it is empty."""
        return replace(self, status=status, page=1)

    def with_grouping(self, by: str) -> View:
        """This view, grouped otherwise."""
        return replace(self, by=by, page=1)

    def with_page(self, page: int) -> View:
        """Another page of this view."""
        return replace(self, page=page)


class Group(msgspec.Struct, frozen=True):
    """
    Tasks under one heading.

    :ivar key: a valid ``id``, unique on the page.
    :ivar total: how many tasks there are on all pages; `entries` are those on this page.
    :ivar trouble: how many of all are in trouble.
    """

    key: str
    title: str
    total: int
    trouble: int
    entries: Sequence[Entry]


class Selection(msgspec.Struct, frozen=True):
    """
    The tasks of one view.

    :ivar view: the view, on a page that exists.
    :ivar counts: how many tasks of each standing the search found, filter aside.
    :ivar total: how many tasks the view has on all pages.
    :ivar pages: how many pages there are, at least 1.
    """

    view: View
    counts: Mapping[str, int]
    groups: Sequence[Group]
    total: int
    pages: int

    @property
    def entries(self) -> list[Entry]:
        """The tasks on this page, in order."""
        return [entry for group in self.groups for entry in group.entries]


def read(arguments: Mapping[bytes, Sequence[bytes]]) -> View:
    """The view that a query asks for; invalid parts are ignored."""

    def last(name: bytes) -> str:
        values = arguments.get(name)
        return values[-1].decode("utf-8", "replace") if values else ""

    by, page, status = last(b"by"), last(b"page"), last(b"status")
    return View(
        search=" ".join(last(b"q")[:MAX_SEARCH].split()),
        status=status if status in TITLES else "",
        by=by if by in GROUPINGS else "",
        page=max(1, int(page)) if page.isascii() and page.isdigit() and len(page) < 7 else 1,
    )


def _searched(entry: Entry) -> str:
    """The texts of a row. The URL is not among them, since its query may be a secret."""
    task, state = entry.task, entry.state
    texts = [entry.name, task.label, task.group, state_of(entry)]
    if state.verdict is not None:
        texts.append(state.verdict.explanation)
    if state.report is not None:
        texts += state.report.process or "", state.report.server or ""
    # The words of the flags, without the time, which would have to be worked out for each.
    if entry.muted is not None:
        texts += "silenced", entry.muted.by, entry.muted.reason
    if state.incident is not None and (taken := state.incident.acknowledged) is not None:
        texts += "acknowledged", taken.by, taken.reason
    if state.incident is not None and state.incident.flapping:
        texts.append("flapping")
    return "\n".join(texts).casefold()


def select(entries: Sequence[Entry], view: View) -> Selection:
    """
    Select the tasks of a view: trouble first, and within a standing in the order of the ini file.

    :param entries: the tasks that the search finds, see :meth:`View.finds`.
    """
    counts = dict.fromkeys(TITLES, 0)
    for entry in entries:
        counts[standing_of(entry)] += 1
    if view.status:
        entries = [entry for entry in entries if standing_of(entry) == view.status]
    entries = sorted(entries, key=lambda entry: _RANKS[standing_of(entry)])
    pages = max(1, -(-len(entries) // PAGE))
    view = view.with_page(min(view.page, pages))
    start = (view.page - 1) * PAGE
    groups: list[Group] = []
    passed = 0
    for key, title, members in _grouped(entries, view.by):
        shown = members[max(0, start - passed) : max(0, start + PAGE - passed)]
        passed += len(members)
        if shown:
            trouble = sum(1 for entry in members if entry.state.status is Status.ERROR)
            groups.append(Group(key, title, len(members), trouble, shown))
    return Selection(view, counts, groups, len(entries), pages)


def _grouped(entries: Sequence[Entry], by: str) -> list[tuple[str, str, list[Entry]]]:
    """All groups as (key, title, tasks), those with trouble first, then by title."""
    if not by:
        gathered: dict[str, list[Entry]] = {}
        for entry in entries:
            gathered.setdefault(standing_of(entry), []).append(entry)
        return [(standing, TITLES[standing], members) for standing, members in gathered.items()]
    named: dict[str, list[Entry]] = {}
    for entry in entries:
        holder = entry.task if by == "group" else entry.state.report
        named.setdefault(getattr(holder, by, None) or "", []).append(entry)

    def order(title: str) -> tuple[bool, bool, str, str]:
        return named[title][0].state.status is not Status.ERROR, not title, title.casefold(), title

    return [
        (f"{by}-{place}", title or GROUPINGS[by], named[title]) for place, title in enumerate(sorted(named, key=order))
    ]
