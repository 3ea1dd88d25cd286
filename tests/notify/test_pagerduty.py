"""Events for PagerDuty (contract, section 5), checked by a service that takes what PagerDuty's API describes."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from pypinger.domain.alerting import daemon_alert
from pypinger.domain.clocks import IS_WRONG, WAS_WRONG
from pypinger.domain.kinds import Kind
from pypinger.domain.model import Alert, Event
from pypinger.notify import channels
from pypinger.ports.notifying import Reply
from pypinger.testing.channels import (
    JSON,
    NOW,
    HttpService,
    NotifierContract,
    Posted,
    RecordingClient,
    alert,
    context,
    reply,
)
from pypinger.testing.contract import Received
from tests.notify.pagerdutyserver import PagerDutyAlerts, event_errors
from tests.notify.strategies import alerts as any_alerts

KEY = "e93facc04764012d7bfb002500d5d1a6"
URL = "https://events.pagerduty.com/v2/enqueue"
VALUES = {"routing_key": KEY, "url": URL}
DAEMON = "py-pinger"


def event_of(one: Alert) -> dict[str, Any]:
    """Return the event that is sent for an alert; PagerDuty accepts it."""
    client = RecordingClient(always=lambda: reply(202))
    Deferred.fromCoroutine(channels()["pagerduty"].notifier(VALUES, context(client)).send([one]))
    body = client.posted[0].body
    assert event_errors(body) == [], event_errors(body)
    event: dict[str, Any] = json.loads(body)
    return event


class Service(HttpService):
    """PagerDuty, where the trigger and the resolution of a test are one message."""

    def received(self) -> list[Received]:
        events = [json.loads(posted.body) for posted in self.client.posted]
        shown = [(event["event_action"], event["payload"]["custom_details"]["event"]) for event in events]
        return [each for each, one in zip(super().received(), shown, strict=True) if one != ("resolve", "test")]


class PagerDutyTests(NotifierContract, SynchronousTestCase):
    section = "pagerduty"
    values = VALUES
    secrets = (KEY,)

    def service(self) -> HttpService:
        return Service(self.accepted, self.refused, self.identity)

    def accepted(self) -> Reply:
        return reply(202, '{"status": "success", "message": "Event processed", "dedup_key": "k"}')

    def refused(self, words: str) -> Reply:
        return reply(400, json.dumps({"status": "invalid event", "message": words, "errors": ["why", 3]}))

    def identity(self, posted: Posted) -> object:
        return json.loads(posted.body)["payload"]["custom_details"]["alert_id"]

    def test_request(self) -> None:
        client = RecordingClient(self.accepted())
        self.assertEqual(self.send(client, alert()), "HTTP 202 Accepted")
        (posted,) = client.posted
        self.assertEqual((posted.url, posted.headers["Content-Type"]), (URL, JSON))

    def test_another_server(self) -> None:
        """The URL is used whole: the European region, or a service with the same API that answers 200."""
        client = RecordingClient(reply(200, '{"status": "success"}'))
        notifier = channels()["pagerduty"].notifier({**VALUES, "url": "https://pd.example/x/enqueue/"}, context(client))
        self.successResultOf(Deferred.fromCoroutine(notifier.send([alert()])))
        self.assertEqual(client.posted[0].url, "https://pd.example/x/enqueue/")

    def test_a_page_is_not_pagerduty(self) -> None:
        for code in (200, 403):
            error = self.failure(reply(code, b"<html>log in"))
            self.assertFalse(error.permanent)
        self.assertFalse(self.failure(reply(200, b"{}")).permanent)

    def test_words(self) -> None:
        self.assertEqual(self.failure(self.refused("Event object is invalid")).words, "Event object is invalid: why")

    def test_trigger(self) -> None:
        event = event_of(
            alert(group="billing", runbook="https://wiki.example/r?x=1", note="old server", reason="disk full")
        )
        self.assertEqual(
            event,
            {
                "routing_key": KEY,
                "event_action": "trigger",
                "dedup_key": "0123456789ab:1699999995000",
                "client": "Py Pinger",
                "client_url": "https://pinger.example/task/0123456789ab",
                "links": [
                    {"href": "https://pinger.example/task/0123456789ab", "text": "The task in Py Pinger"},
                    {"href": "https://wiki.example/r?x=1", "text": "Runbook"},
                ],
                "payload": {
                    "summary": "PROBLEM: nightly backup is late: last ran 21:55:00 UTC, 34 min ago; runs every 10 min",
                    "source": "db1",
                    "severity": "error",
                    "timestamp": "2023-11-14T22:13:15.000Z",
                    "component": "backup",
                    "group": "billing",
                    "class": "late",
                    "custom_details": {
                        "alert_id": "0123456789ab-1700000000-1",
                        "event": "problem",
                        "explanation": "last ran 21:55:00 UTC, 34 min ago; runs every 10 min",
                        "task": "nightly backup",
                        "url": "https://db1.example/task",
                        "process": "backup",
                        "server": "db1",
                        "reason": "disk full",
                        "note": "old server",
                        "incident_started": "2023-11-14T22:13:15.000Z",
                    },
                },
            },
        )

    def test_source_without_a_server(self) -> None:
        self.assertEqual(event_of(alert(server=None))["payload"]["source"], "db1.example")
        self.assertEqual(event_of(alert(server=None, origin=""))["payload"]["source"], "https://db1.example/task")
        self.assertEqual(event_of(alert(Event.TEST))["payload"]["source"], "Py Pinger")

    def test_one_key_an_incident(self) -> None:
        """It is triggered, acknowledged and resolved; the next incident of the task has another key."""
        service = PagerDutyAlerts()
        first = [alert(), alert(Event.ACKNOWLEDGED), alert(Event.CHANGED, before=Kind.FAILED), alert(Event.RECOVERED)]
        second = [alert(Event.FLAPPING, started=NOW), alert(Event.REMINDER, started=NOW)]
        for one in (*first, *second):
            code, _ = service.take(json.dumps(event_of(one)).encode())
            self.assertEqual(code, 202)
        one, two = f"{alert().task}:{round((NOW - 5) * 1000)}", f"{alert().task}:{round(NOW * 1000)}"
        self.assertEqual(
            service.history,
            [("trigger", one), ("acknowledge", one), ("trigger", one), ("resolve", one), ("trigger", two),
             ("trigger", two)],
        )  # fmt: skip
        self.assertEqual(service.open, {two: "triggered"})

    def test_py_pinger_itself(self) -> None:
        """Blindness and a wrong clock have keys of their own, and so has each test; a start resolves a stop."""
        cases = [
            (Event.BLIND, "cannot look up", "trigger", "blind", "critical"),
            (Event.SIGHTED, "it was blind for 5 min", "resolve", "blind", "info"),
            (Event.BLIND, f"{IS_WRONG}: 5 min", "trigger", "clock", "warning"),
            (Event.SIGHTED, f"{WAS_WRONG} for 5 min", "resolve", "clock", "info"),
            (Event.STOPPED, "after running for 5 min", "trigger", "stopped", "warning"),
            (Event.STARTED, "watching 2 tasks", "resolve", "stopped", "info"),
            (Event.TEST, "no action is needed", "trigger", "test:7", "info"),
        ]
        for event, words, action, key, severity in cases:
            made = event_of(Alert(id="7", event=event, at=NOW, explanation=words))
            self.assertEqual((made["event_action"], made["dedup_key"]), (action, f"{DAEMON}:{key}"))
            self.assertEqual(made["payload"]["severity"], severity)
            self.assertIn(words, made["payload"]["summary"])

    def test_each_instance_has_keys_of_its_own(self) -> None:
        """The end of one's blindness must not resolve that of another."""
        keys = [
            event_of(daemon_alert(event, "it cannot look up", NOW, name))["dedup_key"]
            for name in ("a", "b")
            for event in (Event.BLIND, Event.SIGHTED)
        ]
        self.assertEqual(keys, [f"{DAEMON}:blind:a"] * 2 + [f"{DAEMON}:blind:b"] * 2)

    def test_a_test_does_not_stay_open(self) -> None:
        """It is triggered, so that the way is tried, and resolved; a resolution that fails is a failure."""
        service, client = PagerDutyAlerts(), RecordingClient(self.accepted(), self.accepted())
        self.send(client, alert(Event.TEST))
        for posted in client.posted:
            self.assertEqual(service.take(posted.body)[0], 202)
        key = f"{DAEMON}:test:{alert(Event.TEST).id}"
        self.assertEqual((service.history, service.open), ([("trigger", key), ("resolve", key)], {}))
        client = RecordingClient(self.accepted(), reply(500))
        error = self.error_of(Deferred.fromCoroutine(self.notifier(client).send([alert(Event.TEST)])))
        self.assertEqual((error.words, error.permanent), ("HTTP 500 Internal Server Error", False))

    def test_limits(self) -> None:
        event = event_of(alert(name="n" * 5_000, page=f"https://p/{'x' * 9_000}", runbook="https://r/a b"))
        self.assertEqual(len(event["payload"]["summary"]), 1_024)
        self.assertEqual(event["links"], [])
        self.assertNotIn("client_url", event)

    @settings(max_examples=60, deadline=None)
    @given(any_alerts)
    def test_any_text(self, one: Alert) -> None:
        event = event_of(one)
        self.assertEqual(event["payload"]["custom_details"]["alert_id"], one.id)


