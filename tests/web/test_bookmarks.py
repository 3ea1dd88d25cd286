"""The addresses of the first edition of the pages: bookmarks and links in old alerts still show what they showed."""

import json
from urllib.parse import quote

from treq.testing import StubTreq

from pypinger.domain.kinds import Kind
from pypinger.domain.url import task_id
from tests.web.fakes import NOW, FakeBoard, entry, new_entry
from tests.web.history import FakeHistory
from tests.web.pages import make_pages
from tests.web.test_app import HTML, AppTestCase, header

LATE, FINE, NEW = "http://h/late?x=1", "http://h/fine", "http://h/new"
TASK = task_id(LATE)


class BookmarkTests(AppTestCase):
    def setUp(self) -> None:
        super().setUp()
        late = entry(LATE, Kind.LATE, name="Backup", server="db-1", process="backup")
        fine = entry(FINE, name="Invoices", server="app-1", process="billing")
        self.board = FakeBoard([fine, late, new_entry(NEW)])
        self.treq = StubTreq(make_pages(self.board, self.clock, history=FakeHistory(NOW)).resource)

    def shown(self, query: str) -> set[str]:
        """The names of the tasks whose rows the overview has."""
        text = self.html(f"/{query}")
        names = {LATE: "Backup", FINE: "Invoices", NEW: "New"}
        return {name for url, name in names.items() if f'id="t-{task_id(url)}"' in text}

    def test_overview(self) -> None:
        every = {"Backup", "Invoices", "New"}
        for query, names in (
            ("", every),
            ("?q=", every),
            ("?q=back", {"Backup"}),
            ("?q=db-1&status=&by=", {"Backup"}),
            ("?status=error", {"Backup"}),
            ("?status=ok", {"Invoices"}),
            ("?status=new", {"New"}),
            ("?status=unseen", set()),
            ("?status=sleeping&by=server", set()),
            ("?by=server", every),
            ("?by=process", every),
            ("?by=group", every),
            ("?page=2", every),
            ("?q=i&status=ok&by=server&page=3", {"Invoices"}),
        ):
            self.assertEqual(self.shown(query), names, query)

    def test_groups_have_their_headings(self) -> None:
        text = self.html("/?by=server")
        for heading in ("db-1", "app-1", "No server"):
            self.assertIn(f">{heading} ", text)

    def test_tasks(self) -> None:
        for path in (TASK, quote(LATE, safe=""), LATE, LATE.replace("//", "/")):
            self.assertIn("<h1>Backup</h1>", self.html(f"/task/{path}", 500))

    def test_history_feeds_and_badges(self) -> None:
        for part in ("history", "incidents", "deliveries"):
            for task in (TASK, quote(LATE, safe="")):
                self.json(f"/task/{task}/{part}")
        for path, media_type in (
            ("/feed.atom", "application/atom+xml"),
            (f"/task/{TASK}/feed.atom", "application/atom+xml"),
            (f"/badge/{TASK}.svg", "image/svg+xml"),
            (f"/badge/{quote(LATE, safe='')}.json", "application/json"),
            ("/metrics", "text/plain"),
            ("/status", "application/json"),
            ("/api/v1/openapi.json", "application/json"),
            ("/api/v1/tasks?status=error", "application/json"),
        ):
            response = self.ask(path, Accept="*/*")
            self.assertEqual(response.code, 200, path)
            self.assertEqual((header(response, "Content-Type") or "").partition(";")[0], media_type, path)

    def test_history_of_a_task_stays_json_for_programs(self) -> None:
        """Browsers get the new lists."""
        for part in ("incidents", "deliveries"):
            path = f"/task/{TASK}/{part}"
            json.loads(self.text(self.ask(path)))
            self.assertIn("<h1>", self.text(self.ask(path, Accept=HTML)))
