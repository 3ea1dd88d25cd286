"""Slack's Web API as far as threads need it, and the limits of its messages."""

from __future__ import annotations

import json as json_module
import re
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any

from slack_sdk.models.attachments import BlockAttachment
from slack_sdk.models.blocks import Block
from slack_sdk.models.metadata import Metadata
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from pypinger.domain.model import Seconds
from pypinger.ports.notifying import Reply, RequestFailed
from pypinger.testing.channels import reply

ESCAPED = re.compile("&(?!amp;|lt;|gt;)|[<>]")


def texts_of(value: object) -> Iterator[str]:
    """Every text that Slack shows, however deep."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key in ("text", "fallback") and isinstance(inner, str):
                yield inner
            else:
                yield from texts_of(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from texts_of(inner)


class Message:
    """
    A message as people see it.

    :ivar thread: the ``ts`` of the message that it replies to.
    :ivar versions: the requests that made and updated it.
    """

    def __init__(self, ts: str, channel: str, thread: str | None, broadcast: bool, request: dict[str, Any]) -> None:
        self.ts = ts
        self.channel = channel
        self.thread = thread
        self.broadcast = broadcast
        self.versions = [request]

    @property
    def text(self) -> str:
        return str(self.versions[-1]["text"])

    @property
    def headline(self) -> str:
        return self.text.partition("\n")[0]


class SlackServer:
    """
    A :class:`pypinger.ports.notifying.HttpClient` that answers as Slack does.

    :ivar next: errors, or Deferreds to wait for, for the next requests to each method; None accepts.
    :ivar channels: name -> id.
    :ivar messages: ``ts`` -> message.
    """

    def __init__(self, test: SynchronousTestCase) -> None:
        self.test = test
        self.channels = {"#ops": "C1", "#other": "C2"}
        self.messages: dict[str, Message] = {}
        self.next: dict[str, deque[str | Deferred[None] | RequestFailed | None]] = {"post": deque(), "update": deque()}
        self.calls: list[str] = []
        self._count = 0

    async def post(
        self,
        url: str,
        *,
        headers: Mapping[str, str],
        json: object = None,
        data: bytes | None = None,
        timeout: Seconds = 20.0,
    ) -> Reply:
        method = {"chat.postMessage": "post", "chat.update": "update"}[url.removeprefix("https://slack.com/api/")]
        self.test.assertTrue(headers["Authorization"].startswith("Bearer "))
        self.calls.append(method)
        request = json_module.loads(json_module.dumps(json))
        fate = self.next[method].popleft() if self.next[method] else None
        if isinstance(fate, RequestFailed):
            raise fate
        if isinstance(fate, Deferred):
            await fate
        answer = {"ok": False, "error": fate} if isinstance(fate, str) else self._answer(method, request)
        return reply(200, json_module.dumps(answer))

    def seen(self) -> list[str]:
        """The headlines that the channel shows, in order."""
        return [each.headline for each in self.messages.values() if each.thread is None or each.broadcast]

    def parents(self) -> list[Message]:
        return [each for each in self.messages.values() if each.thread is None]

    def thread(self, parent: Message) -> list[Message]:
        return [each for each in self.messages.values() if each.thread == parent.ts]

    def _answer(self, method: str, request: dict[str, Any]) -> dict[str, Any]:
        check_limits(self.test, request)
        if method == "update":
            unknown = request.keys() - {"channel", "ts", "text", "blocks", "attachments", "metadata", "link_names"}
            self.test.assertEqual(unknown, set())
            known = self.messages.get(request["ts"])
            # chat.update takes ids only.
            if known is None or known.channel != request["channel"]:
                return {"ok": False, "error": "message_not_found"}
            known.versions.append(request)
            return {"ok": True, "channel": known.channel, "ts": known.ts, "text": known.text}
        Metadata(**request["metadata"]).validate_json()
        channel = self.channels.get(request["channel"], request["channel"])
        if channel not in self.channels.values():
            return {"ok": False, "error": "channel_not_found"}
        thread = request.get("thread_ts")
        if thread is not None:
            parent = self.messages.get(thread)
            if parent is None or parent.channel != channel:
                return {"ok": False, "error": "thread_not_found"}
            self.test.assertIsNone(parent.thread, "a reply to a reply")
        else:
            self.test.assertNotIn("reply_broadcast", request)
        self._count += 1
        ts = f"1700000000.{self._count:06}"
        self.messages[ts] = Message(ts, channel, thread, request.get("reply_broadcast", False), request)
        message = {"type": "message", "ts": ts, "text": request["text"]}
        if thread is not None:
            message["thread_ts"] = thread
        return {"ok": True, "channel": channel, "ts": ts, "message": message}


def check_limits(test: SynchronousTestCase, message: dict[str, Any]) -> None:
    """Slack's limits, and no markup but our own link; slack_sdk's models agree."""
    test.assertLessEqual(len(message["text"]), 4000)
    for text in texts_of(message):
        test.assertNotRegex(re.sub(r"<https://p(?:inger)?\.example/[^<>|]*\|([^<>]*)>", r"\1", text), ESCAPED)
        test.assertTrue(1 <= len(text) <= 4000)
        text.encode()
    (attachment,) = message["attachments"]
    blocks = [*message["blocks"], *attachment["blocks"]]
    test.assertLessEqual(len(blocks), 50)
    for text in texts_of(blocks):
        test.assertLessEqual(len(text), 3000)
    test.assertLessEqual(sum(map(len, texts_of(blocks))), 10_000)
    for block in blocks:
        parsed = Block.parse(block)
        assert parsed is not None
        parsed.validate_json()
    BlockAttachment(
        blocks=Block.parse_all(attachment["blocks"]), color=attachment["color"], fallback=attachment["fallback"]
    ).validate_json()
