"""From committed alerts to settled deliveries, and what the board and the store record."""

from __future__ import annotations

import gc

import msgspec
from twisted.internet.defer import Deferred, fail, succeed
from twisted.logger import LogLevel, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from pypinger.domain.kinds import Kind, Status
from pypinger.domain.model import Alert, Delivery, Event, Incident, Outcome, TaskState, Verdict
from pypinger.domain.silence import Muted
from pypinger.ports.notifying import DeliveryError
from pypinger.ports.storing import Kept, Told
from pypinger.runtime.board import LiveBoard
from pypinger.runtime.outbox import OVERDUE, Outbox
from tests.runtime.fakes import (
    NOON,
    FakeNotifier,
    FakeThreads,
    SlowStore,
    World,
    channels_on,
    make_alert,
    make_task,
    to_all,
)


class OutboxCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.world = World()
        self.store = SlowStore()
        self.board = LiveBoard([make_task()], self.world.now)
        self.slack, self.hipchat = FakeNotifier("slack"), FakeNotifier("hipchat")
        self.outbox = self.make([self.slack, self.hipchat])
        self.logged: list[dict[str, object]] = []
        globalLogPublisher.addObserver(self.logged.append)
        self.addCleanup(globalLogPublisher.removeObserver, self.logged.append)

    def make(self, notifiers: list[FakeNotifier]) -> Outbox:
        return Outbox(self.world.clock, self.world.now, self.store, self.board, channels_on(notifiers))

    def alert(self, *alerts: Alert) -> None:
        deliveries = to_all(self.outbox, alerts)
        self.successResultOf(Deferred.fromCoroutine(self.store.commit(make_task(), TaskState(), None, deliveries)))
        self.outbox.accept(alerts, deliveries)


class DeliveringTests(OutboxCase):
    def test_to_every_channel_and_settled(self) -> None:
        self.alert(make_alert(1))
        self.assertEqual(self.slack.events() + self.hipchat.events(), ["problem", "problem"])
        self.assertEqual([outcome for _, outcome in self.store.settled], [Outcome.SENT, Outcome.SENT])
        self.assertEqual(list(self.store.open().deliveries), [])
        self.assertEqual(self.board.undelivered, 0)

    def test_one_channel_never_waits_for_another(self) -> None:
        self.slack.respond = lambda alert: Deferred()
        self.alert(make_alert(1), make_alert(2))
        self.assertEqual(len(self.hipchat.sent), 2)
        self.assertEqual(self.board.undelivered, 2)

    def test_dead_deliveries_are_counted(self) -> None:
        self.slack.respond = lambda alert: fail(DeliveryError("invalid_auth", permanent=True))
        self.alert(make_alert(1))
        self.assertEqual((self.board.undelivered, self.board.dead), (0, 1))
        errors = [event for event in self.logged if event["log_level"] is LogLevel.error]
        self.assertEqual([event["words"] for event in errors], ["invalid_auth"])

    def test_healthy(self) -> None:
        """One channel that works is enough, and none is needed where none is configured."""
        self.assertTrue(self.outbox.healthy())
        self.slack.respond = lambda alert: fail(DeliveryError("invalid_auth", permanent=True))
        self.alert(make_alert(1))
        self.assertTrue(self.outbox.healthy())
        # The other channel is away: it counts as working until a delivery has been pending for too long.
        self.hipchat.respond = lambda alert: fail(DeliveryError("down"))
        self.alert(make_alert(2, at=self.world.now()))
        self.assertTrue(self.outbox.healthy())
        self.world.pass_time(OVERDUE + 1, 1.0)
        self.assertFalse(self.outbox.healthy())
        self.slack.respond = self.hipchat.respond = lambda alert: succeed("ok")
        self.alert(make_alert(3))
        self.assertTrue(self.outbox.healthy())
        self.assertTrue(self.make([]).healthy())

    def test_a_replaced_reminder_is_settled(self) -> None:
        self.slack.respond = lambda alert: fail(DeliveryError("down"))
        first, second = make_alert(1, Event.REMINDER), make_alert(2, Event.REMINDER)
        self.alert(first)
        self.alert(second)
        self.assertIn((first.id, Outcome.REPLACED), self.store.settled)
        self.assertEqual([delivery.alert for delivery in self.store.open().deliveries], [second])
        self.assertEqual(self.board.undelivered, 1)

    def test_replacing_a_reminder_with_a_broken_store(self) -> None:
        self.slack.respond = lambda alert: fail(DeliveryError("down"))
        self.store.broken = OSError("disk full")
        self.alert(make_alert(1, Event.REMINDER))
        self.alert(make_alert(2, Event.REMINDER))
        self.assertGreaterEqual(len(self.flushLoggedErrors(OSError)), 2)

    def test_each_alert_is_logged_with_its_id(self) -> None:
        self.outbox = self.make([])
        self.alert(make_alert(0xABC), make_alert(0xDEF, Event.RECOVERED))
        lines = [(event["log_level"], event["text"], event["id"]) for event in self.logged if "text" in event]
        self.assertEqual(
            [(level, number) for level, _, number in lines],
            [
                (LogLevel.warn, f"{0xABC:016x}"),
                (LogLevel.info, f"{0xDEF:016x}"),
            ],
        )
        self.assertIn("why", str(lines[0][1]))

    def test_announce(self) -> None:
        alert = make_alert(5, Event.STARTED, task="")
        self.slack.respond = lambda alert: Deferred()
        self.successResultOf(Deferred.fromCoroutine(self.outbox.announce(alert)))
        self.assertEqual(self.hipchat.events(), ["started"])
        self.assertEqual(list(self.store.open().deliveries), [Delivery(alert, "slack")])


