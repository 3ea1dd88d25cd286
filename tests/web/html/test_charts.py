"""Charts and the timeline."""

from math import nan

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from pypinger.domain.kinds import Kind
from pypinger.domain.model import Report, Window
from pypinger.ports.history import Day, Gap
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

    def test_no_grace(self) -> None:
        made = entry()
        self.assertNotIn("late after", timeline.timeline(Entry(replace(made.task, grace=0.0), made.state), NOW))

    def test_ticks(self) -> None:
        for length, count, words_ in ((50, 3, "22:28:45"), (3600, 4, "22:30"), (5 * DAY, 5, "23 Nov"), (1e12, 0, "")):
            ticks = timeline._ticks(NOW, NOW + length)
            self.assertEqual(len(ticks), count, length)
            self.assertEqual(ticks[0][1] if ticks else "", words_)
