from __future__ import annotations

from collections.abc import Sequence

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from pypinger.domain.kinds import Kind
from pypinger.domain.model import Event, Outcome
from pypinger.domain.times import DAY, HOUR
from pypinger.ports.history import DeliveryFilter, IncidentFilter
from pypinger.web.json.query import BadQuery
from pypinger.web.past.filters import FilterReader
from pypinger.web.serving.slicing import make_cooperator
from tests.web.fakes import NOW, FakeBoard, entry
from tests.web.history_pages import PagedHistory

#: Midnight of NOW's day, 2026-11-22.
MIDNIGHT = NOW // DAY * DAY


class PastWithRemoved(PagedHistory):
    """Knows a task that is no longer configured."""

    async def tasks(self) -> Sequence[str]:
        return ["http://h/a", "http://gone/nightly?key=1"]


class FilterTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.board = FakeBoard([entry("http://h/a", name="Nightly backup"), entry("http://h/b", Kind.LATE)])
        self.clock = Clock()
        self.reader = FilterReader(self.board, make_cooperator(self.clock))

    def incidents(self, **values: str) -> IncidentFilter:
        pending = Deferred.fromCoroutine(self.reader.incidents(values, PastWithRemoved(), NOW))
        self.clock.pump([0] * 3)
        return self.successResultOf(pending)

    def deliveries(self, **values: str) -> DeliveryFilter:
        pending = Deferred.fromCoroutine(self.reader.deliveries(values, PastWithRemoved(), NOW))
        self.clock.pump([0] * 3)
        return self.successResultOf(pending)

    def problem(self, **values: str) -> str:
        pending = Deferred.fromCoroutine(self.reader.incidents(values, PastWithRemoved(), NOW))
        self.clock.pump([0] * 3)
        return str(self.failureResultOf(pending, BadQuery).value)

    def test_nothing(self) -> None:
        self.assertEqual(self.incidents(), IncidentFilter())
        self.assertEqual(self.incidents(task=" ", kind="", state="", since="", until=""), IncidentFilter())
        self.assertEqual(self.deliveries(), DeliveryFilter())

    def test_tasks(self) -> None:
        for text, urls in (
            ("Nightly backup", ["http://h/a"]),
            ('"nightly backup"', ["http://h/a"]),
            (self.board.entries()[1].task.id, ["http://h/b"]),
            ("kind:late", ["http://h/b"]),
            ("*nightly*", ["http://h/a", "http://gone/nightly?key=1"]),
            ("gone/nightly?…", ["http://gone/nightly?key=1"]),
            ("nothing", []),
        ):
            self.assertEqual(self.incidents(task=text).tasks, frozenset(urls), text)

    def test_choices(self) -> None:
        self.assertEqual(self.incidents(kind="late", state="open"), IncidentFilter(kind=Kind.LATE, open=True))
        self.assertEqual(self.incidents(state="closed"), IncidentFilter(open=False))
        self.assertEqual(
            self.deliveries(event="reminder", channel="email night", outcome="dead"),
            DeliveryFilter(event=Event.REMINDER, channel="email night", outcome=Outcome.DEAD),
        )
        self.assertEqual(self.deliveries(outcome="pending").outcome, Outcome.RETRY)

    def test_times(self) -> None:
        for text, since in (
            ("24h", NOW - DAY),
            ("7d", NOW - 7 * DAY),
            ("1h 30m", NOW - 1.5 * HOUR),
            ("99999999999999999999d", 0.0),
            ("2026-11-22", MIDNIGHT),
            ("2026-11-22T01:00", MIDNIGHT + HOUR),
            ("2026-11-22 02:00:00+01:00", MIDNIGHT + HOUR),
        ):
            self.assertEqual(self.incidents(since=text).since, since, text)
        self.assertEqual(self.deliveries(since="1h", until="30m").until, NOW - HOUR / 2)

    def test_a_day_ends_at_its_end(self) -> None:
        self.assertEqual(self.incidents(until="2026-11-22").until, MIDNIGHT + DAY)

    def test_problems(self) -> None:
        words = "must be a date, a date and time in UTC, or how long ago: 2026-03-01, 24h or 7d"
        for text in ("x", "2026", "20 26", "2026-02-30", "-1h", "1e3", "1e999d"):
            self.assertEqual(self.problem(since=text), f"since {words}", text)
            self.assertEqual(self.problem(until=text), f"until {words}", text)
        kinds = "unreachable, invalid, failed, future, late"
        for kind in ("ok", "Late", "x"):
            self.assertEqual(self.problem(kind=kind), f"kind must be one of {kinds}")
        self.assertEqual(self.problem(state="x"), "state must be one of open, closed")
        self.assertTrue(self.problem(task="srever:x").startswith("task: unknown prefix srever:"))
        self.assertEqual(self.problem(task='"x'), 'task: a quote (") is not closed')
