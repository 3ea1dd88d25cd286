"""Parsed pages, and pages rendered for tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html.parser import HTMLParser
from typing import TypeVar
from urllib.parse import parse_qsl

from twisted.internet.defer import Deferred
from twisted.web.test.requesthelper import DummyRequest

from pypinger.domain.redaction import Secrets
from pypinger.ports.history import History
from pypinger.ports.showing import DaemonState, Entry, LastAnswer
from pypinger.web.html import overview as overview_page
from pypinger.web.html import task_page as page_of_task
from pypinger.web.html import view
from pypinger.web.html.figures import Figures
from pypinger.web.html.rows import row, tile
from pypinger.web.html.task_history import Past, read
from pypinger.web.serving import assets
from tests.web.fakes import NOW, daemon_state
from tests.web.history import FakeHistory

T = TypeVar("T")

LINKS = {name: asset.path for name, asset in assets.load().items()}


class Page(HTMLParser):
    """
    A parsed page: its elements and its text.

    :ivar open: elements that were opened and not closed.
    """

    VOID = frozenset({"meta", "link", "input", "col"})

    def __init__(self, html: bytes) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.comments: list[str] = []
        self.open: list[str] = []
        self.feed(html.decode("utf-8"))
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def handle_comment(self, data: str) -> None:
        self.comments.append(data)

    @property
    def text(self) -> str:
        return " ".join("".join(self.texts).split())

    def links(self) -> list[str]:
        return [attrs["href"] or "" for tag, attrs in self.elements if tag == "a"]

    def classes(self, tag: str) -> list[str]:
        return [attrs.get("class") or "" for name, attrs in self.elements if name == tag]


def overview(
    entries: Sequence[Entry],
    daemon: DaemonState | None = None,
    now: float = NOW,
    query: str = "",
    figures: Mapping[str, Figures] | None = None,
    *,
    complete: bool = True,
) -> bytes:
    """
    The overview.

    :param query: as in ``/?query``.
    :param figures: by task id.
    """
    request = DummyRequest([b""])
    arguments: dict[bytes, list[bytes]] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        arguments.setdefault(name.encode(), []).append(value.encode("utf-8", "surrogateescape"))
    wanted = view.read(arguments)
    selection = view.select([each for each in entries if wanted.finds(each)], wanted)
    daemon = daemon or daemon_state()
    rows = {
        group.key: [
            tile(entry, daemon, now) if wanted.wall else row(entry, (figures or {}).get(entry.task.id), daemon, now)
            for entry in group.entries
        ]
        for group in selection.groups
    }
    made = overview_page.page_of(request, entries, selection, rows, daemon, now, LINKS, complete=complete)
    return result(Deferred.fromCoroutine(made))[0]


def task_page(
    entry: Entry,
    now: float = NOW,
    past: Past | None = None,
    answer: LastAnswer | None = None,
    *secrets: str,
    daemon: DaemonState | None = None,
) -> bytes:
    """The page of one task."""
    request = DummyRequest([b""])
    daemon = daemon or daemon_state()
    made = page_of_task.page_of(request, entry, answer, past, daemon, now, "../", LINKS, Secrets(secrets))
    return result(Deferred.fromCoroutine(made))[0]


def result(deferred: Deferred[T]) -> T:
    """The result of a Deferred that has fired."""
    results: list[T] = []
    deferred.addCallback(results.append)
    return results[0]


def figures(history: FakeHistory, made: Entry) -> Figures:
    """A task's figures from a history."""

    async def read() -> Figures:
        url, kind = made.task.url, made.state.kind
        gaps, days, begins = await history.gaps(url), await history.days(url, NOW), await history.beginning(url)
        return Figures(gaps, days, begins, NOW, None, kind)

    return result(Deferred.fromCoroutine(read()))


def past(history: History | None, made: Entry) -> Past | None:
    """What a task's page shows of a history."""
    return result(Deferred.fromCoroutine(read(history, made, NOW)))
