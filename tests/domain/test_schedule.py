"""
Tests for :mod:`pypinger.domain.schedule`: a table of schedules with what is made of them, and a comparison with the
model that looks at every minute (:mod:`tests.domain.minutely`, which also compares more cases from the command line).
"""

from __future__ import annotations

import random
from datetime import datetime
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from pypinger.domain.judge import judge
from pypinger.domain.kinds import Kind
from pypinger.domain.model import Instant, Report, Reported, Seconds, Verdict, Window
from pypinger.domain.schedule import RESOLUTION, plan_of, same_rules, sleep_at
from tests.domain.minutely import Cases, compare
from tests.domain.strategies import quick, task

NIGHTLY = {"schedule": "0 3 * * *", "timezone": "Europe/Berlin"}
WEEKDAYS = {"schedule": "0 3 * * 1-5", "timezone": "Europe/Berlin"}
DAILY = {"frequency": 1440.0}


def at(text: str, zone: str = "Europe/Berlin", fold: int = 0) -> Instant:
    """A moment by the clock on the wall, ``2026-03-02 03:00`` or, in 2026, ``03-02 03:00``."""
    text = text if text.count("-") == 2 else f"2026-{text}"
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold).timestamp()


def window(start: str, minutes: float) -> Window:
    hour, minute = map(int, start.split(":"))
    return Window(hour * 3600 + minute * 60, minutes * 60)


def judged(now: Instant, grace: Seconds = 60.0, own: dict[str, Any] | None = None, **report: Any) -> Verdict:
    """The verdict on a report at a moment; `own` is what the ini file sets."""
    found = Report(**{"ok": True, "lastrun": None, **report})
    return judge(Reported(200, found), task(grace, **(own or {})), now)


class Row(NamedTuple):
    """A case of the table: local times in Berlin in 2026."""

    words: str
    report: dict[str, Any]
    now: str
    kind: Kind
    due: str | None
    own: dict[str, Any] = {}  # noqa: RUF012


WHOLE_DAY = (window("00:00", 1440),)
NIGHT, LATER = (window("22:00", 450),), (window("21:30", 450),)

