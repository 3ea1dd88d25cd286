"""
The expected result: every alert that the tasks' scripts call for, once and in order, and no other.

The scripts decide, not the store: see Note [Scripts] in :mod:`tests.crash.scripts`. The store's records are compared
with them, too.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing
from itertools import pairwise
from typing import NamedTuple

import msgspec

from pypinger.domain.url import task_id
from tests.crash.services import Receipt, WebApi
from tests.crash.world import World, read


class Row(NamedTuple):
    """A delivery in the store."""

    alert: str
    channel: str
    outcome: str | None
    event: str
    task: str
    explanation: str
    started: float | None


class Account:
    """
    What became of a world's alerts.

    :ivar wrong: every violation of the promise, in words.
    """

    def __init__(self, world: World) -> None:
        self.wrong: list[str] = []
        self.lost = self.disordered = self.repeats = self.transitions = self.replies = 0
        self.world = world
        self._load()
        self._check_scripts()
        self._check_deliveries()
        for service in world.services:
            receipts = [receipt for receipt in service.receipts if receipt.taken]
            self._check_order(service.channel, receipts)
            self._check_repeats(receipts)
            if isinstance(service, WebApi):
                self._check_threads(receipts)

    def _load(self) -> None:
        with closing(read(self.world.database)) as connection:
            self.rows = [
                Row(
                    alert,
                    channel,
                    outcome,
                    body["event"],
                    body.get("task", ""),
                    body["explanation"],
                    body.get("started"),
                )
                for alert, channel, outcome, body in (
                    (*row, msgspec.json.decode(text))
                    for *row, text in connection.execute(
                        "SELECT alert, channel, outcome, body FROM delivery ORDER BY id"
                    )
                )
            ]
            self.verdicts: dict[str, list[str]] = defaultdict(list)
            for url, kind in connection.execute(
                "SELECT url, kind FROM verdict JOIN task ON task.id = verdict.task ORDER BY verdict.id"
            ):
                self.verdicts[url].append(kind)
            self.incidents: dict[str, list[tuple[int | None, int, int]]] = defaultdict(list)
            for url, *incident in connection.execute(
                "SELECT url, ended, alerts, (SELECT count(DISTINCT alert) FROM delivery WHERE incident = incident.id)"
                " FROM incident JOIN task ON task.id = incident.task ORDER BY incident.id"
            ):
                self.incidents[url].append(tuple(incident))
        self.by_task: dict[tuple[str, str], list[Row]] = defaultdict(list)
        for row in self.rows:
            self.by_task[row.channel, row.task].append(row)

    def _check_scripts(self) -> None:
        """Each task's alerts and records are those of its script."""
        for url, script in self.world.scripts.items():
            self.transitions += len(script.states)
            if self.verdicts[url] != script.states:
                self._say(f"{url}: the verdicts are {self.verdicts[url]}, not {script.states}")
            expected = list(alerts(script.states))
            for service in self.world.services:
                told = [
                    (row.event, row.explanation)
                    for row in self.by_task[service.channel, task_id(url)]
                    if row.event != "reminder"
                ]
                self.lost += max(0, len(expected) - len(told))
                if [event for event, _ in told] != [event for event, _ in expected]:
                    self._say(f"{url} to {service.channel}: {told}, not {expected}")
                for (_, explanation), (_, reason) in zip(told, expected, strict=False):
                    if reason not in explanation:
                        self._say(f"{url} to {service.channel}: {explanation!r} does not say {reason!r}")
            self._check_incidents(url, [event for event, _ in expected])

    def _check_incidents(self, url: str, events: list[str]) -> None:
        """Each incident was opened once, is closed, and has its alerts."""
        recorded = self.incidents[url]
        reminders = {row.alert for row in self.rows if (row.event, row.task) == ("reminder", task_id(url))}
        if len(recorded) != events.count("problem") or any(ended is None for ended, *_ in recorded):
            self._say(f"{url}: the incidents are {recorded}, and {events.count('problem')} were opened")
        counted, told = sum(count for _, count, _ in recorded), sum(told for *_, told in recorded)
        if not counted == told == len(events) + len(reminders):
            self._say(f"{url}: the incidents have {recorded} alerts, not {len(events)} and {len(reminders)} reminders")

    def _check_deliveries(self) -> None:
        """Each delivery is settled as sent, except reminders and changes that a later alert replaced."""
        received = {(alert, receipt.channel) for receipt in self._receipts() if receipt.taken for alert in receipt.ids}
        for (channel, task), rows in self.by_task.items():
            for place, row in enumerate(rows, 1):
                if row.outcome == "replaced":
                    events = [later.event for later in rows[place:]]
                    if row.event not in ("reminder", "changed") or not events:
                        self._say(f"{row} was replaced by none of {rows[place:]}")
                elif row.outcome != "sent":
                    self._say(f"{row} of {task or 'the daemon'} is not delivered to {channel}")
                elif (row.alert, channel) not in received:
                    self.lost += 1
                    self._say(f"{row} is held to be delivered to {channel}, which has never seen it")
        unknown = received - {(row.alert, row.channel) for row in self.rows}
        if unknown:
            self._say(f"received, and never committed: {unknown}")

    def _check_order(self, channel: str, receipts: list[Receipt]) -> None:
        """A task's alerts arrived in order, and problems and recoveries alternate."""
        about = {row.alert: row for row in self.rows}
        first: dict[str, list[Row]] = defaultdict(list)
        for alert in dict.fromkeys(alert for receipt in receipts for alert in receipt.ids):
            first[about[alert].task].append(about[alert])
        for task, rows in first.items():
            order = {row.alert: number for number, row in enumerate(self.by_task[channel, task])}
            wrong = [later for row, later in pairwise(rows) if order[later.alert] < order[row.alert]]
            self.disordered += len(wrong)
            if wrong:
                self._say(f"{channel} got out of order: {wrong}")
            turns = [row.event for row in rows if row.event in ("problem", "recovered")]
            if turns != ["problem", "recovered"] * (len(turns) // 2):
                self._say(f"{channel} was told by turns: {turns}")

    def _check_repeats(self, receipts: list[Receipt]) -> None:
        """A message arrived twice only if its answer was lost, or it was not settled when the process died."""
        before: dict[str, Receipt] = {}
        for receipt in receipts:
            for alert in receipt.ids:
                last = before.get(alert)
                before[alert] = receipt
                if last is None:
                    continue
                self.repeats += 1
                settled = self.world.settled.get((alert, receipt.channel), self.world.life)
                if settled < receipt.life:
                    self._say(f"{alert} was delivered for good by life {settled}, and came again in {receipt.life}")
                elif last.answered and (last.life == receipt.life or last.followed):
                    self._say(f"{alert} was taken in life {last.life}, and came again in {receipt.life}")

    def _check_threads(self, receipts: list[Receipt]) -> None:
        """An incident has one message, or more only while an answer was not known; the rest replies to it."""
        about = {row.alert: row for row in self.rows}
        incidents: dict[str, set[tuple[str, float | None]]] = {}
        messages: dict[tuple[str, float | None], list[tuple[Receipt, str]]] = defaultdict(list)
        for receipt in receipts:
            rows = [about[alert] for alert in receipt.ids if about[alert].task]
            keys = {(row.task, row.started) for row in rows if row.event != "reminder"}
            if receipt.thread is not None:
                self.replies += 1
                if not keys or not keys <= incidents[receipt.thread]:
                    self._say(f"{receipt.ids} reply to a message of another incident")
                continue
            incidents[receipt.ts] = keys
            for row in rows:
                if row.event == "reminder":
                    continue
                for before, alert in messages[row.task, row.started]:
                    settled = self.world.settled.get((alert, receipt.channel), self.world.life)
                    known = before.answered and (before.life == receipt.life or before.followed)
                    if known or settled < receipt.life:
                        self._say(f"{row} has a message of its own, and the incident had one in life {before.life}")
                messages[row.task, row.started].append((receipt, row.alert))

    def _receipts(self) -> Iterator[Receipt]:
        for service in self.world.services:
            yield from service.receipts

    def _say(self, words: str) -> None:
        self.wrong.append(words)

    def figures(self) -> dict[str, int]:
        return {
            "kills": len(self.world.kills),
            "transitions": self.transitions,
            "alerts": len({row.alert for row in self.rows}),
            "deliveries": len(self.rows),
            "messages": sum(1 for _ in self._receipts()),
            "repeats": self.repeats,
            "replies": self.replies,
            "lost": self.lost,
            "out of order": self.disordered,
            "other breaches": len(self.wrong),
        }


def alerts(states: list[str]) -> Iterator[tuple[str, str]]:
    """The alerts of a task that goes through these states: the event, and words of the explanation."""
    known = "ok"
    for number, state in enumerate(states, 1):
        if state != known:
            event = "recovered" if state == "ok" else "problem" if known == "ok" else "changed"
            yield event, f"state {number}" if state == "failed" else ""
        known = state
