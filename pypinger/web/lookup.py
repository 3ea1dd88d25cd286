"""
Finding the task that a request for ``/task/…`` means (contract, section 7).

A URL inside a URL arrives in many spellings: percent-encoded whole, raw with its own query, partly percent-encoded, or
as nginx leaves it. Exact spellings are tried first; a looser one counts only if a single task has it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from urllib.parse import unquote

import msgspec

from pypinger.domain.model import PUSH, Task
from pypinger.ports.showing import Entry, TaskBoard

_SLASHES = re.compile("/+")
_PART = re.compile(r"(?P<task>.+)/(?P<part>[a-z]+(?:\.[a-z]+)?)(?:\?(?P<query>[^?]*))?", re.DOTALL)
_SQUEEZED = re.compile(r"https?(?::|%3a)(?:/|%2f)(?!/|%2f)", re.IGNORECASE)


class Found(msgspec.Struct, frozen=True):
    """
    A task, or a part of its history.

    :ivar part: the part's name, empty for the task itself.
    :ivar query: the query of the part.
    :ivar bare: whether the task was named without a query of its own.
    """

    entry: Entry
    part: str = ""
    query: str = ""
    bare: bool = True


class TaskLookup:
    """Looks tasks up on a board by what a client sent."""

    def __init__(self, board: TaskBoard) -> None:
        self._board = board
        self._tasks: list[Task] = []
        self._decoded: dict[str, str | None] = {}
        self._squeezed: dict[str, str | None] = {}
        self._squeezed_decoded: dict[str, str | None] = {}

    def find(self, sent: str) -> Entry | None:
        """
        The task that a request means, by its id, its URL or, of a push task, its name; or None.

        :param sent: what follows ``/task/``, query included, exactly as it was sent.
        """
        path, mark, query = sent.partition("?")
        entry = self._board.by_id(path)
        if entry is not None:
            return entry
        # The raw form goes first: a task may be configured with escapes such as %2C in its URL.
        for url in dict.fromkeys((sent, _decode(path) + mark + query, _decode(sent))):
            entry = self._board.by_key(url) or self._board.by_key(f"{PUSH}{url}")
            if entry is not None:
                return entry
        entry = self._board.by_key(f"{PUSH}{_decode(path)}")
        if entry is not None:
            return entry
        url_of_one = self._loosely(sent)
        return None if url_of_one is None else self._board.by_key(url_of_one)

    def find_part(self, sent: str, parts: Collection[str]) -> Found | None:
        """
        The task, or the part of one, that a request means, or None.

        A task's URL may itself end like the name of a part. If there is a task with exactly the URL that was sent, it
        is meant; next comes the part of a task that was named exactly, and so on, from strict to loose. The part of a
        task hidden in this way is reached by the task's id, or by its URL percent-encoded whole.

        :param sent: what follows ``/task/``, queries included, exactly as it was sent.
        :param parts: the names of the parts.
        """
        entry = self._board.by_key(sent) or self._board.by_key(f"{PUSH}{_decode(sent)}")
        if entry is not None:
            return Found(entry)
        match = _PART.fullmatch(sent)
        if match is None or match["part"] not in parts:
            entry = self.find(sent)
            return None if entry is None else Found(entry)
        named, part, query = match["task"], match["part"], match["query"] or ""
        entry = self._board.by_id(named) or self._board.by_key(named) or self._board.by_key(_decode(named))
        if entry is None:
            entry = self.find(sent)
            if entry is not None:
                return Found(entry)
            entry = self.find(named)
        return None if entry is None else Found(entry, part, query, bare="?" not in named)

    def _loosely(self, sent: str) -> str | None:
        """
        The URL of the only task that `sent` can mean, if there is only one.

        nginx with a path in its ``proxy_pass`` decodes the path, merges slashes and encodes it anew, so that
        ``http://h/a`` arrives as ``http:/h/a``. That is undone only where the scheme shows that it was done: elsewhere
        ``//`` and ``/`` are two URLs.
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
        """Rebuild the tables if the tasks are not the same as last time (a reload)."""
        if len(entries) == len(self._tasks) and all(
            entry.task is task for entry, task in zip(entries, self._tasks, strict=True)
        ):
            return
        self._tasks = [entry.task for entry in entries]
        urls = [task.url for task in self._tasks if task.url is not None]
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
    # Escapes that are not UTF-8 stay distinct; the result is only compared, never shown.
    return unquote(text, errors="surrogateescape")


def _squeeze(text: str) -> str:
    return _SLASHES.sub("/", text)
