"""Tests for :mod:`pypinger.domain.times` and :mod:`pypinger.domain.texts`."""

from __future__ import annotations

from datetime import UTC, datetime
from math import inf, nan

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from pypinger.domain.texts import cut, one_line
from pypinger.domain.times import clock, iso, number, span
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
        for text in (iso(one) or "", clock(one, other), span(one), number(one)):
            self.assertLess(len(text), 40)


class TextsTests(SynchronousTestCase):
    def test_one_line(self) -> None:
        self.assertEqual(one_line(" a\r\n\tb\0\x1b\u2028c\u202ed\ud800 "), "a b c d")

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