class ResumingTests(OutboxCase):
    def test_pending_deliveries_continue_after_a_restart(self) -> None:
        pending = [
            Delivery(make_alert(1, at=NOON - 60), "slack", attempts=4, not_before=NOON + 10),
            Delivery(make_alert(2, at=NOON - 60), "hipchat"),
        ]
        self.outbox.resume(Kept({}, pending, 3))
        self.assertEqual((self.board.undelivered, self.board.dead), (1, 3))
        self.assertEqual(len(self.hipchat.sent), 1)
        self.world.pass_time(11)
        self.assertEqual(len(self.slack.sent), 1)

    def test_a_reminder_that_is_out_of_date_after_a_restart(self) -> None:
        """The process died after it had sent the news, and before the store knew that the reminder was replaced."""
        reminder, news = make_alert(1, Event.REMINDER), make_alert(2, Event.RECOVERED)
        self.outbox.resume(Kept({}, [Delivery(each, "hipchat") for each in (reminder, news)], 0))
        self.assertEqual(self.hipchat.tried, [news])
        self.assertIn((reminder.id, Outcome.REPLACED), self.store.settled)

    def test_spacing_is_kept_across_a_restart(self) -> None:
        for notifier in (self.slack, self.hipchat):
            notifier.spacing = 1.0
        self.outbox.resume(Kept({}, [Delivery(make_alert(1), "slack")], 0))
        self.alert(make_alert(2, task="b"))
        # The previous process left no delivery to hipchat.
        self.assertEqual((len(self.slack.tried), len(self.hipchat.sent)), (0, 1))
        self.world.pass_time(0.9)
        self.assertEqual(len(self.slack.tried), 0)
        self.world.pass_time(0.2)
        self.assertEqual(self.slack.sent, [make_alert(1)])
        self.world.pass_time(1)
        self.assertEqual(self.slack.sent, [make_alert(1), make_alert(2, task="b")])

    def test_deliveries_to_a_channel_that_is_off_wait(self) -> None:
        self.outbox.update(channels_on([self.slack], held=["sentry", "hipchat"]))
        self.outbox.resume(Kept({}, [Delivery(make_alert(1), "sentry")], 0))
        self.assertEqual(self.board.undelivered, 1)
        sentry = FakeNotifier("sentry")
        self.outbox.update(channels_on([self.slack, sentry], 86_400, 0))
        self.assertEqual((len(sentry.sent), self.board.undelivered), (1, 0))


