"""A history with a given number of entries, in pages."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from pypinger.domain.kinds import Kind
from pypinger.domain.model import Alert, Event, Fault, Invalid, NoAnswer, Outcome, Report, Reported, Window
from pypinger.ports.history import (
    ALL_DELIVERIES,
    ALL_INCIDENTS,
    DeliveryFilter,
    Gap,
    IncidentFilter,
    PastAlert,
    PastDelivery,
    PastIncident,
    Run,
    VerdictChange,
)
from tests.web.fakes import NOW
from tests.web.history import FakeHistory

T = TypeVar("T")

FINDINGS = (
    Reported(200, Report(True, NOW - 600, 10.0, None, (Window(22 * 3600 + 90, 8 * 3600.0),), "backup", "web-1")),
    Reported(503, Report(False, NOW - 600, reason="disk full \ud800" + "x" * 600)),
    Invalid(200, "status: must be a string"),
    NoAnswer(Fault.REFUSED, "connection refused", 0.01),
)


class PagedHistory(FakeHistory):
    """
    Keys count down from `count` to 1.

    It notes the filters and does not apply them.

    :ivar asked_for: the latest filter.
    :param words: what reports, explanations and services say.
    """

    def __init__(self, count: int = 3, words: str = "disk full", url: str = "http://h/b?x=1&y=2") -> None:
        super().__init__(NOW, words=words)
        self.count = count
        self.url = url
        self.asked_for: IncidentFilter | DeliveryFilter | None = None

    def _page(self, make: Callable[[int], T], before: int | None, limit: int) -> list[T]:
        self._check()
        first = self.count if before is None else min(before - 1, self.count)
        return [make(key) for key in range(first, max(0, first - limit), -1)]

    async def runs(self, url: str, before: int | None = None, limit: int = 50) -> Sequence[Run]:
        return self._page(
            lambda key: Run(key, NOW - 60 * key, NOW - 60 * key + 30, key, FINDINGS[key % len(FINDINGS)]), before, limit
        )

    async def verdicts(self, url: str, before: int | None = None, limit: int = 50) -> Sequence[VerdictChange]:
        return self._page(
            lambda key: VerdictChange(2 * key, NOW - key, Kind.LATE, self.words), (before or 0) // 2 or None, limit
        )

    async def incidents(
        self,
        url: str | None = None,
        before: int | None = None,
        limit: int = 50,
        which: IncidentFilter = ALL_INCIDENTS,
    ) -> Sequence[PastIncident]:
        self.asked_for = which

        def make(key: int) -> PastIncident:
            opened = NOW - 3600 * (self.count - key)
            told = (PastAlert(f"a{key}", Event.PROBLEM, opened, self.words),) if key % 2 else ()
            ended = None if key == self.count else opened + 600
            kinds = (Kind.LATE, Kind.FAILED)[: key % 3]
            return PastIncident(key, url or self.url, opened - 60, opened, ended, kinds, self.words, 2, told)

        return self._page(make, before, limit)

    async def deliveries(
        self,
        url: str | None = None,
        before: int | None = None,
        limit: int = 50,
        which: DeliveryFilter = ALL_DELIVERIES,
    ) -> Sequence[PastDelivery]:
        self.asked_for = which

        def make(key: int) -> PastDelivery:
            outcome = (None, *Outcome)[key % 5]
            alert = Alert(f"a{key}", Event.PROBLEM, NOW - key, self.words)
            of = url or (None if key % 2 else self.url)
            return PastDelivery(key, of, alert, "slack", key % 3, self.words, outcome, NOW if key % 3 else None)

        return self._page(make, before, limit)

    async def gaps(self, url: str, limit: int = 50) -> Sequence[Gap]:
        self._check()
        return [Gap(NOW - 600, 600.0), Gap(NOW - 1200, None)][:limit]

    async def uptime(self, url: str, now: float) -> Mapping[str, float | None]:
        self._check()
        return {"24h": 1.0, "7d": 0.5, "30d": None}
