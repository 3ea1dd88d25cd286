"""Lengths of time with and without units."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from pypinger.domain.durations import UNITS, parse_duration


class DurationTests(SynchronousTestCase):
    def test_number(self) -> None:
        """A number without a unit has the unit of its option."""
        for text, number in (("90", 90.0), ("+7.", 7.0), (".5", 0.5), ("1e3", 1000.0), ("0", 0.0), ("1e999", math.inf)):
            self.assertEqual(parse_duration(text), number)
            self.assertEqual(parse_duration(text, 60.0), number * 60)

    def test_units(self) -> None:
        for text, seconds in (
            ("90s", 90.0),
            ("5m", 300.0),
            ("5 min", 300.0),
            ("1h 30m", 5400.0),
            ("1h30m", 5400.0),
            ("30m 1h", 5400.0),
            ("2d", 172_800.0),
            ("0.5h", 1800.0),
            ("0s", 0.0),
            ("9" * 400 + "s", math.inf),
        ):
            self.assertEqual(parse_duration(text, 86_400.0), seconds, text)

    def test_invalid(self) -> None:
        for text in (
            "",
            "x",
            "s",
            "-5",
            "-5m",
            "5x",
            "5m 5m",
            "5m 5min",
            "5m 6",
            "6 5m",
            "1h,30m",
            "5M",
            "nan",
            "٣",
            "5m ",
        ):
            self.assertRaises(ValueError, parse_duration, text)

    @given(st.dictionaries(st.sampled_from(["d", "h", "m", "s"]), st.integers(0, 10_000), min_size=1))
    def test_sum(self, parts: dict[str, int]) -> None:
        """Each unit counts once, in any order."""
        text = " ".join(f"{number}{unit}" for unit, number in parts.items())
        self.assertEqual(parse_duration(text), sum(number * UNITS[unit] for unit, number in parts.items()))

    @given(st.text("0123456789.dhms in+-e", max_size=12))
    def test_any_text(self, text: str) -> None:
        try:
            self.assertGreaterEqual(parse_duration(text), 0.0)
        except ValueError as error:
            self.assertEqual(str(error), "not a length of time")
