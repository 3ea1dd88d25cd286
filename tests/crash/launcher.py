"""
``twistd`` for the crash tests: it kills itself at a given point, has a wall clock of its own, and retries fast.

The daemon's code is unchanged; its methods are wrapped before it starts. Two environment variables control it:

``CRASH_AT``
    ``point:n`` kills the process as it passes this point for the n-th time. The points are those of :func:`place`.
``CRASH_CLOCK``
    a file with the error of the wall clock in seconds.
"""

from __future__ import annotations

import os
import signal
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

#: The steps of an alert from the verdict to the settled delivery, in order. "received" and "answering" are reached in
#: the fake service, not here.
STEPS = (
    "verdict",
    "commit",
    "writing",
    "written",
    "committed",
    "accepted",
    "claim",
    "send",
    "received",
    "answering",
    "answer",
    "settle",
    "settling",
    "settled-in-file",
    "settled",
)

#: Steps of the start.
STARTS = ("open", "opening", "opened", "resumed")

#: Steps of the stop.
STOPS = ("stopping", "closing", "closed")


class Countdown:
    """Kills the process when it passes a point for the n-th time."""

    def __init__(self, setting: str) -> None:
        # Without a setting the count starts below zero and never reaches it.
        self._point, _, passes = setting.partition(":")
        self._left = int(passes or 0)

    def reach(self, point: str) -> None:
        if point == self._point:
            self._left -= 1
            if not self._left:
                os.kill(os.getpid(), signal.SIGKILL)


def step_clock(path: str) -> None:
    """Make the wall clock wrong by the error in the file."""
    real = time.time
    offset = Path(path)
    time.time = lambda: real() + float(offset.read_text())


def hurry() -> None:
    """Divide the pauses between retries by a hundred."""
    from pypinger.domain import backoff, grouping, incidents
    from pypinger.notify.apprise import AppriseNotifier
    from pypinger.notify.pagerduty import PagerDuty
    from pypinger.notify.slack import Slack
    from pypinger.runtime import keeping, queue, updates

    backoff.SHORTEST, backoff.LONGEST, backoff.LONGEST_ASKED = 0.01, 0.03, 0.03
    Slack.spacing = PagerDuty.spacing = AppriseNotifier.spacing = 0.01
    # What is kept alive is no delivery.
    keeping.INTERVAL = 3600.0
    queue.ATTEMPT_LIMIT = 10.0
    # The scripts flip all the time; flapping has tests of its own.
    incidents.FLAP_SPAN = 0.0
    grouping.APART, grouping.DIGEST_WAIT = 0.6, 0.1
    updates.SPACING, updates.PAUSE = 0.02, 0.03


def place(reach: Callable[[str], None]) -> None:
    """Call `reach` at each point."""
    from pypinger.http.messenger import Messenger
    from pypinger.notify.apprise import AppriseNotifier
    from pypinger.notify.smtp.sender import MailSender
    from pypinger.runtime.check import Checker
    from pypinger.runtime.outbox import Outbox
    from pypinger.runtime.queue import DeliveryQueue
    from pypinger.store import database
    from pypinger.store.sqlite import SqliteStore
    from pypinger.store.tables import Tables

    def around(owner: type, name: str, before: str = "", after: str = "") -> None:
        """Points before and after a method; for a coroutine, before it starts."""
        method = getattr(owner, name)

        def wrapped(*args: Any, **kwargs: Any) -> Any:
            reach(before)
            result = method(*args, **kwargs)
            reach(after)
            return result

        setattr(owner, name, wrapped)

    def awaiting(owner: type, name: str, before: str, after: str = "") -> None:
        """Points before a coroutine method starts and after it ends."""
        method = getattr(owner, name)

        async def wrapped(*args: Any, **kwargs: Any) -> Any:
            reach(before)
            result = await method(*args, **kwargs)
            reach(after)
            return result

        setattr(owner, name, wrapped)

    around(Checker, "_commit", "verdict")
    awaiting(SqliteStore, "commit", "commit", "committed")
    awaiting(SqliteStore, "enqueue", "commit", "committed")
    around(Outbox, "accept", after="accepted")
    around(DeliveryQueue, "_attempt", "claim")
    for kind, method in ((Messenger, "post"), (MailSender, "send"), (AppriseNotifier, "_send_to")):
        awaiting(kind, method, "send", "answer")
    awaiting(SqliteStore, "settle", "settle", "settled")
    around(SqliteStore, "open", "open", "opened")
    around(Outbox, "resume", after="resumed")
    around(Outbox, "stop", "stopping")
    awaiting(SqliteStore, "close", "closing", "closed")

    class Connection(sqlite3.Connection):
        """A connection with points around the transaction that writes alerts or their outcomes."""

        holds: tuple[str, ...] = ()

        def execute(self, sql: str, *args: Any) -> sqlite3.Cursor:
            if sql != "COMMIT":
                return super().execute(sql, *args)
            for each in self.holds:
                reach({"alerts": "writing", "settlements": "settling", "life": "opening"}[each])
            cursor = super().execute(sql)
            for each in self.holds:
                reach({"alerts": "written", "settlements": "settled-in-file", "life": ""}[each])
            return cursor

    write = Tables._write

    def note(self: Tables, pending: Any) -> None:
        holds = {"alerts": pending.deliveries, "settlements": pending.settlements}
        self.connection.holds = tuple(name for name, there in holds.items() if there) or ("life",)
        write(self, pending)

    Tables._write = note

    def connect(path: str, *, query: str = "") -> sqlite3.Connection:
        """Like the original, with such a connection; each statement that creates the schema is a point, too."""
        connection = sqlite3.connect(
            f"file:{database.quote(path)}{query}",
            uri=True,
            timeout=database.BUSY,
            isolation_level=None,
            check_same_thread=False,
            factory=Connection,
        )
        connection.set_trace_callback(lambda _: reach("statement") if path.endswith(".new") else None)
        return connection

    database.connect = connect
    settle = database._settle

    def rename(part: str, path: str) -> None:
        reach("made")
        settle(part, path)
        reach("renamed")

    database._settle = rename


def run() -> None:
    """Run ``twistd`` with the command line's arguments."""
    if "CRASH_CLOCK" in os.environ:
        step_clock(os.environ["CRASH_CLOCK"])
    hurry()
    place(Countdown(os.environ.get("CRASH_AT", "")).reach)
    from twisted.scripts import twistd

    twistd.run()


if __name__ == "__main__":
    run()