class UpdateTests(OutboxCase):
    def test_a_channel_that_stays_keeps_its_queue_and_the_message_under_way(self) -> None:
        gate: Deferred[str] = Deferred()
        self.slack.respond = lambda alert: gate
        self.alert(make_alert(1), make_alert(2))
        fresh = FakeNotifier("slack")
        self.outbox.update(channels_on([fresh, self.hipchat], 86_400, 0))
        self.assertEqual(fresh.tried, [])
        gate.callback("ok")
        self.assertEqual([alert.id for alert in self.slack.sent], [make_alert(1).id])
        self.assertEqual([alert.id for alert in fresh.sent], [make_alert(2).id])
        self.assertEqual(self.board.undelivered, 0)

    def test_a_channel_that_is_off_for_a_while(self) -> None:
        self.slack.respond = lambda alert: fail(DeliveryError("down"))
        self.alert(make_alert(1), make_alert(2, task="b"))
        self.outbox.update(channels_on([self.hipchat], 86_400, 0))
        self.assertEqual(self.board.undelivered, 2)
        self.world.pass_time(30)
        self.assertEqual(len(self.slack.tried), 1)
        self.assertEqual(len(self.store.open().deliveries), 2)
        fresh = FakeNotifier("slack")
        self.outbox.update(channels_on([self.hipchat, fresh], 86_400, 0))
        self.world.pass_time(5)
        self.assertEqual(sorted(alert.id for alert in fresh.sent), [make_alert(1).id, make_alert(2).id])
        self.assertEqual((self.board.undelivered, list(self.store.open().deliveries)), (0, []))

    def test_the_message_under_way_of_a_removed_channel_is_settled(self) -> None:
        for end in ("ok", DeliveryError("down")):
            gate: Deferred[str] = Deferred()
            slack = FakeNotifier("slack")
            self.outbox = self.make([slack])
            slack.respond = lambda alert, gate=gate: gate  # type: ignore[misc]
            self.alert(make_alert(1))
            self.outbox.update(channels_on([], 86_400, 0))
            if isinstance(end, str):
                gate.callback(end)
                self.assertEqual(list(self.store.open().deliveries), [])
            else:
                gate.errback(end)
                self.assertEqual(len(self.store.open().deliveries), 1)
                fresh = FakeNotifier("slack")
                self.outbox.update(channels_on([fresh], 86_400, 0))
                self.world.pass_time(3)
                self.assertEqual(len(fresh.sent), 1)
            self.assertEqual(self.board.undelivered, 0)
            self.store = SlowStore()

    def test_the_message_under_way_of_a_removed_channel_keeps_its_order(self) -> None:
        gate: Deferred[str] = Deferred()
        self.slack.respond = lambda alert: gate
        self.alert(make_alert(1))
        self.alert(make_alert(2, event=Event.RECOVERED))
        self.outbox.update(channels_on([], 86_400, 0))
        gate.errback(DeliveryError("down"))
        fresh = FakeNotifier("slack")
        self.outbox.update(channels_on([fresh], 86_400, 0))
        self.world.pass_time(3)
        self.assertEqual([alert.id for alert in fresh.sent], [make_alert(1).id, make_alert(2).id])

    def test_the_message_under_way_of_a_channel_that_came_back(self) -> None:
        gate: Deferred[str] = Deferred()
        self.slack.respond = lambda alert: gate
        self.alert(make_alert(1))
        self.outbox.update(channels_on([], 86_400, 0))
        fresh = FakeNotifier("slack")
        self.outbox.update(channels_on([fresh], 86_400, 0))
        self.alert(make_alert(2, event=Event.RECOVERED))
        self.assertEqual(fresh.sent, [])
        gate.errback(DeliveryError("down"))
        self.world.pass_time(3)
        self.assertEqual([alert.id for alert in fresh.sent], [make_alert(1).id, make_alert(2).id])
        self.assertEqual(self.board.undelivered, 0)

    def test_deliveries_to_a_channel_that_stays_off_expire(self) -> None:
        self.slack.respond = lambda alert: fail(DeliveryError("down"))
        off = ["slack", "hipchat", "sentry"]
        self.outbox.update(channels_on([self.slack], held=off))
        self.outbox.resume(Kept({}, [Delivery(make_alert(9), "sentry")], 0))
        self.alert(make_alert(1))
        self.outbox.update(channels_on([], 200, 0, held=off))
        self.world.pass_time(190, step=1)
        self.assertEqual((self.board.undelivered, self.board.dead), (2, 0))
        self.world.pass_time(80, step=1)
        self.assertEqual((self.board.undelivered, self.board.dead), (0, 2))
        self.assertEqual(list(self.store.open().deliveries), [])
        self.assertEqual([event.get("why") for event in self.logged if "why" in event], ["has been off too long"] * 2)
        # A channel that is off is not expected to work.
        self.assertEqual(self.outbox.refused, frozenset())

    def test_deliveries_to_a_channel_that_is_gone_are_dead(self) -> None:
        self.slack.respond = lambda alert: fail(DeliveryError("down"))
        self.outbox.resume(Kept({}, [Delivery(make_alert(9), "sentry")], 0))
        self.assertEqual((self.board.undelivered, self.board.dead), (0, 1))
        self.alert(make_alert(1))
        self.outbox.update(channels_on([self.hipchat]))
        self.assertEqual((self.board.undelivered, self.board.dead), (0, 2))
        self.assertEqual([event["why"] for event in self.logged if "why" in event], ["is no longer configured"] * 2)
        self.assertEqual((self.outbox.refused, self.board.daemon().status), (frozenset(), Status.OK))

    def test_the_message_under_way_to_a_channel_that_is_gone(self) -> None:
        gate: Deferred[str] = Deferred()
        self.slack.respond = lambda alert: gate
        self.outbox.resume(Kept({}, [], 0))
        self.alert(make_alert(1))
        self.outbox.update(channels_on([self.hipchat]))
        self.assertEqual(self.board.undelivered, 1)
        gate.errback(DeliveryError("down"))
        self.world.pass_time(61, step=1)
        self.assertEqual((self.board.undelivered, self.board.dead), (0, 1))
        self.assertEqual([event["limit"] for event in self.logged if "limit" in event], ["within 0 s and 1 attempts"])

    def test_deliveries_committed_for_a_removed_channel_wait(self) -> None:
        alert = make_alert(1)
        deliveries = to_all(self.outbox, (alert,))
        self.outbox.update(channels_on([self.slack], 86_400, 0))
        self.outbox.accept((alert,), deliveries)
        self.assertEqual((len(self.slack.sent), len(self.hipchat.sent), self.board.undelivered), (1, 0, 1))


