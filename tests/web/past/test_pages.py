from __future__ import annotations

import re
from urllib.parse import urlencode

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from twisted.internet.defer import Deferred

from pypinger.domain.kinds import Kind, Status
from pypinger.domain.model import Event, Outcome
from pypinger.domain.url import task_id
from pypinger.ports.history import DeliveryFilter, IncidentFilter
from pypinger.ports.showing import Refusal
from pypinger.web.html import undelivered
from tests.web.browser import Page, overview, result
from tests.web.fakes import NOW, daemon_state, entry
from tests.web.history import FakeHistory
from tests.web.json.test_history_pages import URL, HistoryPagesTestCase
from tests.web.test_app import HTML, header

LATE = task_id(URL)


class PastPagesTestCase(HistoryPagesTestCase):
    def page(self, path: str, code: int = 200) -> Page:
        # A space between cells, as people see it.
        page = Page(re.sub("(</(?:td|th|p|label|option)>)", r" \1", self.html(path, code)).encode())
        self.assertEqual(page.open, [])
        return page

    def cells(self, page: Page) -> list[str]:
        return [attrs["id"] or "" for tag, attrs in page.elements if tag == "tr" and "id" in attrs]


class IncidentsTests(PastPagesTestCase):
    def test_page(self) -> None:
        page = self.page("/incidents")
        self.assertEqual(self.cells(page), ["incident-3", "incident-2", "incident-1"])
        self.assertIn("1 incident open now.", page.text)
        self.assertIn("open http://h/b?… disk full 1 min ago 22:27:34 UTC 1 min so far 2 alerts", page.text)
        self.assertIn(
            "closed http://h/b?… late → faileddisk full 1 h 1 min ago 21:27:34 UTC 11 min 2 alerts", page.text
        )
        self.assertIn(f"./task/{LATE}", page.links())
        self.assertIn(f"./deliveries?task={LATE}", page.links())
        self.assertIn("Incidents · Py Pinger", page.text)

    def test_json(self) -> None:
        self.assertEqual(self.value("/incidents"), self.value("/api/v1/incidents"))
        self.assertEqual(header(self.ask("/incidents"), "Vary"), "Accept, Accept-Encoding")
        value = self.value("/incidents?state=open&since=7d&limit=1")
        self.assertEqual(self.history.asked_for, IncidentFilter(open=True, since=NOW - 7 * 86_400))
        self.assertEqual(value["next"], "?state=open&since=7d&limit=1&before=3")
        self.assertEqual(self.value("/incidents?kind=x", 400)["error"], self.value("/incidents?kind=y", 400)["error"])

    def test_filters(self) -> None:
        page = self.page(f"/incidents?task={LATE}&kind=late&state=&since=&until=")
        self.assertEqual(self.history.asked_for, IncidentFilter(tasks=frozenset((URL,)), kind=Kind.LATE))
        chosen = [attrs["value"] for tag, attrs in page.elements if tag == "option" and "selected" in attrs]
        self.assertEqual(chosen, ["late"])
        self.assertIn("Only those of http://h/b?….", page.text)
        self.assertIn("./incidents", page.links())

    def test_pages(self) -> None:
        self.history.count = 5
        first = self.page("/incidents?state=closed&limit=2")
        self.assertEqual(self.cells(first), ["incident-5", "incident-4"])
        self.assertNotIn("Newest", first.text)
        self.assertIn("./incidents?state=closed&limit=2&before=4", first.links())
        second = self.page("/incidents?state=closed&limit=2&before=4")
        self.assertEqual(self.cells(second), ["incident-3", "incident-2"])
        self.assertIn("./incidents?state=closed&limit=2", second.links())
        last = self.page("/incidents?state=closed&limit=2&before=2")
        self.assertNotIn("Older", last.text)
        self.assertIn("Nothing older.", self.page("/incidents?before=1").text)

    def test_nothing(self) -> None:
        self.history.count = 0
        self.assertIn("No incidents yet", self.page("/incidents").text)
        page = self.page("/incidents?kind=late")
        self.assertIn("No incident matches.", page.text)

    def test_a_task_that_is_not_monitored_any_more(self) -> None:
        self.history.url = "http://gone/x?key=s3cret"
        page = self.page("/incidents")
        self.assertIn("gone/x?… no longer monitored", page.text)
        self.assertNotIn("s3cret", self.html("/incidents"))
        self.assertIn(f"./deliveries?task={task_id(self.history.url)}", page.links())

    def test_problems_are_on_the_page(self) -> None:
        page = self.page("/incidents?task=foo:x", 400)
        self.assertIn("task: unknown prefix foo:", page.text)
        fields = {attrs["name"]: attrs["value"] for tag, attrs in page.elements if tag == "input"}
        self.assertEqual(fields["task"], "foo:x")
        self.assertIn("unknown parameter", self.page("/incidents?x=1", 400).text)
        self.history.broken = True
        self.assertIn("The history cannot be read: the disk is gone", self.page("/incidents", 503).text)
        self.assertIn("The history cannot be read", self.page("/deliveries", 503).text)
        self.assertEqual(self.value("/deliveries", 503), {"error": "the disk is gone"})

    def test_of_one_task(self) -> None:
        page = self.page(f"/task/{LATE}/incidents?state=open")
        self.assertEqual(self.history.asked_for, IncidentFilter(tasks=frozenset((URL,)), open=True))
        self.assertIn(f"../../task/{LATE}", page.links())
        self.assertIn("../../incidents", page.links())
        stylesheet = next(attrs["href"] for tag, attrs in page.elements if tag == "link")
        self.assertTrue((stylesheet or "").startswith("../../static/style.css"))
        # Proxies may change the slashes of a URL in a path.
        self.assertIn(f"/task/{LATE}", self.page(f"/task/{URL}/deliveries").links())
        self.assertEqual(header(self.ask(f"/task/{LATE}/incidents"), "Content-Type"), "application/json")

    def test_unchanged(self) -> None:
        for path in ("/incidents", "/deliveries", f"/task/{LATE}/incidents"):
            tag = header(self.ask(path, Accept=HTML), "ETag")
            assert tag is not None
            self.assertEqual(self.ask(path, Accept=HTML, If_None_Match=tag).code, 304)
            self.assertEqual(self.ask(path, If_None_Match=tag).code, 200)

    def test_blind(self) -> None:
        self.board.state = daemon_state(blind=NOW - 60, status=Status.ERROR)
        for path in ("/incidents", "/deliveries"):
            page = self.page(path)
            self.assertIn("Py Pinger has been blind", page.text)
            self.assertIn("(!)", page.text)

    @settings(deadline=None, max_examples=30)
    @given(st.text(max_size=30), st.text(max_size=30), st.text(max_size=8))
    def test_any_text(self, words: str, task: str, since: str) -> None:
        self.history.words = words
        query = urlencode({"task": task, "since": since})
        for name in ("incidents", "deliveries"):
            response = self.ask(f"/{name}?{query}", Accept=HTML)
            self.pass_turn()
            self.assertIn(response.code, (200, 400))
            self.assertEqual(Page(self.text(response).encode()).open, [])


