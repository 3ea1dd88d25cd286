"""
A cluster: PostgreSQL, three instances with a proxy each, their tasks and their channels.

Each life of an instance logs in to PostgreSQL under a name of its own, so that :mod:`tests.chaos.audit` sees who wrote.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from random import Random
from typing import Any

from twisted.internet import reactor
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from tests import postgres
from tests.acceptance.machines import IMPORTS
from tests.acceptance.process import Process, free_port, new_directory, pause
from tests.chaos import audit, launcher
from tests.chaos.fleet import Fleet
from tests.chaos.network import Loopback, Machines
from tests.chaos.proxy import Proxy
from tests.chaos.sink import CHANNELS, Sink

NAMES = ("a", "b", "c")
OWNER = "keeper"

#: Seconds of a lease, and the longest time in which its tasks are to be taken over (contract, section 8).
LEASE = 6.0
TAKE_OVER = 10.0

#: Seconds within which all instances must be at work again after a fault.
PATIENCE = 60.0

#: What runs an instance.
COMMAND = (sys.executable, "-m", launcher.__name__, "-n", "--pidfile=", "pypinger")

#: What no log may hold.
SURPRISES = ("Traceback", "Unhandled", "Error in Deferred", "nexpected error", " broke")

_INI = """[main]
interval = 1
timeout = 3
error_interval = 0
flap_incidents = 0
group_wait = 0
[urls]
prod =
{urls}
[token_auth]
token = ${{env:CHAOS_LIFE}}
[web]
endpoint = tcp:${{env:CHAOS_PORT}}:interface=127.0.0.1
[store]
url = ${{env:CHAOS_URL}}
instance = ${{env:CHAOS_NAME}}
{channels}
"""


class Instance:
    """
    An instance, whose process may be started again and again.

    :ivar environ: further environment variables of each process.
    :ivar logs: of the lives that are over, by life.
    :ivar failures: the exit codes of lives that ended by themselves, by life; they are started again, as systemd does.
    """

    def __init__(self, cluster: Cluster, name: str) -> None:
        self.name = name
        self.proxy = Proxy(cluster.test, cluster.server.port, cluster.network.database)
        self.directory = new_directory(cluster.test)
        self.environ: dict[str, str] = {}
        self.logs: dict[str, str] = {}
        self.failures: dict[str, int] = {}
        self._cluster = cluster
        self._port = free_port()
        self._lives = 0
        self._process: Process | None = None
        self._wanted = False

    @property
    def life(self) -> str:
        """The name of its present process, by which it logs in."""
        return f"{self.name}_{self._lives}"

    @property
    def log(self) -> str:
        assert self._process is not None
        return self._process.log

    @property
    def runs(self) -> bool:
        return self._process is not None and self._process.ended is None

    async def start(self) -> None:
        """Start a new life."""
        self._lives += 1
        self._wanted = True
        password = f"secret-{self.life}-{self._cluster.random.randrange(10**12)}"
        await self._cluster.insist(f"CREATE ROLE {self.life} LOGIN PASSWORD '{password}' IN ROLE {OWNER}")
        await self._cluster.insist(f"ALTER ROLE {self.life} SET role = '{OWNER}'")
        where = f"{self._cluster.network.database}:{self.proxy.port}"
        machine = self._cluster.network.command(self.name)
        self._process = Process(
            self._cluster.test,
            *machine,
            *COMMAND,
            directory=self.directory,
            environ={
                "RUNTIME_DIRECTORY": self.directory,
                "CHAOS_NAME": self.name,
                "CHAOS_LIFE": self.life,
                "CHAOS_PORT": str(self._port),
                "CHAOS_URL": f"postgresql://{self.life}:{password}@{where}/postgres",
                **self.environ,
            },
            forked=not machine,
            imports=IMPORTS,
        )

    def signal(self, name: str) -> None:
        """Send a signal to the process itself, not to what started it."""
        assert self._process is not None
        if self._process.ended is None and (pid := self._cluster.network.pid(self._process.pid)):
            os.kill(pid, getattr(signal, f"SIG{name}"))

    async def end(self, name: str) -> None:
        """End the process by a signal."""
        assert self._process is not None
        self._wanted = False
        self.signal(name)
        code = await self._process.end()
        self.logs[self.life] = self._process.log
        if name == "TERM":
            self._cluster.test.assertEqual(code, 0, self._process.log)

    async def revive(self) -> None:
        """Start it again if it has ended by itself."""
        assert self._process is not None
        if self._wanted and self._process.ended is not None:
            self.failures[self.life] = self._process.ended
            self.logs[self.life] = self._process.log
            await self.start()


class Cluster:
    """
    :param seed: repeats the tasks and the fates of messages, as far as the timing of the machine allows.
    :param number: tells the clusters of one process apart.
    :param machines: whether each instance has a machine of its own (:mod:`tests.chaos.network`).
    """

    def __init__(self, test: TestCase, seed: int, *, number: int = 0, machines: bool = False, tasks: int = 45) -> None:
        self.test = test
        self.random = Random(seed)
        self.number = number
        self._directory = Path.cwd()
        self.network: Loopback = Machines(test, NAMES, number) if machines else Loopback()
        # Its processes crash, not the machine, so what was written is kept without fsync.
        self.server = postgres.Server(log_min_duration_statement="500")
        test.addCleanup(deferToThread, self.server.remove)
        self.fleet = Fleet(test, Random(self.random.random()), tasks, CHANNELS, self.network.hosts)
        self.sink = Sink(test, Random(self.random.random()), self.fleet.told, self.network.hosts[0])
        self.instances = {name: Instance(self, name) for name in NAMES}

    async def start(self) -> None:
        """Start everything, and wait until each instance checks tasks; then let the tasks flip."""
        await deferToThread(self.server.start)
        await self.sql(f"CREATE ROLE {OWNER}")
        await self.sql(f"ALTER DATABASE postgres OWNER TO {OWNER}")
        urls = "\n".join(f"    {url}" for url in self.fleet.urls)
        ini = _INI.format(urls=urls, channels=self.sink.sections())
        for instance in self.instances.values():
            Path(instance.directory, "pinger.ini").write_text(ini)
        first, *others = self.instances.values()
        await first.start()
        await self._tables()
        await self.insist(";".join(audit.STATEMENTS))
        for instance in others:
            await instance.start()
        await self.is_calm()
        self.fleet.start()

    async def sql(self, query: str, *values: object) -> list[Any]:
        """Run a statement as the superuser; returns its rows."""
        return await deferToThread(self.server.execute, query, *values)

    async def insist(self, query: str) -> list[Any]:
        """Run a statement, later if the server is away."""
        import psycopg

        deadline = reactor.seconds() + PATIENCE
        while True:
            try:
                return await self.sql(query)
            except psycopg.OperationalError:
                if reactor.seconds() > deadline:
                    raise
            await pause(0.2)

    async def is_calm(self) -> None:
        """Wait until every instance checks tasks, and each task is checked."""
        deadline = reactor.seconds() + PATIENCE
        while True:
            lives = {each.life for each in self.instances.values()}
            since = time.time() - 2.5
            neglected = self.fleet.neglected(since)
            if self.fleet.lives(since) >= lives and not neglected:
                return
            if reactor.seconds() > deadline:
                raise AssertionError(f"only {self.fleet.lives(since)} of {lives} work, and {neglected} are not checked")
            await pause(0.5)
            for each in self.instances.values():
                await each.revive()

    async def finish(self) -> None:
        """Wait until every flip has its alerts, then stop all instances."""
        self.sink.calm = True
        self.fleet.rest()
        deadline = reactor.seconds() + PATIENCE
        while self.fleet.untold() and reactor.seconds() < deadline:
            await pause(0.2)
        # Settlements follow their messages.
        await pause(1)
        for instance in self.instances.values():
            await instance.end("TERM")

    def write_logs(self) -> None:
        """Write the logs of all lives, and what came, to the directory in which trial runs the test."""
        self.write("messages.txt", self.sink.receipts)
        self.write("checks.txt", self.fleet.fetches)
        self.write("postgres.log", (self.server.directory / "log").read_text().splitlines())
        for instance in self.instances.values():
            for life, log in {**instance.logs, instance.life: instance.log}.items():
                self.write(f"{life}.log", log.splitlines())

    def write(self, name: str, lines: Iterable[object]) -> None:
        """Write a file."""
        (self._directory / f"{self.number}-{name}").write_text("\n".join(map(str, lines)))

    async def _tables(self) -> None:
        """Wait until the first instance has made the tables."""
        deadline = reactor.seconds() + PATIENCE
        while not (await self.sql("SELECT to_regclass('public.request')"))[0][0]:
            first = self.instances[NAMES[0]]
            assert first.runs, first.log
            assert reactor.seconds() < deadline, first.log
            await pause(0.1)
