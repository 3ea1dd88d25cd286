"""
The brute-force model of section 2 of the contract: it looks at every minute, and matches cron expressions by itself.

``python -m tests.domain.minutely [CASES [SEED]]`` compares random cases with :mod:`pypinger.domain.judge` and prints
those that differ.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

from pypinger.domain.judge import RESOLUTION, judge
from pypinger.domain.kinds import Kind
from pypinger.domain.model import Instant, Report, Reported, Task, Window
from tests.domain.strategies import task as make_task

DAY = 1440

#: Zones, and the days around which cases lie: changes of the clock, a leap day, ends of months.
PLACES = (
    ("UTC", "2028-02-28"),
    ("Europe/Berlin", "2026-03-29"),
    ("Europe/Berlin", "2026-10-25"),
    ("America/New_York", "2026-03-08"),
    ("America/New_York", "2026-11-01"),
    ("Australia/Lord_Howe", "2026-04-05"),
    ("Australia/Lord_Howe", "2026-10-04"),
    ("Asia/Kathmandu", "2026-12-31"),
    ("Africa/Casablanca", "2026-02-15"),
    ("Africa/Casablanca", "2026-03-22"),
    ("America/Sao_Paulo", "2018-11-04"),
    ("America/Havana", "2026-11-01"),
)

_BEFORE, _AFTER = 12, 70  # days around one of PLACES
_HORIZON = 2 * DAY  # minutes in which the next change is looked for
_NAMES = {name: number for number, name in enumerate(("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"))}


class Beyond(Exception):
    """The answer lies outside the calendar."""


class Calendar:
    """
    Every minute around a day in one zone.

    :ivar first: the first minute, in minutes since the epoch.
    :ivar wall: for each minute what the clock on the wall shows, in minutes.
    """

    def __init__(self, zone: str, day: str) -> None:
        around = datetime.fromisoformat(day).replace(tzinfo=UTC)
        self.first = int((around - timedelta(days=_BEFORE)).timestamp()) // 60
        where = ZoneInfo(zone)
        # The clock is set at whole quarters of an hour.
        self.wall: list[int] = []
        for minute in range(self.first, self.first + (_BEFORE + _AFTER) * DAY, 15):
            shown = datetime.fromtimestamp(minute * 60, where)
            begin = shown.toordinal() * DAY + shown.hour * 60 + shown.minute
            self.wall.extend(range(begin, begin + 15))
        # The minutes that the clock shows for the second time, and those before which it skips some.
        latest, self.again, self.skips = self.wall[0] - 1, set[int](), dict[int, range]()
        # For each minute of a day, when it comes: the first time, or at the end of the gap that it is in.
        self.daily: list[list[int]] = [[] for _ in range(DAY)]
        for index, wall in enumerate(self.wall):
            if wall <= latest:
                self.again.add(index)
                continue
            if wall > latest + 1:
                self.skips[index] = range(latest + 1, wall)
                for skipped in self.skips[index]:
                    self.daily[skipped % DAY].append(index)
            self.daily[wall % DAY].append(index)
            latest = wall

    def index(self, instant: Instant) -> int:
        """Return the index of the minute that a moment lies in."""
        index = int(instant // 60) - self.first
        if not 0 <= index < len(self.wall):
            raise Beyond
        return index

    def instant(self, index: int) -> Instant:
        return (self.first + index) * 60.0


@cache
def calendar(zone: str, day: str) -> Calendar:
    return Calendar(zone, day)


class Expression:
    """A cron expression; see crontab(5) of Debian, and ``L``, ``LW``, ``5L`` and ``1#2`` of cronsim."""

    def __init__(self, text: str) -> None:
        minute, hour, self.day, month, self.weekday = text.split()
        hours, minutes = _numbers(hour, 0, 23), _numbers(minute, 0, 59)
        self.times = [number // 60 in hours and number % 60 in minutes for number in range(DAY)]
        self.months = _numbers(month, 1, 12)
        self.plain = minute[0] != "*" and hour[0] != "*"
        self._dates: dict[int, bool] = {}

    def matches(self, wall: int) -> bool:
        """Whether a minute on the wall matches."""
        return self.times[wall % DAY] and self.on(wall // DAY)

    def on(self, ordinal: int) -> bool:
        """Whether a day matches."""
        if ordinal not in self._dates:
            self._dates[ordinal] = self._on(date.fromordinal(ordinal))
        return self._dates[ordinal]

    def _on(self, day: date) -> bool:
        last = (day.replace(day=28) + timedelta(days=4)).replace(day=1) - timedelta(days=1)
        number = day.isoweekday() % 7
        by_day = by_weekday = False
        for part in self.day.split(","):
            if part == "L":
                by_day |= day == last
            elif part == "LW":
                working = [last - timedelta(days=back) for back in range(3)]
                by_day |= day == next(each for each in working if each.isoweekday() < 6)
            else:
                by_day |= day.day in _numbers(part, 1, 31)
        for part in self.weekday.split(","):
            if part.endswith("L"):
                by_weekday |= number == int(part[:-1]) % 7 and day + timedelta(days=7) > last
            elif "#" in part:
                wanted, _, which = part.partition("#")
                by_weekday |= number == int(wanted) % 7 and (day.day - 1) // 7 + 1 == int(which)
            else:
                by_weekday |= number in {each % 7 for each in _numbers(part, 0, 7)}
        if self.day[0] == "*" or self.weekday[0] == "*":
            return day.month in self.months and by_day and by_weekday
        return day.month in self.months and (by_day or by_weekday)


def _numbers(field: str, least: int, most: int) -> set[int]:
    found: set[int] = set()
    for part in field.split(","):
        body, _, step = part.partition("/")
        first, _, last = body.partition("-")
        low, high = (least, most) if body == "*" else (_number(first), _number(last or first))
        if step and body != "*" and not last:
            high = most
        found |= set(range(low, high + 1, int(step or 1)))
    return found


def _number(text: str) -> int:
    return _NAMES[text] if text in _NAMES else int(text)


class Case(NamedTuple):
    """A report, the task's settings, and a moment at which both are judged."""

    place: tuple[str, str]
    report: Report
    code: int
    task: Task
    now: Instant


class Expected(NamedTuple):
    """What the contract says of a case."""

    kind: Kind
    due: Instant | None
    sleeps: tuple[Instant, Instant | None] | None
    change: Instant | None


class Model:
    """The contract's section 2, word for word."""

    def __init__(self, case: Case) -> None:
        report, task = case.report, case.task
        self.report, self.code, self.grace = report, case.code, task.grace
        if task.schedule is not None or task.frequency is not None:
            schedule, frequency = task.schedule, task.frequency or 0.0
        else:
            schedule, frequency = report.schedule, report.frequency
        zone = task.timezone
        if zone is None:
            zone = report.timezone if schedule is not None and task.schedule is None else None
        self.calendar = calendar(zone or "UTC", case.place[1]) if zone else calendar("UTC", case.place[1])
        self.expression = None if schedule is None else Expression(schedule)
        self.frequency = frequency * 60
        self.longest = report.max_runtime if task.max_runtime is None else task.max_runtime
        if task.sleep is None:
            self.asleep, self.always = _night(calendar("UTC", case.place[1]), report.sleep)
        else:
            self.asleep, self.always = _night(calendar(task.timezone or "UTC", case.place[1]), task.sleep)

    def sleeps(self, instant: Instant) -> bool:
        return self.always or bool(self.asleep[self.calendar.index(instant)])

    def fires(self, index: int) -> bool:
        """Whether the schedule has a moment at this minute."""
        expression, calendar = self.expression, self.calendar
        assert expression is not None
        if not expression.plain:
            return expression.matches(calendar.wall[index])
        if index in calendar.skips and any(map(expression.matches, calendar.skips[index])):
            return True
        return index not in calendar.again and expression.matches(calendar.wall[index])

    def moments(self, after: Instant) -> Iterator[Instant]:
        """Yield the scheduled moments after a moment."""
        index, wall, expression = self.calendar.index(after) + 1, self.calendar.wall, self.expression
        assert expression is not None
        while index < len(wall):
            whole = wall[index] % DAY == 0 and index + DAY < len(wall) and wall[index + DAY] == wall[index] + DAY
            if whole and index not in self.calendar.skips and not expression.on(wall[index] // DAY):
                index += DAY
                continue
            if self.fires(index):
                yield self.calendar.instant(index)
            index += 1
        raise Beyond

    def next_due(self, moment: Instant) -> Instant | None:
        if self.always:
            return None
        if self.expression is None:
            first = due = moment + self.frequency
            while self.sleeps(due):
                while self.sleeps(due):
                    due += 60
                due += self.frequency
                if due - first > 14 * 86_400:
                    return first
            return due
        moments = self.moments(moment + 60)
        first = due = next(moments)
        while self.sleeps(due):
            due = next(moments)
            if due - first > 14 * 86_400:
                return first
        return due

    def due(self) -> Instant | None:
        lastrun, started = self.report.lastrun, self.report.started
        if self.always:
            return None
        if lastrun is not None:
            due = self.next_due(lastrun)
            assert due is not None
            if started is None:
                return due + (self.longest or 0.0) * 60 if self.expression is not None else due
            under_way = started > lastrun and started <= due + self.grace
            if not under_way:
                return due
        assert started is not None
        return self.next_due(started) if self.longest is None else started + self.longest * 60

    def kind(self, due: Instant | None, now: Instant) -> Kind:
        report = self.report
        if self.sleeps(now):
            return Kind.SLEEPING
        if not report.ok or self.code != 200:
            return Kind.FAILED
        ahead = (60 if self.expression is not None else self.frequency) + self.grace
        for moment in (report.lastrun, report.started):
            if moment is not None and moment > now + ahead:
                return Kind.FUTURE
        assert due is not None
        return Kind.LATE if now > due + self.grace else Kind.OK

    def expected(self, now: Instant) -> Expected:
        due = self.due()
        kind = self.kind(due, now)
        sleeps = None
        if kind is Kind.SLEEPING and not self.always:
            index = first = self.calendar.index(now)
            while self.asleep[first - 1]:
                first -= 1
            while self.asleep[index]:
                index += 1
            sleeps = self.calendar.instant(first), self.calendar.instant(index)
        change = None
        minute = now // 60 * 60
        # A task becomes late just after a minute; everything else changes on one.
        for later in range(1, _HORIZON):
            for moment in (minute + (later - 1) * 60 + RESOLUTION, minute + later * 60):
                if moment > now and self.kind(due, moment) is not kind:
                    change = moment
                    return Expected(kind, due, sleeps, change)
        return Expected(kind, due, sleeps, change)


def _night(calendar: Calendar, windows: tuple[Window, ...]) -> tuple[bytearray, bool]:
    """Return for each minute whether the task sleeps, and whether it sleeps all day."""
    circle = [False] * DAY
    asleep = bytearray(len(calendar.wall))
    for window in windows:
        start, length = window.start // 60, int(window.duration) // 60
        for minute in range(length):
            circle[(start + minute) % DAY] = True
        for index in calendar.daily[start]:
            until = min(index + length, len(asleep))
            asleep[index:until] = b"\1" * (until - index)
    return asleep, all(circle)


def compare(case: Case) -> str | None:
    """Return how the judge differs from the model in a case; None if it does not."""
    try:
        expected = Model(case).expected(case.now)
    except Beyond:
        return None
    verdict = judge(Reported(case.code, case.report), case.task, case.now)
    sleeps = None if verdict.sleep_end is None else (verdict.sleep_start, verdict.sleep_end)
    change = verdict.next_change
    if change is not None and change > case.now // 60 * 60 + (_HORIZON - 1) * 60:
        change = None
    found = Expected(verdict.kind, verdict.due, sleeps, change)  # type: ignore[arg-type]
    return None if found == expected else f"{found}\n  not {expected}"


class Cases:
    """Makes random cases."""

    def __init__(self, random: random.Random) -> None:
        self._random = random

    def case(self) -> Case:
        choice, chance = self._random.choice, self._random.random
        place = choice(PLACES)
        zone = place[0]
        around = datetime.fromisoformat(place[1]).replace(tzinfo=UTC).timestamp()
        lastrun = around + self._random.randint(-3 * DAY, 3 * DAY) * 60.0
        started = None
        if chance() < 0.6:
            started = lastrun + choice([0, 1, 60, DAY, self._random.randint(-DAY, 4 * DAY)]) * 60.0
        own_zone = zone if chance() < 0.3 else None
        report = Report(
            ok=chance() < 0.9,
            lastrun=None if started is not None and chance() < 0.2 else lastrun,
            frequency=float(choice([1, 7, 10, 60, 90, 360, 1380, DAY, DAY + 1, 3 * DAY])),
            sleep=self._windows(),
            schedule=self._schedule() if chance() < 0.6 else None,
            timezone=zone if chance() < 0.7 else None,
            started=started,
            max_runtime=self._max_runtime(),
        )
        task = make_task(
            choice([0.0, 60.0, 300.0, 3600.0]),
            frequency=float(choice([10, 60, DAY])) if chance() < 0.1 else None,
            schedule=self._schedule() if chance() < 0.1 else None,
            timezone=own_zone,
            max_runtime=self._max_runtime() if chance() < 0.2 else None,
            sleep=self._windows() if chance() < 0.3 else None,
        )
        if task.schedule is not None:
            task = make_task(
                task.grace,
                schedule=task.schedule,
                timezone=task.timezone,
                max_runtime=task.max_runtime,
                sleep=task.sleep,
            )
        now = (lastrun if started is None else choice([lastrun, started])) + choice(
            [self._random.randint(-300, 300), self._random.randint(-2 * DAY, 5 * DAY)]
        ) * 60.0
        return Case(place, report, 200 if chance() < 0.95 else 503, task, now + choice([0.0, RESOLUTION, 30.0]))

    def _max_runtime(self) -> float | None:
        return self._random.choice([None, None, 1.0, 30.0, 60.0, 600.0, 1500.0])

    def _windows(self) -> tuple[Window, ...]:
        choice, number = self._random.choice, self._random.randint
        return tuple(
            Window(
                choice([number(0, DAY - 1), number(0, 240), 120, 150, 0, 1320]) * 60,
                choice([number(1, 90), number(1, DAY), 60, 480, DAY - 1, DAY]) * 60.0,
            )
            for _ in range(choice([0, 0, 0, 1, 1, 2, 3]))
        )

    def _schedule(self) -> str:
        choice = self._random.choice
        if self._random.random() < 0.4:
            return f"{choice(['0', '30', '15', '59'])} {choice(['0', '1', '2', '3'])} * * {choice(['*', '1-5', '0'])}"
        return " ".join(
            (
                self._field(0, 59),
                self._field(0, 23),
                choice(["*", "*", "*", "L", "LW", "1", "28-31", "29", "*/2", "13,L"]),
                choice(["*", "*", "*", "2-4", "*/2", "10,11", "3"]),
                choice(["*", "*", "*", "1-5", "0", "7", "SAT", "5L", "1#2", "MON-WED", "0,6", "*/2"]),
            )
        )

    def _field(self, least: int, most: int) -> str:
        number = self._random.randint
        # cronsim reads 5-5/3 as 5/3, so that a range has two ends here.
        low = number(least, most - 1)
        high = number(low + 1, most)
        return self._random.choice(
            [
                "*",
                "*/5",
                f"*/{number(1, most)}",
                f"{low}",
                f"{low}",
                f"{low}-{high}",
                f"{low}-{high}/3",
                f"{low},{high}",
                f"{low}/7",
            ]
        )


def main(cases: int, seed: int) -> int:
    """Compare many cases, and print those that differ; returns how many they are."""
    made, wrong, begun = Cases(random.Random(seed)), 0, time.monotonic()
    for number in range(1, cases + 1):
        case = made.case()
        difference = compare(case)
        if difference is not None:
            wrong += 1
            print(f"{case}\n  {difference}", flush=True)
        if number % 10_000 == 0:
            print(f"{number:,} cases, {wrong} disagreements, {time.monotonic() - begun:.0f} s", flush=True)
    print(f"{cases:,} cases, {wrong} disagreements")
    return wrong


if __name__ == "__main__":
    figures = [int(each) for each in sys.argv[1:]]
    sys.exit(bool(main(*figures, *(100_000, 1)[len(figures) :])))
