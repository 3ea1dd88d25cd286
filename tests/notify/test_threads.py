"""Slack's threads (contract, section 5): from accepted alerts to what people see in the channel, on a fake clock."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from itertools import count
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.logger import LogLevel, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from pypinger.domain.kinds import Kind
from pypinger.domain.model import Alert, Delivery, Event, Outcome
from pypinger.notify import channels
from pypinger.ports.notifying import RequestFailed, ThreadedNotifier
from pypinger.ports.storing import Told
from pypinger.runtime import threads
from pypinger.runtime.queue import DeliveryQueue
from pypinger.runtime.updates import TRIES
from pypinger.testing.channels import context
from tests.notify.slackserver import SlackServer
from tests.notify.test_slack import HOOK_VALUES, WEB_VALUES
from tests.runtime.fakes import NOON, World, make_alert

HOST = "http://host:80"


class ThreadsCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.world = World()
        self.slack = SlackServer(self)
        self.numbers = count(1)
        self.settled: list[tuple[str, Outcome, str | None]] = []
        self.told: dict[str, Told] = {}
        self.told_all: list[Told] = []
        self.queue = self.make()
        self.logged: list[dict[str, object]] = []
        globalLogPublisher.addObserver(self.logged.append)
        self.addCleanup(globalLogPublisher.removeObserver, self.logged.append)

    def make(self, **values: str) -> DeliveryQueue:
        return DeliveryQueue(self.world.clock, self.world.now, self.notifier(**values), 86_400, 5.0, self.settle)

    def notifier(self, **values: str) -> object:
        return channels()["slack"].notifier({**WEB_VALUES, **values}, context(self.slack, now=self.world.now))

    async def settle(self, delivery: Delivery, outcome: Outcome) -> None:
        self.settled.append((delivery.alert.id, outcome, delivery.reference))
        if delivery.reference is not None:
            told = Told(delivery.reference, delivery.alert)
            self.told_all.append(told)
            key = f"{delivery.alert.task} {delivery.alert.started}"
            self.told.pop(key, None)
            self.told[key] = told

    def restart(self, **values: str) -> None:
        self.queue.close()
        self.queue = self.make(**values)
        self.queue.remember(self.told.values())

    def alert(self, event: Event, task: str = "a", started: float = 0.0, **more: object) -> Alert:
        kind = Kind.OK if event is Event.RECOVERED else Kind.LATE
        made = make_alert(next(self.numbers), event, task, self.world.now(), origin=HOST)
        return msgspec.structs.replace(made, started=NOON + started, kind=kind, **more)

    def send(self, *alerts: Alert, wait: float = 70.0) -> None:
        for each in alerts:
            self.queue.accept(Delivery(each, "slack"))
        self.world.pass_time(wait, 0.25)

    def tell(self, event: Event, tasks: Iterable[str] = "a", wait: float = 70.0, **more: object) -> None:
        self.send(*(self.alert(event, task, **more) for task in tasks), wait=wait)

    def outcomes(self) -> set[Outcome]:
        return {outcome for _, outcome, _ in self.settled}

    def warnings(self) -> list[str]:
        return [str(each["words"]) for each in self.logged if each["log_level"] is LogLevel.warn]


class IncidentTests(ThreadsCase):
    def test_one_message_and_its_story(self) -> None:
        self.tell(Event.PROBLEM)
        self.tell(Event.CHANGED, before=Kind.FAILED)
        (message,) = self.slack.parents()
        self.assertEqual(message.headline, "CHANGED: a is now late")
        self.tell(Event.RECOVERED)
        self.assertEqual(self.slack.parents(), [message])
        replies = self.slack.thread(message)
        self.assertEqual(
            [(each.headline, each.broadcast) for each in replies],
            [("CHANGED: a is now late", False), ("RECOVERED: a is OK again after 2 min", True)],
        )
        self.assertEqual(message.headline, "RECOVERED: a is OK again after 2 min")
        self.assertEqual(message.versions[0]["text"].partition("\n")[0], "PROBLEM: a is late")
        self.assertEqual(message.versions[-1]["attachments"][0]["color"], "#2e9e4f")
        self.assertEqual(len({reference for *_, reference in self.settled}), 1)

    def test_the_alerts_id_stays_with_its_message(self) -> None:
        """The metadata of a message are not updated, so they hold the id that the message was sent with."""
        self.tell(Event.PROBLEM)
        self.tell(Event.RECOVERED)
        (message,) = self.slack.parents()
        self.assertEqual(message.versions[0]["metadata"]["event_payload"], {"alert_id": f"{1:016x}"})
        self.assertNotIn("metadata", message.versions[-1])

    def test_a_reminder_is_a_message_of_the_channel(self) -> None:
        self.tell(Event.PROBLEM)
        self.tell(Event.REMINDER)
        message, reminder = self.slack.parents()
        self.assertEqual(reminder.headline, "STILL late after 1 min: a")
        self.assertEqual(len(message.versions), 1)
        self.assertIsNone(self.settled[-1][2])
        self.tell(Event.RECOVERED)
        self.assertEqual([each.thread for each in self.slack.messages.values()], [None, None, message.ts])

    def test_an_acknowledgement_is_part_of_the_story(self) -> None:
        self.tell(Event.PROBLEM)
        self.tell(Event.ACKNOWLEDGED)
        (message,) = self.slack.parents()
        (acknowledged,) = self.slack.thread(message)
        self.assertFalse(acknowledged.broadcast)
        self.assertTrue(message.headline.startswith("ACKNOWLEDGED: a"))

    def test_flapping_is_one_incident(self) -> None:
        self.tell(Event.FLAPPING)
        self.tell(Event.PROBLEM)
        (message,) = self.slack.parents()
        (steady,) = self.slack.thread(message)
        self.assertTrue(steady.broadcast)

    def test_the_next_incident_has_its_own_message(self) -> None:
        self.tell(Event.PROBLEM)
        self.tell(Event.RECOVERED)
        self.tell(Event.PROBLEM, started=300)
        self.assertEqual(len(self.slack.parents()), 2)

    def test_alerts_of_the_daemon(self) -> None:
        self.send(Alert(id="x", event=Event.STARTED, at=NOON, explanation="1 task"))
        self.send(Alert(id="y", event=Event.STOPPED, at=NOON, explanation=""))
        self.assertEqual(len(self.slack.parents()), 2)

    def test_a_problem_of_before_the_upgrade(self) -> None:
        """Its message is not known, so the next alert becomes the incident's message."""
        self.tell(Event.CHANGED)
        self.tell(Event.RECOVERED)
        (message,) = self.slack.parents()
        self.assertEqual(len(self.slack.thread(message)), 1)

    def test_an_answer_without_ts(self) -> None:
        """Servers that imitate Slack may not tell: then nothing is threaded."""
        self.slack._answer = lambda method, request: {"ok": True}  # type: ignore[method-assign]
        self.tell(Event.PROBLEM)
        self.tell(Event.RECOVERED)
        self.assertEqual(self.slack.calls, ["post", "post"])
        self.assertEqual(self.outcomes(), {Outcome.SENT})


