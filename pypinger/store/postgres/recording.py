"""The recorder of an instance that shares the tasks: it knows only those that it owns."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence

from pypinger.domain.silence import Silence
from pypinger.store.recorder import Recorder
from pypinger.store.rows import TaskRecord
from pypinger.store.writer import Call

#: The methods whose first argument is a task.
_OF_TASKS = frozenset({Recorder.note, Recorder.commit})


class NotOwned(Exception):
    """A call is about a task that this instance does not own; nothing was recorded."""


class SharedRecorder(Recorder):
    """
    Of tasks that were gained it may know the state alone: see Note [Known states] in
    :mod:`pypinger.store.postgres.states`. All else is loaded when it is needed.

    :param reserve: takes some ids for incidents from the database.
    :param complete: loads the rest of such tasks, and removes them from `partial`.
    :ivar partial: those of the tasks of which it knows the state alone.
    :ivar silence_changes: silences that were added and removed, each (added, removed).
    :ivar releases: what others may own once all that is pending is written, each (tasks, channels).
    """

    def __init__(self, reserve: Callable[[], Sequence[int]], complete: Callable[[Collection[str]], None]) -> None:
        super().__init__()
        self._reserve = reserve
        self._complete = complete
        self.partial: set[str] = set()
        self._ids: deque[int] = deque()
        self.silence_changes: list[tuple[Sequence[Silence], Sequence[str]]] = []
        self.releases: list[tuple[Collection[str], Collection[str]]] = []

    @property
    def unwritten(self) -> bool:
        """Whether anything is still to be written."""
        return bool(self.pending or self.silence_changes or self.releases)

    @property
    def news(self) -> list[str]:
        """What others are to be notified of once that is written."""
        news = {
            "tasks": self.pending.tasks,
            "deliveries": self.pending.deliveries,
            "silences": self.silence_changes,
            "owners": self.releases,
            "free": self.releases,
        }
        return [what for what, changes in news.items() if changes]

    def written(self) -> None:
        """Forget what was to be written: it is."""
        self.pending.clear()
        self.silence_changes.clear()
        self.releases.clear()
        self.outbox.clear()

    def present(self, key: str) -> TaskRecord:
        """See :meth:`Recorder.present`; it is the first thing that a call about a task does."""
        if key not in self.tasks:
            raise NotOwned(key)
        if key in self.partial:
            self._complete([key])
        return super().present(key)

    def expect(self, calls: Iterable[Call]) -> None:
        """Load what these calls will need at once, rather than task by task."""
        if self.partial:
            keys = {args[0].key for call, args in calls if call in _OF_TASKS} & self.partial
            if keys:
                self._complete(keys)

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

    def release(self, tasks: Collection[str], channels: Collection[str]) -> None:
        """Let others own tasks and channels, in the transaction that writes what is pending of them."""
        self.releases.append((tasks, channels))
