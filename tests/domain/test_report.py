"""Tests for :mod:`pypinger.domain.report`: every row of the table in section 1 of the contract, and hostile bodies."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from pypinger.domain.model import Answer, Fault, Finding, Invalid, NoAnswer, Report, Reported, Window
from pypinger.domain.redaction import Secrets
from pypinger.domain.report import ReportError, parse, parse_carefully, parse_usual, read
from tests.domain.strategies import thorough

LASTRUN = "2026-11-03T21:55:00Z"
MEMBERS = [
    "status",
    "lastrun",
    "frequency",
    "reason",
    "process",
    "server",
    "schedule",
    "timezone",
    "started",
    "max_runtime",
    "other",
]
INSTANT = datetime.fromisoformat(LASTRUN).timestamp()


def body(**members: Any) -> bytes:
    return json.dumps({"status": "ok", "lastrun": LASTRUN, **members}).encode()


def raw(members: str) -> bytes:
    return f'{{"status": "ok", "lastrun": "{LASTRUN}", {members}}}'.encode("utf-8", "surrogatepass")


class Cases(SynchronousTestCase):
    """Shorthand for tests of one member."""

    def report(self, body: bytes) -> Report:
        report = parse(body)
        assert isinstance(report, Report), report
        return report

    def problem(self, body: bytes) -> str:
        problem = parse(body)
        assert isinstance(problem, str), problem
        return problem


class ReadTests(Cases):
    def test_answer_with_a_report(self) -> None:
        self.assertEqual(read(Answer(503, body(), 0.1)), Reported(503, Report(True, INSTANT)))

    def test_answer_without(self) -> None:
        self.assertEqual(read(Answer(404, b"", 0.1)), Invalid(404, "the body is empty"))

    def test_no_answer(self) -> None:
        failure = NoAnswer(Fault.DNS, "no such host", 0.1)
        self.assertIs(read(failure), failure)


class BodyTests(Cases):
    def test_least(self) -> None:
        self.assertEqual(self.report(body()), Report(True, INSTANT, 10.0, None, (), None, None))

    def test_whole(self) -> None:
        windows = [{"start": "22:00", "duration": 480}, {"start": "12:00:30", "duration": "0.5"}]
        whole = body(status="Error", frequency=2.5, reason="disk", sleep=windows, process="import", server="web1")
        self.assertEqual(
            self.report(whole),
            Report(False, INSTANT, 2.5, "disk", (Window(79_200, 28_800.0), Window(43_230, 30.0)), "import", "web1"),
        )

    def test_byte_order_mark(self) -> None:
        self.report(b"\xef\xbb\xbf" + body())

    def test_unknown_members_are_ignored(self) -> None:
        for members in [
            '"x": {"\\udce9": "\\ud800\\u0041"}',
            '"x": "\\udce9"',
            '"x": 1',
            '"x": {"y": [null, 1e999]}',
            '"x": "\\ud800"',
            '"x": 5, "server": 7',
        ]:
            self.report(raw(members))

    def test_last_of_a_repeated_member_counts(self) -> None:
        self.assertEqual(self.report(raw('"server": 1, "server": "b"')).server, "b")
        self.assertEqual(self.report(raw('"server": "a", "server": 2')).server, "2")

    def test_not_a_json_object(self) -> None:
        for text, words in [
            (b"", "the body is empty"),
            (b" \n", "the body is empty"),
            (b"\xef\xbb\xbf", "the body is empty"),
            (b"[]", "must be a JSON object, not an array"),
            (b"null", "must be a JSON object, not null"),
            (b"true", "must be a JSON object, not true"),
            (b"false", "must be a JSON object, not false"),
            (b"5", "must be a JSON object, not 5"),
            (b'"ok"', 'must be a JSON object, not "ok"'),
            (
                b"\n <html>\n<title>503",
                'not JSON: expecting value at character 3; it starts with "<html>\\n<title>503"',
            ),
            (b'{"status": "ok"}x\0', 'not JSON: extra data at character 17: "x\\u0000"'),
            (b'{"status": "ok"', "not JSON: expecting ',' delimiter at character 16, where it ends"),
            (b'{"status": "ok', 'not JSON: unterminated string starting at character 12: ""ok"'),
            (b'{"status": "o\nk"}', 'not JSON: invalid control character at character 14: "\\nk"}"'),
            (b'{"status": "o\\k"}', 'not JSON: invalid \\escape at character 14: "\\k"}"'),
            (b"\xef\xbb\xbf\xef\xbb\xbf{}", 'not JSON: expecting value at character 1; it starts with "\\ufeff{}"'),
            (b"{}\0\0", 'not JSON: extra data at character 3: "\\u0000\\u0000"'),
            (b"\0{}", 'not JSON: expecting value at character 1; it starts with "\\u0000{}"'),
            (body().decode().encode("utf-16"), "not UTF-8"),
            (raw('"x": "').replace(b'"x": "', b'"x": "\xff"'), "not UTF-8"),
            (raw('"x": "\ud800"'), "not UTF-8"),
            (b"[" * 65_536, "nested too deeply"),
            (b'{"x":' * 10_000, "nested too deeply"),
            (raw('"x": ' + "[" * 60_000), "nested too deeply"),
        ]:
            self.assertIn(words, self.problem(text))


class StatusTests(Cases):
    def test_any_letter_case(self) -> None:
        for status, ok in [
            ("ok", True),
            ("OK", True),
            ("oK", True),
            (" ok", True),
            ("ok\n", True),
            ("\u00a0Error\t\r\n", False),
            ("error", False),
            ("ERROR", False),
            ("eRRor", False),
        ]:
            self.assertEqual(self.report(body(status=status)).ok, ok)

    def test_wrong(self) -> None:
        for status, words in [
            ("maybe", 'status must be ok or error, not "maybe"'),
            ("", 'status must be ok or error, not ""'),
            ("ok\N{LEFT-TO-RIGHT MARK}", r'status must be ok or error, not "ok\u200e"'),
            ("\ufeffok\0", r'status must be ok or error, not "\ufeffok\u0000"'),
            ("ok\nok", r'status must be ok or error, not "ok\nok"'),
            ("o k", "status must be"),
            ("ok\u3164", r'not "ok\u3164"'),
            ("ok\U000e0001", r'not "ok\U000e0001"'),
            ("ok\ud800", r'not "ok\ud800"'),
            ("ö😀", 'not "ö😀"'),
            ("o\N{KELVIN SIGN}", "status must be"),
            (5, "status must be ok or error, not 5"),
            (True, "status must be ok or error, not true"),
            (["ok"], "status must be ok or error, not an array"),
            (None, "status is missing"),
        ]:
            self.assertIn(words, self.problem(body(status=status)))
        self.assertEqual(self.problem(b"{}"), "status is missing")


class LastrunTests(Cases):
    def test_right(self) -> None:
        for text, like in [
            ("2026-11-03T21:55:00Z", "2026-11-03T21:55:00+00:00"),
            ("2026-11-03T21:55:00", "2026-11-03T21:55:00+00:00"),
            ("2026-11-03t21:55:00z", "2026-11-03T21:55:00+00:00"),
            ("2026-11-03 21:55:00", "2026-11-03T21:55:00+00:00"),
            ("2026-11-03T21:55", "2026-11-03T21:55:00+00:00"),
            ("2026-11-03T21", "2026-11-03T21:00:00+00:00"),
            ("2026-11-03T21:55:00.5", "2026-11-03T21:55:00.500000+00:00"),
            ("2026-11-03T21:55:00,25Z", "2026-11-03T21:55:00.250000+00:00"),
            ("2026-11-03T21:55:00.123456789Z", "2026-11-03T21:55:00.123456+00:00"),
            ("2026-11-03T21:55:00+05:30", "2026-11-03T16:25:00+00:00"),
            ("2026-11-03T21:55:00-0530", "2026-11-04T03:25:00+00:00"),
            ("2026-11-03T21:55:00+01", "2026-11-03T20:55:00+00:00"),
            ("20261103T215500Z", "2026-11-03T21:55:00+00:00"),
            ("2026-W45-2T21:55:00Z", "2026-11-03T21:55:00+00:00"),
            ("2026W452T2155", "2026-11-03T21:55:00+00:00"),
            ("2026-11-03T24:00:00Z", "2026-11-04T00:00:00+00:00"),
            ("2026-11-03T24:00", "2026-11-04T00:00:00+00:00"),
            ("2016-12-31T23:59:60Z", "2017-01-01T00:00:00+00:00"),
            ("2028-02-29T12:00:00Z", "2028-02-29T12:00:00+00:00"),
            # White space around it, and what Ruby, git and Java print.
            (" 2026-11-03T21:55:00Z\n", "2026-11-03T21:55:00+00:00"),
            ("2018-06-28 11:37:48 +0000", "2018-06-28T11:37:48+00:00"),
            ("2018-06-28 11:37:48 UTC", "2018-06-28T11:37:48+00:00"),
            ("2018-06-28 11:37:48 -0330", "2018-06-28T15:07:48+00:00"),
            ("2018-06-28T11:37:48GMT", "2018-06-28T11:37:48+00:00"),
            ("2018-06-28T11:37:48.123456789+01:00[Europe/Berlin]", "2018-06-28T10:37:48.123456+00:00"),
            ("2018-06-28T11:37Z[UTC]", "2018-06-28T11:37:00+00:00"),
            ("2018-06-28T11:37:48+01:00[Europe/Paris][u-ca=iso8601]", "2018-06-28T10:37:48+00:00"),
            # Other forms of ISO 8601.
            ("2018-06-28T11:37:48\N{MINUS SIGN}02:00", "2018-06-28T13:37:48+00:00"),
            ("2018-W26-4T11:37:48Z", "2018-06-28T11:37:48+00:00"),
            ("2018w264t113748z", "2018-06-28T11:37:48+00:00"),
            ("2018-179T11:37:48Z", "2018-06-28T11:37:48+00:00"),
            ("2018179T113748Z", "2018-06-28T11:37:48+00:00"),
            ("2028-366T00", "2028-12-31T00:00:00+00:00"),
            ("2018-06-28T11:37.8Z", "2018-06-28T11:37:48+00:00"),
            ("2018-06-28T11,63Z", "2018-06-28T11:37:48+00:00"),
            ("2018-06-28T24Z", "2018-06-29T00:00:00+00:00"),
            ("2018-06-28T24:00:00.000+02:00", "2018-06-28T22:00:00+00:00"),
            ("2018-06-28T11:37:48+00:53:28", "2018-06-28T10:44:20+00:00"),
            ("2018-06-28T11:37:48-00:00", "2018-06-28T11:37:48+00:00"),
            ("2018-06-28T11:37:48." + "9" * 5000, "2018-06-28T11:37:48.999999+00:00"),
        ]:
            self.assertEqual(self.report(body(lastrun=text)).lastrun, datetime.fromisoformat(like).timestamp(), text)

    def test_at_the_ends_of_time(self) -> None:
        self.assertEqual(self.report(body(lastrun="0001-01-01T00:00+23:59")).lastrun, -62_135_683_140)
        self.assertEqual(self.report(body(lastrun="9999-12-31T24:00:00-23:59")).lastrun, 253_402_387_140)

    def test_wrong(self) -> None:
        for value in [
            "",
            "now",
            "2026-11-03",
            "2026-11-03T",
            "21:55:00",
            "2026-11-03X21:55:00",
            "2026-02-29T00:00:00",
            "2026-13-01T00:00:00",
            "0000-01-01T00:00:00",
            "2026-11-03T25:00:00",
            "2026-11-03T24:00:01",
            "2026-11-03T24:30",
            "2026-11-03T21:60:00",
            "2026-11-03T21:55:61",
            "2026-11-03T21:55:00+24:00",
            "2026-11-03T21:5500",
            "2026-W54-1T00:00:00",
            "2026-366T21:55:00",
            "2026-000T21:55:00",
            "2026-W45T21:55:00",
            "2026W45-2T21:55:00",
            "2026-11-03T21:55:00 +25:00",
            "2026-11-03T21:55:00+01:60",
            "2026-11-03T21:55:00  UTC",
            "2026-11-03T21:55:00 CET",
            "2026-11-03T21:55:00[Europe/Berlin]",
            "2026-11-03T21:55:00+01:00[",
            "2026-11-03T21:55:00Z[]",
            "2026-11-03T21.55.00",
            "2026-11-03T24.5",
            "2026-11-03T21:55:00.Z",
            "\N{MINUS SIGN}2026-11-03T21:55:00Z",
            "٢٠٢٦-11-03T21:55:00",
            1_793_742_900,
            True,
            {},
        ]:
            self.assertIn("lastrun must be an ISO 8601 date-time, not ", self.problem(body(lastrun=value)))
        self.assertEqual(self.problem(body(lastrun=None)), "lastrun is missing")


class FrequencyTests(Cases):
    def test_right(self) -> None:
        for text, minutes in [
            ("null", 10.0),
            ("5", 5.0),
            ("0.5", 0.5),
            ("1e1", 10.0),
            ("527040", 527_040.0),
            ("527040.0", 527_040.0),
            ('"10"', 10.0),
            ('" 10 "', 10.0),
            ('"1e1"', 10.0),
            ('"+.5"', 0.5),
            ('"10."', 10.0),
            ('"\\t10\\n"', 10.0),
            ("5e-324", 5e-324),
        ]:
            self.assertEqual(self.report(raw(f'"frequency": {text}')).frequency, minutes, text)

    def test_wrong(self) -> None:
        for text in [
            "0",
            "-0.0",
            "-5",
            "527040.001",
            "1e999",
            "-1e999",
            "1e-999",
            "NaN",
            "Infinity",
            "9" * 400,
            "9" * 5000,
            "true",
            "false",
            "[]",
            "{}",
            '""',
            '"ten"',
            '"nan"',
            '"inf"',
            '"0x10"',
            '"1_000"',
            '"1,5"',
            '"٣"',
            '"1 0"',
            '"1e999"',
            '"\\ud800"',
            f'"{"9" * 5000}"',
        ]:
            problem = self.problem(raw(f'"frequency": {text}'))
            self.assertIn("frequency must be a number of minutes above 0 and at most 527,040, not ", problem)
            self.assertLess(len(problem), 170)


class TextTests(Cases):
    def test_right(self) -> None:
        for member in ("reason", "process", "server"):
            for text, expected in [
                ("null", None),
                ('""', ""),
                ('"a\\nb\\u0000"', "a\nb\0"),
                ("5", "5"),
                ("-0", "-0"),
                ("1.50", "1.50"),
                ("1e999", "1e999"),
                ("9" * 5000, "9" * 500),
                (f'"{"x" * 501}"', "x" * 500),
                (f'"{"😀" * 501}"', "😀" * 500),
                (f'"{"x" * 500}\\ud800"', "x" * 500),
                ('" a b\\n"', "a b"),
                (f'"\\n{"x" * 501}"', "x" * 500),
                ('"caf\\udce9.txt"', "caf\ufffd.txt"),
                ('"\\ud800"', "\ufffd"),
                ('"\\ude00\\ud83d"', "\ufffd\ufffd"),
                ('"\\ud83d\\ude00"', "😀"),
                (f'"{"x" * 499}\\ud800"', "x" * 499 + "\ufffd"),
            ]:
                self.assertEqual(getattr(self.report(raw(f'"{member}": {text}')), member), expected)

    def test_wrong(self) -> None:
        for member in ("reason", "process", "server"):
            for text, words in [
                ("true", "must be a string or a number, not true"),
                ("false", "must be a string or a number, not false"),
                ("[1]", "must be a string or a number, not an array"),
                ("{}", "must be a string or a number, not an object"),
                ("NaN", "must be a string or a number, not NaN"),
            ]:
                self.assertEqual(self.problem(raw(f'"{member}": {text}')), f"{member} {words}")


class SleepTests(Cases):
    def test_right(self) -> None:
        for text, windows in [
            ("null", ()),
            ("[]", ()),
            ('[{"start": "00:00", "duration": 1440}]', (Window(0, 86_400.0),)),
            ('[{"start": "23:59:59", "duration": "0.1", "x": 1}]', (Window(86_399, 6.0),)),
            ('[{"start": " 23:59\\n", "duration": " 1 "}]', (Window(86_340, 60.0),)),
            (
                '[{"start": "06:00", "duration": 1}, {"start": "05:00", "duration": 2}]',
                (Window(21_600, 60.0), Window(18_000, 120.0)),
            ),
        ]:
            self.assertEqual(self.report(raw(f'"sleep": {text}')).sleep, windows)
            self.assertEqual(parse_carefully(raw(f'"sleep": {text}')).sleep, windows)

    def test_one_bad_window_makes_the_report_invalid(self) -> None:
        good = '{"start": "22:00", "duration": 60}'
        for text, words in [
            ("{}", "sleep must be an array"),
            ('"22:00"', "sleep must be an array"),
            ("false", "sleep must be an array"),
            (f"[{good}, null]", "sleep[1] must be an object with start and duration, not null"),
            (f"[{good}, 5]", "sleep[1] must be an object"),
            (f"[{good}, []]", "sleep[1] must be an object"),
            (f"[{good}, {{}}]", "sleep[1].start is missing"),
            (f'[{good}, {{"start": "22:00"}}]', "sleep[1].duration is missing"),
            (f'[{good}, {{"start": "22:00", "duration": null}}]', "sleep[1].duration is missing"),
        ]:
            self.assertIn(words, self.problem(raw(f'"sleep": {text}')))
        for start in [
            '"24:00"',
            '"9:30"',
            '"22:60"',
            '"22:00:60"',
            '"22"',
            '"22:00Z"',
            '""',
            "2200",
            '"٢٢:00"',
            '"22 :00"',
        ]:
            problem = self.problem(raw(f'"sleep": [{{"start": {start}, "duration": 60}}]'))
            self.assertIn("sleep[0].start must be HH:MM or HH:MM:SS, not ", problem)
        for duration in ["0", "-1", "1440.001", "NaN", '"x"', "true", "[]"]:
            problem = self.problem(raw(f'"sleep": [{{"start": "22:00", "duration": {duration}}}]'))
            self.assertIn("sleep[0].duration must be a number of minutes above 0 and at most 1,440, not ", problem)


class ScheduleTests(Cases):
    def test_right(self) -> None:
        for text, schedule in [
            ("null", None),
            ('"0 3 * * 1-5"', "0 3 * * 1-5"),
            ('" 0\\t3  * * MON-FRI\\n"', "0 3 * * MON-FRI"),
            ('"@daily"', "@daily"),
            ('" @Hourly "', "@Hourly"),
            ('"*/10 8-18 L * *"', "*/10 8-18 L * *"),
            ('"0 0 29 2 *"', "0 0 29 2 *"),
        ]:
            self.assertEqual(self.report(raw(f'"schedule": {text}')).schedule, schedule, text)

    def test_wrong(self) -> None:
        for text, words in [
            (
                '""',
                'schedule is not valid (five fields are needed: minute, hour, day of month, month, day of week): ""',
            ),
            ('"0 3 * *"', "(five fields are needed"),
            ('"0 0 3 * * *"', "(five fields are needed"),
            ('"60 3 * * *"', 'schedule is not valid (bad minute in the schedule): "60 3 * * *"'),
            ('"0 3 * * FRI-MON"', "(bad day-of-week in the schedule)"),
            ('"0 0 31 2 *"', "(bad day-of-month in the schedule)"),
            ('"0 0 */31 * 1#5"', "(no day matches the schedule)"),
            ('"@reboot"', "(of the names there are @yearly, "),
            ('"@every 5m"', "(of the names there are @yearly, "),
            (f'"{"9" * 5000} * * * *"', "(it is longer than any schedule)"),
            (f'"{"1," * 30_000}1 * * * *"', "(it is longer than any schedule)"),
            ("5", "schedule must be a cron expression of five fields, or a name such as @daily, not 5"),
            ("true", "not true"),
            ('["0 3 * * *"]', "not an array"),
            ('"0 3 \\ud800 * *"', "(bad day-of-month in the schedule)"),
        ]:
            problem = self.problem(raw(f'"schedule": {text}'))
            self.assertIn(words, problem, text[:80])
            self.assertLess(len(problem), 250)

    def test_timezone(self) -> None:
        for text, timezone in [
            ("null", None),
            ('"Europe/Berlin"', "Europe/Berlin"),
            ('" UTC\\n"', "UTC"),
            ('"Etc/GMT+12"', "Etc/GMT+12"),
        ]:
            self.assertEqual(self.report(raw(f'"timezone": {text}')).timezone, timezone, text)
        for text in [
            '""',
            '"Europe"',
            '"Europe/Nowhere"',
            '"../../etc/passwd"',
            '"/etc/localtime"',
            '"+01:00"',
            '"\\u0000"',
            '"\\ud800"',
            f'"{"a/" * 5000}b"',
            "5",
            "false",
            "{}",
        ]:
            problem = self.problem(raw(f'"timezone": {text}'))
            self.assertIn("timezone must be an IANA time zone such as Europe/Berlin, not ", problem)
            self.assertLess(len(problem), 170)

    def test_an_unknown_zone_without_a_schedule(self) -> None:
        """It makes the report invalid nevertheless."""
        self.assertIn("timezone must be", self.problem(body(timezone="Mars/Base", frequency=5)))

    def test_max_runtime(self) -> None:
        for text, minutes in [("null", None), ("60", 60.0), ('" 0.5 "', 0.5), ("527040", 527_040.0)]:
            self.assertEqual(self.report(raw(f'"max_runtime": {text}')).max_runtime, minutes)
        for text in ["0", "-1", "527040.001", "NaN", '"1h"', "true", "[]"]:
            problem = self.problem(raw(f'"max_runtime": {text}'))
            self.assertIn("max_runtime must be a number of minutes above 0 and at most 527,040, not ", problem)

    def test_secrets_are_not_quoted(self) -> None:
        secrets = Secrets(["hunter2-and-more"])
        for member in ("schedule", "timezone", "started", "max_runtime"):
            problem = parse(body(**{member: "a hunter2-and-more"}), secrets.scrub)
            assert isinstance(problem, str)
            self.assertIn(member, problem)
            self.assertNotIn("hunter2", problem)


class StartedTests(Cases):
    def test_beside_lastrun(self) -> None:
        report = self.report(body(started=" 2026-11-03 22:00:00 +0000"))
        self.assertEqual((report.lastrun, report.started, report.running), (INSTANT, INSTANT + 300, True))
        for started in (LASTRUN, "2026-11-03T21:00:00Z"):
            self.assertFalse(self.report(body(started=started)).running)
        self.assertEqual(self.report(body(started=None)), Report(True, INSTANT))
        self.assertFalse(self.report(body()).running)

    def test_without_lastrun(self) -> None:
        for members in ({}, {"lastrun": None}):
            report = self.report(json.dumps({"status": "ok", "started": LASTRUN, **members}).encode())
            self.assertEqual((report.lastrun, report.started, report.running), (None, INSTANT, True))

    def test_wrong(self) -> None:
        for value in ("", "now", "2026-11-03", 5, True, []):
            self.assertIn("started must be an ISO 8601 date-time, not ", self.problem(body(started=value)))
        self.assertEqual(self.problem(b'{"status": "ok", "started": null}'), "lastrun is missing")
        self.assertIn("lastrun must be", self.problem(body(lastrun="", started=LASTRUN)))


_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
_numbers = st.one_of(st.integers(-5, 2000), st.floats(), st.sampled_from(["10", " 1e1", "nan", "0x1", "", "1440", "٣"]))
_window = st.fixed_dictionaries(
    {},
    optional={
        "start": st.one_of(st.sampled_from(["22:00", "23:59:59", "24:00", "9:00"]), _values),
        "duration": st.one_of(_numbers, _values),
    },
)
_reports = st.fixed_dictionaries(
    {
        "status": st.one_of(st.sampled_from(["ok", "error", "OK", "Error"]), _values),
        "lastrun": st.one_of(
            st.datetimes().map(lambda when: when.isoformat()), st.sampled_from([LASTRUN, "2026-11-03T24:00"]), _values
        ),
    },
    optional={
        "frequency": st.one_of(_numbers, _values),
        "reason": _values,
        "sleep": st.one_of(st.lists(_window, max_size=3), _values),
        "process": _values,
        "server": _values,
        "schedule": st.one_of(st.sampled_from(["0 3 * * 1-5", "@daily", "61 * * * *", "* * * *"]), _values),
        "timezone": st.one_of(st.sampled_from(["Europe/Berlin", "UTC", "Mars/Base"]), _values),
        "started": st.one_of(st.datetimes().map(lambda when: when.isoformat()), _values),
        "max_runtime": st.one_of(_numbers, _values),
        "other": _values,
    },
)


class SecretTests(SynchronousTestCase):
    """An endpoint may repeat our own secrets."""

    scrub = staticmethod(Secrets({"s3cret/word", "status"}).scrub)

    def read(self, body: bytes) -> Finding:
        return read(Answer(200, body, 0.0), self.scrub)

    def test_every_text(self) -> None:
        finding = self.read(body(reason="no s3cret/word", process="s3cret%2Fword", server="web1"))
        assert isinstance(finding, Reported)
        report = finding.report
        self.assertEqual((report.reason, report.process, report.server), ("no ***", "***", "web1"))

    def test_hidden_by_escapes(self) -> None:
        finding = self.read(raw(r'"reason": "\u0073\u0033cret\/word"'))
        assert isinstance(finding, Reported)
        self.assertEqual(finding.report.reason, "***")

    def test_no_half_is_left_at_a_cut(self) -> None:
        for before in range(485, 502):
            finding = self.read(body(reason="x" * before + "s3cret/word"))
            assert isinstance(finding, Reported)
            self.assertNotIn("s3", finding.report.reason or "")
        for before in range(60, 84):
            finding = self.read(body(frequency="x" * before + "s3cret/word"))
            assert isinstance(finding, Invalid)
            self.assertNotIn("s3", finding.problem)

    def test_what_moves_up_is_text(self) -> None:
        finding = self.read(raw(f'"reason": "{"s3cret/word" * 9}{"x" * 450}\\ud800"'))
        assert isinstance(finding, Reported)
        (finding.report.reason or "").encode()

    def test_every_quoted_value(self) -> None:
        for sent in (b"s3cret/word", b'"s3cret/word"', body(sleep=["s3cret/word"]), body(lastrun="s3cret/word")):
            finding = self.read(sent)
            assert isinstance(finding, Invalid)
            self.assertIn("***", finding.problem)
            self.assertNotIn("s3cret", finding.problem)

    def test_no_half_is_left_where_a_body_is_quoted_from_its_middle(self) -> None:
        scrub = Secrets({"pass\\word", "hunter\x01two"}).scrub
        for sent in (b'{"status": "pass\\word"}', b'{"status": "hunter\x01two"}'):
            finding = read(Answer(200, sent, 0.0), scrub)
            assert isinstance(finding, Invalid)
            self.assertIn('it starts with "{"status": "***"}"', finding.problem)

    def test_white_space_around_a_secret(self) -> None:
        finding = self.read(body(reason=" s3cret/word\n", server="\ts3cret/word"))
        assert isinstance(finding, Reported)
        self.assertEqual((finding.report.reason, finding.report.server), ("***", "***"))

    def test_nothing_else_is_touched(self) -> None:
        self.assertEqual(self.read(body()), Reported(200, Report(True, INSTANT)))
        self.assertEqual(self.read(b'{"lastrun": "now"}'), Invalid(200, "status is missing"))


_texts = st.none() | st.text(st.characters(codec="utf-8"), max_size=600) | st.integers(-9999, 9999)
_blank = st.sampled_from(["", " ", "\t", "\n", "\u00a0\r\n"])


class ValidReportTests(Cases):
    """A report reads back however it is spelled."""

    @thorough
    @given(
        st.booleans(),
        st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1)),
        st.integers(1, 527_040),
        st.lists(st.tuples(st.integers(0, 1439), st.integers(1, 1440)), max_size=3),
        st.tuples(_texts, _texts, _texts),
        st.data(),
    )
    def test_reads_back(
        self,
        ok: bool,
        lastrun: datetime,
        frequency: int,
        windows: list[tuple[int, int]],
        texts: tuple[str | int | None, ...],
        data: st.DataObject,
    ) -> None:
        def spelled(text: str) -> str:
            return data.draw(_blank) + text + data.draw(_blank)

        def number(value: int) -> object:
            return data.draw(st.sampled_from([value, float(value), spelled(str(value)), spelled(f"{value}.0")]))

        status = "".join(data.draw(st.sampled_from([c, c.upper()])) for c in ("ok" if ok else "error"))
        members: dict[str, object] = {
            "status": spelled(status),
            "lastrun": spelled(f"{lastrun.isoformat()}{data.draw(st.sampled_from(['', 'Z', ' UTC', '+0000']))}"),
            "frequency": number(frequency),
            "sleep": [
                {"start": spelled(f"{start // 60:02}:{start % 60:02}"), "duration": number(duration)}
                for start, duration in windows
            ],
            **dict(zip(("reason", "process", "server"), texts, strict=True)),
        }
        if frequency == 10 and data.draw(st.booleans()):
            members["frequency"] = None
        order = data.draw(st.permutations(list(members)))
        body = json.dumps({name: members[name] for name in order}, ensure_ascii=data.draw(st.booleans())).encode()
        kept = [None if text is None else str(text).strip()[:500] for text in texts]
        self.assertEqual(
            self.report(body),
            Report(
                ok,
                lastrun.replace(tzinfo=UTC).timestamp(),
                float(frequency),
                kept[0],
                tuple(Window(start * 60, duration * 60.0) for start, duration in windows),
                *kept[1:],
            ),
        )


class LargeBodyTests(Cases):
    """A megabyte costs no more than in proportion to its size."""

    def test_long_texts_that_do_not_match(self) -> None:
        long = 300_000
        for members in (
            {"lastrun": f"2026-11-03T21:55:00+01:00{'[a]' * long}x"},
            {"lastrun": f"2026-11-03T21:55:00.{'9' * long}x"},
            {"frequency": f"{'9' * long}x"},
            {"frequency": f"{'9' * long}.{'9' * long}x"},
            {"frequency": f"1e{'9' * long}x"},
            {"status": f"{' ' * long}x"},
            {"schedule": f"{'1,' * long}x"},
            {"schedule": f"{'* ' * long}x"},
            {"timezone": f"{'a/' * long}x"},
            {"started": f"2026-11-03T21:55:00.{'9' * long}x"},
            {"sleep": [{"start": f"{' ' * long}x", "duration": 1}]},
        ):
            before = time.process_time()
            self.problem(body(**members))
            self.assertLess(time.process_time() - before, 1.0, members.keys())


class AnyBodyTests(SynchronousTestCase):
    """Nothing raises, and the two readers agree."""

    def check(self, body: bytes) -> None:
        result = parse(body)
        usual = parse_usual(body.removeprefix(b"\xef\xbb\xbf"))
        try:
            careful: Report | str = parse_carefully(body.removeprefix(b"\xef\xbb\xbf"))
        except ReportError as problem:
            careful = problem.text(str)
        self.assertEqual(result, careful)
        if usual is not None:
            self.assertEqual(usual, careful)
        if isinstance(result, str):
            self.assertNotRegex(result, "[\0-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\ud800-\udfff]")
            self.assertLess(len(result), 250)
        else:
            for text in (result.reason, result.process, result.server):
                self.assertLessEqual(len((text or "").encode()), 2000)

    @thorough
    @given(st.binary())
    @example(b"\xef\xbb\xbf\xef\xbb\xbf{}")
    def test_any_bytes(self, body: bytes) -> None:
        self.check(body)

    @thorough
    @given(_reports)
    def test_anything_that_looks_like_a_report(self, members: dict[str, Any]) -> None:
        self.check(json.dumps(members).encode())

    @thorough
    @given(_reports, st.binary(max_size=3), st.data())
    def test_damaged_reports(self, members: dict[str, Any], bytes_: bytes, data: st.DataObject) -> None:
        body = json.dumps(members).encode()
        at = data.draw(st.integers(0, len(body)))
        self.check(body[:at] + bytes_ + body[at + data.draw(st.integers(0, 3)) :])

    @thorough
    @given(st.text(st.characters()), st.sampled_from(MEMBERS))
    def test_any_text_in_any_member(self, text: str, member: str) -> None:
        self.check(body(**{member: text}))
        self.check(
            json.dumps({"status": "ok", "lastrun": LASTRUN, member: text}, ensure_ascii=False).encode(
                "utf-8", "replace"
            )
        )
