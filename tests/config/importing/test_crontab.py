"""Crontabs are read as cron reads them."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from pypinger.config.importing.crontab import Crontab, parse

DEBIAN = """\
# Edit this file to introduce tasks to be run by cron.
#
# For more information see the manual pages of crontab(5) and cron(8)
#
# m h  dom mon dow   command
0 3 * * * /x/first
"""


class ParseTests(SynchronousTestCase):
    def jobs(self, text: str, *, system: bool = False) -> list[tuple[str, str]]:
        return [(job.when, job.command) for job in parse(text, system=system).jobs]

    def problems(self, text: str, *, system: bool = False) -> list[tuple[int, str]]:
        return list(parse(text, system=system).problems)

    def test_fields_and_names(self) -> None:
        self.assertEqual(
            self.jobs(
                "0 3 * * * a\n  */10\t8-18 1,15 jan-JUN mon-Fri  b c \n@daily d\n@Hourly\te\n@reboot f\n-5 4 * * 7 g"
            ),
            [
                ("0 3 * * *", "a"),
                ("*/10 8-18 1,15 jan-JUN mon-Fri", "b c"),
                ("@daily", "d"),
                ("@Hourly", "e"),
                ("@reboot", "f"),
                ("5 4 * * 7", "g"),
            ],
        )

    def test_system(self) -> None:
        text = "17 *\t* * *\troot    cd / && run-parts --report /etc/cron.hourly\n@daily www-data x y\n"
        self.assertEqual(
            self.jobs(text, system=True),
            [("17 * * * *", "cd / && run-parts --report /etc/cron.hourly"), ("@daily", "x y")],
        )
        self.assertEqual(
            [job.before for job in parse(text, system=True).jobs], ["17 *\t* * *\troot    ", "@daily www-data "]
        )
        self.assertEqual(self.problems("0 3 * * * root", system=True), [(1, "it has no user between time and command")])
        self.assertEqual(self.problems("0 3 * * * root ", system=True), [(1, "it has no command")])

    def test_comments_and_empty_lines(self) -> None:
        self.assertEqual(self.jobs("# 0 3 * * * a\n\n   # b\n\t\n"), [])
        # cron has no comments at the end of a line.
        self.assertEqual(self.jobs("0 3 * * * a # b"), [("0 3 * * *", "a # b")])

    def test_carriage_returns_and_a_mark(self) -> None:
        self.assertEqual(self.jobs("\ufeff0 3 * * * a\r\n@daily b\r\n"), [("0 3 * * *", "a"), ("@daily", "b")])

    def test_settings_count_from_their_line_on(self) -> None:
        text = "A = one\n0 3 * * * a\n'B x'=\"two words\"  \nA=\n0 4 * * * X=1 b\nCRON_TZ='Asia/Tokyo'"
        parsed = parse(text, system=False)
        self.assertEqual([dict(job.settings) for job in parsed.jobs], [{"A": "one"}, {"A": "", "B x": "two words"}])
        self.assertEqual(parsed.settings, {"A": "", "B x": "two words", "CRON_TZ": "Asia/Tokyo"})
        self.assertEqual(parsed.jobs[1].command, "X=1 b")

    def test_what_is_no_job(self) -> None:
        for line, words in (
            ("0 3 * * *", "neither five fields nor a name"),
            ("nonsense", "neither five fields nor a name"),
            ("@sometimes a", "@yearly, @annually"),
            ("99 3 * * * a", "bad minute in the schedule"),
            ("0 3 * * fri-mon a", "bad day-of-week in the schedule"),
            ("0~30 3 * * * a", "bad minute in the schedule"),
        ):
            ((number, problem),) = self.problems(f"\n{line}")
            self.assertEqual(number, 2)
            self.assertIn(words, problem)

    def comment(self, text: str) -> str:
        (job,) = parse(text, system=False).jobs
        return job.comment

    def test_the_comment_right_above_describes_a_job(self) -> None:
        self.assertEqual(self.comment("# first\n#  Nightly backup\n0 3 * * * a"), "Nightly backup")
        for text in (
            DEBIAN,
            "# Nightly backup\n\n0 3 * * * a",
            "#0 4 * * * old\n0 3 * * * a",
            "#@daily old\n0 3 * * * a",
            "# ------------\n0 3 * * * a",
            "# (/tmp/crontab.x installed on Mon Mar  2 10:00:00 2026)\n0 3 * * * a",
            "# Backup\nMAILTO=x\n0 3 * * * a",
        ):
            self.assertEqual(self.comment(text), "")

    @settings(deadline=None)
    @given(
        st.lists(st.text(st.sampled_from("0123*/,-@adily#=%'\"\\ \t\r\x0b\x85\u2028MON")) | st.text(), max_size=6),
        st.booleans(),
    )
    def test_any_text(self, lines: list[str], system: bool) -> None:
        text = "\n".join(lines)
        parsed: Crontab = parse(text, system=system)
        self.assertEqual("\n".join(parsed.lines), text.removeprefix("\ufeff"))
        for job in parsed.jobs:
            self.assertEqual((job.before + job.command), parsed.lines[job.number - 1].rstrip())
