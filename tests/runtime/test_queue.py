"""A channel's queue: order, pauses, retries, expiry, and what a stop leaves."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import pairwise

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, fail
from twisted.trial.unittest import SynchronousTestCase

from pypinger.domain.kinds import Kind
from pypinger.domain.model import Alert, Delivery, Event, Outcome
from pypinger.ports.notifying import DeliveryError
from pypinger.runtime.queue import ATTEMPT_LIMIT, DeliveryQueue
from tests.runtime.fakes import NOON, FakeMails, FakeNotifier, World, make_alert


class QueueCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.world = World()
        self.notifier = FakeNotifier()
        self.settled: list[tuple[str, Outcome, Delivery]] = []
        self.queue = self.make()

    def make(self, retry_for: float = 86_400, group_wait: float = 5.0) -> DeliveryQueue:
        async def settle(delivery: Delivery, outcome: Outcome) -> None:
            self.settled.append((delivery.alert.id, outcome, delivery))

        return DeliveryQueue(self.world.clock, self.world.now, self.notifier, retry_for, group_wait, settle)

    def accept(self, *alerts: Alert) -> None:
        for alert in alerts:
            self.queue.accept(Delivery(alert, "slack"))

    def outcomes(self) -> list[Outcome]:
        return [outcome for _, outcome, _ in self.settled]


class SendingTests(QueueCase):
    unmeasured = True

    def test_at_once_and_settled(self) -> None:
        self.accept(make_alert(1))
        self.assertEqual([alert.id for alert in self.notifier.sent], [make_alert(1).id])
        self.assertEqual(self.outcomes(), [Outcome.SENT])
        self.assertEqual(self.settled[0][2].attempts, 1)
        self.assertEqual(self.settled[0][2].words, "ok")
        self.assertEqual(len(self.queue), 0)
        self.assertEqual(self.queue.oldest(), 0)

    def test_spacing(self) -> None:
        self.notifier.spacing = 1.0
        self.accept(*(make_alert(number, task=str(number)) for number in range(4)))
        counts = []
        for _ in range(4):
            counts.append(len(self.notifier.sent))
            self.world.pass_time(1.01)
        self.assertEqual(counts, [1, 2, 3, 4])

    def test_one_under_way_and_in_order(self) -> None:
        gates: list[Deferred[str]] = []

        def respond(alert: Alert) -> Deferred[str]:
            gates.append(Deferred())
            return gates[-1]

        self.notifier.respond = respond
        self.accept(make_alert(1), make_alert(2), make_alert(3, task="b"))
        self.assertEqual(len(gates), 1)
        self.assertEqual(len(self.queue), 3)
        for number in range(3):
            gates[number].callback("ok")
        # The first alert of another task comes before the second of the first, which waited for it.
        self.assertEqual([alert.id[-1] for alert in self.notifier.sent], ["1", "3", "2"])

    def test_thousands_at_once(self) -> None:
        self.accept(*(make_alert(number, task=str(number % 7)) for number in range(5000)))
        self.assertEqual(len(self.notifier.sent), 5000)

    def test_not_before_is_respected(self) -> None:
        self.queue.accept(Delivery(make_alert(1), "slack", attempts=3, not_before=NOON + 30))
        self.world.pass_time(29)
        self.assertEqual(self.notifier.sent, [])
        self.world.pass_time(2)
        self.assertEqual(len(self.notifier.sent), 1)
        self.assertEqual(self.settled[0][2].attempts, 4)


class RecipientsTests(QueueCase):
    """Those who were reached are not written to again (contract, section 5, ``[email]``)."""

    def setUp(self) -> None:
        super().setUp()
        self.one, self.two = self.notifier, self.other = FakeMails(), FakeMails()
        self.queue = self.make()

    def greylist(self, recipient: str) -> None:
        self.one.answers[recipient] = fail(DeliveryError("greylisted"))

    def restart(self) -> None:
        self.queue.close()
        self.notifier = self.two
        self.queue = self.make()

    def test_after_a_restart(self) -> None:
        self.greylist("y")
        self.accept(make_alert(1))
        ((_, outcome, kept),) = self.settled
        self.assertEqual(outcome, Outcome.RETRY)
        self.restart()
        self.queue.accept(kept)
        self.world.pass_time(3)
        self.assertEqual((self.one.reached, self.two.reached), ([("x", 1)], [("y", 1)]))
        self.assertEqual(self.outcomes(), [Outcome.RETRY, Outcome.SENT])
        self.assertIsNone(self.settled[-1][2].progress)

    def test_after_a_reload(self) -> None:
        self.greylist("y")
        self.accept(make_alert(1))
        self.queue.update(self.two, 86_400, 5.0)
        self.world.pass_time(3)
        self.assertEqual((self.one.reached, self.two.reached), ([("x", 1)], [("y", 1)]))

    def test_a_reload_while_a_message_is_under_way(self) -> None:
        answer = self.one.answers["y"] = Deferred[None]()
        self.accept(make_alert(1))
        self.queue.update(self.two, 86_400, 5.0)
        answer.errback(DeliveryError("greylisted"))
        self.world.pass_time(3)
        self.assertEqual((self.one.reached, self.two.reached), ([("x", 1)], [("y", 1)]))

    def test_of_an_alert_that_is_given_up(self) -> None:
        self.queue = self.make(retry_for=10)
        self.greylist("y")
        self.queue.accept(Delivery(msgspec.structs.replace(make_alert(1), at=NOON - 60), "slack"))
        ((_, outcome, kept),) = self.settled
        self.assertEqual(outcome, Outcome.DEAD)
        self.restart()
        self.queue.accept(kept, fresh=True)
        self.assertEqual((self.one.reached, self.two.reached), ([("x", 1)], [("y", 1)]))

    def test_who_has_refused_is_asked_again_by_hand(self) -> None:
        self.queue = self.make(retry_for=10)
        self.one.answers["x"] = fail(DeliveryError("no such user", permanent=True))
        self.greylist("y")
        self.queue.accept(Delivery(msgspec.structs.replace(make_alert(1), at=NOON - 60), "slack"))
        ((_, outcome, kept),) = self.settled
        self.assertEqual(outcome, Outcome.DEAD)
        self.queue.accept(kept, fresh=True)
        self.world.pass_time(3)
        self.assertEqual(self.one.reached, [("x", 1), ("y", 1)])

    def test_a_stop_while_a_message_is_under_way(self) -> None:
        self.one.answers["y"] = Deferred()
        self.accept(make_alert(1))
        self.queue.close()
        ((_, outcome, kept),) = self.settled
        self.assertEqual((outcome, kept.attempts), (Outcome.RETRY, 0))
        self.restart()
        self.queue.accept(kept)
        self.assertEqual((self.one.reached, self.two.reached), ([("x", 1)], [("y", 1)]))

    def test_a_stop_records_a_whole_group_at_once(self) -> None:
        """The store closes right after it."""
        recording: list[Delivery] = []

        async def settle(delivery: Delivery, outcome: Outcome) -> None:
            recording.append(delivery)
            await Deferred()

        self.one.groups = True
        self.one.answers["y"] = Deferred()
        queue = DeliveryQueue(self.world.clock, self.world.now, self.one, 86_400, 5.0, settle)
        for number in range(6):
            queue.accept(Delivery(make_alert(number, task=str(number)), "slack", not_before=NOON + 10))
        self.world.pass_time(11)
        queue.close()
        self.assertEqual(len(recording), len(self.one.reached))
        self.assertGreater(len(recording), 1)

    def test_the_lease_is_lost_while_a_message_is_under_way(self) -> None:
        self.one.answers["y"] = Deferred()
        self.accept(make_alert(1))
        self.queue.drop()
        self.assertEqual(self.settled, [])

    def test_a_bug_in_a_channel_stops_nothing(self) -> None:
        def fail(*_: object) -> str:
            raise RuntimeError("a bug")

        self.patch(self.one, "begin", fail)
        self.patch(self.one, "progress", fail)
        self.accept(make_alert(1))
        self.assertEqual((self.outcomes(), self.one.reached), ([Outcome.RETRY], []))
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 2)
        self.patch(self.one, "begin", lambda *_: None)
        self.world.pass_time(3)
        self.assertEqual(self.one.reached, [("x", 1), ("y", 1)])

    def test_all_refuse(self) -> None:
        for recipient in "xy":
            self.one.answers[recipient] = fail(DeliveryError("no such user", permanent=True))
        self.accept(make_alert(1))
        ((_, outcome, kept),) = self.settled
        self.assertEqual((outcome, kept.progress), (Outcome.DEAD, None))


class FailingTests(QueueCase):
    def refuse(self, error: Exception) -> Callable[[Alert], Deferred[str]]:
        return lambda alert: fail(error)

    def test_retried_with_growing_pauses(self) -> None:
        self.notifier.respond = self.refuse(DeliveryError("down"))
        self.accept(make_alert(1))
        times = [self.world.clock.seconds()]
        for _ in range(20_000):
            tried = len(self.notifier.tried)
            self.world.clock.advance(0.5)
            if len(self.notifier.tried) > tried:
                times.append(self.world.clock.seconds())
        pauses = [after - before for before, after in pairwise(times)]
        for number, pause in enumerate(pauses, 1):
            bound = min(2.0**number, 300.0)
            self.assertTrue(bound / 2 <= pause <= bound + 0.5, (number, pause))
        self.assertEqual(set(self.outcomes()), {Outcome.RETRY})
        last = self.settled[-1][2]
        self.assertEqual(last.words, "down")
        self.assertGreater(last.not_before, self.world.now() - 600)

    def test_delivered_when_the_service_is_back(self) -> None:
        self.notifier.respond = self.refuse(DeliveryError("down"))
        self.accept(make_alert(1), make_alert(2))
        self.world.pass_time(20)
        self.notifier.respond = lambda alert: "ok"
        self.world.pass_time(40)
        self.assertEqual([alert.id[-1] for alert in self.notifier.sent], ["1", "2"])
        self.assertEqual(self.outcomes()[-2:], [Outcome.SENT, Outcome.SENT])

    def test_retry_after_pauses_the_queue(self) -> None:
        self.notifier.respond = self.refuse(DeliveryError("ratelimited", retry_after=30))
        self.accept(make_alert(1), make_alert(2, task="b"))
        self.notifier.respond = lambda alert: "ok"
        self.world.pass_time(29.9)
        self.assertEqual(len(self.notifier.tried), 1)
        self.world.pass_time(0.2)
        self.assertEqual(len(self.notifier.sent), 2)

    def test_a_permanent_refusal_is_dead_and_the_next_is_sent(self) -> None:
        self.notifier.respond = self.refuse(DeliveryError("channel_not_found", permanent=True))
        self.accept(make_alert(1))
        self.notifier.respond = lambda alert: "ok"
        self.accept(make_alert(2))
        self.assertEqual(self.outcomes(), [Outcome.DEAD, Outcome.SENT])
        self.assertEqual(self.settled[0][2].words, "channel_not_found")

    def test_given_up_after_retry_for(self) -> None:
        self.queue = self.make(retry_for=60)
        self.notifier.respond = self.refuse(DeliveryError("down"))
        self.accept(make_alert(1))
        self.world.pass_time(61)
        self.assertEqual(self.outcomes()[-1], Outcome.DEAD)
        self.assertEqual(len(self.queue), 0)

    def test_an_old_alert_has_less_time_left(self) -> None:
        self.queue = self.make(retry_for=60)
        self.notifier.respond = self.refuse(DeliveryError("down"))
        self.accept(make_alert(1, at=NOON - 59.5))
        self.assertEqual(self.outcomes(), [Outcome.DEAD])

    def test_no_answer_in_time(self) -> None:
        self.notifier.respond = lambda alert: Deferred()
        self.accept(make_alert(1))
        self.world.pass_time(ATTEMPT_LIMIT + 0.1)
        self.assertEqual(self.outcomes(), [Outcome.RETRY])
        self.assertEqual(self.settled[0][2].words, "no answer within 20 s")

    def test_a_broken_channel_is_retried_and_logged(self) -> None:
        self.notifier.respond = self.refuse(ZeroDivisionError("secret"))
        self.accept(make_alert(1))
        self.assertEqual(self.outcomes(), [Outcome.RETRY])
        self.assertNotIn("secret", self.settled[0][2].words)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_an_error_while_settling_does_not_stop_the_queue(self) -> None:
        async def settle(delivery: Delivery, outcome: Outcome) -> None:
            raise OSError("disk full")

        self.queue = DeliveryQueue(self.world.clock, self.world.now, self.notifier, 60, 5.0, settle)
        self.accept(make_alert(1), make_alert(2))
        self.assertEqual(len(self.notifier.sent), 2)
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 2)

    def test_a_rejected_message_does_not_hold_up_others(self) -> None:
        bad = make_alert(1)
        self.notifier.respond = lambda alert: fail(DeliveryError("HTTP 500")) if alert.id == bad.id else "ok"
        self.accept(bad)
        self.world.pass_time(100)
        for number in range(2, 30):
            self.accept(make_alert(number, task=str(number)))
        self.world.pass_time(5)
        self.assertEqual(len(self.notifier.sent), 28)

    def test_few_attempts_while_the_service_is_down(self) -> None:
        self.notifier.respond = self.refuse(DeliveryError("down"))
        self.accept(*(make_alert(number, task=str(number)) for number in range(1000)))
        self.world.pass_time(600, step=0.5)
        self.assertLess(len(self.notifier.tried), 25)
        self.notifier.respond = lambda alert: "ok"
        self.world.pass_time(600, step=0.5)
        self.assertEqual(len(self.notifier.sent), 1000)


class WaitingCase(QueueCase):
    """Alerts wait while one is under way."""

    def gone(self, alert: Alert, **values: object) -> list[int]:
        delivery = Delivery(alert, "slack", **values)  # type: ignore[arg-type]
        return [int(each.alert.id, 16) for each in self.queue.accept(delivery)]

    def changed(self, number: int, before: Kind, kind: Kind) -> Alert:
        return msgspec.structs.replace(make_alert(number, Event.CHANGED), before=before, kind=kind)

    def hang(self) -> Deferred[str]:
        gate: Deferred[str] = Deferred()
        self.notifier.respond = lambda alert: gate
        return gate

    def let_go(self, gate: Deferred[str]) -> list[int]:
        self.notifier.respond = lambda alert: "ok"
        gate.callback("ok")
        return [int(alert.id, 16) for alert in self.notifier.sent]


class GivingWayTests(WaitingCase):
    """See Note [What gives way] in :mod:`pypinger.runtime.pending`."""

    def test_a_pending_reminder_is_replaced(self) -> None:
        gate = self.hang()
        self.assertEqual(self.gone(make_alert(1)), [])
        self.assertEqual(self.gone(make_alert(2, Event.REMINDER)), [])
        self.assertEqual(self.gone(make_alert(3, Event.REMINDER)), [2])
        self.assertEqual(self.let_go(gate), [1, 3])

    def test_a_pending_reminder_gives_way_to_news(self) -> None:
        gate = self.hang()
        self.gone(make_alert(1))
        for number, event in enumerate([Event.CHANGED, Event.RECOVERED, Event.ACKNOWLEDGED, Event.PROBLEM], 10):
            self.assertEqual(self.gone(make_alert(number * 2, Event.REMINDER)), [])
            self.assertEqual(self.gone(make_alert(number * 2 + 1, event)), [number * 2])
        self.assertEqual(self.let_go(gate), [1, 21, 23, 25, 27])

    def test_a_failed_reminder_is_replaced(self) -> None:
        self.notifier.respond = lambda alert: fail(DeliveryError("down"))
        self.gone(make_alert(1, Event.REMINDER))
        self.assertEqual(self.gone(make_alert(2, Event.REMINDER)), [1])
        self.notifier.respond = lambda alert: "ok"
        self.world.pass_time(3)
        self.assertEqual([int(alert.id, 16) for alert in self.notifier.sent], [2])

    def test_a_reminder_under_way_does_not_give_way(self) -> None:
        gate = self.hang()
        self.gone(make_alert(1, Event.REMINDER))
        self.assertEqual(self.gone(make_alert(2, Event.RECOVERED)), [])
        self.assertEqual(self.let_go(gate), [1, 2])

    def test_a_reminder_that_fails_gives_way_to_what_came_meanwhile(self) -> None:
        self.patch(random, "random", lambda: 0.5)
        gate = self.hang()
        self.gone(make_alert(1, Event.REMINDER))
        self.gone(make_alert(3, Event.CHANGED))
        self.notifier.respond = lambda alert: "ok"
        gate.errback(DeliveryError("down"))
        self.world.pass_time(3)
        self.assertEqual([int(alert.id, 16) for alert in self.notifier.sent], [3])
        first = make_alert(1).id
        self.assertEqual([outcome for id, outcome, _ in self.settled if id == first][-1], Outcome.REPLACED)
        self.assertEqual(len(self.queue), 0)

    def test_a_reminder_that_is_due_gives_way(self) -> None:
        gate = self.hang()
        self.gone(make_alert(1, task="b"))
        self.gone(make_alert(3, Event.REMINDER))
        self.assertEqual(self.gone(make_alert(4, Event.CHANGED)), [3])
        self.assertEqual(self.let_go(gate), [1, 4])
        self.assertEqual(len(self.queue), 0)

    def test_reminders_of_other_tasks_are_kept(self) -> None:
        self.hang()
        self.gone(make_alert(9, task="z"))
        self.assertEqual(self.gone(make_alert(1, Event.REMINDER, "a")), [])
        self.assertEqual(self.gone(make_alert(2, Event.REMINDER, "b")), [])

    def test_a_pending_change_is_replaced_by_the_next(self) -> None:
        gate = self.hang()
        self.gone(make_alert(1))
        self.assertEqual(self.gone(self.changed(2, Kind.LATE, Kind.FAILED)), [])
        self.assertEqual(self.gone(self.changed(3, Kind.FAILED, Kind.INVALID)), [2])
        self.assertEqual(self.let_go(gate), [1, 3])
        self.assertIs(self.notifier.sent[-1].before, Kind.LATE)

    def test_changes_that_end_where_they_began_are_dropped(self) -> None:
        gate = self.hang()
        self.gone(make_alert(1))
        self.gone(self.changed(2, Kind.LATE, Kind.FAILED))
        self.assertEqual(self.gone(self.changed(3, Kind.FAILED, Kind.LATE)), [2, 3])
        self.assertEqual(self.gone(self.changed(4, Kind.LATE, Kind.INVALID)), [])
        self.assertEqual(self.let_go(gate), [1, 4])


class JoiningTests(WaitingCase):
    """See Note [What gives way]: what takes the place of the reminder by which a channel joins."""

    def joining(self, number: int) -> Alert:
        return msgspec.structs.replace(make_alert(number, Event.REMINDER), joining=True)

    def test_the_end_drops_both(self) -> None:
        gate = self.hang()
        self.gone(make_alert(1, task="b"))
        self.gone(self.joining(2))
        self.assertEqual(self.gone(make_alert(3, Event.RECOVERED)), [2, 3])
        self.assertEqual(self.gone(make_alert(4)), [])
        self.assertEqual(self.let_go(gate), [1, 4])

    def test_after_an_attempt_the_end_is_sent(self) -> None:
        gate = self.hang()
        self.gone(make_alert(1, task="b"))
        self.assertEqual(self.gone(self.joining(2), attempts=1), [])
        self.assertEqual(self.gone(make_alert(3, Event.RECOVERED)), [2])
        self.assertEqual(self.let_go(gate), [1, 3])

    def test_what_takes_its_place_is_the_first_of_the_incident(self) -> None:
        gate = self.hang()
        self.gone(make_alert(1, task="b"))
        self.gone(self.joining(2))
        self.assertEqual(self.gone(make_alert(3, Event.REMINDER)), [2])
        self.assertEqual(self.gone(self.changed(4, Kind.LATE, Kind.FAILED)), [3])
        # To this channel "late" was never told, so it is told the latest change though the kind is "late" again.
        self.assertEqual(self.gone(self.changed(5, Kind.FAILED, Kind.LATE)), [4])
        self.assertEqual(self.let_go(gate), [1, 5])
        self.assertTrue(self.notifier.sent[-1].joining)
        self.assertIs(self.notifier.sent[-1].before, Kind.FAILED)

    def test_an_earlier_incident(self) -> None:
        """The end of another incident, which the channel has heard of, is sent."""
        gate = self.hang()
        self.gone(make_alert(1, task="b"))
        self.gone(self.joining(2))
        self.assertEqual(self.gone(make_alert(3, Event.RECOVERED, at=NOON + 60)), [2])
        self.assertEqual(self.let_go(gate), [1, 3])


class StoppingTests(QueueCase):
    def test_nothing_to_drain(self) -> None:
        self.assertIsNone(self.successResultOf(self.queue.drain(5)))

    def test_drain_sends_what_is_due(self) -> None:
        self.notifier.spacing = 1.0
        self.accept(*(make_alert(number, task=str(number)) for number in range(3)))
        drained = self.queue.drain(5)
        self.assertNoResult(drained)
        self.world.pass_time(2.1)
        self.successResultOf(drained)
        self.assertEqual(len(self.notifier.sent), 3)

    def test_drain_leaves_what_is_due_after_the_deadline(self) -> None:
        self.queue.accept(Delivery(make_alert(1), "slack", not_before=NOON + 60))
        self.successResultOf(self.queue.drain(5))
        self.assertEqual(len(self.queue), 1)

    def test_close_abandons_the_message_under_way(self) -> None:
        cancelled: list[bool] = []
        self.notifier.respond = lambda alert: Deferred(lambda _: cancelled.append(True))
        self.accept(make_alert(1), make_alert(2))
        self.queue.close()
        self.assertEqual(cancelled, [True])
        self.assertEqual(self.settled, [])
        self.assertEqual(self.world.clock.getDelayedCalls(), [])
        self.accept(make_alert(3, task="c"))
        self.assertEqual(len(self.notifier.tried), 1)

    def test_close_cancels_its_timer(self) -> None:
        self.queue.accept(Delivery(make_alert(1), "slack", not_before=NOON + 60))
        self.queue.close()
        self.assertEqual(self.world.clock.getDelayedCalls(), [])


class PropertyTests(SynchronousTestCase):
    @settings(deadline=None, max_examples=60)
    @given(
        tasks=st.lists(st.integers(0, 3), min_size=1, max_size=25),
        faults=st.lists(st.sampled_from(["ok", "down", "later", "dead", "hang"]), max_size=40),
        gaps=st.lists(st.floats(0, 30), max_size=25),
    )
    def test_each_alert_is_settled_once_in_the_order_of_its_task(
        self, tasks: list[int], faults: list[str], gaps: list[float]
    ) -> None:
        world, notifier = World(), FakeNotifier()
        ends: list[tuple[str, Outcome]] = []

        async def settle(delivery: Delivery, outcome: Outcome) -> None:
            if outcome is not Outcome.RETRY:
                ends.append((delivery.alert.id, outcome))

        queue = DeliveryQueue(world.clock, world.now, notifier, 1e9, 5.0, settle)
        script = iter(faults)

        def respond(alert: Alert) -> str | Deferred[str]:
            match next(script, "ok"):
                case "down":
                    return fail(DeliveryError("down"))
                case "later":
                    return fail(DeliveryError("later", retry_after=7))
                case "dead":
                    return fail(DeliveryError("no", permanent=True))
                case "hang":
                    return Deferred()
            return "ok"

        notifier.respond = respond
        pauses = iter(gaps)
        alerts = [make_alert(number, task=str(task)) for number, task in enumerate(tasks)]
        for alert in alerts:
            queue.accept(Delivery(msgspec.structs.replace(alert, at=world.now()), "slack"))
            world.clock.advance(next(pauses, 0.0))
        for _ in range(4000):
            world.clock.advance(5)
        self.assertEqual(len(queue), 0)
        self.assertEqual(sorted(each for each, _ in ends), sorted(alert.id for alert in alerts))
        for task in set(tasks):
            mine = {alert.id for alert in alerts if alert.task == str(task)}
            order = [each for each, _ in ends if each in mine]
            self.assertEqual(order, sorted(order))

    @settings(deadline=None, max_examples=60)
    @given(
        told=st.lists(
            st.tuples(st.integers(0, 2), st.sampled_from([Event.PROBLEM, Event.CHANGED, Event.REMINDER])), max_size=25
        ),
        hangs=st.lists(st.booleans(), max_size=25),
        gaps=st.lists(st.floats(0, 30), max_size=25),
    )
    def test_at_most_one_reminder_of_a_task_is_pending_after_an_outage(
        self, told: list[tuple[int, Event]], hangs: list[bool], gaps: list[float]
    ) -> None:
        world, notifier = World(), FakeNotifier(groups=True)
        ends: dict[str, Outcome] = {}

        async def settle(delivery: Delivery, outcome: Outcome) -> None:
            self.assertNotIn(delivery.alert.id, ends)
            if outcome is not Outcome.RETRY:
                ends[delivery.alert.id] = outcome

        queue = DeliveryQueue(world.clock, world.now, notifier, 1e9, 5.0, settle)
        script = iter(hangs)
        notifier.respond = lambda alert: Deferred() if next(script, False) else fail(DeliveryError("down"))
        pauses = iter(gaps)
        alerts = [
            make_alert(number, event, str(task), origin="http://host:80") for number, (task, event) in enumerate(told)
        ]
        for alert in alerts:
            for gone in queue.accept(Delivery(alert, "slack")):
                ends[gone.alert.id] = Outcome.REPLACED
            world.clock.advance(next(pauses, 0.0))
        world.pass_time(25, step=5)
        notifier.respond = lambda alert: "ok"
        world.pass_time(4000, step=5)
        self.assertEqual(len(queue), 0)
        self.assertEqual(ends.keys(), {alert.id for alert in alerts})
        for task in "012":
            mine = [alert for alert in notifier.sent if alert.task == task]
            self.assertEqual(mine, sorted(mine, key=lambda alert: alert.id))
            self.assertLessEqual(sum(alert.event is Event.REMINDER for alert in mine), 1)
            kept = [alert.id for alert in alerts if alert.task == task and alert.event is Event.PROBLEM]
            self.assertEqual([alert.id for alert in mine if alert.event is Event.PROBLEM], kept)
