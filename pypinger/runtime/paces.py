"""How often tasks are fetched."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from pypinger.domain.model import Seconds, Task


class Paces:
    """
    The intervals and timeouts of tasks, without those that push.

    Thousands of tasks have few of them, so the shortest is found at once.
    """

    def __init__(self, tasks: Iterable[Task] = ()) -> None:
        self._counts: Counter[tuple[Seconds, Seconds]] = Counter()
        for task in tasks:
            self.add(task)

    def add(self, task: Task) -> None:
        """Take account of one more task."""
        if task.url is not None:
            self._counts[task.interval, task.timeout] += 1

    def discard(self, task: Task) -> None:
        """Leave out one that was added."""
        pace = task.interval, task.timeout
        if task.url is not None:
            self._counts[pace] -= 1
            if not self._counts[pace]:
                del self._counts[pace]

    @property
    def within(self) -> Seconds | None:
        """Within how many seconds a check is made; None without tasks."""
        return min((2 * interval + timeout for interval, timeout in self._counts), default=None)

    @property
    def frequency(self) -> float | None:
        """Twice the shortest interval, and its timeout, in minutes (contract, section 7); None without tasks."""
        if not self._counts:
            return None
        interval, timeout = min(self._counts)
        return (2 * interval + timeout) / 60
