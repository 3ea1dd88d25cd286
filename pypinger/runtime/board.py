"""
Where everything stands: the tasks' states as last committed, and Py Pinger's own state. The pages read it.

It computes nothing about tasks; the monitor shows it their states. Parts that can be in trouble (the monitor, the
outbox, the store) each give it a *source*: a function that says in words what is wrong, or None.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from pypinger.domain.kinds import Status
from pypinger.domain.model import Instant, Task, TaskState
from pypinger.domain.times import span
from pypinger.ports.clock import WallClock
from pypinger.ports.showing import DaemonState, Entry, LastAnswer
from pypinger.runtime.watch import KEPT, Reading

#: Says what is wrong with a part of Py Pinger, or None while all is well.
Source: TypeAlias = Callable[[], str | None]


class Board:
    """
    Implements :class:`pypinger.ports.showing.Board`.

    :param now: the wall clock.
    :ivar undelivered: alerts still to be delivered, counted per channel; kept by the outbox.
    :ivar dead: alerts that were given up; kept by the outbox.
    :ivar blind: since when Py Pinger has been blind, else None; kept by the monitor.
    """

    def __init__(self, tasks: Sequence[Task], now: WallClock) -> None:
        self._now = now
        self.started: Instant = now()
        self.undelivered = 0
        self.dead = 0
        self.blind: Instant | None = None
        self._entries: dict[str, Entry] = {}
        self._ids: dict[str, str] = {}
        self._answers: dict[str, LastAnswer] = {}
        self._unchecked: set[str] = set()
        self._lastrun = self.started
        self._frequency = 1.0
        self._sources: list[Source] = []
        self._watchers: dict[object, Callable[[Entry], None]] = {}
        self.update(tasks)

    def update(self, tasks: Sequence[Task]) -> None:
        """Show these tasks from now on; those that were shown before keep their states."""
        before = self._entries
        self._entries = {}
        for task in tasks:
            entry = before.get(task.id)
            if entry is None:
                self._unchecked.add(task.id)
                entry = Entry(task, TaskState())
            self._entries[task.id] = entry if entry.task == task else Entry(task, entry.state)
        self._ids = {task.url: task.id for task in tasks}
        self._unchecked &= self._entries.keys()
        self._answers = {id_: answer for id_, answer in self._answers.items() if id_ in self._entries}
        shortest = min(tasks, key=lambda task: task.interval, default=None)
        self._frequency = 1.0 if shortest is None else max(1.0, (2 * shortest.interval + shortest.timeout) / 60)

    def add_source(self, source: Source) -> None:
        """Ask `source` too whether something is wrong."""
        self._sources.append(source)

    def show(self, task: Task, state: TaskState) -> None:
        """Show a state that has been committed."""
        entry = self._entries[task.id] = Entry(task, state)
        for changed in tuple(self._watchers.values()):
            changed(entry)

    def checked(self, task: Task, at: Instant, answer: Reading | None) -> None:
        """
        A check of `task` was completed.

        :param answer: None if there was none, and then the latest answer stays.
        """
        self._unchecked.discard(task.id)
        self._lastrun = at
        # A task may have been removed while its check was being recorded; then nobody would ever forget this.
        if answer is not None and task.id in self._entries:
            body = answer.body
            self._answers[task.id] = LastAnswer(at, answer.code, body[:KEPT], len(body) > KEPT)

    def entries(self) -> Sequence[Entry]:
        """See :meth:`pypinger.ports.showing.Board.entries`."""
        return tuple(self._entries.values())

    def by_id(self, task_id: str) -> Entry | None:
        """See :meth:`pypinger.ports.showing.Board.by_id`."""
        return self._entries.get(task_id)

    def by_url(self, url: str) -> Entry | None:
        """See :meth:`pypinger.ports.showing.Board.by_url`."""
        task_id = self._ids.get(url)
        return None if task_id is None else self._entries[task_id]

    def last_answer(self, task_id: str) -> LastAnswer | None:
        """See :meth:`pypinger.ports.showing.Board.last_answer`."""
        return self._answers.get(task_id)

    def daemon(self) -> DaemonState:
        """See :meth:`pypinger.ports.showing.Board.daemon`."""
        now = self._now()
        troubles = [words for source in self._sources if (words := source()) is not None]
        if troubles:
            explanation = "; ".join(troubles)
        else:
            count = len(self._entries)
            tasks = "1 task" if count == 1 else f"{count} tasks"
            waiting = f", {len(self._unchecked)} still to be checked" if self._unchecked else ""
            explanation = f"watching {tasks}{waiting}; running for {span(now - self.started)}"
        return DaemonState(
            status=Status.ERROR if troubles else Status.OK,
            explanation=explanation,
            started=self.started,
            blind=self.blind,
            undelivered=self.undelivered,
            dead=self.dead,
            ready=not self._unchecked,
            # Without a task there is nothing to be late with.
            lastrun=self._lastrun if self._entries else now,
            frequency=self._frequency,
        )

    def watch(self, changed: Callable[[Entry], None]) -> Callable[[], None]:
        """See :meth:`pypinger.ports.showing.Board.watch`."""
        key = object()
        self._watchers[key] = changed

        def stop() -> None:
            self._watchers.pop(key, None)

        return stop
