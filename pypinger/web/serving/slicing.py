"""
Long work in slices, shared by all who ask for the same.

Note [Long pages]
~~~~~~~~~~~~~~~~~
Work that takes longer than a few milliseconds is cut into slices, and all pages that are being made get their turns
from one Cooperator: between two turns of the reactor they run for :data:`SHARE` together, however many they are.
Checks and short answers wait no longer than that plus one slice.

Note [Many readers]
~~~~~~~~~~~~~~~~~~~
All readers of the stream of changes ask for the same page when it announces a change. So a page is made when its turn
comes, and all who have asked for it until then get the same one. A client that asks later may know of a change that is
not in it, and gets the next one.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Hashable, Iterator, Sequence
from typing import Any, Generic, TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import Cooperator
from twisted.python.failure import Failure

from pypinger.domain.model import Seconds

S = TypeVar("S")
T = TypeVar("T")

#: Rows in a slice: a millisecond or two of JSON.
SLICE = 200

#: Seconds for which pages are made before the reactor gets its turn.
SHARE: Seconds = 0.005


def make_cooperator(clock: IReactorTime) -> Cooperator:
    """A Cooperator that shares the reactor's time between long pages and all else: see Note [Long pages]."""

    def share() -> Callable[[], bool]:
        end = clock.seconds() + SHARE
        return lambda: clock.seconds() >= end

    return Cooperator(share, lambda tick: clock.callLater(0, tick))


async def in_slices(
    function: Callable[[S], T], items: Sequence[S], cooperator: Cooperator, size: int = SLICE
) -> list[T]:
    """
    ``list(map(function, items))`` that waits for its turn before each slice: see Note [Long pages].

    :param size: items in a slice.
    """
    values: list[T] = []

    def slices() -> Iterator[None]:
        for start in range(0, len(items), size):
            values.extend(map(function, items[start : start + size]))
            yield

    await _run(slices(), cooperator)
    return values


class Shared(Generic[T]):
    """
    Makes what several clients ask for at the same time once: see Note [Many readers].

    :param fixed: whether a key always stands for the same, so that clients may join while it is made.
    """

    def __init__(self, cooperator: Cooperator, *, fixed: bool = False) -> None:
        self._cooperator = cooperator
        self._fixed = fixed
        self._pending: dict[Hashable, _Pending[T]] = {}

    async def get(self, key: Hashable, make: Callable[[], Coroutine[Deferred[Any], Any, T]]) -> T:
        """
        What `make` returns, or raises, when its turn comes.

        :param key: stands for what is asked for; the `make` of the first client that asks for it is called. What it
            reads it reads when it is called, or it belongs to the key.
        """
        pending = self._pending.get(key)
        if pending is None:
            pending = self._pending[key] = _Pending()
            pending.work = Deferred.fromCoroutine(self._make(key, make, pending))
        return await pending.join()

    async def _make(
        self, key: Hashable, make: Callable[[], Coroutine[Deferred[Any], Any, T]], pending: _Pending[T]
    ) -> None:
        result: T | Failure
        try:
            try:
                await _run(iter(()), self._cooperator)
                if self._fixed:
                    result = await make()
            finally:
                del self._pending[key]
            if not self._fixed:
                result = await make()
        except Exception:
            result = Failure()
        if pending.clients:
            # Writing an answer takes its time too.
            self._cooperator.coiterate(pending.deliver(result))


class _Pending(Generic[T]):
    """
    Clients that wait for the same.

    :ivar clients: those that have not left.
    :ivar work: makes the result; it is cancelled when all have left.
    """

    work: Deferred[None]

    def __init__(self) -> None:
        self.clients: dict[Deferred[T], None] = {}

    def join(self) -> Deferred[T]:
        """Wait as well; cancel to leave."""
        client: Deferred[T] = Deferred(self._leave)
        self.clients[client] = None
        return client

    def deliver(self, result: T | Failure) -> Iterator[None]:
        """Give the result to one client after the other."""
        while self.clients:
            client = next(iter(self.clients))
            del self.clients[client]
            if isinstance(result, Failure):
                client.errback(result)
            else:
                client.callback(result)
            yield

    def _leave(self, client: Deferred[T]) -> None:
        del self.clients[client]
        if not self.clients:
            self.work.cancel()


async def _run(steps: Iterator[None], cooperator: Cooperator) -> None:
    """Take these steps, in turn with all others."""
    work = cooperator.cooperate(steps)
    try:
        await work.whenDone()
    except CancelledError:
        # The client has left.
        work.stop()
        raise