#: lastrun, started and now are times in Berlin; 2026-03-02 is a Monday.
TABLE = [
    # Frequencies.
    Row("a nightly job is three minutes longer than yesterday, by frequency", {**DAILY, "lastrun": "03-02 03:10"},
        "03-03 03:13", Kind.LATE, "03-03 03:10"),
    Row("the same by its schedule and the time that it may take",
        {**NIGHTLY, "max_runtime": 30.0, "lastrun": "03-02 03:10"}, "03-03 03:13", Kind.OK, "03-03 03:30"),
    Row("the same by its start", {**NIGHTLY, "lastrun": "03-02 03:10", "started": "03-03 03:00"},
        "03-03 03:13", Kind.OK, "03-04 03:00"),
    Row("the same by its start and a frequency", {**DAILY, "lastrun": "03-02 03:10", "started": "03-03 03:00"},
        "03-03 03:13", Kind.OK, "03-04 03:00"),
    Row("a weekday job on Sunday", {**WEEKDAYS, "lastrun": "03-06 03:10"}, "03-08 12:00", Kind.OK, "03-09 03:00"),
    Row("a weekday job on Monday", {**WEEKDAYS, "lastrun": "03-06 03:10"}, "03-09 03:02", Kind.LATE, "03-09 03:00"),
    Row("a daily job on the day of 25 hours", {**NIGHTLY, "lastrun": "10-24 03:00"},
        "10-25 02:59:00+01:00", Kind.OK, "10-25 03:00"),
    Row("any frequency of a day is late then", {**DAILY, "lastrun": "10-24 03:00"},
        "10-25 02:59:00+01:00", Kind.LATE, "10-25 02:00:00+01:00"),
    # What a moment is.
    Row("the run of the scheduled minute itself", {**NIGHTLY, "lastrun": "03-02 03:00"},
        "03-02 03:00", Kind.OK, "03-03 03:00"),
    Row("a run reported 60 s before its minute is that of the minute", {**NIGHTLY, "lastrun": "03-02 02:59"},
        "03-02 03:30", Kind.OK, "03-03 03:00"),
    Row("one reported 61 s before is not", {**NIGHTLY, "lastrun": "03-02 02:58:59"},
        "03-02 03:30", Kind.LATE, "03-02 03:00"),
    Row("at the end of the grace", {**NIGHTLY, "lastrun": "03-01 03:00"}, "03-02 03:01", Kind.OK, "03-02 03:00"),
    Row("a second later", {**NIGHTLY, "lastrun": "03-01 03:00"}, "03-02 03:01:01", Kind.LATE, "03-02 03:00"),
    Row("a schedule counts and not the frequency", {**NIGHTLY, "frequency": 5.0, "lastrun": "03-02 03:00"},
        "03-02 12:00", Kind.OK, "03-03 03:00"),
    Row("a name", {"schedule": "@weekly", "timezone": "Europe/Berlin", "lastrun": "03-01 00:05"},
        "03-07 23:59", Kind.OK, "03-08 00:00"),
    Row("UTC without a zone", {"schedule": "0 3 * * *", "lastrun": "03-02 03:30"},
        "03-02 04:00", Kind.OK, "03-02 04:00"),
    Row("the last day of February", {"schedule": "0 3 L * *", "timezone": "Europe/Berlin", "lastrun": "01-31 03:00"},
        "02-28 03:02", Kind.LATE, "02-28 03:00"),
    Row("the 31st is not in April", {"schedule": "0 3 31 * *", "timezone": "Europe/Berlin", "lastrun": "03-31 03:00"},
        "05-30 12:00", Kind.OK, "05-31 03:00"),
    Row("29 February", {"schedule": "0 3 29 2 *", "timezone": "Europe/Berlin", "lastrun": "2024-02-29 03:00"},
        "03-02 12:00", Kind.OK, "2028-02-29 03:00"),
    Row("day of month or day of week", {"schedule": "0 3 1 * 1", "timezone": "Europe/Berlin", "lastrun": "03-02 03:00"},
        "03-08 12:00", Kind.OK, "03-09 03:00"),
    # The changes of the clock.
    Row("a moment in the gap of spring comes at its end",
        {"schedule": "30 2 * * *", "timezone": "Europe/Berlin", "lastrun": "03-28 02:31"},
        "03-29 03:02", Kind.LATE, "03-29 03:00"),
    Row("a moment that comes twice counts once",
        {"schedule": "30 2 * * *", "timezone": "Europe/Berlin", "lastrun": "10-25 02:31"},
        "10-25 12:00", Kind.OK, "10-26 02:30"),
    Row("every 30 min follows the wall",
        {"schedule": "*/30 * * * *", "timezone": "Europe/Berlin", "lastrun": "10-25 02:30"},
        "10-25 02:45", Kind.OK, "10-25 02:00:00+01:00"),
    # Runs that take time.
    Row("a run under way is in time", {**NIGHTLY, "max_runtime": 60.0, "lastrun": "03-02 03:10",
        "started": "03-03 03:00"}, "03-03 03:55", Kind.OK, "03-03 04:00"),
    Row("it takes longer than it may", {**NIGHTLY, "max_runtime": 60.0, "lastrun": "03-02 03:10",
        "started": "03-03 03:00"}, "03-03 04:02", Kind.LATE, "03-03 04:00"),
    Row("it began early", {**NIGHTLY, "max_runtime": 60.0, "lastrun": "03-02 03:10", "started": "03-02 22:00"},
        "03-02 23:02", Kind.LATE, "03-02 23:00"),
    Row("it began in the grace", {**NIGHTLY, "max_runtime": 60.0, "lastrun": "03-02 03:10",
        "started": "03-03 03:01"}, "03-03 03:30", Kind.OK, "03-03 04:01"),
    Row("it began after the grace: a job that crashes and starts again",
        {**NIGHTLY, "max_runtime": 60.0, "lastrun": "03-02 03:10", "started": "03-03 03:01:01"},
        "03-03 03:30", Kind.LATE, "03-03 03:00"),
    Row("by a frequency, too", {"frequency": 10.0, "lastrun": "03-02 03:00", "started": "03-02 03:12"},
        "03-02 03:13", Kind.LATE, "03-02 03:10"),
    Row("a run that ended when it began", {"frequency": 10.0, "lastrun": "03-02 03:00", "started": "03-02 03:00"},
        "03-02 03:05", Kind.OK, "03-02 03:10"),
    Row("a report that tells runs apart gets no time for them",
        {**NIGHTLY, "max_runtime": 60.0, "lastrun": "03-02 03:10", "started": "03-02 03:00"},
        "03-03 03:02", Kind.LATE, "03-03 03:00"),
    Row("max_runtime is not added to a frequency", {"frequency": 10.0, "max_runtime": 60.0, "lastrun": "03-02 03:00"},
        "03-02 03:12", Kind.LATE, "03-02 03:10"),
    Row("the first run of all", {**NIGHTLY, "max_runtime": 60.0, "started": "03-02 12:00"},
        "03-02 12:30", Kind.OK, "03-02 13:00"),
    Row("it takes too long", {**NIGHTLY, "max_runtime": 60.0, "started": "03-02 12:00"},
        "03-02 13:02", Kind.LATE, "03-02 13:00"),
    Row("the first run without a limit, by its schedule", {**NIGHTLY, "started": "03-02 02:59:30"},
        "03-02 12:00", Kind.OK, "03-03 03:00"),
    Row("the first run without a limit, by its frequency", {"frequency": 90.0, "started": "03-02 02:00"},
        "03-02 03:32", Kind.LATE, "03-02 03:30"),
    Row("the first run of one that always sleeps", {"frequency": 10.0, "started": "03-02 02:00", "sleep": WHOLE_DAY},
        "03-02 03:00", Kind.SLEEPING, None),
    # The future.
    Row("the clock may be a minute and the grace ahead", {**NIGHTLY, "lastrun": "03-02 03:02"},
        "03-02 03:00", Kind.OK, "03-03 03:00"),
    Row("and no more", {**NIGHTLY, "lastrun": "03-02 03:02:01"}, "03-02 03:00", Kind.FUTURE, "03-03 03:00"),
    Row("a start in the future", {"frequency": 10.0, "lastrun": "03-02 03:00", "started": "03-02 03:11:01"},
        "03-02 03:00", Kind.FUTURE, "03-02 03:10"),
    # Sleep.
    Row("a moment in sleep is passed over", {**NIGHTLY, "lastrun": "03-01 03:00", "sleep": (window("01:00", 120),)},
        "03-02 04:00", Kind.LATE, "03-02 03:00"),
    Row("hourly through the night", {"schedule": "0 * * * *", "lastrun": "03-02 22:00", "sleep": NIGHT},
        "03-03 06:31", Kind.OK, "03-03 07:00"),
    Row("the moment of waking does", {"schedule": "0 * * * *", "lastrun": "03-02 22:00", "sleep": LATER},
        "03-03 06:01", Kind.OK, "03-03 06:00"),
    Row("sleep comes first", {**NIGHTLY, "lastrun": "02-01 03:00", "sleep": (window("01:00", 60),)},
        "03-02 02:30", Kind.SLEEPING, "02-02 03:00"),
    Row("a run under way is due in sleep", {"frequency": 60.0, "max_runtime": 90.0, "lastrun": "03-02 22:00",
        "started": "03-02 22:30", "sleep": (window("22:00", 60),)}, "03-03 00:02", Kind.LATE, "03-03 00:00"),
    # The ini file.
    Row("its schedule wins", {"frequency": 10.0, "lastrun": "03-02 03:10"}, "03-02 12:00", Kind.OK, "03-03 03:00",
        {"schedule": "0 3 * * *", "timezone": "Europe/Berlin"}),
    Row("without a zone that is in UTC", {**NIGHTLY, "lastrun": "03-02 03:10"}, "03-02 04:02", Kind.LATE, "03-02 04:00",
        {"schedule": "0 3 * * *"}),
    Row("its frequency wins over the report's schedule", {**NIGHTLY, "lastrun": "03-02 03:00"},
        "03-02 03:12", Kind.LATE, "03-02 03:10", {"frequency": 10.0}),
    Row("its zone is that of the report's schedule, too", {"schedule": "0 3 * * *", "timezone": "Asia/Kathmandu",
        "lastrun": "03-02 03:00"}, "03-02 12:00", Kind.OK, "03-03 03:00", {"timezone": "Europe/Berlin"}),
    Row("its max_runtime wins", {**NIGHTLY, "max_runtime": 1.0, "lastrun": "03-01 03:10"},
        "03-02 03:25", Kind.OK, "03-02 03:30", {"max_runtime": 30.0}),
    Row("its sleep wins, in its zone", {"frequency": 60.0, "lastrun": "03-28 21:30", "sleep": (window("00:00", 1440),)},
        "03-29 05:30", Kind.SLEEPING, "03-29 07:30", {"timezone": "Europe/Berlin", "sleep": (window("22:00", 450),)}),
    Row("it never sleeps", {"frequency": 60.0, "lastrun": "03-02 12:00", "sleep": (window("00:00", 1440),)},
        "03-02 13:02", Kind.LATE, "03-02 13:00", {"sleep": ()}),
    Row("asleep all day", {**NIGHTLY, "lastrun": "03-02 03:00", "started": "03-02 04:00", "max_runtime": 5.0},
        "03-09 12:00", Kind.SLEEPING, None, {"sleep": (window("00:00", 1440),), "timezone": "Europe/Berlin"}),
]  # fmt: skip


