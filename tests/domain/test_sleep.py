"""Tests for :mod:`pypinger.domain.sleep`, the properties against a model that looks at every minute."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from pypinger.domain.model import Instant, Report, Window
from pypinger.domain.sleep import Sleep, SleepPeriod, merge
from tests.domain.strategies import LEAP, Night, any_windows, frequencies, minute_windows, minutes, quick, thorough

HOUR = 3600.0
DAY = 86_400.0


def window(start: str, duration: float) -> Window:
    hour, minute = start.split(":")
    return Window(int(hour) * 3600 + int(minute) * 60, duration * 60)


class PeriodTests(SynchronousTestCase):
    def test_awake(self) -> None:
        sleep = merge(())
        self.assertFalse(sleep.always)
        self.assertIsNone(sleep.period_at(LEAP))
        self.assertIsNone(sleep.next_start(LEAP))

    def test_start_included_end_excluded(self) -> None:
        sleep = merge((window("01:00", 60),))
        period = SleepPeriod(LEAP + HOUR, LEAP + 2 * HOUR)
        self.assertIsNone(sleep.period_at(LEAP + HOUR - 0.001))
        self.assertEqual(sleep.period_at(LEAP + HOUR), period)
        self.assertEqual(sleep.period_at(LEAP + 2 * HOUR - 0.001), period)
        self.assertIsNone(sleep.period_at(LEAP + 2 * HOUR))

    def test_next_start(self) -> None:
        sleep = merge((window("01:00", 60), window("22:00", 60)))
        self.assertEqual(sleep.next_start(LEAP), LEAP + HOUR)
        self.assertEqual(sleep.next_start(LEAP + 2 * HOUR), LEAP + 22 * HOUR)
        self.assertEqual(sleep.next_start(LEAP + 23 * HOUR), LEAP + 25 * HOUR)

    def test_over_midnight(self) -> None:
        sleep = merge((window("22:00", 480),))
        period = SleepPeriod(LEAP - 2 * HOUR, LEAP + 6 * HOUR)
        for hour in (-2, 0, 5):
            self.assertEqual(sleep.period_at(LEAP + hour * HOUR), period)

    def test_windows_that_overlap_or_touch_are_one(self) -> None:
        for windows in [
            (window("22:00", 120), window("00:00", 360)),
            (window("22:00", 300), window("02:00", 240)),
            (window("00:00", 360), window("22:00", 121), window("23:00", 10)),
            (window("22:00", 480), window("23:00", 60), window("01:00", 60)),
        ]:
            self.assertEqual(merge(windows).period_at(LEAP), SleepPeriod(LEAP - 2 * HOUR, LEAP + 6 * HOUR))

    def test_touching_in_spite_of_floating_point(self) -> None:
        self.assertLess(2.05 * 60, 123.0)
        sleep = merge((Window(0, 2.05 * 60), Window(123, 60.0)))
        self.assertEqual(sleep.period_at(LEAP), SleepPeriod(LEAP, LEAP + 183))

    def test_all_day(self) -> None:
        for windows in [
            (window("00:00", 1440),),
            (window("13:00", 1440),),
            (window("00:00", 720), window("12:00", 720)),
            (window("18:00", 720), window("06:00", 720)),
            (window("12:00", 1000), window("01:00", 1000)),
            (window("02:00", 10), window("03:00", 1439), window("02:59", 1)),
        ]:
            sleep = merge(windows)
            self.assertTrue(sleep.always)
            self.assertIsNone(sleep.next_start(LEAP))
            self.assertIsNone(sleep.due(LEAP, 600))
            period = sleep.period_at(LEAP)
            assert period is not None
            self.assertIsNone(period.end)
            self.assertTrue(LEAP - DAY < period.start <= LEAP)

    def test_too_short_to_matter(self) -> None:
        sleep = merge((Window(3600, 0.0001),))
        self.assertIsNone(sleep.period_at(LEAP + HOUR))
        self.assertIsNone(sleep.next_start(LEAP))

    @thorough
    @given(minute_windows, minutes, st.sampled_from([0.0, 0.001, 30.0, 59.999]))
    @example((window("00:00", 1440),), LEAP, 0.0)
    def test_as_the_model(self, windows: tuple[Window, ...], minute: Instant, later: float) -> None:
        sleep, night = Sleep(windows), Night(windows)
        period = sleep.period_at(minute + later)
        self.assertEqual(sleep.always, all(night.asleep))
        self.assertEqual(period is not None, night.at(minute))
        if period is not None and not sleep.always:
            self.assertEqual(period, SleepPeriod(night.since(minute), night.wake(minute)))
        start = sleep.next_start(minute + later)
        if sleep.always or not windows:
            self.assertIsNone(start)
        else:
            following = night.wake(minute) if night.at(minute) else minute + 60
            while not night.at(following):
                following += 60
            self.assertEqual(start, following)

    @thorough
    @given(any_windows, minutes, st.floats(0, DAY))
    def test_periods_have_sharp_ends(self, windows: tuple[Window, ...], minute: Instant, later: float) -> None:
        sleep = Sleep(windows)
        now = minute + later
        period = sleep.period_at(now)
        start = sleep.next_start(now)
        if period is not None and period.end is not None:
            self.assertTrue(period.start <= now < period.end)
            self.assertIsNone(sleep.period_at(period.end))
            self.assertIsNone(sleep.period_at(period.start - 0.0005))
            self.assertEqual(sleep.period_at(period.start), period)
        elif start is not None:
            self.assertGreater(start, now)
            self.assertIsNotNone(sleep.period_at(start))
            self.assertIsNone(sleep.period_at(start - 0.0005))


class LocalTests(SynchronousTestCase):
    """Sleep by a clock on the wall; :mod:`tests.domain.test_schedule` compares it with a model."""

    BERLIN = ZoneInfo("Europe/Berlin")

    def at(self, text: str) -> Instant:
        return datetime.fromisoformat(f"2026-{text}").replace(tzinfo=self.BERLIN).timestamp()

    def period(self, sleep: Sleep, text: str) -> SleepPeriod | None:
        return sleep.period_at(self.at(text))

    def test_starts_at_the_local_time_and_lasts_its_length(self) -> None:
        sleep = merge((window("22:00", 480),), self.BERLIN)
        for now, start, end in [
            ("01-10 23:00", "01-10 22:00", "01-11 06:00"),
            ("07-10 23:00", "07-10 22:00", "07-11 06:00"),
            ("03-28 23:00", "03-28 22:00", "03-29 07:00"),
            ("10-24 23:00", "10-24 22:00", "10-25 05:00"),
        ]:
            self.assertEqual(self.period(sleep, now), SleepPeriod(self.at(start), self.at(end)))
            self.assertIsNone(sleep.period_at(self.at(end)))
            self.assertEqual(sleep.next_start(self.at(start) - 1), self.at(start))
        self.assertEqual(sleep.zone, self.BERLIN)

    def test_a_start_in_the_gap_is_at_its_end(self) -> None:
        sleep = merge((window("02:30", 30),), self.BERLIN)
        self.assertEqual(self.period(sleep, "03-29 03:10"), SleepPeriod(self.at("03-29 03:00"), self.at("03-29 03:30")))
        self.assertEqual(sleep.next_start(self.at("03-28 12:00")), self.at("03-29 03:00"))

    def test_a_start_that_comes_twice_is_the_first(self) -> None:
        sleep = merge((window("02:30", 30),), self.BERLIN)
        start = self.at("10-25 02:30")
        self.assertEqual(sleep.period_at(start), SleepPeriod(start, start + 1800))
        self.assertIsNone(sleep.period_at(start + HOUR))
        self.assertEqual(sleep.next_start(start), self.at("10-26 02:30"))

    def test_nearly_a_day_joins_over_the_short_day(self) -> None:
        sleep = merge((window("00:00", 1430),), self.BERLIN)
        self.assertEqual(self.period(sleep, "03-28 12:00"), SleepPeriod(self.at("03-28 00:00"), self.at("03-28 23:50")))
        self.assertEqual(self.period(sleep, "03-29 12:00"), SleepPeriod(self.at("03-29 00:00"), self.at("03-30 23:50")))

    def test_all_day_on_the_long_day_too(self) -> None:
        sleep = merge((window("00:00", 720), window("12:00", 720)), self.BERLIN)
        self.assertTrue(sleep.always)
        self.assertEqual(self.period(sleep, "10-25 11:30"), SleepPeriod(self.at("10-25 00:00"), None))
        self.assertIsNone(sleep.next_start(self.at("10-25 11:30")))
        self.assertIsNone(sleep.due(self.at("10-25 11:30"), 600))
        self.assertEqual(sleep.period_at(1e18), SleepPeriod(1e18, None))

    def test_outside_the_calendar_it_is_awake(self) -> None:
        sleep = merge((window("22:00", 480),), self.BERLIN)
        for moment in (-1e18, -62_135_683_140.0, 253_402_387_140.0, 1e18):
            self.assertIsNone(sleep.period_at(moment))
            self.assertIsNone(sleep.next_start(moment))

    def test_never_awake_within_14_days(self) -> None:
        sleep = merge((window("00:00", 1),), self.BERLIN)
        self.assertEqual(sleep.due(self.at("01-10 00:00"), DAY), self.at("01-12 00:01"))
        self.assertEqual(sleep.due(self.at("01-10 00:01"), DAY - 60), self.at("01-11 00:00"))

    def test_too_short_to_matter(self) -> None:
        sleep = merge((Window(3600, 0.0001),), self.BERLIN)
        self.assertIsNone(self.period(sleep, "01-10 01:00"))
        self.assertIsNone(sleep.next_start(self.at("01-10 00:00")))

    def test_many_windows(self) -> None:
        many = tuple(Window(minute * 60, 30.0) for minute in range(100))
        self.assertIsNone(merge(many).period_at(LEAP + 45))
        self.assertIsNotNone(merge(many).period_at(LEAP + 15))


class DueTests(SynchronousTestCase):
    def test_awake(self) -> None:
        self.assertEqual(merge(()).due(LEAP, 600), LEAP + 600)
        self.assertEqual(merge((window("01:00", 60),)).due(LEAP, 600), LEAP + 600)

    def test_at_the_ends_of_a_window(self) -> None:
        sleep = merge((window("01:00", 60),))
        self.assertEqual(sleep.due(LEAP, HOUR), LEAP + 3 * HOUR)
        self.assertEqual(sleep.due(LEAP, HOUR - 0.001), LEAP + HOUR - 0.001)
        self.assertEqual(sleep.due(LEAP, 2 * HOUR), LEAP + 2 * HOUR)

    def test_falls_asleep_again_and_again(self) -> None:
        sleep = merge((window("01:00", 60), window("02:30", 30), window("03:30", 60)))
        # 01:10 -> woken 02:00 -> 02:35 -> woken 03:00 -> 03:35 -> woken 04:30 -> 05:05
        self.assertEqual(sleep.due(LEAP + 35 * 60, 35 * 60), LEAP + 5 * HOUR + 5 * 60)

    def test_never_awake_within_14_days(self) -> None:
        sleep = merge((window("00:00", 1),))
        # The day is over a minute after midnight, 24 h later it is awake.
        self.assertEqual(sleep.due(LEAP - DAY, DAY), LEAP + DAY + 60)
        # Waking at 00:01 and due 23 h 59 min later, it never is awake.
        self.assertEqual(sleep.due(LEAP - DAY + 60, DAY - 60), LEAP)

    def test_awake_after_more_than_14_days_is_too_late(self) -> None:
        sleep = merge((window("00:00", 60),))
        fortnight = 14 * DAY
        self.assertEqual(sleep.due(LEAP - 13.5 * DAY, 13.5 * DAY), LEAP + 13.5 * DAY + HOUR)
        self.assertEqual(sleep.due(LEAP - fortnight, fortnight), LEAP)

    @thorough
    @given(minute_windows, minutes, frequencies)
    def test_as_the_model(self, windows: tuple[Window, ...], lastrun: Instant, frequency: int) -> None:
        report = Report(True, lastrun, float(frequency), sleep=windows)
        self.assertEqual(Sleep(windows).due(lastrun, frequency * 60.0), Night(windows).due(report))

    @quick
    @given(any_windows, minutes, st.floats(5e-324, 527_040))
    def test_awake_or_the_first_result(self, windows: tuple[Window, ...], lastrun: Instant, frequency: float) -> None:
        sleep = Sleep(windows)
        due = sleep.due(lastrun, frequency * 60)
        if due is None:
            self.assertTrue(sleep.always)
        elif due != lastrun + frequency * 60:
            self.assertIsNone(sleep.period_at(due))

    def test_thousands_of_windows_are_few_steps(self) -> None:
        windows = tuple(Window(second, 10.0) for second in range(0, 86_400, 20))
        asked = []

        class Counting(Sleep):
            def _find(self, instant: Instant) -> tuple[int, SleepPeriod] | None:
                asked.append(instant)
                return super()._find(instant)

        # Ten seconds after each waking the next window starts.
        self.assertEqual(Counting(windows).due(LEAP + 10, 10.0), LEAP + 20)
        self.assertLessEqual(len(asked), len(windows) + 1)
