"""
The JSON overview.

Each task's JSON is kept until its state changes: encoding thousands of tasks for each request takes too long.
"""

from __future__ import annotations

from collections.abc import Sequence

from twisted.internet.task import Cooperator

from pypinger.ports.showing import Entry, TaskBoard
from pypinger.web.json import objects
from pypinger.web.serving.responses import etag_of
from pypinger.web.serving.slicing import Shared, in_slices


class JsonTasks:
    """
    The JSON of all tasks, and of each.

    :param cooperator: shares out the time while many rows are made.
    """

    def __init__(self, board: TaskBoard, cooperator: Cooperator) -> None:
        self._board = board
        self._cooperator = cooperator
        self._shared: Shared[tuple[bytes, bytes]] = Shared(cooperator)
        self._kept: dict[str, tuple[Entry, bytes]] = {}

    def of(self, entry: Entry) -> bytes:
        """The JSON of one task."""
        kept = self._kept.get(entry.task.id)
        # Entries are frozen, so the JSON is true as long as they are the same objects.
        if kept is not None and (kept[0] is entry or _equal(kept[0], entry)):
            return kept[1]
        row = objects.task_row(entry)
        self._kept[entry.task.id] = entry, row
        return row

    async def overview(self) -> tuple[bytes, bytes]:
        """The answer to ``GET /``, and its entity tag."""
        return await self._shared.get("", self._overview)

    async def _overview(self) -> tuple[bytes, bytes]:
        entries = self._board.entries()
        self._forget_others(entries)
        rows = b",".join(await in_slices(self.of, entries, self._cooperator))
        daemon = objects.own_state(self._board.daemon())
        return objects.overview(rows, daemon), etag_of(rows, daemon)

    def _forget_others(self, entries: Sequence[Entry]) -> None:
        if len(self._kept) > len(entries):
            ids = {entry.task.id for entry in entries}
            self._kept = {task_id: kept for task_id, kept in self._kept.items() if task_id in ids}


def _equal(one: Entry, other: Entry) -> bool:
    if one.state is not other.state or one.task is not other.task:
        return False
    shown = one.seen == other.seen and one.unseen == other.unseen
    return shown and one.muted == other.muted and one.owner == other.owner
