"""
Unreliable services: Slack (Web API and webhook), HipChat, a webhook's receiver, PagerDuty, Alertmanager, a mail server
and a target of Apprise.
"""

from __future__ import annotations

import hmac
import json
import re
from collections.abc import Callable
from email import message_from_bytes
from random import Random
from typing import NamedTuple

from twisted.internet import reactor
from twisted.internet.protocol import connectionDone
from twisted.protocols.basic import LineReceiver
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from tests.acceptance.endpoints import Request, Server
from tests.notify.pagerdutyserver import event_errors

#: All alerts, reminders included, so that those of the incidents can be counted.
EVENTS = "events = problem changed reminder recovered\n"

#: Signs webhooks.
SECRET = "signing secret"


class Receipt:
    """
    A message as a service saw it.

    :ivar life: the daemon's, from 1.
    :ivar taken: whether the service has it, so that people may have read it.
    :ivar answered: whether the service confirmed it.
    :ivar followed: whether the same life sent a further message.
    :ivar ts: the service's name for it.
    :ivar thread: the `ts` of the message that it replies to.
    """

    def __init__(self, channel: str, ids: tuple[str, ...], life: int, taken: bool, answered: bool) -> None:
        self.channel = channel
        self.ids = ids
        self.life = life
        self.taken = taken
        self.answered = answered
        self.followed = False
        self.ts = ""
        self.thread: str | None = None


class Fate(NamedTuple):
    """
    What becomes of a message.

    :ivar weight: the relative frequency.
    :ivar taken: whether the service has it.
    :ivar answer: the status code of the answer; None for no answer.
    :ivar then: what it does to the connection without an answer.
    :ivar after: seconds before it acts.
    """

    weight: float
    taken: bool
    answer: int | None = None
    then: str = ""
    after: float = 0


FATES = (
    Fate(60, True, 200),
    Fate(5, True, 200, after=0.05),
    Fate(6, False, 500),
    Fate(5, False, 429),
    Fate(5, False, then="close"),
    Fate(5, False, then="reset"),
    Fate(2, False, then="reset", after=0.5),
    Fate(0.5, False, then="hang"),
    # Lost answers.
    Fate(5, True, then="close"),
    Fate(5, True, then="reset"),
    Fate(2, True, then="close", after=0.5),
    Fate(2, True, 500),
    Fate(0.5, True, then="hang"),
)
_ACCEPT = FATES[0]


class Service(Server):
    """
    A channel's service that cannot be relied on.

    :param dies_of: called with a point and a life; returns whether the daemon was killed at that point.
    :cvar imports: modules that the daemon imports when it uses the channel.
    :ivar calm: whether it is reliable from now on.
    :ivar receipts: all messages received.
    """

    channel = ""
    imports: tuple[str, ...] = ()

    def __init__(self, test: TestCase, random: Random, dies_of: Callable[[str, int], bool]) -> None:
        super().__init__(test)
        self.dies_of = dies_of
        self.random = random
        self.calm = False
        self.receipts: list[Receipt] = []

    def section(self) -> str:
        raise NotImplementedError

    def read(self, request: Request) -> tuple[str, tuple[str, ...]]:
        """The token of the daemon's life, and the ids of the alerts."""
        raise NotImplementedError

    def serve(self, request: Request) -> None:
        token, ids = self.read(request)
        assert len(set(ids)) == len(ids) > 0, request.body
        fate = _ACCEPT if self.calm else self.random.choices(FATES, [fate.weight for fate in FATES])[0]
        life = int(token.split("-")[1])
        for before in reversed(self.receipts):
            if before.life == life:
                before.followed = True
                break
        receipt = Receipt(self.channel, ids, life, fate.taken, fate.answer == 200)
        self.receipts.append(receipt)
        self.note(request, receipt)
        if fate.taken and self.dies_of("received", life):
            receipt.answered = False
        else:
            reactor.callLater(fate.after, self.answer, request, fate, receipt)

    def note(self, request: Request, receipt: Receipt) -> None:
        """Look at what only this service knows."""

    def success(self, receipt: Receipt) -> str:
        return '{"ok": true}'

    def answer(self, request: Request, fate: Fate, receipt: Receipt) -> None:
        if fate.answer == 200:
            request.answer(200, self.success(receipt))
            self.dies_of("answering", receipt.life)
        elif fate.answer is not None:
            more = {"Retry_After": "1"} if fate.answer == 429 else {}
            request.answer(fate.answer, "try again", **more)
        elif fate.then == "close":
            request.close()
        elif fate.then == "reset":
            request.reset()


