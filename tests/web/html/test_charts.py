"""Charts and the timeline."""

import re
from math import nan

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from pypinger.domain.kinds import Kind
from pypinger.domain.model import Report, Reported, Window
from pypinger.ports.history import Day, Gap, Run
from pypinger.ports.showing import Entry
from pypinger.web.html import charts, timeline
from tests.web.fakes import NIGHT, NOW, entry, new_entry, task

replace = msgspec.structs.replace
DAY = 86_400.0


class SparklineTests(SynchronousTestCase):
    def draw(self, *gaps: float | None, sleep: tuple[Window, ...] = (), **report: object) -> str:
        at, found = NOW - 60, []
        for gap in gaps:
            found.append(Gap(at, gap))
            at -= gap or 0
        return charts.sparkline(found, task(), Report(ok=True, lastrun=NOW - 60, sleep=sleep, **report))

    def test_nothing_to_draw(self) -> None:
        self.assertEqual(self.draw(), "")
        self.assertEqual(self.draw(None), "")

    def test_late_runs_are_marked(self) -> None:
        drawn = self.draw(600.0, 1500.0, 601.0, None)
        self.assertIn("median 10 min, longest 25 min; expected every 10 min; 1 of 3 runs late", drawn)
        self.assertIn('class="late"', drawn)
        self.assertIn("none of 2 runs", self.draw(600.0, 600.0))

    def test_gaps_with_sleep_are_not_late(self) -> None:
        asleep = (Window(int(NOW - 4000) % 86_400, 3600.0),)
        self.assertIn("none of 1 run late", self.draw(4100.0, sleep=asleep))
        self.assertIn("1 of 1 run late", self.draw(4100.0))
        self.assertIn("none of 1 run late", self.draw(4100.0, sleep=(Window(0, DAY),)))

    def test_of_a_schedule(self) -> None:
        """NOW is 22:28:34; runs that report only their end may take `max_runtime`."""
        drawn = self.draw(86_400.0, schedule="0 22 * * *")
        self.assertIn("expected at 22:00 UTC every day; 1 of 1 run late", drawn)
        self.assertNotIn('class="level"', drawn)
        self.assertIn("none of 1 run late", self.draw(86_400.0, schedule="0 22 * * *", max_runtime=30.0))
        self.assertIn("1 of 1 run late", self.draw(86_400.0, schedule="0 22 * * *", max_runtime=20.0))
        self.assertIn("none of 1 run late", self.draw(86_400.0, schedule="0 22 * * *", started=NOW - 90))

    def test_of_runs_that_take_time(self) -> None:
        self.assertIn("none of 1 run late", self.draw(700.0, started=NOW - 90))
        self.assertIn("1 of 1 run late", self.draw(700.0, started=NOW - 90, max_runtime=0.5))


class UptimeTests(SynchronousTestCase):
    TODAY = NOW // DAY * DAY

    def test_share(self) -> None:
        self.assertIsNone(charts.share([]))
        self.assertIsNone(charts.share([Day(self.TODAY, 0, 0, 100)]))
        self.assertEqual(charts.share([Day(self.TODAY, 30, 10, 0), Day(self.TODAY - DAY, 60, 0, 5)]), 0.9)

    def test_strip(self) -> None:
        self.assertEqual(charts.strip([], NOW), "")
        # Days without data, and days before the last 90.
        self.assertEqual(
            charts.strip(
                [Day(self.TODAY, 0, 0, 0), Day(self.TODAY - 90 * DAY, 1, 0, 0), Day(self.TODAY + DAY, 1, 0, 0)], NOW
            ),
            "",
        )
        drawn = charts.strip([Day(self.TODAY - DAY, 0, 0, DAY), Day(self.TODAY, 3600, 60, 0)], NOW)
        self.assertIn("98.36 % on time, trouble on 1 day", drawn)
        for place in ("M88 8h1v12", "M89 12h1v8", "M89 0h1v12"):
            self.assertIn(place, drawn)
        self.assertIn("no trouble", charts.strip([Day(self.TODAY, 3600, 0, 0)], NOW))
        self.assertIn("no data", charts.strip([Day(self.TODAY, 0, 0, 60)], NOW))

    def test_a_day_all_down(self) -> None:
        drawn = charts.calendar([Day(self.TODAY, 0, 3600, 60)], NOW)
        self.assertIn('class="down" x="89" y="0" width="0.72" height="20"', drawn)
        self.assertIn("2026-11-22: in trouble for 1 h, asleep for 1 min", drawn)
        self.assertIn("2026-11-21: no data", drawn)
        self.assertEqual(drawn.count("<title>"), 90)
        self.assertIn("on time for 1 min", charts.calendar([Day(self.TODAY, 60, 0, 0)], NOW))


#: 2026-03-02 02:00 in Berlin.
TWO = 1_772_413_200.0


