"""
The JSON overview, put together anew only as far as something changed, and once for all who ask at a time.

With thousands of tasks and many who look, most of them see what the one before saw. What is shown are frozen values,
so that nothing changed as long as they are the very same objects.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import is_

from twisted.internet.task import Cooperator

from pypinger.ports.showing import Board, Entry
from pypinger.web.json import objects
from pypinger.web.serving.responses import tag_of
from pypinger.web.serving.slicing import Rendered, Shared, in_slices


class Listing:
    """
    The JSON of all tasks, and of each.

    :param turns: says when to go on while many rows are made.
    """

    def __init__(self, board: Board, turns: Cooperator) -> None:
        self._board = board
        self._turns = turns
        self._shared: Shared[tuple[bytes, bytes]] = Shared(turns)
        self._rows = Rendered(objects.task_row)
        self._entries: Sequence[Entry] = ()
        self._joined, self._tag = b"", tag_of()

    def row(self, entry: Entry) -> bytes:
        """The JSON of one task."""
        return self._rows.of(entry)

    async def overview(self) -> tuple[bytes, bytes]:
        """The answer to ``GET /``, and the tag that stands for it."""
        return await self._shared.get("", self._overview)

    async def _overview(self) -> tuple[bytes, bytes]:
        entries = self._board.entries()
        if len(entries) != len(self._entries) or not all(map(is_, entries, self._entries)):
            self._rows.keep_only(entries)
            joined = b",".join(await in_slices(self._rows.of, entries, self._turns))
            self._entries, self._joined, self._tag = entries, joined, tag_of(joined)
        daemon = objects.own_state(self._board.daemon())
        return objects.overview(self._joined, daemon), tag_of(self._tag, daemon)
