"""The resizable semaphore: order, limit, resizing and cancellation."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from pypinger.runtime.concurrency import Semaphore


class SemaphoreTests(SynchronousTestCase):
    def acquire(self, semaphore: Semaphore) -> Deferred[None]:
        return Deferred.fromCoroutine(semaphore.acquire())

    def test_first_come_first_served(self) -> None:
        semaphore = Semaphore(1)
        self.successResultOf(self.acquire(semaphore))
        second, third = self.acquire(semaphore), self.acquire(semaphore)
        semaphore.release()
        self.successResultOf(second)
        self.assertNoResult(third)
        semaphore.release()
        self.successResultOf(third)

    def test_a_cancelled_waiter_is_skipped(self) -> None:
        semaphore = Semaphore(1)
        self.successResultOf(self.acquire(semaphore))
        second, third = self.acquire(semaphore), self.acquire(semaphore)
        second.cancel()
        self.failureResultOf(second, CancelledError)
        semaphore.release()
        self.successResultOf(third)

    def test_resizing_up_grants_permits(self) -> None:
        semaphore = Semaphore(1)
        turns = [self.acquire(semaphore) for _ in range(4)]
        semaphore.resize(3)
        self.assertEqual([turn.called for turn in turns], [True, True, True, False])

    def test_thousands_of_waiters_that_release_at_once(self) -> None:
        semaphore = Semaphore(1)
        self.successResultOf(self.acquire(semaphore))
        turns = [self.acquire(semaphore).addCallback(lambda _: semaphore.release()) for _ in range(3000)]
        semaphore.release()
        for turn in turns:
            self.successResultOf(turn)
        self.assertTrue(semaphore.try_acquire())

    def test_resizing_down_grants_nothing_until_enough_are_released(self) -> None:
        semaphore = Semaphore(3)
        turns = [self.acquire(semaphore) for _ in range(4)]
        semaphore.resize(1)
        semaphore.release()
        semaphore.release()
        self.assertNoResult(turns[3])
        semaphore.release()
        self.successResultOf(turns[3])

    @settings(deadline=None, max_examples=100)
    @given(st.integers(1, 4), st.lists(st.sampled_from(["acquire", "release", "cancel"]), max_size=60))
    def test_never_above_the_limit_and_no_permit_left_free(self, limit: int, moves: list[str]) -> None:
        semaphore = Semaphore(limit)
        inside: list[Deferred[None]] = []
        outside: list[Deferred[None]] = []
        for move in moves:
            if move == "acquire":
                outside.append(self.acquire(semaphore))
            elif move == "release" and inside:
                inside.pop()
                semaphore.release()
            elif move == "cancel" and outside:
                turn = outside.pop()
                turn.addErrback(lambda failure: failure.trap(CancelledError) and None)
                turn.cancel()
            inside += [turn for turn in outside if turn.called]
            outside = [turn for turn in outside if not turn.called]
            self.assertLessEqual(len(inside), limit)
            self.assertTrue(len(inside) == limit or not outside)
        for turn in outside:
            turn.addErrback(lambda failure: failure.trap(CancelledError) and None)
            turn.cancel()
