"""
The state of every task as it was last committed, and Py Pinger's own state, for the pages.

The board computes nothing about tasks. Parts that can be in trouble (monitor, outbox, store, reload) add a *source*: a
function that returns one line about what is wrong, or None.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

from msgspec.structs import replace

from pypinger.domain.kinds import Status
from pypinger.domain.model import Answer, Instant, Seconds, Task, TaskState
from pypinger.domain.pushes import PING_BODY
from pypinger.domain.silence import Muted
from pypinger.domain.times import span
from pypinger.ports.clock import WallClock
from pypinger.ports.showing import DaemonState, Entry, LastAnswer
from pypinger.runtime.members import Members
from pypinger.runtime.paces import Paces

#: Returns what is wrong with a part of Py Pinger, or None.
Source: TypeAlias = Callable[[], str | None]

#: Returns what mutes the alerts of a task now, or None.
Mutes: TypeAlias = Callable[[Task, TaskState], Muted | None]

#: Returns the channels whose latest delivery is dead.
DeadChannels: TypeAlias = Callable[[], Iterable[str]]

#: How many bytes of a task's latest answer are kept for its page.
SHOWN = 4096


class LiveBoard:
    """
    Implements :class:`pypinger.ports.showing.TaskBoard`.

    :param now: the wall clock.
    :param ini: the path of the ini file, for instructions on the pages.
    """

    def __init__(self, tasks: Sequence[Task], now: WallClock, ini: str = "") -> None:
        self._ini = ini
        self._now = now
        self._started: Instant = now()
        self._again: Instant = 0.0
        self._undelivered = 0
        self._dead = 0
        self._blind: Instant | None = None
        self._entries: dict[str, Entry] = {}
        # Since when each task has been watched.
        self._watched: dict[str, Instant] = {}
        self._ids: dict[str, str] = {}
        self._answers: dict[str, LastAnswer] = {}
        self._unchecked: set[str] = set()
        self._lastrun = self._started
        # Of the tasks that this instance watches.
        self._paces = Paces()
        self._sources: list[Source] = []
        self._watchers: dict[object, Callable[[Entry], None]] = {}
        self._mutes: Mutes = lambda task, state: None
        self._dead_channels: DeadChannels = tuple
        # Where several instances share the tasks: they, and the ids of the tasks that this one watches.
        self._members: Members | None = None
        self._own: dict[str, Task] = {}
        self.update(tasks)

    def share(self, members: Members) -> None:
        """Several instances share the tasks: those to watch follow with :meth:`take`."""
        self._members = members
        self._paces = Paces()
        self._unchecked.clear()
        self._started = self._lastrun = now = self._now()
        self._watched = dict.fromkeys(self._watched, now)

    def take(self, task: Task, state: TaskState) -> None:
        """
        This instance is to watch a task.

        :param state: the one that was committed last, by any instance.
        """
        # It may be due much sooner than those before.
        self._lastrun = now = self._now()
        if (before := self._own.get(task.id)) is not None:
            self._paces.discard(before)
        self._own[task.id] = task
        self._paces.add(task)
        if task.url is not None and (state.checked is None or state.checked < self._started):
            self._unchecked.add(task.id)
        self._show(self._entry(task, state, self._owner, now))

    def leave(self, task: Task) -> None:
        """This instance no longer watches a task."""
        own = self._own.pop(task.id, None)
        if own is None:
            return
        self._paces.discard(own)
        self._unchecked.discard(task.id)
        self._answers.pop(task.id, None)
        entry = self._entries.get(task.id)
        if entry is not None:
            self._show(replace(entry, owner=None))

    @property
    def _owner(self) -> str | None:
        """What is shown as the owner of the tasks that this instance watches."""
        return None if self._members is None else self._members.name

    @property
    def started(self) -> Instant:
        """When this process started."""
        return self._started

    @property
    def listening(self) -> Instant:
        """Since when pushes have been taken without a break."""
        return max(self._started, self._again)

    def listen_again(self) -> None:
        """Pushes are taken again, after a time in which some were refused."""
        self._again = self._now()

    @property
    def undelivered(self) -> int:
        """Pending deliveries of all channels."""
        return self._undelivered

    @property
    def dead(self) -> int:
        """Deliveries that were given up."""
        return self._dead

    @property
    def blind(self) -> Instant | None:
        """Since when Py Pinger has been blind; None while it sees."""
        return self._blind

    def update(self, tasks: Sequence[Task]) -> None:
        """Show these tasks; those that were shown before keep their states."""
        before = self._entries
        self._entries = {}
        for task in tasks:
            entry = before.get(task.id)
            if entry is None:
                if task.url is not None and self._members is None:
                    self._unchecked.add(task.id)
                self._watched[task.id] = self._now()
                entry = Entry(task, TaskState())
            self._entries[task.id] = entry if entry.task == task else self._entry(task, entry.state, entry.owner)
        self._watched = {id_: since for id_, since in self._watched.items() if id_ in self._entries}
        self._ids = {task.key: task.id for task in tasks}
        self._unchecked &= self._entries.keys()
        self._answers = {id_: answer for id_, answer in self._answers.items() if id_ in self._entries}
        self._own = {task.id: task for task in tasks if task.id in self._own}
        self._paces = Paces(tasks if self._members is None else self._own.values())

    def add_source(self, source: Source) -> None:
        """Include what `source` returns in Py Pinger's own state."""
        self._sources.append(source)

    def mute_with(self, mutes: Mutes) -> None:
        """Show of each task what `mutes` returns."""
        self._mutes = mutes

    def dead_channels_from(self, channels: DeadChannels) -> None:
        """Show the channels that `channels` returns as those whose latest delivery is dead."""
        self._dead_channels = channels

    def muted(self, task: Task, state: TaskState) -> bool:
        """Whether the alerts of a task are muted now."""
        return self._mutes(task, state) is not None

    def silences_changed(self) -> None:
        """Show who is muted now."""
        for entry in tuple(self._entries.values()):
            if entry.muted != self._mutes(entry.task, entry.state):
                self._show(self._entry(entry.task, entry.state, entry.owner))

    def show(self, task: Task, state: TaskState) -> None:
        """Show a committed state."""
        self._show(self._entry(task, state, self._owner))

    def show_other(self, key: str, state: TaskState | None, owner: str | None) -> Entry | None:
        """
        Show a task of another instance.

        :param state: None if it is the one that is shown.
        :returns: None if the task is not configured here.
        """
        task_id = self._ids.get(key)
        if task_id is None or task_id in self._own:
            return None
        shown = self._entries[task_id]
        if state is None and owner == shown.owner:
            return shown
        entry = replace(shown, owner=owner) if state is None else self._entry(shown.task, state, owner)
        self._show(entry)
        return entry

    def mark_unseen(self, task_id: str, now: Instant) -> Instant:
        """Mark a task if it is not seen; returns when to look again: an interval from now, or sooner."""
        entry = self._entries.get(task_id)
        if entry is None or entry.task.url is None:
            return float("inf")
        again = now + entry.task.interval
        if entry.unseen is None:
            unseen_at = self._last(entry.task, entry.state) + 2 * entry.task.interval
            if now < unseen_at:
                # After a step of the clock an answer may be older than the one before.
                return min(unseen_at, again)
            self._show(self._entry(entry.task, entry.state, entry.owner, now))
        # An answer of another instance may be shown late.
        return again

    def _entry(self, task: Task, state: TaskState, owner: str | None = None, now: Instant | None = None) -> Entry:
        last = self._last(task, state)
        now = self._now() if now is None else now
        # A push task is heard when it runs.
        unseen = last if task.url is not None and now >= last + 2 * task.interval else None
        return Entry(task, state, self._mutes(task, state), state.seen, unseen, owner)

    def _last(self, task: Task, state: TaskState) -> Instant:
        """The last answer of a task, or the start of watching it if that is later."""
        since = self._watched.get(task.id, self._started)
        return since if state.seen is None else max(since, state.seen)

    def _show(self, entry: Entry) -> None:
        self._entries[entry.task.id] = entry
        for changed in tuple(self._watchers.values()):
            changed(entry)

    def checked(self, task: Task, at: Instant, answer: Answer | None) -> None:
        """
        Record that a check of `task` was completed.

        :param answer: None if there was none; the latest answer then stays.
        """
        self._unchecked.discard(task.id)
        self._lastrun = at
        # A task that was removed while its check was being recorded must leave nothing behind.
        if answer is not None and task.id in self._entries:
            body = answer.body
            self._answers[task.id] = LastAnswer(
                at, answer.code, body[:SHOWN], len(body) > SHOWN, answer.url, answer.foreign
            )

    def pushed(self, task: Task, at: Instant, body: bytes) -> None:
        """
        Record that a task has sent something.

        :param body: the beginning of it.
        """
        if body and task.id in self._entries:
            self._answers[task.id] = LastAnswer(at, 0, body, len(body) >= PING_BODY, pushed=True)

    def missed(self, task: Task) -> None:
        """Record that a check of `task` was not judged, because Py Pinger is blind."""
        self._unchecked.discard(task.id)

    def show_blind(self, since: Instant | None) -> None:
        """Show since when Py Pinger has been blind, or that it sees."""
        self._blind = since

    def count_undelivered(self, change: int) -> None:
        """Change the number of pending deliveries."""
        self._undelivered += change

    def count_dead(self, change: int) -> None:
        """Change the number of dead deliveries."""
        self._dead += change

    def count_none(self) -> None:
        """This instance owns no channel."""
        self._undelivered = self._dead = 0

    def entries(self) -> Sequence[Entry]:
        """See :meth:`pypinger.ports.showing.TaskBoard.entries`."""
        return tuple(self._entries.values())

    def by_id(self, task_id: str) -> Entry | None:
        """See :meth:`pypinger.ports.showing.TaskBoard.by_id`."""
        return self._entries.get(task_id)

    def by_key(self, key: str) -> Entry | None:
        """See :meth:`pypinger.ports.showing.TaskBoard.by_key`."""
        task_id = self._ids.get(key)
        return None if task_id is None else self._entries[task_id]

    def last_answer(self, task_id: str) -> LastAnswer | None:
        """See :meth:`pypinger.ports.showing.TaskBoard.last_answer`."""
        return self._answers.get(task_id)

    def daemon(self) -> DaemonState:
        """See :meth:`pypinger.ports.showing.TaskBoard.daemon`."""
        now, members = self._now(), self._members
        others = [] if members is None else [each.health for each in members.others]
        dead_channels = set(self._dead_channels()).union(*(each.dead_channels for each in others))
        frequency = self._paces.frequency
        troubles = [words for source in self._sources if (words := source()) is not None]
        return DaemonState(
            status=Status.ERROR if troubles else Status.OK,
            explanation="; ".join(troubles) or self._summary(now),
            started=self._started,
            blind=self._blind if members is None or members.away is None else members.away,
            undelivered=self._undelivered + sum(each.undelivered for each in others),
            dead=self._dead + sum(each.dead for each in others),
            ready=not self._unchecked and (members is None or members.present),
            # Where nothing is fetched, no check can be overdue.
            lastrun=now if frequency is None else self._lastrun,
            frequency=max(1.0, frequency or 0.0),
            dead_channels=tuple(sorted(dead_channels)),
            troubles=tuple(troubles),
            ini=self._ini,
            sharing=None if members is None else members.shown(),
        )

    @property
    def checked_within(self) -> Seconds | None:
        """Within how many seconds a check is made here; None where nothing is fetched."""
        return self._paces.within

    def _summary(self, now: Instant) -> str:
        count = len(self._entries)
        tasks = "1 task" if count == 1 else f"{count} tasks"
        if self._members is not None:
            tasks = f"{len(self._own)} of {tasks}"
        waiting = f", {len(self._unchecked)} still to be checked" if self._unchecked else ""
        return f"watching {tasks}{waiting}; running for {span(now - self._started)}"

    def watch(self, changed: Callable[[Entry], None]) -> Callable[[], None]:
        """See :meth:`pypinger.ports.showing.TaskBoard.watch`."""
        key = object()
        self._watchers[key] = changed

        def stop() -> None:
            self._watchers.pop(key, None)

        return stop
