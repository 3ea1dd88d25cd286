"""
``/api/v1``: the API for programs, as :mod:`pypinger.web.json.openapi` describes it.

Unlike under ``/task/…``, the status code says nothing about the task, only about the request.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from urllib.parse import unquote

import msgspec

from pypinger.ports.showing import Entry, TaskBoard
from pypinger.web.json import objects
from pypinger.web.json.history_pages import PARTS, HistoryPages, next_page
from pypinger.web.json.openapi import STATUSES, InstanceList, StateObject, description
from pypinger.web.json.query import BadQuery, limit_of, number_of, read


class NotFound(Exception):
    """There is no such path or task; ``str()`` of it says which is missing."""


class Api:
    """
    Answers the operations of the API.

    Links to next pages are queries alone, so that they hold under any prefix that a proxy may add.

    :param row: the JSON of one task.
    """

    def __init__(self, board: TaskBoard, pages: HistoryPages, row: Callable[[Entry], bytes]) -> None:
        self._board = board
        self._pages = pages
        self._row = row
        self._plain: dict[str, Callable[[str], Awaitable[bytes]]] = {
            "tasks": self._tasks,
            "incidents": lambda query: pages.incidents(None, query),
            "deliveries": lambda query: pages.deliveries(None, query),
            "instances": self._instances,
            "status": self._status,
        }

    async def answer(self, target: str, root: str) -> bytes:
        """
        The body for a request.

        :param target: what follows ``/api/v1/``, query included, exactly as it was sent.
        :param root: the path of the overview as clients see it; ends with a slash.
        :raises NotFound: there is no such path or task.
        :raises BadQuery: the query is invalid.
        :raises StoreError: the store cannot be read.
        """
        path, _, query = target.partition("?")
        if path == "openapi.json":
            read(query, ())
            return description(root)
        plain = self._plain.get(path)
        if plain is not None:
            return await plain(query)
        kind, _, rest = path.partition("/")
        task_id, slash, part = rest.partition("/")
        if kind != "tasks" or (slash and part not in PARTS):
            raise NotFound("there is no such path; /api/v1/openapi.json lists all paths")
        entry = self._board.by_id(unquote(task_id))
        if entry is None:
            raise NotFound("no task has this id")
        if slash:
            return await self._pages.part(part, entry.task.key, query)
        read(query, ())
        return objects.one_task(self._row(entry))

    async def _tasks(self, query: str) -> bytes:
        values = read(query, ("status", "limit", "cursor"))
        limit, start = limit_of(values), number_of(values, "cursor") or 0
        wanted = values.get("status")
        if wanted is not None and wanted not in STATUSES:
            raise BadQuery(f"status must be one of {', '.join(STATUSES)}")
        # The cursor counts all tasks: between two pages tasks may change their status, but not their place.
        rows: list[bytes] = []
        entries = self._board.entries()
        for place in range(start, len(entries)):
            entry = entries[place]
            if wanted is None or entry.state.status is STATUSES[wanted]:
                if len(rows) == limit:
                    asked = {} if wanted is None else {"status": wanted}
                    return _list(rows, next_page({**asked, "limit": limit, "cursor": place}))
                rows.append(self._row(entry))
        return _list(rows, None)

    async def _instances(self, query: str) -> bytes:
        read(query, ())
        return msgspec.json.encode(InstanceList(objects.instance_objects(self._board.daemon().sharing)))

    async def _status(self, query: str) -> bytes:
        read(query, ())
        return msgspec.json.encode(StateObject(objects.self_object(self._board.daemon())))


def _list(rows: list[bytes], link: str | None) -> bytes:
    return b'{"data":[' + b",".join(rows) + b'],"next":' + msgspec.json.encode(link) + b"}"