class StormTests(ThreadsCase):
    def setUp(self) -> None:
        super().setUp()
        self.tasks = [f"t{number}" for number in range(21)]
        self.tell(Event.PROBLEM, self.tasks)
        self.first, self.group = self.slack.parents()

    def test_a_group_is_the_message_of_its_incidents(self) -> None:
        self.assertEqual(self.first.headline, "PROBLEM: t0 is late")
        self.assertTrue(self.group.headline.startswith("PROBLEM: 20 tasks on http://host"))
        self.tell(Event.RECOVERED, ["t5"])
        self.assertEqual([each.headline[:16] for each in self.slack.thread(self.group)], ["RECOVERED: t5 is"])
        self.assertEqual(self.group.headline, "PROBLEM: 19 of 20 tasks on http://host are still in trouble: 19 × late")
        # Those still in trouble come first.
        rows = self.group.text.split("\n")[1:]
        self.assertTrue(rows[0].startswith("- t1 is late"))
        self.assertTrue(rows[19].startswith("- t5 is OK again"))
        self.tell(Event.RECOVERED, [f"t{number}" for number in range(6, 13)])
        self.assertIn("12 of 20 tasks", self.group.headline)
        self.assertEqual(self.group.versions[-1]["attachments"][0]["color"], "#d92d20")
        self.tell(Event.RECOVERED, [f"t{number}" for number in (1, 2, 3, 4, *range(13, 20))])
        self.assertIn("1 of 20 tasks on http://host is still in trouble", self.group.headline)
        self.tell(Event.RECOVERED, ["t20"])
        self.assertEqual(self.group.headline, "RECOVERED: 20 tasks on http://host are OK again")
        self.assertEqual(len(self.first.versions), 1)
        self.assertEqual(len(self.slack.parents()), 2)

    def test_all_recover(self) -> None:
        self.tell(Event.RECOVERED, self.tasks)
        self.assertEqual([each.headline for each in self.slack.thread(self.first)], [self.first.headline])
        replies = self.slack.thread(self.group)
        self.assertEqual([each.headline for each in replies][-1], "RECOVERED: 20 tasks on http://host are OK again")
        self.assertTrue(all(each.broadcast for each in replies))
        self.assertEqual(self.group.headline, "RECOVERED: 20 tasks on http://host are OK again")
        self.assertEqual(len(self.settled), 42)

    def test_over_a_restart(self) -> None:
        self.tell(Event.RECOVERED, self.tasks[1:8])
        self.restart()
        self.tell(Event.RECOVERED, ["t8"])
        self.assertIn("12 of 20 tasks", self.group.headline)
        self.assertEqual(len(self.slack.parents()), 2)

    def test_an_update_that_a_crash_prevented_is_made_up_for(self) -> None:
        self.tell(Event.RECOVERED, self.tasks, wait=9)
        self.restart()
        versions = len(self.group.versions)
        self.send(Alert(id="x", event=Event.STARTED, at=NOON, explanation="21 tasks"))
        self.assertGreater(len(self.group.versions), versions)
        self.assertEqual(self.group.headline, "RECOVERED: 20 tasks on http://host are OK again")

    def test_old_messages_are_left_alone_after_a_restart(self) -> None:
        self.tell(Event.RECOVERED, self.tasks)
        self.world.pass_time(threads.RECENT + 60, 60)
        self.restart()
        calls = self.slack.calls.count("update")
        self.send(Alert(id="x", event=Event.STARTED, at=NOON, explanation="21 tasks"))
        self.assertEqual(self.slack.calls.count("update"), calls)

    def test_many_threads_become_one_message(self) -> None:
        tasks = [f"x{number}" for number in range(30)]
        for task in tasks:
            self.queue.accept(Delivery(msgspec.structs.replace(self.alert(Event.PROBLEM, task), origin=""), "slack"))
            self.world.pass_time(70, 1)
        before = len(self.slack.messages)
        parents = self.slack.parents()[2:]
        self.assertEqual(len(parents), 30)
        self.tell(Event.RECOVERED, tasks, wait=120)
        self.assertLessEqual(len(self.slack.messages) - before, 3)
        self.assertEqual({each.headline.partition(":")[0] for each in parents}, {"RECOVERED"})


