"""
Storms: tasks of one origin that are in trouble for the same cause. The overview shows each as one line.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache
from hashlib import blake2b

import msgspec

from pypinger.domain.kinds import Kind
from pypinger.domain.model import Instant
from pypinger.domain.reasons import cause
from pypinger.ports.showing import Entry
from pypinger.web.formatting import standing_of

#: How many tasks are a storm.
MANY = 10

#: How many of its tasks are listed when it is unfolded; the others are a link away.
LISTED = 20

_DEFAULT_PORT = re.compile(r"(http://.*):80|(https://.*):443")
_SERVER = re.compile(r"[^/]*//[^/?#]*/")


class Storm(msgspec.Struct, frozen=True):
    """
    A storm.

    :ivar key: stays the same while its cause and origin do.
    :ivar cause: ``HTTP 503``.
    :ivar origin: ``https://h``.
    :ivar selector: selects every task of the origin whose URL begins like one of the storm's.
    :ivar began: since when the first of its tasks is in trouble, and `latest` the last; None if unknown.
    :ivar first: the first tasks in their order, at most :data:`LISTED`.
    :ivar silenced: how many are silenced; `acknowledged`: how many incidents are.
    """

    key: str
    cause: str
    origin: str
    selector: str
    total: int
    began: Instant | None
    latest: Instant | None
    first: tuple[Entry, ...]
    silenced: int
    acknowledged: int

    @property
    def words(self) -> str:
        """``3,000 × HTTP 503 on https://h``."""
        return f"{self.total:,} × {self.cause} on {self.origin}"


def storms(entries: Sequence[Entry]) -> Mapping[str, Storm]:
    """
    Task id -> the storm that the task belongs to.

    :param entries: in their order.
    """
    troubled = [entry for entry in entries if standing_of(entry) == "error"]
    if len(troubled) < MANY:
        return {}
    members: dict[tuple[str, str], list[Entry]] = {}
    for entry in troubled:
        if (common := _common(entry)) is not None:
            members.setdefault(common, []).append(entry)
    found: dict[str, Storm] = {}
    for (words, origin), each in members.items():
        if len(each) >= MANY:
            storm = _storm(words, origin, each)
            found.update((entry.task.id, storm) for entry in each)
    return found


def storm_key(entry: Entry) -> str | None:
    """The key of the storm that a task in trouble belongs to, if there is one."""
    common = _common(entry)
    return None if common is None else _key(*common)


def _storm(words: str, origin: str, entries: Sequence[Entry]) -> Storm:
    since = [entry.state.since for entry in entries if entry.state.since is not None]
    counts = Counter(
        acknowledged=sum(
            entry.state.incident is not None and entry.state.incident.acknowledged is not None for entry in entries
        ),
        silenced=sum(entry.muted is not None for entry in entries),
    )
    return Storm(
        key=_key(words, origin),
        cause=words,
        origin=origin,
        selector=_selector(entries),
        total=len(entries),
        began=min(since, default=None),
        latest=max(since, default=None),
        first=tuple(entries[:LISTED]),
        silenced=counts["silenced"],
        acknowledged=counts["acknowledged"],
    )


def _common(entry: Entry) -> tuple[str, str] | None:
    """A task's cause and origin; None without an origin."""
    task, state = entry.task, entry.state
    origin = _origin(task.origin or "/".join(task.label.split("/", 3)[:3]))
    if "://" not in origin or state.verdict is None:
        return None
    reported = None if state.report is None or state.kind is not Kind.FAILED else state.report.reason
    return _cause(state.kind, "" if state.kind is Kind.LATE else state.verdict.explanation, reported), origin


def _selector(entries: Sequence[Entry]) -> str:
    """
    Select the origin by how their URLs begin: one server can be written as ``http://h/`` and as ``http://h:80/``.

    A URL without a path is selected by the task's id. Selectors ignore the case of letters.
    """
    begins = ((entry, _SERVER.match(entry.task.url or "")) for entry in entries)
    words = {entry.task.id if match is None else f"url:{match[0].lower()}*" for entry, match in begins}
    # Ids first, as a prefix holds for the words after it.
    return "|".join(sorted(words, key=lambda word: (":" in word, word)))


_cause = lru_cache(maxsize=8192)(cause)


@lru_cache(maxsize=1024)
def _origin(origin: str) -> str:
    match = _DEFAULT_PORT.fullmatch(origin)
    return origin if match is None else match[1] or match[2]


@lru_cache(maxsize=8192)
def _key(words: str, origin: str) -> str:
    return blake2b(f"{words}\n{origin}".encode("utf-8", "replace"), digest_size=4).hexdigest()
