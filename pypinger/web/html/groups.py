"""What tasks of the overview can be grouped by, and their groups."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b

import msgspec

from pypinger.domain.kinds import Status
from pypinger.ports.showing import Entry
from pypinger.web.formatting import standing_of
from pypinger.web.html.storms import Storm

#: What tasks can be grouped by, with the heading for tasks without it.
GROUPINGS: dict[str, str] = {
    "": "",
    "server": "No server",
    "process": "No process",
    "group": "No group",
    "instance": "No instance",
}


class Group(msgspec.Struct, frozen=True):
    """
    Tasks under one heading.

    :ivar key: a valid ``id``, unique on the page.
    :ivar title: its heading.
    :ivar bare: whether the heading is for screen readers alone.
    :ivar total: how many tasks there are on all pages; `entries` are those on this page.
    :ivar trouble: how many of all are in trouble.
    :ivar folded: whether they are all fine, and shown only when unfolded.
    :ivar storm: what they have in common; `entries` are the first of them.
    """

    key: str
    title: str
    total: int
    trouble: int
    entries: Sequence[Entry]
    bare: bool = False
    folded: bool = False
    storm: Storm | None = None


def group_key(by: str, title: str) -> str:
    """The ``id`` of the group of tasks that have `title` in common."""
    return f"{by}-{blake2b(title.encode('utf-8', 'replace'), digest_size=4).hexdigest()}"


def _title(entry: Entry, by: str) -> str:
    if by == "instance":
        return entry.owner or ""
    holder = entry.task if by == "group" else entry.state.report
    return getattr(holder, by, None) or ""


def grouped(entries: Sequence[Entry], by: str, *, folds: bool) -> list[Group]:
    """
    The groups: those with trouble first, then by title.

    :param by: one of :data:`GROUPINGS`.
    :param folds: whether what is all fine is folded.
    """
    named: dict[str, list[Entry]] = {}
    for entry in entries:
        named.setdefault(_title(entry, by), []).append(entry)
    troubles = {title: sum(entry.state.status is Status.ERROR for entry in members) for title, members in named.items()}
    fine = {
        title: folds and all(standing_of(entry) in ("ok", "sleeping") for entry in members)
        for title, members in named.items()
    }

    def order(title: str) -> tuple[bool, bool, bool, str, str]:
        return not troubles[title], fine[title], not title, title.casefold(), title

    return [
        Group(
            group_key(by, title),
            title or GROUPINGS[by],
            len(named[title]),
            troubles[title],
            named[title],
            folded=fine[title],
        )
        for title in sorted(named, key=order)
    ]
