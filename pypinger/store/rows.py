"""What is on its way from the recorder to the tables: plain rows, coalesced, in the units of the schema."""

from __future__ import annotations

from collections import deque
from hashlib import blake2b
from typing import Any

import msgspec
from msgspec.structs import replace

from pypinger.domain.kinds import Kind
from pypinger.domain.model import Alert, Finding, NoAnswer, Outcome, Reported, TaskState
from pypinger.ports.storing import Blind, HostSeen
from pypinger.store.accounting import Hour, Millis

#: How many finished runs, and as many changes of verdicts, wait at most while the store cannot be written. Beyond
#: that the oldest are dropped, for memory is not without end either; states and deliveries never are.
PATIENCE = 200_000


class OpenRun:
    """
    A finding for as long as it is found again.

    :ivar shape: the id of the finding's shape, None while it has none.
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


class Settlement(msgspec.Struct):
    """How a delivery stands after an attempt."""

    alert: str
    channel: str
    attempts: int
    not_before: float
    words: str
    outcome: Outcome
    at: Millis


class TaskRecord:
    """
    The present of one task: a row of ``task``.

    :ivar accounted: up to when its time has been accounted for; None before the first check.
    """

    __slots__ = ("accounted", "dirty", "hour", "id", "incident", "run", "state", "url")

    def __init__(self, id: int, url: str) -> None:
        self.id = id
        self.url = url
        self.state = TaskState()
        self.accounted: Millis | None = None
        self.run: OpenRun | None = None
        self.hour: Hour | None = None
        self.incident: IncidentRow | None = None
        self.dirty = False


class Pending:
    """All that is still to be written; it may be written as one transaction at any time."""

    def __init__(self) -> None:
        self.born: list[TaskRecord] = []
        self.tasks: list[TaskRecord] = []
        self.runs: deque[tuple[int, OpenRun]] = deque(maxlen=PATIENCE)
        self.hours: dict[tuple[int, int], Hour] = {}
        self.verdicts: deque[tuple[int, Millis, str, str]] = deque(maxlen=PATIENCE)
        self.incidents: dict[int, IncidentRow] = {}
        self.deliveries: list[DeliveryRow] = []
        self.settlements: dict[tuple[str, str], Settlement] = {}
        self.blind: list[tuple[Millis, Millis]] = []
        self.hosts: dict[str, HostSeen] = {}
        # The latest counts.
        self.blindness: list[Blind | None] = []

    def __bool__(self) -> bool:
        return bool(self.tasks or self.deliveries or self.settlements or self.blind or self.hosts or self.blindness)

    def settle(self, settlement: Settlement) -> None:
        """Of several settlements of one delivery the last counts, but what is over stays over."""
        key = settlement.alert, settlement.channel
        known = self.settlements.get(key)
        if known is None or known.outcome is Outcome.RETRY:
            self.settlements[key] = settlement

    def account(self, task: int, hour: Hour) -> None:
        """Add to the account of an hour that is over."""
        known = self.hours.setdefault((task, hour.hour), hour)
        if known is not hour:
            known.add(hour)

    def clear(self) -> None:
        """It has been written."""
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


_FINDING = msgspec.json.Decoder(Finding)


def encode(value: object) -> str:
    """JSON; a lone surrogate, which neither JSON nor SQLite can hold, becomes a question mark."""
    try:
        return msgspec.json.encode(value).decode()
    except UnicodeEncodeError:
        return msgspec.json.encode(_fit(msgspec.to_builtins(value))).decode()


def text(words: str) -> str:
    """`words` without lone surrogates."""
    return words.encode("utf-8", "replace").decode()


def _fit(value: Any) -> Any:
    if isinstance(value, str):
        return text(value)
    if isinstance(value, dict):
        return {key: _fit(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_fit(each) for each in value]
    return value


def figure(finding: Finding) -> float | None:
    """The one number of a finding that varies from run to run: see the schema's ``shape``."""
    if isinstance(finding, Reported):
        return finding.report.lastrun
    if isinstance(finding, NoAnswer):
        return finding.latency
    return None


def shape(finding: Finding) -> tuple[bytes, str]:
    """A finding without its figure, as digest and JSON."""
    if isinstance(finding, Reported):
        finding = Reported(finding.code, replace(finding.report, lastrun=0.0))
    elif isinstance(finding, NoAnswer):
        finding = replace(finding, latency=0.0)
    words = encode(finding)
    return blake2b(words.encode(), digest_size=12).digest(), words


def finding(words: str, number: float | None) -> Finding:
    """
    What :func:`shape` and :func:`figure` were made from.

    :raises ValueError: these are not what they made.
    """
    value: Finding = _FINDING.decode(words)
    if not isinstance(value, Reported | NoAnswer):
        return value
    if number is None:
        raise ValueError("a finding lacks its figure")
    if isinstance(value, Reported):
        return Reported(value.code, replace(value.report, lastrun=number))
    return replace(value, latency=number)
