"""Places for checks: taken in turn, and as many as the limit says, also when it changes."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from pypinger.runtime.places import Places


class PlacesTests(SynchronousTestCase):
    def take(self, places: Places) -> Deferred[None]:
        return Deferred.fromCoroutine(places.take())

    def test_first_come_first_served(self) -> None:
        places = Places(1)
        self.successResultOf(self.take(places))
        second, third = self.take(places), self.take(places)
        places.leave()
        self.successResultOf(second)
        self.assertNoResult(third)
        places.leave()
        self.successResultOf(third)

    def test_who_gives_up_is_passed_over(self) -> None:
        places = Places(1)
        self.successResultOf(self.take(places))
        second, third = self.take(places), self.take(places)
        second.cancel()
        self.failureResultOf(second, CancelledError)
        places.leave()
        self.successResultOf(third)

    def test_more_places(self) -> None:
        places = Places(1)
        turns = [self.take(places) for _ in range(4)]
        places.limit = 3
        places.let_in()
        self.assertEqual([turn.called for turn in turns], [True, True, True, False])

    def test_thousands_who_leave_at_once(self) -> None:
        places = Places(1)
        self.successResultOf(self.take(places))
        turns = [self.take(places).addCallback(lambda _: places.leave()) for _ in range(3000)]
        places.leave()
        for turn in turns:
            self.successResultOf(turn)
        self.assertTrue(places.take_free())

    def test_fewer_places(self) -> None:
        places = Places(3)
        turns = [self.take(places) for _ in range(4)]
        places.limit = 1
        places.leave()
        places.leave()
        self.assertNoResult(turns[3])
        places.leave()
        self.successResultOf(turns[3])

    @settings(deadline=None, max_examples=100)
    @given(st.integers(1, 4), st.lists(st.sampled_from(["take", "leave", "cancel"]), max_size=60))
    def test_never_more_than_the_limit_and_none_left_free(self, limit: int, moves: list[str]) -> None:
        places = Places(limit)
        inside: list[Deferred[None]] = []
        outside: list[Deferred[None]] = []
        for move in moves:
            if move == "take":
                outside.append(self.take(places))
            elif move == "leave" and inside:
                inside.pop()
                places.leave()
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
