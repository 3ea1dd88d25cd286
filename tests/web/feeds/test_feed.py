from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from xml.etree import ElementTree

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from pypinger.domain.kinds import Kind
from pypinger.domain.model import Event
from pypinger.ports.history import PastIncident
from pypinger.ports.showing import Entry
from pypinger.web.feeds.feed import feed
from tests.web.fakes import NOW, FakeBoard, acknowledged, entry, task, with_incident
from tests.web.history_pages import PagedHistory
from tests.web.json.test_history_pages import HistoryPagesTestCase
from tests.web.test_app import header

ATOM = "{http://www.w3.org/2005/Atom}"
URL = "http://h/b?x=1&y=2"


def said(element: ElementTree.Element, name: str) -> str:
    """The text of the only child of this name."""
    [child] = element.findall(f"{ATOM}{name}")
    return child.text or ""


def check(document: bytes) -> ElementTree.Element:
    """The requirements of RFC 4287."""
    root = ElementTree.fromstring(document)
    assert root.tag == f"{ATOM}feed"
    assert root.findall(f"{ATOM}author/{ATOM}name")
    ids = []
    for element in (root, *root.findall(f"{ATOM}entry")):
        ids.append(said(element, "id"))
        assert ids[-1].startswith("tag:py-pinger.invalid,2026:"), ids
        assert said(element, "title")
        datetime.fromisoformat(said(element, "updated"))
        assert any(link.get("rel") == "alternate" for link in element.findall(f"{ATOM}link"))
    assert len(ids) == len(set(ids))
    return root


def _ready(history: PagedHistory) -> Deferred[Sequence[PastIncident]]:
    return Deferred.fromCoroutine(history.incidents())


class FeedTests(SynchronousTestCase):
    def made(self, history: PagedHistory) -> ElementTree.Element:
        incidents = self.successResultOf(_ready(history))
        return check(feed(incidents, FakeBoard([entry(name="Backup & <co>")]), NOW - 99, "/", now=NOW))

    def test_empty(self) -> None:
        root = check(feed([], FakeBoard(), NOW, "https://x/pinger/", now=NOW))
        self.assertEqual(said(root, "updated"), "2026-11-22T22:28:34.000Z")
        self.assertEqual(
            [(link.get("rel"), link.get("href")) for link in root.findall(f"{ATOM}link")],
            [("self", "https://x/pinger/feed.atom"), ("alternate", "https://x/pinger/")],
        )

    def test_incidents(self) -> None:
        root = self.made(PagedHistory(2, url="http://h/a"))
        opened, over = root.findall(f"{ATOM}entry")
        self.assertTrue(said(opened, "title").startswith("Backup & <co> is "))
        self.assertEqual(said(over, "title"), "Backup & <co> is OK again, after 11 min (late)")
        self.assertEqual(said(over, "updated"), "2026-11-22T21:38:34.000Z")
        self.assertEqual(said(over, "content"), "disk full\nproblem: disk full")
        number = task("http://h/a").id
        self.assertEqual(said(over, "id"), f"tag:py-pinger.invalid,2026:incident/{number}/{round((NOW - 3660) * 1000)}")
        self.assertEqual(said(root, "updated"), said(opened, "updated"))

    def test_acknowledged_and_flapping(self) -> None:
        [opened] = self.successResultOf(_ready(PagedHistory(1, url="http://h/a")))
        made = with_incident(entry(kind=Kind.LATE, name="Backup"), started=opened.started)
        taken = acknowledged(with_incident(made, flapping=True))

        def shown(incident: PastIncident, present: Entry) -> ElementTree.Element:
            [found] = check(feed([incident], FakeBoard([present]), NOW - 9999, "/", now=NOW)).findall(f"{ATOM}entry")
            return found

        plain, now = shown(opened, made), shown(opened, taken)
        self.assertEqual(said(now, "title"), f"{said(plain, 'title')} and flapping, acknowledged by jane")
        self.assertIn("acknowledged: on it", said(now, "content"))
        self.assertEqual(said(now, "id"), said(plain, "id"))
        self.assertGreaterEqual(said(now, "updated"), "2026-11-22T22:23:34.000Z")
        # How it stands now.
        self.assertIn("as of 2026-11-22 22:28:00 UTC: late, in trouble for ", said(plain, "content"))
        # An incident that is over, and another one of the same task.
        for incident in (replace(opened, ended=NOW), replace(opened, started=opened.started - 3600)):
            self.assertNotIn("acknowledged", said(shown(incident, taken), "title"))
        told = (replace(opened.told[0], event=Event.FLAPPING),)
        self.assertIn("flapping)", said(shown(replace(opened, ended=NOW, told=told), made), "title"))

    def test_stable_ids(self) -> None:
        """A closed incident keeps its id, and is updated."""
        [opened] = self.successResultOf(_ready(PagedHistory(1)))
        board = FakeBoard()
        before, after = (
            check(feed([incident], board, NOW, "/", now=NOW)).findall(f"{ATOM}entry")[0]
            for incident in (opened, replace(opened, ended=NOW + 60))
        )
        self.assertEqual(said(before, "id"), said(after, "id"))
        self.assertLess(said(before, "updated"), said(after, "updated"))

    def test_a_removed_task_is_not_ok_again(self) -> None:
        [opened] = self.successResultOf(_ready(PagedHistory(1)))
        ended = replace(opened, kinds=[Kind.FAILED], ended=opened.started + 660)
        board = FakeBoard([entry("http://h/b?x=1&y=2", name="Backup")])
        titles = [
            said(check(feed([ended], each, NOW, "/", now=NOW)).findall(f"{ATOM}entry")[0], "title")
            for each in (FakeBoard(), board)
        ]
        self.assertEqual(
            titles,
            [
                "http://h/b?… was failing for 11 min, and is no longer monitored",
                "Backup is OK again, after 11 min (failing)",
            ],
        )

    def test_no_query(self) -> None:
        document = ElementTree.tostring(self.made(PagedHistory(3, url="http://h/gone?secret=1")), "unicode")
        self.assertIn("http://h/gone?…", document)
        self.assertNotIn("secret", document)

    @settings(deadline=None, max_examples=100)
    @given(st.text(max_size=40), st.text(max_size=40))
    def test_any_words(self, words: str, name: str) -> None:
        incidents = self.successResultOf(_ready(PagedHistory(3, words=words, url="http://h/a")))
        made = entry(name=name)
        root = check(feed(incidents, FakeBoard([made]), NOW, "/", made, now=NOW))
        self.assertEqual(len(root.findall(f"{ATOM}entry")), 3)