class LostTests(ThreadsCase):
    """A reply or an update that fails is replaced by a message of its own, and makes no alert dead."""

    def test_a_deleted_message(self) -> None:
        self.tell(Event.PROBLEM)
        self.slack.messages.clear()
        self.tell(Event.CHANGED)
        (message,) = self.slack.parents()
        self.assertEqual(message.headline, "CHANGED: a is now late")
        self.tell(Event.RECOVERED)
        self.assertEqual([each.headline for each in self.slack.thread(message)], [message.headline])
        self.assertEqual(self.outcomes(), {Outcome.SENT})

    def test_a_deleted_message_of_a_group(self) -> None:
        """The new message takes its place for all incidents."""
        self.tell(Event.PROBLEM, "abcd")
        first, _ = self.slack.parents()
        self.slack.messages = {first.ts: first}
        self.tell(Event.RECOVERED, "b")
        message = self.slack.parents()[-1]
        self.assertIn("2 of 3 tasks", message.headline)
        self.tell(Event.RECOVERED, "cd")
        self.assertEqual(len(self.slack.parents()), 2)
        self.assertIn("3 tasks on http://host are OK again", message.headline)

    def test_refused_replies(self) -> None:
        errors = """thread_not_found cannot_reply_to_message restricted_action_thread_locked is_archived never_heard_of
            restricted_action_non_threadable_channel message_not_found"""
        for started, error in enumerate(errors.split()):
            self.tell(Event.PROBLEM, started=started * 1000)
            self.slack.next["post"].append(error)
            self.tell(Event.RECOVERED, started=started * 1000)
            message = self.slack.parents()[-1]
            self.assertIn("RECOVERED", message.headline)
            self.assertEqual(self.slack.thread(message), [])
        self.assertEqual(self.outcomes(), {Outcome.SENT})

    def test_a_retry_after_a_lost_thread(self) -> None:
        """Once a thread is known to be lost, the message of its own is sent at once."""
        self.tell(Event.PROBLEM)
        self.slack.next["post"].extend(["thread_not_found", "ratelimited"])
        self.tell(Event.RECOVERED)
        self.assertEqual(self.slack.calls.count("post"), 4)
        self.assertEqual(len(self.slack.parents()), 2)

    def test_a_reply_that_fails_for_now_is_retried(self) -> None:
        self.tell(Event.PROBLEM)
        self.slack.next["post"].extend(["ratelimited", "internal_error", RequestFailed("reset")])
        self.tell(Event.RECOVERED)
        (message,) = self.slack.parents()
        self.assertEqual(len(self.slack.thread(message)), 1)

    def test_a_refused_channel(self) -> None:
        """The message of its own is refused as well: that is no fault of the thread."""
        self.tell(Event.PROBLEM)
        self.slack.next["post"].extend(["is_archived", "is_archived"])
        self.tell(Event.RECOVERED)
        self.assertEqual([outcome for _, outcome, _ in self.settled], [Outcome.SENT, Outcome.DEAD])

    def test_slack_posts_a_reply_to_the_channel(self) -> None:
        self.tell(Event.PROBLEM)
        answer = self.slack._answer

        def forget(method: str, request: dict[str, object]) -> dict[str, object]:
            request.pop("thread_ts", None)
            request.pop("reply_broadcast", None)
            return answer(method, request)

        self.slack._answer = forget  # type: ignore[assignment,method-assign]
        self.tell(Event.CHANGED)
        del self.slack._answer
        self.tell(Event.RECOVERED)
        _, message = self.slack.parents()
        self.assertEqual(len(self.slack.thread(message)), 1)

    def test_an_update_of_a_lost_message_is_replaced(self) -> None:
        errors = """message_not_found cant_update_message edit_window_closed is_archived channel_not_found
            restricted_action never_heard_of"""
        for error in errors.split():
            self.slack.messages.clear()
            started = next(self.numbers) * 1000.0
            self.tell(Event.PROBLEM, started=started)
            self.slack.next["update"].append(error)
            self.tell(Event.CHANGED, started=started)
            _, message = self.slack.parents()
            self.assertEqual(message.headline, "CHANGED: a is now late")
            # The store has the new reference.
            self.assertTrue(self.settled[-1][2].startswith(f"C1 {message.ts} "))  # type: ignore[union-attr]
            self.tell(Event.RECOVERED, started=started)
            self.assertEqual([each.headline for each in self.slack.thread(message)], [message.headline])

    def test_the_end_is_not_told_twice(self) -> None:
        self.tell(Event.PROBLEM)
        self.slack.next["update"].append("message_not_found")
        self.tell(Event.RECOVERED)
        self.assertEqual(len(self.slack.messages), 2)

    def test_news_says_more_than_a_copy(self) -> None:
        """While an alert of the task is pending, what the lost message showed is not sent again."""
        self.tell(Event.PROBLEM)
        self.slack.next["update"].append("message_not_found")
        self.tell(Event.CHANGED, wait=0.5)
        self.slack.next["post"].append(waiting := Deferred())
        self.tell(Event.RECOVERED, wait=4)
        waiting.callback(None)
        self.world.pass_time(60)
        self.assertEqual(
            [each.headline.split()[0] for each in self.slack.messages.values()],
            [
                "PROBLEM:",
                "CHANGED:",
                "RECOVERED:",
            ],
        )

    def test_a_crash_between_sending_and_settling(self) -> None:
        """The problem is sent again as a new message, which is the incident's from then on."""
        problem = self.alert(Event.PROBLEM)
        self.send(problem, wait=0)
        self.told.clear()
        self.restart()
        self.send(problem)
        self.tell(Event.RECOVERED)
        lost, message = self.slack.parents()
        self.assertEqual((len(self.slack.thread(lost)), len(self.slack.thread(message))), (0, 1))


