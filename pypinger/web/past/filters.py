"""
The filters of ``/incidents`` and ``/deliveries``, as a query asks for them.

An empty value counts as absent, since a form sends all of its fields.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from math import isfinite
from typing import TypeVar

from twisted.internet.task import Cooperator

from pypinger.domain.dates import parse_date_time
from pypinger.domain.durations import parse_duration
from pypinger.domain.identity import label_of, name_of, url_of
from pypinger.domain.kinds import Kind, Status, status_of
from pypinger.domain.model import Event, Instant, Outcome
from pypinger.domain.selector import SelectorError, Subject, parse_typed, subject_of
from pypinger.domain.times import DAY
from pypinger.domain.url import task_id
from pypinger.ports.history import DeliveryFilter, History, IncidentFilter
from pypinger.ports.showing import TaskBoard
from pypinger.web.json.query import BadQuery
from pypinger.web.serving.slicing import in_slices

T = TypeVar("T")

#: The filters of each page: the names of their parameters, in the order of the form.
INCIDENT_FILTERS = ("task", "kind", "state", "since", "until")
DELIVERY_FILTERS = ("task", "event", "channel", "outcome", "since", "until")

#: Characters of a filter that count.
MAX_TEXT = 500

#: The kinds that incidents have.
KINDS = tuple(kind for kind in Kind if status_of(kind) is Status.ERROR)

#: The events of alerts that the daemon itself sends.
EVENTS = tuple(event for event in Event if event is not Event.TEST)

STATES: dict[str, bool] = {"open": True, "closed": False}

OUTCOMES: dict[str, Outcome] = {
    "pending": Outcome.RETRY,
    "dead": Outcome.DEAD,
    "sent": Outcome.SENT,
    "replaced": Outcome.REPLACED,
}

#: Tasks in a slice: a millisecond or two.
_SLICE = 200

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")


class FilterReader:
    """
    Reads filters.

    :param cooperator: shares out the time while a selector looks at many tasks.
    """

    def __init__(self, board: TaskBoard, cooperator: Cooperator) -> None:
        self._board = board
        self._cooperator = cooperator

    async def incidents(self, values: Mapping[str, str], history: History, now: Instant) -> IncidentFilter:
        """
        Return the filter that a query asks for.

        :raises BadQuery: a value is invalid.
        :raises StoreError: the history cannot be read.
        """
        state = values.get("state")
        return IncidentFilter(
            tasks=await self._tasks(values.get("task"), history),
            kind=_one_of("kind", values.get("kind"), {kind.value: kind for kind in KINDS}),
            open=_one_of("state", state, STATES),
            since=_moment("since", values.get("since"), now),
            until=_moment("until", values.get("until"), now),
        )

    async def deliveries(self, values: Mapping[str, str], history: History, now: Instant) -> DeliveryFilter:
        """Return the filter that a query asks for; see :meth:`incidents`."""
        return DeliveryFilter(
            tasks=await self._tasks(values.get("task"), history),
            event=_one_of("event", values.get("event"), {event.value: event for event in EVENTS}),
            channel=values.get("channel") or None,
            outcome=_one_of("outcome", values.get("outcome"), OUTCOMES),
            since=_moment("since", values.get("since"), now),
            until=_moment("until", values.get("until"), now),
        )

    async def _tasks(self, text: str | None, history: History) -> frozenset[str] | None:
        """The keys of the tasks that a selector matches, those that are no longer configured included."""
        text = (text or "").strip()[:MAX_TEXT]
        if not text:
            return None
        entries = self._board.entries()
        subjects = await in_slices(lambda each: subject_of(each.task, each.state), entries, self._cooperator, _SLICE)
        try:
            selector = parse_typed(text, subjects)
        except SelectorError as error:
            raise BadQuery(f"task: {error}") from None
        keys = [entry.task.key for entry in entries]
        known = set(keys)
        removed = [key for key in await history.tasks() if key not in known]
        subjects += [_removed(key) for key in removed]
        hits = await in_slices(selector.matches, subjects, self._cooperator, _SLICE)
        return frozenset(key for key, hit in zip(keys + removed, hits, strict=True) if hit)


def _removed(key: str) -> Subject:
    shown, name = label_of(key), name_of(key)
    aliases = (shown, shown.partition("://")[2]) if shown else ()
    return Subject(name=url_of(key) or name, url=url_of(key) or "", id=task_id(key), tagged=False, aliases=aliases)


def _one_of(name: str, text: str | None, known: Mapping[str, T]) -> T | None:
    if not text:
        return None
    if text not in known:
        raise BadQuery(f"{name} must be one of {', '.join(known)}")
    return known[text]


def _moment(name: str, text: str | None, now: Instant) -> Instant | None:
    """A time: a date, a date and time in UTC unless it says otherwise, or how long ago."""
    text = (text or "").strip()
    if not text:
        return None
    try:
        ago = parse_duration(text)
    except ValueError:
        pass
    else:
        if isfinite(ago) and text[-1].isalpha():
            # Nothing is older than the epoch, and the store can only compare with moments of 64 bits.
            return max(0.0, now - ago)
    if _DAY.fullmatch(text):
        start = parse_date_time(f"{text}T00:00:00Z")
        if start is not None:
            # People mean the whole day.
            return start + DAY if name == "until" else start
    instant = parse_date_time(text)
    if instant is None:
        raise BadQuery(f"{name} must be a date, a date and time in UTC, or how long ago: 2026-03-01, 24h or 7d")
    return instant
