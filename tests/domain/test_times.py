"""Tests for :mod:`pypinger.domain.times` and :mod:`pypinger.domain.texts`."""

from __future__ import annotations

from datetime import UTC, datetime
from math import inf, nan

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from pypinger.domain.texts import cut, error_words, one_line, visible
from pypinger.domain.times import clock, every, iso, length, number, span
from tests.domain.strategies import thorough

T = datetime(2026, 11, 3, 21, 55, tzinfo=UTC).timestamp()


class IsoTests(SynchronousTestCase):
    def test_cases(self) -> None:
        for instant, text in [
            (None, None),
            (nan, None),
            (0.0, "1970-01-01T00:00:00.000Z"),
            (T, "2026-11-03T21:55:00.000Z"),
            (T + 0.0004, "2026-11-03T21:55:00.000Z"),
            (T + 0.0006, "2026-11-03T21:55:00.001Z"),
            (T - 0.0001, "2026-11-03T21:55:00.000Z"),
            (-0.5, "1969-12-31T23:59:59.500Z"),
            (inf, "9999-12-31T23:59:59.999Z"),
            (1e300, "9999-12-31T23:59:59.999Z"),
            (-inf, "0001-01-01T00:00:00.000Z"),
        ]:
            self.assertEqual(iso(instant), text)

    @thorough
    @given(st.floats(-6e10, 2.5e11))
    def test_reads_back(self, instant: float) -> None:
        text = iso(instant)
        assert text is not None
        self.assertLess(abs(datetime.fromisoformat(text).timestamp() - instant), 0.00055)


class ClockTests(SynchronousTestCase):
    def test_same_day(self) -> None:
        self.assertEqual(clock(T, T + 2 * 3600), "21:55:00 UTC")
        self.assertEqual(clock(T + 0.9, T), "21:55:00 UTC")
        self.assertEqual(clock(T - 1e-7, T), "21:55:00 UTC")

    def test_other_day(self) -> None:
        self.assertEqual(clock(T, T + 3 * 3600), "2026-11-03 21:55:00 UTC")
        self.assertEqual(clock(-inf, T), "0001-01-01 00:00:00 UTC")
        self.assertEqual(clock(-1.0, 0.0), "1969-12-31 23:59:59 UTC")

    def test_first_moment(self) -> None:
        self.assertEqual(clock(T), "2026-11-03 21:55:00 UTC")


class SpanTests(SynchronousTestCase):
    def test_cases(self) -> None:
        for seconds, text in [
            (0, "0 s"),
            (0.0001, "less than 1 s"),
            (0.3, "less than 1 s"),
            (1, "1 s"),
            (45, "45 s"),
            (59.99, "59 s"),
            (59.9999, "1 min"),
            (60, "1 min"),
            (34 * 60 + 59, "34 min"),
            (3600, "1 h"),
            (4320, "1 h 12 min"),
            (86_400, "1 d"),
            (3 * 86_400 + 4 * 3600 + 59, "3 d 4 h"),
            (-90, "-1 min"),
            (1e12, "over 9999 years"),
            (inf, "over 9999 years"),
            (-inf, "-over 9999 years"),
            (nan, "an unknown time"),
        ]:
            self.assertEqual(span(seconds), text)

    @thorough
    @given(st.integers(0, 10**9))
    def test_is_truncated_to_two_units(self, seconds: int) -> None:
        sizes = {"s": 1, "min": 60, "h": 3600, "d": 86_400}
        words = span(float(seconds)).split()
        units = words[1::2]
        shown = sum(int(amount) * sizes[unit] for amount, unit in zip(words[::2], units, strict=True))
        smallest = {"s": 1, "min": 60, "h": 60, "d": 3600}[units[0]]
        self.assertTrue(0 <= seconds - shown < smallest, words)


