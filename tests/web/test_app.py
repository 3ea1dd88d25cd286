import json
import re
from collections.abc import Sequence
from urllib.parse import quote

import treq
from hypothesis import given, settings
from hypothesis import strategies as st
from treq.testing import StubTreq
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.iweb import UNKNOWN_LENGTH, IResponse

from pypinger.domain.kinds import Kind, Status
from pypinger.domain.url import task_id
from pypinger.ports.showing import DaemonState, Entry
from pypinger.web.html import rows
from pypinger.web.serving.slicing import SLICE
from tests.web.fakes import NOW, FakeBoard, daemon_state, entry, new_entry
from tests.web.history import FakeHistory
from tests.web.pages import make_pages

HTML = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
HOME = "http://localhost:3002"

SECURITY = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'self'; "
    "img-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


class AppTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.board = FakeBoard([entry("http://h/a"), entry("http://h/b?x=1&y=2", Kind.LATE), new_entry("http://h/c")])
        self.clock = Clock()
        self.serve()

    def serve(self, hosts: Sequence[str] = (), public_url: str = "", loopback: bool = False) -> None:
        self.pages = make_pages(self.board, self.clock, hosts=hosts, public_url=public_url, loopback=loopback)
        self.treq = StubTreq(self.pages.resource)

    def ask(self, path: str, method: str = "GET", **headers: str) -> IResponse:
        """Make a request; underscores in header names stand for hyphens."""
        named = {name.replace("_", "-"): [value] for name, value in headers.items()}
        pending = self.treq.request(method, HOME + path, headers=named)
        self.pass_turn()
        response = self.successResultOf(pending)
        for name, value in SECURITY.items():
            self.assertEqual(response.headers.getRawHeaders(name), [value], path)
        self.assertFalse(response.headers.hasHeader("Server"))
        self.assertFalse(response.headers.hasHeader("Location"))
        return response

    def pass_turn(self) -> None:
        """Long pages are made when their turn comes."""
        self.clock.advance(0)
        self.treq.flush()

    def text(self, response: IResponse) -> str:
        return self.successResultOf(Deferred.fromCoroutine(_text(response)))

    def json(self, path: str, code: int = 200, **headers: str) -> object:
        response = self.ask(path, **headers)
        self.assertEqual(response.code, code, path)
        self.assertEqual(header(response, "Content-Type"), "application/json")
        renewable = response.headers.hasHeader("ETag")
        self.assertEqual(header(response, "Cache-Control"), "private, no-cache" if renewable else "no-store")
        return json.loads(self.text(response))

    def html(self, path: str, code: int = 200) -> str:
        response = self.ask(path, Accept=HTML)
        self.assertEqual(response.code, code, path)
        self.assertEqual(header(response, "Content-Type"), "text/html; charset=utf-8")
        renewable = response.headers.hasHeader("ETag")
        self.assertEqual(header(response, "Cache-Control"), "private, no-cache" if renewable else "no-store")
        self.assertEqual(header(response, "Vary"), "Accept, Accept-Encoding")
        text = self.text(response)
        self.assertTrue(text.startswith("<!DOCTYPE html>\n"))
        return text


async def _text(response: IResponse) -> str:
    return (await treq.content(response)).decode("utf-8")


def header(response: IResponse, name: str) -> str | None:
    values = response.headers.getRawHeaders(name, [])
    assert len(values) <= 1, values
    return values[0] if values else None