class FeedRouteTests(HistoryPagesTestCase):
    def test_all(self) -> None:
        response = self.ask("/feed.atom")
        self.assertEqual(header(response, "Content-Type"), "application/atom+xml; charset=utf-8")
        root = check(self.text(response).encode())
        self.assertEqual(len(root.findall(f"{ATOM}entry")), 3)
        self.assertEqual(self.ask("/feed.atom?x").code, 200)

    def test_links_without_public_url(self) -> None:
        """They hold under any prefix that a proxy adds."""
        number = task(URL).id
        for path, root in (
            ("/feed.atom", "./"),
            (f"/task/{number}/feed.atom", "../../"),
            # A proxy may have changed the number of slashes.
            ("/task/http://h/b?x=1&y=2/feed.atom", "/"),
        ):
            document = check(self.text(self.ask(path)).encode())
            [link] = document.findall(f"{ATOM}entry")[0].findall(f"{ATOM}link")
            self.assertEqual((link.get("href") or "").partition("task/")[0], root)
            links = {each.get("rel"): each.get("href") for each in document.findall(f"{ATOM}link")}
            self.assertTrue((links["self"] or "").startswith(root), links)

    def test_task(self) -> None:
        self.serve(public_url="https://x/pinger")
        number = task(URL).id
        for sent in (number, URL, "http:/h/b?x=1&y=2", "http%3A%2F%2Fh%2Fb%3Fx=1%26y=2"):
            root = check(self.text(self.ask(f"/task/{sent}/feed.atom")).encode())
            self.assertEqual(said(root, "id"), f"tag:py-pinger.invalid,2026:incidents/{number}")
            self.assertEqual(said(root, "title"), "Py Pinger: incidents of http://h/b?…")
            self.assertEqual(root.findall(f"{ATOM}link")[0].get("href"), f"https://x/pinger/task/{number}/feed.atom")

    def test_bounded(self) -> None:
        self.history.count = 1000
        self.assertEqual(len(check(self.text(self.ask("/feed.atom")).encode()).findall(f"{ATOM}entry")), 50)