class TroubleTests(OutboxCase):
    def test_a_delivery_pending_for_5_minutes_is_an_error(self) -> None:
        self.slack.respond = lambda alert: fail(DeliveryError("down"))
        self.alert(make_alert(1))
        self.world.pass_time(OVERDUE - 1, step=1)
        self.assertEqual(self.board.daemon().status, Status.OK)
        self.world.pass_time(3, step=1)
        self.assertEqual(self.board.daemon().status, Status.ERROR)
        self.assertIn("slack", self.board.daemon().explanation)
        self.slack.respond = lambda alert: "ok"
        self.world.pass_time(301, step=1)
        self.assertEqual(self.board.daemon().status, Status.OK)

    def test_a_channel_whose_latest_delivery_is_dead(self) -> None:
        self.slack.respond = lambda alert: fail(DeliveryError("invalid_auth", permanent=True))
        self.alert(make_alert(1))
        self.assertEqual(self.board.daemon().status, Status.ERROR)
        self.assertIn("slack did not accept the latest alert", self.board.daemon().explanation)
        self.slack.respond = lambda alert: fail(DeliveryError("down"))
        self.alert(make_alert(2))
        self.assertEqual(self.board.daemon().status, Status.ERROR)
        self.slack.respond = lambda alert: "ok"
        self.world.pass_time(5)
        self.assertEqual(self.board.daemon().status, Status.OK)

    def test_a_dead_channel_that_is_off(self) -> None:
        self.slack.respond = lambda alert: fail(DeliveryError("invalid_auth", permanent=True))
        self.alert(make_alert(1))
        self.outbox.update(channels_on([self.hipchat], 86_400, 0))
        self.assertEqual(self.board.daemon().status, Status.OK)


class StoppingTests(OutboxCase):
    def test_waits_for_what_is_under_way(self) -> None:
        gate: Deferred[str] = Deferred()
        self.slack.respond = lambda alert: gate
        self.alert(make_alert(1))
        stopping = Deferred.fromCoroutine(self.outbox.stop(5))
        self.world.pass_time(2)
        self.assertNoResult(stopping)
        gate.callback("ok")
        self.successResultOf(stopping)
        self.assertEqual(list(self.store.open().deliveries), [])

    def test_waits_no_longer_than_its_limit(self) -> None:
        self.slack.respond = lambda alert: Deferred()
        self.alert(make_alert(1))
        stopping = Deferred.fromCoroutine(self.outbox.stop(5))
        self.world.pass_time(4.9)
        self.assertNoResult(stopping)
        self.world.pass_time(0.2)
        self.successResultOf(stopping)
        self.assertEqual([delivery.channel for delivery in self.store.open().deliveries], ["slack"])
        self.assertEqual(self.world.clock.getDelayedCalls(), [])
        # Abandoned deliveries leave no unhandled error.
        del stopping, self.outbox, self.board, self.logged[:]
        gc.collect()
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_the_store_keeps_the_attempts(self) -> None:
        self.slack.respond = lambda alert: fail(DeliveryError("down"))
        self.alert(make_alert(1))
        (kept,) = self.store.open().deliveries
        self.assertEqual((kept.attempts, kept.words), (1, "down"))
        self.assertEqual(msgspec.structs.replace(kept, attempts=0, words="", not_before=0.0).alert, make_alert(1))


