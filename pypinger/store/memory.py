"""
A store that keeps nothing over a restart: ``[store] path = :memory:``, and the reference for the contract suite.

It remembers what the durable store does, through the same recorder, but of the past only the latest.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeVar

import msgspec

from pypinger.domain.kinds import Kind
from pypinger.domain.model import Check, Delivery, Instant, Outcome, Task, TaskState
from pypinger.ports.clock import WallClock
from pypinger.ports.history import Change, Day, Gap, PastDelivery, PastIncident, Run, Span, Told
from pypinger.ports.storing import Kept
from pypinger.store import figures
from pypinger.store.accounting import Hour
from pypinger.store.reading import TOLD, told
from pypinger.store.recorder import Recorder
from pypinger.store.rows import IncidentRow, OpenRun, Settlement

#: How many finished runs, changes of the verdict and hours are remembered of each task.
OF_TASK = 200

#: How many incidents that are over, settled deliveries and blind times are remembered.
OF_ALL = 1000


class _Past:
    """What is over of one task: runs by when they began, hours by number, and changes of the verdict."""

    __slots__ = ("hours", "runs", "verdicts")

    def __init__(self) -> None:
        self.runs: dict[int, OpenRun] = {}
        self.hours: dict[int, Hour] = {}
        self.verdicts: list[Change] = []


class _Sent(msgspec.Struct):
    """A delivery, and what it belongs to."""

    key: int
    delivery: Delivery
    task: int | None
    incident: int | None
    outcome: Outcome | None = None
    settled: Instant | None = None


class MemoryStore:
    """
    A :class:`~pypinger.ports.storing.Store` and :class:`~pypinger.ports.history.History` in memory.

    Opening it again shows what a durable store would have kept.
    """

    def __init__(self, now: WallClock = time.time) -> None:
        self._now = now
        self._recorder = Recorder()
        self._pasts: dict[int, _Past] = {}
        self._urls: dict[int, str] = {}
        self._changes = 0
        self._incidents: dict[int, IncidentRow] = {}
        self._deliveries: dict[tuple[str, str], _Sent] = {}
        self._queued = 0
        self._over: deque[tuple[str, str]] = deque()

    def open(self) -> Kept:
        """See :meth:`pypinger.ports.storing.Store.open`."""
        rows = self._deliveries.values()
        return Kept(
            states={url: record.state for url, record in self._recorder.tasks.items()},
            deliveries=tuple(each.delivery for each in rows if each.outcome is None),
            dead=sum(each.outcome is Outcome.DEAD for each in rows),
        )

    def note(self, task: Task, state: TaskState, check: Check) -> None:
        """See :meth:`pypinger.ports.storing.Store.note`."""
        self._recorder.note(task, state, check)
        self._absorb()

    async def commit(self, task: Task, state: TaskState, check: Check | None, deliveries: Sequence[Delivery]) -> None:
        """See :meth:`pypinger.ports.storing.Store.commit`."""
        self._recorder.commit(task, state, check, deliveries, self._now())
        self._absorb()

    async def enqueue(self, deliveries: Sequence[Delivery]) -> None:
        """See :meth:`pypinger.ports.storing.Store.enqueue`."""
        self._recorder.enqueue(deliveries)
        self._absorb()

    async def settle(self, delivery: Delivery, outcome: Outcome) -> None:
        """See :meth:`pypinger.ports.storing.Store.settle`."""
        self._recorder.settle(delivery, outcome, self._now())
        self._absorb()

    def blind(self, start: Instant, end: Instant) -> None:
        """See :meth:`pypinger.ports.storing.Store.blind`."""
        self._recorder.add_blind(start, end)
        self._absorb()

    def trouble(self) -> str | None:
        """See :meth:`pypinger.ports.storing.Store.trouble`."""
        return None

    async def close(self) -> None:
        """See :meth:`pypinger.ports.storing.Store.close`."""

    async def runs(self, url: str, before: int | None = None, limit: int = 50) -> Sequence[Run]:
        """See :meth:`pypinger.ports.history.History.runs`."""
        return _page(self._runs(url), before, limit)

    async def verdicts(self, url: str, before: int | None = None, limit: int = 50) -> Sequence[Change]:
        """See :meth:`pypinger.ports.history.History.verdicts`."""
        past = self._past(url)
        return _page([] if past is None else past.verdicts[::-1], before, limit)

    async def incidents(
        self, url: str | None = None, before: int | None = None, limit: int = 50
    ) -> Sequence[PastIncident]:
        """See :meth:`pypinger.ports.history.History.incidents`."""
        return _page(
            [
                PastIncident(
                    row.id,
                    self._urls[row.task],
                    row.started / 1000,
                    row.opened / 1000,
                    None if row.ended is None else row.ended / 1000,
                    tuple(row.kinds),
                    row.explanation,
                    row.alerts,
                    self._told(row.id),
                )
                for row in reversed(self._incidents.values())
                if url in (None, self._urls[row.task])
            ],
            before,
            limit,
        )

    async def deliveries(
        self, url: str | None = None, before: int | None = None, limit: int = 50
    ) -> Sequence[PastDelivery]:
        """See :meth:`pypinger.ports.history.History.deliveries`."""
        named = ((None if each.task is None else self._urls[each.task], each) for each in self._deliveries.values())
        found = [
            PastDelivery(
                each.key,
                name,
                each.delivery.alert,
                each.delivery.channel,
                each.delivery.attempts,
                each.delivery.words,
                each.outcome,
                each.settled,
            )
            for name, each in named
            if url in (None, name)
        ]
        return _page(found[::-1], before, limit)

    async def uptime(self, url: str, now: Instant) -> Mapping[str, float | None]:
        """See :meth:`pypinger.ports.history.History.uptime`."""
        return figures.uptime([(each.hour, each.up, each.down) for each in self._hours(url)], now)

    async def days(self, url: str, now: Instant, count: int = 90) -> Sequence[Day]:
        """See :meth:`pypinger.ports.history.History.days`."""
        return figures.days([(each.hour, each.up, each.down, each.asleep) for each in self._hours(url)], now, count)

    async def gaps(self, url: str, limit: int = 50) -> Sequence[Gap]:
        """See :meth:`pypinger.ports.history.History.gaps`."""
        return figures.gaps(self._runs(url), limit)

    async def findings(self, url: str, since: Instant, until: Instant) -> Sequence[Run]:
        """See :meth:`pypinger.ports.history.History.findings`."""
        return [run for run in reversed(self._runs(url)) if run.last >= since and run.first < until]

    async def blind_times(self, since: Instant, until: Instant) -> Sequence[Span]:
        """See :meth:`pypinger.ports.history.History.blind_times`."""
        spans = [Span(start / 1000, end / 1000) for start, end in sorted(self._recorder.blind)]
        return [span for span in spans if span.end > since and span.start < until]

    def _absorb(self) -> None:
        """Keep what the recorder would have written."""
        pending = self._recorder.pending
        for record in pending.born:
            self._urls[record.id] = record.url
            self._pasts[record.id] = _Past()
        for task, run in pending.runs:
            runs = self._pasts[task].runs
            while run.first in runs:
                run.first += 1
                run.last += 1
            runs[run.first] = run
            _forget(runs)
        for (task, _), hour in pending.hours.items():
            hours = self._pasts[task].hours
            known = hours.setdefault(hour.hour, hour)
            if known is not hour:
                known.add(hour)
            _forget(hours)
        for task, at, kind, explanation in pending.verdicts:
            self._changes += 1
            verdicts = self._pasts[task].verdicts
            verdicts.append(Change(self._changes, at / 1000, Kind(kind), explanation))
            del verdicts[:-OF_TASK]
        if pending.incidents:
            self._incidents.update(pending.incidents)
            over = [number for number, row in self._incidents.items() if row.ended is not None]
            for number in over[:-OF_ALL]:
                del self._incidents[number]
        for each in pending.deliveries:
            if (each.alert.id, each.channel) not in self._deliveries:
                self._queued += 1
                delivery = Delivery(each.alert, each.channel, each.attempts, each.not_before, each.words)
                self._deliveries[each.alert.id, each.channel] = _Sent(self._queued, delivery, each.task, each.incident)
        for key, settlement in pending.settlements.items():
            if key in self._deliveries:
                self._settle(self._deliveries[key], settlement)
        pending.clear()

    def _settle(self, sent: _Sent, settlement: Settlement) -> None:
        if sent.outcome is not None:
            return
        sent.delivery = msgspec.structs.replace(
            sent.delivery,
            attempts=settlement.attempts,
            not_before=settlement.not_before,
            words=settlement.words,
        )
        sent.settled = settlement.at / 1000
        if settlement.outcome is not Outcome.RETRY:
            sent.outcome = settlement.outcome
            self._over.append((settlement.alert, settlement.channel))
            if len(self._over) > OF_ALL:
                del self._deliveries[self._over.popleft()]

    def _hours(self, url: str) -> list[Hour]:
        record, past = self._recorder.tasks.get(url), self._past(url)
        hours = [] if past is None else list(past.hours.values())
        if record is not None and record.hour is not None:
            hours.append(record.hour)
        return hours

    def _past(self, url: str) -> _Past | None:
        record = self._recorder.tasks.get(url)
        return None if record is None else self._pasts[record.id]

    def _runs(self, url: str) -> list[Run]:
        """Newest first."""
        record, past = self._recorder.tasks.get(url), self._past(url)
        if record is None or past is None:
            return []
        runs = [] if record.run is None else [record.run]
        runs += sorted(past.runs.values(), key=lambda run: -run.first)
        found = [Run(run.first, run.first / 1000, run.last / 1000, run.count, run.finding) for run in runs]
        return sorted(found, key=lambda run: -run.key)

    def _told(self, incident: int) -> tuple[Told, ...]:
        alerts = {
            sent.delivery.alert.id: told(sent.delivery.alert)
            for sent in self._deliveries.values()
            if sent.incident == incident
        }
        return tuple(alerts.values())[-TOLD:]


class _Keyed(Protocol):
    @property
    def key(self) -> int: ...


_Entry = TypeVar("_Entry", bound=_Keyed)


def _page(entries: Sequence[_Entry], before: int | None, limit: int) -> Sequence[_Entry]:
    """One page of entries that are newest first."""
    return [each for each in entries if before is None or each.key < before][:limit]


def _forget(known: dict[int, Any]) -> None:
    """Forget the oldest of what is remembered of a task."""
    if len(known) > OF_TASK:
        del known[next(iter(known))]
