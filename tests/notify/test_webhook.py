"""Webhooks: JSON or a template, signed (contract, section 5)."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase, TestCase

from pypinger.domain.kinds import Kind
from pypinger.domain.model import Alert, Event
from pypinger.http.messenger import Messenger
from pypinger.notify import channels
from pypinger.notify.webhook import FIELDS
from pypinger.ports.notifying import DeliveryError, Reply
from pypinger.testing.channels import NOW, NotifierContract, Posted, RecordingClient, alert, context, reply
from tests.http.faults import answer
from tests.http.faultserver import FaultServer
from tests.notify.strategies import alerts as any_alerts

URL = "https://hooks.example/T0KEN-of-the-path/in?key=queryKEY99"
VALUES = {
    "url": URL,
    "headers": "Authorization: Bearer headerSECRET\nX-Team: ops",
    "secret": "signingSECRET",
    "template": "",
}


def sent(values: Mapping[str, str], one: Alert) -> Posted:
    """Return the request that is made for an alert."""
    client = RecordingClient(reply(200))
    Deferred.fromCoroutine(channels()["webhook"].notifier(values, context(client)).send([one]))
    return client.posted[0]


def message_of(one: Alert) -> dict[str, Any]:
    message: dict[str, Any] = json.loads(sent(VALUES, one).body)
    return message


class WebhookTests(NotifierContract, SynchronousTestCase):
    section = "webhook"
    values = VALUES
    passing = (408, 425, 429, 500, 501, 502, 503, 504, 599)
    permanent = (300, 301, 302, 303, 304, 307, 308, 400, 401, 402, 403, 404, 409, 410, 413, 418, 422, 451)
    secrets = (URL, "T0KEN-of-the-path", "queryKEY99", "headerSECRET", "signingSECRET")

    def accepted(self) -> Reply:
        return reply(204)

    def refused(self, words: str) -> Reply:
        return reply(422, json.dumps({"error": words}))

    def identity(self, posted: Posted) -> object:
        return posted.headers["Idempotency-Key"]

    def test_faults_of_the_service_pass(self) -> None:
        """The contract names the codes that are retried; redirects are not followed, and permanent."""
        for code in self.passing:
            error = self.failure(reply(code))
            self.assertFalse(error.permanent, code)
            self.assertIn(str(code), error.words)
        for code in self.permanent:
            error = self.failure(reply(code, location="https://elsewhere.example/", retry_after="5"))
            self.assertTrue(error.permanent, code)
            self.assertIn(str(code), error.words)

    def test_a_page_of_a_middlebox_is_no_refusal(self) -> None:
        for code in (302, 403, 404, 407, 418):
            error = self.failure(reply(code, b"<html>log in", content_type="text/html"))
            self.assertFalse(error.permanent, code)
            self.assertNotIn("log in", error.words)

    def test_words_that_are_called_a_page(self) -> None:
        """Small servers send ``text/html`` with whatever they answer."""
        error = self.failure(reply(404, "no such hook", content_type="text/html"))
        self.assertEqual((error.permanent, error.words), (True, "HTTP 404 Not Found: no such hook"))

    def test_words(self) -> None:
        """They are the receiver's own, in JSON or as text."""
        for body, words in (
            ('{"error": "no such hook"}', "HTTP 404 Not Found: no such hook"),
            ('{"message": "gone"}', "HTTP 404 Not Found: gone"),
            ("no such\nhook", "HTTP 404 Not Found: no such hook"),
            ('{"code": 3}', "HTTP 404 Not Found"),
            ("", "HTTP 404 Not Found"),
        ):
            self.assertEqual(self.failure(reply(404, body)).words, words)

    def test_request(self) -> None:
        client = RecordingClient(self.accepted())
        self.assertEqual(self.send(client, alert()), "HTTP 204 No Content")
        (posted,) = client.posted
        self.assertEqual(posted.url, URL)
        digest = hmac.new(b"signingSECRET", posted.body, hashlib.sha256).hexdigest()
        self.assertEqual(
            posted.headers,
            {
                "Content-Type": "application/json",
                "Authorization": "Bearer headerSECRET",
                "X-Team": "ops",
                "Idempotency-Key": "0123456789ab-1700000000-1",
                "X-Pypinger-Signature": f"sha256={digest}",
            },
        )

    def test_message(self) -> None:
        one = alert(
            Event.CHANGED,
            before=Kind.FAILED,
            group="billing",
            reason="disk full",
            lastrun=NOW - 3600,
            due=NOW - 600,
            runbook="https://wiki.example/r?x=1",
            note="old server",
        )
        self.assertEqual(
            message_of(one),
            {
                "id": "0123456789ab-1700000000-1",
                "event": "changed",
                "at": "2023-11-14T22:13:15.000Z",
                "explanation": "last ran 21:55:00 UTC, 34 min ago; runs every 10 min (late by 10 min)",
                "kind": "late",
                "before": "failed",
                "task": {
                    "url": "https://db1.example/task",
                    "id": "0123456789ab",
                    "name": "nightly backup",
                    "group": "billing",
                    "process": "backup",
                    "server": "db1",
                    "status": "error",
                    "reason": "disk full",
                    "lastrun": "2023-11-14T21:13:20.000Z",
                    "due": "2023-11-14T22:03:20.000Z",
                    "page": "https://pinger.example/task/0123456789ab",
                    "runbook": "https://wiki.example/r?x=1",
                    "note": "old server",
                },
                "incident": {"started": "2023-11-14T22:13:15.000Z"},
            },
        )

    def test_unknown_is_null(self) -> None:
        message = message_of(alert(process=None, page=None))
        self.assertIsNone(message["before"])
        for member in ("group", "process", "reason", "lastrun", "due", "page", "runbook", "note"):
            self.assertIsNone(message["task"][member], member)

    def test_recovered(self) -> None:
        message = message_of(alert(Event.RECOVERED, before=Kind.LATE))
        self.assertEqual((message["kind"], message["before"], message["task"]["status"]), ("ok", "late", "ok"))

    def test_alerts_without_a_task(self) -> None:
        message = message_of(alert(Event.STARTED))
        self.assertEqual((message["event"], message["explanation"]), ("started", "12 tasks"))
        self.assertEqual([message[name] for name in ("kind", "before", "task", "incident")], [None] * 4)

    def test_no_secret_no_signature(self) -> None:
        posted = sent({**VALUES, "secret": "", "headers": ""}, alert())
        self.assertEqual(set(posted.headers), {"Content-Type", "Idempotency-Key"})

    @settings(max_examples=60, deadline=None)
    @given(any_alerts)
    def test_any_text(self, one: Alert) -> None:
        message = message_of(one)
        self.assertEqual(message["id"], one.id)
        for text in (message["explanation"], *message["task"].values()):
            self.assertTrue(text is None or (text.isprintable() or "\n" not in text))


class TemplateTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.path = Path(self.mktemp()).absolute()
        self.values = {**VALUES, "template": str(self.path)}

    def test_fields(self) -> None:
        members = message_of(alert())["task"]
        self.assertEqual(
            set(FIELDS),
            {"id", "event", "at", "explanation", "kind", "before", "incident_started"}
            | {f"task_{member}" for member in members},
        )

    def test_values_are_escaped_for_json(self) -> None:
        self.path.write_text('{"text": "$event: $task_name ${explanation}", "since": "$incident_started"}')
        posted = sent(self.values, alert(name='the "best"\\ täsk', explanation="a\nb\t</script>\u2028"))
        self.assertEqual(
            json.loads(posted.body),
            {"text": 'problem: the "best"\\ täsk a b </script>', "since": "2023-11-14T22:13:15.000Z"},
        )
        self.assertEqual(posted.headers["Content-Type"], "application/json")
        digest = hmac.new(b"signingSECRET", posted.body, hashlib.sha256).hexdigest()
        self.assertEqual(posted.headers["X-Pypinger-Signature"], f"sha256={digest}")

    def test_null_is_empty(self) -> None:
        self.path.write_text("[$before|$task_name|$incident_started|$kind]")
        self.assertEqual(sent(self.values, alert(Event.STARTED)).body, b"[|||]")

    def test_another_content_type(self) -> None:
        self.path.write_text("$task_name: $explanation …")
        headers = "content-type: text/plain; charset=utf-8"
        posted = sent({**self.values, "headers": headers}, alert())
        self.assertEqual(posted.headers["Content-Type"], "text/plain; charset=utf-8")
        self.assertNotIn("content-type", posted.headers)
        self.assertTrue(posted.body.decode().startswith("nightly backup: last ran"))

    def test_problems(self) -> None:
        self.path.write_text("$task_nam\n$5")
        problems = channels()["webhook"].check(self.values)
        self.assertEqual(
            problems,
            {
                "template": f"{self.path}: line 1: unknown field $task_nam; did you mean $task_name?; "
                'line 2: a "$" before no field; write "$$" for a dollar sign'
            },
        )
        self.path.unlink()
        self.assertEqual(
            channels()["webhook"].check(self.values),
            {"template": f"cannot read {self.path}: no such file or directory"},
        )

    def test_a_template_that_vanishes_after_the_check(self) -> None:
        notifier = channels()["webhook"].notifier(self.values, context(RecordingClient()))
        error = self.failureResultOf(Deferred.fromCoroutine(notifier.send([alert()])), DeliveryError).value
        self.assertFalse(error.permanent)
        self.assertIn("no such file", error.words)


