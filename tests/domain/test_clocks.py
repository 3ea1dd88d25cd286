"""Whether our wall clock is wrong by the Date of answers, against a reading of the contract."""

from __future__ import annotations

from itertools import combinations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from pypinger.domain.clocks import Clocks
from pypinger.domain.model import Skew

NOW = 1_793_620_800.0


def wrong(differences: list[float]) -> bool:
    """More than half of the hosts, and at least three, differ by more than 60 s and agree within 30 s."""
    return any(
        len(group) > len(differences) / 2 and all(abs(each) > 60 for each in group) and max(group) - min(group) <= 30
        for size in range(3, len(differences) + 1)
        for group in combinations(differences, size)
    )


class ClocksTests(SynchronousTestCase):
    @settings(deadline=None, max_examples=150)
    @given(st.lists(st.sampled_from([-3600, -3585, -61, -45, 0, 1, 59, 61, 70, 85, 92, 3600, 3629, 3631]), max_size=9))
    def test_the_contract(self, differences: list[float]) -> None:
        clocks = Clocks()
        for number, difference in enumerate(differences):
            clocks.heard(f"h{number}", NOW + difference, NOW, 5.0, 80.0)
            self.assertEqual(clocks.wrong is not None, wrong(differences[: number + 1]))
        clocks.stepped(0.0, 6.0)
        self.assertEqual(clocks.wrong is not None, wrong(differences))

    def test_the_difference(self) -> None:
        clocks = Clocks()
        for number, difference in enumerate((3600, 3604, 3602, 0)):
            clocks.heard(f"h{number}", NOW + difference, NOW, 5.0, 80.0)
        self.assertEqual(clocks.wrong, 3602)
        self.assertEqual(clocks.skew("h0", 5.0), Skew("h0", 3600))
        self.assertIsNone(clocks.skew("h3", 5.0))
        self.assertIsNone(clocks.skew("x", 5.0))
        self.assertIsNone(clocks.skew("h0", 86.0))
        clocks.stepped(3602, 5.0)
        self.assertIsNone(clocks.wrong)

    def test_hosts_count_for_an_interval(self) -> None:
        clocks = Clocks()
        for number in range(3):
            clocks.heard(f"h{number}", NOW, NOW, 0.0, 80.0)
        for number in range(3, 6):
            clocks.heard(f"h{number}", NOW + 100, NOW, 50.0, 80.0)
        self.assertIsNone(clocks.wrong)
        clocks.heard("h3", NOW + 100, NOW, 81.0, 80.0)
        self.assertIsNotNone(clocks.wrong)

    def test_after_a_silence_one_odd_host_ends_nothing(self) -> None:
        clocks = Clocks()
        for number in range(3):
            clocks.heard(f"h{number}", NOW + 100, NOW, 0.0, 80.0)
        clocks.heard("h0", NOW + 100, NOW, 500.0, 80.0)
        self.assertIsNotNone(clocks.wrong)
        clocks.heard("h1", NOW, NOW, 501.0, 80.0)
        self.assertIsNone(clocks.wrong)

    def test_thousands_of_hosts(self) -> None:
        clocks = Clocks()
        for number in range(5000):
            clocks.heard(f"h{number}", NOW + 100, NOW, number / 100, 80.0)
        self.assertIsNotNone(clocks.wrong)

    def test_over_a_restart(self) -> None:
        clocks = Clocks()
        clocks.restore(wrong=True)
        self.assertIsNotNone(clocks.wrong)
