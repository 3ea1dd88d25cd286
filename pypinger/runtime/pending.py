"""
The pending deliveries of one channel: their order, and which of them go into one message.

The time is a parameter. :mod:`~pypinger.runtime.queue` sends and settles.

Note [Storms]
~~~~~~~~~~~~~
When an alert is accepted, :mod:`pypinger.domain.grouping` decides once whether it is sent alone or belongs to a group.
A member of a group is held until the group's window closes. When a member is taken, all members that are due are taken
with it, as one message.

A group's message may lack members. A member whose task has an earlier unsettled alert stays behind, because the alerts
of one task keep their order, and follows with other members as soon as it may. Members that were sent together and
failed wait equally long, and so stay together; each is settled, and given up, separately. After a restart pending
deliveries are accepted anew, and so grouped anew. At a stop nothing is held.

Where more than two messages of one event would leave within ``group_wait``, those that are due leave as one: the first
window of an origin and that of its server may close together, and messages pile up while a channel is down or slow.

The windows are times on the reactor's clock, so a step of the wall clock does not change them.

Note [What gives way]
~~~~~~~~~~~~~~~~~~~~~
A reminder that still waits is dropped when anything newer of its task comes. A ``changed`` that still waits is replaced
by the next one, and both are dropped if the kind is again what was told last (contract, section 4).

The reminder by which a channel joins an incident gives way like any other. What takes its place is then the channel's
first alert of the incident. If that is the end, and no attempt was made to send the reminder, both are dropped: a
channel gets the end of an incident only if it got an alert of it. After an attempt it may have got one, so the end is
sent.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Collection, Iterator
from heapq import heapify, heappop, heappush
from typing import TypeAlias

from msgspec.structs import replace

from pypinger.domain.grouping import GROUPED, MOST_MESSAGES, AlertGroup, Grouping, Place
from pypinger.domain.model import Delivery, Event, Seconds
from pypinger.ports.notifying import Notifier

#: What one message holds: a group, or the first alert of the task with this id.
Message: TypeAlias = AlertGroup | str


class Waiting:
    """
    A pending delivery. Times are in seconds on the reactor's clock.

    :ivar accepted: when it was queued.
    :ivar age: the age of the alert at that time, in seconds.
    :ivar rest: the earliest time for the next attempt.
    :ivar group: the group it belongs to, or None.
    :ivar notifier: the one that was tried last, if any was.
    """

    __slots__ = ("accepted", "age", "delivery", "group", "notifier", "rest")

    def __init__(
        self, delivery: Delivery, accepted: Seconds, age: Seconds, rest: Seconds, group: AlertGroup | None
    ) -> None:
        self.delivery = delivery
        self.accepted = accepted
        self.age = age
        self.rest = rest
        self.group = group
        self.notifier: Notifier | None = None

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
        self._wait = group_wait
        self._grouping = Grouping(group_wait)
        # When the latest messages of each event were taken.
        self._left: dict[Event, deque[Seconds]] = {}
        # Each task's alerts in order. The first of each is in the heap by (when, number) until it is due, then in its
        # message; those that were taken are in neither.
        self._queues: dict[str, deque[Waiting]] = {}
        self._heap: list[tuple[Seconds, int, str]] = []
        self._due: OrderedDict[Message, list[str]] = OrderedDict()
        # Reminders that are due. They bring no news and may be too many for the service, so they go last.
        self._patient: OrderedDict[Message, list[str]] = OrderedDict()
        self._number = 0
        self._taken: set[Waiting] = set()
        self._holding = True

    def __len__(self) -> int:
        return sum(map(len, self._queues.values()))

    def has(self, task: str) -> bool:
        """Whether a delivery of the task is pending, taken or not."""
        return task in self._queues

    def first(self) -> Iterator[Waiting]:
        """The first delivery of each task."""
        return (queue[0] for queue in self._queues.values())

    def accept(
        self, delivery: Delivery, now: Seconds, *, age: Seconds, wait: Seconds, storms: Collection[Place] = ()
    ) -> list[Delivery]:
        """
        Add a delivery: see Note [What gives way].

        :param age: the age of its alert in seconds.
        :param wait: seconds before the first attempt.
        :param storms: where a storm is open.
        :returns: the deliveries that gave way, perhaps this one among them.
        """
        alert = delivery.alert
        queue = self._queues.setdefault(alert.task, deque())
        gone: list[Delivery] = []
        rest = now + wait
        last = queue[-1] if queue and queue[-1] not in self._taken else None
        if last is not None and alert.task:
            if last.delivery.alert.event is Event.REMINDER:
                # The pause of a replaced reminder continues.
                rest = max(rest, last.rest) if alert.event is Event.REMINDER else rest
                gone.append(self._drop(last, now))
                if last.delivery.alert.joining and last.delivery.alert.started == alert.started:
                    if alert.event is not Event.RECOVERED:
                        delivery = replace(delivery, alert=replace(alert, joining=True))
                    elif not last.delivery.attempts:
                        self._tidy(alert.task)
                        return [*gone, delivery]
            elif last.delivery.alert.event is Event.CHANGED and alert.event is Event.CHANGED:
                before, joining = last.delivery.alert.before, last.delivery.alert.joining
                gone.append(self._drop(last, now))
                if joining:
                    before = alert.before
                elif before is alert.kind:
                    self._tidy(alert.task)
                    return [*gone, delivery]
                delivery = replace(delivery, alert=replace(alert, before=before, joining=joining))
        waiting = Waiting(delivery, now, age, rest, self._grouping.place(alert, now, storms))
        queue.append(waiting)
        if len(queue) == 1:
            self._push(waiting, now)
        return gone

    def expect(self, place: Place, now: Seconds, until: Seconds) -> None:
        """Hold the groups of a place until then, or until :meth:`settled`."""
        self._grouping.expect(place, now, until)
        self._reschedule()

    def settled(self, place: Place, now: Seconds) -> None:
        """No more alerts are expected from a place."""
        self._grouping.settled(place, now)
        self._reschedule()

    def calmed(self, place: Place, now: Seconds) -> None:
        """The storm of a place is over."""
        self._grouping.calmed(place, now)
        self._reschedule()

    def due(self) -> Seconds | None:
        """When the next message may be sent; None if nothing is pending."""
        if self._due or self._patient:
            return 0.0
        return self._heap[0][0] if self._heap else None

    def take(self, now: Seconds) -> list[Waiting]:
        """
        Take the next message, which must be due; then :meth:`remove` or :meth:`postpone` each of its deliveries.

        Reminders come last.

        :returns: one delivery or a group, with at most one delivery of each task.
        """
        while self._heap and self._heap[0][0] <= now:
            task = heappop(self._heap)[2]
            first = self._queues[task][0]
            messages = self._patient if first.delivery.alert.event is Event.REMINDER else self._due
            messages.setdefault(first.message, []).append(task)
        _, tasks = (self._due or self._patient).popitem(last=False)
        tasks += self._crowd(self._queues[tasks[0]][0].delivery.alert.event, now)
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

        :returns: False if it was dropped: a reminder gives way to what came while it was under way.
        """
        queue = self._queues[waiting.delivery.alert.task]
        if waiting.delivery.alert.event is Event.REMINDER and len(queue) > 1:
            if queue[1].delivery.alert.event is Event.REMINDER:
                queue[1].rest = max(queue[1].rest, rest)
            self.remove(waiting, now)
            return False
        self._taken.discard(waiting)
        waiting.rest = rest
        self._push(waiting, now)
        return True

    def regroup(self, group_wait: Seconds) -> None:
        """Change the length of new windows; pending deliveries keep their group."""
        self._wait = group_wait
        self._grouping = Grouping(group_wait)

    def waiting(self) -> list[Delivery]:
        """All deliveries that were not taken, each task's in order."""
        everything = (waiting for queue in self._queues.values() for waiting in queue)
        return [waiting.delivery for waiting in everything if waiting not in self._taken]

    def release(self) -> None:
        """Stop holding deliveries for their group."""
        self._holding = False
        self._reschedule()

    def _drop(self, waiting: Waiting, now: Seconds) -> Delivery:
        """Remove a task's last delivery, which was not taken."""
        task = waiting.delivery.alert.task
        queue = self._queues[task]
        queue.pop()
        if not queue:
            # It was first, and so is in the heap or in a message that is due.
            for messages in (self._due, self._patient):
                tasks = messages.get(waiting.message)
                if tasks is not None and task in tasks:
                    tasks.remove(task)
                    if not tasks:
                        del messages[waiting.message]
                    return waiting.delivery
            self._heap = [each for each in self._heap if each[2] != task]
            heapify(self._heap)
        return waiting.delivery

    def _crowd(self, event: Event, now: Seconds) -> list[str]:
        """Return the tasks of the other due messages of this event, and remove these, if there are too many."""
        if self._wait <= 0 or event not in GROUPED:
            return []
        recent = self._left.setdefault(event, deque(maxlen=MOST_MESSAGES))
        others = [
            message for message, tasks in self._due.items() if self._queues[tasks[0]][0].delivery.alert.event is event
        ]
        count = 1 + len(others) + sum(time >= now - self._wait for time in recent)
        recent.append(now)
        if count <= MOST_MESSAGES:
            return []
        return [task for message in others for task in self._due.pop(message)]

    def _tidy(self, task: str) -> None:
        if not self._queues[task]:
            del self._queues[task]

    def _reschedule(self) -> None:
        self._heap = [(self._time(self._queues[task][0]), number, task) for _, number, task in self._heap]
        heapify(self._heap)

    def _time(self, waiting: Waiting) -> Seconds:
        if waiting.group is None or not self._holding:
            return waiting.rest
        return max(waiting.rest, waiting.group.closes)

    def _push(self, waiting: Waiting, now: Seconds) -> None:
        self._number += 1
        heappush(self._heap, (max(now, self._time(waiting)), self._number, waiting.delivery.alert.task))
