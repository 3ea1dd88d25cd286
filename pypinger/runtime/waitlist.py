"""
What waits in a channel's lane: in which order, and in which message each delivery goes.

It knows the time only as it is told. Sending and settling is the :mod:`~pypinger.runtime.lane`'s business.

Note [Storms]
~~~~~~~~~~~~~
Which alerts may go out together is decided once, when they are accepted, by :mod:`pypinger.domain.grouping`: an alert
goes by itself, or it belongs to a group and is held until the group's window closes. From then on nothing is special
about a group but this: when a member is taken, all those that are due are taken with it, as one message.

A group's message therefore may lack members. One whose task has an earlier alert that is not settled yet stays behind,
for the alerts of one task keep their order, and follows with others of its kind as soon as it may. Members that went
together and failed wait equally long, and so stay together; each is settled by itself, and given up by itself when its
time is over. After a restart what is pending is accepted anew, and so grouped anew. At a stop nothing is held any more.

The windows are times on the reactor's clock, so that a step of the wall clock neither prolongs nor cuts them.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator
from heapq import heapify, heappop, heappush
from typing import TypeAlias

from pypinger.domain.grouping import Group, Grouping
from pypinger.domain.model import Delivery, Event, Seconds

#: What goes in one message: a group, or the first alert of the task with this id.
Message: TypeAlias = Group | str


class Waiting:
    """
    A delivery in a lane. Times are in seconds on the reactor's clock.

    :ivar accepted: when the lane took it.
    :ivar age: how old the alert was then, in seconds.
    :ivar rest: until when it must not be tried.
    :ivar group: the group that it goes with, or None.
    """

    __slots__ = ("accepted", "age", "delivery", "group", "rest")

    def __init__(self, delivery: Delivery, accepted: Seconds, age: Seconds, rest: Seconds, group: Group | None) -> None:
        self.delivery = delivery
        self.accepted = accepted
        self.age = age
        self.rest = rest
        self.group = group

    @property
    def message(self) -> Message:
        """What it goes in."""
        return self.group or self.delivery.alert.task


class Waitlist:
    """
    The deliveries of one lane: see Note [Storms]. Times are in seconds on the reactor's clock.

    :param group_wait: for how many seconds followers are gathered (contract, section 4); 0: each goes by itself.
    """

    def __init__(self, group_wait: Seconds) -> None:
        self._grouping = Grouping(group_wait)
        # Each task's alerts in order. The first of each is in the heap by (when, number) until it is due, then in
        # the message that it goes in, but for those that were taken.
        self._queues: dict[str, deque[Waiting]] = {}
        self._heap: list[tuple[Seconds, int, str]] = []
        self._due: OrderedDict[Message, list[str]] = OrderedDict()
        # Reminders that are due, by task: they tell nothing new, and there may be more of them than a service takes.
        self._patient: OrderedDict[str, None] = OrderedDict()
        self._number = 0
        self._taken: set[Waiting] = set()
        self._holding = True

    def __len__(self) -> int:
        return sum(map(len, self._queues.values()))

    def first(self) -> Iterator[Waiting]:
        """Each task's first one."""
        return (queue[0] for queue in self._queues.values())

    def accept(self, delivery: Delivery, now: Seconds, *, age: Seconds, wait: Seconds) -> Delivery | None:
        """
        Add a delivery.

        :param age: how old its alert is, in seconds.
        :param wait: for how many seconds it must not be tried.
        :returns: the older reminder that it replaces, if there is one that still waits.
        """
        alert = delivery.alert
        waiting = Waiting(delivery, now, age, now + wait, self._grouping.place(alert, now))
        queue = self._queues.setdefault(alert.task, deque())
        older = self._reminder(queue) if alert.event is Event.REMINDER else None
        if older is not None:
            # Its pause goes on.
            waiting.rest = max(waiting.rest, older.rest)
            if older is queue[-1]:
                queue[-1] = waiting
                return older.delivery
            self._drop(older, now)
        queue.append(waiting)
        if len(queue) == 1:
            self._push(waiting, now)
        elif alert.task in self._patient:
            # Something new waits behind the reminder.
            del self._patient[alert.task]
            self._due[alert.task] = [alert.task]
        return None if older is None else older.delivery

    def due(self) -> Seconds | None:
        """When the next message may go, or None if nothing waits."""
        if self._due or self._patient:
            return 0.0
        return self._heap[0][0] if self._heap else None

    def take(self, now: Seconds) -> list[Waiting]:
        """
        Take the next message, which must be due; :meth:`remove` or :meth:`postpone` each of its deliveries.

        Reminders that nothing waits behind come after all others, so that news never waits for a crowd of them.

        :returns: one delivery, or several that go together; at most one of a task.
        """
        while self._heap and self._heap[0][0] <= now:
            task = heappop(self._heap)[2]
            queue = self._queues[task]
            if len(queue) == 1 and queue[0].delivery.alert.event is Event.REMINDER:
                self._patient[task] = None
            else:
                self._due.setdefault(queue[0].message, []).append(task)
        if self._due:
            _, tasks = self._due.popitem(last=False)
        else:
            tasks = [self._patient.popitem(last=False)[0]]
        taken = [self._queues[task][0] for task in tasks]
        self._taken.update(taken)
        return taken

    def remove(self, waiting: Waiting, now: Seconds) -> None:
        """One that was taken is sent or given up: its task's next one takes its place."""
        self._taken.discard(waiting)
        task = waiting.delivery.alert.task
        queue = self._queues[task]
        queue.popleft()
        if queue:
            self._push(queue[0], now)
        else:
            del self._queues[task]

    def postpone(self, waiting: Waiting, rest: Seconds, now: Seconds) -> bool:
        """
        One that was taken stays, and must not be tried until `rest`.

        :returns: whether it stays: a reminder does not if another one has come while it was under way.
        """
        if waiting.delivery.alert.event is Event.REMINDER:
            newer = self._reminder(self._queues[waiting.delivery.alert.task])
            if newer is not None:
                newer.rest = max(newer.rest, rest)
                self.remove(waiting, now)
                return False
        self._taken.discard(waiting)
        waiting.rest = rest
        self._push(waiting, now)
        return True

    def regroup(self, group_wait: Seconds) -> None:
        """Gather for so many seconds from now on; what waits keeps its group."""
        self._grouping = Grouping(group_wait)

    def waiting(self) -> list[Delivery]:
        """Everything that waits and was not taken, each task's in its order."""
        everything = (waiting for queue in self._queues.values() for waiting in queue)
        return [waiting.delivery for waiting in everything if waiting not in self._taken]

    def release(self) -> None:
        """Hold nothing any more for the sake of its group."""
        self._holding = False
        self._heap = [(self._queues[task][0].rest, number, task) for _, number, task in self._heap]
        heapify(self._heap)

    def _reminder(self, queue: Iterable[Waiting]) -> Waiting | None:
        """The reminder of a task that waits and was not taken; there is never more than one."""
        waiting = (each for each in queue if each.delivery.alert.event is Event.REMINDER)
        return next((each for each in waiting if each not in self._taken), None)

    def _drop(self, waiting: Waiting, now: Seconds) -> None:
        """A reminder that others wait behind goes, from wherever it is."""
        task = waiting.delivery.alert.task
        queue = self._queues[task]
        first = queue[0] is waiting
        queue.remove(waiting)
        if first:
            if self._due.pop(task, None) is None:
                self._heap = [each for each in self._heap if each[2] != task]
                heapify(self._heap)
            self._push(queue[0], now)

    def _push(self, waiting: Waiting, now: Seconds) -> None:
        self._number += 1
        due = waiting.rest if waiting.group is None or not self._holding else max(waiting.rest, waiting.group.closes)
        heappush(self._heap, (max(now, due), self._number, waiting.delivery.alert.task))