class ChannelTests(SynchronousTestCase):
    def test_options(self) -> None:
        channel = channels()["pagerduty"]
        self.assertEqual(channel.essential(VALUES), ("routing_key",))
        self.assertEqual(
            channel.events, {Event.PROBLEM, Event.CHANGED, Event.RECOVERED, Event.FLAPPING, Event.ACKNOWLEDGED}
        )
        (default,) = (option.default for option in channel.options if option.name == "url")
        self.assertEqual(default, URL)
        self.assertEqual(list(channel.check({**VALUES, "routing_key": "a b"})), ["routing_key"])


class SchemaTests(SynchronousTestCase):
    """The service of the tests refuses what PagerDuty refuses."""

    def test_refused(self) -> None:
        good = event_of(alert())
        payload = good["payload"]
        for event, words in (
            ({**good, "event_action": "open"}, "event_action"),
            ({**good, "dedup_key": "x" * 256}, "256 characters"),
            ({**good, "payload": {**payload, "severity": "fatal"}}, "severity"),
            ({**good, "payload": {**payload, "summary": "x" * 1025}}, "1025 characters"),
            ({**good, "payload": {**payload, "source": 7}}, "no string"),
            ({**good, "links": [{"text": "x"}]}, "links[0] has no href"),
            ({**good, "routing_key": ""}, "routing_key"),
            ({**good, "more": 1}, "unknown member more"),
            ({name: value for name, value in good.items() if name != "payload"}, "needs a payload"),
        ):
            code, said = PagerDutyAlerts().take(json.dumps(event).encode())
            self.assertEqual((code, said["status"]), (400, "invalid event"))
            self.assertIn(words, " ".join(said["errors"]))
