"""Which hosts the tasks reach, for the question whose fault a silence is."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from sys import intern

from pypinger.domain.model import Contact, Observation, Task
from pypinger.domain.url import UrlError, parse


def _host(task: Task) -> str:
    """Return the host of a task's URL as contacts name it; empty without one."""
    try:
        return intern(parse(task.url or "").host)
    except UrlError:
        return ""


class Hosts:
    """Which task to ask to reach a host, and which host a task reaches."""

    def __init__(self) -> None:
        self._tasks: dict[str, Task] = {}
        self._own: dict[str, str] = {}
        self._by_host: dict[str, str] = {}
        # Where the host that was reached is not that of the URL: behind a proxy or a redirect.
        self._reached: dict[str, str] = {}
        self._through: dict[str, str] = {}

    def update(self, tasks: Sequence[Task]) -> None:
        """Set the tasks; those without a URL reach no host."""
        self._tasks = {task.id: task for task in tasks if task.url is not None}
        self._own = {task.id: _host(task) for task in self._tasks.values()}
        self._by_host = {host: task_id for task_id, host in self._own.items()}
        self._reached = {task_id: host for task_id, host in self._reached.items() if task_id in self._tasks}
        self._through = {host: task_id for host, task_id in self._through.items() if task_id in self._tasks}

    def __len__(self) -> int:
        return len(self._tasks)

    def some(self, count: int) -> list[Task]:
        """Tasks of so many hosts, chosen at random."""
        found = random.sample(list(self._by_host.values()), min(count, len(self._by_host)))
        return [self._tasks[task_id] for task_id in found]

    def contact(self, task: Task, observation: Observation) -> Contact:
        """What the exchange shows about its host; without a contact, that of the URL."""
        contact = observation.contact or Contact(self.of(task))
        if contact.host != self._own.get(task.id):
            self._reached[task.id] = contact.host
            self._through[contact.host] = task.id
        elif self._reached:
            self._reached.pop(task.id, None)
        return contact

    def of(self, task: Task) -> str:
        """The host that a task reached last, else that of its URL."""
        return self._reached.get(task.id) or self._own.get(task.id, "")

    def task(self, names: Iterable[str]) -> Task | None:
        """A task that reaches the host with one of these names."""
        for name in names:
            task_id = self._through.get(name) or self._by_host.get(name)
            if task_id is not None:
                return self._tasks[task_id]
        return None
