"""Record days of checks at once: the real monitor and the real store, scripted endpoints, a fake clock."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from pypinger.domain.model import Answer, Fault, Instant, NoAnswer, Observation, Seconds, Task
from pypinger.domain.redaction import Secrets
from pypinger.domain.times import iso
from pypinger.runtime.board import LiveBoard
from pypinger.runtime.check import Checker
from pypinger.runtime.fetches import CheckSettings
from pypinger.runtime.monitor import Monitor
from pypinger.runtime.outbox import Outbox
from pypinger.runtime.runs import RunFeed
from pypinger.store.sqlite import SqliteStore
from pypinger.store.threads import Reactor
from tests.runtime.fakes import NOON, FakeNotifier, World, channels_on
from tests.store.inline import InlineWorker

#: What an endpoint can do.
MODES = ("ok", "stuck", "failed", "invalid", "error", "refused", "timeout", "own", "ahead", "flap", "sleepy")


class Endpoint:
    """
    A task that follows a script.

    :ivar script: parts of (seconds, mode, latency), repeated.
    :ivar minutes: how often its job runs.
    """

    def __init__(self, script: Sequence[tuple[Seconds, str, Seconds]], minutes: float = 10) -> None:
        self.script = script
        self.minutes = minutes
        self.length = sum(length for length, _, _ in script)

    def phase(self, now: Instant) -> tuple[Instant, str, Seconds]:
        """Return when the present part of the script began, its mode, and its latency."""
        start = NOON + (now - NOON) // self.length * self.length
        for length, mode, slow in self.script:
            if now < start + length:
                return start, mode, slow
            start += length
        # Sums of floats differ by their order: the last part has not quite ended.
        _, mode, slow = self.script[-1]
        return now, mode, slow

    def answer(self, now: Instant) -> Observation:
        start, mode, slow = self.phase(now)
        period = self.minutes * 60
        ran = now - (now - NOON - 7) % period
        if mode == "flap":
            mode = ("ok", "failed", "refused")[int(now / 77) % 3]
        match mode:
            case "refused":
                return NoAnswer(Fault.REFUSED, "connection refused", slow)
            case "timeout":
                return NoAnswer(Fault.TIMEOUT, f"no answer within {slow} s", slow)
            case "own":
                return NoAnswer(Fault.OWN, "too many open files", slow)
            case "invalid":
                return Answer(200, b"<html>", slow)
            case "error":
                return Answer(503, b"", slow)
            case "stuck":
                ran = start
            case "ahead":
                ran = start + 3 * period
        status = "error" if mode == "failed" else "ok"
        hour = int((start - NOON) // 3600 + 13) % 24
        sleep = f', "sleep": [{{"start": "{hour:02}:00", "duration": 45}}]' if mode == "sleepy" else ""
        text = f'{{"status": "{status}", "lastrun": "{iso(ran)}", "frequency": {self.minutes}{sleep}}}'
        return Answer(200, text.encode(), slow)


class Life(World):
    """
    A daemon that checks scripted endpoints.

    :param channel: whether there is a channel; else alerts go to the log only.
    """

    def __init__(self, path: str, tasks: Sequence[tuple[Task, Endpoint]], *, channel: bool = True) -> None:
        super().__init__()
        self.reactor = self.clock
        self.path = path
        self.tasks = [task for task, _ in tasks]
        self.endpoints = {task.url: endpoint for task, endpoint in tasks}
        self.notifier = FakeNotifier()
        self.channel = channel
        self.begin()

    def begin(self) -> None:
        """As the service does."""
        # Its clock stands still: what is noted is written with the next commit, or by `write`.
        self.store = SqliteStore(cast(Reactor, Clock()), self.now, self.path, keep_days=90, worker=InlineWorker)
        board = LiveBoard(self.tasks, self.now)
        notifiers = [self.notifier] if self.channel else []
        self.outbox = Outbox(self.reactor, self.now, self.store, board, channels_on(notifiers, group_wait=0))
        runs = RunFeed(self.reactor, [])
        settings = CheckSettings(self, 256, Secrets())
        checker = Checker(self.reactor, self.now, self.store, self.outbox, board, runs, settings)
        self.monitor = Monitor(self.reactor, self.now, self.tasks, checker, board, self.outbox)
        kept = self.store.open()
        self.monitor.resume(kept.states)
        checker.resume(kept)
        self.outbox.resume(kept)
        self.monitor.start()
        self.reactor.advance(0)

    async def look_up(self, task: Task) -> None:
        """There are no names to look up."""

    async def fetch(self, task: Task) -> Observation:
        endpoint = self.endpoints[task.url]
        _, _, slow = endpoint.phase(self.now())
        if slow:
            waiting: Deferred[None] = Deferred()
            self.reactor.callLater(slow, waiting.callback, None)
            await waiting
        return endpoint.answer(self.now())

    def write(self) -> None:
        """Let everything that was noted be written, so that others can read it."""
        Deferred.fromCoroutine(self.store.enqueue([]))

    def live(self, seconds: Seconds) -> None:
        """Let time pass, from one moment at which something happens to the next."""
        self.reactor.run(seconds)

    def end(self, *, killed: bool = False) -> None:
        """Stop cleanly, or leave what was not yet recorded behind."""
        if not killed:
            Deferred.fromCoroutine(self.monitor.stop())
            self.reactor.advance(0)
        Deferred.fromCoroutine(self.store.close())
        for watch in self.monitor._watches.values():
            # A check that was under way ends when the garbage collector finds it, and must arm nothing then.
            watch.gone, watch.timer = True, None
        for call in self.reactor.getDelayedCalls():
            call.cancel()
