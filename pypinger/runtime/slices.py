"""Long work in slices, between which the reactor does other work."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator
from itertools import islice
from typing import TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

from pypinger.domain.model import Seconds

#: How many tasks are dealt with between two looks at the clock.
SLICE = 100

#: For how many seconds the reactor works on slices before it does other work. While many checks begin, a turn of other
#: work takes longer than a slice: with one slice a turn, slices would mostly wait.
TURN: Seconds = 0.01

T = TypeVar("T")


class Slices:
    """Carries out changes one after the other, in the order in which they were added."""

    _log = Logger()

    def __init__(self, reactor: IReactorTime) -> None:
        self._reactor = reactor
        self._changes: deque[Iterator[None]] = deque()
        self._working = False

    def add(self, steps: Iterator[None]) -> None:
        """Carry out a change, whose generator yields after each slice."""
        self._changes.append(steps)
        if not self._working:
            self._working = True
            working = Deferred.fromCoroutine(self._work())
            working.addErrback(lambda failure: self._log.failure("working in slices", failure))

    async def _work(self) -> None:
        reactor = self._reactor
        until = reactor.seconds() + TURN
        try:
            while self._changes:
                try:
                    for _ in self._changes[0]:
                        if reactor.seconds() >= until:
                            await deferLater(reactor, 0)
                            until = reactor.seconds() + TURN
                except Exception:
                    self._log.failure("working in slices")
                self._changes.popleft()
        finally:
            self._working = False


def slices(values: Collection[T]) -> Iterator[list[T]]:
    """Yield the values in lists of :data:`SLICE`."""
    rest = iter(values)
    while found := list(islice(rest, SLICE)):
        yield found
