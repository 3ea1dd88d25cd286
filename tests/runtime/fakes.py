"""Fakes of the ports for the runtime's tests."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from twisted.internet.defer import Deferred, succeed

from pypinger.domain.model import (
    Alert,
    Answer,
    Check,
    Delivery,
    Event,
    Instant,
    Observation,
    Outcome,
    Report,
    Task,
    TaskState,
)
from pypinger.domain.routing import ChannelRoute, Routing
from pypinger.domain.times import iso
from pypinger.domain.url import origin
from pypinger.notify.audience import Audience, Sending
from pypinger.ports.clock import WallClock
from pypinger.ports.notifying import DeliveryError, MessageLost, Notifier, Receipt
from pypinger.runtime.outbox import Outbox
from pypinger.runtime.outboxsettings import OutboxSettings
from tests.runtime.clock import QuickClock
from tests.store.inline import InlineStore

#: A Monday at noon, UTC.
NOON = 1_793_620_800.0


class World:
    """A reactor's clock and a wall clock; change `offset` to step the wall clock."""

    def __init__(self) -> None:
        self.clock = QuickClock()
        self.offset = NOON

    def now(self) -> Instant:
        return self.offset + self.clock.seconds()

    def pass_time(self, seconds: float, step: float = 0.05) -> None:
        """Let `seconds` pass in small steps, so that timers fire in order."""
        self.clock.advance(0)
        end = self.clock.seconds() + seconds
        while self.clock.seconds() < end - 1e-9:
            self.clock.step(step, end)


def body(lastrun: Instant, frequency: float = 10, status: str = "ok", extra: str = "") -> bytes:
    return f'{{"status": "{status}", "lastrun": "{iso(lastrun)}", "frequency": {frequency}{extra}}}'.encode()


def make_task(name: str = "a", **settings: object) -> Task:
    url = f"http://host/{name}"
    return Task(url=url, id=name, name=name, label=url, origin=origin(url), **settings)  # type: ignore[arg-type]


