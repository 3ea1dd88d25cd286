"""
Pages of what was kept, read from the store by what a query asks for.

The same pages are served for a task's URL (``/task/…/history``) and by the API; shapes are :mod:`pypinger.web.json.history`'s.
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


class Archive:
    """
    What was kept, in pages.

    Each page is told its own `link`, for the one to the next: empty where that can be a query alone, else its address.

    :param history: where it is kept; None if nothing is.
    """

    #: What there is of a task.
    PARTS = ("history", "incidents", "deliveries")

    def __init__(self, history: History | None, now: WallClock) -> None:
        self._history = history
        self._now = now

    async def part(self, name: str, url: str, query: str, link: str = "") -> bytes:
        """
        One page of one of the :attr:`PARTS` of a task.

        :param query: what the client wants, see :data:`PARAMETERS`.
        :raises BadQuery: `query` is not sound.
        :raises StoreError: it cannot be read now.
        """
        if name == "history":
            return await self.history(url, query, link)
        return await (self.incidents if name == "incidents" else self.deliveries)(url, query, link)

    async def history(self, url: str, query: str, link: str = "") -> bytes:
        """What the checks of a task found, how its verdict changed, its latest runs, and its uptime."""
        values = read(query, PARAMETERS)
        limit, (run, change) = limit_of(values), pair_of(values, "before")
        store = self._store()
        # 0 is the end of a list, which goes on being asked for while the other one has more.
        runs, next_run = cut_page(() if run == 0 else await store.runs(url, run, limit + 1), limit)
        changes, next_change = cut_page(() if change == 0 else await store.verdicts(url, change, limit + 1), limit)
        gaps, uptime = await store.gaps(url, limit), await store.uptime(url, self._now())
        data = history_object(runs, changes, gaps, uptime)
        return msgspec.json.encode(HistoryPage(data, _next(link, limit, paired(next_run, next_change))))

    async def incidents(self, url: str | None, query: str, link: str = "") -> bytes:
        """Incidents of one task, or of all."""
        values = read(query, PARAMETERS)
        limit, before = limit_of(values), number_of(values, "before")
        page, cursor = cut_page(await self._store().incidents(url, before, limit + 1), limit)
        return msgspec.json.encode(IncidentPage([incident_object(each) for each in page], _next(link, limit, cursor)))

    async def deliveries(self, url: str | None, query: str, link: str = "") -> bytes:
        """Deliveries of one task's alerts, or of all alerts."""
        values = read(query, PARAMETERS)
        limit, before = limit_of(values), number_of(values, "before")
        page, cursor = cut_page(await self._store().deliveries(url, before, limit + 1), limit)
        return msgspec.json.encode(DeliveryPage([delivery_object(each) for each in page], _next(link, limit, cursor)))

    def _store(self) -> History:
        if self._history is None:
            raise StoreError("no history is kept")
        return self._history


def next_page(values: Mapping[str, object], link: str = "") -> str:
    """What leads to the next page from this one, or from anywhere if its address is given."""
    return f"{link}?{urlencode(values)}"


def _next(link: str, limit: int, cursor: int | str | None) -> str | None:
    return None if cursor is None else next_page({"limit": limit, "before": cursor}, link)
