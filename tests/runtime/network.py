"""A network in memory: hosts that answer, are silent, refuse, or cannot be resolved, with latencies on a fake clock."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

from msgspec.structs import replace
from twisted.internet.defer import Deferred

from pypinger.domain.model import Answer, Contact, Fault, Instant, NoAnswer, Observation, Seconds, Task, TaskState
from pypinger.domain.redaction import Secrets
from pypinger.domain.url import is_ip_address
from pypinger.ports.storing import Kept
from pypinger.runtime.board import LiveBoard
from pypinger.runtime.check import Checker
from pypinger.runtime.fetches import CheckSettings
from pypinger.runtime.monitor import Monitor
from pypinger.runtime.outbox import Outbox
from pypinger.runtime.runs import RunFeed
from tests.runtime.fakes import NOON, FakeNotifier, World, body, channels_on
from tests.store.inline import InlineStore


def task_of(host: str, path: str = "", port: int = 80, **settings: object) -> Task:
    url = f"http://{host}:{port}/{path}"
    name = f"{host}:{port}/{path}" if path or port != 80 else host
    return Task(url=url, id=name, name=name, label=url, origin=f"http://{host}:{port}", **settings)  # type: ignore[arg-type]


def host_of(task: Task) -> str:
    return task.url.split("/")[2].partition(":")[0]


class Network:
    """
    Implements :class:`pypinger.ports.fetching.Fetcher`.

    :ivar modes: what the hosts, or single tasks by name, do: ``ok``, ``slow`` (answers after 3 s), ``silent``,
        ``mute`` (accepts connections, and answers nothing), ``unreachable`` (silent, known at once), ``refused``,
        ``no name``, ``no route``, ``own`` (no descriptors), ``look-ups hang``, ``kept`` (it cannot be looked up, but
        answers over a kept connection).
    :ivar everywhere: what all of them do, if it is set.
    :ivar redirects: hosts that tasks, by name, are redirected to.
    :ivar ahead: seconds that the hosts' clocks are ahead of the true time.
    :ivar asked: (task, time) of each request.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.modes: dict[str, str] = {}
        self.everywhere: str | None = None
        self.addresses: dict[str, str] = {}
        self.ahead: dict[str, Seconds] = {}
        self.redirects: dict[str, str] = {}
        self.asked: list[tuple[str, Seconds]] = []
        self.lastrun: Callable[[Task], Instant] = lambda task: world.now()
        self.status = "ok"

    def times(self, name: str) -> list[Seconds]:
        return [at for asked, at in self.asked if asked == name]

    def mode(self, task: Task) -> str:
        return self.everywhere or self.modes.get(task.name) or self.modes.get(host_of(task), "ok")

    async def wait(self, seconds: Seconds) -> None:
        waited: Deferred[None] = Deferred(lambda _: call.cancel())
        call = self.world.clock.callLater(seconds, waited.callback, None)
        await waited

    async def fetch(self, task: Task) -> Observation:
        self.asked.append((task.name, self.world.clock.seconds()))
        found = await self.exchange(task)
        target = self.redirects.get(task.name)
        if target is None:
            return found
        assert found.contact is not None
        there = await self.exchange(task_of(target, timeout=task.timeout))
        assert there.contact is not None
        return replace(there, contact=replace(there.contact, before=(found.contact,)))

    async def exchange(self, task: Task) -> Observation:
        host, mode = host_of(task), self.mode(task)
        waits = {
            "ok": 0.02,
            "kept": 0.02,
            "slow": 3.0,
            **dict.fromkeys(("silent", "mute", "look-ups hang"), task.timeout),
        }
        wait = waits.get(mode, 0.001)
        await self.wait(min(wait, task.timeout))
        mute = Contact(host, None, silent=True)
        resolved = None if is_ip_address(host) or mode == "kept" else True
        match mode:
            case "silent":
                return NoAnswer(Fault.TIMEOUT, f"no answer within {task.timeout:g} s", wait, mute)
            case "mute":
                contact = Contact(host, self.addresses.get(host), resolved=resolved)
                return NoAnswer(Fault.TIMEOUT, f"no answer within {task.timeout:g} s", wait, contact)
            case "unreachable":
                return NoAnswer(Fault.CONNECT, "no route to host", wait, mute)
            case "refused":
                contact = Contact(host, self.addresses.get(host), resolved=resolved)
                return NoAnswer(Fault.REFUSED, "connection refused", wait, contact)
            case "no name":
                return NoAnswer(Fault.DNS, f"no such host: {host}", wait, Contact(host, resolved=False))
            case "look-ups hang":
                mute = Contact(host, silent=True, resolved=False)
                return NoAnswer(Fault.TIMEOUT, f"no answer within {task.timeout:g} s", wait, mute)
            case "no route":
                return NoAnswer(Fault.NO_ROUTE, "network is unreachable", wait, Contact(host))
            case "own":
                return NoAnswer(Fault.OWN, "all file descriptors are in use", wait, Contact(host))
        date = NOON + self.world.clock.seconds() + self.ahead.get(host, 0.0)
        address = self.addresses.get(host, f"address of {host}")
        contact = Contact(host, address, date=float(int(date)), resolved=resolved)
        return Answer(200, body(self.lastrun(task), status=self.status), wait, contact)

    async def look_up(self, task: Task) -> Contact | None:
        host = host_of(task)
        if is_ip_address(host):
            return None
        self.asked.append((task.name, self.world.clock.seconds()))
        mode = self.mode(task)
        await self.wait(task.timeout if mode in ("look-ups hang", "silent") else 0.001)
        return Contact(host, resolved=mode not in ("kept", "no name", "look-ups hang", "silent"))


class Life:
    """
    One process: monitor, checker and outbox over a network and a store, which the next life goes on with.

    :ivar notifier: a channel; `events` are those of the alerts that it was sent.
    """

    def __init__(
        self, world: World, network: Network, store: InlineStore, tasks: Iterable[Task], **settings: int
    ) -> None:
        self.world = world
        self.network = network
        self.store = store
        self.tasks = list(tasks)
        self.notifier = FakeNotifier()
        self.board = LiveBoard(self.tasks, world.now)
        self.outbox = Outbox(world.clock, world.now, store, self.board, channels_on([self.notifier], group_wait=0))
        self.checker = Checker(
            world.clock,
            world.now,
            store,
            self.outbox,
            self.board,
            RunFeed(world.clock, []),
            CheckSettings(network, settings.get("concurrency", 256), Secrets()),
        )
        self.monitor = Monitor(world.clock, world.now, self.tasks, self.checker, self.board, self.outbox)

    def start(self, kept: Kept | None = None) -> None:
        kept = kept or self.store.open()
        self.monitor.resume(kept.states)
        self.checker.resume(kept)
        self.outbox.resume(kept)
        self.monitor.start()

    def run(self, seconds: Seconds) -> None:
        """Let time pass, from one timer to the next."""
        self.world.clock.run(seconds)

    def stop(self) -> None:
        Deferred.fromCoroutine(self.monitor.stop())
        Deferred.fromCoroutine(self.outbox.stop(0))

    def kill(self) -> None:
        """End without a trace: no timer of it fires any more."""
        self.stop_recording()
        self.stop()

    def stop_recording(self) -> None:
        """Let nothing that happens from now on reach the store."""
        self.checker.condition._store = self.checker.blindness._store = InlineStore(self.world.now)

    def state(self, name: str) -> TaskState:
        entry = self.board.by_id(name)
        assert entry is not None
        return entry.state

    def events(self) -> list[str]:
        return self.notifier.events()

    def counted(self) -> Counter[str]:
        return Counter(self.events())
