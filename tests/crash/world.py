"""
The world of a daemon that is killed again and again: its tasks, services and database, and the kills.
:mod:`tests.crash.truth` has the expected result.

Each life of the daemon has a token, which it sends with every request, so that tasks and services know the life that a
request belongs to.
"""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any

from twisted.internet import reactor
from twisted.internet.error import ConnectError
from twisted.trial.unittest import TestCase

from tests.acceptance.process import PATIENCE, Process, ask, free_port, new_directory, pause, until
from tests.crash import launcher
from tests.crash.scripts import Script, Tasks
from tests.crash.services import Service

#: Runs the daemon.
LAUNCHER = (sys.executable, "-m", launcher.__name__, "-n", "--pidfile=", "pypinger")


class World:
    """
    A daemon with its database, its tasks and its services.

    :ivar life: the number of the daemon's present life, from 1.
    :ivar kills: the point at which each life ended.
    :ivar settled: (alert, channel) -> the first life at whose end the delivery was settled.
    :ivar offset: the error of the daemon's wall clock in seconds.
    """

    def __init__(self, test: TestCase, seed: int, services: Sequence[type[Service]], group_wait: float) -> None:
        self.test = test
        self.random = Random(seed)
        self.directory = new_directory(test)
        self.database = str(Path(self.directory, "store", "pypinger.sqlite"))
        Path(self.database).parent.mkdir()
        self.port = free_port()
        scripts = [Script(Random(self.random.random()), server) for server in ("alpha", "beta", "gamma", "beta")]
        self.tasks = [Tasks(test, scripts[:2]), Tasks(test, scripts[2:])]
        self.scripts = {url: script for tasks in self.tasks for url, script in tasks.scripts.items()}
        self.services = [kind(test, Random(self.random.random()), self.dies_of) for kind in services]
        self.life = 0
        self.token = ""
        self.kills: list[str] = []
        self.settled: dict[tuple[str, str], int] = {}
        self._unsettled: set[tuple[str, str]] = set()
        self._inspected = dict.fromkeys(self.services, 0)
        self.process: Process | None = None
        self._deadly, self._passes = "", 0
        self._clock = Path(self.directory, "clock")
        self.offset = 0.0
        self.step(0)
        self._configure(group_wait)
        self._imports = [name for service in self.services for name in service.imports]

    def _configure(self, group_wait: float) -> None:
        urls = list(self.scripts)
        listed = ",\n    ".join(urls)
        Path(self.directory, "pinger.ini").write_text(
            f"[main]\ninterval = 0.25\nerror_interval = 0\ngroup_wait = {group_wait}\n"
            f"[urls]\nprod = {listed}\n[token_auth]\ntoken = ${{env:CRASH_LIFE}}\n"
            f"[web]\nendpoint = tcp:{self.port}:interface=127.0.0.1\n[store]\npath = {self.database}\n"
            f"[task {urls[0]}]\nerror_interval = 1\n" + "".join(service.section() for service in self.services)
        )

    def step(self, seconds: float) -> None:
        """Step the daemon's wall clock."""
        self.offset += seconds
        # Atomically, as the daemon may be reading the file.
        part = self._clock.with_suffix(".new")
        part.write_text(str(self.offset))
        part.rename(self._clock)

    def start(self, crash: str = "") -> Process:
        """Start a new life, which ends at this point if it reaches it."""
        self.life += 1
        self.token = f"life-{self.life}-{self.random.randrange(10**12):012}"
        point, _, passes = crash.partition(":")
        self._deadly, self._passes = point, int(passes or 0)
        self.process = Process(
            self.test,
            *LAUNCHER,
            directory=self.directory,
            environ={"CRASH_AT": crash, "CRASH_CLOCK": str(self._clock), "CRASH_LIFE": self.token},
            forked=True,
            imports=self._imports,
        )
        return self.process

    def dies_of(self, point: str, life: int) -> bool:
        """Whether the daemon was killed at this point; its last bytes may arrive after its end."""
        if point != self._deadly or life != self.life or self.process.ended is not None:
            return False
        self._passes -= 1
        if self._passes == 0:
            self.process.signal("KILL")
        return self._passes == 0

    async def live(self, crash: str = "", span: float = PATIENCE, *, work: bool = False, stop: bool = False) -> None:
        """
        Begin a new life, which is ended by SIGKILL.

        :param crash: the point; a life that does not reach it is killed anyway.
        :param span: seconds until it is killed.
        :param work: whether `span` counts from the first check rather than from the start.
        :param stop: whether it is stopped then, and killed while it stops.
        """
        process = self.start(crash)
        point = crash.partition(":")[0]
        if work:
            await self._lasts(process, PATIENCE, lambda: self.is_at_work)
        await self._lasts(process, span)
        if stop and process.ended is None:
            process.signal("TERM")
            await self._lasts(process, PATIENCE if crash else 0.1)
        if process.ended is None:
            process.signal("KILL")
            point = ""
        await self._lasts(process, PATIENCE)
        if process.ended != -9 and not (stop and process.ended == 0):
            raise AssertionError(f"the daemon ended with {process.ended}:\n{process.log}")
        if process.ended == -9:
            self.kills.append(point or "random")
        self.inspect()

    async def finish(self) -> None:
        """Make all services reliable, run the daemon until everything is delivered, then stop it."""
        for service in self.services:
            service.calm = True
        for script in self.scripts.values():
            script.ending = "ok"
        left = True
        while left:
            process = self.start()
            await self.becomes(lambda daemon: self.is_over and daemon["undelivered"] == 0)
            self.test.assertEqual((await self.daemon())["status"], "ok")
            process.signal("TERM")
            self.test.assertEqual(await process.end(), 0, process.log)
            # Where the disk is slow, a stop does not wait for its own alert: the next life sends it.
            left = "recording the stop took longer" in process.log
            self.inspect()

    async def makes_progress(self, states: int, messages: int = 0) -> None:
        """Wait for this many further states of each task, and messages to each service."""
        growing = [(script.states, states) for script in self.scripts.values()]
        growing += [(service.receipts, messages) for service in self.services]
        goals = [(series, len(series) + more) for series, more in growing]
        await until(lambda: all(len(series) >= goal for series, goal in goals), "progress", 2 * PATIENCE)

    async def becomes(self, good: Callable[[dict[str, Any]], bool]) -> None:
        """Wait until the daemon's report of itself is as wanted."""
        deadline = reactor.seconds() + 2 * PATIENCE
        daemon = None
        while daemon is None or not good(daemon):
            if self.process.ended is not None or reactor.seconds() > deadline:
                raise AssertionError(f"the daemon says {daemon} in the end:\n{self.process.log}")
            await pause(0.05)
            try:
                daemon = await self.daemon()
            except ConnectError:
                pass

    @property
    def is_at_work(self) -> bool:
        """Whether this life has made a check."""
        return any(script.shown_to == self.token for script in self.scripts.values())

    @property
    def is_over(self) -> bool:
        """Whether every task's last state is committed."""
        return all(script.kept and script.states[-1] == script.ending for script in self.scripts.values())

    async def daemon(self) -> dict[str, Any]:
        """The daemon's report of itself."""
        return (await ask(self.port)).json()["self"]

    async def kill(self) -> None:
        """Kill the daemon."""
        self.process.signal("KILL")
        self.test.assertEqual(await self.process.end(), -9, self.process.log)
        self.kills.append("random")
        self.inspect()

    def inspect(self) -> None:
        """After the daemon's end: read its database, and check its log for unexpected errors."""
        log = self.process.log
        self.process.out = self.process.err = b""
        for surprise in ("Traceback", "Unhandled", "Error in Deferred", "nexpected error", " broke"):
            assert surprise not in log, log
        fresh = [receipt for service in self.services for receipt in service.receipts[self._inspected[service] :]]
        self._inspected = {service: len(service.receipts) for service in self.services}
        pairs = {(alert, receipt.channel) for receipt in fresh for alert in receipt.ids}
        self._unsettled |= pairs - self.settled.keys()
        if not Path(self.database).exists():
            assert not fresh
            return
        with closing(read(self.database)) as connection:
            for pair in list(self._unsettled):
                row = connection.execute(
                    "SELECT outcome FROM delivery WHERE alert = ? AND channel = ?", pair
                ).fetchone()
                assert row is not None, f"{pair} was sent, and never committed"
                if row[0] is not None:
                    self._unsettled.discard(pair)
                    self.settled[pair] = self.life

    async def _lasts(self, process: Process, span: float, enough: Callable[[], object] = lambda: False) -> None:
        """Wait until the daemon ends, the time has passed, or `enough` is true."""
        deadline = reactor.seconds() + span
        while process.ended is None and reactor.seconds() < deadline and not enough():
            await pause(min(0.02, span))


def read(database: str) -> sqlite3.Connection:
    """A connection that does not change the files, also after a kill."""
    return sqlite3.connect(f"file:{database}?mode=ro", uri=True)
