"""The options that say when a task is expected to run (contract, section 6)."""

from __future__ import annotations

from pypinger.domain.cron import Cron
from pypinger.domain.model import Instant, Task, Window
from tests.config.samples import LoadingTestCase


class ScheduleTests(LoadingTestCase):
    def task(self, options: str, more: str = "") -> Task:
        (task,) = self.load(f"{more}\n[task http://h/]\n{options}\n").tasks
        return task

    def problem(self, options: str) -> str:
        (problem,) = self.problems(f"[task http://h/]\n{options}\n")
        return problem

    def test_nothing_set(self) -> None:
        task = self.task("")
        self.assertEqual(
            (task.frequency, task.schedule, task.timezone, task.max_runtime, task.sleep), (None, None, None, None, None)
        )
        for option in ("frequency", "schedule", "timezone", "max_runtime", "sleep"):
            self.assertEqual(self.task(f"{option} ="), task)

    def test_lengths_without_a_unit_are_minutes(self) -> None:
        for option in ("frequency", "max_runtime"):
            for text, minutes in [("10", 10.0), ("90s", 1.5), ("1h 30m", 90.0), ("366d", 527_040.0), ("0.5", 0.5)]:
                self.assertEqual(getattr(self.task(f"{option} = {text}"), option), minutes)
            for text in ("0", "-5", "ten", "367d", "527041"):
                self.assertIn(f"2: [task http://h/] {option}: must be ", self.problem(f"{option} = {text}"))

    def test_schedule_and_zone(self) -> None:
        task = self.task("schedule = 0  3 * *\tMON-FRI\ntimezone = Europe/Berlin")
        self.assertEqual((task.schedule, task.timezone), ("0 3 * * MON-FRI", "Europe/Berlin"))
        self.assertEqual(self.task("schedule = @Daily").schedule, "@Daily")
        for text, words in [
            ("60 * * * *", '"60 * * * *": bad minute in the schedule'),
            ("0 3 * *", '"0 3 * *": five fields are needed'),
            ("0 0 3 * * *", "five fields are needed"),
            ("@reboot", '"@reboot": of the names there are @yearly'),
            ("0 0 */31 * 1#5", "no day matches the schedule"),
        ]:
            self.assertIn(words, self.problem(f"schedule = {text}").removeprefix("2: [task http://h/] schedule: "))
        words = "unknown time zone; give an IANA name such as Europe/Berlin"
        self.assertEqual(self.problem("timezone = X/Y"), f'2: [task http://h/] timezone: "X/Y": {words}')

    def test_sleep(self) -> None:
        for text, windows in [
            ("22:00 + 450m, 12:00 + 30m", (Window(79_200, 27_000.0), Window(43_200, 1800.0))),
            ("22:00+450", (Window(79_200, 27_000.0),)),
            ("23:59:59 + 1d", (Window(86_399, 86_400.0),)),
            ("\n  00:00 + 7h 30m,\n  12:00 + 90s", (Window(0, 27_000.0), Window(43_200, 90.0))),
            ("None", ()),
        ]:
            self.assertEqual(self.task(f"sleep = {text}").sleep, windows)
        for text, words in [
            ("22:00", 'must be start times and lengths, as in 22:00 + 450m, 12:00 + 30m, or none; not "22:00"'),
            ("9:00 + 30", 'not "9:00 + 30"'),
            ("24:00 + 30", 'not "24:00 + 30"'),
            ("none, 22:00 + 30", 'not "none"'),
            ("22:00 + 30 12:00 + 30", "a length must be above 0 and at most 24 hours"),
            ("22:00 + 0", 'a length must be above 0 and at most 24 hours (30, 450m, 7h 30m), not "22:00 + 0"'),
            ("22:00 + 1441", 'not "22:00 + 1441"'),
            ("22:00 + ten", 'not "22:00 + ten"'),
        ]:
            self.assertIn(words, self.problem(f"sleep = {text}"))

    def test_each_bad_window_is_named(self) -> None:
        first, second = self.problems("[task http://h/]\nsleep = 22:00, 12:00 + 30m, 1:00\n")
        self.assertTrue(first.endswith('not "22:00"') and second.endswith('not "1:00"'), (first, second))

    def test_groups(self) -> None:
        group = "[group *]\nschedule = @daily\ntimezone = Europe/Berlin\nmax_runtime = 1h\nsleep = 01:00 + 1h"
        task = self.task("max_runtime = 2h", group)
        self.assertEqual(
            (task.frequency, task.schedule, task.timezone, task.max_runtime, task.sleep),
            (None, "@daily", "Europe/Berlin", 120.0, (Window(3600, 3600.0),)),
        )

    def test_a_frequency_wins_over_the_schedule_of_a_group_and_the_reverse(self) -> None:
        task = self.task("frequency = 5", "[group *]\nschedule = @daily")
        self.assertEqual((task.frequency, task.schedule), (5.0, None))
        task = self.task("schedule = @daily", "[group *]\nfrequency = 5")
        self.assertEqual((task.frequency, task.schedule), (None, "@daily"))

    def test_beside_a_schedule_a_frequency_does_not_count(self) -> None:
        task = self.task("schedule = @daily\nfrequency = 5")
        self.assertEqual((task.frequency, task.schedule), (None, "@daily"))

    def test_warnings(self) -> None:
        for options, warning in [
            (
                "schedule = @daily\nfrequency = 5",
                "3: [task http://h/] frequency: is not used beside schedule; remove one of them",
            ),
            (
                "timezone = Europe/Berlin",
                "2: [task http://h/] timezone: is only used for schedules of the reports, as there is neither schedule "
                "nor sleep",
            ),
            (
                "timezone = Europe/Berlin\nfrequency = 5\nsleep = none",
                "2: [task http://h/] timezone: is not used, as there is a frequency and neither schedule nor sleep",
            ),
            (
                "schedule = 0 3 * * *\nmax_runtime = 25h",
                "3: [task http://h/] max_runtime: (1 day 1 h) is longer than the time between two runs (1 day); runs "
                "that are missing meanwhile are not noticed",
            ),
            (
                "frequency = 10\nmax_runtime = 11",
                "3: [task http://h/] max_runtime: (11 min) is longer than the time between two runs (10 min); runs "
                "that are missing meanwhile are not noticed",
            ),
            (
                "sleep = 00:00 + 12h, 12:00 + 12h",
                "2: [task http://h/] sleep: covers the whole day, so the task is never late and never failed",
            ),
            (
                "schedule = 0 3 * * *\nsleep = 02:00 + 2h",
                "3: [task http://h/] sleep: covers every run of the schedule",
            ),
        ]:
            self.assertEqual(self.warnings_of(f"[task http://h/]\n{options}\n"), [warning])
        for options in (
            "schedule = 0 3 * * *\ntimezone = Europe/Berlin\nmax_runtime = 1d",
            "frequency = 10\nmax_runtime = 10",
            "sleep = 22:00 + 8h\ntimezone = Europe/Berlin",
            "schedule = 0 0 29 2 *\nmax_runtime = 366d",
            "max_runtime = 10",
        ):
            self.assertEqual(self.warnings_of(f"[task http://h/]\n{options}\n"), [], options)

    def test_a_group_warns_once(self) -> None:
        text = "[group *]\n{}\n[task http://a/]\n{}\n[task http://b/]\n[task http://c/]\n"
        for group, own, warnings in [
            ("max_runtime = 11\nfrequency = 10", "", 1),
            ("timezone = Europe/Berlin", "", 1),
            ("timezone = Europe/Berlin", "sleep = 22:00 + 8h", 0),
            ("schedule = @daily\nfrequency = 10", "", 1),
        ]:
            self.assertEqual(len(self.warnings_of(text.format(group, own))), warnings, group)

    def test_thousands_of_schedules_take_no_time(self) -> None:
        calls = 0
        after = Cron.after

        def counting(cron: Cron, instant: Instant) -> Instant | None:
            nonlocal calls
            calls += 1
            return after(cron, instant)

        self.patch(Cron, "after", counting)
        urls = ", ".join(f"http://h/{number}" for number in range(100))
        self.load(f"[urls]\nprod = {urls}\n[group *]\nschedule = 11 3 29 2 *\nmax_runtime = 1h\nsleep = 01:00 + 1h\n")
        self.assertLess(calls, 100)
        tasks = "".join(f"[task http://h/{n}]\nschedule = {n} 3,9 * * 1\nmax_runtime = 6h\n" for n in range(50))
        calls = 0
        self.load(tasks)
        self.assertEqual(calls, 0)

    def test_not_in_main(self) -> None:
        (problem,) = self.problems("[main]\nfrequency = 5\n[urls]\nprod = http://h/\n")
        self.assertIn("unknown option", problem)
