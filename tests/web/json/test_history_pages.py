from __future__ import annotations

from urllib.parse import quote

from treq.testing import StubTreq

from pypinger.domain.kinds import Kind
from tests.web.fakes import entry, task
from tests.web.history_pages import PagedHistory
from tests.web.pages import make_pages
from tests.web.test_app import AppTestCase, header

URL = "http://h/b?x=1&y=2"


class HistoryPagesTestCase(AppTestCase):
    """Paths that read the history."""

    def setUp(self) -> None:
        self.history = PagedHistory()
        super().setUp()

    def serve(self, hosts: object = (), public_url: str = "") -> None:
        self.treq = StubTreq(make_pages(self.board, self.clock, history=self.history, public_url=public_url).resource)

    def value(self, path: str, code: int = 200) -> dict[str, object]:
        value = self.json(path, code)
        assert isinstance(value, dict)
        return value


class PartsTests(HistoryPagesTestCase):
    def test_history(self) -> None:
        value = self.value(f"/task/{task(URL).id}/history")
        self.assertEqual(list(value), ["data", "next"])
        data = value["data"]
        assert isinstance(data, dict)
        self.assertEqual(list(data), ["runs", "changes", "gaps", "uptime"])
        refused, invalid, failed = data["runs"]
        self.assertEqual(
            (refused["fault"], refused["problem"], refused["latency"]), ("refused", "connection refused", 0.01)
        )
        self.assertEqual((refused["code"], refused["report"], refused["count"]), (None, None, 3))
        self.assertEqual(
            (invalid["code"], invalid["problem"], invalid["report"]), (200, "status: must be a string", None)
        )
        self.assertEqual((failed["code"], failed["problem"], failed["fault"]), (503, None, None))
        self.assertEqual((failed["report"]["status"], failed["report"]["sleep"]), ("error", []))
        self.assertEqual(len(failed["report"]["reason"]), 500)
        self.assertEqual(failed["first"], "2026-11-22T22:27:34.000Z")
        self.assertEqual(
            data["changes"][0],
            {"at": "2026-11-22T22:28:31.000Z", "status": "error", "kind": "late", "explanation": "disk full"},
        )
        self.assertEqual(
            data["gaps"],
            [
                {"lastrun": "2026-11-22T22:18:34.000Z", "gap": 600.0},
                {"lastrun": "2026-11-22T22:08:34.000Z", "gap": None},
            ],
        )
        self.assertEqual(data["uptime"], {"24h": 1.0, "7d": 0.5, "30d": None, "90d": None})

    def test_report_as_published(self) -> None:
        self.history.count = 4
        data = self.value(f"/task/{task(URL).id}/history?limit=1")["data"]
        assert isinstance(data, dict)
        self.assertEqual(
            data["runs"][0]["report"],
            {
                "status": "ok",
                "lastrun": "2026-11-22T22:18:34.000Z",
                "frequency": 10.0,
                "reason": None,
                "sleep": [{"start": "22:01:30", "duration": 480.0}],
                "process": "backup",
                "server": "web-1",
                "schedule": None,
                "timezone": None,
                "started": None,
                "max_runtime": None,
            },
        )

    def test_incidents(self) -> None:
        value = self.value(f"/task/{task(URL).id}/incidents")
        opened, over, _ = value["data"]  # type: ignore[misc]
        self.assertEqual((opened["url"], opened["task"], opened["ended"]), (URL, task(URL).id, None))
        self.assertEqual(over["ended"], "2026-11-22T21:38:34.000Z")
        self.assertEqual(over["kinds"], ["late", "failed"])
        [told] = opened["told"]
        self.assertEqual((told["id"], told["event"], told["explanation"]), ("a3", "problem", "disk full"))

    def test_deliveries(self) -> None:
        self.history.count = 5
        rows = self.value(f"/task/{task(URL).id}/deliveries")["data"]
        assert isinstance(rows, list)
        self.assertEqual([row["outcome"] for row in rows], [None, "replaced", "dead", "retry", "sent"])
        self.assertEqual(rows[0]["channel"], "slack")
        self.assertEqual(rows[0]["url"], URL)
        self.assertEqual([row["settled"] is None for row in rows], [False, False, True, False, False])

    def test_every_form_of_a_url(self) -> None:
        for sent in (task(URL).id, quote(URL, safe=""), URL, URL.replace("//", "/"), quote(URL, safe=":/")):
            for part in ("history", "incidents", "deliveries"):
                self.value(f"/task/{sent}/{part}")
                self.value(f"/task/{sent}/{part}?limit=1")

    def test_status_of_a_task_in_trouble(self) -> None:
        self.value(f"/task/{URL}", 500)
        self.value(f"/task/{URL}/history", 200)

    def test_unknown_task(self) -> None:
        for sent in ("http://h/zzz", "http%3A%2F%2Fh%2Fzzz", "0123456789ab", "", "/"):
            for part in ("history", "incidents", "deliveries", "feed.atom"):
                self.assertEqual(self.json(f"/task/{sent}/{part}", 404), {"data": {}})
        self.assertEqual(self.json("/task/http://h/a/secrets", 404), {"data": {}})

    def test_no_history(self) -> None:
        self.treq = StubTreq(make_pages(self.board, self.clock).resource)
        for path in ("/task/http://h/a/history", "/api/v1/incidents", "/feed.atom"):
            self.assertEqual(self.json(path, 503), {"error": "no history is kept"})

    def test_store_error(self) -> None:
        self.history.broken = True
        for path in (
            *(f"/task/http://h/a/{part}" for part in ("history", "incidents", "deliveries", "feed.atom")),
            "/feed.atom",
            "/api/v1/incidents",
            f"/api/v1/tasks/{task(URL).id}/history",
        ):
            self.assertEqual(self.json(path, 503), {"error": "the disk is gone"})