class OverviewTests(AppTestCase):
    def test_json(self) -> None:
        value = self.json("/")
        assert isinstance(value, dict)
        self.assertEqual(list(value), ["data", "self"])
        self.assertEqual([row["status"] for row in value["data"]], ["ok", "error", ""])

    def test_page_shows_the_latest_state(self) -> None:
        for kind in (Kind.OK, Kind.LATE):
            made = entry("http://h/a", kind)
            self.board.set([made])
            value = self.json("/")
            assert isinstance(value, dict)
            self.assertEqual([row["kind"] for row in value["data"]], [kind])
            self.assertIn(f'data-kind="{kind}"', self.html("/"))

    def test_html(self) -> None:
        text = self.html("/")
        self.assertIn("1 of 3 tasks in trouble", text)
        self.assertNotIn("y=2", text)
        self.assertEqual(re.findall("<script[^>]*>", text), re.findall('<script src="static/[a-z]+.js[^>]*>', text))
        self.assertNotIn("style=", text)
        self.assertFalse(self.ask("/", Accept=HTML).headers.hasHeader("Refresh"))

    def test_negotiation(self) -> None:
        for accept in ("*/*", "application/json", ""):
            self.json("/", Accept=accept)
        self.assertEqual(header(self.ask("/"), "Vary"), "Accept, Accept-Encoding")

    def test_removed_task(self) -> None:
        """Its page says so, with its latest incidents."""
        history = FakeHistory(NOW)
        history.known = ["http://other/b", "http://gone/a?key=s3cret", "push:Old job"]
        self.treq = StubTreq(make_pages(self.board, self.clock, history=history).resource)
        found = self.ask("/task/" + quote("http://gone/a?key=s3cret", safe=""), Accept=HTML)
        self.assertEqual(found.code, 404)
        text = self.text(found)
        self.assertIn("No longer monitored", text)
        self.assertIn("http://gone/a?…", text)
        self.assertNotIn("s3cret", text)
        self.assertIn("late → failed", text)
        # Links in alerts have the id.
        gone = task_id("http://gone/a?key=s3cret")
        for path, words in (
            (f"/task/{gone}", "late → failed"),
            (f"/task/{gone}?from=mail", "No longer monitored"),
            (f"/task/{task_id('push:Old job')}", "Old job"),
            ("/task/0123456789ab", "Not found"),
            ("/task/http://never/a", "Not found"),
        ):
            text = self.text(self.ask(path, Accept=HTML))
            self.assertIn(words, text)
            self.assertIn('role="search"', text)
        # However long ago its incidents were, or if there were none.
        history.quiet = True
        text = self.text(self.ask(f"/task/{gone}", Accept=HTML))
        self.assertIn("http://gone/a?…", text)
        self.assertIn("It has no incidents in the history.", text)

    def test_page_that_does_not_exist_while_blind(self) -> None:
        self.board.state = daemon_state(status=Status.ERROR, blind=NOW - 60)
        self.assertIn("Py Pinger has been blind", self.text(self.ask("/no/such/page", Accept=HTML)))

    def test_no_tasks(self) -> None:
        self.board.set([])
        self.assertIn("No tasks", self.html("/"))
        value = self.json("/")
        assert isinstance(value, dict)
        self.assertEqual(value["data"], [])

    def test_many_tasks_do_not_block_the_reactor(self) -> None:
        self.board.set([entry(f"http://h/{i}", Kind.LATE) for i in range(SLICE + 1)])
        pending = self.treq.get(HOME)
        self.assertNoResult(pending)
        self.pass_turn()
        self.assertEqual(self.successResultOf(pending).code, 200)

    def test_client_that_disconnects_early(self) -> None:
        self.board.set([entry(f"http://h/{i}") for i in range(SLICE + 1)])
        pending = self.treq.get(HOME)
        pending.cancel()
        self.failureResultOf(pending)
        self.treq.flush()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_rows_do_not_block_the_reactor(self) -> None:
        """Also in many small groups."""
        for group in ("", "&by=process"):
            entries = [entry(f"http://h/{i}", process=f"job {i}") for i in range(rows.SLICE + 1)]
            self.board.set(entries)
            text = self.later(f"/?page=1{group}")
            for made in entries:
                self.assertEqual(text.count(f'id="t-{made.task.id}"'), 1)
            self.assertEqual(text.count("<table"), len(entries) if group else 1)
            first = text.index('id="process-') if group else 0
            self.assertLess(first, text.index(f'id="t-{entries[0].task.id}"'))

    def test_search_does_not_block_the_reactor(self) -> None:
        self.board.set([entry(f"http://h/{i}") for i in range(SLICE + 1)])
        self.assertIn("On time <b>1</b>", self.later(f"/?q=http://h/{SLICE}"))

    def later(self, path: str) -> str:
        """The page that takes longer than a turn of the reactor."""
        pending = self.treq.get(HOME + path, headers={"Accept": HTML})
        self.assertNoResult(pending)
        self.pass_turn()
        return self.text(self.successResultOf(pending))