class TableTests(SynchronousTestCase):
    def moment(self, text: str) -> Instant:
        return datetime.fromisoformat(f"2026-{text}").timestamp() if "+" in text else at(text)

    def test_table(self) -> None:
        self.assertGreaterEqual(len(TABLE), 50)
        for row in TABLE:
            report = dict(row.report)
            for member in ("lastrun", "started"):
                if member in report:
                    report[member] = self.moment(report[member])
            verdict = judged(self.moment(row.now), own=row.own, **report)
            due = None if row.due is None else self.moment(row.due)
            self.assertEqual((verdict.kind, verdict.due), (row.kind, due), (row.words, verdict.explanation))


class NextChangeTests(SynchronousTestCase):
    def test_late(self) -> None:
        verdict = judged(at("03-02 12:00"), **NIGHTLY, lastrun=at("03-02 03:00"))
        self.assertEqual(verdict.next_change, at("03-03 03:01") + RESOLUTION)

    def test_the_end_of_a_run(self) -> None:
        verdict = judged(
            at("03-03 03:30"), **NIGHTLY, max_runtime=60.0, lastrun=at("03-02 03:00"), started=at("03-03 03:00")
        )
        self.assertEqual(verdict.next_change, at("03-03 04:01") + RESOLUTION)

    def test_the_end_of_the_future(self) -> None:
        verdict = judged(at("03-02 03:00"), **NIGHTLY, lastrun=at("03-02 03:10"))
        self.assertEqual(verdict.next_change, at("03-02 03:08"))

    def test_sleep_in_a_local_zone(self) -> None:
        own = {"sleep": (window("22:00", 450),), "timezone": "Europe/Berlin"}
        verdict = judged(at("03-28 12:00"), own=own, frequency=1440.0, lastrun=at("03-28 11:00"))
        self.assertEqual(verdict.next_change, at("03-28 22:00"))
        verdict = judged(at("03-28 23:00"), own=own, frequency=1440.0, lastrun=at("03-28 11:00"))
        # Seven and a half hours in the night that is an hour shorter.
        self.assertEqual((verdict.sleep_start, verdict.sleep_end), (at("03-28 22:00"), at("03-29 06:30")))
        self.assertEqual(verdict.next_change, verdict.sleep_end)


