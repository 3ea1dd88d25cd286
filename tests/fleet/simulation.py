"""A fleet on a fake clock, watched by the parts of the service, with fakes at their ports."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from twisted.internet.defer import Deferred

from pypinger.domain.alerting import daemon_alert
from pypinger.domain.model import (
    Alert,
    Answer,
    Check,
    Contact,
    Delivery,
    Event,
    Fault,
    NoAnswer,
    Observation,
    Task,
    TaskState,
)
from pypinger.domain.redaction import Secrets
from pypinger.domain.selector import parse
from pypinger.domain.silence import Maintenance, Silence
from pypinger.domain.times import iso
from pypinger.ports.notifying import DeliveryError, Receipt
from pypinger.runtime.board import LiveBoard
from pypinger.runtime.check import Checker
from pypinger.runtime.fetches import CheckSettings
from pypinger.runtime.monitor import Monitor
from pypinger.runtime.outbox import Outbox
from pypinger.runtime.runs import RunFeed
from pypinger.runtime.silencing import SilenceError, Silencing
from tests.fleet.clock import HeapClock, ProcessClock
from tests.fleet.members import BEGIN, DAY, Member
from tests.fleet.people import Quiet, Silenced
from tests.fleet.script import Script
from tests.fleet.truth import Answered, Truth
from tests.runtime.fakes import channels_on
from tests.store.inline import InlineStore

TIMEOUT = 20.0

#: When TCP tries again to connect, in seconds after the first attempt.
RETRIES = (1.0, 3.0, 7.0, 15.0)

#: How near to a cut of ours answers take a while, in seconds: the order of answers matters there.
NEAR = 60.0


@dataclass(frozen=True)
class Message:
    """
    A message that a channel took.

    :ivar thread: whether it is a reply in a thread.
    """

    at: float
    alerts: tuple[Alert, ...]
    thread: bool

    @property
    def source(self) -> str:
        return self.alerts[0].event.value


class PlainChannel:
    """
    A channel without threads, at one message a second.

    :ivar down: whether it refuses messages.
    """

    spacing = 1.0
    groups = True

    def __init__(self, name: str, clock: HeapClock) -> None:
        self.name = name
        self.clock = clock
        self.down = False
        self.messages: list[Message] = []

    def take(self, alerts: Sequence[Alert], *, thread: bool = False) -> None:
        if self.down:
            raise DeliveryError("HTTP 503")
        self.messages.append(Message(self.clock.seconds(), tuple(alerts), thread))

    async def send(self, alerts: Sequence[Alert]) -> str:
        self.take(alerts)
        return "ok"


class ThreadChannel(PlainChannel):
    """A channel with threads."""

    async def post(self, alerts: Sequence[Alert], thread: str | None) -> Receipt:
        self.take(alerts, thread=thread is not None)
        return Receipt("ok", thread or f"message {len(self.messages)}")

    async def update(self, reference: str, alerts: Sequence[Alert]) -> str:
        return "ok"


class Fleet:
    """Implements :class:`pypinger.ports.fetching.Fetcher`: the answers of a script's tasks."""

    def __init__(self, script: Script, clock: HeapClock) -> None:
        self._clock = clock
        self._random = Random(script.seed)
        self._states = {member.name: _Standing(member) for member in script.members}
        self._edges = [edge for cut in script.cuts for edge in cut]
        self.last: dict[str, Answered] = {}

    async def look_up(self, task: Task) -> None:
        """There are no names to look up."""

    async def fetch(self, task: Task) -> Observation:
        standing, began = self._states[task.name], self._clock.seconds()
        way = standing.way(began)
        if way == "ok":
            if self._edges and any(abs(began - edge) < NEAR for edge in self._edges):
                await self._sleep(self._random.uniform(0.01, 0.3))
            return self._report(task, standing, began)
        if way in ("silent", "cut"):
            return await self._silence(task, standing, began, way)
        await self._sleep(self._random.uniform(1, 15) if way == "slow" else 0.02)
        return self._report(task, standing, began) if way == "slow" else self._trouble(task, standing, began, way)

    async def _silence(self, task: Task, standing: _Standing, began: float, way: str) -> Observation:
        for retry in RETRIES:
            await self._sleep(began + retry - self._clock.seconds())
            now = standing.way(self._clock.seconds())
            if now not in ("silent", "cut"):
                await self._sleep(0.05)
                return self._trouble(task, standing, began, now) if now != "ok" else self._report(task, standing, began)
        await self._sleep(began + TIMEOUT - self._clock.seconds())
        if standing.way(self._clock.seconds()) == "silent":
            # A cut of ours that ends may hide a host that is silent itself.
            way = "silent"
        return self._trouble(task, standing, began, way)

    def _trouble(self, task: Task, standing: _Standing, began: float, way: str) -> Observation:
        now = self._clock.seconds()
        self.last[task.name] = Answered(began, now, way, standing.run(now))
        host, latency = standing.member.host, now - began
        contact = Contact(host, f"address of {host}", date=float(int(BEGIN + now)))
        match way:
            case "refused":
                return NoAnswer(Fault.REFUSED, "connection refused", latency, Contact(host, f"address of {host}"))
            case "503":
                return Answer(503, b"<h1>Service Unavailable</h1>", latency, contact)
            case "invalid":
                return Answer(200, b"<h1>Welcome</h1>", latency, contact)
            case "silent" | "cut":
                return NoAnswer(Fault.TIMEOUT, "no answer within 20 s", latency, Contact(host, None, silent=True))
        return self._report(task, standing, began)

    def _report(self, task: Task, standing: _Standing, began: float) -> Observation:
        now, member = self._clock.seconds(), standing.member
        run = standing.run(now)
        self.last[task.name] = Answered(began, now, "ok", run)
        contact = Contact(member.host, f"address of {member.host}", date=float(int(BEGIN + now)))
        return Answer(200, standing.body(run), now - began, contact)

    def _sleep(self, seconds: float) -> Deferred[None]:
        waited: Deferred[None] = Deferred(lambda _: call.cancel())
        call = ProcessClock(self._clock).callLater(seconds, waited.callback, None)
        return waited