class UpdateTests(ThreadsCase):
    def test_news_does_not_wait_for_updates(self) -> None:
        self.tell(Event.PROBLEM)
        hanging: Deferred[None] = Deferred()
        self.slack.next["update"].append(hanging)
        self.tell(Event.RECOVERED, wait=5)
        self.assertEqual(self.slack.calls[-1], "update")
        self.tell(Event.PROBLEM, "b", wait=0.25)
        self.assertEqual(self.slack.parents()[-1].headline, "PROBLEM: b is late")

    def test_updates_follow_news(self) -> None:
        self.tell(Event.PROBLEM)
        self.tell(Event.RECOVERED, wait=1.0)
        self.assertEqual(self.slack.calls, ["post", "post"])
        self.world.pass_time(1)
        self.assertEqual(self.slack.calls, ["post", "post", "update"])

    def test_several_changes_are_one_update(self) -> None:
        self.tell(Event.PROBLEM, "abcdef")
        self.tell(Event.RECOVERED, "bcdef")
        self.assertLessEqual(self.slack.calls.count("update"), 2)

    def test_failed_updates_are_retried_and_given_up(self) -> None:
        self.tell(Event.PROBLEM)
        self.slack.next["update"].extend(["ratelimited", RequestFailed("reset"), None])
        self.tell(Event.CHANGED, wait=120)
        self.assertEqual(self.slack.calls.count("update"), 3)
        self.assertIn("CHANGED", self.slack.parents()[0].headline)
        self.slack.next["update"].extend(["fatal_error"] * 9)
        self.tell(Event.CHANGED, wait=600)
        self.assertEqual(self.slack.calls.count("update"), 6)
        self.assertEqual(self.warnings(), ["ratelimited", "fatal_error"])

    def test_an_update_refused_for_the_token_is_dropped(self) -> None:
        """A message of its own would be refused, too, and make an alert dead that was told."""
        for error in ("missing_scope", "token_revoked", "invalid_auth"):
            self.setUp()
            self.tell(Event.PROBLEM)
            self.slack.next["update"].append(error)
            self.tell(Event.CHANGED, wait=600)
            self.assertEqual(self.slack.calls.count("update"), 1)
            self.assertEqual(len(self.slack.parents()), 1)
            self.assertEqual(self.warnings(), [error])

    def test_an_update_takes_at_most_20_s(self) -> None:
        self.tell(Event.PROBLEM)
        self.slack.next["update"].append(Deferred())
        self.tell(Event.RECOVERED, wait=60)
        self.assertEqual(self.warnings(), ["no answer within 20 s"])
        self.assertIn("RECOVERED", self.slack.parents()[0].headline)

    def test_no_updates_while_messages_fail(self) -> None:
        self.tell(Event.PROBLEM)
        self.tell(Event.CHANGED, wait=1)
        self.slack.next["post"].extend([RequestFailed("down")] * 30)
        self.tell(Event.PROBLEM, "b", wait=600)
        self.assertNotIn("update", self.slack.calls)
        self.slack.next["post"].clear()
        self.world.pass_time(600, 1)
        self.assertEqual(self.slack.calls.count("update"), 1)

    def test_closing_abandons_updates(self) -> None:
        self.tell(Event.PROBLEM)
        self.slack.next["update"].append(Deferred())
        self.tell(Event.CHANGED, wait=3)
        self.assertEqual(self.slack.calls[-1], "update")
        self.queue.close()
        self.assertEqual(self.world.clock.getDelayedCalls(), [])

    def test_the_list_of_updates_is_bounded(self) -> None:
        self.patch(threads, "UPDATES", 5)
        self.patch(threads, "MESSAGES", 8)
        for number in range(12):
            self.send(msgspec.structs.replace(self.alert(Event.PROBLEM, f"t{number}"), origin=""), wait=6)
        self.slack.next["update"].append(Deferred())
        before = len(self.slack.messages)
        self.tell(Event.RECOVERED, [f"t{number}" for number in range(12)], wait=300)
        self.assertEqual(self.outcomes(), {Outcome.SENT})
        self.assertLess(self.slack.calls.count("update"), 9)
        self.assertGreater(len(self.slack.messages), before)