class AmbiguousUrlsTests(HistoryPagesTestCase):
    """A task's URL may itself end in the name of a part."""

    def answered(self, path: str) -> str:
        """The task of the page, or the part of its history."""
        response = self.ask(path)
        self.assertEqual(response.code, 200, path)
        value = self.value(path)["data"]
        if isinstance(value, list):
            return f"incidents of {value[0]['url']}"
        assert isinstance(value, dict)
        return str(value["url"])

    def test_the_task_alone(self) -> None:
        self.board.set([entry("http://h/a/incidents")])
        for sent in (
            "http://h/a/incidents",
            "http:/h/a/incidents",
            "http%3A%2F%2Fh%2Fa%2Fincidents",
            "http%3A%2F%2Fh%2Fa/incidents",
        ):
            self.assertEqual(self.answered(f"/task/{sent}"), "http://h/a/incidents")
            self.assertEqual(self.answered(f"/task/{sent}/incidents"), "incidents of http://h/a/incidents")

    def test_both(self) -> None:
        self.board.set([entry("http://h/a/incidents"), entry("http://h/a")])
        for sent in ("http://h/a/incidents", "http:/h/a/incidents", "http%3A%2F%2Fh%2Fa%2Fincidents"):
            self.assertEqual(self.answered(f"/task/{sent}"), "http://h/a/incidents")
        for sent in (task("http://h/a").id, "http%3A%2F%2Fh%2Fa"):
            self.assertEqual(self.answered(f"/task/{sent}/incidents"), "incidents of http://h/a")

    def test_with_a_query(self) -> None:
        self.board.set([entry("http://h/incidents?limit=5"), entry("http://h")])
        self.assertEqual(self.answered("/task/http://h/incidents?limit=5"), "http://h/incidents?limit=5")
        self.assertEqual(self.answered("/task/http://h/incidents?limit=6"), "incidents of http://h")


