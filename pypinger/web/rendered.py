"""
Rows that are rendered once and kept while they are true.

States are frozen values, so a rendered row is true as long as its task and its state are the very same objects. With
thousands of tasks this is what makes an overview cheap: between two looks only the tasks that were checked are
rendered anew.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from pypinger.ports import Entry

S = TypeVar("S")
T = TypeVar("T")

#: How many rows are made before the reactor gets its turn: a few milliseconds' worth.
SLICE = 200


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


async def in_slices(function: Callable[[S], T], items: Sequence[S], reactor: IReactorTime) -> list[T]:
    """``list(map(function, items))`` that lets the reactor go on after every slice of them."""
    values: list[T] = []
    for start in range(0, len(items), SLICE):
        if start:
            await deferLater(reactor, 0)
        values += map(function, items[start : start + SLICE])
    return values