class DeliveriesTests(PastPagesTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.history.count = 5

    def test_page(self) -> None:
        self.board.state = daemon_state(undelivered=2, dead=1)
        page = self.page("/deliveries")
        self.assertEqual(self.cells(page), [f"delivery-{key}" for key in (5, 4, 3, 2, 1)])
        for words in (
            "2 alerts pending. 1 alert given up.",
            "1 alert was given up. Once the channel works again, send it with: pypinger resend",
            "pending Py Pinger problemdisk full slack 5 s ago 22:28:29 UTC now 22:28:34 UTC 2 attempts disk full",
            "replaced Py Pinger problem",
            "given up Py Pinger problemdisk full slack 3 s ago 22:28:31 UTC – disk full",
        ):
            self.assertIn(words, page.text)
        self.assertIn("./deliveries?outcome=dead", page.links())

    def test_nothing_is_wrong(self) -> None:
        page = self.page("/deliveries")
        self.assertIn("No alert is pending or given up.", page.text)
        self.assertNotIn("resend", page.text)

    def test_filters(self) -> None:
        page = self.page("/deliveries?event=problem&channel=slack&outcome=dead")
        self.assertEqual(
            self.history.asked_for, DeliveryFilter(event=Event.PROBLEM, channel="slack", outcome=Outcome.DEAD)
        )
        chosen = [attrs["value"] for tag, attrs in page.elements if tag == "option" and "selected" in attrs]
        self.assertEqual(chosen, ["problem", "slack", "dead"])

    def test_json(self) -> None:
        self.assertEqual(self.value("/deliveries"), self.value("/api/v1/deliveries"))
        self.assertEqual(self.value("/deliveries?outcome=sent&limit=2")["next"], "?outcome=sent&limit=2&before=4")


class UndeliveredTests(PastPagesTestCase):
    """What the overview says of alerts that did not arrive."""

    def test_channel_and_reason(self) -> None:
        self.history.count = 5
        self.board.state = daemon_state(dead=2, undelivered=3)
        page = self.page("/")
        self.assertIn("2 alerts could not be delivered", page.text)
        self.assertIn("slack: “disk full”.", page.text)
        self.assertIn("3 alerts are retried. slack: “disk full”.", page.text)
        for link in ("deliveries?outcome=dead", "deliveries?outcome=pending", "incidents", "deliveries"):
            self.assertIn(link, page.links())
        self.assertEqual(self.history.asked_for, DeliveryFilter(outcome=Outcome.RETRY))

    def test_nothing_is_read_while_all_is_well(self) -> None:
        self.page("/")
        self.assertIsNone(self.history.asked_for)

    def test_a_store_that_cannot_be_read(self) -> None:
        self.history.broken = True
        self.board.state = daemon_state(dead=2)
        self.assertIn("2 alerts could not be delivered", self.page("/").text)
        self.flushLoggedErrors()

    def test_alerts_that_were_not_tried_yet(self) -> None:
        state = daemon_state(undelivered=3)
        self.assertEqual(undelivered.lines(state), [])
        self.assertIn("3 alerts pending.", Page(overview([entry()], state)).text)

    def test_each_channel_once(self) -> None:
        found = result(Deferred.fromCoroutine(undelivered.explain(FakeHistory(NOW), daemon_state(dead=1))))
        self.assertEqual(
            found.refusals,
            (Refusal("slack", "channel_not_found", dead=True), Refusal("hipchat", "channel_not_found", dead=True)),
        )

    def test_many_channels(self) -> None:
        refusals = tuple(Refusal(f"slack {n}", "<no>", dead=True) for n in range(7))
        text = Page(overview([entry()], replace(daemon_state(dead=7), refusals=refusals))).text
        self.assertIn("slack 4: “<no>”. And 2 channels more.", text)
