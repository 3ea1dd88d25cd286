"""Storms (contract, section 4), from accepted alerts to the messages sent through a channel."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, fail
from twisted.logger import LogLevel, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from pypinger.domain.grouping import AlertGroup, Grouping
from pypinger.domain.model import Alert, Delivery, Event, Outcome
from pypinger.ports.notifying import DeliveryError
from pypinger.runtime.board import LiveBoard
from pypinger.runtime.outbox import Outbox
from pypinger.runtime.queue import DeliveryQueue
from tests.runtime.fakes import NOON, FakeNotifier, SlowStore, World, channels_on, make_alert, to_all

HOST = "http://host:80"


def storm(count: int, event: Event = Event.PROBLEM, first: int = 0) -> list[Alert]:
    """Alerts `first` and following, of tasks ``"0"`` and following of one host."""
    return [make_alert(first + number, event, str(number), origin=HOST, server="db1") for number in range(count)]


class StormCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.world = World()
        self.notifier = FakeNotifier(groups=True)
        self.settled: list[tuple[int, Outcome, Delivery]] = []
        self.queue = self.make()
        self.logged: list[dict[str, object]] = []
        globalLogPublisher.addObserver(self.logged.append)
        self.addCleanup(globalLogPublisher.removeObserver, self.logged.append)

    def make(self, retry_for: float = 86_400, group_wait: float = 5.0) -> DeliveryQueue:
        async def settle(delivery: Delivery, outcome: Outcome) -> None:
            self.settled.append((int(delivery.alert.id, 16), outcome, delivery))

        return DeliveryQueue(self.world.clock, self.world.now, self.notifier, retry_for, group_wait, settle)

    def accept(self, *alerts: Alert) -> None:
        for alert in alerts:
            self.queue.accept(Delivery(alert, "slack"))

    def outcomes(self) -> dict[int, Outcome]:
        return {number: outcome for number, outcome, _ in self.settled}

    def lines(self, level: LogLevel) -> list[dict[str, object]]:
        return [event for event in self.logged if event["log_level"] is level]


class GatheringTests(StormCase):
    def test_the_first_at_once_and_the_others_in_one_message(self) -> None:
        self.accept(*storm(30))
        self.assertEqual(self.notifier.messages, [(0,)])
        self.assertEqual(len(self.queue), 29)
        self.world.pass_time(4.9)
        self.assertEqual(len(self.notifier.messages), 1)
        self.assertAlmostEqual(self.queue.oldest(), 4.9)
        self.world.pass_time(0.2)
        self.assertEqual(self.notifier.messages, [(0,), tuple(range(1, 30))])
        self.assertEqual(self.outcomes(), dict.fromkeys(range(30), Outcome.SENT))
        self.assertEqual({delivery.attempts for *_, delivery in self.settled}, {1})
        self.assertEqual((len(self.queue), self.queue.oldest()), (0, 0))

    def test_followers_do_not_extend_the_window(self) -> None:
        alerts = storm(4)
        for alert in alerts:
            self.accept(alert)
            self.world.pass_time(2)
        self.assertEqual(self.notifier.messages, [(0,), (1, 2), (3,)])

    def test_a_lone_follower_is_a_plain_message(self) -> None:
        self.accept(*storm(2))
        self.world.pass_time(5.1)
        self.assertEqual(self.notifier.messages, [(0,), (1,)])

    def test_recoveries_likewise(self) -> None:
        self.accept(*storm(10))
        self.world.pass_time(60)
        self.accept(*storm(10, Event.RECOVERED, 10))
        self.world.pass_time(5.1)
        self.assertEqual(self.notifier.messages[2:], [(10,), tuple(range(11, 20))])

    def test_origin_and_server(self) -> None:
        self.accept(
            make_alert(0, task="0", origin="http://a:80", server="db1"),
            make_alert(1, task="1", origin="http://a:80", server="db2"),
            make_alert(2, task="2", origin="http://b:80", server="db1"),
            make_alert(3, task="3", origin="http://a:80", server="db1"),
            make_alert(4, task="4", origin="http://b:80", server="db1"),
        )
        self.assertEqual(self.notifier.messages, [(0,)])
        self.world.pass_time(5.1)
        self.assertEqual(self.notifier.messages[1:], [(1, 3), (2, 4)])

    def test_beyond_two_messages_all_others_are_one(self) -> None:
        self.accept(*(make_alert(number, task=str(number), origin=f"http://{number}:80") for number in range(20)))
        self.assertEqual(self.notifier.messages, [(0,), (1,)])
        self.world.pass_time(5.1)
        self.assertEqual(self.notifier.messages[2:], [tuple(range(2, 20))])

    def test_what_piles_up_leaves_as_one(self) -> None:
        """The groups of many origins wait for a channel that is down, then leave together."""
        self.notifier.respond = lambda alert: fail(DeliveryError("down"))
        for number in range(20):
            self.accept(make_alert(number, Event.RECOVERED, str(number), origin=f"http://{number // 2}:80"))
            self.world.pass_time(6)
        self.notifier.respond = lambda alert: "ok"
        self.world.pass_time(600)
        self.assertLessEqual(len(self.notifier.messages), 3)
        self.assertEqual(sorted(sum(self.notifier.messages, ())), list(range(20)))

    def test_in_a_storm_messages_are_a_minute_apart(self) -> None:
        here = [("origin", HOST)]
        for number, alert in enumerate(storm(3)):
            self.world.pass_time(10 if number else 0)
            self.queue.accept(Delivery(alert, "slack"), here)
        self.world.pass_time(60)
        self.assertEqual(self.notifier.messages, [(0,), (1, 2)])

    def test_groups_wait_for_what_is_expected(self) -> None:
        self.queue.expect(("origin", HOST), 25)
        self.accept(*storm(3))
        self.world.pass_time(12)
        self.assertEqual(self.notifier.messages, [(0,)])
        self.queue.settled(("origin", HOST))
        self.world.pass_time(0.1)
        self.assertEqual(self.notifier.messages, [(0,), (1, 2)])

    def test_alerts_of_the_daemon_go_at_once(self) -> None:
        for number, event in enumerate([Event.STARTED, Event.BLIND, Event.SIGHTED, Event.TEST, Event.STOPPED]):
            self.accept(make_alert(number, event, ""))
        self.assertEqual(len(self.notifier.messages), 5)

    def test_reminders_that_are_due_together_are_one_digest(self) -> None:
        self.accept(*(make_alert(number, Event.REMINDER, str(number)) for number in range(30)))
        self.assertEqual(self.notifier.messages, [])
        self.world.pass_time(1.1)
        self.assertEqual(self.notifier.messages, [tuple(range(30))])

    def test_grouping_turned_off(self) -> None:
        self.queue = self.make(group_wait=0)
        self.accept(*storm(10))
        self.assertEqual(len(self.notifier.messages), 10)

    def test_a_channel_that_does_not_group(self) -> None:
        self.notifier.groups = False
        self.queue = self.make()
        self.accept(*storm(10))
        self.assertEqual(len(self.notifier.messages), 10)

    def test_a_step_of_the_wall_clock_does_not_change_the_window(self) -> None:
        for step in (-3600, 3600):
            self.notifier.messages.clear()
            self.accept(*storm(5))
            self.world.offset += step
            self.world.pass_time(4.9)
            self.assertEqual(len(self.notifier.messages), 1)
            self.world.pass_time(0.2)
            self.assertEqual(len(self.notifier.messages), 2)

    def test_spacing_is_kept(self) -> None:
        self.notifier.spacing = 2.0
        self.accept(*storm(3))
        self.world.pass_time(4.5)
        self.accept(make_alert(9, task="9"))
        self.world.pass_time(1)
        self.assertEqual(self.notifier.messages, [(0,), (1, 2)])
        self.world.pass_time(4.1)
        self.assertEqual(self.notifier.messages[2:], [(9,)])


class HugeStormTests(StormCase):
    # Other tests reach the same code with a few alerts, and measuring doubles the time of so many.
    unmeasured = True

    def test_fifty_thousand_alerts(self) -> None:
        self.accept(*storm(50_000))
        self.world.pass_time(5, step=5)
        self.assertEqual([len(message) for message in self.notifier.messages], [1, 49_999])
        self.assertEqual(len(self.queue), 0)


class OrderTests(StormCase):
    def test_later_alerts_of_a_task_wait_for_a_held_one(self) -> None:
        self.accept(*storm(3))
        self.accept(make_alert(10, Event.CHANGED, "1"), make_alert(11, Event.RECOVERED, "2", origin=HOST))
        self.world.pass_time(4.9)
        self.assertEqual(self.notifier.messages, [(0,)])
        self.world.pass_time(0.2)
        self.assertEqual(self.notifier.messages, [(0,), (1, 2), (10,), (11,)])

    def test_a_held_recovery_waits_for_its_own_window(self) -> None:
        self.accept(*storm(3))
        self.world.pass_time(3)
        self.accept(*storm(3, Event.RECOVERED, 10))
        self.assertEqual(self.notifier.messages, [(0,), (10,)])
        self.world.pass_time(2.1)
        self.assertEqual(self.notifier.messages[2:], [(1, 2)])
        self.world.pass_time(3)
        self.assertEqual(self.notifier.messages[3:], [(11, 12)])

    def test_a_message_has_one_alert_per_task(self) -> None:
        self.accept(*storm(2))
        self.accept(make_alert(2, Event.RECOVERED, "1", origin=HOST), make_alert(3, Event.PROBLEM, "1", origin=HOST))
        self.world.pass_time(5.1)
        self.assertEqual(self.notifier.messages, [(0,), (1,), (2,), (3,)])

    def test_news_is_sent_before_reminders(self) -> None:
        self.notifier.spacing = 1.0
        self.accept(make_alert(30, task="x"))
        self.accept(*(make_alert(number, Event.REMINDER, str(number)) for number in range(6)))
        self.accept(make_alert(20, Event.PROBLEM, "new"), make_alert(21, Event.RECOVERED, "4"))
        self.world.pass_time(20)
        self.assertEqual(self.notifier.messages, [(30,), (20,), (21,), (0, 1, 2, 3, 5)])

    def test_a_pending_reminder_of_a_held_task_is_replaced(self) -> None:
        self.accept(*storm(2))
        first, second = make_alert(7, Event.REMINDER, "1"), make_alert(8, Event.REMINDER, "1")
        self.accept(first)
        self.assertEqual(self.queue.accept(Delivery(second, "slack")), [Delivery(first, "slack")])
        self.world.pass_time(5.1)
        self.assertEqual(self.notifier.messages, [(0,), (1,), (8,)])

    def test_recoveries_that_waited_for_their_problems_are_grouped(self) -> None:
        self.notifier.respond = lambda alert: fail(DeliveryError("down"))
        self.accept(*storm(5))
        self.world.pass_time(10)
        self.accept(*storm(5, Event.RECOVERED, 10))
        self.world.pass_time(10)
        self.notifier.respond = lambda alert: "ok"
        self.world.pass_time(60)
        self.assertEqual(sorted(self.notifier.messages), [(0,), (1, 2, 3, 4), (10,), (11, 12, 13, 14)])
        self.assertEqual(len(self.queue), 0)


class FailingTests(StormCase):
    def test_a_group_stays_together(self) -> None:
        self.accept(*storm(20))
        self.notifier.respond = lambda alert: fail(DeliveryError("down"))
        self.world.pass_time(30)
        self.assertEqual(len(self.notifier.messages), 1)
        retried = [delivery for _, outcome, delivery in self.settled if outcome is Outcome.RETRY]
        self.assertEqual(len(retried) % 19, 0)
        self.assertEqual({delivery.words for delivery in retried}, {"down"})
        self.assertEqual(len({delivery.not_before for delivery in retried[-19:]}), 1)
        self.assertEqual(len(self.lines(LogLevel.warn)), len(retried) // 19)
        self.notifier.respond = lambda alert: "ok"
        self.world.pass_time(60)
        self.assertEqual(self.notifier.messages, [(0,), tuple(range(1, 20))])
        self.assertEqual(len(self.queue), 0)

    def test_retry_after(self) -> None:
        self.accept(*storm(5))
        self.notifier.respond = lambda alert: fail(DeliveryError("ratelimited", retry_after=30))
        self.world.pass_time(5.1)
        self.notifier.respond = lambda alert: "ok"
        self.accept(make_alert(9, task="9"))
        self.world.pass_time(29.8)
        self.assertEqual(len(self.notifier.messages), 1)
        self.world.pass_time(0.4)
        self.assertEqual(sorted(self.notifier.messages), [(0,), (1, 2, 3, 4), (9,)])

    def test_members_are_given_up_separately(self) -> None:
        self.queue = self.make(retry_for=60)
        alerts = storm(4)
        self.accept(*alerts[:3], msgspec.structs.replace(alerts[3], at=NOON - 54.5))
        self.notifier.respond = lambda alert: fail(DeliveryError("down"))
        self.world.pass_time(5.1)
        self.assertEqual(self.outcomes(), {0: Outcome.SENT, 1: Outcome.RETRY, 2: Outcome.RETRY, 3: Outcome.DEAD})
        self.notifier.respond = lambda alert: "ok"
        self.world.pass_time(5.1)
        self.assertEqual(self.notifier.messages, [(0,), (1, 2)])

    def test_refused_permanently(self) -> None:
        self.accept(*storm(5))
        self.accept(make_alert(9, Event.CHANGED, "1"))
        self.notifier.respond = lambda alert: fail(DeliveryError("channel_not_found", permanent=True))
        self.world.pass_time(5.1)
        self.assertEqual(self.outcomes(), {0: Outcome.SENT, **dict.fromkeys([1, 2, 3, 4, 9], Outcome.DEAD)})
        # The log gets every alert singly.
        self.assertEqual([int(str(line["id"]), 16) for line in self.lines(LogLevel.error)], [1, 2, 3, 4, 9])
        self.assertEqual({line["words"] for line in self.lines(LogLevel.error)}, {"channel_not_found"})

    def test_a_rejected_group_counts_as_one_message(self) -> None:
        self.accept(*storm(5))
        self.notifier.respond = lambda alert: "ok" if alert.task == "x" else fail(DeliveryError("HTTP 500"))
        self.world.pass_time(300, step=0.5)
        self.accept(make_alert(9, task="x"))
        self.world.pass_time(1.5)
        self.assertEqual(self.notifier.messages, [(0,), (9,)])

    def test_an_error_while_settling_one_member(self) -> None:
        async def settle(delivery: Delivery, outcome: Outcome) -> None:
            if delivery.alert.task == "2":
                raise OSError("disk full")
            self.settled.append((int(delivery.alert.id, 16), outcome, delivery))

        self.queue = DeliveryQueue(self.world.clock, self.world.now, self.notifier, 60, 5.0, settle)
        self.accept(*storm(5))
        self.world.pass_time(5.1)
        self.assertEqual(list(self.outcomes()), [0, 1, 3, 4])
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)
        self.assertEqual(len(self.queue), 0)

    def test_the_next_message_waits_until_all_are_settled(self) -> None:
        gates: list[Deferred[None]] = []

        async def settle(delivery: Delivery, outcome: Outcome) -> None:
            gates.append(Deferred())
            await gates[-1]

        self.queue = DeliveryQueue(self.world.clock, self.world.now, self.notifier, 60, 5.0, settle)
        self.accept(*storm(3))
        gates.pop().callback(None)
        self.world.pass_time(5.1)
        self.accept(make_alert(9, task="9"))
        self.assertEqual(self.notifier.messages, [(0,), (1, 2)])
        gates[0].callback(None)
        self.assertEqual(len(self.notifier.messages), 2)
        gates[1].callback(None)
        self.assertEqual(self.notifier.messages[2:], [(9,)])


class StoppingTests(StormCase):
    def test_drain_sends_held_alerts(self) -> None:
        self.accept(*storm(5))
        self.accept(make_alert(9, Event.RECOVERED, "1", origin=HOST))
        self.successResultOf(self.queue.drain(5))
        self.assertEqual(self.notifier.messages, [(0,), (1, 2, 3, 4), (9,)])

    def test_drain_holds_no_new_alerts(self) -> None:
        self.accept(*storm(1))
        self.successResultOf(self.queue.drain(5))
        self.accept(*storm(3, first=10)[1:])
        self.assertEqual(self.notifier.messages, [(0,), (11,), (12,)])

    def test_drain_respects_pauses_after_failures(self) -> None:
        self.queue.accept(Delivery(storm(1)[0], "slack"))
        for alert in storm(3, first=10)[1:]:
            self.queue.accept(Delivery(alert, "slack", attempts=5, not_before=NOON + 60))
        self.successResultOf(self.queue.drain(5))
        self.assertEqual(self.notifier.messages, [(0,)])
        self.assertEqual(len(self.queue), 2)

    def test_a_reminder_keeps_the_pause_of_the_replaced_one(self) -> None:
        self.queue.accept(Delivery(make_alert(1, Event.REMINDER), "slack", attempts=9, not_before=NOON + 60))
        self.accept(make_alert(2, Event.REMINDER))
        self.successResultOf(self.queue.drain(5))
        self.assertEqual(self.notifier.messages, [])

    def test_an_abandoned_group_stays_pending(self) -> None:
        self.accept(*storm(5))
        self.settled.clear()
        self.notifier.respond = lambda alert: Deferred()
        self.world.pass_time(5.1)
        self.queue.close()
        self.assertEqual(self.settled, [])
        self.assertEqual(len(self.queue), 4)
        self.assertEqual(self.world.clock.getDelayedCalls(), [])

    def test_a_paused_queue_finishes_the_message_under_way(self) -> None:
        self.accept(*storm(4))
        self.accept(make_alert(7, Event.RECOVERED, "1", origin=HOST), make_alert(8, Event.PROBLEM, "1", origin=HOST))
        gate: Deferred[str] = Deferred()
        self.notifier.respond = lambda alert: gate
        self.world.pass_time(5.1)
        self.queue.pause()
        gate.callback("ok")
        self.notifier.respond = lambda alert: "ok"
        self.world.pass_time(60)
        self.assertEqual(self.notifier.messages, [(0,), (1, 2, 3)])
        self.assertEqual(len(self.queue), 2)
        self.queue.resume()
        self.world.pass_time(10)
        self.assertEqual(self.notifier.messages[2:], [(7,), (8,)])

    def test_a_paused_queue_is_drained_at_once(self) -> None:
        self.queue.pause()
        self.accept(make_alert(1))
        self.successResultOf(self.queue.drain(5))

    def test_a_paused_queue_gives_up_expired_deliveries(self) -> None:
        self.accept(make_alert(1))
        self.notifier.respond = lambda alert: Deferred()
        self.accept(make_alert(2))
        self.assertEqual(self.queue.expire(86_400), [])
        self.queue.pause()
        self.assertEqual(self.queue.expire(86_400), [])
        self.world.pass_time(30)
        self.accept(make_alert(3, task="b", at=NOON + 29))
        self.assertEqual([delivery.alert.id[-1] for delivery in self.queue.expire(20)], ["2"])
        self.assertEqual(len(self.queue), 1)


class OutboxTests(StormCase):
    def test_a_storm_across_a_restart_with_three_channels(self) -> None:
        store = SlowStore()

        def outbox() -> tuple[Outbox, LiveBoard, dict[str, FakeNotifier]]:
            notifiers = {
                "slack": FakeNotifier("slack", groups=True),
                "hipchat": FakeNotifier("hipchat", groups=True),
                "sentry": FakeNotifier("sentry"),
            }
            board = LiveBoard([], self.world.now)
            kept = store.open()
            made = Outbox(self.world.clock, self.world.now, store, board, channels_on(list(notifiers.values())))
            notifiers["slack"].respond = lambda alert: fail(DeliveryError("down"))
            made.resume(kept)
            return made, board, notifiers

        first, board, notifiers = outbox()
        alerts = storm(40)
        deliveries = to_all(first, alerts)
        self.successResultOf(Deferred.fromCoroutine(store.enqueue(deliveries)))
        first.accept(alerts, deliveries)
        self.assertEqual(len(self.lines(LogLevel.warn)), 40 + 3)  # singly, two storms, and that Slack is down
        self.assertEqual(len(notifiers["sentry"].messages), 40)
        self.world.pass_time(10)
        self.assertEqual(notifiers["hipchat"].messages, [(0,), tuple(range(1, 40))])
        self.assertEqual(board.undelivered, 40)
        self.successResultOf(Deferred.fromCoroutine(first.stop(0)))

        _, board, notifiers = outbox()
        self.assertEqual(board.undelivered, 40)
        notifiers["slack"].respond = lambda alert: "ok"
        self.world.pass_time(60)
        self.assertEqual(sorted(notifiers["slack"].messages), [(0,), tuple(range(1, 40))])
        self.assertEqual((board.undelivered, list(store.open().deliveries)), (0, []))


EVENTS = st.sampled_from(
    [Event.PROBLEM, Event.PROBLEM, Event.RECOVERED, Event.RECOVERED, Event.CHANGED, Event.REMINDER]
)
ORIGINS = ["http://a:80", "http://b:80"]
SERVERS = [None, "db1", "db2"]


class PropertyTests(SynchronousTestCase):
    @settings(deadline=None, max_examples=120)
    @given(
        alerts=st.lists(st.tuples(EVENTS, st.integers(0, 7), st.floats(0, 4)), min_size=1, max_size=40),
        faults=st.lists(st.sampled_from(["ok", "ok", "down", "later", "dead", "hang", "slow"]), max_size=40),
        spacing=st.sampled_from([0.0, 1.0]),
        stop=st.booleans(),
    )
    def test_each_alert_is_settled_once_in_order_with_spacing(
        self, alerts: list[tuple[Event, int, float]], faults: list[str], spacing: float, stop: bool
    ) -> None:
        """Holds for every behaviour of the service."""
        world, notifier = World(), FakeNotifier(spacing=spacing, groups=True)
        ends: list[tuple[int, Outcome]] = []
        script = iter(faults)
        under_way, started, quiet_until = 0, -10.0, 0.0
        test = self

        class Channel(FakeNotifier):
            async def send(self, alerts: Sequence[Alert]) -> str:
                nonlocal under_way, started, quiet_until
                now = world.clock.seconds()
                test.assertEqual(under_way, 0)
                test.assertGreaterEqual(now, started + spacing)
                test.assertGreaterEqual(now, quiet_until)
                test.assertEqual(len({alert.task for alert in alerts}), len(alerts))
                if len(alerts) > 1:
                    test.assertEqual(len({alert.event for alert in alerts}), 1)
                under_way, started = 1, now
                try:
                    match next(script, "ok"):
                        case "down":
                            raise DeliveryError("down")
                        case "later":
                            quiet_until = now + 7
                            raise DeliveryError("later", retry_after=7)
                        case "dead":
                            raise DeliveryError("no", permanent=True)
                        case "hang":
                            await Deferred()
                        case "slow":
                            slow: Deferred[None] = Deferred()
                            world.clock.callLater(3, slow.callback, None)
                            await slow
                finally:
                    under_way = 0
                return "ok"

        async def settle(delivery: Delivery, outcome: Outcome) -> None:
            if outcome is not Outcome.RETRY:
                ends.append((int(delivery.alert.id, 16), outcome))

        notifier = Channel(spacing=spacing, groups=True)
        queue = DeliveryQueue(world.clock, world.now, notifier, 1e9, 5.0, settle)
        for number, (event, task, gap) in enumerate(alerts):
            alert = make_alert(number, event, str(task), world.now(), ORIGINS[task % 2], SERVERS[task % 3])
            for gone in queue.accept(Delivery(alert, "slack")):
                ends.append((int(gone.alert.id, 16), Outcome.REPLACED))
            world.pass_time(gap, step=0.5)
        if stop:
            queue.drain(world.clock.seconds() + 5)
        world.pass_time(40 * 300, step=5)
        self.assertEqual(len(queue), 0)
        self.assertEqual(Counter(number for number, _ in ends), Counter(range(len(alerts))))
        for task in range(8):
            order = [
                number for number, outcome in ends if alerts[number][1] == task and outcome is not Outcome.REPLACED
            ]
            self.assertEqual(order, sorted(order))

    @settings(deadline=None, max_examples=80)
    @given(
        alerts=st.lists(
            st.tuples(EVENTS, st.sampled_from(ORIGINS), st.sampled_from(SERVERS), st.integers(0, 3)),
            min_size=1,
            max_size=30,
        )
    )
    def test_groups_are_sent_when_their_window_closes(self, alerts: list[tuple[Event, str, str | None, int]]) -> None:
        world = World()
        sent: list[tuple[float, tuple[int, ...]]] = []

        class Channel(FakeNotifier):
            async def send(self, alerts: Sequence[Alert]) -> str:
                sent.append((world.clock.seconds(), tuple(int(alert.id, 16) for alert in alerts)))
                return "ok"

        async def settle(delivery: Delivery, outcome: Outcome) -> None:
            pass

        queue = DeliveryQueue(world.clock, world.now, Channel(groups=True), 60, 5.0, settle)
        rule = Grouping(5.0)
        expected: list[tuple[float, tuple[int, ...]]] = []
        groups: dict[AlertGroup, list[int]] = {}
        for number, (event, origin, server, gap) in enumerate(alerts):
            alert = make_alert(number, event, str(number), origin=origin, server=server)
            group = rule.place(alert, world.clock.seconds())
            if group is None:
                expected.append((world.clock.seconds(), (number,)))
            else:
                groups.setdefault(group, []).append(number)
            queue.accept(Delivery(alert, "slack"))
            world.pass_time(gap, step=1)
        world.pass_time(70, step=1)
        expected += [(group.closes, tuple(numbers)) for group, numbers in groups.items()]
        # Messages that are due together may leave as one; a group is never torn apart.
        for at, numbers in expected:
            self.assertEqual(sum(time == at and set(numbers) <= set(message) for time, message in sent), 1)
        self.assertEqual(sorted(sum((message for _, message in sent), ())), list(range(len(alerts))))
