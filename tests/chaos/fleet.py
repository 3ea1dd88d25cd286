"""
Tasks that change between ok and failed, and remember which instance asked when.

Note [Flips]
~~~~~~~~~~~~
A task *flips* at a time of its own, and then not again until every channel has got an alert of this flip. No flip is
merged with another one therefore, wherever a fault interrupts it: each calls for exactly one alert in each channel, a
problem or a recovery in turn. The report carries the number of the flip as its process, so that alerts name it.

An instance sends the name of its *life* (``a_3`` is the third process of instance a) with each request.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from random import Random
from typing import NamedTuple

from twisted.internet import reactor
from twisted.internet.task import LoopingCall
from twisted.trial.unittest import TestCase

from tests.acceptance.endpoints import Request, Server, members

#: Seconds between an alert and the next flip of its task.
CALM = (1.0, 15.0)


class Fetch(NamedTuple):
    """A request of a task: when (seconds since the epoch), which task, and of which life."""

    at: float
    task: str
    life: str


class Task:
    """
    A task: see Note [Flips].

    :ivar path: its path, which is the name of the task in reports of the run.
    :ivar flips: how often it has flipped; it has failed while this is odd.
    :ivar waits_since: since when a flip has been without an alert in some channel; None if all have got it.
    :ivar last: the last request.
    """

    def __init__(self, path: str, random: Random, channels: Iterable[str]) -> None:
        self.path = path
        self.flips = 0
        self.waits_since: float | None = None
        self.last: Fetch | None = None
        self.latencies: list[float] = []
        self._random = random
        self._channels = frozenset(channels)
        self._untold: set[str] = set()
        self._due = random.uniform(0, CALM[1] / 2)

    def flip_when_due(self, now: float) -> None:
        if self.waits_since is None and now >= self._due:
            self.flips += 1
            self.waits_since = now
            self._untold = set(self._channels)

    def told(self, channel: str, number: int) -> None:
        """A channel has got an alert of the flip with this number."""
        if self.waits_since is None or number != self.flips:
            return
        self._untold.discard(channel)
        if not self._untold:
            now = reactor.seconds()
            self.latencies.append(now - self.waits_since)
            self.waits_since = None
            self._due = now + self._random.uniform(*CALM)

    def report(self) -> str:
        status = "error" if self.flips % 2 else "ok"
        # An instance whose clock is an hour off would call it late, or from the future.
        return json.dumps(members(ago=1, status=status, frequency=5, process=f"flip {self.flips}", reason="it flipped"))


class TakeOver:
    """
    How long it takes until the tasks of a life that suffers a fault are checked again: by another life, or by the same
    once the fault is over.

    :ivar mended: when the fault was over, in seconds since the epoch; None before.
    :ivar taken: seconds from the fault to that check, by task.
    :ivar left: the tasks without one yet.
    """

    def __init__(self, life: str, began: float, victims: Iterable[str]) -> None:
        self.life = life
        self.began = began
        self.left = set(victims)
        self.taken: dict[str, float] = {}
        self.mended: float | None = None

    def see(self, fetch: Fetch) -> None:
        other = fetch.life != self.life or (self.mended is not None and fetch.at > self.mended)
        if other and fetch.task in self.left:
            self.left.discard(fetch.task)
            self.taken[fetch.task] = fetch.at - self.began


class Origin(Server):
    """The tasks of one origin."""

    fleet: Fleet

    def serve(self, request: Request) -> None:
        self.fleet.serve(request)


class Fleet:
    """
    All tasks of a cluster, on several origins.

    :param hosts: the addresses of the origins.
    :ivar fetches: all requests.
    """

    def __init__(
        self, test: TestCase, random: Random, count: int, channels: Iterable[str], hosts: Iterable[str]
    ) -> None:
        channels = tuple(channels)
        self.origins = [Origin(test, interface=host) for host in hosts]
        for origin in self.origins:
            origin.fleet = self
        self.tasks = {path: Task(path, random, channels) for path in (f"/task/{number}" for number in range(count))}
        self.fetches: list[Fetch] = []
        self._watched: list[TakeOver] = []
        self._flipping = LoopingCall(self._flip)
        test.addCleanup(self.rest)

    @property
    def urls(self) -> list[str]:
        return [f"{self.origins[number % len(self.origins)].origin}{path}" for number, path in enumerate(self.tasks)]

    def serve(self, request: Request) -> None:
        task = self.tasks[request.path]
        task.last = Fetch(request.at, task.path, request.headers.get("authorization", ""))
        self.fetches.append(task.last)
        for each in self._watched:
            each.see(task.last)
        request.answer(200, task.report())

    def told(self, path: str, channel: str, flip: int) -> None:
        """A channel has got an alert of a flip of a task."""
        if path in self.tasks:
            self.tasks[path].told(channel, flip)

    def start(self) -> None:
        """Begin to flip."""
        self._flipping.start(0.05)

    def rest(self) -> None:
        """Flip no more."""
        if self._flipping.running:
            self._flipping.stop()

    def watch(self, life: str, now: float) -> TakeOver:
        """Measure from `now` how the tasks that a life asked last are taken over."""
        victims = [task.path for task in self.tasks.values() if task.last is not None and task.last.life == life]
        found = TakeOver(life, now, victims)
        self._watched.append(found)
        return found

    def unwatch(self, watched: TakeOver) -> None:
        self._watched.remove(watched)

    def lives(self, since: float) -> set[str]:
        """The lives that have asked any task since then."""
        return {task.last.life for task in self.tasks.values() if task.last is not None and task.last.at >= since}

    def neglected(self, since: float) -> list[str]:
        """The tasks that no life has asked since then."""
        return [task.path for task in self.tasks.values() if task.last is None or task.last.at < since]

    def untold(self) -> list[str]:
        """The tasks with a flip that some channel has got no alert of."""
        return [task.path for task in self.tasks.values() if task.waits_since is not None]

    def _flip(self) -> None:
        now = reactor.seconds()
        for task in self.tasks.values():
            task.flip_when_due(now)
