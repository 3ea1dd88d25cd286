"""
Fake Slack, HipChat and Sentry servers in the reactor of the test.

Each records its requests and accepts them by default. Answers in `next` are used first, one per request, then
`always`.
"""

from __future__ import annotations

import gzip
import json
import re
from collections import deque
from collections.abc import Iterable
from typing import Any, NamedTuple

from twisted.trial.unittest import TestCase

from tests.acceptance.endpoints import Behaviour, Request, Server, body


class Message(NamedTuple):
    """
    One alert as a channel received it.

    :ivar id: the alert's id.
    :ivar event: ``problem``, ``changed``, ``reminder``, ``recovered``, ``started``, ``stopped``, ``blind`` or
        ``sighted``, read from the text.
    """

    id: str
    event: str
    text: str
    payload: dict[str, Any]


_EVENTS = {
    "problem": r"PROBLEM: ",
    "changed": r"CHANGED: ",
    "reminder": r"STILL ",
    "recovered": r".* (is|are) OK again",
    "started": r"Py Pinger started",
    "stopped": r"Py Pinger stopped",
    "blind": r"Py Pinger is BLIND",
    "sighted": r"Py Pinger sees again",
}


def event_of(text: str) -> str:
    return next((event for event, words in _EVENTS.items() if re.match(words, text)), "unknown")


class Service(Server):
    """
    A channel's server.

    :ivar next: answers to the next requests.
    :ivar always: the answer to all others; None accepts them.
    """

    accepts: Behaviour

    def __init__(self, test: TestCase) -> None:
        super().__init__(test)
        self.next: deque[Behaviour] = deque()
        self.always: Behaviour | None = None

    def respond(self, request: Request) -> None:
        behaviour = self.next.popleft() if self.next else self.always or type(self).accepts
        behaviour(request)

    def read(self, request: Request) -> Message | None:
        raise NotImplementedError

    def messages(self, about: str = "") -> list[Message]:
        """The messages received, accepted or not, whose text contains `about`."""
        found = [message for request in self.requests if (message := self.read(request)) is not None]
        return [message for message in found if about in message.text]

    def events(self, about: str = "") -> list[str]:
        return [message.event for message in self.messages(about)]

    def ids(self, about: str = "") -> list[str]:
        return [message.id for message in self.messages(about)]

    @property
    def bodies(self) -> bytes:
        return b"\n".join(request.body for request in self.requests)


class SlackWebApi(Service):
    accepts = staticmethod(body('{"ok": true, "ts": "1.2"}', Content_Type="application/json"))

    def section(self, token: str = "xoxb-token") -> str:
        return f"[slack]\nurl = {self.origin}/api/chat.postMessage\nchannel = #ops\ntoken = {token}\nuser = pinger\n"

    def read(self, request: Request) -> Message | None:
        payload = json.loads(request.body)
        text = payload["text"]
        return Message(payload["metadata"]["event_payload"]["alert_id"], event_of(text), text, payload)


class SlackThreads(SlackWebApi):
    """
    Slack's Web API with answers that tell which message was made, so that there are threads.

    :ivar updates: the requests that updated a message.
    """

    def __init__(self, test: TestCase) -> None:
        super().__init__(test)
        self.updates: list[dict[str, Any]] = []
        self._count = 0
        self.always = self._accept

    def _accept(self, request: Request) -> None:
        if request.path == "/api/chat.update":
            self.updates.append(json.loads(request.body))
        else:
            self._count += 1
        answer = {"ok": True, "channel": "C1", "ts": f"1700000000.{self._count:06}"}
        body(json.dumps(answer), Content_Type="application/json")(request)

    def read(self, request: Request) -> Message | None:
        return None if request.path == "/api/chat.update" else super().read(request)


class SlackWebhook(Service):
    accepts = staticmethod(body("ok"))

    def section(self, path: str = "/services/T0/B0/secret") -> str:
        return f"[slack]\nurl = {self.origin}{path}\n"

    def read(self, request: Request) -> Message:
        payload = json.loads(request.body)
        text = payload["text"]
        return Message(_suffix(text), event_of(text), text, payload)


class HipChat(Service):
    accepts = staticmethod(body(b"", 204))

    def section(self, auth: str = "auth-token") -> str:
        return f"[hipchat]\nroom = Ops Room\nauth = {auth}\nurl = {self.origin}\n"

    def read(self, request: Request) -> Message:
        payload = json.loads(request.body)
        text = payload["message"]
        return Message(_suffix(text), event_of(text), text, payload)


class Sentry(Service):
    accepts = staticmethod(body('{"id": "0"}', Content_Type="application/json"))

    def section(self, key: str = "0123456789abcdef0123456789abcdef", more: str = "") -> str:
        return f"[sentry]\nurl = http://{key}@127.0.0.1:{self.port}/42\n{more}\n"

    def read(self, request: Request) -> Message | None:
        for kind, payload in items(request):
            if kind == "event":
                text = payload["message"]
                return Message(payload["contexts"]["alert"]["alert_id"], event_of(text), text, payload)
        return None

    def check_ins(self) -> list[dict[str, Any]]:
        return [payload for request in self.requests for kind, payload in items(request) if kind == "check_in"]


def items(request: Request) -> Iterable[tuple[str, dict[str, Any]]]:
    """The items of an envelope, as type and payload."""
    content = request.body
    if request.headers.get("content-encoding") == "gzip":
        content = gzip.decompress(content)
    lines = iter(content.split(b"\n"))
    next(lines)
    for line in lines:
        if line:
            yield json.loads(line)["type"], json.loads(next(lines))


def _suffix(text: str) -> str:
    found = re.search(r"\[([0-9a-f]+)\]\Z", text)
    assert found is not None, text
    return found[1]
