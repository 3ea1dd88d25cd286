"""
The other tasks of a host that falls silent (contract, section 4, "Storms"): they are checked at once, so that one
message covers them all.

Where ``unreachable_for`` holds their problems back, these come when the holds end, one by one. The group of the first
waits for those that follow within one timeout.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import TypeVar

from twisted.internet.defer import Deferred, DeferredList
from twisted.logger import Logger

from pypinger.domain.kinds import Kind, Status
from pypinger.domain.model import Instant, TaskState
from pypinger.domain.moments import hold_end
from pypinger.runtime.concurrency import after
from pypinger.runtime.outbox import Outbox
from pypinger.runtime.watch import Watch

#: How many other tasks are checked first; if one of these is in error too, all others follow.
FIRST = 3

#: How many of these checks are under way at once.
AT_ONCE = 32

T = TypeVar("T")

_SILENT = frozenset({Kind.UNREACHABLE, Kind.INVALID})


class HostRounds:
    """
    Begins a round of checks when the first task of a host is ``unreachable`` or ``invalid``.

    :param begin: begins a check of a task; returns None if that is over already, or one is under way.
    """

    _log = Logger()

    def __init__(self, outbox: Outbox, begin: Callable[[Watch], Deferred[None] | None]) -> None:
        self._outbox = outbox
        self._begin = begin
        self._hosts: dict[str, dict[str, Watch]] = {}
        self._rounds: dict[str, Deferred[None]] = {}
        # Host -> the ids of its tasks whose holds end soon, and the origins of which more is expected.
        self._holding: dict[str, set[str]] = {}
        self._expecting: dict[str, set[str]] = {}
        # Host -> when the first of its holds ended, and until when no other hold begins a wait.
        self._waits: dict[str, tuple[Instant, Instant]] = {}
        self._tell: Callable[[str], None] = lambda host: None

    def tell(self, tell: Callable[[str], None]) -> None:
        """Call `tell` with each host that falls silent: other instances have tasks of it, too."""
        self._tell = tell

    def update(self, watches: Iterable[Watch]) -> None:
        """Set the tasks that are watched; push tasks have no host."""
        self._hosts = {}
        self._waits.clear()
        while self._holding:
            host, _ = self._holding.popitem()
            if host not in self._rounds:
                # What is expected ends by itself.
                self._expecting.pop(host, None)
        for watch in watches:
            self.add(watch)

    def add(self, watch: Watch) -> None:
        """A task is watched, too."""
        if watch.task.url is not None:
            self._hosts.setdefault(_host(watch.task.origin), {})[watch.task.id] = watch

    def discard(self, watch: Watch) -> None:
        """A task is no longer watched."""
        host = _host(watch.task.origin)
        watches = self._hosts.get(host, {})
        if watches.get(watch.task.id) is watch:
            self._decided(host, watch)
            del watches[watch.task.id]
            if not watches:
                del self._hosts[host]

    def note(self, watch: Watch, before: TaskState) -> None:
        """Take note of a check or another change, before which the state was this one."""
        host = _host(watch.task.origin)
        incident = watch.state.incident
        if incident is not None and incident.told and hold_end(watch.task, before) is not None:
            self._wait_for_holds(host, watch)
        if _held_until(watch) is None:
            self._decided(host, watch)
        if watch.state.kind not in _SILENT or before.kind in _SILENT or host in self._rounds:
            return
        others = [each for each in self._hosts.get(host, {}).values() if each is not watch]
        if any(each.state.kind in _SILENT for each in others):
            return
        self._tell(host)
        if others:
            self._start(host, watch, others)

    def join(self, host: str) -> None:
        """A host has fallen silent at another instance: check its tasks."""
        watches = list(self._hosts.get(host, {}).values())
        if watches and host not in self._rounds and not any(each.state.kind in _SILENT for each in watches):
            self._start(host, watches[0], watches)

    def _start(self, host: str, watch: Watch, others: Sequence[Watch]) -> None:
        running = self._rounds[host] = Deferred.fromCoroutine(self._round(host, watch, others))
        running.addBoth(self._over, host)
        running.addErrback(lambda failure: self._log.failure("checking the other tasks of {host}", failure, host=host))

    async def _round(self, host: str, first: Watch, others: Sequence[Watch]) -> None:
        self._expect(host, (first, *others))
        await self._check(others[:FIRST])
        if any(each.state.status is Status.ERROR for each in others[:FIRST]):
            await self._check(others[FIRST:])

    def _over(self, result: T, host: str) -> T:
        self._rounds.pop(host, None)
        self._settle(host)
        return result

    def _wait_for_holds(self, host: str, watch: Watch) -> None:
        """The hold of a task has ended with an incident: its group waits for those that end within one timeout."""
        now, (first, last) = watch.state.verdict_at, self._waits.get(host, (0.0, 0.0))
        assert now is not None
        if first <= now <= last:
            # The group of that one may still be waiting.
            return
        until = now + watch.task.timeout
        self._waits[host] = now, until + watch.task.timeout
        ends = ((each, _held_until(each)) for each in self._hosts.get(host, {}).values())
        soon = [each for each, end in ends if end is not None and end <= until]
        if soon:
            self._holding.setdefault(host, set()).update(each.task.id for each in soon)
            self._expect(host, (watch, *soon))

    def _decided(self, host: str, watch: Watch) -> None:
        """The hold of a task is over, whatever came of it."""
        holding = self._holding.get(host)
        if holding is not None and watch.task.id in holding:
            holding.discard(watch.task.id)
            if not holding:
                del self._holding[host]
                self._settle(host)

    def _expect(self, host: str, watches: Sequence[Watch]) -> None:
        """More alerts of the origins of these tasks may come within one timeout."""
        longest = max(each.task.timeout for each in watches)
        origins = {each.task.origin for each in watches}
        self._expecting.setdefault(host, set()).update(origins)
        for origin in origins:
            self._outbox.expect(origin, longest)

    def _settle(self, host: str) -> None:
        """No more is expected of a host, unless it is for another reason."""
        if host not in self._rounds and host not in self._holding:
            for origin in self._expecting.pop(host, ()):
                self._outbox.settled(origin)

    async def _check(self, watches: Sequence[Watch]) -> None:
        """Check these, at most :data:`AT_ONCE` at a time."""
        waiting = iter(watches)

        async def worker() -> None:
            for watch in waiting:
                running = watch.running if watch.busy else self._begin(watch)
                if running is not None:
                    await after(running)

        await DeferredList([Deferred.fromCoroutine(worker()) for _ in range(min(AT_ONCE, len(watches)))])


def _held_until(watch: Watch) -> Instant | None:
    """When the hold of a task will end; None if it has none, or if it has ended, though its row is not complete."""
    end, judged = hold_end(watch.task, watch.state), watch.state.verdict_at
    return None if end is None or judged is None or judged >= end else end


@lru_cache(maxsize=1000)
def _host(origin: str) -> str:
    # This is asked for thousands of tasks at once; the port is always given.
    return origin.partition("://")[2].rpartition(":")[0] or origin
