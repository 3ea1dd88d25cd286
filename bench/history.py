"""
A database of 1,000 tasks with 90 days of history: ``python bench/history.py [DIRECTORY [DAYS [TASKS]]]``.

It is filled in the order of time, as the daemon does. Then it prints the size, and how long it takes to open the
database, to read each kind of page, and to delete a day. A task is checked each minute and runs every 10 minutes, half
of the tasks report with microseconds; one task in three has an incident a day, with four alerts to two channels.
"""

from __future__ import annotations

import os
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from random import Random
from statistics import median

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import react

from pypinger.domain.kinds import Kind
from pypinger.domain.model import Alert, Delivery, Event, Report, Reported, TaskState, Verdict
from pypinger.store import retention
from pypinger.store.database import connect, open_database, scripts
from pypinger.store.reading import Reader
from pypinger.store.recorder import Recorder
from pypinger.store.rows import encode, shape
from pypinger.store.sources import SqliteSource
from pypinger.store.sqlite import SqliteStore
from pypinger.store.tables import Tables

NOW = int(time.time()) // 3600 * 3600
WORDS = "last ran 21:55:00 UTC, 34 min ago; runs every 10 min; was due 22:05:00 UTC and 60 s grace ended 23 min ago"


def url(number: int) -> str:
    """A task's URL."""
    return f"https://host{number % 50}.example.org/tasks/{number}"


