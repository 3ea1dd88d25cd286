"""Answers to ``/incidents`` and ``/deliveries``, and to the same parts of one task, as JSON and HTML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus

import msgspec
from twisted.internet.task import Cooperator
from twisted.web.server import Request

from pypinger.ports.history import History, PastDelivery, PastIncident
from pypinger.ports.showing import Entry
from pypinger.ports.storing import StoreError
from pypinger.web.html import delivery_list, incident_list
from pypinger.web.html.listing import Frame, Listing
from pypinger.web.json.history import DeliveryPage, IncidentPage, cut_page, delivery_object, incident_object
from pypinger.web.json.history_pages import PARAMETERS, next_page
from pypinger.web.json.query import BadQuery, limit_of, number_of, read
from pypinger.web.past.filters import DELIVERY_FILTERS, INCIDENT_FILTERS, FilterReader
from pypinger.web.sources import Sources

#: The lists, and the parameters of their filters.
LISTS: Mapping[str, tuple[str, ...]] = {"incidents": INCIDENT_FILTERS, "deliveries": DELIVERY_FILTERS}


class PastPages:
    """
    Makes pages of the lists.

    :param static: name -> path of the static files.
    """

    def __init__(self, sources: Sources, cooperator: Cooperator, static: Mapping[str, str]) -> None:
        self._board = sources.board
        self._history = sources.history
        self._now = sources.now
        self._static = static
        self._filters = FilterReader(sources.board, cooperator)

    async def json(self, name: str, query: str) -> bytes:
        """
        A page of one of the :data:`LISTS` as JSON.

        :raises BadQuery: `query` is invalid.
        :raises StoreError: the history cannot be read.
        """
        values = _values(name, query)
        limit, store = limit_of(values), self._store()
        page: IncidentPage | DeliveryPage
        if name == "incidents":
            incidents, older = await self._incidents(values, store)
            page = IncidentPage([incident_object(each) for each in incidents], _next(values, limit, older))
        else:
            deliveries, older = await self._deliveries(values, store)
            page = DeliveryPage([delivery_object(each) for each in deliveries], _next(values, limit, older))
        return msgspec.json.encode(page)

    async def html(
        self, request: Request, name: str, query: str, root: str, of: Entry | None = None
    ) -> tuple[bytes, bytes]:
        """
        A page of one of the :data:`LISTS`, and its entity tag; what is wrong is on the page.

        :param root: the link to the overview.
        :param of: the only task that is wanted.
        """
        frame = Frame(request, self._board, self._now(), root, self._static)
        values: Mapping[str, str] = {}
        try:
            values = {**_values(name, query), **({} if of is None else {"task": of.task.id})}
            return await self._html(frame, name, values)
        except BadQuery as error:
            status, words = HTTPStatus.BAD_REQUEST, str(error)
        except StoreError as error:
            status, words = HTTPStatus.SERVICE_UNAVAILABLE, f"The history cannot be read: {error}"
        request.setResponseCode(status.value)
        listing = Listing(name, values, problem=words)
        if name == "incidents":
            return await incident_list.page_of(frame, listing, ())
        return await delivery_list.page_of(frame, listing, (), ())

    async def _html(self, frame: Frame, name: str, values: Mapping[str, str]) -> tuple[bytes, bytes]:
        store = self._store()
        if name == "incidents":
            incidents, older = await self._incidents(values, store)
            return await incident_list.page_of(frame, Listing(name, values, older), incidents)
        deliveries, older = await self._deliveries(values, store)
        return await delivery_list.page_of(frame, Listing(name, values, older), deliveries, await store.channels())

    async def _incidents(self, values: Mapping[str, str], store: History) -> tuple[Sequence[PastIncident], int | None]:
        limit, before = limit_of(values), number_of(values, "before")
        which = await self._filters.incidents(values, store, self._now())
        return cut_page(await store.incidents(None, before, limit + 1, which), limit)

    async def _deliveries(self, values: Mapping[str, str], store: History) -> tuple[Sequence[PastDelivery], int | None]:
        limit, before = limit_of(values), number_of(values, "before")
        which = await self._filters.deliveries(values, store, self._now())
        return cut_page(await store.deliveries(None, before, limit + 1, which), limit)

    def _store(self) -> History:
        if self._history is None:
            raise StoreError("no history is kept")
        return self._history


def _values(name: str, query: str) -> Mapping[str, str]:
    """
    The parameters that have a value.

    :raises BadQuery: there is an unknown one, or one twice.
    """
    return {key: value for key, value in read(query, (*LISTS[name], *PARAMETERS)).items() if value}


def _next(values: Mapping[str, str], limit: int, older: int | None) -> str | None:
    return None if older is None else next_page({**values, "limit": limit, "before": older})
