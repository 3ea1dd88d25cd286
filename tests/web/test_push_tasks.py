"""Tasks that push, on pages, in JSON, feeds and metrics."""

from __future__ import annotations

import json

from msgspec.structs import replace
from twisted.trial.unittest import SynchronousTestCase

from pypinger.domain.kinds import Kind
from pypinger.domain.model import Alert, Event, Task, TaskState, Verdict
from pypinger.domain.url import task_id
from pypinger.ports.history import PastDelivery, PastIncident
from pypinger.ports.showing import Entry, LastAnswer
from pypinger.web.feeds.feed import feed
from pypinger.web.html.rows import row
from pypinger.web.json.history import delivery_object, incident_object
from pypinger.web.json.objects import task_row
from pypinger.web.lookup import TaskLookup
from tests.web.browser import Page, task_page
from tests.web.fakes import NOW, FakeBoard, daemon_state, entry, new_entry

KEY = "push:Nightly backup"
NUMBER = task_id(KEY)


def push_task(name: str = "Nightly backup", **settings: object) -> Task:
    key = f"push:{name}"
    return Task(url=None, id=task_id(key), name=name, label="", push_key="s3cret-key-s3cret", **settings)  # type: ignore[arg-type]


def pushed(kind: Kind = Kind.OK, **settings: object) -> Entry:
    known = entry(kind=kind)
    return replace(known, task=push_task(**settings), state=replace(known.state, latency=None))


def new(name: str = "Nightly backup") -> Entry:
    return Entry(push_task(name), TaskState(verdict=Verdict(Kind.NEW, "no push yet; configured then")))


class LookupTests(SynchronousTestCase):
    def setUp(self) -> None:
        names = ("Nightly backup", "a/history", "50% off?", "http:x")
        self.lookup = TaskLookup(FakeBoard([new_entry("http://h/a"), *map(new, names)]))

    def found(self, sent: str) -> str | None:
        entry = self.lookup.find(sent)
        return entry and entry.task.name

    def test_by_name_and_id(self) -> None:
        for sent, name in (
            ("Nightly%20backup", "Nightly backup"),
            ("Nightly backup", "Nightly backup"),
            (NUMBER, "Nightly backup"),
            ("a%2Fhistory", "a/history"),
            ("a/history", "a/history"),
            ("50%25%20off%3F", "50% off?"),
            ("http:x", "http:x"),
            ("Nightly%20backup?utm_source=mail", "Nightly backup"),
            ("50%25%20off%3F?x=1", "50% off?"),
            ("nightly%20backup", None),
            ("", None),
            ("Nightly", None),
        ):
            self.assertEqual(self.found(sent), name, sent)

    def test_names_of_tasks_with_urls_are_no_addresses(self) -> None:
        self.assertIsNone(self.found("h/a"))

    def test_parts(self) -> None:
        for sent, name, part in (
            ("Nightly%20backup/history", "Nightly backup", "history"),
            (f"{NUMBER}/incidents?limit=5", "Nightly backup", "incidents"),
            ("a/history", "a/history", ""),
            ("a%2Fhistory/history", "a/history", "history"),
        ):
            found = self.lookup.find_part(sent, ("history", "incidents"))
            assert found is not None
            self.assertEqual((found.entry.task.name, found.part), (name, part))


class JsonTests(SynchronousTestCase):
    def test_task(self) -> None:
        text = task_row(pushed())
        shown = json.loads(text)
        self.assertEqual(
            (shown["url"], shown["name"], shown["id"], shown["latency"]), (None, "Nightly backup", NUMBER, None)
        )
        self.assertNotIn(b"s3cret", text)

    def test_history(self) -> None:
        incident = incident_object(PastIncident(1, KEY, NOW, NOW, None, (Kind.LATE,), "late", 1, ()))
        self.assertEqual((incident.url, incident.task), (None, NUMBER))
        alert = Alert(id="f" * 16, event=Event.PROBLEM, at=NOW, explanation="late")
        delivery = delivery_object(PastDelivery(1, KEY, alert, "slack", 1, "ok", None, None))
        self.assertEqual((delivery.url, delivery.task), (None, NUMBER))


class FeedTests(SynchronousTestCase):
    def test_titles(self) -> None:
        incident = PastIncident(1, KEY, NOW, NOW, None, (Kind.LATE,), "late", 1, ())
        for board in (FakeBoard([pushed(Kind.LATE)]), FakeBoard()):
            document = feed([incident], board, NOW, "https://p/", now=NOW).decode()
            self.assertIn("<title>Nightly backup is late</title>", document)
            self.assertIn(f"https://p/task/{NUMBER}", document)


class PageTests(SynchronousTestCase):
    def test_how_to_push(self) -> None:
        text = Page(task_page(pushed(page=f"https://p.example/x/task/{NUMBER}"))).text
        for words in (
            "curl -fsS -m 10 --retry 5 https://p.example/x/ping/*** It has run",
            "https://p.example/x/ping/***/fail It has failed",
            "--data-binary @report.json https://p.example/x/push/*** A whole report",
        ):
            self.assertIn(words, text)
        self.assertNotIn("s3cret", text)
        self.assertIn("http://HOST:PORT/ping/***", Page(task_page(pushed())).text)
        self.assertNotIn("/ping/", Page(task_page(entry())).text)

    def test_nothing_is_said_of_fetches(self) -> None:
        text = Page(task_page(replace(pushed(), seen=NOW - 21))).text
        for words in ("Next check", "Interval", "Timeout", "Latency", "Last answer"):
            self.assertNotIn(words, text)
        self.assertIn("Pushes120", text)
        self.assertIn("Last push", text)

    def test_the_latest_push(self) -> None:
        answer = LastAnswer(NOW - 60, 0, b"disk at 93 %", False, pushed=True)
        text = Page(task_page(pushed(), NOW, None, answer)).text
        self.assertIn("Latest push", text)
        self.assertIn("disk at 93 %", text)
        self.assertNotIn("HTTP", text)
        self.assertIn("The report that its pushes add up to, without secrets.", Page(task_page(pushed())).text)

    def test_before_the_first_push(self) -> None:
        page = Page(task_page(new()))
        self.assertIn("no push yet", page.text)
        self.assertIn("no push yet", row(new(), None, daemon_state(), NOW).decode())
