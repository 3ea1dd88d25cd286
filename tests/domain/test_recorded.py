"""When the checks of recorded runs were made."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from pypinger.domain.model import Fault, Finding, Invalid, NoAnswer
from pypinger.domain.recorded import BlindTimes, Checks, FindingRun

FAULT = NoAnswer(Fault.REFUSED, "connection refused", 0.1)


def run(first: float, last: float, count: int, finding: Finding = FAULT) -> FindingRun:
    return FindingRun(first, last, count, finding)


class ChecksTests(SynchronousTestCase):
    def moments(self, checks: Checks, now: float = -1.0) -> list[float]:
        found = []
        while (at := checks.after(now)) is not None:
            found.append(round(at, 3))
            now = at
        return found

    def checks(self, found: FindingRun, *blind: tuple[float, float]) -> Checks:
        return Checks(found, 60.0, BlindTimes(blind))

    def test_regular(self) -> None:
        self.assertEqual(self.moments(self.checks(run(0, 240, 5))), [60, 120, 180, 240])
        self.assertEqual(self.moments(self.checks(run(0, 240, 5)), 121), [180, 240])
        self.assertEqual(self.moments(self.checks(run(0, 0, 1))), [])

    def test_the_first_at_a_deadline(self) -> None:
        self.assertEqual(self.moments(self.checks(run(30, 240, 5))), [60, 120, 180, 240])

    def test_spread_where_nothing_fits(self) -> None:
        self.assertEqual(self.moments(self.checks(run(0, 240, 4))), [80, 160, 240])
        self.assertEqual(self.moments(self.checks(run(0, 240, 7))), [40, 80, 120, 160, 200, 240])

    def test_after_a_restart(self) -> None:
        # From 130 to 155 there was no process; the first check was 5 s after the start.
        checks = self.checks(run(0, 280, 6), (130, 155))
        self.assertEqual(self.moments(checks), [60, 120, 160, 220, 280])

    def test_after_two_restarts(self) -> None:
        checks = self.checks(run(0, 460, 8), (130, 155), (230, 335))
        self.assertEqual(self.moments(checks), [60, 120, 160, 220, 340, 400, 460])

    def test_after_blindness_the_intervals_go_on(self) -> None:
        checks = self.checks(run(0, 300, 5), (130, 155), (170, 215))
        self.assertEqual(self.moments(checks), [60, 120, 240, 300])

    def test_a_regular_check_was_under_way_at_a_deadline(self) -> None:
        checks = self.checks(run(0, 240, 5))
        checks.made_at_deadline(119.0, 21.0)
        self.assertEqual(self.moments(checks, 119.0), [180, 240])
        checks = self.checks(run(0, 240, 5))
        checks.made_at_deadline(90.0, 21.0)
        self.assertEqual(self.moments(checks, 90.0), [120, 180, 240])

    def test_an_additional_check_at_a_deadline(self) -> None:
        checks = self.checks(run(0, 240, 6))
        checks.made_at_deadline(119.0, 21.0)
        self.assertEqual(self.moments(checks, 119.0), [120, 180, 240])
        # There was one only.
        checks.made_at_deadline(179.0, 21.0)
        self.assertEqual(self.moments(checks, 179.0), [240])

    def test_the_last_was_made_at_a_deadline(self) -> None:
        checks = self.checks(run(0, 200, 5, NoAnswer(Fault.TIMEOUT, "no answer", 10.0)), (100, 110))
        checks.made_at_deadline(190.0, 21.0)
        self.assertEqual(self.moments(checks, 190.0), [])
        checks = self.checks(run(0, 200, 5, Invalid(200, "x")))
        checks.made_at_deadline(199.5, 21.0)
        self.assertEqual(self.moments(checks, 199.5), [])

    def test_a_deadline_at_the_end_or_where_nothing_fits_changes_nothing(self) -> None:
        checks = self.checks(run(0, 240, 4))
        checks.made_at_deadline(100.0, 21.0)
        self.assertEqual(self.moments(checks, 100.0), [160, 240])
        checks = self.checks(run(0, 240, 5))
        checks.made_at_deadline(240.0, 21.0)
        self.assertEqual(self.moments(checks), [60, 120, 180, 240])

    @given(
        st.integers(0, 10_000),
        st.integers(0, 100_000),
        st.integers(1, 300),
        st.integers(1, 600),
        st.lists(st.tuples(st.integers(-100, 110_000), st.integers(0, 5000)), max_size=4),
    )
    def test_any_run(self, first: int, length: int, count: int, interval: int, spans: list[tuple[int, int]]) -> None:
        last = first + length if count > 1 else first
        blind = BlindTimes([(start, start + duration) for start, duration in spans])
        checks = Checks(run(first, last, count), interval, blind)
        found = self.moments(checks, first - 1)
        self.assertEqual(found, sorted(found))
        self.assertLess(len(found), count + 1)
        self.assertTrue(all(first <= at <= last + 0.5 for at in found), found)
