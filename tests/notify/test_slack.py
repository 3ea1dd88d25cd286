"""Slack: the Web API and incoming webhooks (contract, section 5)."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from pypinger.domain.model import Alert, Event
from pypinger.notify import channels
from pypinger.ports.notifying import Reply
from pypinger.testing.channels import (
    JSON,
    NotifierContract,
    RecordingClient,
    alert,
    context,
    reply,
)
from pypinger.testing.threads import ThreadedNotifierContract
from tests.notify.slackserver import check_limits
from tests.notify.strategies import storms

TOKEN = "xoxb-1234567890-SECRET"
WEBHOOK = "https://hooks.slack.com/services/T000/B000/SECRETSECRET"
WEB_VALUES = {
    "url": "https://slack.com/api/chat.postMessage",
    "channel": "#ops",
    "token": TOKEN,
    "user": "",
    "emoji": "",
    "threads": "true",
}
HOOK_VALUES = {"url": WEBHOOK, "channel": "", "token": "", "user": "", "emoji": "", "threads": "true"}


def message_of(values: dict[str, str], *alerts: Alert) -> dict[str, Any]:
    """Return the message that is sent for these alerts."""
    client = RecordingClient(reply(200, '{"ok": true}'))
    Deferred.fromCoroutine(channels()["slack"].notifier(values, context(client, now=lambda: 0.0)).send(alerts))
    message: dict[str, Any] = json.loads(client.posted[0].body)
    return message


class WebApiTests(ThreadedNotifierContract, SynchronousTestCase):
    section = "slack"
    values = WEB_VALUES
    secrets = (TOKEN,)

    def accepted(self) -> Reply:
        return reply(200, '{"ok": true, "ts": "1.2"}')

    def refused(self, words: str) -> Reply:
        return reply(200, json.dumps({"ok": False, "error": "invalid_auth", "needed": words}))

    def posted(self, number: int) -> Reply:
        return reply(200, json.dumps({"ok": True, "channel": "C1", "ts": f"1700000000.{number:06}"}))

    def lost(self) -> Reply:
        return reply(200, json.dumps({"ok": False, "error": "thread_not_found"}))

    def cannot_update(self) -> Reply:
        return reply(200, json.dumps({"ok": False, "error": "message_not_found"}))

    def test_requests_of_a_thread(self) -> None:
        notifier, client = self.threaded(self.posted(1), self.posted(2), self.posted(3), self.posted(1))
        thread = self.post(notifier, Event.PROBLEM).reference
        assert thread is not None
        self.post(notifier, Event.CHANGED, thread)
        self.post(notifier, Event.RECOVERED, thread)
        self.successResultOf(self.update(notifier, thread))
        first, changed, recovered, update = (json.loads(posted.body) for posted in client.posted)
        self.assertEqual(first["channel"], "#ops")
        self.assertFalse(first.keys() & {"thread_ts", "reply_broadcast"})
        self.assertEqual(
            [(each["channel"], each["thread_ts"], each["reply_broadcast"]) for each in (changed, recovered)],
            [("C1", "1700000000.000001", False), ("C1", "1700000000.000001", True)],
        )
        self.assertEqual((update["channel"], update["ts"]), ("C1", "1700000000.000001"))
        self.assertEqual(client.posted[3].url, "https://slack.com/api/chat.update")
        self.assertEqual({posted.headers["Authorization"] for posted in client.posted}, {f"Bearer {TOKEN}"})
        for message in (first, changed, recovered, update):
            check_limits(self, message)

    @settings(max_examples=60, deadline=None)
    @given(storms)
    def test_any_update(self, alerts: list[Alert]) -> None:
        notifier, client = self.threaded(self.posted(1))
        self.successResultOf(Deferred.fromCoroutine(notifier.update("C1 1.2 #ops", alerts)))
        check_limits(self, json.loads(client.posted[0].body))

    def test_request(self) -> None:
        client = RecordingClient(self.accepted())
        self.assertEqual("ok", self.send(client, alert()))
        (posted,) = client.posted
        self.assertEqual("https://slack.com/api/chat.postMessage", posted.url)
        self.assertEqual(f"Bearer {TOKEN}", posted.headers["Authorization"])
        self.assertEqual(JSON, posted.headers["Content-Type"])
        self.assertNotIn(TOKEN, posted.body.decode())

    def test_default_url(self) -> None:
        client = RecordingClient(self.accepted())
        notifier = channels()["slack"].notifier({**WEB_VALUES, "url": ""}, context(client, now=lambda: 0.0))
        self.successResultOf(Deferred.fromCoroutine(notifier.send([alert()])))
        self.assertEqual("https://slack.com/api/chat.postMessage", client.posted[0].url)

    def test_message(self) -> None:
        message = message_of({**WEB_VALUES, "user": "pinger", "emoji": "fire"}, alert())
        self.assertEqual(("#ops", "pinger", ":fire:"), tuple(message[k] for k in ("channel", "username", "icon_emoji")))
        self.assertEqual(
            {"event_type": "py_pinger_alert", "event_payload": {"alert_id": "0123456789ab-1700000000-1"}},
            message["metadata"],
        )
        self.assertFalse(message["unfurl_links"])
        self.assertEqual(
            "PROBLEM: nightly backup is late\nlast ran 21:55:00 UTC, 34 min ago; runs every 10 min\n"
            "process: backup, server: db1\nhttps://db1.example/task?…\nhttps://pinger.example/task/0123456789ab",
            message["text"],
        )
        self.assertEqual(
            "<https://pinger.example/task/0123456789ab|PROBLEM: nightly backup is late>",
            message["blocks"][0]["text"]["text"],
        )

    def test_link_cannot_be_forged(self) -> None:
        for page, link in (
            ("https://p.example/a|b>&c", "https://p.example/a%7Cb&gt;&amp;c"),
            ("https://p.example/" + "x" * 1980, "https://p.example/" + "x" * 1980),
        ):
            text = message_of(WEB_VALUES, alert(page=page))["blocks"][0]["text"]["text"]
            self.assertEqual(f"<{link}|PROBLEM: nightly backup is late>", text)
        for page in (None, "https://p.example/" + "x" * 2000):
            text = message_of(WEB_VALUES, alert(page=page))["blocks"][0]["text"]
            self.assertEqual(("plain_text", "PROBLEM: nightly backup is late"), (text["type"], text["text"]))

    def test_looks_only_if_set(self) -> None:
        message = message_of(WEB_VALUES, alert())
        self.assertNotIn("username", message)
        self.assertNotIn("icon_emoji", message)

    def test_emoji_with_colons(self) -> None:
        self.assertEqual(":fire:", message_of({**WEB_VALUES, "emoji": ":fire:"}, alert())["icon_emoji"])

    def test_storm(self) -> None:
        alerts = [alert(id=f"id-{i}", name=f"task {i}") for i in range(30)]
        message = message_of(WEB_VALUES, *alerts)
        payload = message["metadata"]["event_payload"]
        self.assertEqual("id-0", payload["alert_id"])
        self.assertEqual([a.id for a in alerts], payload["alert_ids"].split(" "))
        rows = message["attachments"][0]["blocks"][0]["text"]["text"].split("\n")
        self.assertEqual(21, len(rows))
        self.assertEqual("• <https://pinger.example/task/0123456789ab|task 0 is late>", rows[0])
        self.assertEqual("and 10 more", rows[-1])

    def test_storm_of_thousands(self) -> None:
        alerts = [alert(id=f"{i:012x}-1700000000-1", page=f"https://p.example/{'x' * 300}/{i}") for i in range(3000)]
        message = message_of(WEB_VALUES, *alerts)
        listed = message["metadata"]["event_payload"]["alert_ids"]
        self.assertLessEqual(len(listed), 4000)
        self.assertEqual([a.id for a in alerts][: len(listed.split(" "))], listed.split(" "))
        self.assertEqual("and 2,980 more", self.rows(message)[-1])

    def rows(self, message: dict[str, Any]) -> list[str]:
        """Return the rows that name tasks, from all blocks."""
        blocks = message["attachments"][0]["blocks"]
        return "\n".join(block["text"]["text"] for block in blocks if block["type"] == "section").split("\n")

    def small_print(self, message: dict[str, Any]) -> str:
        """Return the ids that are shown, from all blocks."""
        blocks = message["attachments"][0]["blocks"]
        return " ".join(block["elements"][0]["text"] for block in blocks if block["type"] == "context")

    def test_storm_of_hundreds_shows_every_id(self) -> None:
        alerts = [alert(id=f"{i:016x}", name=f"task {i}", page=f"https://p.example/task/{i:012x}") for i in range(350)]
        message = message_of(WEB_VALUES, *alerts)
        self.assertEqual(" ".join(f"[{each.id}]" for each in alerts), self.small_print(message))
        check_limits(self, message)

    def test_ids_that_do_not_fit_are_counted(self) -> None:
        alerts = [alert(id=f"{i:016x}", name=f"task {i}", page=f"https://p.example/task/{i:012x}") for i in range(2000)]
        message = message_of(WEB_VALUES, *alerts)
        shown = self.small_print(message)
        count = shown.count("[")
        self.assertGreater(count, 350)
        ids = " ".join(f"[{each.id}]" for each in alerts[:count])
        self.assertEqual(f"{ids} and {2000 - count:,} more", shown)
        check_limits(self, message)

    def test_names_come_before_long_links(self) -> None:
        page = f"https://p.example/{'x' * 900}"
        alerts = [alert(id=f"id-{i}", name=f"{i:02} {'&' * 300}", page=page) for i in range(25)]
        message = message_of(WEB_VALUES, *alerts)
        rows = self.rows(message)
        self.assertEqual([f"{i:02} &amp;" in row for i, row in enumerate(rows[:20])], [True] * 20)
        self.assertEqual([row.startswith(f"• <{page}|") for row in rows[:20]], [True, True] + [False] * 18)
        self.assertEqual("and 5 more", rows[20])
        check_limits(self, message)

    def test_colors(self) -> None:
        colors = {event: message_of(WEB_VALUES, alert(event))["attachments"][0]["color"] for event in Event}
        self.assertEqual(4, len(set(colors.values())))
        self.assertEqual(colors[Event.CHANGED], colors[Event.REMINDER])
        self.assertEqual(colors[Event.STARTED], colors[Event.STOPPED])

    def test_errors(self) -> None:
        permanent = """invalid_auth account_inactive token_revoked token_expired no_permission missing_scope
            not_allowed_token_type channel_not_found not_in_channel is_archived invalid_blocks msg_too_long
            invalid_arguments"""
        for name in permanent.split():
            error = self.failure(reply(200, json.dumps({"ok": False, "error": name})))
            self.assertEqual((name, True), (error.words, error.permanent))
        passing = """ratelimited rate_limited fatal_error internal_error service_unavailable request_timeout
            team_added_to_org never_heard_of"""
        for name in passing.split():
            error = self.failure(reply(200, json.dumps({"ok": False, "error": name}), retry_after="30"))
            self.assertEqual((name, False, 30.0), (error.words, error.permanent, error.retry_after))

    def test_errors_of_failing_servers(self) -> None:
        for code, permanent in ((503, False), (404, True)):
            error = self.failure(reply(code, '{"ok": false, "error": "never_heard_of"}'))
            self.assertEqual(("never_heard_of", permanent), (error.words, error.permanent))
        self.assertTrue(self.failure(reply(503, '{"ok": false, "error": "invalid_auth"}')).permanent)

    def test_details(self) -> None:
        answer = {"ok": False, "error": "missing_scope", "needed": "chat:write"}
        self.assertEqual("missing_scope (needed: chat:write)", self.failure(reply(200, json.dumps(answer))).words)
        answer = {"ok": False, "error": "invalid_blocks", "response_metadata": {"messages": ["[ERROR] too long"]}}  # type: ignore[dict-item]
        self.assertEqual("invalid_blocks ([ERROR] too long)", self.failure(reply(200, json.dumps(answer))).words)

    def test_success_needs_ok(self) -> None:
        for body in ("", "ok", "{}", '{"ok": "true"}', '{"ok": 1}', '[{"ok": true}]'):
            error = self.failure(reply(200, body))
            self.assertFalse(error.permanent)
            self.assertIn("not from Slack", error.words)
        self.assertFalse(self.failure(reply(500, '{"ok": true}')).permanent)

    @settings(max_examples=60, deadline=None)
    @given(storms)
    def test_any_text(self, alerts: list[Alert]) -> None:
        message = message_of(WEB_VALUES, *alerts)
        check_limits(self, message)
        self.assertEqual(alerts[0].id, message["metadata"]["event_payload"]["alert_id"])


class WebhookTests(NotifierContract, SynchronousTestCase):
    section = "slack"
    values = HOOK_VALUES
    secrets = (WEBHOOK,)

    def accepted(self) -> Reply:
        return reply(200, "ok")

    def refused(self, words: str) -> Reply:
        return reply(404, words)

    def test_request(self) -> None:
        client = RecordingClient(self.accepted())
        self.assertEqual("HTTP 200 OK", self.send(client, alert()))
        (posted,) = client.posted
        self.assertEqual(WEBHOOK, posted.url)
        self.assertNotIn("Authorization", posted.headers)
        message = json.loads(posted.body)
        self.assertTrue(message["text"].endswith("[0123456789ab-1700000000-1]"))
        self.assertNotIn("metadata", message)
        self.assertNotIn("channel", message)

    def test_any_2xx(self) -> None:
        self.assertEqual("HTTP 204 No Content", self.send(RecordingClient(reply(204)), alert()))
        self.assertEqual("HTTP 299", self.send(RecordingClient(reply(299)), alert()))

    def test_words(self) -> None:
        self.assertEqual("channel_is_archived", self.failure(reply(410, "channel_is_archived")).words)
        self.assertEqual("HTTP 403 Forbidden", self.failure(reply(403, "\n<!DOCTYPE html><p>no")).words)

    def test_id_survives_cutting(self) -> None:
        for filler in ("x", "&", "<!channel>"):
            text = message_of(HOOK_VALUES, alert(explanation=filler * 5000))["text"]
            self.assertLessEqual(len(text), 4000)
            self.assertGreater(len(text), 3990)
            self.assertTrue(text.endswith("\n[0123456789ab-1700000000-1]"))

    @settings(max_examples=60, deadline=None)
    @given(storms)
    def test_any_text(self, alerts: list[Alert]) -> None:
        message = message_of(HOOK_VALUES, *alerts)
        check_limits(self, message)
        self.assertIn(f"\n[{alerts[0].id}]", message["text"])


class ChannelTests(SynchronousTestCase):
    def test_essential(self) -> None:
        essential = channels()["slack"].essential
        for url in ("", "https://slack.com/api/chat.postMessage", "http://127.0.0.1:9/api/chat.postMessage"):
            self.assertEqual(("channel", "token"), essential({**WEB_VALUES, "url": url}))
        self.assertEqual(("url",), essential(HOOK_VALUES))

    def test_token_must_fit_a_header(self) -> None:
        for token in ("a b", "a\r\nX: y", "tökén"):
            problems = channels()["slack"].check({**WEB_VALUES, "token": token})
            self.assertEqual(["token"], list(problems))
            self.assertNotIn(token, problems["token"])
