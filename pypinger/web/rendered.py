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
next turn by itself, as many slices as there are readers would fall into one turn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Generic, TypeVar

from twisted.internet.defer import CancelledError
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import Cooperator

from pypinger.domain.model import Seconds
from pypinger.ports import Entry

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
    ``list(map(function, items))`` that waits for its turn between two slices: see Note [Long pages].

    :param size: how many items make a slice.
    """
    values = list(map(function, items[:size]))

    def others() -> Iterator[None]:
        for start in range(size, len(items), size):
            values.extend(map(function, items[start : start + size]))
            yield

    if len(items) > size:
        work = cooperator.cooperate(others())
        try:
            await work.whenDone()
        except CancelledError:
            # The client has left.
            work.stop()
            raise
    return values
