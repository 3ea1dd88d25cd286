"""Finds tasks that have not been seen for two intervals (contract, section 3, "Whose fault")."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from twisted.internet.interfaces import IReactorTime

from pypinger.domain.model import Instant, Seconds, Task
from pypinger.ports.clock import WallClock
from pypinger.runtime.board import LiveBoard
from pypinger.runtime.slices import Slices, slices

#: Seconds after which a look that did not end is made again.
AGAIN: Seconds = 60.0


class Unseen:
    """
    Has the board mark tasks that are not seen.

    Many of them may be due together, and each of them must be looked at to know when the next one is. So a look is made
    in slices, and the next one when one of the tasks may have become unseen.
    """

    def __init__(self, reactor: IReactorTime, now: WallClock, board: LiveBoard, tasks: Sequence[Task]) -> None:
        self._now = now
        self._board = board
        self._slices = Slices(reactor)
        # How long after the start a task can be unseen at the earliest. There is much else to do until then.
        self._earliest: Seconds = 2 * min((task.interval for task in tasks), default=0.0)
        self._next: Instant | None = None

    def look(self, *, anew: bool = False) -> None:
        """
        Mark the tasks that are not seen; call it every second or so.

        :param anew: whether what was worked out before does not count: after a step of the wall clock, or a reload.
        """
        now = self._now()
        if self._next is None:
            self._next = self._board.started + self._earliest
        if anew or now >= self._next:
            self._next = now + AGAIN
            self._slices.add(self._look())

    def _look(self) -> Iterator[None]:
        following = float("inf")
        for ids in slices([entry.task.id for entry in self._board.entries()]):
            now = self._now()
            following = min(following, *(self._board.mark_unseen(id, now) for id in ids))
            yield
        self._next = following
