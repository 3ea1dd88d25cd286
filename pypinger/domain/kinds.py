"""The kinds of verdicts (contract, section 2): one table that says everything about each."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class Kind(StrEnum):
    """What a verdict says, in the order in which the judge tries them."""

    NEW = "new"
    UNREACHABLE = "unreachable"
    INVALID = "invalid"
    SLEEPING = "sleeping"
    FAILED = "failed"
    FUTURE = "future"
    LATE = "late"
    OK = "ok"


class Status(StrEnum):
    """The coarse state that people, and the status codes of the pages, go by."""

    NEW = ""
    ERROR = "error"
    SLEEPING = "sleeping"
    OK = "ok"


class Facts(NamedTuple):
    """
    What is true of every verdict of one kind.

    :ivar label: the adjective for people: "is late".
    :ivar reported: whether the verdict rests on a valid report.
    :ivar timed: whether the passing of time alone can begin or end it.
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
    """The status shown for a kind."""
    return KINDS[kind].status
