"""The public page: what is on it, and that nothing else is."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace
from treq.testing import StubTreq

from pypinger.domain.kinds import Kind, Status
from pypinger.domain.model import Instant, Verdict
from pypinger.domain.times import DAY
from pypinger.ports.history import IncidentFilter
from pypinger.ports.showing import Entry
from pypinger.web.public import tasks
from tests.web.browser import Page
from tests.web.fakes import NOW, SILENCED, acknowledged, daemon_state, entry, new_entry, with_incident
from tests.web.history_pages import PagedHistory
from tests.web.pages import make_pages
from tests.web.test_app import HTML, AppTestCase, header


class Past(PagedHistory):
    """Incidents of one task after the other, and uptime since a given time."""

    begins: Instant | None = NOW - 10 * DAY

    async def beginning(self, url: str) -> Instant | None:
        self._check()
        self.asked.append(url)
        return self.begins


def named(made: Entry, name: str, **changes: object) -> Entry:
    """The same task with a configured name."""
    return replace(made, task=replace(made.task, name=name, named=True, **changes))


class PublicTestCase(AppTestCase):
    def setUp(self) -> None:
        self.history = Past(3, url="http://h/b?key=s3cret")
        super().setUp()
        self.show(
            named(entry("http://h/a"), "Shop", group="shop"),
            named(entry("http://h/b?key=s3cret", Kind.FAILED), "Checkout", group="shop"),
            named(entry("http://h/c"), "Payroll", group="private"),
            replace(entry("http://h/d"), task=replace(entry("http://h/d").task, group="shop", named=False)),
        )

    def show(self, *entries: Entry) -> None:
        self.board.set(entries)

    def serve(self, hosts: Sequence[str] = (), public_url: str = "", loopback: bool = False) -> None:
        self.publish("group:shop")

    def publish(self, selector: str) -> None:
        self.pages = make_pages(self.board, self.clock, history=self.history, public=selector)
        self.treq = StubTreq(self.pages.resource)

    def pass_turn(self) -> None:
        for _ in range(4):
            super().pass_turn()

    def value(self, path: str = "/public") -> dict[str, object]:
        value = self.json(path)
        assert isinstance(value, dict)
        return value

    def page(self, path: str = "/public") -> Page:
        return Page(self.html(path).encode())


class PublicPageTests(PublicTestCase):
    def test_json(self) -> None:
        value = self.value()
        self.assertEqual(list(value), ["data", "incidents", "blind", "next"])
        self.assertEqual(
            value["data"],
            [
                {
                    "name": "Checkout",
                    "status": "error",
                    "since": "2026-11-22T22:13:34.000Z",
                    "uptime": {"24h": 1.0, "7d": 0.5, "30d": None, "90d": None},
                },
                {
                    "name": "Shop",
                    "status": "ok",
                    "since": None,
                    "uptime": {"24h": 1.0, "7d": 0.5, "30d": None, "90d": None},
                },
            ],
        )
        incidents = value["incidents"]
        assert isinstance(incidents, list)
        self.assertEqual(incidents[0], {"name": "Checkout", "started": "2026-11-22T22:27:34.000Z", "ended": None})
        self.assertEqual(
            self.history.asked_for, IncidentFilter(tasks=frozenset(("http://h/a", "http://h/b?key=s3cret")))
        )

    def test_html(self) -> None:
        page = self.page()
        for words in ("1 of 2 tasks in trouble", "in trouble for 15 min", "Checkout", "Shop", "100 % 24 hours"):
            self.assertIn(words, page.text)
        self.assertNotIn("Payroll", page.text)
        # It does not follow the stream, and has no links.
        self.assertIn(("body", "yes"), [(tag, attrs.get("data-poll")) for tag, attrs in page.elements])
        self.assertEqual(page.links(), ["#main"])

    def test_off(self) -> None:
        self.publish("")
        self.assertEqual(self.json("/public", 404), {"data": {}})
        self.html("/public", 404)

    def test_turned_on_and_off_by_a_reload(self) -> None:
        self.pages.configure((), "")
        self.json("/public", 404)

    def test_every_standing(self) -> None:
        asleep, unseen = entry("http://h/1", Kind.SLEEPING), replace(entry("http://h/2"), unseen=NOW - 60)
        self.publish("*")
        for made, status, heading in (
            (asleep, "sleeping", "All tasks on time"),
            (unseen, "unseen", "1 of 1 task not seen"),
            (new_entry(), "new", "1 of 1 task not checked yet"),
            (entry("http://h/3", Kind.LATE), "error", "1 of 1 task in trouble"),
        ):
            self.show(named(made, "One"))
            self.assertEqual([each["status"] for each in self.value()["data"]], [status])  # type: ignore[attr-defined]
            self.assertIn(heading, self.page().text)
        self.show()
        self.assertIn("There is nothing to show.", self.page().text)

    def test_newest_trouble_first(self) -> None:
        self.publish("*")
        self.show(
            named(entry("http://h/1"), "Fine"),
            named(with_incident(entry("http://h/2", Kind.LATE), started=NOW - 900), "Old"),
            named(replace(entry("http://h/3"), unseen=NOW - 60), "Unseen"),
            named(with_incident(entry("http://h/4", Kind.LATE), started=NOW - 60), "New"),
        )
        names = [each["name"] for each in self.value()["data"]]  # type: ignore[attr-defined]
        self.assertEqual(names, ["New", "Old", "Unseen", "Fine"])

    def test_blind(self) -> None:
        self.board.state = daemon_state(blind=NOW - 60, status=Status.ERROR)
        self.assertEqual(self.value()["blind"], "2026-11-22T22:27:34.000Z")
        page = self.page()
        self.assertIn("There has been no contact with them for 1 min (since 22:27:34 UTC).", page.text)
        self.assertIn("These are the last known states: 1 in trouble, 1 on time.", page.text)
        self.assertIn("The tasks cannot be seen", page.text)
        # No row looks as if its state were current.
        self.assertIn("not seen was in trouble", page.text)
        self.assertIn("not seen was on time", page.text)
        self.assertEqual(page.classes("tr")[1:3], ["degraded", "degraded"])
        self.assertIn("degraded", " ".join(page.classes("header")))

    def test_the_age_of_an_open_incident_is_kept_up_to_date(self) -> None:
        self.assertIn('data-age="{} so far"', self.html("/public"))

    def test_pages(self) -> None:
        self.publish("*")
        self.show(*(named(entry(f"http://h/{n}"), f"Task {n}") for n in range(tasks.PAGE + 1)))
        first = self.value()
        self.assertEqual((len(first["data"]), first["next"]), (tasks.PAGE, "?page=2"))  # type: ignore[arg-type]
        second = self.value("/public?page=2")
        self.assertEqual((len(second["data"]), second["next"]), (1, None))  # type: ignore[arg-type]
        for query in ("page=99", "page=x&page=2"):
            self.assertEqual(self.value(f"/public?{query}"), second)
        for query in ("page=0", "page=-1", "page=", "page=%d9%a3", "x=1"):
            self.assertEqual(self.value(f"/public?{query}"), first)
        self.assertIn("?page=2", self.page().links())
        self.assertIn("?page=1", self.page("/public?page=2").links())

    def test_uptime_is_cached_for_a_minute(self) -> None:
        self.value()
        self.page()
        self.assertEqual(len(self.history.asked), 2)

    def test_without_history(self) -> None:
        self.history.broken = True
        self.assertEqual([each["uptime"]["7d"] for each in self.value()["data"]], [None, None])  # type: ignore[attr-defined]
        self.assertIn("Checkout", self.page().text)
        self.pages = make_pages(self.board, self.clock, public="*")
        self.treq = StubTreq(self.pages.resource)
        self.assertIn("Checkout", self.page().text)

    def test_a_history_that_begins_recently(self) -> None:
        self.history.begins = NOW - 3600
        self.assertEqual(self.value()["data"][0]["uptime"]["24h"], None)  # type: ignore[index]
        self.history.begins = None
        self.publish("*")
        self.page()

    def test_unchanged(self) -> None:
        for accept in (HTML, "application/json"):
            tag = header(self.ask("/public", Accept=accept), "ETag")
            assert tag is not None
            self.assertEqual(self.ask("/public", Accept=accept, If_None_Match=tag).code, 304)
            self.assertEqual(header(self.ask("/public", Accept=accept), "Vary"), "Accept, Accept-Encoding")


class SecretsTests(PublicTestCase):
    """Nothing private shows, not even by a change of the page or its entity tag."""

    def answers(self) -> list[tuple[str, str | None]]:
        found = []
        for accept in (HTML, "application/json"):
            response = self.ask("/public", Accept=accept)
            found.append((self.text(response), header(response, "ETag")))
        return found

    def test_private_changes_are_invisible(self) -> None:
        public = named(entry("http://h/b?key=s3cret", Kind.FAILED), "Checkout", group="shop")
        self.show(public)
        before = self.answers()
        report = public.state.report
        assert report is not None
        state = public.state
        private = replace(report, reason="s3cret reason", process="s3cret process", server="s3cret server", lastrun=1.0)
        for other in (
            replace(public, state=replace(state, report=private)),
            replace(public, state=replace(state, verdict=Verdict(Kind.LATE, "s3cret explanation"))),
            replace(public, state=replace(state, pings=1, errors=2, latency=3.0, checked=NOW)),
            replace(public, task=replace(public.task, note="s3cret", runbook="http://s3cret/", label="http://s3cret")),
            replace(public, muted=SILENCED),
            acknowledged(public, "s3cret person", "s3cret reason"),
            with_incident(public, flapping=True, kind=Kind.LATE, alerts=9),
        ):
            self.show(other)
            self.assertEqual(self.answers(), before)
        # Neither other tasks nor the daemon's own troubles show.
        self.show(public, entry("http://h/private", Kind.LATE), named(entry("http://h/p2"), "Payroll"))
        self.board.state = daemon_state(dead=3, undelivered=2, status=Status.ERROR, explanation="the s3cret disk")
        self.assertEqual(self.answers(), before)

    def test_another_url_is_invisible(self) -> None:
        texts = []
        for url in ("http://h/b?key=s3cret", "http://elsewhere/"):
            self.history.url = url
            self.show(named(entry(url, Kind.LATE), "Checkout", group="shop"))
            self.publish("group:shop")
            texts.append(self.answers())
        # The picture of 90 days is made up from the URL in this test.
        self.assertEqual(texts[0][1], texts[1][1])

    def test_no_private_text(self) -> None:
        made = named(
            entry("http://h/b?key=s3cret", Kind.FAILED, reason="pg_dump failed", process="dumper", server="db-7"),
            "Checkout",
            group="shop",
            note="ask ben",
        )
        self.show(replace(acknowledged(made), muted=SILENCED))
        for text, _ in self.answers():
            private = ("s3cret", "http://h", "pg_dump", "dumper", "db-7", "ben", "jane", "explained", "failed")
            for words in (*private, made.task.id, "disk full", "shop", "events", "feed.atom", "/api/"):
                self.assertNotIn(words, text)
