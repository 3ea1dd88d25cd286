"""The queries for pages of incidents and deliveries, with their filters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from pypinger.domain.model import Outcome
from pypinger.ports.history import DeliveryFilter, IncidentFilter
from pypinger.store.accounting import millis
from pypinger.store.rows import text
from pypinger.store.sources import Dialect

_NEWEST = 1 << 62

_INCIDENTS = """
SELECT incident.id, url, started, opened, ended, kinds, explanation, alerts FROM incident JOIN task ON task.id = task
WHERE {} ORDER BY incident.id DESC LIMIT ?
"""

_DELIVERIES = """
SELECT delivery.id, url, body, channel, attempts, words, outcome, settled FROM delivery
LEFT JOIN task ON task.id = task WHERE {} ORDER BY delivery.id DESC LIMIT ?
"""

_OF_ONE_TASK = "task = (SELECT id FROM task WHERE url = ?)"
_OF_TASKS = "task IN (SELECT id FROM task WHERE url IN (SELECT value FROM {}))"
_OF_KIND = "EXISTS (SELECT 1 FROM {} WHERE value = ?)"


class Query(NamedTuple):
    """A query and its values."""

    sql: str
    values: Sequence[object]


def incidents(dialect: Dialect, task: str | None, before: int | None, limit: int, which: IncidentFilter) -> Query:
    """Return the query for a page of incidents: see :meth:`pypinger.ports.history.History.incidents`."""
    terms = _Terms(dialect, "incident.id", task, before, which.tasks)
    if which.kind is not None:
        terms.add(_OF_KIND.format(dialect.elements.format("kinds")), which.kind.value)
    if which.open is not None:
        terms.add(f"ended IS {'' if which.open else 'NOT '}NULL")
    if which.since is not None:
        terms.add("opened >= ?", millis(which.since))
    if which.until is not None:
        terms.add("opened < ?", millis(which.until))
    return terms.query(_INCIDENTS, limit)


def deliveries(dialect: Dialect, task: str | None, before: int | None, limit: int, which: DeliveryFilter) -> Query:
    """Return the query for a page of deliveries: see :meth:`pypinger.ports.history.History.deliveries`."""
    terms = _Terms(dialect, "delivery.id", task, before, which.tasks)
    if which.event is not None:
        terms.add(f"{dialect.event} = ?", which.event.value)
    if which.channel is not None:
        terms.add("channel = ?", text(which.channel))
    if which.outcome is Outcome.RETRY:
        terms.add("outcome IS NULL")
    elif which.outcome is not None:
        # A literal, so that the index of the dead ones can be used.
        terms.add(f"outcome = '{which.outcome.value}'")
    if which.since is not None:
        terms.add("at >= ?", millis(which.since))
    if which.until is not None:
        terms.add("at < ?", millis(which.until))
    return terms.query(_DELIVERIES, limit)


class _Terms:
    """The conditions of a query."""

    def __init__(
        self, dialect: Dialect, key: str, task: str | None, before: int | None, tasks: frozenset[str] | None
    ) -> None:
        self._terms = [f"{key} < ?"]
        self._values: list[object] = [_NEWEST if before is None else before]
        if task is not None:
            self.add(_OF_ONE_TASK, text(task))
        if tasks is not None and len(tasks) == 1:
            self.add(_OF_ONE_TASK, *map(text, tasks))
        elif tasks is not None:
            self.add(
                _OF_TASKS.format(dialect.elements.format("?")), msgspec.json.encode(sorted(map(text, tasks))).decode()
            )

    def add(self, term: str, *values: object) -> None:
        """Add a condition."""
        self._terms.append(term)
        self._values += values

    def query(self, pattern: str, limit: int) -> Query:
        """Return the query with all conditions."""
        return Query(pattern.format(" AND ".join(self._terms)), [*self._values, limit])
