"""Accounts of time, compared with a model that counts minute by minute."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from pypinger.domain.kinds import Kind
from pypinger.store.accounting import HOUR, Hour, hours, stretches

MINUTE = 60_000

spans = st.lists(st.tuples(st.integers(-10, 500), st.integers(1, 90)), max_size=5).map(
    lambda pairs: [(start * MINUTE, (start + length) * MINUTE) for start, length in pairs]
)


class StretchesTests(SynchronousTestCase):
    @given(start=st.integers(0, 300), length=st.integers(0, 400), blind=spans, limit=st.integers(1, 400))
    @settings(deadline=None, max_examples=200)
    def test_minute_by_minute(self, start: int, length: int, blind: list[tuple[int, int]], limit: int) -> None:
        expected = []
        left = limit
        for minute in range(start, start + length):
            at = minute * MINUTE
            seen = left > 0 and not any(since <= at < until for since, until in blind)
            left -= seen
            expected.append(seen)
        cut = list(stretches(start * MINUTE, (start + length) * MINUTE, blind, limit * MINUTE))
        found = [seen for since, until, seen in cut for _ in range((until - since) // MINUTE)]
        self.assertEqual(found, expected)
        self.assertEqual([since for since, _, _ in cut[1:]], [until for _, until, _ in cut[:-1]])

    @given(start=st.integers(0, 10 * HOUR), length=st.integers(0, 5 * HOUR), seen=st.booleans())
    @settings(deadline=None, max_examples=200)
    def test_hours(self, start: int, length: int, seen: bool) -> None:
        cut = list(hours(start, start + length, seen))
        expected = {}
        for hour in range(start // HOUR, (start + length) // HOUR + 1):
            overlap = min(start + length, (hour + 1) * HOUR) - max(start, hour * HOUR)
            if overlap > 0 and (seen or overlap < HOUR):
                expected[hour] = overlap
        self.assertEqual(cut, list(expected.items()))

    def test_a_blind_year_is_skipped(self) -> None:
        self.assertEqual(list(hours(1, 365 * 24 * HOUR + 2, False)), [(0, HOUR - 1), (365 * 24, 2)])


class HourTests(SynchronousTestCase):
    def test_each_kind_of_verdict(self) -> None:
        hour = Hour(1)
        for kind in [*Kind, None]:
            hour.spend(kind, 1)
        self.assertEqual((hour.up, hour.down, hour.asleep, hour.blind), (1, 5, 1, 2))

    def test_sum(self) -> None:
        hour = Hour(*range(1, 10))
        hour.add(Hour(1, *range(10, 18)))
        self.assertEqual(hour.row(), (1, 12, 14, 16, 18, 20, 22, 24, 17))
