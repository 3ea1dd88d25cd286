from __future__ import annotations

import re
from html.parser import HTMLParser

from msgspec.structs import replace
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.template import flattenString, tags

from pypinger.domain.kinds import Kind, Status
from pypinger.domain.model import Verdict
from pypinger.web.html.times import mark_html, mark_times
from tests.web.browser import overview, past, result, task_page
from tests.web.fakes import NOW, SILENCED, acknowledged, daemon_state, entry
from tests.web.history import FakeHistory


class Texts(HTMLParser):
    """
    The texts of a page that name a time of day outside a ``time`` element.

    :ivar times: the times that are marked.
    """

    LEFT = frozenset(("time", "pre", "code", "svg", "title"))

    def __init__(self, html: bytes) -> None:
        super().__init__()
        self.inside: list[str] = []
        self.unmarked: list[str] = []
        self.times: list[tuple[str, str | None]] = []
        self.now: str | None = None
        self.feed(html.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in self.LEFT:
            self.inside.append(tag)
        named = dict(attrs)
        self.now = named.get("datetime") if tag == "time" and named.get("class") == "fixed" else None

    def handle_endtag(self, tag: str) -> None:
        if self.inside and self.inside[-1] == tag:
            self.inside.pop()
        self.now = None

    def handle_data(self, data: str) -> None:
        if self.now is not None:
            self.times.append((data, self.now))
        if not self.inside and re.search(r"[0-9] UTC", data):
            self.unmarked.append(data)


class MarkTests(SynchronousTestCase):
    """NOW is 2026-11-22 22:28:34 UTC."""

    def marked(self, text: str) -> list[tuple[str, str]]:
        """The times that are marked."""
        parser = Texts(mark_html(text, NOW).encode())
        return [(words, at or "") for words, at in parser.times]

    def test_dates(self) -> None:
        for text, expected in (
            ("no time", []),
            ("at 21:55:00 UTC", [("21:55:00 UTC", "2026-11-22T21:55:00Z")]),
            (
                "last ran 2026-03-01 21:55:00 UTC, was due 22:05:00 UTC, now 2026-03-02 01:00:00 UTC",
                [
                    ("2026-03-01 21:55:00 UTC", "2026-03-01T21:55:00Z"),
                    ("22:05:00 UTC", "2026-03-01T22:05:00Z"),
                    ("2026-03-02 01:00:00 UTC", "2026-03-02T01:00:00Z"),
                ],
            ),
            ("until 20:30 UTC", [("20:30 UTC", "2026-11-22T20:30Z")]),
            ("until 8 Jan 20:30 UTC", [("8 Jan 20:30 UTC", "2026-01-08T20:30Z")]),
            ("until 28 Nov 2027 20:30 UTC", [("28 Nov 2027 20:30 UTC", "2027-11-28T20:30Z")]),
            ("22:00 to 06:00 UTC (8 h)", []),
            ("9:00 UTC, UTC, 5 Foo 10:00 UTC", []),
        ):
            self.assertEqual(self.marked(text), expected, text)

    def test_the_text_stays(self) -> None:
        text = "a &lt; b at 21:55:00 UTC, then 22:00:00 UTC."
        marked = mark_html(text, NOW)
        self.assertEqual(Texts(marked.encode()).unmarked, [])
        for at in ("21:55:00", "22:00:00"):
            marked = marked.replace(f'<time class="fixed" datetime="2026-11-22T{at}Z">', "").replace("</time>", "", 1)
        self.assertEqual(marked, text)

    def test_templates(self) -> None:
        at = "at 21:55:00 UTC"
        parts = mark_times([at, tags.p(at, [tags.b(at), at], tags.code(at), tags.time(at)), None], NOW)
        html = result(flattenString(None, [each for each in parts if each is not None]))
        self.assertEqual(html.count(b'<time class="fixed"') + html.count(b'class="fixed">'), 4)
        self.assertIn(b"<code>at 21:55:00 UTC</code>", html)


class PagesTests(SynchronousTestCase):
    """All times of day on the pages are marked."""

    def test_pages(self) -> None:
        late = entry("http://h/b", Kind.LATE)
        verdict = Verdict(Kind.LATE, "last ran 2026-11-22 21:55:00 UTC, was due 22:05:00 UTC", due=NOW - 900)
        late = replace(late, state=replace(late.state, verdict=verdict))
        blind = daemon_state(blind=NOW - 60, status=Status.ERROR, explanation="blind since 22:27:34 UTC")
        silenced = replace(acknowledged(entry("http://h/c", Kind.FAILED)), muted=SILENCED)
        entries = [late, silenced, replace(entry("http://h/d"), unseen=NOW - 600)]
        for daemon in (daemon_state(), blind):
            pages = [overview(entries, daemon), overview(entries, daemon, query="view=wall")]
            for each in entries:
                pages.append(task_page(each, past=past(FakeHistory(NOW, words="at 10:00:00 UTC"), each), daemon=daemon))
            for page in pages:
                self.assertEqual(Texts(page).unmarked, [])
        times = Texts(task_page(late)).times
        self.assertIn(("2026-11-22 21:55:00 UTC", "2026-11-22T21:55:00Z"), times)
        self.assertIn(("22:05:00 UTC", "2026-11-22T22:05:00Z"), times)
