"""
The pending deliveries of one channel: their order, and which of them go into one message.

This module is told the time. Sending and settling is left to :mod:`~pypinger.runtime.queue`.

Note [Storms]
~~~~~~~~~~~~~
When an alert is accepted, :mod:`pypinger.domain.grouping` decides once whether it is sent alone or belongs to a group.
A member of a group is held until the group's window closes. When a member is taken, all members that are due are taken
with it, as one message.

A group's message may lack members. A member whose task has an earlier unsettled alert stays behind, because the alerts
of one task keep their order, and follows with other members as soon as it may. Members that were sent together and
failed wait equally long, and so stay together; each is settled, and given up, separately. After a restart pending
deliveries are accepted anew, and so grouped anew. At a stop nothing is held.

The windows are times on the reactor's clock, so a step of the wall clock does not change them.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator
from heapq import heapify, heappop, heappush
from typing import TypeAlias

from pypinger.domain.grouping import AlertGroup, Grouping
from pypinger.domain.model import Delivery, Event, Seconds

#: What one message holds: a group, or the first alert of the task with this id.
Message: TypeAlias = AlertGroup | str


class Waiting:
    """
    A pending delivery. Times are in seconds on the reactor's clock.

    :ivar accepted: when it was queued.
    :ivar age: the age of the alert at that time, in seconds.
    :ivar rest: the earliest time for the next attempt.
    :ivar group: the group it belongs to, or None.
    """

    __slots__ = ("accepted", "age", "delivery", "group", "rest")

    def __init__(
        self, delivery: Delivery, accepted: Seconds, age: Seconds, rest: Seconds, group: AlertGroup | None
    ) -> None:
        self.delivery = delivery
        self.accepted = accepted
        self.age = age
        self.rest = rest
        self.group = group

    @property
    def message(self) -> Message:
        """The message this delivery belongs to."""
        return self.group or self.delivery.alert.task


class Pending:
    """
    The deliveries of one channel: see Note [Storms]. Times are in seconds on the reactor's clock.

    :param group_wait: seconds during which followers are gathered (contract, section 4); 0 sends each alone.
    """

    def __init__(self, group_wait: Seconds) -> None:
        self._grouping = Grouping(group_wait)
        # Each task's alerts in order. The first of each is in the heap by (when, number) until it is due, then in its
        # message; those that were taken are in neither.
        self._queues: dict[str, deque[Waiting]] = {}
        self._heap: list[tuple[Seconds, int, str]] = []
        self._due: OrderedDict[Message, list[str]] = OrderedDict()
        # Reminders that are due, by task. They bring no news and may be too many for the service, so they go last.
        self._patient: OrderedDict[str, None] = OrderedDict()
        self._number = 0
        self._taken: set[Waiting] = set()
        self._holding = True

    def __len__(self) -> int:
        return sum(map(len, self._queues.values()))

    def first(self) -> Iterator[Waiting]:
        """The first delivery of each task."""
        return (queue[0] for queue in self._queues.values())

    def accept(self, delivery: Delivery, now: Seconds, *, age: Seconds, wait: Seconds) -> Delivery | None:
        """
        Add a delivery.

        :param age: the age of its alert in seconds.
        :param wait: seconds before the first attempt.
        :returns: the pending reminder that it replaces, if there is one.
        """
        alert = delivery.alert
        waiting = Waiting(delivery, now, age, now + wait, self._grouping.place(alert, now))
        queue = self._queues.setdefault(alert.task, deque())
        older = self._reminder(queue) if alert.event is Event.REMINDER else None
        if older is not None:
            # The pause of the replaced reminder continues.
            waiting.rest = max(waiting.rest, older.rest)
            if older is queue[-1]:
                queue[-1] = waiting
                return older.delivery
            self._drop(older, now)
        queue.append(waiting)
        if len(queue) == 1:
            self._push(waiting, now)
        elif alert.task in self._patient:
            # News waits behind the reminder, so the reminder is urgent now.
            del self._patient[alert.task]
            self._due[alert.task] = [alert.task]
        return None if older is None else older.delivery

    def due(self) -> Seconds | None:
        """When the next message may be sent; None if nothing is pending."""
        if self._due or self._patient:
            return 0.0
        return self._heap[0][0] if self._heap else None

    def take(self, now: Seconds) -> list[Waiting]:
        """
        Take the next message, which must be due; then :meth:`remove` or :meth:`postpone` each of its deliveries.

        Reminders that hold up no news come last.

        :returns: one delivery or a group, with at most one delivery of each task.
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
        """Remove a taken delivery that was sent or given up; the task's next delivery takes its place."""
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
        Put a taken delivery back, not to be attempted before `rest`.

        :returns: False if it was dropped: a reminder gives way to a newer one that came while it was under way.
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
        """Change the length of new windows; pending deliveries keep their group."""
        self._grouping = Grouping(group_wait)

    def waiting(self) -> list[Delivery]:
        """All deliveries that were not taken, each task's in order."""
        everything = (waiting for queue in self._queues.values() for waiting in queue)
        return [waiting.delivery for waiting in everything if waiting not in self._taken]

    def release(self) -> None:
        """Stop holding deliveries for their group."""
        self._holding = False
        self._heap = [(self._queues[task][0].rest, number, task) for _, number, task in self._heap]
        heapify(self._heap)

    def _reminder(self, queue: Iterable[Waiting]) -> Waiting | None:
        """The task's pending reminder that was not taken; there is at most one."""
        waiting = (each for each in queue if each.delivery.alert.event is Event.REMINDER)
        return next((each for each in waiting if each not in self._taken), None)

    def _drop(self, waiting: Waiting, now: Seconds) -> None:
        """Remove a reminder that holds up other deliveries."""
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
