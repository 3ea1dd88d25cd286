"""Tests for :mod:`pypinger.domain.cron`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from cronsim import CronSim
from hypothesis import assume, given
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

    def test_the_hour_that_comes_twice_never_leads_back(self) -> None:
        """cronsim takes 02:45 for the first time that it comes, even from the second."""
        second = at("2026-10-25T01:30:00")
        for expression in ("45 2 * * *", "40,50 2 * * *"):
            schedule = Cron(expression, "Europe/Berlin")
            following, latest = schedule.after(second), schedule.before(second)
            assert following is not None
            assert latest is not None
            self.assertGreater(following, at("2026-10-26T01:30:00"))
            self.assertEqual(latest // 3600, at("2026-10-25T00:30:00") // 3600)

    def test_a_gap_of_a_day(self) -> None:
        """Samoa had no 30 December 2011; a moment on it comes at the beginning of the 31st."""
        noon = Cron("0 12 * * *", "Pacific/Apia")
        moment = at("2011-12-29T12:00:00")
        for following in ("2011-12-29T22:00:00", "2011-12-30T10:00:00", "2011-12-30T22:00:00"):
            self.assertEqual(noon.after(moment), at(following))
            self.assertEqual(noon.before(at(following) + 1), at(following))
            moment = at(following)

    def test_every_half_hour_over_a_gap(self) -> None:
        """Of the moments in the gap there is none."""
        schedule, moment = Cron("*/30 * * * *", "Europe/Berlin"), at("2026-03-29T00:00:00")
        for following in ("2026-03-29T00:30:00", "2026-03-29T01:00:00", "2026-03-29T01:30:00"):
            self.assertEqual(schedule.after(moment), at(following))
            moment = at(following)

    def test_half_an_hour(self) -> None:
        """cronsim misses 03:00 on this day, as it counts whole hours from 01:00."""
        self.assertEqual(
            Cron("0 */3 * * *", "Australia/Lord_Howe").after(at("2026-10-03T15:00:00")), at("2026-10-03T16:00:00")
        )

    @thorough
    @given(
        st.sampled_from(["Europe/Berlin", "America/New_York", "UTC", "Asia/Kathmandu"]),
        st.sampled_from(
            ["30 2 * * *", "0,30 1-3 * * 0", "*/20 * * * *", "0 0 L * *", "15 * 29 2 *", "0 3 1-7 * 1", "7 2/5 * * *"]
        ),
        st.integers(-100_000, 100_000),
    )
    def test_as_cronsim(self, zone_name: str, expression: str, minutes: int) -> None:
        """Outside the hour that comes twice both find the same."""
        schedule, start = Cron(expression, zone_name), at("2026-06-01T00:00:00") + minutes * 60.0
        wall = datetime.fromtimestamp(start, UTC).astimezone(zone(zone_name))
        assume(not wall.fold)
        self.assertEqual(schedule.after(start), next(CronSim(expression, wall)).timestamp())
        self.assertEqual(schedule.before(start), next(CronSim(expression, wall, reverse=True)).timestamp())

    def test_utc_has_one_name(self) -> None:
        for name in ("utc", " UTC ", ""):
            self.assertEqual(Cron("@daily", name).timezone, "UTC")

    def test_beyond_the_calendar(self) -> None:
        rare = Cron("0 0 29 2 *")
        self.assertIsNone(rare.after(at("9998-06-01T00:00:00")))
        self.assertIsNone(rare.before(at("0003-06-01T00:00:00")))
        self.assertEqual(rare.before(at("9998-12-31T00:00:00")), at("9996-02-29T00:00:00"))
        self.assertEqual(rare.after(-1e18), at("0004-02-29T00:00:00"))
        self.assertIsNone(Cron("@daily").after(1e18))
        self.assertIsNone(Cron("@daily").before(-1e18))

    def test_times_of_a_day(self) -> None:
        times = Cron("0,30 1,3 * * *").times
        self.assertEqual(list(times), [3600, 5400, 10_800, 12_600])
        self.assertEqual((len(times), times[1:3]), (4, [5400, 10_800]))

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
        for name in [
            "Europe/Nowhere",
            "../etc/passwd",
            "Europe",
            "\0",
            "localtime",
            "posixrules",
            "right/Europe/Berlin",
            "posix/UTC",
        ]:
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