def fill(connection: sqlite3.Connection, tasks: int, days: int) -> None:
    """Fill an empty database."""
    chance = Random(1)
    many = connection.executemany
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute("PRAGMA cache_size = -1000000")
    report = Report(True, NOW - 60.0, process="nightly", server="srv1")
    connection.execute("BEGIN")
    shapes = [shape(Reported(200, Report(True, 0.0, process="nightly", server=f"srv{each}"))) for each in range(50)]
    many("INSERT INTO shape (digest, finding, seen) VALUES (?, ?, ?)", [(*each, NOW * 1000) for each in shapes])
    state = encode(TaskState(Verdict(Kind.OK, WORDS, NOW + 540.0, NOW + 600.0), report, 10, 1, NOW * 1.0, NOW - 9e4))
    many(
        "INSERT INTO task (id, url, state, accounted, shape, figure, first, last, count, hour, checks, errors, up,"
        " down, asleep, blind, latency, slowest) VALUES (?, ?, ?, ?, ?, ?, ?, ?, 3, ?, 0, 0, 0, 0, 0, 0, 0, 0)",
        [
            (each, url(each), state, NOW * 1000, each % 50 + 1, NOW - 60.0, NOW * 1000, NOW * 1000, NOW // 3600)
            for each in range(1, tasks + 1)
        ],
    )
    incidents = 0
    for hour in range(NOW // 3600 - 24 * days, NOW // 3600):
        runs, start = [], hour * 3600
        for ten in range(6):
            for task in range(1, tasks + 1):
                at = start + 600 * ten + task * 600 / tasks
                lastrun = float(int(at)) - 30 if task % 2 else at - 29.87654
                runs.append((task, round(at * 1000), 540_000 + chance.randrange(9), 10, task % 50 + 1, lastrun))
        many("INSERT INTO run (task, first, length, count, shape, figure) VALUES (?, ?, ?, ?, ?, ?)", runs)
        many(
            "INSERT INTO hour VALUES (?, ?, 60, 0, 3600000, 0, 0, 0, ?, ?)",
            [(task, hour, 60 * chance.randrange(5000, 30_000), chance.randrange(9**6)) for task in range(1, tasks + 1)],
        )
        for _ in range(round(tasks / 3 / 24)):
            incidents += 1
            task, at = chance.randrange(1, tasks + 1), start * 1000 + chance.randrange(3_000_000)
            many(
                "INSERT INTO verdict (task, at, kind, explanation) VALUES (?, ?, ?, ?)",
                [(task, at, "late", WORDS), (task, at + 600_000, "ok", WORDS)],
            )
            connection.execute(
                "INSERT INTO incident VALUES (?, ?, ?, ?, ?, ?, ?, 4)",
                (incidents, task, at, at, at + 600_000, '["late"]', WORDS),
            )
            for number in range(4):
                alert = Alert(f"{incidents * 4 + number:016x}", Event.PROBLEM, at / 1000, WORDS, "a", "b", url(task))
                body = encode(alert)
                many(
                    "INSERT INTO delivery (alert, channel, task, incident, at, body, attempts, not_before, words,"
                    " outcome, settled) VALUES (?, ?, ?, ?, ?, ?, 1, 0, 'ok', 'sent', ?)",
                    [(alert.id, channel, task, incidents, at, body, at) for channel in ("slack", "sentry")],
                )
        if hour % 24 == 0:
            connection.execute("COMMIT")
            connection.execute("BEGIN")
    connection.execute("COMMIT")


def timed(name: str, call: Callable[[int], object], tasks: int) -> None:
    """Print how long a call takes, for twenty tasks."""
    times = []
    for number in range(20):
        began = time.perf_counter()
        call(number * 37 % tasks + 1)
        times.append((time.perf_counter() - began) * 1000)
    print(f"{name}: median {median(times):.2f} ms, longest {max(times):.1f} ms")


def sizes(path: str) -> None:
    """Print the size of each table."""
    print(f"size: {os.path.getsize(path) / 1e6:.0f} MB")
    with closing(sqlite3.connect(path)) as connection:
        for table in ("run", "hour", "verdict", "incident", "delivery", "task"):
            (rows,) = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
            names = connection.execute("SELECT name FROM sqlite_master WHERE tbl_name = ?", (table,)).fetchall()
            taken = 0
            for (name,) in names:
                (size,) = connection.execute(
                    "SELECT pgsize FROM dbstat WHERE aggregate = TRUE AND name = ?", (name,)
                ).fetchone() or (0,)
                taken += size
            each = f", {taken / rows:.1f} bytes a row" if rows else ""
            print(f"  {table}: {rows:,} rows, {taken / 1e6:.1f} MB{each}")


async def use(path: str, tasks: int) -> None:
    """Open it as the daemon does, and commit."""
    store = SqliteStore(reactor, time.time, path, keep_days=90)  # type: ignore[arg-type]
    began = time.perf_counter()
    kept = store.open()
    print(f"open: {time.perf_counter() - began:.2f} s, {len(kept.states):,} states")
    began = time.perf_counter()
    await store.enqueue([Delivery(Alert("x", Event.STARTED, NOW, "started"), "slack")])
    print(f"first commit: {(time.perf_counter() - began) * 1000:.1f} ms")
    await store.close()


def main(directory: str, days: int, tasks: int) -> None:
    """Fill, measure, delete."""
    path = f"{directory}/history.sqlite"
    began = time.perf_counter()
    connection, lock = open_database(path, scripts())
    with closing(connection):
        fill(connection, tasks, days)
    lock.release()
    print(f"{tasks:,} tasks, {days} days, SQLite {sqlite3.sqlite_version}, Python {sys.version.split()[0]}")
    print(f"filled in {time.perf_counter() - began:.0f} s")
    sizes(path)
    react(lambda _: Deferred.fromCoroutine(use(path, tasks)).addCallback(lambda _: measure(path, tasks)))


def measure(path: str, tasks: int) -> None:
    """Read pages; delete a day."""
    with closing(connect(path)) as connection:
        connection.execute("SELECT 1 FROM task").fetchone()
        reader = Reader(SqliteSource(path))
        timed("runs, 50", lambda each: reader.runs(url(each)), tasks)
        timed("runs, 50 of long ago", lambda each: reader.runs(url(each), (NOW - 80 * 86_400) * 1000), tasks)
        timed("verdicts, 50", lambda each: reader.verdicts(url(each)), tasks)
        timed("incidents of a task, 50", lambda each: reader.incidents(url(each)), tasks)
        timed("incidents of all, 50", lambda _: reader.incidents(), tasks)
        timed("deliveries of a task, 50", lambda each: reader.deliveries(url(each)), tasks)
        timed("deliveries of all, 50", lambda _: reader.deliveries(), tasks)
        timed("uptime of a task", lambda each: reader.uptime(url(each), NOW), tasks)
        timed("gaps of a task, 50", lambda each: reader.gaps(url(each)), tasks)
        timed("findings of 7 days", lambda each: reader.findings(url(each), NOW - 7 * 86_400, NOW), tasks)
        timed("findings of 90 days", lambda each: reader.findings(url(each), NOW - 90 * 86_400, NOW), tasks)
        reader.close()
    connection, lock = open_database(path, scripts())
    tables = Tables(connection, lock)
    recorder = Recorder()
    for (name,) in connection.execute("SELECT url FROM task ORDER BY id").fetchall():
        recorder.present(name)
    began, longest, steps = time.perf_counter(), 0.0, 0
    last = began
    for _ in retention.sweep(tables, recorder, 89.0, NOW * 1000):
        longest, last, steps = max(longest, time.perf_counter() - last), time.perf_counter(), steps + 1
    took = time.perf_counter() - began
    print(f"a day deleted in {took:.1f} s and {steps} steps, the longest {longest * 1000:.0f} ms")
    tables.close()


if __name__ == "__main__":
    where, *figures = sys.argv[1:] or [None]
    with tempfile.TemporaryDirectory(dir=where) as place:
        main(place, *map(int, [*figures, *(90, 1000)[len(figures) :]]))
