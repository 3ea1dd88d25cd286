"""Rows on their way from the recorder to the tables: coalesced, in the units of the schema."""

from __future__ import annotations

from collections import deque
from hashlib import blake2b
from typing import Any, TypeAlias

import msgspec
from msgspec.structs import replace

from pypinger.domain.kinds import Kind
from pypinger.domain.model import Alert, Finding, NoAnswer, Outcome, Reported, TaskState
from pypinger.domain.silence import Silence
from pypinger.ports.storing import Blind, HostSeen
from pypinger.store.accounting import Hour, Millis

#: The blindness that lasts, and the wrong clock.
Blindness: TypeAlias = tuple[Blind | None, Blind | None]

#: How many finished runs, and as many changes of verdicts, are held while the store cannot be written. Beyond that the
#: oldest are dropped to save memory; states and deliveries never are.
BACKLOG = 200_000


class OpenRun:
    """
    The run that the latest check belongs to.

    :ivar shape: the id of the finding's shape; None until it is written.
    """

    __slots__ = ("count", "finding", "first", "last", "shape")

    def __init__(self, finding: Finding, first: Millis, last: Millis, count: int = 1, shape: int | None = None) -> None:
        self.finding = finding
        self.first = first
        self.last = last
        self.count = count
        self.shape = shape


class IncidentRow(msgspec.Struct):
    """A row of ``incident``."""

    id: int
    task: int
    started: Millis
    opened: Millis
    ended: Millis | None
    kinds: list[Kind]
    explanation: str
    alerts: int


class DeliveryRow(msgspec.Struct):
    """A new row of ``delivery``; `at` is the alert's."""

    alert: Alert
    channel: str
    task: int | None
    incident: int | None
    attempts: int
    not_before: float
    words: str
    progress: str | None = None


class Settlement(msgspec.Struct):
    """The result of an attempt to deliver."""

    alert: str
    channel: str
    attempts: int
    not_before: float
    words: str
    outcome: Outcome
    at: Millis
    progress: str | None = None
    reference: str | None = None


class TaskRecord:
    """
    The present of one task: a row of ``task``.

    :ivar epoch: the fencing token of its owner, where several instances share the database.
    :ivar accounted: the end of the time that is accounted for; None before the first check.
    """

    __slots__ = ("accounted", "dirty", "epoch", "hour", "id", "incident", "key", "run", "state")

    def __init__(self, id: int, key: str, epoch: int = 0) -> None:
        self.id = id
        self.key = key
        self.epoch = epoch
        self.state = TaskState()
        self.accounted: Millis | None = None
        self.run: OpenRun | None = None
        self.hour: Hour | None = None
        self.incident: IncidentRow | None = None
        self.dirty = False


class PendingRows:
    """All rows that are not written yet. They can be written in one transaction at any time."""

    def __init__(self) -> None:
        self.born: list[TaskRecord] = []
        self.tasks: list[TaskRecord] = []
        self.runs: deque[tuple[int, OpenRun]] = deque(maxlen=BACKLOG)
        self.hours: dict[tuple[int, int], Hour] = {}
        self.verdicts: deque[tuple[int, Millis, str, str]] = deque(maxlen=BACKLOG)
        self.incidents: dict[int, IncidentRow] = {}
        self.deliveries: list[DeliveryRow] = []
        self.settlements: dict[tuple[str, str], Settlement] = {}
        self.blind: list[tuple[Millis, Millis]] = []
        self.hosts: dict[str, HostSeen] = {}
        # The latest counts.
        self.blindness: list[Blindness] = []
        self.silences: list[tuple[Silence, ...]] = []

    def __bool__(self) -> bool:
        parts = (self.tasks, self.deliveries, self.settlements, self.blind, self.hosts, self.blindness, self.silences)
        return any(parts)

    def settle(self, settlement: Settlement) -> None:
        """Keep the last settlement of a delivery; of one that is final only the reference changes."""
        key = settlement.alert, settlement.channel
        known = self.settlements.get(key)
        if known is None or known.outcome is Outcome.RETRY:
            self.settlements[key] = settlement
        elif settlement.reference is not None:
            known.reference = settlement.reference

    def account(self, task: int, hour: Hour) -> None:
        """Add to the account of a past hour."""
        known = self.hours.setdefault((task, hour.hour), hour)
        if known is not hour:
            known.add(hour)

    def clear(self) -> None:
        """Forget everything, because it has been written."""
        for record in self.tasks:
            record.dirty = False
        self.born.clear()
        self.tasks.clear()
        self.runs.clear()
        self.hours.clear()
        self.verdicts.clear()
        self.incidents.clear()
        self.deliveries.clear()
        self.settlements.clear()
        self.blind.clear()
        self.hosts.clear()
        self.blindness.clear()
        self.silences.clear()


_FINDING = msgspec.json.Decoder(Finding)


def encode(value: object) -> str:
    """JSON; a lone surrogate, which neither JSON nor SQLite can hold, becomes ``?``."""
    try:
        return msgspec.json.encode(value).decode()
    except UnicodeEncodeError:
        return msgspec.json.encode(_fit(msgspec.to_builtins(value))).decode()


def text(words: str) -> str:
    """`words` with ``?`` for each lone surrogate."""
    return words.encode("utf-8", "replace").decode()


def _fit(value: Any) -> Any:
    if isinstance(value, str):
        return text(value)
    if isinstance(value, dict):
        return {key: _fit(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_fit(each) for each in value]
    return value


def figures(finding: Finding) -> tuple[float | None, float | None]:
    """The numbers of a finding that vary from run to run: the columns ``figure`` and ``began`` of the schema."""
    if isinstance(finding, Reported):
        return finding.report.lastrun, finding.report.started
    if isinstance(finding, NoAnswer):
        return finding.latency, None
    return None, None


def shape(finding: Finding) -> tuple[bytes, str]:
    """A finding with 0 in place of its figures: digest and JSON."""
    if isinstance(finding, Reported):
        report = finding.report
        if report.lastrun is not None:
            report = replace(report, lastrun=0.0)
        if report.started is not None:
            report = replace(report, started=0.0)
        finding = Reported(finding.code, report)
    elif isinstance(finding, NoAnswer):
        finding = replace(finding, latency=0.0)
    words = encode(finding)
    return blake2b(words.encode(), digest_size=12).digest(), words


def finding(words: str, number: float | None, started: float | None) -> Finding:
    """
    The finding that :func:`shape` and :func:`figures` were made from.

    :raises ValueError: the row is damaged.
    """
    value: Finding = _FINDING.decode(words)
    if isinstance(value, Reported):
        report = value.report
        if (number is None) is not (report.lastrun is None) or (started is None) is not (report.started is None):
            raise ValueError("a finding lacks its figures")
        return Reported(value.code, replace(report, lastrun=number, started=started))
    if isinstance(value, NoAnswer):
        if number is None:
            raise ValueError("a finding lacks its figure")
        return replace(value, latency=number)
    return value
