"""What the start has made is taken out of the garbage collector's sight, until all is there."""

from __future__ import annotations

import gc
import weakref

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from pypinger.settling import SETTLED, STEP, YOUNG, Settling


class Thing:
    """Something that the collector looks at."""

    itself: Thing


class SettlingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.settling = Settling(self.clock)
        self.addCleanup(gc.unfreeze)
        gc.unfreeze()

    def in_sight(self, thing: Thing) -> bool:
        return any(each is thing for each in gc.get_objects())

    def test_until_all_is_there(self) -> None:
        there = Thing()
        self.assertTrue(self.in_sight(there))
        self.settling.startService()
        self.assertFalse(self.in_sight(there))
        for _ in range(int(SETTLED / STEP)):
            there = Thing()
            self.clock.advance(STEP)
            self.assertFalse(self.in_sight(there))
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.settling.stopService()

    def test_what_is_gone_is_not_kept(self) -> None:
        self.settling.startService()
        there = Thing()
        there.itself = there
        kept = weakref.ref(there)
        del there
        self.clock.advance(STEP)
        self.assertIsNone(kept())
        self.settling.stopService()

    def test_the_young_are_looked_at_less_often(self) -> None:
        before = gc.get_threshold()
        self.settling.startService()
        self.assertEqual(gc.get_threshold(), (YOUNG, *before[1:]))
        self.settling.stopService()
        self.assertEqual(gc.get_threshold(), before)

    def test_stopped_before(self) -> None:
        self.settling.startService()
        self.settling.stopService()
        self.assertEqual(self.clock.getDelayedCalls(), [])
