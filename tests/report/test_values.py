"""Lengths of time, schedules, time zones and sleep windows, against the rules of the domain."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from pypinger.domain.cron import CronError, fields
from pypinger.domain.durations import parse_duration
from pypinger.report.values import cron_expression, machine_zone, minutes, sleep_windows, time_zone

durations = st.lists(
    st.sampled_from(["1", "0", "90", ".5", "1.", "2.25", "1e3", "+", "-", " ", "s", "m", "min", "h", "d", "x"]),
    max_size=6,
).map("".join)

terms = st.lists(
    st.sampled_from(["*", "0", "1", "5", "7", "31", "60", "-", "/", ",", "L", "W", "#", "MON", "sun", "JAN"]),
    min_size=1,
    max_size=5,
).map("".join)


class LengthTests(SynchronousTestCase):
    @given(durations)
    @example("1m1min")
    def test_as_in_the_ini_file(self, text: str) -> None:
        """A number without a unit is minutes, all else is read as settings are."""
        try:
            expected = parse_duration(text.strip(), 60.0)
        except ValueError:
            expected = -1.0
        if 0 < expected <= 366 * 86_400:
            self.assertEqual(minutes(text), expected / 60)
        else:
            self.assertRaises(ValueError, minutes, text)

    def test_kinds(self) -> None:
        for value in (90, 90.0, "90", "90m", "1h 30m", " 5400s ", timedelta(hours=1.5)):
            self.assertEqual(repr(minutes(value)), "90")
        self.assertEqual(minutes("90s"), 1.5)

    def test_limits(self) -> None:
        for value in (0, -1, "0", float("nan"), float("inf"), "367d", timedelta(0), timedelta(days=367)):
            error = self.assertRaises(ValueError, minutes, value)
            self.assertIn("at most 527,040 minutes", str(error))


class SleepTests(SynchronousTestCase):
    def test_windows(self) -> None:
        self.assertEqual(
            sleep_windows("22:00 + 450m, 12:00:30+30,  0:00".rpartition(",")[0]),
            [{"start": "22:00", "duration": 450}, {"start": "12:00:30", "duration": 30}],
        )

    def test_wrong(self) -> None:
        for text in ("", "22:00", "24:00 + 1m", "22:60 + 1m", "22:00 + 1441", "22:00 + 0", "22:00 + x", "22:00 + 1m,"):
            self.assertRaises(ValueError, sleep_windows, text)


class ScheduleTests(SynchronousTestCase):
    @given(st.lists(terms, min_size=5, max_size=5).map(" ".join))
    def test_what_the_monitor_accepts(self, text: str) -> None:
        try:
            fields(text)
        except CronError:
            accepted = False
        else:
            accepted = True
        try:
            cron_expression(text)
        except ValueError:
            self.assertFalse(accepted, text)
        else:
            # Only a day that no month has is left to the monitor.
            self.assertTrue(accepted or "31" in text.split()[2], text)

    def test_each_field(self) -> None:
        for position, name in enumerate(("minute", "hour", "day of month", "month", "day of week")):
            parts = ["1"] * 5
            parts[position] = "99"
            error = self.assertRaises(ValueError, cron_expression, " ".join(parts))
            self.assertTrue(str(error).endswith(f"'99' is no {name}"), error)

    def test_names(self) -> None:
        self.assertEqual(cron_expression(" @Daily "), "@Daily")
        for text in ("@often", "@reboot", "", "* * * *", "0 * * * * *"):
            self.assertRaises(ValueError, cron_expression, text)

    def test_usual(self) -> None:
        for text in ("0 3 * * *", "*/10 8-17 * * MON-FRI", "0 0 L * *", "0 0 * * 5L", "0 0 * * 1#2", "5,35 * 1 jan *"):
            self.assertEqual(cron_expression(f"  {text.replace(' ', '   ')}"), text)


class ZoneTests(SynchronousTestCase):
    def test_names(self) -> None:
        for name in ("Europe/Berlin", "UTC", "America/Argentina/Buenos_Aires", "Etc/GMT+5"):
            self.assertEqual(time_zone(name), name)
        for name in (
            "",
            "Europe",
            "Mars/Olympus",
            "../../etc/passwd",
            "/etc/localtime",
            "Europe/Berlin\n5",
            "zone.tab",
            "localtime",
            "posixrules",
            "right/Europe/Berlin",
        ):
            self.assertRaises(ValueError, time_zone, name)

    def etc(self, localtime: str = "", timezone: str = "") -> str:
        """A directory as /etc, with the link and the file that are given."""
        path = Path(self.mktemp()).absolute()
        path.mkdir()
        if localtime:
            (path / "localtime").symlink_to(localtime)
        if timezone:
            (path / "timezone").write_text(timezone)
        return str(path)

    def test_of_the_machine(self) -> None:
        link = "/usr/share/zoneinfo/Europe/Berlin"
        for expected, environ, etc in (
            ("Asia/Tokyo", {"TZ": "Asia/Tokyo"}, self.etc(link)),
            ("Asia/Tokyo", {"TZ": ":Asia/Tokyo"}, self.etc(link)),
            ("Asia/Tokyo", {"TZ": "/usr/share/zoneinfo/Asia/Tokyo"}, self.etc(link)),
            ("Asia/Tokyo", {"TZ": ":/usr/share/zoneinfo/posix/Asia/Tokyo"}, self.etc(link)),
            ("Asia/Tokyo", {"CRON_TZ": "Asia/Tokyo", "TZ": "UTC"}, self.etc(link)),
            ("Europe/Berlin", {"TZ": "CET-1CEST,M3.5.0,M10.5.0/3"}, self.etc(link)),
            ("Europe/Berlin", {"TZ": ""}, self.etc(link, "Etc/UTC\n")),
            ("Europe/Berlin", {}, self.etc("../usr/share/zoneinfo/Europe/Berlin")),
            ("Europe/Paris", {}, self.etc(timezone="Europe/Paris\n")),
            ("Europe/Paris", {}, self.etc("/nowhere", "Europe/Paris\n")),
            ("UTC", {}, self.etc("/usr/share/zoneinfo/Etc/UTC")),
            ("UTC", {}, self.etc(timezone="Etc/UTC\n")),
            ("UTC", {}, self.etc(timezone="Nowhere\n")),
            ("UTC", {}, self.etc()),
        ):
            self.assertEqual(machine_zone(environ, etc), expected, (environ, os.listdir(etc)))