class HeaderTests(SynchronousTestCase):
    def problems(self, headers: str, url: str = URL) -> Mapping[str, str]:
        return channels()["webhook"].check({**VALUES, "headers": headers, "url": url})

    def test_good(self) -> None:
        for headers in ("", "X-Key:v", "X-A: 1\nx-b : a: b\nAccept: */*"):
            self.assertEqual(self.problems(headers), {}, headers)

    def test_bad(self) -> None:
        """No value is quoted: any of them may be a secret."""
        for headers, words in (
            ("SECRETTOKEN", 'header 1 must be written as "Name: value"'),
            ("X-A: 1\nX B: SECRET", 'header 2 must be written as "Name: value"'),
            (": SECRET", 'header 1 must be written as "Name: value"'),
            ("X-A:", "the value of header 1 (X-A) must be printable ASCII"),
            ("X-A: SECRÉT", "the value of header 1 (X-A) must be printable ASCII"),
            ("X-A: 1\nx-a: 2", "header 2: x-a is given twice"),
            ("Host: SECRET", "header 1: Host is set by Py Pinger itself"),
            ("idempotency-key: SECRET", "header 1: idempotency-key is set by Py Pinger itself"),
            ("X-Pypinger-Signature: SECRET", "header 1: X-Pypinger-Signature is set by Py Pinger itself"),
            ("X: \u00e9\nHost: y", "the value of header 1 (X) must be printable ASCII; header 2: Host is set by "
             "Py Pinger itself"),
        ):  # fmt: skip
            self.assertEqual(self.problems(headers), {"headers": words})

    def test_two_authorizations(self) -> None:
        """Userinfo in the URL is sent as HTTP Basic."""
        url = "https://user:password@hooks.example/"
        self.assertEqual(self.problems("X-A: 1", url), {})
        self.assertEqual(
            self.problems("authorization: x", url),
            {"headers": "header 1: authorization is set by the user name in url"},
        )
        self.assertEqual(self.problems("Authorization: x", "nonsense"), {})


class RealTests(TestCase):
    """Over real connections."""

    async def send(self, server: FaultServer, **values: str) -> str:
        listening = server.listen()
        self.addCleanup(listening.stopListening)
        client = Messenger(reactor)
        self.addCleanup(lambda: Deferred.fromCoroutine(client.close()))
        url = f"http://127.0.0.1:{server.port}/in/pathSECRET1234567?k=querySECRET"
        notifier = channels()["webhook"].notifier({**VALUES, "url": url, **values}, context(client))
        return await notifier.send([alert()])

    async def test_receiver_verifies_the_signature(self) -> None:
        server = FaultServer([answer(b"thanks")])
        self.assertEqual(await self.send(server), "HTTP 200 OK")
        head, _, body = server.requests[0].partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        self.assertEqual(lines[0], "POST /in/pathSECRET1234567?k=querySECRET HTTP/1.1")
        headers = dict(line.lower().split(": ", 1) for line in lines[1:])
        algorithm, _, given = headers["x-pypinger-signature"].partition("=")
        self.assertEqual(algorithm, "sha256")
        self.assertTrue(hmac.compare_digest(given, hmac.new(b"signingSECRET", body, hashlib.sha256).hexdigest()))
        self.assertEqual(headers["content-type"], "application/json")
        self.assertEqual(headers["authorization"], "bearer headersecret")
        self.assertEqual(headers["idempotency-key"], json.loads(body)["id"])

    async def test_a_redirect_is_not_followed_and_leaks_nothing(self) -> None:
        elsewhere = FaultServer([answer(b"caught")])
        listening = elsewhere.listen()
        self.addCleanup(listening.stopListening)
        location = f"Location: http://127.0.0.1:{elsewhere.port}/\r\n".encode()
        for code in (b"301 Moved", b"302 Found", b"307 Temporary", b"308 Permanent"):
            server = FaultServer([b"HTTP/1.1 %s\r\n%sContent-Length: 0\r\n\r\n" % (code, location)])
            error = await self.assertFailure(Deferred.fromCoroutine(self.send(server)), DeliveryError)
            self.assertTrue(error.permanent)
            self.assertIn(code[:3].decode(), error.words)
            self.assertNotIn("SECRET", error.words)
        self.assertEqual(elsewhere.requests, [])

    async def test_no_answer(self) -> None:
        server = FaultServer([])
        listening = server.listen()
        await listening.stopListening()
        client = Messenger(reactor)
        self.addCleanup(lambda: Deferred.fromCoroutine(client.close()))
        url = f"http://127.0.0.1:{server.port}/in/pathSECRET1234567"
        notifier = channels()["webhook"].notifier({**VALUES, "url": url}, context(client))
        error = await self.assertFailure(Deferred.fromCoroutine(notifier.send([alert()])), DeliveryError)
        self.assertFalse(error.permanent)
        self.assertNotIn("SECRET", error.words)