class SettingsTests(ThreadsCase):
    def test_without_threads(self) -> None:
        notifier = self.notifier(threads="false")
        self.assertNotIsInstance(notifier, ThreadedNotifier)
        self.assertNotIsInstance(
            channels()["slack"].notifier(HOOK_VALUES, context(self.slack, now=self.world.now)), ThreadedNotifier
        )
        self.queue = self.make(threads="false")
        self.tell(Event.PROBLEM)
        self.tell(Event.RECOVERED)
        self.assertEqual(self.slack.calls, ["post", "post"])
        self.assertEqual([each.thread for each in self.slack.messages.values()], [None, None])

    def test_threads_switched_off(self) -> None:
        self.tell(Event.PROBLEM, "ab")
        self.queue.update(self.notifier(threads="false"), 86_400, 5.0)  # type: ignore[arg-type]
        self.tell(Event.RECOVERED, "ab")
        self.assertNotIn("update", self.slack.calls)
        self.assertEqual({each.thread for each in self.slack.messages.values()}, {None})

    def test_another_channel(self) -> None:
        """What follows goes where the settings say, and is threaded there."""
        self.tell(Event.PROBLEM)
        self.queue.update(self.notifier(channel="#other"), 86_400, 5.0)  # type: ignore[arg-type]
        self.tell(Event.CHANGED)
        self.tell(Event.RECOVERED)
        old, new = self.slack.parents()
        self.assertEqual((old.channel, new.channel), ("C1", "C2"))
        self.assertEqual([each.channel for each in self.slack.thread(new)], ["C2"])

    def test_paused(self) -> None:
        self.tell(Event.PROBLEM)
        self.tell(Event.CHANGED, wait=1)
        self.queue.pause()
        self.world.pass_time(60)
        self.assertNotIn("update", self.slack.calls)
        self.queue.resume()
        self.tell(Event.RECOVERED)
        self.assertIn("update", self.slack.calls)


