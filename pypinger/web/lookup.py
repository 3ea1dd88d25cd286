"""
Finding the task that a request for ``/task/…`` means (contract, section 7).

A task's URL is its identity, and a URL inside a URL arrives in many spellings: percent-encoded whole, raw with its own
query, with what the client could not send raw percent-encoded, or as nginx leaves it. Exact spellings are tried
first; a looser one counts only if a single task has it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from urllib.parse import unquote

from pypinger.domain.model import Task
from pypinger.ports import Board, Entry

_SLASHES = re.compile("/+")
_SQUEEZED = re.compile(r"https?(?::|%3a)(?:/|%2f)(?!/|%2f)", re.IGNORECASE)


class TaskLookup:
    """Looks tasks up on a board by what a client sent."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._tasks: list[Task] = []
        self._decoded: dict[str, str | None] = {}
        self._squeezed: dict[str, str | None] = {}
        self._squeezed_decoded: dict[str, str | None] = {}

    def find(self, sent: str) -> Entry | None:
        """
        The task that a request means, or None.

        :param sent: what followed ``/task/``, query included, exactly as it came.
        """
        path, mark, query = sent.partition("?")
        entry = self._board.by_id(path)
        if entry is not None:
            return entry
        # The raw form goes first: a task may well be configured with escapes such as %2C in its URL.
        for url in dict.fromkeys((sent, _decode(path) + mark + query, _decode(sent))):
            entry = self._board.by_url(url)
            if entry is not None:
                return entry
        url_of_one = self._loosely(sent)
        return None if url_of_one is None else self._board.by_url(url_of_one)

    def _loosely(self, sent: str) -> str | None:
        """
        The URL of the only task that `sent` can mean when both are spelled alike.

        nginx with a path in its ``proxy_pass`` decodes the path, makes one slash of several and encodes it anew, so
        that ``http://h/a`` arrives as ``http:/h/a``. That is undone only where the scheme shows that it was done:
        elsewhere ``//`` and ``/`` are two URLs.
        """
        self._index(self._board.entries())
        decoded = _decode(sent)
        if not _SQUEEZED.match(sent):
            return self._decoded.get(decoded)
        for table, spelling in (
            (self._squeezed, sent),
            (self._squeezed, decoded),
            (self._squeezed_decoded, decoded),
        ):
            key = _squeeze(spelling)
            if key in table:
                return table[key]
        return None

    def _index(self, entries: Sequence[Entry]) -> None:
        """Make the tables anew if the tasks are others than the last time (a reload), which is cheap to see."""
        if len(entries) == len(self._tasks) and all(
            entry.task is task for entry, task in zip(entries, self._tasks, strict=True)
        ):
            return
        self._tasks = [entry.task for entry in entries]
        urls = [task.url for task in self._tasks]
        self._decoded = _table(urls, _decode)
        self._squeezed = _table(urls, _squeeze)
        self._squeezed_decoded = _table(urls, lambda url: _squeeze(_decode(url)))


def _table(urls: Sequence[str], spell: Callable[[str], str]) -> dict[str, str | None]:
    """Spelling -> the one URL that has it, or None if several do."""
    table: dict[str, str | None] = {}
    for url in urls:
        key = spell(url)
        table[key] = None if key in table else url
    return table


def _decode(text: str) -> str:
    # Escapes that are no UTF-8 stay apart from each other; the result is only compared, never shown.
    return unquote(text, errors="surrogateescape")


def _squeeze(text: str) -> str:
    return _SLASHES.sub("/", text)