class FakeFetcher:
    """
    Answers with the result of `answer`, which may be a Deferred.

    :ivar asked: the name and the time of each fetch.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.asked: list[tuple[str, float]] = []
        self.answer: Callable[[Task], Observation | Deferred[Observation]] = lambda task: Answer(
            200, body(world.now()), 0.1
        )

    async def look_up(self, task: Task) -> None:
        """There are no names to look up."""

    async def fetch(self, task: Task) -> Observation:
        self.asked.append((task.name, self.world.clock.seconds()))
        answer = self.answer(task)
        return await answer if isinstance(answer, Deferred) else answer

    def times(self, name: str = "a") -> list[float]:
        return [at for asked, at in self.asked if asked == name]


class FakeNotifier:
    """
    A channel that responds to a message with the result of `respond` for its first alert.

    :ivar messages: the messages sent, each as the numbers of its alerts.
    """

    def __init__(self, name: str = "slack", spacing: float = 0.0, groups: bool = False) -> None:
        self.name = name
        self.spacing = spacing
        self.groups = groups
        self.sent: list[Alert] = []
        self.tried: list[Alert] = []
        self.messages: list[tuple[int, ...]] = []
        self.respond: Callable[[Alert], str | Deferred[str]] = lambda alert: "ok"

    async def send(self, alerts: Sequence[Alert]) -> str:
        assert len(alerts) == 1 or (alerts and self.groups)
        self.tried.extend(alerts)
        response = self.respond(alerts[0])
        words = await response if isinstance(response, Deferred) else response
        self.sent.extend(alerts)
        self.messages.append(tuple(int(alert.id, 16) for alert in alerts))
        return words

    def events(self) -> list[str]:
        return [alert.event.value for alert in self.sent]


class FakeMails(FakeNotifier):
    """
    A channel with two recipients, ``x`` and ``y``.

    :ivar reached: the recipient and the number of each alert that was accepted.
    :ivar answers: the answer of a recipient; without one it accepts.
    """

    def __init__(self) -> None:
        super().__init__()
        self.reached: list[tuple[str, int]] = []
        self.answers: dict[str, Deferred[None]] = {}
        self._audience = Audience("slack", {"x": "x", "y": "y"})

    async def send(self, alerts: Sequence[Alert]) -> str:
        attempt = Sending(self._audience, alerts)
        for recipient, missing in attempt.missing():
            try:
                await self.answers.pop(recipient, succeed(None))
            except DeliveryError as error:
                (attempt.refused if error.permanent else attempt.failed)(recipient, error.words)
            else:
                attempt.reached(recipient, "ok")
                self.reached += [(recipient, int(alert.id, 16)) for alert in missing]
        return attempt.conclude()

    def progress(self, alert: Alert) -> str | None:
        return self._audience.progress(alert)

    def begin(self, alert: Alert, progress: str | None) -> None:
        self._audience.begin(alert, progress)


class FakeThreads(FakeNotifier):
    """
    A channel whose messages can be replied to.

    :ivar posts: the number of each message's first alert, the message replied to, and the reference returned.
    :ivar lost: references of messages that cannot be updated.
    :ivar updates: references of the messages updated.
    """

    def __init__(self, name: str = "slack") -> None:
        super().__init__(name, groups=True)
        self.posts: list[tuple[int, str | None, str]] = []
        self.lost: set[str] = set()
        self.updates: list[str] = []

    async def post(self, alerts: Sequence[Alert], thread: str | None) -> Receipt:
        words = await self.send(alerts)
        reference = thread or f"message {len(self.posts) + 1}"
        self.posts.append((int(alerts[0].id, 16), thread, reference))
        return Receipt(words, reference)

    async def update(self, reference: str, alerts: Sequence[Alert]) -> str:
        if reference in self.lost:
            raise MessageLost("it is gone")
        self.updates.append(reference)
        return "ok"


class FakeObserver(FakeNotifier):
    """A channel that observes runs."""

    def __init__(self) -> None:
        super().__init__("sentry")
        self.runs: list[float | None] = []
        self.begun: list[float | None] = []
        self.hear: Callable[[], Deferred[None] | None] = lambda: None

    async def run_seen(self, task: Task, report: Report, at: Instant) -> None:
        heard = self.hear()
        if heard is not None:
            await heard
        self.runs.append(report.lastrun)
        self.begun.append(report.started)


class SlowStore(InlineStore):
    """A store whose commits wait while `slow` is set, and whose settling fails while `broken` is set."""

    def __init__(self, now: WallClock = time.time) -> None:
        super().__init__(now)
        self.waiting: list[Deferred[None]] = []
        self.slow = False
        self.settled: list[tuple[str, Outcome]] = []
        self.broken: Exception | None = None

    async def commit(self, task: Task, state: TaskState, check: Check | None, deliveries: Sequence[Delivery]) -> bool:
        if self.slow:
            gate: Deferred[None] = Deferred()
            self.waiting.append(gate)
            await gate
        return await super().commit(task, state, check, deliveries)

    async def settle(self, delivery: Delivery, outcome: Outcome) -> None:
        if self.broken is not None:
            raise self.broken
        self.settled.append((delivery.alert.id, outcome))
        await super().settle(delivery, outcome)


def make_alert(
    number: int,
    event: Event = Event.PROBLEM,
    task: str = "a",
    at: Instant = NOON,
    origin: str = "",
    server: str | None = None,
) -> Alert:
    return Alert(
        id=f"{number:016x}",
        event=event,
        at=at,
        explanation="why",
        task=task,
        name=task,
        origin=origin,
        server=server,
        started=at,
    )


def channels_on(
    notifiers: Sequence[Notifier], retry_for: float = 86_400.0, group_wait: float = 5.0, held: Sequence[str] = ()
) -> OutboxSettings:
    """The settings of an outbox whose channels are sent everything."""
    routes = Routing(tuple(ChannelRoute(notifier.name, events=frozenset(Event)) for notifier in notifiers))
    return OutboxSettings(tuple(notifiers), routes, frozenset(held), retry_for, group_wait)


def to_all(outbox: Outbox, alerts: Sequence[Alert]) -> list[Delivery]:
    """One delivery per alert and channel, as for alerts without a task."""
    return [delivery for alert in alerts for delivery in outbox.routes.of_daemon(alert)]
