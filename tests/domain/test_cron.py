"""Tests for :mod:`pypinger.domain.cron`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from pypinger.domain.cron import NAMES, Cron, CronError, zone
from tests.domain.strategies import thorough


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


class CronTests(SynchronousTestCase):
    def test_next_and_previous(self) -> None:
        nightly = Cron("0 3 * * *", "Europe/Berlin")
        self.assertEqual(nightly.after(at("2026-01-10T02:00:00")), at("2026-01-11T02:00:00"))
        self.assertEqual(nightly.before(at("2026-01-10T02:00:00")), at("2026-01-09T02:00:00"))
        self.assertEqual(nightly.before(at("2026-01-10T02:00:00.500")), at("2026-01-10T02:00:00"))

    def test_daylight_saving_time_as_debian_cron_has_it(self) -> None:
        gap = Cron("30 2 * * *", "Europe/Berlin")
        self.assertEqual(gap.after(at("2026-03-28T12:00:00")), at("2026-03-29T01:00:00"))
        overlap = gap.after(at("2026-10-24T12:00:00"))
        assert overlap is not None
        self.assertEqual(gap.after(overlap), at("2026-10-26T01:30:00"))

    def test_beyond_the_calendar(self) -> None:
        self.assertIsNone(Cron("@daily").after(1e18))
        self.assertIsNone(Cron("@daily").before(-1e18))

    def test_names(self) -> None:
        for name in NAMES:
            self.assertIsNotNone(Cron(name).after(0.0), name)
        self.assertEqual(Cron("@DAILY").after(0.0), 86_400.0)

    def test_refused(self) -> None:
        for expression, words in [
            ("@never", "of the names there are @yearly"),
            ("* * * *", "five fields"),
            ("0 * * * * *", "five fields"),
            ("60 * * * *", "bad minute in the schedule"),
            ("0 0 31 2 *", "bad day-of-month"),
            ("0 0 * * FRI-MON", "bad day-of-week"),
        ]:
            self.assertIn(words, str(self.assertRaises(CronError, Cron, expression)), expression)
        for name in ["Europe/Nowhere", "../etc/passwd", "Europe", "\0"]:
            self.assertIn("unknown time zone", str(self.assertRaises(CronError, zone, name)), name)

    @thorough
    @given(
        st.integers(0, 59),
        st.integers(0, 23),
        st.sampled_from(["*", "1-5", "0", "6"]),
        st.integers(0, 2 * 366 * 24 * 60),
    )
    def test_next_moment_minute_by_minute(self, minute: int, hour: int, days: str, start: int) -> None:
        allowed = {"*": range(7), "1-5": range(5), "0": (6,), "6": (5,)}[days]
        moment = datetime(2027, 1, 1, tzinfo=UTC) + timedelta(minutes=start)
        expected = moment + timedelta(minutes=1)
        while (expected.minute, expected.hour) != (minute, hour) or expected.weekday() not in allowed:
            expected += timedelta(minutes=1)
        self.assertEqual(Cron(f"{minute} {hour} * * {days}").after(moment.timestamp()), expected.timestamp())