class _Standing:
    """Where in its script a task is; time never goes back."""

    def __init__(self, member: Member) -> None:
        self.member = member
        self._run = 0
        self._segment = 0
        self._body: tuple[int, bytes] = (-1, b"")

    def run(self, now: float) -> int:
        runs, index = self.member.runs, self._run
        while runs[index + 1][0] <= now:
            index += 1
        self._run = index
        return index

    def way(self, now: float) -> str:
        segments, index = self.member.segments, self._segment
        while index + 1 < len(segments) and segments[index + 1][0] <= now:
            index += 1
        self._segment = index
        return segments[index][1]

    def body(self, run: int) -> bytes:
        if self._body[0] != run:
            member = self.member
            lastrun, well = member.runs[run]
            words = f'"status": "{"ok" if well else "error"}", "lastrun": "{iso(BEGIN + lastrun)}", '
            words += f'"frequency": {member.frequency / 60:g}, "server": "{member.server}"'
            if member.sleep is not None:
                start, length = member.sleep
                words += f', "sleep": [{{"start": "{int(start // 3600):02}:00", "duration": {length / 60:g}}}]'
            if not well:
                words += ', "reason": "exit code 1"'
            self._body = run, f"{{{words}}}".encode()
        return self._body[1]


class WatchedStore(InlineStore):
    """Shows the truth every check that is recorded."""

    def watch(self, simulation: Simulation) -> None:
        self._simulation = simulation

    def note(self, task: Task, state: TaskState, check: Check) -> None:
        self._simulation.judged(task, check, (), is_open=state.incident is not None)
        super().note(task, state, check)

    async def commit(self, task: Task, state: TaskState, check: Check | None, deliveries: Sequence[Delivery]) -> None:
        if check is not None:
            self._simulation.judged(task, check, deliveries, is_open=state.incident is not None)
        else:
            self._simulation.moved(task, deliveries)
        await super().commit(task, state, check, deliveries)


class Process:
    """One life of the daemon."""

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self.clock = clock = ProcessClock(simulation.clock)
        now, store, tasks = simulation.now, simulation.store, simulation.tasks
        self.board = LiveBoard(tasks, now)
        self.outbox = Outbox(clock, now, store, self.board, channels_on(simulation.channels))
        settings = CheckSettings(simulation.fleet, 256, Secrets())
        self.checker = Checker(clock, now, store, self.outbox, self.board, RunFeed(clock, []), settings)
        self.monitor = Monitor(clock, now, tasks, self.checker, self.board, self.outbox)
        self.silencing = Silencing(clock, now, store, self.board.entries)
        self.silencing.configure([maintenance(each) for each in simulation.script.people.maintenance])
        self.board.mute_with(self.silencing.muted)

    def start(self) -> None:
        kept = self._simulation.store.open()
        self.silencing.resume(kept.silences)
        self.monitor.resume(kept.states)
        self.checker.resume(kept)
        self.outbox.resume(kept)
        self._announce(Event.STARTED)
        self.monitor.start()
        self.silencing.start(self.monitor.silences_changed)

    def stop(self) -> None:
        self.silencing.stop()
        Deferred.fromCoroutine(self.monitor.stop())
        self._announce(Event.STOPPED)
        Deferred.fromCoroutine(self.outbox.stop(5))

    def _announce(self, event: Event) -> None:
        alert = daemon_alert(event, "", self._simulation.now())
        Deferred.fromCoroutine(self.outbox.announce(alert))


