"""
Rows that are rendered once and kept while they are true.

States are frozen values, so a rendered row is true as long as its task and its state are the very same objects. With
thousands of tasks this is what makes an overview cheap: between two looks only the tasks that were checked are
rendered anew.

Note [Long pages]
~~~~~~~~~~~~~~~~~
What takes longer than a few milliseconds is cut into slices, and all pages of a site that are being made at a time get
their turns from one Cooperator: between two turns of the reactor they run for :data:`SHARE` together, however many
they are, and checks and short answers wait no longer than that and a slice. Were each page to wait for the reactor's
next turn by itself, or to do its first part at once, as many parts as there are readers would fall into one turn.

Note [Many readers]
~~~~~~~~~~~~~~~~~~~
All who follow the stream of changes ask for the same page when it tells of one. So what is asked for is not made at
once but when its turn comes, and all who have asked for it until then get the same. Who comes later may know of a
change that is not in it, and waits for the next one.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Hashable, Iterator, Sequence
from typing import Any, Generic, TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import Cooperator
from twisted.python.failure import Failure

from pypinger.domain.model import Seconds
from pypinger.ports.showing import Entry

S = TypeVar("S")
T = TypeVar("T")

#: How many rows make a slice: a millisecond or two of JSON.
SLICE = 200

#: For how long pages are made before the reactor gets its turn, in seconds.
SHARE: Seconds = 0.005


class Rendered(Generic[T]):
    """
    One rendered value per task.

    :param render: makes the value of an entry; it must depend on nothing but the entry.
    """

    def __init__(self, render: Callable[[Entry], T]) -> None:
        self._render = render
        self._kept: dict[str, tuple[Entry, T]] = {}

    def of(self, entry: Entry) -> T:
        """The rendered value of `entry`."""
        kept = self._kept.get(entry.task.id)
        if kept is not None and kept[0].state is entry.state and kept[0].task is entry.task:
            return kept[1]
        value = self._render(entry)
        self._kept[entry.task.id] = (entry, value)
        return value

    def keep_only(self, entries: Sequence[Entry]) -> None:
        """Forget the tasks that are not among `entries` any more."""
        if len(self._kept) > len(entries):
            ids = {entry.task.id for entry in entries}
            self._kept = {task_id: kept for task_id, kept in self._kept.items() if task_id in ids}


def turns(reactor: IReactorTime) -> Cooperator:
    """What shares out the time between long pages and all else: see Note [Long pages]."""

    def share() -> Callable[[], bool]:
        end = reactor.seconds() + SHARE
        return lambda: reactor.seconds() >= end

    return Cooperator(share, lambda tick: reactor.callLater(0, tick))


async def in_slices(
    function: Callable[[S], T], items: Sequence[S], cooperator: Cooperator, size: int = SLICE
) -> list[T]:
    """
    ``list(map(function, items))`` that waits for its turn before each slice: see Note [Long pages].

    :param size: how many items make a slice.
    """
    values: list[T] = []

    def slices() -> Iterator[None]:
        for start in range(0, len(items), size):
            values.extend(map(function, items[start : start + size]))
            yield

    await _through(slices(), cooperator)
    return values


class Shared(Generic[T]):
    """
    What several ask for at a time, made once for all of them: see Note [Many readers].

    :param cooperator: says when to begin, and when each of those who wait gets it.
    """

    def __init__(self, cooperator: Cooperator) -> None:
        self._cooperator = cooperator
        self._to_be_made: dict[Hashable, _Waiting[T]] = {}

    async def get(self, key: Hashable, make: Callable[[], Coroutine[Deferred[Any], Any, T]]) -> T:
        """
        What `make` returns, or raises, when it is called later.

        :param key: stands for what is asked for; the `make` of the first who asks for it is called. What it reads it
            reads when it is called, or it belongs to the key.
        """
        waiting = self._to_be_made.get(key)
        if waiting is None:
            waiting = self._to_be_made[key] = _Waiting()
            waiting.work = Deferred.fromCoroutine(self._make(key, make, waiting))
        return await waiting.join()

    async def _make(
        self, key: Hashable, make: Callable[[], Coroutine[Deferred[Any], Any, T]], waiting: _Waiting[T]
    ) -> None:
        made: T | Failure
        try:
            try:
                await _through(iter(()), self._cooperator)
            finally:
                del self._to_be_made[key]
            made = await make()
        except Exception:
            made = Failure()
        if waiting.anyone:
            # Each has an answer to write, which takes its time too.
            self._cooperator.coiterate(waiting.told(made))


class _Waiting(Generic[T]):
    """
    Those who wait for the same.

    :ivar work: makes it; it is stopped when all have left.
    """

    work: Deferred[None]

    def __init__(self) -> None:
        self._waiting: dict[Deferred[T], None] = {}

    @property
    def anyone(self) -> bool:
        """Whether not all have left."""
        return bool(self._waiting)

    def join(self) -> Deferred[T]:
        """One more, who may leave by cancelling."""
        one: Deferred[T] = Deferred(self._leave)
        self._waiting[one] = None
        return one

    def told(self, made: T | Failure) -> Iterator[None]:
        """Give it to one after the other."""
        while self._waiting:
            one = next(iter(self._waiting))
            del self._waiting[one]
            if isinstance(made, Failure):
                one.errback(made)
            else:
                one.callback(made)
            yield

    def _leave(self, one: Deferred[T]) -> None:
        del self._waiting[one]
        if not self._waiting:
            self.work.cancel()


async def _through(steps: Iterator[None], cooperator: Cooperator) -> None:
    """Make these steps in turn with all others."""
    work = cooperator.cooperate(steps)
    try:
        await work.whenDone()
    except CancelledError:
        # The client has left.
        work.stop()
        raise