class DeadChannelTests(OutboxCase):
    """A channel whose latest delivery is dead, and what it is told once it works again (contract, section 4)."""

    def setUp(self) -> None:
        super().setUp()
        self.slack.respond = lambda alert: fail(DeliveryError("invalid_auth", permanent=True))
        self.problem = make_alert(1, task="a")
        self.alert(self.problem)

    def open_incident(self, started: float = NOON) -> None:
        state = TaskState(verdict=Verdict(Kind.LATE, "late now"), incident=Incident(started, Kind.LATE, started, 1))
        self.board.show(make_task(), state)

    def repair(self) -> None:
        self.slack.respond = lambda alert: "ok"
        self.slack.sent.clear()

    def test_it_is_said_until_it_works(self) -> None:
        self.assertEqual(self.outbox.refused, {"slack"})
        self.assertIn("slack did not accept the latest alert: invalid_auth", self.board.daemon().explanation)
        self.assertEqual(self.board.daemon().dead_channels, ("slack",))
        self.repair()
        self.alert(make_alert(2, task="b"))
        self.assertEqual((self.outbox.refused, self.board.daemon().status), (frozenset(), Status.OK))
        self.assertEqual(self.board.daemon().dead_channels, ())

    def test_it_is_known_after_a_restart(self) -> None:
        kept = self.store.open()
        self.assertEqual((kept.dead_channels, kept.refusals), ({"slack"}, {"slack": "invalid_auth"}))
        outbox = self.make([self.slack])
        refusals = {"slack": "invalid_auth", "hipchat": "no such room"}
        outbox.resume(Kept({}, [], 1, dead_channels=frozenset(refusals), refusals=refusals))
        self.assertEqual(outbox.refused, {"slack"})
        self.assertIn("slack did not accept the latest alert: invalid_auth", self.board.daemon().explanation)

    def test_open_incidents_are_told_as_new_alerts(self) -> None:
        self.open_incident()
        self.repair()
        self.alert(make_alert(2, task="b"))
        told = self.slack.sent[-1]
        self.assertEqual([alert.task for alert in self.slack.sent], ["b", "a"])
        self.assertEqual((told.event, told.kind, told.explanation), (Event.PROBLEM, Kind.LATE, "late now"))
        self.assertNotEqual(told.id, self.problem.id)
        self.assertEqual([alert.id for alert in self.hipchat.sent].count(told.id), 0)
        self.assertEqual((self.board.dead, self.board.undelivered), (0, 0))
        # Once.
        self.alert(make_alert(3, task="b"))
        self.assertEqual(len(self.slack.sent), 3)

    def test_what_is_over_is_not_told(self) -> None:
        self.open_incident(started=NOON + 10)
        self.repair()
        self.alert(make_alert(2, task="b"))
        self.assertEqual([alert.task for alert in self.slack.sent], ["b"])

    def test_what_is_silenced_is_not_told(self) -> None:
        self.board.mute_with(lambda task, state: Muted(NOON + 3600, "", "anna", "silence 3f2a"))
        self.open_incident()
        self.repair()
        self.alert(make_alert(2, task="b"))
        self.assertEqual([alert.task for alert in self.slack.sent], ["b"])

    def test_other_settings_are_a_new_try(self) -> None:
        self.open_incident()
        mended = FakeNotifier("slack")
        self.outbox.update(channels_on([mended, self.hipchat], 86_400, 5.0))
        self.assertEqual([alert.task for alert in mended.sent], ["a"])

    def test_a_section_that_comes_back(self) -> None:
        """What died because it was gone is told, too, but to no other channel."""
        self.slack.respond = lambda alert: fail(DeliveryError("down"))
        self.outbox.resume(Kept({}, [], 0))
        self.alert(make_alert(2, task="a"))
        self.open_incident()
        self.outbox.update(channels_on([self.hipchat]))
        self.hipchat.sent.clear()
        back = FakeNotifier("slack")
        self.outbox.update(channels_on([back, self.hipchat]))
        self.world.pass_time(3)
        self.assertEqual([(alert.task, alert.event) for alert in back.sent], [("a", Event.PROBLEM)])
        self.assertEqual(self.hipchat.sent, [])

    def test_resend(self) -> None:
        self.repair()
        self.world.pass_time(2 * 86_400, step=3600)
        count = self.successResultOf(Deferred.fromCoroutine(self.outbox.resend()))
        self.assertEqual(count, 1)
        self.assertEqual([alert.id for alert in self.slack.sent], [self.problem.id])
        self.assertEqual((self.board.dead, self.board.undelivered), (0, 0))
        self.assertEqual(self.successResultOf(Deferred.fromCoroutine(self.outbox.resend())), 0)

    def test_resent_in_vain(self) -> None:
        self.successResultOf(Deferred.fromCoroutine(self.outbox.resend()))
        self.assertEqual((self.board.dead, self.outbox.refused), (1, {"slack"}))