class ExplanationTests(SynchronousTestCase):
    def words(self, now: str, own: dict[str, Any] | None = None, ok: bool = True, **report: Any) -> str:
        moments = {name: at(report[name]) for name in ("lastrun", "started") if name in report}
        return judged(at(now), own=own, ok=ok, **{**report, **moments}).explanation

    def test_a_schedule(self) -> None:
        ran = "last ran 2026-02-27 03:12 Europe/Berlin, runs at 03:00 Europe/Berlin, Monday to Friday"
        due = "due 2026-03-02 03:00 Europe/Berlin; grace 1 min"
        self.assertEqual(self.words("02-28 12:00", **WEEKDAYS, lastrun="02-27 03:12"), f"{ran}; {due}")
        self.assertEqual(self.words("03-02 12:00", **WEEKDAYS, lastrun="02-27 03:12"), f"{ran}; was {due}")

    def test_with_seconds_and_with_dates_where_the_day_changes(self) -> None:
        self.assertEqual(
            self.words("03-02 12:00", schedule="*/10 * * * *", timezone="Asia/Kathmandu", lastrun="03-02 12:00:07"),
            "last ran 2026-03-02 16:45:07 Asia/Kathmandu, runs every 10 min; due 16:50 Asia/Kathmandu; grace 1 min",
        )

    def test_time_to_run(self) -> None:
        self.assertIn(
            "every day; due 2026-03-03 04:00 Europe/Berlin (with 1 h to run); grace 1 min",
            self.words("03-02 12:00", **NIGHTLY, max_runtime=60.0, lastrun="03-02 03:12"),
        )

    def test_a_run_under_way(self) -> None:
        report: dict[str, Any] = {**WEEKDAYS, "lastrun": "02-27 03:12", "started": "03-02 02:58"}
        ran = "last ran 2026-02-27 03:12 Europe/Berlin, runs at 03:00 Europe/Berlin, Monday to Friday"
        since = "running since 2026-03-02 02:58 Europe/Berlin"
        self.assertEqual(
            self.words("03-02 03:30", **report, max_runtime=60.0),
            f"{ran}; {since}, may take 1 h; due 03:58 Europe/Berlin; grace 1 min",
        )
        self.assertEqual(
            self.words("03-02 04:30", **report, max_runtime=60.0),
            f"{ran}; {since}, longer than its 1 h; was due 03:58 Europe/Berlin; grace 1 min",
        )
        self.assertEqual(
            self.words("03-02 03:00:30", **report), f"{ran}; {since}; due 03:00 Europe/Berlin; grace 1 min"
        )
        self.assertEqual(
            self.words("03-03 03:30", **{**report, "started": "03-02 03:00"}),
            f"{ran}; running since 2026-03-02 03:00 Europe/Berlin; was due 2026-03-03 03:00 Europe/Berlin; grace 1 min",
        )

    def test_a_run_under_way_by_frequency(self) -> None:
        self.assertEqual(
            self.words("03-02 03:30", **DAILY, lastrun="03-01 04:00", started="03-02 03:00", max_runtime=45.0),
            "last ran 2026-03-01 03:00:00 UTC, runs every day; running since 2026-03-02 02:00:00 UTC, may take 45 min; "
            "due 02:45:00 UTC; grace 1 min",
        )

    def test_a_run_that_began_too_late(self) -> None:
        self.assertEqual(
            self.words("03-02 03:30", frequency=10.0, lastrun="03-02 03:00", started="03-02 03:20"),
            "last ran 2026-03-02 02:00:00 UTC, runs every 10 min, was due 02:10:00 UTC; grace 1 min; "
            "running only since 02:20:00 UTC",
        )

    def test_the_first_run(self) -> None:
        self.assertEqual(
            self.words("03-02 03:30", **NIGHTLY, started="03-02 03:00"),
            "no run has ended yet; it runs at 03:00 Europe/Berlin every day; "
            "running since 2026-03-02 03:00 Europe/Berlin; due 2026-03-03 03:00 Europe/Berlin; grace 1 min",
        )

    def test_failed(self) -> None:
        self.assertEqual(
            self.words("03-02 03:30", ok=False, reason="disk full", **NIGHTLY, lastrun="03-02 03:10"),
            'the task reports an error: "disk full"; last ran 2026-03-02 03:10 Europe/Berlin, '
            "runs at 03:00 Europe/Berlin every day; due 2026-03-03 03:00 Europe/Berlin",
        )

    def test_future(self) -> None:
        for members, words in [
            ({**NIGHTLY, "lastrun": "03-02 03:10"},
             "lastrun 2026-03-02 03:10 Europe/Berlin is in the future by more than 1 min"),
            ({"frequency": 5.0, "lastrun": "03-02 02:00", "started": "03-02 03:10"},
             "started 2026-03-02 02:10:00 UTC is in the future by more than its frequency of 5 min"),
        ]:  # fmt: skip
            self.assertEqual(self.words("03-02 03:00", **members), f"{words} plus 1 min grace")

    def test_asleep(self) -> None:
        own = {"sleep": (window("22:00", 450),), "timezone": "Europe/Berlin"}
        self.assertEqual(
            self.words("03-28 23:00", own=own, frequency=60.0, lastrun="03-28 21:30"),
            "sleeps until 2026-03-29 06:30 Europe/Berlin (every day from 22:00 Europe/Berlin for 7 h 30 min); "
            "last ran 2026-03-28 21:30 Europe/Berlin, runs every hour, "
            "due 2026-03-29 07:30 Europe/Berlin (postponed by sleep)",
        )
        self.assertEqual(
            self.words("03-28 23:00", own={"sleep": (window("00:00", 1440),)}, **NIGHTLY, lastrun="03-28 03:00"),
            "sleeps all day; last ran 2026-03-28 03:00 Europe/Berlin, runs at 03:00 Europe/Berlin every day",
        )

    def test_a_time_that_comes_twice_has_its_offset(self) -> None:
        text = self.words("10-25 01:00", schedule="30 2 * * *", timezone="Europe/Berlin", lastrun="10-24 02:30")
        self.assertIn("due 2026-10-25 02:30+02:00 Europe/Berlin", text)