steps = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["flip", "change", "remind"]), st.lists(st.integers(0, 7), min_size=1, max_size=8)),
        st.tuples(st.just("wait"), st.sampled_from([0.0, 0.5, 3.0, 20.0, 100.0])),
        st.tuples(st.sampled_from(["restart", "fail"]), st.none()),
    ),
    max_size=25,
)


class StoryTests(ThreadsCase):
    """Whatever happens, an incident has one message, and that shows its present state in the end."""

    @settings(max_examples=60, deadline=None)
    @given(steps)
    def test_one_message_an_incident(self, steps: list[tuple[str, Any]]) -> None:
        self.setUp()
        kept: dict[str, Delivery] = {}
        settle = self.settle

        async def keep(delivery: Delivery, outcome: Outcome) -> None:
            if outcome is not Outcome.RETRY:
                kept.pop(delivery.alert.id, None)
            await settle(delivery, outcome)

        self.settle = keep  # type: ignore[method-assign]
        self.queue = self.make()
        started: dict[int, float] = {}
        story: dict[str, Alert] = {}
        failures = 0

        def tell(event: Event, task: int, since: float) -> None:
            made = self.alert(event, f"t{task}", since)
            story[f"t{task} {since}"] = made
            kept[made.id] = Delivery(made, "slack")
            for gone in self.queue.accept(kept[made.id]):
                kept.pop(gone.alert.id, None)

        for step, value in steps:
            match step:
                case "flip":
                    for task in dict.fromkeys(value):
                        since = started.pop(task, None)
                        if since is None:
                            started[task] = self.world.clock.seconds() + next(self.numbers)
                            tell(Event.PROBLEM, task, started[task])
                        else:
                            tell(Event.RECOVERED, task, since)
                case "change" | "remind":
                    for task in dict.fromkeys(value):
                        if task in started:
                            event = Event.CHANGED if step == "change" else Event.REMINDER
                            tell(event, task, started[task])
                case "wait":
                    self.world.pass_time(value, 0.25)
                case "fail":
                    self.slack.next["post"].append("internal_error")
                    failures += 1
                    if failures < TRIES:
                        self.slack.next["update"].append("ratelimited")
                case _:
                    # What is under way is answered at once here, so that it is settled as well.
                    self.restart()
                    for delivery in list(kept.values()):
                        self.queue.accept(delivery)
        self.world.pass_time(700, 0.5)
        # Each channel's news makes the last updates.
        self.send(Alert(id="x", event=Event.STOPPED, at=NOON, explanation=""), wait=200)
        self.assertEqual(kept, {})
        by_key: dict[str, set[str]] = defaultdict(set)
        for each in self.told_all:
            by_key[f"{each.alert.task} {each.alert.started - NOON}"].add(each.reference)  # type: ignore[operator]
        for key, references in by_key.items():
            self.assertEqual(len(references), 1, key)
        for key, (reference,) in by_key.items():
            message = self.slack.messages[reference.split(" ")[1]]
            group = [other for other, (same,) in by_key.items() if same == reference]
            latest = [story[other] for other in group]
            over = sum(alert.event is Event.RECOVERED for alert in latest)
            self.assertIsNone(message.thread)
            if over == len(group):
                self.assertIn("RECOVERED", message.headline, key)
            elif over:
                self.assertIn(f"{len(group) - over} of {len(group)} tasks", message.headline, key)
            else:
                self.assertNotIn("RECOVERED", message.headline, key)