class LengthTests(SynchronousTestCase):
    def test_cases(self) -> None:
        for seconds, text in [
            (0, "0 s"),
            (0.00025, "0.00025 s"),
            (0.5, "0.5 s"),
            (30, "30 s"),
            (45.5, "45.5 s"),
            (59.9999, "1 min"),
            (60, "1 min"),
            (60.5, "1 min 0.5 s"),
            (483, "8 min 3 s"),
            (600, "10 min"),
            (5400, "1 h 30 min"),
            (3601, "1 h 1 s"),
            (86_400, "1 day"),
            (90_061, "1 day 1 h 1 min 1 s"),
            (604_800, "7 days"),
            (-300, "-5 min"),
            (1e12, "over 9999 years"),
            (inf, "over 9999 years"),
            (nan, "an unknown time"),
        ]:
            self.assertEqual(length(seconds), text)

    def test_how_often(self) -> None:
        for seconds, text in [
            (1, "every second"),
            (30, "every 30 s"),
            (60, "every minute"),
            (600, "every 10 min"),
            (3600, "every hour"),
            (86_400, "every day"),
            (172_800, "every 2 days"),
            (604_800, "every week"),
            (inf, "every over 9999 years"),
        ]:
            self.assertEqual(every(seconds), text)

    @thorough
    @given(st.integers(0, 10**8))
    def test_counts_every_second(self, seconds: int) -> None:
        sizes = {"s": 1, "min": 60, "h": 3600, "day": 86_400, "days": 86_400}
        words = length(float(seconds)).split()
        amounts = [int(amount) * sizes[unit] for amount, unit in zip(words[::2], words[1::2], strict=True)]
        self.assertEqual(sum(amounts), seconds)


class NumberTests(SynchronousTestCase):
    def test_cases(self) -> None:
        for value, text in [
            (10.0, "10"),
            (0.5, "0.5"),
            (1 / 3, "0.333"),
            (527_040.0, "527040"),
            (0.0, "0"),
            (0.00025, "0.00025"),
            (-60.0, "-60"),
            (1e15, "1e+15"),
            (inf, "inf"),
            (nan, "nan"),
        ]:
            self.assertEqual(number(value), text)


class NothingRaisesTests(SynchronousTestCase):
    @thorough
    @given(st.floats(), st.floats())
    def test_any_float(self, one: float, other: float) -> None:
        for text in (iso(one) or "", clock(one, other), clock(one), span(one), number(one), length(one), every(one)):
            self.assertLess(len(text), 60)


class TextsTests(SynchronousTestCase):
    def test_one_line(self) -> None:
        self.assertEqual(one_line(" a\r\n\tb\0\x1b\u2028c\u202ed\ud800 "), "a b c d")

    def test_visible(self) -> None:
        self.assertEqual(visible('a "b" \\'), 'a "b" \\')
        self.assertEqual(
            visible("\0\n\r\t\x7f\u00a0\u200e\ufeff\ud800\U000e0001"),
            r"\u0000\n\r\t\u007f\u00a0\u200e\ufeff\ud800\U000e0001",
        )
        self.assertEqual(visible("\u3164ä😀\ufffd"), r"\u3164" + "ä😀\ufffd")

    def test_error_words(self) -> None:
        self.assertEqual(error_words(ValueError("not\na number")), "ValueError: not a number")
        self.assertEqual(error_words(ValueError()), "ValueError")
        self.assertEqual(len(error_words(ValueError("x" * 500))), 200)

    def test_cut(self) -> None:
        self.assertEqual(cut("abcd", 4), "abcd")
        self.assertEqual(cut("abcde", 4), "abc…")
        self.assertEqual(len(cut("x" * 501)), 500)

    @thorough
    @given(st.text(st.characters()))
    def test_any_text(self, text: str) -> None:
        line = one_line(text)
        self.assertLessEqual(len(line.splitlines()), 1)
        line.encode("utf-8")
        shown = visible(text)
        self.assertTrue(shown.isprintable())
        self.assertEqual(visible(shown), shown)
