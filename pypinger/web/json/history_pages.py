"""
Pages of the history, as a query asks for them.

``/task/…/history`` and the like and the API serve the same pages.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlencode

import msgspec

from pypinger.ports.clock import WallClock
from pypinger.ports.history import History
from pypinger.ports.storing import StoreError
from pypinger.web.json.history import (
    DeliveryPage,
    HistoryPage,
    IncidentPage,
    cut_page,
    delivery_object,
    history_object,
    incident_object,
    paired,
)
from pypinger.web.json.query import limit_of, number_of, pair_of, read

#: The parameters of a page.
PARAMETERS = ("limit", "before")

#: The parts of a task's history.
PARTS = ("history", "incidents", "deliveries")


class HistoryPages:
    """
    Reads pages of a history.

    The `link` of a page begins its link to the next one: empty where a query alone suffices, else its own address.

    :param history: None if no history is kept.
    """

    def __init__(self, history: History | None, now: WallClock) -> None:
        self._history = history
        self._now = now

    async def part(self, name: str, task: str, query: str, link: str = "") -> bytes:
        """
        A page of one of the :data:`PARTS` of a task's history.

        :param task: its key.
        :param query: see :data:`PARAMETERS`.
        :raises BadQuery: `query` is invalid.
        :raises StoreError: the history cannot be read.
        """
        if name == "history":
            return await self.history(task, query, link)
        return await (self.incidents if name == "incidents" else self.deliveries)(task, query, link)

    async def history(self, task: str, query: str, link: str = "") -> bytes:
        """The results of a task's checks, the changes of its verdict, its latest runs, and its uptime."""
        values = read(query, PARAMETERS)
        limit, (run, change) = limit_of(values), pair_of(values, "before")
        store = self._store()
        # 0 is the end of one list, while the other one has more.
        runs, next_run = cut_page(() if run == 0 else await store.runs(task, run, limit + 1), limit)
        changes, next_change = cut_page(() if change == 0 else await store.verdicts(task, change, limit + 1), limit)
        gaps, uptime = await store.gaps(task, limit), await store.uptime(task, self._now())
        data = history_object(runs, changes, gaps, uptime)
        return msgspec.json.encode(HistoryPage(data, _next(link, limit, paired(next_run, next_change))))

    async def incidents(self, task: str | None, query: str, link: str = "") -> bytes:
        """Incidents of one task, or of all tasks."""
        values = read(query, PARAMETERS)
        limit, before = limit_of(values), number_of(values, "before")
        page, cursor = cut_page(await self._store().incidents(task, before, limit + 1), limit)
        return msgspec.json.encode(IncidentPage([incident_object(each) for each in page], _next(link, limit, cursor)))

    async def deliveries(self, task: str | None, query: str, link: str = "") -> bytes:
        """Deliveries of one task's alerts, or of all alerts."""
        values = read(query, PARAMETERS)
        limit, before = limit_of(values), number_of(values, "before")
        page, cursor = cut_page(await self._store().deliveries(task, before, limit + 1), limit)
        return msgspec.json.encode(DeliveryPage([delivery_object(each) for each in page], _next(link, limit, cursor)))

    def _store(self) -> History:
        if self._history is None:
            raise StoreError("no history is kept")
        return self._history


def next_page(values: Mapping[str, object], link: str = "") -> str:
    """The link to the next page, from this one, or from anywhere if `link` is an address."""
    return f"{link}?{urlencode(values)}"


def _next(link: str, limit: int, cursor: int | str | None) -> str | None:
    return None if cursor is None else next_page({"limit": limit, "before": cursor}, link)
