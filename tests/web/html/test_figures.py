from msgspec.structs import replace
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from pypinger.domain.kinds import Kind
from pypinger.ports.history import Gap
from pypinger.ports.showing import Entry
from pypinger.web.html import figures
from pypinger.web.html.figures import FigureCache
from tests.web.fakes import NOW, entry, new_entry
from tests.web.history import FakeHistory


class SlowHistory(FakeHistory):
    """Answers when the test says so."""

    def __init__(self) -> None:
        super().__init__(NOW)
        self.asking: list[Deferred[None]] = []

    async def gaps(self, url: str, limit: int = 50) -> list[Gap]:
        self.asking.append(Deferred())
        await self.asking[-1]
        return list(await super().gaps(url, limit))


class FigureCacheTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.history = FakeHistory(NOW)
        self.one, self.two = entry("http://h/1"), entry("http://h/2")

    def make(self, history: FakeHistory | None) -> FigureCache:
        return FigureCache(history, lambda: NOW + self.clock.seconds(), self.clock)

    def renew(self, cache: FigureCache, *entries: Entry) -> Deferred[bool]:
        return Deferred.fromCoroutine(cache.refresh(entries))

    def test_no_history(self) -> None:
        cache = self.make(None)
        self.assertTrue(self.successResultOf(self.renew(cache, self.one)))
        self.assertIsNone(cache.of(self.one))

    def test_read_once(self) -> None:
        cache = self.make(self.history)
        for _ in range(2):
            self.assertTrue(self.successResultOf(self.renew(cache, self.one, self.two, new_entry())))
        self.assertEqual(self.history.asked, ["http://h/1", "http://h/2", "http://h/new"])
        kept = cache.of(self.one)
        assert kept is not None
        self.assertEqual(len(kept.gaps), figures.RUNS)

    def test_outdated_figures_are_read_again(self) -> None:
        cache = self.make(self.history)
        self.successResultOf(self.renew(cache, self.one))
        self.successResultOf(self.renew(cache, entry("http://h/1", lastrun=NOW - 1)))
        self.successResultOf(self.renew(cache, entry("http://h/1", Kind.LATE, lastrun=NOW - 1)))
        self.assertEqual(len(self.history.asked), 3)
        self.clock.advance(figures.LASTING)
        self.successResultOf(self.renew(cache, entry("http://h/1", Kind.LATE, lastrun=NOW - 1)))
        self.assertEqual(len(self.history.asked), 4)

    def test_figures_read_just_after_a_check_are_read_again(self) -> None:
        cache = self.make(self.history)
        just_now = Entry(self.one.task, replace(self.one.state, checked=NOW))
        self.successResultOf(self.renew(cache, just_now))
        self.successResultOf(self.renew(cache, just_now))
        self.assertEqual(len(self.history.asked), 1)
        for _ in range(2):
            self.clock.advance(figures.SETTLING)
            self.successResultOf(self.renew(cache, just_now))
            self.assertEqual(len(self.history.asked), 2)

    def test_removed_tasks_are_forgotten(self) -> None:
        cache = self.make(self.history)
        self.successResultOf(self.renew(cache, self.one, self.two))
        cache.keep_only([self.one, self.two])
        self.assertIsNotNone(cache.of(self.two))
        cache.keep_only([self.one])
        self.assertIsNone(cache.of(self.two))
        self.assertIsNotNone(cache.of(self.one))

    def test_pages_wait_up_to_the_limit(self) -> None:
        history = SlowHistory()
        cache = self.make(history)
        first, second = self.renew(cache, self.one, self.two), self.renew(cache, self.one)
        self.assertNoResult(first)
        self.assertEqual(len(history.asking), 1)
        self.clock.advance(figures.WAIT_LIMIT)
        self.assertFalse(self.successResultOf(first))
        self.assertFalse(self.successResultOf(second))
        history.asking[0].callback(None)
        history.asking[1].callback(None)
        self.assertTrue(self.successResultOf(self.renew(cache, self.one, self.two)))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_figures_that_come_in_time(self) -> None:
        history = SlowHistory()
        cache = self.make(history)
        waiting = self.renew(cache, self.one)
        history.asking[0].callback(None)
        self.assertTrue(self.successResultOf(waiting))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_pages_do_not_wait_for_outdated_figures(self) -> None:
        history = SlowHistory()
        cache = self.make(history)
        self.renew(cache, self.one)
        history.asking[0].callback(None)
        changed = entry("http://h/1", lastrun=NOW - 1)
        self.assertTrue(self.successResultOf(self.renew(cache, changed)))
        self.assertEqual(len(history.asking), 2)

    def test_client_that_disconnects(self) -> None:
        history = SlowHistory()
        cache = self.make(history)
        waiting = self.renew(cache, self.one)
        waiting.cancel()
        self.failureResultOf(waiting)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        history.asking[0].callback(None)
        self.assertIsNotNone(cache.of(self.one))

    def test_pause_after_a_store_error(self) -> None:
        self.history.broken = True
        cache = self.make(self.history)
        self.assertFalse(self.successResultOf(self.renew(cache, self.one)))
        self.assertTrue(self.successResultOf(self.renew(cache, self.one)))
        self.history.broken = False
        self.clock.advance(figures.LASTING)
        self.assertTrue(self.successResultOf(self.renew(cache, self.one)))
        self.assertIsNotNone(cache.of(self.one))

    def test_unexpected_errors_are_logged(self) -> None:
        async def broken(url: str, limit: int = 50) -> list[Gap]:
            raise ZeroDivisionError

        self.history.gaps = broken  # type: ignore[method-assign]
        self.assertFalse(self.successResultOf(self.renew(self.make(self.history), self.one)))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
