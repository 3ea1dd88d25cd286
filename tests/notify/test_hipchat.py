"""HipChat v2 room notifications (contract, section 5)."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from pypinger.domain.model import Alert, Event
from pypinger.notify import channels
from pypinger.ports.notifying import Reply
from pypinger.testing.channels import JSON, NOW, NotifierContract, RecordingClient, alert, context, reply
from tests.notify.strategies import storms

AUTH = "hip-SECRET-auth"
VALUES = {"room": "Ops & on/call", "auth": AUTH, "emoji": "", "url": "https://hipchat.example/"}


def message_of(values: dict[str, str], *alerts: Alert) -> dict[str, Any]:
    """Return the message that is sent for these alerts."""
    client = RecordingClient(reply(204))
    Deferred.fromCoroutine(channels()["hipchat"].notifier(values, context(client, now=lambda: 0.0)).send(alerts))
    message: dict[str, Any] = json.loads(client.posted[0].body)
    return message


class HipChatTests(NotifierContract, SynchronousTestCase):
    section = "hipchat"
    values = VALUES
    secrets = (AUTH,)

    def accepted(self) -> Reply:
        return reply(204)

    def refused(self, words: str) -> Reply:
        return reply(401, json.dumps({"error": {"code": 401, "type": "Unauthorized", "message": words}}))

    def test_request(self) -> None:
        client = RecordingClient(self.accepted())
        self.assertEqual("HTTP 204 No Content", self.send(client, alert()))
        (posted,) = client.posted
        self.assertEqual("https://hipchat.example/v2/room/Ops%20%26%20on%2Fcall/notification", posted.url)
        self.assertEqual(f"Bearer {AUTH}", posted.headers["Authorization"])
        self.assertEqual(JSON, posted.headers["Content-Type"])

    def test_message(self) -> None:
        self.assertEqual(
            {
                "message": "PROBLEM: nightly backup is late\nlast ran 21:55:00 UTC, 34 min ago; runs every 10 min\n"
                "process: backup, server: db1\nhttps://db1.example/task?…\nhttps://pinger.example/task/0123456789ab\n"
                "[0123456789ab-1700000000-1]",
                "message_format": "text",
                "color": "red",
                "notify": True,
            },
            message_of(VALUES, alert()),
        )

    def test_colors_and_notify(self) -> None:
        messages = {event: message_of(VALUES, alert(event)) for event in Event}
        self.assertEqual(
            {
                Event.PROBLEM: ("red", True),
                Event.CHANGED: ("yellow", True),
                Event.REMINDER: ("yellow", True),
                Event.RECOVERED: ("green", True),
                Event.FLAPPING: ("red", True),
                Event.ACKNOWLEDGED: ("gray", True),
                Event.STARTED: ("gray", False),
                Event.STOPPED: ("gray", False),
                Event.BLIND: ("red", True),
                Event.SIGHTED: ("green", True),
                Event.TEST: ("gray", True),
            },
            {event: (message["color"], message["notify"]) for event, message in messages.items()},
        )

    def test_emoji(self) -> None:
        for emoji in ("boom", "(boom)", ":boom:"):
            self.assertTrue(message_of({**VALUES, "emoji": emoji}, alert())["message"].startswith("(boom) PROBLEM: "))

    def test_mentions_are_defused(self) -> None:
        message = message_of(VALUES, alert(explanation="@all and (@here) but me@example.org"))["message"]
        self.assertNotIn("@all", message)
        self.assertNotIn("@here", message)
        self.assertIn("me@example.org", message)

    def test_rate_limit_reset(self) -> None:
        for reset, wait in ((str(int(NOW) + 40), 40.0), (str(int(NOW) - 40), 0.0), ("never", None), ("", None)):
            self.assertEqual(wait, self.failure(reply(429, x_ratelimit_reset=reset)).retry_after)
        self.assertEqual(3.0, self.failure(reply(429, x_ratelimit_reset="9999999999", retry_after="3")).retry_after)
        self.assertIsNone(self.failure(reply(503, x_ratelimit_reset="9999999999")).retry_after)

    def test_words(self) -> None:
        self.assertEqual("Invalid OAuth session", self.failure(self.refused("Invalid OAuth session")).words)
        self.assertEqual("no", self.failure(reply(400, '{"error": "no"}')).words)

    def test_id_survives_cutting(self) -> None:
        message = message_of({**VALUES, "emoji": "boom"}, alert(explanation="x " * 50_000))["message"]
        self.assertEqual(10_000, len(message))
        self.assertTrue(message.endswith("…\n[0123456789ab-1700000000-1]"))

    def test_ids_of_thousands(self) -> None:
        message = message_of(VALUES, *(alert(id=f"{i:012x}-1700000000-1") for i in range(3000)))["message"]
        self.assertLessEqual(len(message), 10_000)
        listed = message.rpartition("\n")[2]
        self.assertTrue(listed.endswith(f"and {3000 - listed.count('['):,} more"))

    @settings(max_examples=60, deadline=None)
    @given(storms)
    def test_any_text(self, alerts: list[Alert]) -> None:
        message = message_of(VALUES, *alerts)["message"]
        self.assertLessEqual(len(message), 10_000)
        self.assertIn(f"\n[{alerts[0].id}]", message)
        self.assertNotRegex(message, r"(?<!\w)@\w|[\x00-\x09\x0b-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e]")


class ChannelTests(SynchronousTestCase):
    def test_essential(self) -> None:
        self.assertEqual(("room", "auth"), channels()["hipchat"].essential(VALUES))

    def test_default_url(self) -> None:
        (default,) = (option.default for option in channels()["hipchat"].options if option.name == "url")
        self.assertEqual("https://api.hipchat.com", default)

    def test_auth_must_fit_a_header(self) -> None:
        self.assertEqual(["auth"], list(channels()["hipchat"].check({**VALUES, "auth": "a\nb"})))
