"""Runs are reported to the channels that observe them, one at a time, best effort."""

from __future__ import annotations

from twisted.internet.defer import Deferred, fail
from twisted.trial.unittest import SynchronousTestCase

from pypinger.domain.model import Report
from pypinger.ports.notifying import DeliveryError
from pypinger.runtime.runs import LIMIT, RunFeed
from tests.runtime.fakes import FakeObserver, World, make_task


class RunFeedTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.world = World()
        self.observer = FakeObserver()
        self.feed = RunFeed(self.world.clock, [self.observer])

    def see(self, *lastruns: float) -> None:
        for lastrun in lastruns:
            self.feed.seen(make_task(), Report(ok=True, lastrun=lastrun), self.world.now())

    def test_each_run_in_order(self) -> None:
        gates: list[Deferred[None]] = []

        def hear() -> Deferred[None]:
            gates.append(Deferred())
            return gates[-1]

        self.observer.hear = hear
        self.see(1, 2)
        self.assertEqual(len(gates), 1)
        gates[0].callback(None)
        gates[1].callback(None)
        self.see(3)
        gates[2].callback(None)
        self.assertEqual(self.observer.runs, [1, 2, 3])

    def test_refusals_timeouts_and_errors_are_logged_and_dropped(self) -> None:
        self.observer.hear = lambda: fail(DeliveryError("no"))
        self.see(1)
        self.observer.hear = lambda: fail(ZeroDivisionError())
        self.see(2)
        self.observer.hear = lambda: Deferred()
        self.see(3)
        self.world.pass_time(LIMIT + 1)
        self.observer.hear = lambda: None
        self.see(4)
        self.assertEqual(self.observer.runs, [4])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_without_observers(self) -> None:
        self.feed = RunFeed(self.world.clock, [])
        self.see(1)
        self.feed.stop()

    def test_stop(self) -> None:
        cancelled: list[bool] = []
        self.observer.hear = lambda: Deferred(lambda _: cancelled.append(True))
        self.see(1, 2)
        self.feed.stop()
        self.assertEqual(cancelled, [True])
        self.assertEqual(self.observer.runs, [])
        self.assertEqual(self.world.clock.getDelayedCalls(), [])
