"""The heartbeat: when it is sent, and what is logged where it is not."""

from __future__ import annotations

from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import LogLevel, formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase, TestCase

from pypinger.http.messenger import Messenger
from pypinger.ports.notifying import Reply, RequestFailed
from pypinger.runtime.heartbeat import Heartbeat
from tests.http.faults import answer
from tests.http.faultserver import CLOSE, FaultServer

URL = "https://hc.example/ping/5d1c4a3f"


class FakeClient:
    """
    Answers each request with `answer`.

    :ivar asked: the time, the URL and the time limit of each request.
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.asked: list[tuple[float, str, float]] = []
        self.answer: int | Exception | Deferred[Any] = 200

    async def get(self, url: str, *, timeout: float = 20.0) -> Reply:
        self.asked.append((self.clock.seconds(), url, timeout))
        if isinstance(self.answer, Deferred):
            await self.answer
            return Reply(200, {}, b"")
        if isinstance(self.answer, Exception):
            raise self.answer
        return Reply(self.answer, {}, b"")

    @property
    def times(self) -> list[float]:
        return [at for at, _, _ in self.asked]


class LoggingCase:
    """Collects what is logged."""

    def listen(self) -> None:
        self.events: list[dict[str, Any]] = []
        globalLogPublisher.addObserver(self.events.append)
        self.addCleanup(globalLogPublisher.removeObserver, self.events.append)  # type: ignore[attr-defined]

    def logged(self) -> list[tuple[LogLevel, str]]:
        return [
            (event["log_level"], formatEvent(event))
            for event in self.events
            if event["log_namespace"] == "pypinger.runtime.heartbeat.Heartbeat"
        ]


class HeartbeatTests(LoggingCase, SynchronousTestCase):
    def setUp(self) -> None:
        self.listen()
        self.clock = Clock()
        self.client = FakeClient(self.clock)
        self.stuck: str | None = None
        self.healthy = True
        self.heart = Heartbeat(self.clock, lambda: self.stuck, lambda: self.healthy)

    def start(self, interval: float = 60.0) -> None:
        self.heart.configure(URL, interval, self.client)  # type: ignore[arg-type]
        self.heart.start()

    def pass_time(self, seconds: float) -> None:
        self.clock.pump([1.0] * round(seconds))

    def test_every_interval(self) -> None:
        """The first comes soon, but not at once: a daemon that crashes at each start sends none."""
        self.start()
        self.pass_time(9)
        self.assertEqual(self.client.asked, [])
        self.pass_time(130)
        self.assertEqual(self.client.asked, [(at, URL, 20.0) for at in (10.0, 70.0, 130.0)])
        self.assertEqual(self.logged(), [])

    def test_short_interval(self) -> None:
        """A request takes no longer than an interval."""
        self.start(5.0)
        self.pass_time(15)
        self.assertEqual(self.client.asked, [(at, URL, 5.0) for at in (5.0, 10.0, 15.0)])

    def test_off(self) -> None:
        self.heart.start()
        self.heart.configure("", 0.0, self.client)  # type: ignore[arg-type]
        self.pass_time(100)
        self.assertEqual((self.client.asked, self.clock.getDelayedCalls()), ([], []))

    def test_stuck_checks(self) -> None:
        """It pauses while checks make no progress; that is logged once, and its end."""
        self.start()
        self.pass_time(20)
        self.stuck = "checks are stuck: none has been completed for 5 min"
        self.pass_time(180)
        self.stuck = None
        self.pass_time(60)
        self.assertEqual(self.client.times, [10.0, 250.0])
        self.assertEqual(
            self.logged(),
            [
                (LogLevel.warn, "the heartbeat pauses: checks are stuck: none has been completed for 5 min"),
                (LogLevel.info, "the heartbeat is sent again"),
            ],
        )

    def test_no_channel_works(self) -> None:
        self.healthy = False
        self.start()
        self.pass_time(100)
        self.assertEqual(self.client.asked, [])
        self.assertEqual(self.logged(), [(LogLevel.warn, "the heartbeat pauses: no channel works")])

    def test_failures_are_logged_once_an_outage(self) -> None:
        self.start()
        for outcome in (503, RequestFailed("connection refused by hc.example:443"), 404, 204, 302):
            self.client.answer = outcome
            self.pass_time(60)
        self.assertEqual(
            self.logged(),
            [
                (LogLevel.warn, "the heartbeat failed: the service answered 503"),
                (LogLevel.info, "the heartbeat is sent again"),
                (LogLevel.warn, "the heartbeat failed: the service answered 302"),
            ],
        )

    def test_unexpected_errors(self) -> None:
        """They are logged, and do not end the heartbeat."""
        self.start()
        self.client.answer = ZeroDivisionError()
        self.pass_time(20)
        self.client.answer = 200
        self.pass_time(60)
        self.assertEqual(len(self.client.asked), 2)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_one_request_at_a_time(self) -> None:
        self.client.answer = pending = Deferred()
        self.start(5.0)
        self.pass_time(18)
        self.assertEqual(self.client.times, [5.0])
        pending.callback(None)
        self.client.answer = 200
        self.pass_time(2)
        self.assertEqual(self.client.times, [5.0, 20.0])

    def test_stop(self) -> None:
        """A request under way is cancelled."""
        self.client.answer = pending = Deferred()
        self.start()
        self.pass_time(11)
        self.heart.stop()
        self.assertTrue(pending.called)
        self.pass_time(200)
        self.assertEqual((len(self.client.asked), self.clock.getDelayedCalls()), (1, []))
        self.assertEqual(self.logged(), [])

    def test_stop_before_the_first(self) -> None:
        self.start()
        self.heart.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_reload(self) -> None:
        """The same settings change nothing but the client; others begin anew, and none end it."""
        self.start()
        self.pass_time(20)
        other = FakeClient(self.clock)
        self.heart.configure(URL, 60.0, other)  # type: ignore[arg-type]
        self.pass_time(60)
        self.assertEqual((self.client.times, other.times), ([10.0], [70.0]))
        self.heart.configure(f"{URL}/2", 30.0, other)  # type: ignore[arg-type]
        self.pass_time(45)
        self.assertEqual([each[:2] for each in other.asked[1:]], [(90.0, f"{URL}/2"), (120.0, f"{URL}/2")])
        self.heart.configure("", 0.0, other)  # type: ignore[arg-type]
        self.assertEqual(self.clock.getDelayedCalls(), [])


class ServerTests(LoggingCase, TestCase):
    """Over a real connection."""

    async def test_real_server(self) -> None:
        self.listen()
        server = FaultServer(lambda _: [answer(b"OK")] if len(server.requests) > 1 else [CLOSE])
        listening = server.listen()
        self.addCleanup(listening.stopListening)
        client = Messenger(reactor)
        self.addCleanup(lambda: Deferred.fromCoroutine(client.close()))
        clock = Clock()
        heart = Heartbeat(clock, lambda: None, lambda: True)
        heart.configure(f"http://127.0.0.1:{server.port}/ping/5d1c4a3f?rid=1", 5.0, client)
        heart.start()
        self.addCleanup(heart.stop)
        for count in (1, 2):
            clock.advance(5)
            while len(self.logged()) < count:
                waiter: Deferred[None] = Deferred()
                reactor.callLater(0.005, waiter.callback, None)
                await waiter
        self.assertTrue(server.requests[0].startswith(b"GET /ping/5d1c4a3f?rid=1 HTTP/1.1\r\n"))
        (failed, failure), (_, again) = self.logged()
        self.assertEqual(failed, LogLevel.warn)
        self.assertRegex(failure, r"\Athe heartbeat failed: .*closed")
        self.assertNotIn("5d1c4a3f", failure)
        self.assertEqual(again, "the heartbeat is sent again")