class Simulation:
    """
    A fleet's time, from one seed.

    :param settings: of the tasks.
    """

    def __init__(self, script: Script, **settings: float) -> None:
        self.script = script
        self.clock = HeapClock()
        self.fleet = Fleet(script, self.clock)
        self._offset = BEGIN
        self._alive = True
        self.tasks = [make_task(member, settings) for member in script.members]
        self.truth = Truth(script, self.tasks[0].error_interval, self.tasks[0].error_interval_max)
        self.slack = ThreadChannel("slack", self.clock)
        self.plain = PlainChannel("hipchat", self.clock)
        self.channels = (self.slack, self.plain)
        self.store = WatchedStore(self.now)
        self.store.watch(self)

    def now(self) -> float:
        return self._offset + self.clock.seconds()

    def judged(self, task: Task, check: Check, deliveries: Sequence[Delivery], *, is_open: bool) -> None:
        self.truth.judged(
            task.name,
            self.clock.seconds(),
            check.verdict.kind.value,
            self.fleet.last[task.name],
            events(deliveries),
            is_open=is_open,
        )

    def moved(self, task: Task, deliveries: Sequence[Delivery]) -> None:
        """Time or people caused alerts."""
        self.truth.moved(task.name, self.clock.seconds(), events(deliveries))

    def run(self) -> None:
        """Let the whole time pass, and a few minutes for what still waits."""
        script = self.script
        things: list[tuple[float, str, float]] = []
        things += [(at, "stop" if how == "stop" else "kill", 0.0) for at, _, how in script.restarts]
        things += [(end, "start", 0.0) for _, end, _ in script.restarts]
        things += [(start, "step", step) for start, _, step in script.steps]
        things += [(end, "step", 0.0) for _, end, _ in script.steps]
        things += [(each.at, "silence", float(number)) for number, each in enumerate(script.people.silences)]
        things += [(at, "acknowledge", number) for at, number in script.people.acknowledgements]
        self._process = Process(self)
        self._process.start()
        for at, what, number in sorted(things):
            self.clock.run(at)
            self._do(what, number)
        self.clock.run(script.length)
        self.truth.close()
        self._process.stop()
        self.clock.run(script.length + 10)
        self._process.clock.kill()

    def _do(self, what: str, number: float) -> None:
        match what:
            case "stop":
                self._process.stop()
                self._alive = False
            case "kill":
                self._process.clock.kill()
                self._alive = False
            case "start":
                self._process.clock.kill()
                self._process = Process(self)
                self._process.start()
                self._alive = True
            case "step":
                self._offset = BEGIN + number
            case "silence" if self._alive:
                self._silence(self.script.people.silences[int(number)])
            case "acknowledge" if self._alive:
                self._acknowledge(number)

    def _silence(self, silenced: Silenced) -> None:
        name = self.truth.open_incident(silenced.number) or "t0-0"
        word, early = silenced.word.format(name=name, host=name.partition("-")[0]), silenced.early
        quiet = Quiet(word, self._wall(), self._wall() + silenced.length, given=True)
        adding = Deferred.fromCoroutine(self._process.silencing.add(word, silenced.length, "why", "anna"))
        adding.addErrback(lambda failure: failure.trap(SilenceError) and None)
        given: list[tuple[Silence, int] | None] = []
        adding.addCallback(given.append)
        if not given or given[0] is None:
            return  # No task has told its server yet.
        self.truth.quiets.add(quiet)
        silence = given[0][0]

        def end() -> None:
            if self._alive and self._wall() < quiet.end:
                quiet.end = self._wall()
                ended = Deferred.fromCoroutine(self._process.silencing.end(silence.id))
                ended.addErrback(lambda failure: failure.trap(SilenceError))

        if early is not None:
            # People outlive the process.
            ProcessClock(self.clock).callLater(early - self.clock.seconds(), end)

    def _acknowledge(self, number: float) -> None:
        if name := self.truth.open_incident(number):
            url = next(task.url for task in self.tasks if task.name == name)
            taken = Deferred.fromCoroutine(self._process.monitor.acknowledge(url, "anna", "I look"))
            taken.addCallback(lambda _: self.truth.acknowledged(name, self.clock.seconds()))

    def _wall(self) -> float:
        return self.now() - BEGIN


def events(deliveries: Sequence[Delivery]) -> list[tuple[str, str, str]]:
    """Return (event, kind, id) of the alerts that are delivered."""
    alerts = {delivery.alert.id: delivery.alert for delivery in deliveries}.values()
    return [(alert.event.value, alert.kind.value if alert.kind else "", alert.id) for alert in alerts]


def maintenance(quiet: Quiet) -> Maintenance:
    """Return a section of the ini file."""
    selector = parse(quiet.word)
    if not quiet.daily:
        return Maintenance("move", selector, start=BEGIN + quiet.start, until=BEGIN + quiet.end)
    hours, minutes = divmod(quiet.start % DAY // 60, 60)
    return Maintenance(
        "nightly", selector, schedule=f"{minutes:.0f} {hours:.0f} * * *", duration=quiet.end - quiet.start
    )


def make_task(member: Member, settings: dict[str, float]) -> Task:
    url = f"http://{member.host}.example/{member.name}"
    return Task(
        url=url,
        id=member.name,
        name=member.name,
        label=url,
        origin=f"http://{member.host}.example:80",
        interval=member.interval,
        unreachable_for=member.unreachable_for,
        **settings,  # type: ignore[arg-type]
    )
