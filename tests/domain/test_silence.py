"""Tests for :mod:`pypinger.domain.silence`."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from pypinger.domain.selector import Subject, parse
from pypinger.domain.silence import Maintenance, Muted, Muting, Silence
from tests.domain.strategies import thorough

A = Subject("a", "http://h/a", "1", server="db1")
B = Subject("b", "http://h/b", "2", server="db2")
DAY = 86_400.0
HOUR = 3600.0
ALL = parse("*")


class MutingTests(SynchronousTestCase):
    def muting(self, *silences: Silence, maintenance: tuple[Maintenance, ...] = ()) -> Muting:
        return Muting([(each, parse(each.selector)) for each in silences], maintenance)

    def test_only_what_matches_and_only_in_its_time(self) -> None:
        muting = self.muting(Silence("s1", "server:db1", 100, 200, "upgrade", "jane"))
        self.assertEqual(muting.muted(A, 100), Muted(200, "upgrade", "jane", "silence s1"))
        self.assertIsNone(muting.muted(A, 200))
        self.assertIsNone(muting.muted(B, 150))

    def test_the_clock_is_set_back(self) -> None:
        """It was given before: that ends no silence."""
        self.assertIsNotNone(self.muting(Silence("s1", "a", 100, 200)).muted(A, 0))

    def test_overlapping_silences_end_with_the_last(self) -> None:
        muting = self.muting(Silence("s1", "a", 100, 200), Silence("s2", "*", 150, 300), Silence("s3", "a", 100, 250))
        muted = muting.muted(A, 160)
        assert muted is not None
        self.assertEqual((muted.until, muted.source), (300, "silence s2"))

    def test_next_change(self) -> None:
        muting = self.muting(Silence("s1", "a", 100, 200), maintenance=(Maintenance("m", ALL, start=150, until=170),))
        self.assertEqual([muting.next_change(at) for at in (0, 100, 150, 170, 200)], [150, 150, 170, 200, None])


class MaintenanceTests(SynchronousTestCase):
    def test_once(self) -> None:
        once = Maintenance("move", ALL, "we move", start=100, until=200)
        self.assertEqual([once.end(now) for now in (99, 100, 199, 200)], [None, 200, 200, None])
        self.assertEqual([once.next_change(now) for now in (0, 100, 200)], [100, 200, None])

    def test_on_a_schedule_in_a_zone(self) -> None:
        nightly = Maintenance("backup", ALL, schedule="0 3 * * *", timezone="Europe/Berlin", duration=HOUR)
        start = 20_450 * DAY + 2 * HOUR  # a winter day, 03:00 in Berlin
        self.assertIsNone(nightly.end(start - 1))
        self.assertEqual(nightly.end(start), start + HOUR)
        self.assertIsNone(nightly.end(start + HOUR))
        self.assertEqual(nightly.next_change(start - 1), start)
        self.assertEqual(nightly.next_change(start), start + HOUR)

    def test_windows_that_touch_are_one(self) -> None:
        hourly = Maintenance("m", ALL, schedule="0 1,2,3 * * *", duration=HOUR)
        self.assertEqual(hourly.end(HOUR + 10), 4 * HOUR)
        self.assertEqual(Maintenance("m", ALL, schedule="* * * * *", duration=60.0).end(0) is not None, True)

    @thorough
    @given(
        st.lists(st.integers(0, 23), min_size=1, max_size=4, unique=True),
        st.integers(1, 30 * 60),
        st.integers(0, 3 * 1440),
    )
    def test_minute_by_minute(self, hours: list[int], minutes: int, start: int) -> None:
        window = Maintenance("m", ALL, schedule=f"0 {','.join(map(str, hours))} * * *", duration=minutes * 60.0)
        covered = {
            minute
            for day in range(-3, 8)
            for hour in hours
            for minute in range(day * 1440 + hour * 60, day * 1440 + hour * 60 + minutes)
        }
        base = 20_000 * 1440
        expected = None
        if start in covered:
            expected = next(minute for minute in range(start, 12 * 1440) if minute not in covered)
        end = window.end((base + start) * 60.0)
        if expected is not None and expected > 6 * 1440:
            self.assertTrue(end is not None and end >= (base + 6 * 1440) * 60.0)
        else:
            self.assertEqual(end, None if expected is None else (base + expected) * 60.0)
