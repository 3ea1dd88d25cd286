"""The kinds of verdicts (contract, section 2), and all that depends on the kind alone, in one table."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class Kind(StrEnum):
    """The kind of a verdict, in the order in which they are tried."""

    NEW = "new"
    UNREACHABLE = "unreachable"
    INVALID = "invalid"
    SLEEPING = "sleeping"
    FAILED = "failed"
    FUTURE = "future"
    LATE = "late"
    OK = "ok"


class Status(StrEnum):
    """What is shown as a task's status and decides the status code of its page."""

    NEW = ""
    ERROR = "error"
    SLEEPING = "sleeping"
    OK = "ok"


class Facts(NamedTuple):
    """
    What holds for every verdict of one kind.

    :ivar label: follows "is": "is late".
    :ivar reported: whether the verdict rests on a valid report.
    :ivar timed: whether it follows from comparing the report's times with our clock.
    """

    status: Status
    label: str
    reported: bool
    timed: bool


KINDS: dict[Kind, Facts] = {
    Kind.NEW: Facts(Status.NEW, "not checked yet", reported=False, timed=False),
    Kind.UNREACHABLE: Facts(Status.ERROR, "unreachable", reported=False, timed=False),
    Kind.INVALID: Facts(Status.ERROR, "without a valid report", reported=False, timed=False),
    Kind.SLEEPING: Facts(Status.SLEEPING, "sleeping", reported=True, timed=True),
    Kind.FAILED: Facts(Status.ERROR, "failing", reported=True, timed=False),
    Kind.FUTURE: Facts(Status.ERROR, "ahead of time", reported=True, timed=True),
    Kind.LATE: Facts(Status.ERROR, "late", reported=True, timed=True),
    Kind.OK: Facts(Status.OK, "on time", reported=True, timed=True),
}


def status_of(kind: Kind) -> Status:
    return KINDS[kind].status
