"""The reactor's clock is monotonic, and steps of the wall clock are detected."""

from __future__ import annotations

import time

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from pypinger.runtime.clock import StepWatch, use_monotonic_time
from tests.runtime.fakes import World


class MonotonicTests(SynchronousTestCase):
    def test_seconds(self) -> None:
        reactor = Clock()
        use_monotonic_time(reactor)
        self.assertIs(reactor.seconds, time.monotonic)


class StepWatchTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.world = World()
        self.steps = 0
        self.watch = StepWatch(self.world.clock, self.world.now, self.stepped)
        self.watch.start()

    def stepped(self, step: float) -> None:
        self.steps += 1

    def test_nothing_is_reported_while_the_clocks_agree(self) -> None:
        self.world.pass_time(100, step=1)
        self.assertEqual(self.steps, 0)

    def test_a_step_is_reported_once_within_a_second(self) -> None:
        for step in (3600, -3600, 0.5):
            before = self.steps
            self.world.offset += step
            self.world.pass_time(1.1)
            self.assertEqual(self.steps, before + 1)
            self.world.pass_time(10)
            self.assertEqual(self.steps, before + 1)

    def test_slow_drift_is_reported(self) -> None:
        for _ in range(1000):
            self.world.offset += 0.0005
            self.world.pass_time(1, step=1)
        self.assertEqual(self.steps, 2)

    def test_an_error_in_the_callback_is_logged(self) -> None:
        watch = StepWatch(self.world.clock, self.world.now, lambda step: 1 / 0)  # type: ignore[arg-type, return-value]
        watch.start()
        for _ in range(2):
            self.world.offset += 60
            self.world.pass_time(1.1)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)
        watch.stop()

    def test_stop(self) -> None:
        self.watch.stop()
        self.watch.stop()
        self.assertEqual(self.world.clock.getDelayedCalls(), [])
