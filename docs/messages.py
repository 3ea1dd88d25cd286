"""
Writes ``docs/messages.md``: every event in every channel, as its service receives it.

The alerts are made by the domain, and sent through the real notifiers to a client that keeps the requests, or to
loopback servers. ``make messages`` runs this after a change of a text or a channel; ``tests/test_messages.py`` compares
the result.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from email import message_from_bytes
from email.policy import default
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory
from twisted.internet.task import Clock, react
from twisted.protocols.basic import LineReceiver

from pypinger.domain import incidents
from pypinger.domain.alerting import daemon_alert
from pypinger.domain.judge import judge
from pypinger.domain.model import (
    Alert,
    Check,
    Event,
    Fault,
    Finding,
    Instant,
    Invalid,
    NoAnswer,
    Report,
    Reported,
    Task,
    TaskState,
)
from pypinger.domain.reminders import remind
from pypinger.domain.routing import ALWAYS, Routing
from pypinger.domain.times import MINUTE
from pypinger.domain.url import task_id
from pypinger.notify import channels
from pypinger.ports.notifying import Channel, ChannelContext, Reply, ThreadedNotifier
from pypinger.runtime.condition import Condition

PAGE = Path(__file__).parent / "messages.md"

PAGES = "https://pinger.example.com"

# A Sunday.
EVENING = datetime(2026, 3, 1, 22, 0, tzinfo=UTC).timestamp()


class Scene(NamedTuple):
    """
    One message.

    :ivar title: its heading.
    :ivar update: whether the message of the scene before it is updated, where a channel can do that.
    """

    title: str
    alerts: Sequence[Alert]
    update: bool = False


class Story:
    """The checks of one task and the alerts they cause."""

    def __init__(self, name: str, url: str, server: str | None = None, process: str | None = None) -> None:
        origin = re.sub(r"(?<=\w)/.*", ":443", url)
        page = f"{PAGES}/task/{task_id(url)}"
        self.task = Task(
            url, task_id(url), name, url, origin, page=page, error_interval=60 * MINUTE, error_interval_max=360 * MINUTE
        )
        self.state = TaskState()
        self.report = Report(True, EVENING, 10.0, process=process, server=server)

    def ok(self, at: Instant) -> Sequence[Alert]:
        return self.check(at, Reported(200, _changed(self.report, ok=True, lastrun=at - 4)))

    def late(self, at: Instant, lastrun: Instant) -> Sequence[Alert]:
        return self.check(at, Reported(200, _changed(self.report, ok=True, lastrun=lastrun)))

    def failed(self, at: Instant, reason: str) -> Sequence[Alert]:
        return self.check(at, Reported(200, _changed(self.report, ok=False, lastrun=at - 20, reason=reason)))

    def check(self, at: Instant, finding: Finding) -> Sequence[Alert]:
        verdict = judge(finding, self.task, at)
        self.state, alerts = incidents.step(self.task, self.state, Check(at, 0.04, finding, verdict))
        return alerts

    def remind(self, at: Instant) -> Sequence[Alert]:
        self.state, alerts = remind(self.task, self.state, at)
        return alerts

    def acknowledge(self, at: Instant, by: str, reason: str) -> Sequence[Alert]:
        self.state, alerts = incidents.acknowledge(self.task, self.state, at, by, reason)
        return alerts


def _changed(report: Report, **changes: Any) -> Report:
    members = {name: getattr(report, name) for name in report.__struct_fields__}
    return Report(**{**members, **changes})


def scenes() -> Iterator[Scene]:
    """Yield every event, in the order in which people might see them."""
    yield from _of_one_task()
    yield from _of_several_tasks()
    yield from _of_py_pinger()


def _of_one_task() -> Iterator[Scene]:
    price = Story("Price import", "https://app-2.example.com/tasks/import.json", "app-2", "import")
    price.ok(EVENING - 5 * MINUTE + 4)
    yield Scene("A problem", price.late(EVENING + 6 * MINUTE + 1, EVENING - 5 * MINUTE))
    failed = price.failed(EVENING + 14 * MINUTE, "exit code 2: cannot write prices.csv: no space left on device")
    yield Scene("A change", failed)
    yield Scene("A reminder", price.remind(EVENING + 67 * MINUTE))
    acknowledged = price.acknowledge(EVENING + 69 * MINUTE, "anna", "the disk is being replaced")
    yield Scene("An acknowledgement", acknowledged)
    yield Scene("A recovery", price.ok(EVENING + 101 * MINUTE))

    orders = Story("https://shop.example.com/tasks/orders", "https://shop.example.com/tasks/orders")
    no_answer = NoAnswer(Fault.TIMEOUT, "no answer within 20 s: still waiting for the headers", 20.0)
    unreachable = orders.check(EVENING, no_answer)
    yield Scene("A problem of a task without a name, tags and a valid report", unreachable)

    mails = Story("Mail queue", "https://shop.example.com/tasks/mails", "shop-1", "mails")
    flapping: Sequence[Alert] = ()
    for number in range(4):
        flapping = mails.failed(EVENING + 12 * number * MINUTE, "exit code 1: SMTP server busy")
        mails.ok(EVENING + (12 * number + 5) * MINUTE)
    yield Scene("Flapping", flapping)
    steady: Sequence[Alert] = ()
    for minute in range(42, 80):
        steady = steady or mails.ok(EVENING + minute * MINUTE)
    yield Scene("A recovery after flapping", steady)


def _of_several_tasks() -> Iterator[Scene]:
    names = ("Backup", "Invoices", "Newsletter", "Price export", "Search index", "Stock levels", "Vouchers")
    stories = [
        Story(name, f"https://db1.example.com/{name.lower().replace(' ', '-')}", "db1", "batch") for name in names
    ]
    for story in stories:
        story.ok(EVENING)
    problems: list[Alert] = []
    for number, story in enumerate(stories):
        at = EVENING + 2 * MINUTE + number
        if number < 4:
            problems += story.check(at, Invalid(503, "it is not JSON"))
        elif number < 6:
            refused = NoAnswer(Fault.REFUSED, "connection refused by db1.example.com:443", 0.01)
            problems += story.check(at, refused)
        else:
            problems += story.failed(at, "the database is read-only")
    yield Scene("A group of problems", problems)
    half = [alert for story in stories[:3] for alert in story.ok(EVENING + 30 * MINUTE)]
    yield Scene(
        "The message of the group, after three of its tasks have recovered", [*problems[3:], *half], update=True
    )
    yield Scene("A group of recoveries", half)
    other = Story("Price import", "https://app-2.example.com/tasks/import.json", "app-2", "import")
    other.ok(EVENING - 5 * MINUTE)
    other.late(EVENING + 20 * MINUTE, EVENING - 5 * MINUTE)
    reminders = [alert for story in (*stories[3:], other) for alert in story.remind(EVENING + 81 * MINUTE)]
    yield Scene("A digest of reminders", reminders)


def _of_py_pinger() -> Iterator[Scene]:
    yield Scene("Started", [daemon_alert(Event.STARTED, "watching 120 tasks", EVENING)])
    yield Scene("Stopped", [daemon_alert(Event.STOPPED, "it had run for 3 d 4 h", EVENING)])
    told: list[Alert] = []
    clock = Clock()
    condition = _condition(clock, told)
    condition.count_with(lambda: 120)
    condition.go_blind("no host answers, for example: no answer within 20 s: still connecting to db1.example.com:443")
    clock.advance(60 * MINUTE)
    clock.advance(9 * MINUTE)
    condition.see_again()
    condition.set_clock(-7 * MINUTE)
    clock.advance(5 * MINUTE)
    condition.set_clock(None)
    condition.stop()
    titles = ("Blind", "A reminder of blindness", "Sighted", "Py Pinger's clock is wrong", "Py Pinger's clock is right")
    for title, alert in zip(titles, told, strict=True):
        yield Scene(title, [alert])
    words = "This is a drill, asked for by anna; no action is needed."
    yield Scene("A test, by `pypinger drill`", [daemon_alert(Event.TEST, words, EVENING)])


def _condition(clock: Clock, told: list[Alert]) -> Condition:
    """What announces blindness, with as much of the daemon as it needs."""

    async def announce(alert: Alert, *_: object) -> None:
        told.append(alert)

    def ignore(*_: object) -> None:
        pass

    outbox: Any = SimpleNamespace(announce=announce, routes=Routing(()))
    store: Any = SimpleNamespace(blindness=ignore, blind=ignore)
    board: Any = SimpleNamespace(show_blind=ignore, add_source=ignore)
    settings: Any = SimpleNamespace(error_interval=60 * MINUTE, error_interval_max=360 * MINUTE)
    return Condition(clock, lambda: EVENING + clock.seconds(), store, outbox, board, settings)


class Request(NamedTuple):
    """What a service receives."""

    url: str
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class KeepingClient:
    """A :class:`pypinger.ports.notifying.HttpClient` that keeps requests; any service might give its answer."""

    def __init__(self) -> None:
        self.requests: list[Request] = []

    async def post(
        self,
        url: str,
        *,
        headers: Mapping[str, str],
        json: object = None,
        data: bytes | None = None,
        timeout: float = 20.0,
    ) -> Reply:
        body = data if json is None else _json(json).encode()
        self.requests.append(Request(url, headers, body or b""))
        return Reply(202, {}, b'{"ok": true, "channel": "C1", "ts": "1.2", "status": "success"}')

    async def get(self, url: str, *, timeout: float = 20.0) -> Reply:
        raise NotImplementedError


class WebServer(LineReceiver):
    """One HTTP request, which is kept and accepted."""

    factory: Keeper

    def __init__(self) -> None:
        self._left = 0
        self._body = b""

    def lineReceived(self, line: bytes) -> None:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            self._left = int(value)
        elif not line:
            self.setRawMode()

    def rawDataReceived(self, data: bytes) -> None:
        self._body += data
        if len(self._body) == self._left:
            self.factory.requests.append(Request("", {}, self._body))
            self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            self.transport.loseConnection()


class MailServer(LineReceiver):
    """One SMTP session, whose mails are kept and accepted."""

    factory: Keeper

    def __init__(self) -> None:
        self._mail: list[bytes] | None = None

    def connectionMade(self) -> None:
        self.sendLine(b"220 mail.example.com ESMTP")

    def lineReceived(self, line: bytes) -> None:
        if self._mail is None:
            verb = line[:4].upper()
            self._mail = [] if verb == b"DATA" else None
            self.sendLine({b"DATA": b"354 go on", b"QUIT": b"221 bye"}.get(verb, b"250 ok"))
        elif line == b".":
            self.factory.requests.append(Request("", {}, b"\n".join(self._mail)))
            self._mail = None
            self.sendLine(b"250 queued")
        else:
            self._mail.append(line.removeprefix(b"."))


class Keeper(Factory):
    """
    A server of one of these protocols on the loopback interface.

    :ivar requests: what it received.
    """

    noisy = False

    def __init__(self, reactor: Any, protocol: type[LineReceiver]) -> None:
        self.protocol = protocol
        self.requests: list[Request] = []
        self.place = f"127.0.0.1:{reactor.listenTCP(0, self, interface='127.0.0.1').getHost().port}"


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2)


# How a person would see a request to each service: a language for the block, and its lines.


def _slack(request: Request) -> Iterator[str]:
    message = request.json()
    yield f"notification: {message['text'].splitlines()[0]}"
    for block in message["blocks"]:
        yield from _slack_block(block)
    for attachment in message["attachments"]:
        bar = {"#d92d20": "red", "#f5b301": "yellow", "#2e9e4f": "green", "#8a94a0": "grey"}[attachment["color"]]
        for block in attachment["blocks"]:
            for line in _slack_block(block):
                yield f"{bar:>6} | {line}"


def _slack_block(block: Mapping[str, Any]) -> Iterator[str]:
    small = block["type"] == "context"
    for text in block["elements"] if small else [block["text"]]:
        for line in text["text"].splitlines():
            yield f"(small) {line}" if small else line


def _hipchat(request: Request) -> Iterator[str]:
    message = request.json()
    yield f"{message['color']}, {'with' if message['notify'] else 'without'} a notification"
    yield from message["message"].splitlines()


def _sentry(request: Request) -> Iterator[str]:
    event = json.loads(request.body.splitlines()[2])
    title, *rest = event["message"].splitlines()
    yield f"{event['level']}: {title}"
    yield from (f"  {line}" for line in rest)
    yield "tags: " + (", ".join(f"{name}={text}" for name, text in event.get("tags", {}).items()) or "none")
    yield f"fingerprint: {' '.join(event['fingerprint'])}"
    yield from (f"alert.{name}: {text}" for name, text in event["contexts"]["alert"].items())


_HEADERS = ("From", "To", "Subject", "Message-ID", "In-Reply-To", "References", "Auto-Submitted")


def _email(request: Request) -> Iterator[str]:
    mail = message_from_bytes(request.body, policy=default)
    for name in _HEADERS:
        if name in mail:
            yield f"{name}: {mail[name]}"
    part = mail.get_body(("plain",))
    assert part is not None
    yield from ["", *part.get_content().rstrip("\n").split("\n")]


def _apprise(request: Request) -> Iterator[str]:
    message = request.json()
    yield f"{message['type']}: {message['title']}"
    yield from message["message"].splitlines()


def _members(request: Request) -> Iterator[str]:
    yield from _json(request.json()).splitlines()


class Rendering(NamedTuple):
    """
    How a channel is shown.

    :ivar title: its heading.
    :ivar values: its options, apart from those with a default; ``{web}`` and ``{mail}`` are the loopback servers.
    :ivar shown: yields the lines of a request.
    :ivar language: of the block of code.
    """

    title: str
    values: Mapping[str, str]
    shown: Callable[[Request], Iterator[str]] = _members
    language: str = "json"


RENDERINGS: Mapping[str, Rendering] = {
    "slack": Rendering("Slack", {"channel": "#ops", "token": "xoxb-token"}, _slack, "text"),
    "apprise": Rendering("Apprise", {"urls": "json://{web}/"}, _apprise, "text"),
    "email": Rendering(
        "Mail",
        {"server": "smtp://{mail}", "from": "Py Pinger <pinger@example.com>", "to": "ops@example.com"},
        _email,
        "text",
    ),
    "hipchat": Rendering("HipChat", {"room": "Ops", "auth": "auth-token"}, _hipchat, "text"),
    "sentry": Rendering("Sentry", {"url": "https://key@sentry.example.com/1"}, _sentry, "text"),
    "webhook": Rendering("Webhook", {"url": "https://hooks.example.com/pinger"}),
    "pagerduty": Rendering("PagerDuty", {"routing_key": "R" * 32}),
    "alertmanager": Rendering("Alertmanager", {"url": "https://alertmanager.example.com"}),
}


async def dump(reactor: Any) -> str:
    """Return the whole page."""
    parts = [
        "# Every message in every channel",
        "`make messages` writes this page: it sends made-up alerts through each channel and shows what its service\n"
        "receives. [channels.md](channels.md) describes the channels, [alerts.md](alerts.md) when alerts are sent.",
    ]
    servers = {"web": Keeper(reactor, WebServer), "mail": Keeper(reactor, MailServer)}
    for name, channel in channels().items():
        rendering = RENDERINGS[name]
        parts.append(f"## {rendering.title}")
        for scene in scenes():
            if (text := await _sent(reactor, name, channel, scene, servers)) is not None:
                parts.append(f"### {rendering.title}: {scene.title}\n\n```{rendering.language}\n{text}\n```")
    return "\n\n".join(parts) + "\n"


async def _sent(reactor: Any, name: str, channel: Channel, scene: Scene, servers: Mapping[str, Keeper]) -> str | None:
    """Send a scene; returns None if the channel has no such message."""
    alerts = [alert for alert in scene.alerts if alert.event in channel.events | ALWAYS]
    client, now = KeepingClient(), max(alert.at for alert in scene.alerts)
    places = {each: server.place for each, server in servers.items()}
    given = {option: value.format(**places) for option, value in RENDERINGS[name].values.items()}
    values = {option.name: option.default for option in channel.options} | given
    notifier = channel.notifier(values, ChannelContext(name, client, lambda: now, reactor))
    if not alerts or (len(scene.alerts) > 1 and not notifier.groups):
        return None
    if scene.update:
        if not isinstance(notifier, ThreadedNotifier):
            return None
        await notifier.update("C1 1.2 #ops", alerts)
    else:
        await notifier.send(alerts)
    requests = client.requests
    for server in servers.values():
        requests += server.requests
        server.requests.clear()
    return "\n".join(line.rstrip() for request in requests for line in RENDERINGS[name].shown(request))


async def main(reactor: Any) -> None:
    """Write the page to the file that is named, or in its place."""
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else PAGE
    path.write_text(await dump(reactor), encoding="utf-8")


if __name__ == "__main__":
    react(lambda reactor: Deferred.fromCoroutine(main(reactor)))
