"""Tests for :mod:`pypinger.domain.backoff`."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from pypinger.domain.backoff import delay, retry_after
from tests.domain.strategies import thorough

NOW = 784_111_777.0  # Sun, 06 Nov 1994 08:49:37 GMT


class DelayTests(SynchronousTestCase):
    def wait(
        self,
        attempts: int,
        *,
        asked: float | None = None,
        age: float = 0.0,
        retry_for: float = 86_400.0,
        chance: float = 0.0,
    ) -> float | None:
        return delay(attempts, retry_after=asked, age=age, retry_for=retry_for, chance=chance)

    def test_doubles_from_a_second_to_five_minutes(self) -> None:
        self.assertEqual([self.wait(n) for n in range(1, 11)], [1, 2, 4, 8, 16, 32, 64, 128, 150, 150])
        almost = 1 - 2**-53
        self.assertEqual([round(self.wait(n, chance=almost) or 0) for n in (1, 2, 8, 9, 10**9)], [2, 4, 256, 300, 300])

    def test_retry_after_replaces_the_backoff(self) -> None:
        self.assertEqual(self.wait(9, asked=30.0), 30)
        self.assertEqual(self.wait(1, asked=0.0), 1)
        self.assertEqual(self.wait(1, asked=1e9), 3600)

    def test_gives_up(self) -> None:
        self.assertEqual(self.wait(1, age=9, retry_for=10), 1)
        self.assertIsNone(self.wait(1, age=9.5, retry_for=10))
        self.assertIsNone(self.wait(1, asked=60.0, age=0, retry_for=10))
        self.assertIsNone(self.wait(1, retry_for=0))

    @thorough
    @given(st.integers(1), st.floats(0, 1, exclude_max=True), st.one_of(st.none(), st.floats(0)))
    def test_bounds(self, attempts: int, chance: float, asked: float | None) -> None:
        wait = self.wait(attempts, asked=asked, chance=chance)
        assert wait is not None
        self.assertTrue(1 <= wait <= (300 if asked is None else 3600))


class RetryAfterTests(SynchronousTestCase):
    def test_cases(self) -> None:
        for header, seconds in [
            (None, None),
            ("", None),
            ("30", 30.0),
            (" 30 ", 30.0),
            ("0.5", 0.5),
            ("-1", None),
            ("1e3", None),
            ("٣", None),
            ("9" * 5000, None),
            ("soon", None),
            ("Sun, 06 Nov 1994 08:50:37 GMT", 60.0),
            ("Sun, 06 Nov 1994 08:50:37 -0000", 60.0),
            ("Sunday, 06-Nov-94 08:50:37 GMT", 60.0),
            ("Sun Nov  6 08:50:37 1994", 60.0),
            ("Sun, 06 Nov 1994 07:50:37 GMT", 0.0),
            ("Sun, 06 Nov 1994 08:50:37 +9999999", None),
            ("Sun, 99 Nov 1994 08:50:37 GMT", None),
        ]:
            self.assertEqual(retry_after(header, NOW), seconds, header)

    @thorough
    @given(st.one_of(st.text(), st.text(st.sampled_from("0123456789 :,-+SunNovGMT"))))
    def test_any_text(self, header: str) -> None:
        seconds = retry_after(header, NOW)
        self.assertTrue(seconds is None or seconds >= 0)