class WebApi(Service):
    """
    Slack's Web API with threads.

    :ivar updates: how many messages were updated.
    """

    channel = "slack"
    updates = 0

    def section(self) -> str:
        url = f"{self.origin}/api/chat.postMessage"
        return f"[slack]\nurl = {url}\nchannel = #ops\ntoken = ${{env:CRASH_LIFE}}\n"

    def read(self, request: Request) -> tuple[str, tuple[str, ...]]:
        payload = json.loads(request.body)["metadata"]["event_payload"]
        return request.headers["authorization"].split()[1], tuple(payload.get("alert_ids", payload["alert_id"]).split())

    def serve(self, request: Request) -> None:
        if request.path != "/api/chat.update":
            super().serve(request)
        elif self.calm or self.random.random() < 0.7:
            update = json.loads(request.body)
            assert update["channel"] == "C1"
            assert self.has(update["ts"]), update
            self.updates += 1
            request.answer(200, '{"ok": true}')
        else:
            request.answer(500, "try again")

    def note(self, request: Request, receipt: Receipt) -> None:
        message = json.loads(request.body)
        receipt.ts, receipt.thread = f"1700000000.{len(self.receipts):06}", message.get("thread_ts")
        assert message["channel"] == ("#ops" if receipt.thread is None else "C1")
        assert receipt.thread is None or self.has(receipt.thread), message

    def has(self, ts: str) -> bool:
        """Whether a message of the channel, which is no reply, was answered with this `ts`."""
        return any(each.ts == ts and each.thread is None and each.answered for each in self.receipts)

    def success(self, receipt: Receipt) -> str:
        return json.dumps({"ok": True, "channel": "C1", "ts": receipt.ts})


class Webhook(Service):
    channel = "slack"

    def section(self) -> str:
        return f"[slack]\nurl = {self.origin}/${{env:CRASH_LIFE}}\n"

    def read(self, request: Request) -> tuple[str, tuple[str, ...]]:
        return request.path[1:], signed(json.loads(request.body)["text"])


class HipChat(Service):
    channel = "hipchat"

    def section(self) -> str:
        return f"[hipchat]\nroom = Ops\nauth = ${{env:CRASH_LIFE}}\nurl = {self.origin}\n"

    def read(self, request: Request) -> tuple[str, tuple[str, ...]]:
        return request.headers["authorization"].split()[1], signed(json.loads(request.body)["message"])


class Receiver(Service):
    """Of ``[webhook]``; it verifies the signatures."""

    channel = "webhook"

    def section(self) -> str:
        return f"[webhook]\nurl = {self.origin}/in\nheaders = X-Life: ${{env:CRASH_LIFE}}\nsecret = {SECRET}\n"

    def read(self, request: Request) -> tuple[str, tuple[str, ...]]:
        digest = hmac.new(SECRET.encode(), request.body, "sha256").hexdigest()
        assert request.headers["x-pypinger-signature"] == f"sha256={digest}"
        alert_id = json.loads(request.body)["id"]
        assert request.headers["idempotency-key"] == alert_id
        return request.headers["x-life"], (alert_id,)


class SentryApi(Service):
    channel = "sentry"
    imports = ("sentry_sdk",)

    def section(self) -> str:
        return f"[sentry]\nurl = {self.origin.replace('://', '://${env:CRASH_LIFE}@')}/1\n"

    def read(self, request: Request) -> tuple[str, tuple[str, ...]]:
        key = re.search(r"sentry_key=([\w-]+)", request.headers["x-sentry-auth"])
        assert key is not None, request.headers
        # An envelope: its header, that of its item, the event.
        event = json.loads(request.body.splitlines()[2])
        return key[1], (event["contexts"]["alert"]["alert_id"],)

    def success(self, receipt: Receipt) -> str:
        return "{}"


