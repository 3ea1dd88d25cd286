"""
The faults, and a script that brings them about.

After a fault, or two that overlap on different instances, the script waits until all instances are at work again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from random import Random
from typing import NamedTuple

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.threads import deferToThread

from tests.acceptance.process import pause, until
from tests.chaos.cluster import LEASE, NAMES, PATIENCE, Cluster, Instance
from tests.chaos.fleet import TakeOver


class Kind(NamedTuple):
    """
    A kind of fault.

    :ivar weight: how often it comes.
    :ivar shortest: the least time until it is mended, in seconds; `longest`: the most.
    :ivar ends: whether the process is gone, so that its tasks must be taken over however short the fault is.
    """

    weight: int
    shortest: float
    longest: float
    ends: bool = False


#: A SIGKILL; a SIGSTOP longer than the lease, and one about as long; a clean stop.
PROCESS = {
    "kill": Kind(22, 0, 9, True),
    "stop": Kind(20, 7, 12),
    "blip": Kind(12, 3.5, 7.5),
    "leave": Kind(6, 0, 3, True),
}

#: Connections to the database: closed and refused, silent, answers lost, slow, ended by the server.
CONNECTIONS = {
    "cut": Kind(8, 0.2, 12),
    "stall": Kind(9, 1, 12),
    "deaf": Kind(6, 1, 12),
    "delay": Kind(4, 3, 8),
    "terminate": Kind(4, 0, 0),
}

#: The links of a machine: to the database, to the tasks and channels, both.
LINKS = {
    "unplug": Kind(9, 1, 12),
    "blind": Kind(4, 14, 18),
    "isolate": Kind(6, 3, 12),
}

#: The database: a clean restart, a crash, a pause longer than the lease.
SERVER = {
    "restart": Kind(4, 0, 0),
    "crash": Kind(3, 0, 1),
    "outage": Kind(3, 7, 11),
}

KINDS = {**PROCESS, **CONNECTIONS, **LINKS, **SERVER}

#: How often a second fault comes before the first is over.
DOUBLE = 0.3


class Fault:
    """
    A fault as it happened.

    :ivar life: the life that it hit; empty if it hit the database.
    :ivar began: in seconds since the epoch.
    :ivar ended: when it was mended.
    :ivar alone: whether no other fault was felt meanwhile.
    :ivar take_over: of the tasks that the life checked; None if it need not lose them.
    """

    def __init__(self, kind: str, life: str, alone: bool) -> None:
        self.kind = kind
        self.life = life
        self.alone = alone
        self.began = self.ended = time.time()
        self.take_over: TakeOver | None = None

    def __repr__(self) -> str:
        return f"{self.kind} of {self.life or 'the database'} at {self.began:.3f} for {self.ended - self.began:.2f} s"


class _Plan(NamedTuple):
    kind: str
    name: str
    wait: float
    length: float
    lag: float


class Script:
    """
    Brings faults about.

    :param kinds: those that happen; by default all that the cluster's network allows.
    :ivar faults: those that have happened.
    """

    def __init__(self, cluster: Cluster, seed: int, kinds: Iterable[str] = ()) -> None:
        self.cluster = cluster
        self.faults: list[Fault] = []
        self._random = Random(seed)
        self._kinds = [*kinds] or [kind for kind in KINDS if cluster.network.links or kind not in LINKS]

    async def run(self, more: Callable[[], bool]) -> None:
        """Bring about faults while `more` returns true."""
        while more():
            plans = [self._plan(NAMES, self._random.uniform(0, 0.5))]
            if self._random.random() < DOUBLE:
                others = [name for name in NAMES if name != plans[0].name]
                plans.append(self._plan(others, self._random.uniform(0.5, 6), plans[0].kind in SERVER))
            await gatherResults(
                [Deferred.fromCoroutine(self._happen(plan, len(plans) == 1)) for plan in plans], consumeErrors=True
            )
            await self.cluster.is_calm()
            for fault in self.faults[-len(plans) :]:
                await self._settle(fault)

    def _plan(self, names: Iterable[str], wait: float, served: bool = False) -> _Plan:
        """Choose a fault; a server that suffers one has no second one."""
        kinds = [kind for kind in self._kinds if not (served and kind in SERVER)]
        kind = self._random.choices(kinds, [KINDS[each].weight for each in kinds])[0]
        length = self._random.uniform(KINDS[kind].shortest, KINDS[kind].longest)
        return _Plan(kind, self._random.choice([*names]), wait, length, self._random.uniform(0.05, 0.8))

    async def _happen(self, plan: _Plan, alone: bool) -> None:
        await pause(plan.wait)
        kind = KINDS[plan.kind]
        instance = self.cluster.instances[plan.name]
        fault = Fault(plan.kind, "" if plan.kind in SERVER else instance.life, alone)
        self.faults.append(fault)
        if fault.life and (kind.ends or plan.length > LEASE + 0.5) and plan.kind != "delay":
            fault.take_over = self.cluster.fleet.watch(instance.life, fault.began)
        if plan.kind in PROCESS:
            await self._hit_process(plan, instance)
        elif plan.kind in CONNECTIONS:
            await self._hit_connections(plan, instance)
        elif plan.kind in LINKS:
            await self._hit_links(plan)
        else:
            await self._hit_server(plan)
        fault.ended = time.time()
        if fault.take_over is not None:
            fault.take_over.mended = fault.ended

    async def _settle(self, fault: Fault) -> None:
        """Wait until its tasks are taken over."""
        take_over = fault.take_over
        if take_over is not None:
            await until(lambda: not take_over.left, f"take-over after {fault} of {take_over.left}", PATIENCE)
            self.cluster.fleet.unwatch(take_over)

    async def _hit_process(self, plan: _Plan, instance: Instance) -> None:
        if plan.kind in ("kill", "leave"):
            await instance.end("KILL" if plan.kind == "kill" else "TERM")
            await pause(plan.length)
            await instance.start()
        else:
            instance.signal("STOP")
            await pause(plan.length)
            instance.signal("CONT")

    async def _hit_connections(self, plan: _Plan, instance: Instance) -> None:
        if plan.kind == "terminate":
            await self.cluster.insist(
                f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{instance.life}'"
            )
            return
        instance.proxy.set(plan.kind, plan.lag)
        await pause(plan.length)
        instance.proxy.set("open")

    async def _hit_links(self, plan: _Plan) -> None:
        links = {"unplug": ("database",), "blind": ("tasks",), "isolate": ("tasks", "database")}[plan.kind]
        for there in (False, True):
            for link in links:
                self.cluster.network.plug(plan.name, link, there)
            if not there:
                await pause(plan.length)

    async def _hit_server(self, plan: _Plan) -> None:
        server = self.cluster.server
        await deferToThread(server.kill if plan.kind == "crash" else server.stop)
        await pause(plan.length)
        await deferToThread(server.start)