class TaskTests(AppTestCase):
    def test_ok(self) -> None:
        value = self.json("/task/http://h/a")
        assert isinstance(value, dict)
        self.assertEqual((value["data"]["url"], value["data"]["status"]), ("http://h/a", "ok"))

    def test_error(self) -> None:
        late = self.board.entries()[1].task
        for path in (quote(late.url, safe=""), late.url, late.url.replace("//", "/"), late.id):
            value = self.json(f"/task/{path}", 500)
            assert isinstance(value, dict)
            self.assertEqual(value["data"]["kind"], "late")

    def test_not_seen(self) -> None:
        """Its last verdict is on time, but it is unknown whether that is still true."""
        made = entry("http://h/a")
        self.board.set([Entry(made.task, made.state, seen=NOW - 7200, unseen=NOW - 3600)])
        value = self.json("/task/http://h/a", 500)
        assert isinstance(value, dict)
        self.assertEqual((value["data"]["status"], value["data"]["unseen"]), ("ok", "2026-11-22T21:28:34.000Z"))
        self.assertIn("not seen", self.html("/task/http://h/a", 500))

    def test_other_statuses_are_200(self) -> None:
        self.json("/task/http://h/c")
        self.board.set([entry(kind=Kind.SLEEPING)])
        self.json("/task/http://h/a")

    def test_unknown(self) -> None:
        for path in (
            "x",
            "http://h/zzz",
            "http:/h",
            "%ff",
            "%00",
            "%0a%0d",
            "a" * 9000,
            "%",
            "%2e%2e/%2e%2e",
            "?x",
            "",
        ):
            self.assertEqual(self.json(f"/task/{path}", 404), {"data": {}})

    def test_html(self) -> None:
        task_id = self.board.entries()[1].task.id
        for path in (task_id, "http://h/b?x=1&y=2"):
            text = self.html(f"/task/{path}", 500)
            self.assertIn("explained as late", text)
            self.assertNotIn("y=2", text)
        self.html("/task/http://h/a")
        self.assertIn("No task with this address", self.html("/task/http://h/zzz?secret", 404))
        self.assertNotIn("secret", self.html("/task/http://h/zzz?secret", 404))

    def test_links(self) -> None:
        for public_url, root in (("", "/"), ("https://x/", "/"), ("https://x/pinger", "/pinger/")):
            self.serve(public_url=public_url)
            task_id = self.board.entries()[0].task.id
            self.assertIn(f'href="task/{task_id}"', self.html("/"))
            for path in (task_id, "http%3A%2F%2Fh%2Fa"):
                self.assertIn('<a href="../">', self.html(f"/task/{path}"))
                self.assertIn('href="../static/style.css?v=', self.html(f"/task/{path}"))
            for path in ("http://h/a", "http:/h/a"):
                self.assertIn(f'<a href="{root}">', self.html(f"/task/{path}"))
                self.assertIn(f'href="{root}static/style.css?v=', self.html(f"/task/{path}"))

    @settings(deadline=None, max_examples=50)
    @given(st.text(st.characters(codec="utf-8"), max_size=30))
    def test_any_path_is_answered(self, text: str) -> None:
        self.board = FakeBoard()
        self.serve()
        response = self.ask("/task/" + quote(text, safe="/:%?&=+"))
        self.assertIn(response.code, (404, 400))


