"""What a report says, and the run before that it carries on (contract, section 1)."""

from __future__ import annotations

import json
import time
from datetime import datetime, timezone
from typing import Any, Dict, NamedTuple

from pypinger.report.values import Sleep

#: Where Py Pinger cuts a reason, in characters.
REASON = 500

# The clock that neither steps nor stands still while the machine is suspended.
_STEADY = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)

#: The members of a report.
Members = Dict[str, Any]


class TaskDetails(NamedTuple):
    """
    What every report of a task says.

    :ivar every: minutes between two runs; None for the monitor's settings, or with a schedule.
    :ivar timezone: of the schedule.
    :ivar max_runtime: minutes that a run may take.
    """

    process: str | None
    server: str | None
    every: float | None = None
    schedule: str | None = None
    timezone: str | None = None
    max_runtime: float | None = None
    sleep: Sleep | None = None

    def members(self) -> Members:
        """The members that are known."""
        found = {
            "frequency": self.every,
            "schedule": self.schedule,
            "timezone": self.timezone if self.schedule else None,
            "max_runtime": self.max_runtime,
            "sleep": self.sleep,
            "process": self.process,
            "server": self.server,
        }
        return {name: value for name, value in found.items() if value is not None}


class EndedRun(NamedTuple):
    """
    A run that has ended.

    :ivar ended: POSIX time, as `started`.
    :ivar reason: why it failed, at most 500 characters.
    """

    started: float
    ended: float
    ok: bool
    reason: str | None = None


class Stopwatch:
    """
    When a run started and ended, also where somebody sets the machine's clock meanwhile.

    :ivar started: POSIX time.
    """

    def __init__(self) -> None:
        self.started = time.time()
        self._steady = time.clock_gettime(_STEADY)

    def stop(self, ok: bool, reason: str | None = None) -> EndedRun:
        """Return the run that ends now."""
        ended, took = time.time(), time.clock_gettime(_STEADY) - self._steady
        stepped = abs(ended - self.started - took) > 1
        return EndedRun(ended - took if stepped else min(self.started, ended), ended, ok, reason and reason[:REASON])


class KeptReport(NamedTuple):
    """
    What a published report says of the runs before.

    :ivar outcome: ``status``, ``reason`` and ``lastrun``, as far as it has them.
    :ivar started: POSIX time of the latest start; None if it has none. `lastrun` likewise.
    """

    outcome: Members
    started: float | None = None
    lastrun: float | None = None


def read_report(body: bytes) -> KeptReport:
    """Return what `body` says; a report that is not valid says nothing."""
    nothing = KeptReport({"status": "ok"})
    try:
        members = json.loads(body.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return nothing
    status = str(members.get("status")).strip().lower() if isinstance(members, dict) else ""
    if status not in ("ok", "error"):
        return nothing
    lastrun, started = moment(members.get("lastrun")), moment(members.get("started"))
    if lastrun is None:
        return nothing._replace(started=started)
    outcome = {"status": status, "lastrun": timestamp(lastrun)}
    reason = members.get("reason")
    if isinstance(reason, (str, int, float)) and not isinstance(reason, bool):
        outcome["reason"] = str(reason)[:REASON]
    return KeptReport(outcome, started, lastrun)


def start_members(before: KeptReport, started: float) -> Members:
    """The members of a report of a run that starts."""
    return {**before.outcome, "started": timestamp(started)}


def end_members(run: EndedRun) -> Members:
    """The members of a report of a run that has ended."""
    members = {"status": "ok" if run.ok else "error"}
    if run.reason:
        members["reason"] = run.reason
    return {**members, "lastrun": timestamp(run.ended), "started": timestamp(run.started)}


def timestamp(instant: float) -> str:
    """ISO 8601 in UTC, with milliseconds."""
    text = datetime.fromtimestamp(instant, timezone.utc).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def moment(text: object) -> float | None:
    """The POSIX time of a date-time, in UTC unless it says otherwise; None for anything else."""
    try:
        when = datetime.fromisoformat(str(text).strip().replace("Z", "+00:00"))
        return (when if when.tzinfo else when.replace(tzinfo=timezone.utc)).timestamp()
    except (ValueError, OverflowError):
        return None