class PagesTests(HistoryPagesTestCase):
    def turn(self, path: str) -> list[dict[str, object]]:
        """All pages, by their links."""
        pages = [self.value(path)]
        while (link := pages[-1]["next"]) is not None:
            assert isinstance(link, str)
            path = link if link.startswith("/") else path.partition("?")[0] + link
            pages.append(self.value(path))
        return pages

    def test_lists(self) -> None:
        for part, member in (("incidents", "started"), ("deliveries", "alert")):
            for count, sizes in ((0, [0]), (1, [1]), (2, [2]), (3, [2, 1]), (4, [2, 2]), (5, [2, 2, 1])):
                self.history.count = count
                for sent in (task(URL).id, URL, "http%3A%2F%2Fh%2Fa"):
                    pages = self.turn(f"/task/{sent}/{part}?limit=2")
                    rows = [page["data"] for page in pages]
                    self.assertEqual([len(row) for row in rows], sizes)  # type: ignore[arg-type]
                    seen = {str(row[member]) for page in rows for row in page}  # type: ignore[attr-defined]
                    self.assertEqual(len(seen), count)

    def test_pages_over_two_lists(self) -> None:
        class Uneven(PagedHistory):
            async def verdicts(self, url: str, before: int | None = None, limit: int = 50) -> object:  # type: ignore[override]
                return (
                    []
                    if before == 0
                    else (await super().verdicts(url, before, limit))[: max(0, 3 if before is None else 0)]
                )

        for history in (PagedHistory(5), Uneven(5)):
            self.history = history
            self.serve()
            pages = [page["data"] for page in self.turn(f"/task/{URL}/history?limit=2")]
            runs = [run["count"] for page in pages for run in page["runs"]]  # type: ignore[index, call-overload]
            self.assertEqual(runs, [5, 4, 3, 2, 1])
            changes = [change["at"] for page in pages for change in page["changes"]]  # type: ignore[index, call-overload]
            self.assertEqual(len(changes), len(set(changes)))
            self.assertEqual(len(pages), 3)

    def test_default_and_bounds(self) -> None:
        self.history.count = 300
        for query, size in (("", 50), ("?limit=1", 1), ("?limit=200", 200), ("?limit=007", 7)):
            rows = self.value(f"/task/http://h/a/incidents{query}")["data"]
            self.assertEqual(len(rows), size)  # type: ignore[arg-type]

    def test_links(self) -> None:
        self.history.count = 9
        self.serve(public_url="https://x/pinger")
        number = task(URL).id
        for sent, link in (
            (number, "?limit=1&before=9"),
            (quote(URL, safe=""), "?limit=1&before=9"),
            (URL, f"/pinger/task/{number}/incidents?limit=1&before=9"),
        ):
            self.assertEqual(self.value(f"/task/{sent}/incidents?limit=1")["next"], link)

    def test_bad_parameters(self) -> None:
        limit = "limit must be a whole number from 1 to 200"
        before = "before must come from the link to the next page"
        for query, words in (
            ("limit=0", limit),
            ("limit=201", limit),
            ("limit=-1", limit),
            ("limit=1.5", limit),
            ("limit=", limit),
            ("limit=%D9%A3", limit),
            ("limit=+1", limit),
            ("limit=%ff%00", limit),
            (f"limit={'9' * 5000}", limit),
            ("before=x", before),
            ("before=", before),
            ("before=-1", before),
            (f"before={'9' * 19}", before),
            ("before=1-2", before),
            ("limit=1&limit=1", "limit is given twice"),
            ("Limit=1", "unknown parameter; known are limit, before"),
            ("=", "unknown parameter; known are limit, before"),
        ):
            for path in ("/task/http://h/a/incidents", "/task/http://h/a/deliveries", "/api/v1/incidents"):
                self.assertEqual(self.json(f"{path}?{query}", 400), {"error": words}, query[:99])
        for query in ("before=1", "before=1-", "before=1-2-3", "before=-", "before=1-x"):
            self.assertEqual(self.json(f"/task/http://h/a/history?{query}", 400), {"error": before}, query)

    def test_empty_query(self) -> None:
        self.value("/task/http://h/a/incidents?")
        self.value("/task/http://h/a/incidents?&&")


class ConditionalRequestTests(HistoryPagesTestCase):
    """Unchanged pages answer 304."""

    unmeasured = True
    PATHS = (
        "/",
        "/task/http://h/a",
        "/task/http://h/a/history",
        f"/task/{URL}/incidents",
        "/task/http://h/a/feed.atom",
        "/feed.atom",
        "/badge/http://h/a.svg",
        "/badge/http://h/a.json",
        "/static/ok.svg",
        "/api/v1/tasks",
        "/api/v1/status",
        "/api/v1/openapi.json",
    )

    def test_unchanged(self) -> None:
        for path in self.PATHS:
            first = self.ask(path)
            tag = header(first, "ETag")
            assert tag is not None
            body = self.text(first)
            for sent in (tag, f'"x", {tag}', f"W/{tag}", "*", f'W/"a",W/{tag}'):
                for method in ("GET", "HEAD"):
                    again = self.ask(path, method, If_None_Match=sent)
                    self.assertEqual(again.code, 304, path)
                    self.assertEqual(self.text(again), "")
                    self.assertEqual(header(again, "ETag"), tag)
                    self.assertIsNone(header(again, "Content-Type"))
                    for name in ("Vary", "Cache-Control"):
                        self.assertEqual(header(again, name), header(first, name))
            for sent in ('"x"', tag[1:-1], "", "nonsense", '"'):
                other = self.ask(path, If_None_Match=sent)
                self.assertEqual((other.code, self.text(other)), (200, body), path)

    def test_changed(self) -> None:
        paths = ("/", "/task/http://h/a", "/badge/http://h/a.svg", "/badge/http://h/a.json", "/api/v1/tasks")
        tags = {path: header(self.ask(path), "ETag") for path in paths}
        self.board.show(entry("http://h/a", Kind.SLEEPING))
        for path, tag in tags.items():
            assert tag is not None
            self.assertEqual(self.ask(path, If_None_Match=tag).code, 200, path)

    def test_html_and_json_have_different_etags(self) -> None:
        tag = header(self.ask("/"), "ETag")
        assert tag is not None
        self.assertEqual(self.ask("/", Accept="text/html", If_None_Match=tag).code, 200)

    def test_paths_without_etag(self) -> None:
        for path in ("/healthz", "/readyz", "/status", "/metrics", "/nothing", "/badge/x.svg", f"/task/{URL}"):
            response = self.ask(path, If_None_Match="*")
            self.assertNotEqual(response.code, 304, path)
            self.assertEqual(header(response, "Cache-Control"), "no-store", path)
            self.assertIsNone(header(response, "ETag"), path)
