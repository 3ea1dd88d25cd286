"""Full garbage collections do not see what lives as long as the process."""

from __future__ import annotations

import gc

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from pypinger.runtime.collector import MANY, SETTLED, STEP, THRESHOLDS, Collector


class CollectorTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.addCleanup(gc.unfreeze)
        self.addCleanup(gc.set_threshold, *gc.get_threshold())
        gc.unfreeze()
        gc.set_threshold(700, 10, 10)
        self.clock = Clock()
        self.collector = Collector(self.clock)

    def frozen(self) -> bool:
        """Whether all objects that there were are out of the collector's sight."""
        return gc.get_freeze_count() > 1000 and gc.get_threshold() == THRESHOLDS

    def test_a_few_tasks_wait_until_everything_exists(self) -> None:
        self.collector.start(MANY - 1)
        self.assertEqual((gc.get_freeze_count(), gc.get_threshold()), (0, (700, 10, 10)))
        self.clock.advance(SETTLED)
        self.assertTrue(self.frozen())

    def test_thousands_of_tasks_do_not(self) -> None:
        self.collector.start(MANY)
        self.assertTrue(self.frozen())
        # Meanwhile as well, so that a full collection finds little.
        kept = []
        for _ in range(3):
            before = gc.get_freeze_count()
            kept.append([[number] for number in range(5000)])
            self.clock.advance(STEP)
            self.assertGreater(gc.get_freeze_count(), before + 4900)
        self.clock.pump([STEP] * round(SETTLED / STEP))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_what_is_taken_over_later(self) -> None:
        self.collector.start(1)
        self.clock.advance(SETTLED - 1)
        # What follows is waited for.
        self.collector.grow()
        self.clock.advance(1)
        self.assertFalse(self.frozen())
        self.clock.advance(SETTLED - 1)
        self.assertTrue(self.frozen())
        before = gc.get_freeze_count()
        more = [[number] for number in range(5000)]
        self.collector.grow()
        self.assertGreater(gc.get_freeze_count(), before + len(more) - 100)

    def test_stop(self) -> None:
        self.collector.start(1)
        self.collector.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.collector.stop()