class ThreadTests(OutboxCase):
    def setUp(self) -> None:
        super().setUp()
        self.store = SlowStore(self.world.now)
        self.slack = self.threads = FakeThreads()
        self.outbox = self.make([self.threads])

    def restart(self, *notifiers: FakeNotifier) -> None:
        kept = self.store.open()
        self.outbox = self.make(list(notifiers))
        self.outbox.resume(kept)

    def test_the_reference_is_settled_with_the_delivery(self) -> None:
        self.alert(make_alert(1))
        self.assertEqual(self.store.open().told, {"slack": [Told("message 1", make_alert(1))]})
        self.alert(make_alert(2, Event.CHANGED))
        self.assertEqual(self.store.open().told, {"slack": [Told("message 1", make_alert(2, Event.CHANGED))]})
        self.assertEqual(self.threads.posts[1:], [(2, "message 1", "message 1")])

    def test_over_a_restart(self) -> None:
        self.alert(make_alert(1))
        self.restart(self.threads)
        self.alert(make_alert(2, Event.RECOVERED))
        self.assertEqual(self.threads.posts[1:], [(2, "message 1", "message 1")])

    def test_a_channel_that_was_off_at_the_start(self) -> None:
        self.alert(make_alert(1))
        self.restart()
        self.outbox.update(channels_on([self.threads], 86_400, 5.0))
        self.alert(make_alert(2, Event.RECOVERED))
        self.assertEqual(self.threads.posts[1:], [(2, "message 1", "message 1")])

    def test_a_channel_without_threads_any_more(self) -> None:
        self.alert(make_alert(1))
        plain = FakeNotifier("slack")
        self.restart(plain)
        self.alert(make_alert(2, Event.RECOVERED))
        self.assertEqual(plain.events(), ["recovered"])
        self.world.pass_time(10)
        self.assertEqual(self.threads.updates, [])

    def test_a_lost_message_is_sent_again(self) -> None:
        self.alert(make_alert(1))
        self.threads.lost.add("message 1")
        self.alert(make_alert(2, Event.CHANGED))
        self.world.pass_time(60)
        self.assertEqual(
            self.threads.posts, [(1, None, "message 1"), (2, "message 1", "message 1"), (2, None, "message 3")]
        )
        self.assertEqual((self.board.undelivered, self.board.dead), (0, 0))
        self.restart(self.threads)
        self.alert(make_alert(3, Event.RECOVERED))
        self.assertEqual(self.threads.posts[3:], [(3, "message 3", "message 3")])

    def test_a_broken_store_breaks_no_thread(self) -> None:
        self.store.broken = OSError("disk full")
        self.alert(make_alert(1))
        self.alert(make_alert(2, Event.RECOVERED))
        self.assertEqual(self.threads.posts[1:], [(2, "message 1", "message 1")])
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 2)

    def test_updates_end_with_the_stop(self) -> None:
        self.alert(make_alert(1))
        self.alert(make_alert(2, Event.RECOVERED))
        self.successResultOf(Deferred.fromCoroutine(self.outbox.stop(5)))
        self.world.pass_time(60)
        self.assertEqual(self.threads.updates, [])
