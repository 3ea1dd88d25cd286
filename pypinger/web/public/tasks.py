"""The tasks of the public page, and what is public of each: see Note [What is public] in the package."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
from twisted.internet.task import Cooperator
from twisted.logger import Logger

from pypinger.domain.model import Instant, Seconds
from pypinger.domain.selector import Selector, subject_of
from pypinger.domain.times import DAY
from pypinger.ports.history import Day, History, IncidentFilter
from pypinger.ports.showing import Entry, TaskBoard
from pypinger.ports.storing import StoreError
from pypinger.web.formatting import UNSEEN, standing_of
from pypinger.web.serving.slicing import in_slices

#: Tasks on a page, and incidents.
PAGE = 100
INCIDENTS = 50

#: Seconds for which a task's uptime is cached: the page may have many readers.
LASTING: Seconds = 60.0

#: The periods of uptime, in seconds.
PERIODS: Mapping[str, Seconds] = {"24h": DAY, "7d": 7 * DAY, "30d": 30 * DAY, "90d": 90 * DAY}

_log = Logger()


class PublicUptime(msgspec.Struct, frozen=True):
    """
    The uptime of a task.

    :ivar shares: period -> the fraction of the time in which it was on time; None where that is not known.
    :ivar begins: when what is known begins.
    :ivar days: the last 90 days.
    """

    shares: Mapping[str, float | None]
    begins: Instant | None
    days: Sequence[Day]


class PublicIncident(msgspec.Struct, frozen=True):
    """
    An incident.

    :ivar name: the task's configured name.
    :ivar ended: None while it is open.
    """

    name: str
    started: Instant
    ended: Instant | None


class PublicTask(msgspec.Struct, frozen=True):
    """
    A task.

    :ivar name: the configured one.
    :ivar standing: see :mod:`pypinger.web.formatting`.
    :ivar since: when its open incident began; None without one.
    :ivar uptime: None without a history.
    """

    name: str
    standing: str
    since: Instant | None
    uptime: PublicUptime | None


class PublicPart(msgspec.Struct, frozen=True):
    """
    One page.

    :ivar counts: how many tasks of each standing there are on all pages.
    :ivar pages: how many pages there are, at least 1.
    :ivar blind: since when the states may be outdated; None if they are not.
    """

    tasks: Sequence[PublicTask]
    incidents: Sequence[PublicIncident]
    counts: Mapping[str, int]
    page: int
    pages: int
    blind: Instant | None


class PublicReader:
    """
    Reads the tasks of the public page.

    :param history: None if no history is kept.
    :param cooperator: shares out the time while the selector looks at many tasks.
    """

    def __init__(self, board: TaskBoard, history: History | None, cooperator: Cooperator) -> None:
        self._board = board
        self._cooperator = cooperator
        self._history = history
        self._kept: dict[str, tuple[Instant, PublicUptime]] = {}

    async def read(self, selector: Selector, page: int, now: Instant) -> PublicPart:
        """
        Return one page.

        :param page: from 1; beyond the end the last one.
        """
        named = [entry for entry in self._board.entries() if entry.task.named]
        hits = await in_slices(
            lambda entry: selector.matches(subject_of(entry.task, entry.state)), named, self._cooperator
        )
        entries = sorted((entry for entry, hit in zip(named, hits, strict=True) if hit), key=_order)
        counts: dict[str, int] = {}
        for entry in entries:
            standing = standing_of(entry)
            counts[standing] = counts.get(standing, 0) + 1
        pages = max(1, -(-len(entries) // PAGE))
        page = min(page, pages)
        shown = entries[(page - 1) * PAGE : page * PAGE]
        uptimes, incidents = await self._past(shown, entries, now)
        self._forget(entries)
        tasks = [
            PublicTask(
                entry.task.name,
                standing_of(entry),
                None if entry.state.incident is None else entry.state.incident.started,
                uptimes.get(entry.task.id),
            )
            for entry in shown
        ]
        return PublicPart(tasks, incidents, counts, page, pages, self._board.daemon().blind)

    async def _past(
        self, shown: Sequence[Entry], entries: Sequence[Entry], now: Instant
    ) -> tuple[Mapping[str, PublicUptime], Sequence[PublicIncident]]:
        if self._history is None:
            return {}, ()
        names = {entry.task.key: entry.task.name for entry in entries}
        try:
            uptimes = {entry.task.id: await self._uptime(self._history, entry, now) for entry in shown}
            found = await self._history.incidents(limit=INCIDENTS, which=IncidentFilter(tasks=frozenset(names)))
        except StoreError as error:
            _log.warn("the public page is shown without the past: {error}", error=str(error))
            return {}, ()
        incidents = [each for each in found if each.task in names]
        return uptimes, [PublicIncident(names[each.task], each.started, each.ended) for each in incidents]

    async def _uptime(self, history: History, entry: Entry, now: Instant) -> PublicUptime:
        kept = self._kept.get(entry.task.id)
        if kept is not None and 0 <= now - kept[0] < LASTING:
            return kept[1]
        key = entry.task.key
        shares, begins = await history.uptime(key, now), await history.beginning(key)
        made = PublicUptime(shares, begins, await history.days(key, now))
        self._kept[entry.task.id] = now, made
        return made

    def _forget(self, entries: Sequence[Entry]) -> None:
        if len(self._kept) > len(entries):
            ids = {entry.task.id for entry in entries}
            self._kept = {task_id: kept for task_id, kept in self._kept.items() if task_id in ids}


def _order(entry: Entry) -> tuple[int, Instant]:
    """The newest trouble first, then what is not seen, then the rest in the order of the ini file."""
    standing, incident = standing_of(entry), entry.state.incident
    if standing == "error":
        return 0, 0.0 if incident is None else -incident.started
    return (1, 0.0) if standing == UNSEEN else (2, 0.0)
