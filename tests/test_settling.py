"""What the start has made is taken out of the garbage collector's sight, once."""

from __future__ import annotations

import gc

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from pypinger.settling import SETTLED, Settling


class SettlingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.settling = Settling(self.clock)
        self.settling.startService()
        self.addCleanup(gc.unfreeze)

    def test_once_all_is_there(self) -> None:
        before = gc.get_freeze_count()
        self.clock.advance(SETTLED - 1)
        self.assertEqual(gc.get_freeze_count(), before)
        self.clock.advance(1)
        self.assertGreater(gc.get_freeze_count(), before)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.settling.stopService()

    def test_stopped_before(self) -> None:
        self.settling.stopService()
        self.assertEqual(self.clock.getDelayedCalls(), [])
