"""The calendar: when tasks are due and asleep, against a model that looks at every minute."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from pypinger.domain.calendar import CalendarEntry, Happening, entries, naps, scheduled
from pypinger.domain.model import Instant, Report, Task, Window
from pypinger.domain.schedule import plan_of
from pypinger.domain.sleep import merge

HOUR, DAY = 3600.0, 86_400.0
DUE, ASLEEP, AWAKE, OVERDUE = Happening.DUE, Happening.ASLEEP, Happening.AWAKE, Happening.OVERDUE
BERLIN = ZoneInfo("Europe/Berlin")


def at(text: str, zone: ZoneInfo = BERLIN) -> Instant:
    return datetime.fromisoformat(text).replace(tzinfo=zone).timestamp()


def local(instant: Instant | None) -> str:
    return "" if instant is None else datetime.fromtimestamp(instant, BERLIN).strftime("%m-%d %H:%M")


def make_task(**settings: object) -> Task:
    return Task(url="http://a.example/", id="a", name="a", label="a", **{"timezone": "Europe/Berlin", **settings})  # type: ignore[arg-type]


def ran(lastrun: Instant | None, started: Instant | None = None, **members: object) -> Report:
    return Report(True, lastrun, started=started, **members)  # type: ignore[arg-type]


class CalendarTests(SynchronousTestCase):
    def lines(
        self, task: Task, report: Report | None, since: str, days: float = 3, *, zone: ZoneInfo = BERLIN
    ) -> list[tuple[str, str, str]]:
        start = at(since, zone)
        found = entries(task, report, start, start + days * DAY)
        return [(local(each.at), each.what.value, local(each.until)) for each in found]

    def test_schedule_over_both_changes_of_the_clock(self) -> None:
        task = make_task(schedule="30 2 * * *")
        self.assertEqual(
            self.lines(task, None, "2026-03-28 02:30", 2.9),
            [("03-28 02:30", "due", ""), ("03-29 03:00", "due", ""), ("03-30 02:30", "due", "")],
        )
        self.assertEqual(
            self.lines(task, ran(at("2026-10-24 02:31")), "2026-10-24 12:00", 2.5),
            [("10-25 02:30", "due", ""), ("10-26 02:30", "due", "")],
        )

    def test_weekdays(self) -> None:
        task = make_task(schedule="0 3 * * mon-fri")
        found = self.lines(task, None, "2026-03-06 03:01", 5)
        self.assertEqual([line[0] for line in found], ["03-09 03:00", "03-10 03:00", "03-11 03:00"])

    def test_a_run_that_was_early_is_not_due_again(self) -> None:
        task = make_task(schedule="0 3 * * *")
        found = self.lines(task, ran(at("2026-03-06 02:59:10")), "2026-03-06 02:59:30", 2)
        self.assertEqual([line[0] for line in found], ["03-07 03:00"])

    def test_frequency_follows_the_last_run(self) -> None:
        report = ran(at("2026-03-06 10:07"), frequency=600)
        self.assertEqual(
            self.lines(make_task(), report, "2026-03-06 12:00", 1),
            [("03-06 20:07", "due", ""), ("03-07 06:07", "due", "")],
        )

    def test_frequency_of_the_ini_file_without_a_report(self) -> None:
        self.assertEqual(self.lines(make_task(frequency=600.0), None, "2026-03-06 12:00"), [])

    def test_frequency_with_sleep(self) -> None:
        # Sleep in local time, over the night of 23 hours.
        task = make_task(frequency=360.0, sleep=(Window(22 * 3600, 8 * HOUR),))
        self.assertEqual(
            self.lines(task, ran(at("2026-03-28 11:00")), "2026-03-28 12:00", 1.1),
            [
                ("03-28 17:00", "due", ""),
                ("03-28 22:00", "asleep", "03-29 07:00"),
                ("03-29 07:00", "awake", ""),
                ("03-29 13:00", "due", ""),
            ],
        )

    def test_asleep_now(self) -> None:
        task = make_task(sleep=(Window(22 * 3600, 8 * HOUR),))
        found = self.lines(task, None, "2026-03-06 23:00", 0.5)
        self.assertEqual(found, [("03-06 23:00", "asleep", "03-07 06:00"), ("03-07 06:00", "awake", "")])

    def test_asleep_all_day(self) -> None:
        task = make_task(schedule="0 3 * * *", sleep=(Window(0, DAY),))
        self.assertEqual(self.lines(task, None, "2026-03-06 12:00"), [("03-06 12:00", "asleep", "")])
        report = ran(at("2026-03-01 12:00"))
        self.assertEqual(self.lines(task, report, "2026-03-06 12:00"), [("03-06 12:00", "asleep", "")])

    def test_overdue(self) -> None:
        task = make_task(schedule="0 3 * * *")
        self.assertEqual(
            self.lines(task, ran(at("2026-03-01 03:05")), "2026-03-06 12:00", 1),
            [("03-02 03:00", "overdue", ""), ("03-07 03:00", "due", "")],
        )
        report = ran(at("2026-03-06 03:05"), frequency=360)
        self.assertEqual(
            self.lines(make_task(), report, "2026-03-06 12:00", 0.6),
            [("03-06 09:05", "overdue", ""), ("03-06 18:00", "due", ""), ("03-07 00:00", "due", "")],
        )

    def test_time_for_the_run(self) -> None:
        task = make_task(schedule="0 3 * * *", max_runtime=90.0)
        for report in (None, ran(at("2026-03-06 04:05")), ran(at("2026-03-06 04:05"), at("2026-03-06 03:00"))):
            self.assertEqual(self.lines(task, report, "2026-03-06 12:00", 1)[0][0], "03-07 03:00")
        report = ran(at("2026-03-06 04:05"))
        self.assertEqual(
            self.lines(task, report, "2026-03-06 12:00", 2),
            [("03-07 03:00", "due", "03-07 04:30"), ("03-08 03:00", "due", "03-08 04:30")],
        )

    def test_a_run_under_way(self) -> None:
        started = at("2026-03-06 03:00:05")
        task = make_task(schedule="0 3 * * *", max_runtime=90.0)
        now = at("2026-03-06 03:30")
        found = entries(task, ran(at("2026-03-05 03:50"), started), now, now + DAY)
        self.assertEqual(
            found,
            [
                CalendarEntry(started + 90 * 60, DUE, None, started),
                CalendarEntry(at("2026-03-07 03:00"), DUE, at("2026-03-07 04:30")),
            ],
        )
        now = at("2026-03-06 05:00")
        found = entries(task, ran(None, started), now, now + DAY)
        self.assertEqual([(each.what, each.running) for each in found], [(OVERDUE, started), (DUE, None)])
        # Without the time that it may take, the next due time counts.
        found = entries(make_task(frequency=600.0), ran(None, started), now, now + DAY)
        self.assertEqual(found[0], CalendarEntry(started + 36_000, DUE, None, started))
        self.assertEqual(found[1], CalendarEntry(started + 72_000, DUE))

    def test_many_moments_are_one(self) -> None:
        task = make_task(schedule="*/10 * * * *", sleep=(Window(22 * 3600, 8 * HOUR),))
        report = ran(at("2026-03-06 11:55"), at("2026-03-06 11:50"))
        start = at("2026-03-06 12:00")
        found = entries(task, report, start, start + DAY, 48)
        self.assertEqual([each.what for each in found], [DUE, ASLEEP, AWAKE])
        self.assertEqual((found[0].at, found[0].repeats), (start, "every 10 min"))
        found = entries(make_task(frequency=1.0), ran(start - 7200), start, start + DAY, 1)
        self.assertEqual([(each.what, each.repeats) for each in found], [(OVERDUE, ""), (DUE, "every minute")])
        found = entries(make_task(schedule="*/30 * * * *"), None, start, start + DAY, 48)
        self.assertEqual(len(found), 48)
        self.assertEqual(len(entries(make_task(schedule="* * * * *"), None, start, start + DAY)), 1440)

    def test_a_task_that_has_never_reported_since_it_was_configured(self) -> None:
        now = at("2026-03-06 12:00")
        for task, configured, expected in (
            (make_task(schedule="0 3 * * *"), "2026-03-05 12:00", [(OVERDUE, "03-06 03:00"), (DUE, "03-07 03:00")]),
            (make_task(schedule="0 3 * * *"), "2026-03-06 11:00", [(DUE, "03-07 03:00")]),
            (make_task(frequency=900.0), "2026-03-06 11:00", [(DUE, "03-07 02:00")]),
            (make_task(frequency=900.0), "2026-03-05 11:00", [(OVERDUE, "03-06 02:00"), (DUE, "03-07 03:00")]),
            (make_task(), "2026-03-05 11:00", []),
        ):
            found = entries(task, None, now, now + DAY, configured=at(configured))
            self.assertEqual([(each.what, local(each.at)) for each in found], expected)

    def test_nothing_is_known(self) -> None:
        self.assertEqual(self.lines(make_task(), None, "2026-03-06 12:00"), [])

    def test_due_later(self) -> None:
        self.assertEqual(self.lines(make_task(), ran(at("2026-03-06 11:00"), frequency=9999), "2026-03-06 12:00"), [])


class ScheduledTests(SynchronousTestCase):
    def test_between(self) -> None:
        plan = plan_of(make_task(schedule="0 3 * * *"))
        start = at("2026-03-06 03:00")
        self.assertEqual([local(each) for each in scheduled(plan, start, start + DAY, 9)], ["03-06 03:00"])
        self.assertEqual(len(scheduled(plan, start, start + 9 * DAY + 1, 10)), 10)
        self.assertEqual(scheduled(plan, start, start + 9 * DAY + 1, 9), [])
        self.assertEqual(scheduled(plan_of(make_task(frequency=10.0)), start, start + DAY, 999), [])

    def test_every_minute(self) -> None:
        plan = plan_of(make_task(schedule="* * * * *"))
        start = at("2026-03-06 03:00")
        self.assertEqual(scheduled(plan, start, start + 300, 99), [start + 60 * number for number in range(5)])


ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Africa/Casablanca")
#: A day or two before changes of the clock.
STARTS = (
    "2026-03-28",
    "2026-10-24",
    "2026-03-07",
    "2026-10-31",
    "2026-04-04",
    "2026-10-03",
    "2026-02-14",
    "2026-03-21",
)


def by_the_wall(
    minute: int, hours: Sequence[int], weekdays: set[int], zone: ZoneInfo, first: Instant, last: Instant
) -> list[Instant]:
    """The moments of a schedule without steps or stars, found on the wall clock."""
    found = set()
    day = datetime.fromtimestamp(first, zone).date() - timedelta(days=1)
    while day <= datetime.fromtimestamp(last, zone).date():
        for hour in hours:
            wall = datetime(day.year, day.month, day.day, hour, minute)
            moment = wall.replace(tzinfo=zone).astimezone(UTC)
            if moment.astimezone(zone).replace(tzinfo=None) != wall:
                # In the gap of spring: the first minute after it.
                moment = wall.replace(tzinfo=zone, fold=1).astimezone(UTC)
                while moment.astimezone(zone).replace(tzinfo=None) < wall:
                    moment += timedelta(minutes=1)
            if day.weekday() in weekdays:
                found.add(moment.timestamp())
        day += timedelta(days=1)
    return sorted(each for each in found if first <= each < last)


class BruteForceTests(SynchronousTestCase):
    @settings(deadline=None, max_examples=60)
    @given(
        st.sampled_from(ZONES),
        st.sampled_from(STARTS),
        st.integers(0, 2879),
        st.integers(0, 59),
        st.lists(st.integers(0, 23), min_size=1, max_size=3),
        st.sets(st.integers(0, 6), min_size=1),
        st.lists(st.tuples(st.integers(0, 1439), st.integers(1, 600)), max_size=2),
    )
    def test_every_minute(
        self,
        name: str,
        day: str,
        minutes: int,
        minute: int,
        hours: list[int],
        weekdays: set[int],
        windows: list[tuple[int, int]],
    ) -> None:
        zone = ZoneInfo(name)
        start = at(day, zone) + minutes * 60
        end = start + 3 * DAY
        days = ",".join(str((each + 1) % 7) for each in sorted(weekdays))
        task = make_task(
            schedule=f"{minute} {','.join(map(str, hours))} * * {days}",
            timezone=name,
            sleep=tuple(Window(first * 60, length * 60.0) for first, length in windows),
        )
        found = entries(task, None, start, end)
        sleep = plan_of(task).sleep
        asleep = [sleep.period_at(start + 60 * number) is not None for number in range(int((end - start) / 60))]
        expected = [
            moment
            for moment in by_the_wall(minute, hours, weekdays, zone, start, end)
            if not asleep[int((moment - start) / 60)]
        ]
        due = [each.at for each in found if each.what is DUE]
        if all(asleep) or not expected:
            # Where no scheduled moment is awake the first stands.
            self.assertLessEqual(set(due), set(by_the_wall(minute, hours, weekdays, zone, start, end)))
        else:
            self.assertEqual(due, expected)
        changes = [(each.at, each.what) for each in found if each.what is not DUE]
        wanted = [(start, ASLEEP)] if asleep[0] else []
        for number in range(1, len(asleep)):
            if asleep[number] is not asleep[number - 1]:
                wanted.append((start + 60 * number, ASLEEP if asleep[number] else AWAKE))
        self.assertEqual([each for each in changes if each[0] <= end - 60], wanted)

    @given(st.integers(0, 100_000), st.lists(st.tuples(st.integers(0, 1439), st.integers(1, 1440)), max_size=3))
    def test_naps(self, start: int, windows: list[tuple[int, int]]) -> None:
        sleep = merge(tuple(Window(first * 60, length * 60.0) for first, length in windows))
        begin = start * 60.0
        found = list(naps(sleep, begin, begin + 2 * DAY))
        for number in range(2880):
            moment = begin + number * 60
            inside = any(each.start <= moment and (each.end is None or moment < each.end) for each in found)
            self.assertIs(inside, sleep.period_at(moment) is not None)
