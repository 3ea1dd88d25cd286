"""Instances that share their tasks over a store in memory, on a fake clock."""

from __future__ import annotations

from collections.abc import Sequence

from twisted.internet.defer import Deferred

from pypinger.domain.model import Alert, Answer, Event, Task
from pypinger.domain.redaction import Secrets
from pypinger.ports.sharing import InstanceListing
from pypinger.ports.showing import Entry
from pypinger.runtime.board import LiveBoard
from pypinger.runtime.check import Checker
from pypinger.runtime.commands import Commands
from pypinger.runtime.fetches import CheckSettings
from pypinger.runtime.monitor import Monitor
from pypinger.runtime.outbox import Outbox
from pypinger.runtime.pushes import Pushes
from pypinger.runtime.runs import RunFeed
from pypinger.runtime.sharing import Participant, SharedParts
from pypinger.runtime.silencing import Silencing
from tests.runtime.fakes import FakeFetcher, FakeNotifier, body, channels_on
from tests.runtime.together import Server, TogetherStore


class Life:
    """
    One instance, from its start on.

    :ivar notifiers: its channels.
    :ivar grown: how many tasks it watched at each call of `grown`: see :class:`~pypinger.runtime.sharing.Participant`.
    """

    def __init__(
        self,
        server: Server,
        name: str,
        tasks: Sequence[Task],
        channels: Sequence[str] = ("slack",),
        fetcher: object = None,
        group_wait: float = 0.0,
    ) -> None:
        world = self.world = server.world
        self.name, self.server, self.tasks = name, server, tuple(tasks)
        self.store = TogetherStore(server, name)
        clock, now = world.clock, self.store.now
        self.fetcher = FakeFetcher(world) if fetcher is None else fetcher
        self.notifiers = {channel: FakeNotifier(channel, groups=group_wait > 0) for channel in channels}
        self.board = LiveBoard(tasks, now)
        self.outbox = Outbox(
            clock, now, self.store, self.board, channels_on(list(self.notifiers.values()), group_wait=group_wait)
        )
        self.runs = RunFeed(clock, [])
        secrets = Secrets()
        self.checker = Checker(
            clock, now, self.store, self.outbox, self.board, self.runs, CheckSettings(self.fetcher, 256, secrets)
        )
        self.monitor = Monitor(clock, now, tasks, self.checker, self.board, self.outbox)
        self.silencing = Silencing(clock, now, self.store, self.board.entries)
        self.board.mute_with(self.silencing.muted)
        self.grown: list[int] = []
        self.participant = Participant(
            clock,
            now,
            self.store,
            SharedParts(self.board, self.monitor, self.outbox, self.checker, self.silencing, self.runs),
            lambda: self.grown.append(len(self.monitor.keys)),
        )
        self.commands = Commands(
            (clock, now), self.board, self.monitor, self.silencing, self.outbox, self.store, lambda: None
        )
        self.commands.share(self.participant)
        self.pushes = Pushes(clock, self.monitor, self.checker, secrets, 65_536)
        self.pushes.update(tasks, 65_536)
        self.pushes.share(self.participant)

    def start(self) -> None:
        self.store.list(self.listing())
        kept = self.store.open()
        self.participant.share()
        self.silencing.resume(kept.silences)
        self.monitor.resume(kept.states)
        self.checker.resume(kept)
        self.outbox.resume(kept)
        self.monitor.start()
        self.pushes.start()
        self.silencing.start(self.monitor.silences_changed)
        self.participant.start("", len(self.tasks))

    def listing(self) -> InstanceListing:
        return InstanceListing(frozenset(task.key for task in self.tasks), frozenset(self.notifiers), "digest")

    def reload(self, tasks: Sequence[Task], channels: Sequence[str] | None = None) -> None:
        self.tasks = tuple(tasks)
        if channels is not None:
            self.notifiers = {name: self.notifiers.get(name) or FakeNotifier(name) for name in channels}
            self.outbox.update(channels_on(list(self.notifiers.values()), group_wait=0.0))
        self.monitor.update(tasks)
        self.store.list(self.listing())

    async def stop(self) -> None:
        self.participant.stop()
        self.silencing.stop()
        await self.monitor.stop()
        await self.outbox.stop(1.0, drain=self.participant.alone)
        await self.store.close()

    def watched(self) -> list[str]:
        """The names of the tasks that it watches."""
        return sorted(task.name for task in self.tasks if self.monitor.watches(task.key))

    def entry(self, name: str) -> Entry:
        found = self.board.by_id(name)
        assert found is not None
        return found

    def sent(self, channel: str = "slack") -> list[Alert]:
        """The alerts that left through a channel, but for those of starts."""
        return [alert for alert in self.notifiers[channel].sent if alert.event is not Event.STARTED]

    def fail(self, *names: str) -> None:
        """Have these tasks fail, and the others run well."""
        world = self.world

        def answer(task: Task) -> Answer | Deferred[Answer]:
            return Answer(200, body(world.now(), status="error" if task.name in names else "ok"), 0.1)

        self.fetcher.answer = answer  # type: ignore[attr-defined]
