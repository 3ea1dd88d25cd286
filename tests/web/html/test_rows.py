"""The pictures of the overview's rows are drawn once."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace
from treq.testing import StubTreq
from twisted.trial.unittest import SynchronousTestCase

from pypinger.domain.kinds import Kind
from pypinger.domain.model import Instant
from pypinger.ports.history import Day, Gap
from pypinger.ports.showing import Entry
from pypinger.web.app import resource
from pypinger.web.html import rows
from pypinger.web.html.figures import Figures
from pypinger.web.html.rows import Pictures
from tests.web.fakes import NIGHT, NOW, entry, new_entry
from tests.web.history import FakeHistory
from tests.web.test_app import AppTestCase

DAY = 86_400.0

GAPS = [Gap(NOW - 300 - number * 900, 900.0) for number in range(30)]
DAYS = [Day(NOW // DAY * DAY - DAY, 80_000.0, 400.0, 6000.0)]


def figures(gaps: Sequence[Gap] = GAPS, days: Sequence[Day] = DAYS) -> Figures:
    return Figures(gaps, days, NOW, NOW - 300, Kind.OK)


class Counted:
    """Draws the days, and counts how often."""

    def __init__(self) -> None:
        self.drawn = 0
        self._draw = rows.strip

    def __call__(self, days: Sequence[Day], now: Instant) -> str:
        self.drawn += 1
        return self._draw(days, now)


class PicturesTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.counted = Counted()
        self.patch(rows, "strip", self.counted)
        self.pictures = Pictures(2)

    def test_kept(self) -> None:
        """Another run, another check, a later moment: the pictures stay while the figures do."""
        known = figures()
        first = self.pictures.of(entry(), known, NOW)
        self.assertIn("spark", first[0])
        self.assertIn("strip", first[1])
        for other in (entry(), entry(lastrun=NOW), entry(kind=Kind.FAILED)):
            self.assertIs(self.pictures.of(other, known, NOW + 100), first)
        self.assertEqual(self.counted.drawn, 1)

    def test_drawn_anew(self) -> None:
        """Whatever they show, it is what they would show if they were drawn for the first time."""
        made, known = entry(), figures()
        changes: list[tuple[Entry, Figures | None, Instant]] = [
            (made, figures(gaps=[*GAPS[:-1], Gap(NOW - 40_000, 3600.0)]), NOW),
            (made, figures(days=[replace(DAYS[0], down=4000.0)]), NOW),
            (entry(frequency=60.0), known, NOW),
            (entry(sleep=(NIGHT,)), known, NOW),
            (Entry(replace(made.task, grace=1000.0), made.state), known, NOW),
            (made, known, NOW + DAY),
            (new_entry(made.task.url), known, NOW),
            (made, None, NOW),
        ]
        before = self.pictures.of(made, known, NOW)
        for change in changes:
            self.pictures.of(made, known, NOW)
            now = self.pictures.of(*change)
            self.assertNotEqual(now, before)
            self.assertEqual(now, Pictures().of(*change))

    def test_bounded(self) -> None:
        one, two, three = (entry(f"http://h/{number}") for number in range(3))
        known = figures()
        for each in (one, two, one, three, one):
            self.pictures.of(each, known, NOW)
        self.assertEqual(self.counted.drawn, 3)
        self.pictures.of(two, known, NOW)
        self.assertEqual(self.counted.drawn, 4)


class OverviewTests(AppTestCase):
    def test_for_all_readers_together(self) -> None:
        counted = Counted()
        self.patch(rows, "strip", counted)
        self.treq = StubTreq(resource(self.board, lambda: NOW, history=FakeHistory(NOW), reactor=self.clock))
        for path in ("/", "/", "/?by=server"):
            self.assertEqual(self.html(path).count('class="strip"'), 3)
        self.assertEqual(counted.drawn, 3)