class OtherRoutesTests(AppTestCase):
    def test_healthz(self) -> None:
        self.assertEqual(self.json("/healthz"), {"status": "ok"})
        self.board.state = daemon_state(status=Status.ERROR, explanation="the store cannot be written")
        self.assertEqual(self.json("/healthz"), {"status": "ok", "trouble": "the store cannot be written"})

    def test_readyz(self) -> None:
        self.assertEqual(self.json("/readyz"), {"status": "ready"})
        self.board.state = daemon_state(ready=False)
        self.assertEqual(self.json("/readyz", 503), {"status": "starting"})

    def test_status(self) -> None:
        self.board.state = daemon_state(status=Status.ERROR, explanation="stuck")
        value = self.json("/status", Accept=HTML)
        assert isinstance(value, dict)
        self.assertEqual((value["status"], value["reason"], value["process"]), ("error", "stuck", "Py Pinger"))

    def test_static(self) -> None:
        for name, media_type in (("style.css", "text/css; charset=utf-8"), ("ok.svg", "image/svg+xml")):
            response = self.ask(f"/static/{name}?v=1")
            self.assertEqual(response.code, 200)
            self.assertEqual(header(response, "Content-Type"), media_type)
            self.assertEqual(header(response, "Cache-Control"), "public, max-age=86400")
            self.assertTrue(self.text(response))

    def test_icons_exist(self) -> None:
        for look in ("ok", "error", "sleeping", "new"):
            self.assertEqual(self.ask(f"/static/{look}.svg").code, 200)

    def test_unknown(self) -> None:
        for path in (
            "/static/../app.py",
            "/static/%2e%2e%2fapp.py",
            "/static/nothing.css",
            "/static/",
            "/nothing",
            "/task",
            "/healthz/",
            "/healthz/x",
            "/%68ealthz",
            "/%ff",
            "/%00",
            "/%",
        ):
            self.assertEqual(self.json(path, 404), {"data": {}}, path)
        self.assertIn("There is no such page", self.html("/nothing", 404))
        # Relative where possible, so that it is right under an unknown prefix.
        for path, root in (("/nothing", "./"), ("/no/thing", "../"), ("/not/a/thing", "/")):
            self.assertIn(f'href="{root}static/style.css?v=', self.html(path, 404))

    def test_slashes_are_not_merged(self) -> None:
        for path in ("/task//x", "/task//http://h/a", "/task///", "/static//ok.svg"):
            self.assertEqual(self.ask(path).code, 404, path)

    def test_head(self) -> None:
        for path in ("/", "/task/http://h/a", "/task/http://h/b?x=1&y=2", "/healthz", "/nothing", "/static/style.css"):
            for accept in ("*/*", HTML):
                get, head = self.ask(path, Accept=accept), self.ask(path, "HEAD", Accept=accept)
                self.assertEqual(head.code, get.code)
                for name in ("Content-Type", "Cache-Control", "Vary"):
                    self.assertEqual(header(head, name), header(get, name), (path, name))
                self.assertEqual(self.text(head), "")
                if get.length is not UNKNOWN_LENGTH:
                    # It is not compressed.
                    self.assertEqual(header(head, "Content-Length"), str(get.length))
                    self.assertEqual(len(self.text(get).encode()), get.length)

    def test_unexpected_error(self) -> None:
        class Broken(FakeBoard):
            def entries(self) -> Sequence[Entry]:
                raise RuntimeError("secret")

            def daemon(self) -> DaemonState:
                raise RuntimeError("secret")

        self.board = Broken()
        self.serve()
        for path in ("/", "/status"):
            response = self.ask(path)
            self.assertEqual(response.code, 500)
            self.assertEqual(self.text(response), "500 Internal Server Error\n")
            self.assertEqual(header(response, "Content-Type"), "text/plain; charset=utf-8")
            self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
