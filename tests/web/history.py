"""A made-up history of any task, the same at every call."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

from pypinger.domain.kinds import Kind
from pypinger.domain.model import Alert, Event, Fault, Instant, Invalid, NoAnswer, Outcome, Report, Reported
from pypinger.ports.history import (
    ALL_DELIVERIES,
    ALL_INCIDENTS,
    Day,
    DeliveryFilter,
    Gap,
    IncidentFilter,
    PastAlert,
    PastDelivery,
    PastIncident,
    Run,
    VerdictChange,
)
from pypinger.ports.storing import StoreError

DAY = 86_400.0


class FakeHistory:
    """
    Implements :class:`pypinger.ports.history.History`.

    :ivar broken: whether it cannot be read.
    :ivar begins: when it begins.
    :ivar url: of the task whose incidents and deliveries are those of all tasks.
    :ivar asked: the URLs whose gaps were asked for.
    :ivar known: the keys of all tasks that have a history.
    :ivar quiet: whether there were no incidents.
    """

    def __init__(self, now: Instant, frequency: float = 10.0, words: str = "channel_not_found") -> None:
        self.now = now
        self.frequency = frequency * 60
        self.words = words
        self.broken = False
        self.url = ""
        self.begins: Instant | None = now - 81 * DAY
        self.asked: list[str] = []
        self.known: list[str] = []
        self.quiet = False

    def _check(self) -> None:
        if self.broken:
            raise StoreError("the disk is gone")

    async def runs(self, url: str, before: int | None = None, limit: int = 50) -> Sequence[Run]:
        self._check()
        at = self.now
        return [
            Run(4, at - 60, at, 2, Reported(200, Report(ok=True, lastrun=at - 300))),
            Run(3, at - 300, at - 120, 5, Reported(503, Report(ok=False, lastrun=at - 900, reason=self.words))),
            Run(2, at - 900, at - 400, 11, Invalid(200, f"lastrun: {self.words}")),
            Run(1, at - 1800, at - 1000, 1, NoAnswer(Fault.REFUSED, f"connection refused {self.words}", 0.01)),
        ]

    async def verdicts(self, url: str, before: int | None = None, limit: int = 50) -> Sequence[VerdictChange]:
        self._check()
        return [VerdictChange(1, self.now - 900, Kind.LATE, self.words)]

    async def incidents(
        self,
        url: str | None = None,
        before: int | None = None,
        limit: int = 50,
        which: IncidentFilter = ALL_INCIDENTS,
    ) -> Sequence[PastIncident]:
        self._check()
        if self.quiet:
            return []
        at = self.now
        told = (
            PastAlert("a1", Event.PROBLEM, at - 900, self.words),
            PastAlert("a2", Event.CHANGED, at - 600, self.words),
            PastAlert("a3", Event.REMINDER, at - 300, self.words),
        )
        return [
            PastIncident(2, url or self.url, at - 960, at - 900, None, (Kind.LATE, Kind.FAILED), self.words, 4, told),
            PastIncident(
                1, url or self.url, at - 9 * DAY, at - 9 * DAY, at - 8.9 * DAY, (Kind.LATE,), self.words, 2, ()
            ),
        ]

    async def deliveries(
        self,
        url: str | None = None,
        before: int | None = None,
        limit: int = 50,
        which: DeliveryFilter = ALL_DELIVERIES,
    ) -> Sequence[PastDelivery]:
        self._check()
        at = self.now

        def delivery(key: int, alert: str, channel: str, attempts: int, outcome: Outcome | None) -> PastDelivery:
            made = Alert(alert, Event.PROBLEM, at - 900, self.words)
            settled = None if not attempts else at - 890 + key
            return PastDelivery(
                key, url or self.url or None, made, channel, attempts, self.words if attempts else "", outcome, settled
            )

        return [
            delivery(4, "a3", "slack", 0, None),
            delivery(3, "a2", "slack", 2, Outcome.RETRY),
            delivery(2, "a1", "hipchat", 1, Outcome.DEAD),
            delivery(1, "a1", "slack", 1, Outcome.SENT),
        ]

    async def tasks(self) -> Sequence[str]:
        self._check()
        return self.known

    async def channels(self) -> Sequence[str]:
        self._check()
        return ["hipchat", "slack"]

    async def uptime(self, url: str, now: Instant) -> Mapping[str, float | None]:
        self._check()
        return {"24h": 1.0, "7d": 0.99987, "30d": 0.9713, "90d": None}

    async def days(self, url: str, now: Instant, count: int = 90) -> Sequence[Day]:
        self._check()
        dice = random.Random(ascii(url))
        today = now // DAY * DAY
        days = []
        for back in reversed(range(count)):
            throw = dice.random()
            if back > 80 or throw < 0.01:
                continue
            asleep = 8 * 3600.0 if throw < 0.9 else 0.0
            down = dice.choice((60.0, 1800.0, 20_000.0, DAY - asleep)) if throw > 0.93 else 0.0
            up = 0.0 if throw < 0.03 else DAY - asleep - down
            days.append(Day(today - back * DAY, up, down, asleep))
        return days

    async def beginning(self, url: str) -> Instant | None:
        self._check()
        return self.begins

    async def gaps(self, url: str, limit: int = 50) -> Sequence[Gap]:
        self._check()
        self.asked.append(url)
        dice = random.Random(ascii(url))
        gaps = []
        at = self.now - 300
        for _ in range(limit):
            gap = self.frequency * (dice.choice((2.2, 3.4)) if dice.random() < 0.08 else dice.uniform(0.9, 1.05))
            gaps.append(Gap(at, gap))
            at -= gap
        gaps[-1] = Gap(gaps[-1].lastrun, None)
        return gaps