class PagerDutyApi(Service):
    """PagerDuty's Events API; it takes only what is valid there."""

    channel = "pagerduty"

    def section(self) -> str:
        return f"[pagerduty]\nrouting_key = ${{env:CRASH_LIFE}}\nurl = {self.origin}/v2/enqueue\n{EVENTS}"

    def read(self, request: Request) -> tuple[str, tuple[str, ...]]:
        assert event_errors(request.body) == [], event_errors(request.body)
        event = json.loads(request.body)
        return event["routing_key"], (event["payload"]["custom_details"]["alert_id"],)

    def success(self, receipt: Receipt) -> str:
        return '{"status": "success"}'


class AlertmanagerApi(Service):
    channel = "alertmanager"

    def section(self) -> str:
        return f"[alertmanager]\nurl = {self.origin}/${{env:CRASH_LIFE}}\n{EVENTS}"

    def read(self, request: Request) -> tuple[str, tuple[str, ...]]:
        _, token, path = request.path.split("/", 2)
        assert path == "api/v2/alerts"
        alerts = json.loads(request.body)
        assert all(alert.get("startsAt", "") <= alert["endsAt"] for alert in alerts), alerts
        return token, tuple(alert["annotations"]["alert_id"] for alert in alerts)


class AppriseTarget(Service):
    channel = "apprise"
    imports = ("apprise", "requests.adapters")

    def section(self) -> str:
        return f"[apprise]\nurls = json://127.0.0.1:{self.port}/${{env:CRASH_LIFE}}\n"

    def read(self, request: Request) -> tuple[str, tuple[str, ...]]:
        return request.path.strip("/"), signed(json.loads(request.body)["message"])


class Letter:
    """A mail as received; it is answered like a :class:`tests.acceptance.endpoints.Request`."""

    def __init__(self, connection: MailConnection, recipient: str, body: bytes) -> None:
        self.connection = connection
        self.recipient = recipient
        self.body = body

    def answer(self, code: int, words: str = "", **_: str) -> None:
        self.connection.sendLine(b"250 OK" if code == 200 else b"451 try again")

    def close(self) -> None:
        self.connection.transport.loseConnection()

    def reset(self) -> None:
        self.connection.transport.abortConnection()


class MailConnection(LineReceiver):
    """As much of SMTP as a client needs."""

    factory: MailServer

    def __init__(self) -> None:
        self.recipient = ""
        self.lines: list[bytes] | None = None

    def connectionMade(self) -> None:
        self.factory.connections.add(self)
        self.sendLine(b"220 mail.test")

    def lineReceived(self, line: bytes) -> None:
        command = line[:4].upper()
        if self.lines is not None and line == b".":
            body, self.lines = b"\r\n".join(self.lines), None
            self.factory.serve(Letter(self, self.recipient, body))
        elif self.lines is not None:
            self.lines.append(line.removeprefix(b"."))
        elif command == b"DATA":
            self.lines = []
            self.sendLine(b"354 go")
        elif command == b"QUIT":
            self.sendLine(b"221 bye")
            self.transport.loseConnection()
        else:
            if command == b"RCPT":
                self.recipient = line.partition(b"<")[2].partition(b">")[0].decode()
            self.sendLine(b"250 OK")

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.factory.connections.discard(self)


class MailServer(Service):
    channel = "email"
    protocol = MailConnection

    def section(self) -> str:
        return (
            f"[email]\nserver = smtp://127.0.0.1:{self.port}\nfrom = pinger@example.org\n"
            "to = ${env:CRASH_LIFE}@example.org\n"
        )

    def read(self, request: Letter) -> tuple[str, tuple[str, ...]]:
        message = message_from_bytes(request.body)
        ids = message["X-Pypinger-Alert-Id"] or message["X-Pypinger-Alert-Ids"]
        return request.recipient.partition("@")[0], tuple(ids.split())


def signed(text: str) -> tuple[str, ...]:
    line = text.rpartition("\n")[2]
    assert re.fullmatch(r"(\[[0-9a-f]{16}\] ?)+", line), text
    return tuple(re.findall(r"[0-9a-f]{16}", line))