class TimelineTests(SynchronousTestCase):
    def test_no_report(self) -> None:
        self.assertEqual(timeline.timeline(new_entry(), NOW), "")
        self.assertEqual(timeline.timeline(entry(lastrun=nan), NOW), "")

    def test_late(self) -> None:
        drawn = timeline.timeline(entry(kind=Kind.LATE, lastrun=NOW - 2700), NOW)
        self.assertIn("last run 45 min ago; due 35 min ago; late after 34 min ago", drawn)
        for look in ("fine", "grace", "overdue", "mark-now", "tick"):
            self.assertIn(f'class="{look}"', drawn)
        self.assertIn(">22:00</text>", drawn)

    def test_failed(self) -> None:
        """What follows a run that failed is not good."""
        drawn = timeline.timeline(entry(kind=Kind.FAILED), NOW)
        self.assertNotIn('class="fine"', drawn)
        self.assertIn('class="overdue"', drawn)

    def test_words_do_not_overlap(self) -> None:
        marks = [timeline.Mark("due", "due", 0.0, place) for place in (1.0, 2.0, 50.0, 99.0)]
        self.assertEqual(timeline._stack(marks), 2)
        self.assertEqual([mark.lane for mark in marks], [0, 1, 0, 0])
        self.assertEqual([mark.edges[2] for mark in marks], ["start", "start", "middle", "end"])

    def test_sleep(self) -> None:
        drawn = timeline.timeline(entry(kind=Kind.SLEEPING, lastrun=NOW - 7200, sleep=(NIGHT,)), NOW)
        self.assertIn('class="nap"', drawn)
        self.assertIn("wakes in 2 h", drawn)

    def test_sleep_all_day(self) -> None:
        drawn = timeline.timeline(entry(sleep=(Window(0, DAY),)), NOW)
        self.assertIn('class="nap"', drawn)
        self.assertNotIn("due", drawn)

    def test_years(self) -> None:
        drawn = timeline.timeline(entry(lastrun=0.0, sleep=(NIGHT,)), NOW)
        self.assertNotIn('class="nap"', drawn)
        self.assertIn(">2009</text>", drawn)

    def nightly(self, *runs: Report, now: float = TWO, **settings: object) -> str:
        """The timeline of a job that runs at 03:00 in Berlin; its reports, newest first."""
        made = entry()
        task = replace(made.task, schedule="0 3 * * *", timezone="Europe/Berlin", **settings)
        before = [Run(number, now, now, 1, Reported(200, report)) for number, report in enumerate(runs)]
        return timeline.timeline(Entry(task, replace(made.state, report=runs[0])), now, before)

    def test_scheduled_moments_and_local_times(self) -> None:
        drawn = self.nightly(Report(True, TWO - DAY + 7200))
        self.assertEqual(re.findall(r">(\d\d:\d\d)</text>", drawn), ["06:00", "12:00", "18:00", "00:00"])
        self.assertEqual(drawn.count('class="slot"'), 1)
        self.assertIn("last run 22 h ago; due in 1 h; late after in 1 h", drawn)
        self.assertNotIn('class="ran', drawn)

    def test_runs_have_a_length(self) -> None:
        last, before = TWO + 3600 - DAY, TWO + 3600 - 2 * DAY
        reports = [Report(True, last + 5400, started=last), Report(False, before + 600, started=before)]
        drawn = self.nightly(*reports)
        self.assertEqual(re.findall(r'class="(ran[^"]*)"', drawn), ["ran", "ran failed"])
        self.assertEqual(drawn.count('class="slot"'), 3)
        left, width = map(float, re.findall(r'class="ran" x="([\d.]+)%" y="\d+" width="([\d.]+)%"', drawn)[0])
        whole = 94 * DAY / (TWO + 3660 - before)
        self.assertLess(abs(left - 3 - whole), 0.2)
        self.assertLess(abs(width - whole / 16), 0.2)

    def test_a_run_under_way(self) -> None:
        started = TWO + 3600
        before = Report(True, started - DAY + 600, started=started - DAY)
        drawn = self.nightly(
            Report(True, before.lastrun, started=started), before, now=started + 1800, max_runtime=60.0
        )
        self.assertIn("running since 30 min ago", drawn)
        self.assertEqual(re.findall(r'class="(ran|running)"', drawn), ["running", "ran"])
        self.assertIn('class="mark-start"', drawn)
        self.assertIn("due in 30 min", drawn)
        first = self.nightly(Report(True, None, started=started), now=started + 60)
        self.assertIn("running since 1 min ago", first)
        self.assertNotIn("last run", first)

    def test_a_run_that_failed(self) -> None:
        self.assertIn('class="mark-run failed"', self.nightly(Report(False, TWO - 600, started=TWO - 660)))
        self.assertIn('class="mark-run"', self.nightly(Report(True, TWO - 600)))

    def test_a_run_that_is_known_no_more(self) -> None:
        """It was under way in an earlier report; the next knows of another run."""
        reports = [Report(True, TWO - 60, started=TWO - 90), Report(True, TWO - DAY, started=TWO - 9000)]
        self.assertEqual(self.nightly(*reports).count('class="ran'), 1)

    def test_runs_long_ago_are_not_drawn(self) -> None:
        reports = [Report(True, TWO - 60, started=TWO - 90), Report(True, TWO - 9 * DAY, started=TWO - 10 * DAY)]
        self.assertEqual(self.nightly(*reports).count('class="ran'), 1)
        many = [Report(True, TWO - 60 * each, started=TWO - 60 * each - 9) for each in range(1, 99)]
        self.assertEqual(self.nightly(*many).count('class="ran'), 5)

    def test_sleep_in_a_zone(self) -> None:
        drawn = self.nightly(Report(True, TWO - 7200), sleep=(Window(0, 3600.0),))
        self.assertEqual(drawn.count('class="nap"'), 1)
        made = entry(lastrun=TWO - 7200)
        task = replace(made.task, timezone="Asia/Kathmandu", sleep=(Window(0, 3600.0),))
        self.assertIn(">06:00<", timeline.timeline(Entry(task, made.state), TWO))

    def test_no_grace(self) -> None:
        made = entry()
        self.assertNotIn("late after", timeline.timeline(Entry(replace(made.task, grace=0.0), made.state), NOW))

    def test_ticks(self) -> None:
        for length, count, words_ in ((50, 3, "22:28:45"), (3600, 4, "22:30"), (5 * DAY, 5, "23 Nov"), (1e12, 0, "")):
            ticks = timeline._ticks(NOW, NOW + length)
            self.assertEqual(len(ticks), count, length)
            self.assertEqual(ticks[0][1] if ticks else "", words_)
