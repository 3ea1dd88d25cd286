"""When a lease is renewed, and what does not wait for it."""

from __future__ import annotations

from itertools import pairwise
from types import SimpleNamespace
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from pypinger.ports.sharing import InstanceHealth, InstanceListing
from pypinger.store.postgres.beats import AFTER, SOON, Beats
from pypinger.store.postgres.lease import BEAT, TTL, Lease
from pypinger.store.postgres.writer import Beat

#: Seconds by which the clock is advanced.
STEP = 0.01

LISTING = InstanceListing(frozenset(), frozenset())


def result(next_end: float = TTL) -> Beat:
    return Beat((), (frozenset(), frozenset()), wanting=False, next_end=next_end)


class BeatsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        # When each beat began, and what answers it.
        self.times: list[float] = []
        self.answers: list[Deferred[Beat]] = []
        self.healths: list[InstanceHealth] = []
        self.results: list[Beat] = []
        self.failures: list[str] = []
        self.busy = False
        self.bug: Exception | None = None
        worker: Any = SimpleNamespace(run=self.run_beat)
        writer: Any = SimpleNamespace(beat=None)
        clock: Any = self.clock
        self.beats = Beats(
            *(clock, worker, writer),
            listing=lambda: LISTING,
            busy=lambda: self.busy,
            beaten=self.beaten,
            failed=lambda failure, lease, doing: self.failures.append(f"{doing}: {failure.getErrorMessage()}"),
        )
        self.beats.begin(Lease("id", "a", 0.0))

    def run_beat(self, beat: object, lease: Lease, health: InstanceHealth, listing: InstanceListing) -> Deferred[Beat]:
        self.times.append(self.clock.seconds())
        self.healths.append(health)
        self.answers.append(Deferred())
        return self.answers[-1]

    def beaten(self, beat: Beat) -> None:
        if self.bug is not None:
            raise self.bug
        self.results.append(beat)

    def start(self) -> None:
        """Begin, with a beat that is over at once."""
        self.beats.start(InstanceHealth)
        self.clock.advance(0)
        self.answers[-1].callback(result())
        self.assertEqual((self.times, self.results), ([0.0], [result()]))

    def wait(self, until: float) -> None:
        """Answer each beat at once until then."""
        while self.clock.seconds() < until - 1e-9:
            self.clock.advance(min(STEP, until - self.clock.seconds()))
            if not self.answers[-1].called:
                self.answers[-1].callback(result())

    def assert_times(self, *times: float) -> None:
        """When beats began, give or take two steps of the clock."""
        self.assertEqual(len(self.times), len(times), self.times)
        for found, expected in zip(self.times, times, strict=True):
            self.assertApproximates(found, expected, 2 * STEP)

    def test_at_intervals(self) -> None:
        self.start()
        self.wait(3.5 * BEAT)
        self.assert_times(0, BEAT, 2 * BEAT, 3 * BEAT)

    def test_at_once_after_a_change(self) -> None:
        self.start()
        self.wait(1.0)
        self.beats.soon()
        self.beats.soon()
        self.wait(1.0 + 1.5 * BEAT)
        self.assert_times(0, 1.01, 1.01 + BEAT)

    def test_many_changes(self) -> None:
        self.start()
        while self.clock.seconds() < 10 * SOON:
            self.beats.soon()
            self.wait(self.clock.seconds() + STEP)
        pauses = [after - before for before, after in pairwise(self.times)]
        self.assertGreaterEqual(len(pauses), 8)
        self.assertGreaterEqual(min(pauses), SOON - 1e-9)

    def test_changes_wait_while_tasks_change_hands(self) -> None:
        self.start()
        self.wait(1.0)
        self.busy = True
        self.beats.soon()
        self.wait(1.2)
        self.assert_times(0)
        self.busy = False
        self.beats.settled(complete=False)
        self.wait(1.3)
        self.assert_times(0, 1.21)
        # That was all.
        self.beats.settled(complete=False)
        self.wait(1.5)
        self.assert_times(0, 1.21)
        self.beats.settled(complete=True)
        self.wait(1.6)
        self.assert_times(0, 1.21, 1.51)

    def test_the_lease_is_renewed_while_tasks_change_hands(self) -> None:
        self.start()
        self.busy = True
        self.beats.soon()
        self.wait(BEAT + 0.2)
        self.assert_times(0, BEAT)
        # What had changed was seen by that beat.
        self.busy = False
        self.beats.settled(complete=False)
        self.wait(BEAT + 1.0)
        self.assert_times(0, BEAT)

    def test_a_beat_that_takes_long(self) -> None:
        self.start()
        self.clock.advance(BEAT)
        for self.busy in (False, True):
            count = len(self.times)
            # The next one is due before this one is over, and follows it, whatever else is under way.
            self.clock.advance(BEAT)
            self.assertEqual(len(self.times), count)
            self.answers[-1].callback(result())
            self.clock.advance(SOON)
            self.assertEqual(len(self.times), count + 1)

    def test_an_error_while_members_are_looked_at(self) -> None:
        self.start()
        self.clock.advance(BEAT)
        self.beats.soon()
        # It is due while this one is under way.
        self.clock.advance(SOON)
        self.bug = RuntimeError("a bug")
        self.answers[-1].callback(result())
        self.failureResultOf(self.answers[-1], RuntimeError)
        self.bug = None
        self.clock.advance(BEAT)
        self.assert_times(0, BEAT, 2 * BEAT + SOON)

    def test_another_lease_that_ends_soon(self) -> None:
        self.start()
        self.clock.advance(BEAT)
        self.answers[-1].callback(result(next_end=0.5))
        self.wait(BEAT + 1.0)
        self.assert_times(0, BEAT, BEAT + 0.5 + AFTER)

    def test_another_lease(self) -> None:
        self.start()
        self.clock.advance(BEAT)
        self.beats.end()
        self.clock.advance(2 * BEAT)
        self.assert_times(0, BEAT)
        self.beats.begin(Lease("other", "a", 0.0))
        self.beats.now()
        self.clock.advance(0)
        self.assert_times(0, BEAT, 3 * BEAT)
        # The answer to the beat of the lease before does not matter.
        self.answers[1].errback(RuntimeError("late"))
        self.assertEqual(self.failures, [])
        self.answers[2].callback(result())
        self.assertEqual(len(self.results), 2)

    def test_failures(self) -> None:
        self.start()
        self.clock.advance(BEAT)
        self.answers[-1].errback(Failure(RuntimeError("the lease ran out")))
        self.assertEqual(self.failures, ["renewing the lease: the lease ran out"])

    def test_an_error_in_the_health(self) -> None:
        def health() -> InstanceHealth:
            raise RuntimeError("a bug")

        self.beats.start(health)
        self.clock.advance(0)
        self.assertEqual(self.healths, [InstanceHealth()])
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_the_stop(self) -> None:
        self.start()
        self.beats.stop()
        self.beats.soon()
        self.clock.advance(2 * BEAT)
        self.assert_times(0)
        self.assertEqual(self.clock.getDelayedCalls(), [])