class PlanTests(SynchronousTestCase):
    def test_without_a_report(self) -> None:
        plan = plan_of(task())
        self.assertEqual((plan.frequency, plan.cron, plan.words, plan.due_after(0.0).at), (None, None, "", None))
        plan = plan_of(task(frequency=10.0, max_runtime=5.0, sleep=(window("00:00", 5),)))
        self.assertEqual((plan.words, plan.max_runtime, plan.due_after(0.0).at), ("every 10 min", 300.0, 600.0))
        self.assertIsNotNone(plan.sleep.period_at(0.0))
        plan = plan_of(task(schedule="@daily", timezone="Europe/Berlin"))
        self.assertEqual((plan.frequency, plan.due_after(at("03-02 12:00")).at), (None, at("03-03 00:00")))

    def test_what_the_time_zone_database_does_not_know_any_more(self) -> None:
        """A report that was kept, or a task that was configured, before an upgrade of the database."""
        plan = plan_of(task(), Report(True, 0.0, schedule="@daily", timezone="Mars/Base"))
        self.assertEqual((plan.cron, plan.frequency), (None, 600.0))
        plan = plan_of(task(sleep=(window("00:00", 60),), timezone="Mars/Base"), Report(True, 0.0))
        self.assertIsNotNone(plan.sleep.period_at(60.0))

    def test_outside_the_calendar(self) -> None:
        """Nothing raises for the moments that a report may have, nor for those of a broken clock."""
        for moment in (-62_135_683_140.0, 253_402_387_140.0, -1e18, 1e18):
            for own in ({}, {"sleep": (window("22:00", 60),), "timezone": "Europe/Berlin"}):
                for report in ({"lastrun": moment}, {"started": moment}, {"lastrun": 0.0, "started": moment}):
                    for now in (moment, at("03-02 12:00")):
                        verdict = judged(now, own=own, **NIGHTLY, **report)
                        self.assertEqual(len(verdict.explanation.splitlines()), 1)
        self.assertIs(judged(at("03-02 12:00"), **NIGHTLY, lastrun=-62_135_683_140.0).kind, Kind.LATE)

    def test_sleep_at(self) -> None:
        asleep = (window("22:00", 60),)
        report, now = Report(True, 0.0, sleep=asleep), 22 * 3600.0
        self.assertIsNone(sleep_at(task(), None, now))
        self.assertIsNone(sleep_at(task(), Report(True, 0.0), now))
        self.assertIsNotNone(sleep_at(task(), report, now))
        self.assertIsNone(sleep_at(task(sleep=()), report, now))
        self.assertIsNotNone(sleep_at(task(sleep=asleep), None, now))

    def test_same_rules(self) -> None:
        self.assertTrue(same_rules(task(), task(interval=5.0, failures=3)))
        for other in (
            task(1.0),
            task(frequency=1.0),
            task(schedule="@daily"),
            task(timezone="UTC"),
            task(max_runtime=1.0),
            task(sleep=()),
        ):
            self.assertFalse(same_rules(task(), other))

    def test_thousands_of_windows_are_few_steps(self) -> None:
        """A schedule whose every moment is in a window of its own: the first stands, at once."""
        windows = tuple(Window(minute * 60, 1.0) for minute in range(1440))
        verdict = judged(at("03-02 12:00:30"), schedule="* * * * *", sleep=windows, lastrun=at("03-02 12:00"))
        self.assertEqual((verdict.kind, verdict.due), (Kind.OK, at("03-02 12:02")))


class ModelTests(SynchronousTestCase):
    @quick
    @given(st.integers(0, 2**32))
    def test_as_the_model(self, seed: int) -> None:
        cases = Cases(random.Random(seed))
        for _ in range(5):
            case = cases.case()
            self.assertIsNone(compare(case), case)
