"""The recorder of an instance that shares the tasks: it knows only those that it owns."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from pypinger.domain.silence import Silence
from pypinger.store.recorder import Recorder
from pypinger.store.rows import TaskRecord


class NotOwned(Exception):
    """A call is about a task that this instance does not own; nothing was recorded."""


class SharedRecorder(Recorder):
    """
    :param reserve: takes some ids for incidents from the database.
    :ivar silence_changes: silences that were added and removed, each (added, removed).
    """

    def __init__(self, reserve: Callable[[], Sequence[int]]) -> None:
        super().__init__()
        self._reserve = reserve
        self._ids: deque[int] = deque()
        self.silence_changes: list[tuple[Sequence[Silence], Sequence[str]]] = []

    def present(self, key: str) -> TaskRecord:
        """See :meth:`Recorder.present`; it is the first thing that a call about a task does."""
        if key not in self.tasks:
            raise NotOwned(key)
        return super().present(key)

    def new_incident(self) -> int:
        """See :meth:`Recorder.new_incident`."""
        if not self._ids:
            self._ids.extend(self._reserve())
        return self._ids.popleft()

    def forget_ids(self) -> None:
        """Leave the ids that are reserved unused, so that ids stay about chronological."""
        self._ids.clear()

    def change_silences(self, added: Sequence[Silence], removed: Sequence[str]) -> None:
        """Add silences, and remove some by their ids."""
        self.silence_changes.append((added, removed))
