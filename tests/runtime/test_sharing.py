"""Several instances that share their tasks, on a fake clock with a store in memory."""

from __future__ import annotations

import gc
import weakref
from collections import Counter
from collections.abc import Coroutine, Sequence
from itertools import pairwise
from typing import Any

from msgspec.structs import replace
from twisted.internet.defer import Deferred, fail
from twisted.trial.unittest import SynchronousTestCase

from pypinger.domain.kinds import Kind
from pypinger.domain.model import Answer, Event, Outcome, Task, TaskState, Verdict
from pypinger.domain.pushes import Action, Ping
from pypinger.ports.notifying import DeliveryError
from pypinger.ports.pushing import PushResult, Taken
from pypinger.ports.sharing import LeaseLost, Watched
from pypinger.runtime import slices
from pypinger.runtime.control import Call, CommandError
from pypinger.runtime.pushes import PUSHES, PUSHES_WITHIN
from pypinger.runtime.watch import Watch
from tests.runtime.fakes import NOON, FakeFetcher, FakeNotifier, World, body, channels_on, make_task
from tests.runtime.instances import Life
from tests.runtime.network import Network, task_of
from tests.runtime.together import ORPHANED, Server


class SharedCase(SynchronousTestCase):
    channels: Sequence[str] = ("slack",)
    group_wait = 0.0

    def setUp(self) -> None:
        self.world = World()
        self.server = Server(self.world)
        self.tasks: list[Task] = [make_task(name) for name in "abcdefgh"]
        self.lives: dict[str, Life] = {}

    def live(self, name: str, tasks: Sequence[Task] | None = None, **options: Any) -> Life:
        life = Life(
            self.server,
            name,
            self.tasks if tasks is None else tasks,
            options.pop("channels", self.channels),
            group_wait=self.group_wait,
            **options,
        )
        self.lives[name] = life
        life.start()
        self.addCleanup(life.participant.stop)
        return life

    def both(self, **options: Any) -> tuple[Life, Life]:
        one, two = self.live("one", **options), self.live("two", **options)
        self.world.pass_time(15)
        return one, two

    def done(self, work: Coroutine[Deferred[Any], Any, Any], wait: float = 1.0) -> Any:
        doing = Deferred.fromCoroutine(work)
        self.world.pass_time(wait)
        return self.successResultOf(doing)

    def failed(self, work: Coroutine[Deferred[Any], Any, Any], kind: type[Exception], wait: float = 1.0) -> str:
        doing = Deferred.fromCoroutine(work)
        self.world.pass_time(wait)
        return str(self.failureResultOf(doing, kind).value)

    def sent(self, channel: str = "slack") -> list[tuple[str, str, str]]:
        """(instance, event, task) of each alert of a task that left."""
        return [
            (name, alert.event.value, alert.task)
            for name, life in self.lives.items()
            for alert in life.sent(channel)
            if alert.task
        ]

    def own(self, channel: str = "slack") -> list[tuple[str, str, str]]:
        """(instance, event, text) of each alert of an instance itself."""
        return [
            (name, alert.event.value, alert.explanation)
            for name, life in self.lives.items()
            for alert in life.notifiers[channel].sent
            if not alert.task
        ]

    def checked(self) -> Counter[str]:
        """How often each task was fetched."""
        return Counter(name for life in self.lives.values() for name, _ in life.fetcher.asked)


class TakingTests(SharedCase):
    def test_each_task_is_checked_by_one(self) -> None:
        one, two = self.both()
        self.assertEqual(sorted(one.watched() + two.watched()), list("abcdefgh"))
        self.assertTrue(one.watched() and two.watched())
        before = self.checked()
        self.world.pass_time(600)
        self.assertEqual(set((self.checked() - before).values()), {10})

    def test_one_alone_begins_spread_evenly(self) -> None:
        one = self.live("one")
        self.world.pass_time(12)
        starts = sorted(at for _, at in one.fetcher.asked)
        self.assertEqual(len(starts), 8)
        self.assertLess(starts[0], 1.5)
        self.assertTrue(all(later - earlier < 3 for earlier, later in pairwise(starts)))

    def test_a_stop_hands_over_with_no_check_missed_or_doubled(self) -> None:
        one, _ = self.both()
        self.world.pass_time(60)
        self.done(one.stop())
        self.world.pass_time(240)
        for name in "abcdefgh":
            times = sorted(at for life in self.lives.values() for asked, at in life.fetcher.asked if asked == name)
            gaps = [later - earlier for earlier, later in pairwise(times)]
            self.assertTrue(all(55 < gap < 62 for gap in gaps[1:]), (name, gaps))

    def test_tasks_that_are_left_are_freed_without_the_collector(self) -> None:
        """What was taken over is out of its sight: see pypinger.runtime.collector."""
        self.both()
        self.world.pass_time(60)

        def watches() -> int:
            return sum(type(each) is Watch for each in gc.get_objects())

        gc.collect()
        gc.disable()
        self.addCleanup(gc.enable)
        before = watches()
        self.server.go_away()
        self.world.pass_time(120)
        self.assertEqual(watches(), before - 8)

    def test_what_is_taken_over_leaves_the_collectors_sight_slice_by_slice(self) -> None:
        self.patch(slices, "SLICE", 2)
        self.patch(slices, "TURN", 0.0)
        one, two = self.both()
        self.assertEqual(len(one.watched()), 4)
        one.grown.clear()
        self.done(two.stop())
        self.world.pass_time(1)
        # Before the first slice, after it, when the other is seen to be gone, and after the second slice.
        self.assertEqual(one.grown, [4, 6, 6, 8])

    def test_first_states_of_others_leave_the_collectors_sight_slice_by_slice(self) -> None:
        self.patch(slices, "SLICE", 2)
        self.patch(slices, "TURN", 0.0)
        one = self.live("one")
        self.world.pass_time(15)
        one.grown.clear()
        others = [make_task(f"other{number}") for number in range(4)]
        one.board.update([*self.tasks, *others])
        state = TaskState(verdict=Verdict(Kind.OK, "it ran"))
        first = [Watched(each.key, state, "two") for each in others]
        for _ in range(2):
            one.participant.watched(first)
            self.world.pass_time(1)
        self.assertEqual(one.grown, [8, 8])

    def test_the_collector_is_prepared_when_an_instance_joins_or_leaves(self) -> None:
        """Tasks are to change hands then, though here none does."""
        one = self.live("one")
        self.world.pass_time(15)
        one.grown.clear()
        two = self.live("two", tasks=[make_task("other")])
        self.world.pass_time(15)
        self.assertEqual(one.grown, [8])
        self.done(two.stop())
        self.world.pass_time(15)
        self.assertEqual(one.grown, [8, 8])

    def test_what_failed_without_a_lease_is_freed_before_more_is_gained(self) -> None:
        one = self.live("one")
        gc.disable()
        self.addCleanup(gc.enable)
        one.participant.lost("the database cannot be reached")
        error = LeaseLost("it is over")
        error.__cause__ = error
        freed = weakref.ref(error)
        del error
        one.participant.joined()
        self.assertIsNone(freed())

    def test_what_is_overdue_is_checked_at_once(self) -> None:
        one, two = self.both()
        mine = one.watched()
        self.world.pass_time(60)
        # It hangs, so that its lease runs out.
        self.done(one.monitor.stop())
        self.world.pass_time(70)
        self.server.kill("one")
        self.world.pass_time(1)
        late = self.world.clock.seconds() - 2
        self.assertEqual({name for name, at in two.fetcher.asked if at > late}, set(mine))

    def test_a_late_owner_writes_and_sends_nothing(self) -> None:
        one, two = self.both()
        self.server.kill("one")
        commits = len([each for each in self.server.commits if each[0] == "one"])
        one.fail(*"abcdefgh")
        self.world.pass_time(120)
        self.assertEqual(len([each for each in self.server.commits if each[0] == "one"]), commits)
        self.assertEqual(self.sent(), [])
        self.assertEqual(two.watched(), list("abcdefgh"))

    def test_a_check_that_is_being_recorded_is_waited_for(self) -> None:
        one = self.live("one", tasks=self.tasks[:1])
        self.world.pass_time(12)
        one.store.slow = []
        one.fail("a")
        self.world.pass_time(60)
        (gate,) = one.store.slow
        leaving = Deferred.fromCoroutine(one.participant.leave([self.tasks[0].key], []))
        self.world.pass_time(5)
        self.assertNoResult(leaving)
        gate.callback(None)
        self.world.pass_time(1)
        self.successResultOf(leaving)
        self.assertEqual(self.sent(), [("one", "problem", "a")])
        self.assertEqual(one.watched(), [])

    def test_what_was_lost_before_it_was_taken_is_not_taken(self) -> None:
        one = self.live("one", tasks=[])
        one.reload(self.tasks)
        keys = [task.key for task in self.tasks]
        self.patch(slices, "SLICE", 2)
        self.patch(slices, "TURN", 0.0)
        one.participant.gained(self.server.kept(keys, []))
        one.participant.lost("the database cannot be reached")
        one.participant.joined()
        later = TaskState(pings=7)
        one.participant.gained(replace(self.server.kept([], []), states=dict.fromkeys(keys, later)))
        self.world.pass_time(0.5)
        self.assertEqual(one.watched(), list("abcdefgh"))
        self.assertEqual({one.entry(name).state.pings for name in "abcdefgh"}, {7})

    def test_the_incident_goes_on(self) -> None:
        one, two = self.both()
        name = one.watched()[0]
        for life in (one, two):
            life.fail(name)
        self.world.pass_time(70)
        self.done(one.stop())
        self.world.pass_time(70)
        self.assertEqual(two.entry(name).state.incident is not None, True)
        for life in (one, two):
            life.fail()
        self.world.pass_time(70)
        self.assertEqual(sorted(each[1:] for each in self.sent()), [("problem", name), ("recovered", name)])


class ReloadTests(SharedCase):
    def test_a_task_that_another_instance_lists_is_left(self) -> None:
        one, two = self.both()
        gone = one.watched()[0]
        for life in (one, two):
            life.fail(gone)
        self.world.pass_time(70)
        one.reload([task for task in self.tasks if task.name != gone])
        self.world.pass_time(5)
        self.assertIn(gone, two.watched())
        self.assertNotIn(gone, one.watched())
        self.assertEqual(self.sent(), [(self.sent()[0][0], "problem", gone)])

    def test_a_task_that_no_instance_lists_is_closed_after_a_while(self) -> None:
        one, two = self.both()
        gone = one.watched()[0]
        for life in (one, two):
            life.fail(gone)
        self.world.pass_time(70)
        rest = [task for task in self.tasks if task.name != gone]
        one.reload(rest)
        two.reload(rest)
        self.world.pass_time(ORPHANED - 10)
        self.assertEqual([event for _, event, _ in self.sent()], ["problem"])
        self.world.pass_time(20)
        self.world.pass_time(5)
        self.assertEqual([event for _, event, _ in self.sent()], ["problem", "recovered"])

    def test_a_task_that_is_given_just_when_it_is_removed_is_not_closed(self) -> None:
        one, two = self.both()
        gone = one.watched()[0]
        for life in (one, two):
            life.fail(gone)
        self.world.pass_time(70)
        key = one.entry(gone).task.key
        self.done(one.participant.leave([key], []))
        one.monitor.update([task for task in self.tasks if task.name != gone])
        one.participant.gained(self.server.kept([key], []))
        self.world.pass_time(5)
        self.assertEqual([event for _, event, _ in self.sent()], ["problem"])
        self.assertNotIn(gone, one.watched())

    def test_a_task_that_is_back_at_once(self) -> None:
        one = self.live("one")
        self.world.pass_time(12)
        one.reload(self.tasks[1:])
        one.reload(self.tasks)
        self.world.pass_time(2)
        self.assertEqual(one.watched(), list("abcdefgh"))


class ChannelReloadTests(SharedCase):
    def setUp(self) -> None:
        super().setUp()
        self.one, self.two = self.both()

        def refuse(alert: object) -> str:
            raise DeliveryError("out of order")

        for life in (self.one, self.two):
            life.fail("a")
            life.notifiers["slack"].respond = refuse
        self.world.pass_time(70)
        self.assertEqual(len(self.server.pending), 1)
        self.owner = self.lives[self.server.channel_owners["slack"]]
        self.other = self.two if self.owner is self.one else self.one

    def test_a_channel_that_another_instance_has(self) -> None:
        self.other.notifiers["slack"].respond = lambda alert: "ok"
        self.owner.reload(self.tasks, channels=["mail"])
        self.world.pass_time(60)
        self.assertEqual([alert.task for alert in self.other.sent()], ["a"])
        self.assertEqual(self.server.channel_owners["slack"], self.other.name)
        self.assertEqual((self.owner.board.undelivered, self.other.board.undelivered), (0, 0))

    def test_a_channel_that_is_given_just_when_it_is_removed_is_not_given_up(self) -> None:
        self.done(self.owner.participant.leave([], ["slack"]))
        self.owner.outbox.update(channels_on([FakeNotifier("mail")], group_wait=0.0))
        self.owner.participant.gained(self.server.kept([], ["slack"]))
        self.world.pass_time(5)
        self.assertEqual((len(self.server.pending), len(self.server.dead)), (1, 0))

    def test_a_channel_that_is_back_gets_the_problem_that_died(self) -> None:
        def refuse(alert: object) -> str:
            raise DeliveryError("no such channel", permanent=True)

        for life in (self.one, self.two):
            life.notifiers["slack"].respond = refuse
        self.world.pass_time(60)
        self.assertEqual((len(self.server.pending), len(self.server.dead)), (0, 1))
        for channels in (["mail"], ["mail", "slack"]):
            for life in (self.one, self.two):
                life.reload(self.tasks, channels=channels)
            self.world.pass_time(5)
        self.assertEqual([each[1:] for each in self.sent("slack")], [("problem", "a")])

    def test_a_channel_that_no_instance_has(self) -> None:
        for life in (self.one, self.two):
            life.reload(self.tasks, channels=["mail"])
        self.world.pass_time(ORPHANED - 10)
        self.assertEqual(len(self.server.pending), 1)
        self.world.pass_time(15)
        self.assertEqual((len(self.server.pending), len(self.server.dead)), (0, 1))
        (dead,) = self.server.dead.values()
        self.assertEqual(dead.words, "the channel is no longer configured")


class ChannelTests(SharedCase):
    channels = ("mail", "slack")

    def test_the_owner_of_a_channel_sends_what_others_cause(self) -> None:
        one, two = self.both()
        for life in (one, two):
            life.fail(*"abcdefgh")
        self.world.pass_time(70)
        for channel in self.channels:
            sent = self.sent(channel)
            self.assertEqual(sorted(task for _, _, task in sent), list("abcdefgh"))
            self.assertEqual({name for name, _, _ in sent}, {self.server.channel_owners[channel]})
        self.assertNotEqual(*self.server.channel_owners.values())
        self.assertEqual(self.server.pending, {})
        self.assertEqual(set(self.server.outcomes.values()), {Outcome.SENT})
        self.assertEqual([life.board.undelivered for life in (one, two)], [0, 0])

    def test_what_is_pending_goes_with_the_channel(self) -> None:
        one, two = self.both()

        def refuse(alert: object) -> str:
            raise DeliveryError("out of order")

        for life in (one, two):
            life.fail("a")
            life.notifiers["slack"].respond = refuse
        self.world.pass_time(70)
        self.assertEqual(len(self.server.pending), 1)
        owner = self.server.channel_owners["slack"]
        other = self.lives[{"one": "two", "two": "one"}[owner]]
        self.assertEqual(sum(life.board.undelivered for life in (one, two)), 1)
        other.notifiers["slack"].respond = lambda alert: "ok"
        self.done(self.lives[owner].stop())
        self.world.pass_time(60)
        self.assertEqual([each[1:] for each in self.sent()], [("problem", "a")])
        self.assertEqual(other.board.undelivered, 0)

    def test_a_message_under_way_is_waited_for(self) -> None:
        one = self.live("one")
        answer: Deferred[str] = Deferred()
        self.world.pass_time(12)
        one.notifiers["slack"].respond = lambda alert: answer
        one.fail("a")
        self.world.pass_time(70)
        leaving = Deferred.fromCoroutine(one.participant.leave([], ["slack"]))
        self.world.pass_time(1)
        self.assertNoResult(leaving)
        answer.callback("ok")
        self.world.pass_time(1)
        self.successResultOf(leaving)
        self.assertEqual(self.server.outcomes[one.sent()[0].id, "slack"], Outcome.SENT)

    def test_nothing_is_sent_while_the_lease_is_in_doubt(self) -> None:
        one = self.live("one")
        self.world.pass_time(12)
        one.store.alive = lambda: False  # type: ignore[method-assign]
        one.outbox.duty.share(lambda: alive)
        alive = False
        one.outbox.duty.gain(self.channels)
        asked = len(one.fetcher.asked)
        one.fail("a")
        self.done(_waited(one, self.tasks[0].key))
        self.assertEqual(len(one.fetcher.asked), asked + 1)
        self.world.pass_time(5)
        self.assertEqual(self.sent(), [])
        alive = True
        self.world.pass_time(2)
        self.assertEqual([each[1:] for each in self.sent()], [("problem", "a")])

    def test_dead_deliveries_are_counted_and_resent_everywhere(self) -> None:
        one, two = self.dead()
        self.assertEqual([life.board.daemon().dead for life in (one, two)], [2, 2])
        self.assertEqual([life.board.daemon().dead_channels for life in (one, two)], [("mail", "slack")] * 2)
        for life in (one, two):
            self.assertEqual(self.command(life, "status")["self"]["dead_channels"], ("mail", "slack"))
        self.assertFalse(one.outbox.healthy())
        self.take_messages()
        self.assertEqual(self.command(one, "resend"), {"count": 2})
        self.world.pass_time(5)
        self.assertEqual([len(self.sent(channel)) for channel in self.channels], [1, 1])
        self.assertEqual([life.board.daemon().dead for life in (one, two)], [0, 0])

    def test_a_drill_revives_the_channels_of_others(self) -> None:
        one, two = self.dead()
        self.assertEqual([len(life.outbox.duty.owned) for life in (one, two)], [1, 1])
        self.take_messages()
        self.command(one, "drill")
        self.world.pass_time(5)
        self.assertEqual([life.board.daemon().dead_channels for life in (one, two)], [(), ()])
        for channel in self.channels:
            self.assertEqual([each[1:] for each in self.sent(channel)], [("problem", "a")])

    def dead(self) -> tuple[Life, Life]:
        """Two instances, each with a channel whose latest delivery is dead."""
        one, two = self.both()

        def refuse(alert: object) -> str:
            raise DeliveryError("no such channel", permanent=True)

        for life in (one, two):
            life.fail("a")
            for notifier in life.notifiers.values():
                notifier.respond = refuse
        self.world.pass_time(75)
        return one, two

    def take_messages(self) -> None:
        for life in self.lives.values():
            for notifier in life.notifiers.values():
                notifier.respond = lambda alert: "ok"

    def command(self, life: Life, verb: str) -> Any:
        return self.done(life.commands.handlers()[verb](Call({}, "me", None)))  # type: ignore[arg-type]


async def _waited(life: Life, key: str) -> None:
    await life.monitor.check_now(key)


class StormTests(SharedCase):
    group_wait = 5.0

    def test_one_storm_is_one_group_of_messages(self) -> None:
        one, two = self.both()
        self.world.pass_time(60)
        for life in (one, two):
            life.fail(*"abcdefgh")
        self.world.pass_time(130)
        sent = [life for life in (one, two) if life.sent()]
        (owner,) = sent
        self.assertEqual(len(owner.sent()), 8)
        # Two alone, and the rest as one or two groups; the starts of the instances come before.
        self.assertLessEqual(len(owner.notifiers["slack"].messages) - 2, 4)
        for life in (one, two):
            life.fail()
        self.world.pass_time(130)
        self.assertNotIn("a", owner.outbox.storms)

    def test_the_end_that_a_silence_holds_back_ends_the_storm(self) -> None:
        one, two = self.both()
        for life in (one, two):
            life.fail("a", "b", "c", "d")
        self.world.pass_time(130)
        self.done(one.silencing.add("*", 3600.0, "", "me"))
        self.world.pass_time(2)
        for life in (one, two):
            life.fail()
        self.world.pass_time(70)
        for name in "abcd":
            self.assertNotIn(name, self.lives[self.server.channel_owners["slack"]].outbox.storms)


class BoardTests(SharedCase):
    def test_all_tasks_with_their_owners(self) -> None:
        one, two = self.both()
        self.world.pass_time(60)
        for life in (one, two):
            owners = {entry.task.name: entry.owner for entry in life.board.entries()}
            self.assertEqual(owners, {**dict.fromkeys(one.watched(), "one"), **dict.fromkeys(two.watched(), "two")})
            self.assertEqual({entry.state.kind for entry in life.board.entries()}, {Kind.OK})
            self.assertEqual({entry.unseen for entry in life.board.entries()}, {None})
            sharing = life.board.daemon().sharing
            assert sharing is not None
            self.assertEqual((sharing.here, [each.name for each in sharing.members]), (life.name, ["one", "two"]))
            self.assertEqual(sharing.away, None)
        self.assertIn(f"watching {len(one.watched())} of 8 tasks", one.board.daemon().explanation)

    def test_new_owners_are_shown_before_they_check(self) -> None:
        one, two = self.both()
        self.world.pass_time(60)
        three = self.live("three", fetcher=FakeFetcher(World()))
        self.world.pass_time(5)
        self.assertTrue(three.watched())
        for life in (one, two, three):
            owners = {entry.task.name: entry.owner for entry in life.board.entries()}
            self.assertEqual(owners, {name: each.name for each in self.lives.values() for name in each.watched()})
            self.assertEqual({entry.state.kind for entry in life.board.entries()}, {Kind.OK})

    def test_ready_counts_own_tasks(self) -> None:
        one = self.live("one")
        self.assertFalse(one.board.daemon().ready)
        self.world.pass_time(12)
        self.assertTrue(one.board.daemon().ready)

    def test_each_start_and_stop_is_announced_once(self) -> None:
        self.live("one")
        self.world.pass_time(10)
        self.live("two")
        self.world.pass_time(10)
        self.assertEqual(
            [(event, text) for _, event, text in self.own()],
            [
                ("started", "instance one joined: watching 8 of 8 tasks"),
                ("started", "instance two joined: watching 4 of 8 tasks"),
            ],
        )


class AwayTests(SharedCase):
    def test_database_away(self) -> None:
        one, two = self.both()
        for life in (one, two):
            life.fail("a")
        self.world.pass_time(70)
        self.assertEqual(len(self.sent()), 1)
        self.server.go_away()
        for life in (one, two):
            life.fail(*"abcdefgh")
        self.world.pass_time(0.5)
        fetched = self.checked()
        self.world.pass_time(180)
        self.assertEqual(self.checked(), fetched)
        self.assertEqual(len(self.sent()), 1)
        blind = [each for each in self.own() if each[1] == "blind"]
        self.assertEqual([(name, event) for name, event, _ in blind], [("one", "blind"), ("two", "blind")])
        self.assertIn("instance one: the database cannot be reached: connection refused", blind[0][2])
        for life in (one, two):
            daemon = life.board.daemon()
            self.assertEqual((daemon.status.value, daemon.ready), ("error", False))
            self.assertIn("the database cannot be reached", daemon.explanation)
            self.assertIn("the database cannot be reached", life.participant.trouble() or "")
            assert daemon.sharing is not None
            self.assertIsNotNone(daemon.sharing.away)
        self.server.come_back()
        self.world.pass_time(10)
        sighted = [each for each in self.own() if each[1] == "sighted"]
        self.assertEqual(len(sighted), 2)
        self.world.pass_time(70)
        self.assertEqual(sorted(task for _, _, task in self.sent()), list("abcdefgh"))
        self.assertEqual(one.participant.trouble(), None)
        self.assertTrue(one.board.daemon().ready)

    def test_blindness_that_ends_while_the_database_is_away_is_told_to_be_over(self) -> None:
        one = self.live("one")
        self.world.pass_time(15)
        one.checker.condition.go_blind("no route")
        self.world.pass_time(1)
        self.server.go_away()
        self.world.pass_time(600)
        one.checker.condition.see_again()
        self.world.pass_time(1)
        self.server.come_back()
        self.world.pass_time(2)
        told = [(event, "no route" in text) for _, event, text in self.own()]
        self.assertEqual(
            told, [("started", False), ("blind", True), ("blind", False), ("sighted", False), ("sighted", True)]
        )

    def test_a_loss_during_the_stop_is_not_told(self) -> None:
        one = self.live("one")
        self.world.pass_time(15)
        one.participant.stop()
        self.server.go_away()
        self.world.pass_time(60)
        self.assertEqual({event for _, event, _ in self.own()}, {"started"})

    def test_a_short_loss_is_not_told(self) -> None:
        one, two = self.both()
        self.server.go_away()
        self.world.pass_time(1)
        self.server.come_back()
        self.world.pass_time(70)
        self.assertEqual({event for _, event, _ in self.own()}, {"started"})
        self.assertEqual(sorted(one.watched() + two.watched()), list("abcdefgh"))

    def test_losses_that_follow_each_other_are_told_once(self) -> None:
        """The database gives leases, and takes no results."""
        self.both()
        for _ in range(20):
            self.server.go_away()
            self.world.pass_time(1)
            self.server.come_back()
            self.world.pass_time(6)
        blind = [name for name, event, _ in self.own() if event == "blind"]
        self.assertEqual(sorted(blind), ["one", "two"])
        self.assertNotIn("sighted", [event for _, event, _ in self.own()])
        self.world.pass_time(15)
        sighted = [text for _, event, text in self.own() if event == "sighted"]
        self.assertEqual(len(sighted), 2)
        self.assertIn("it was blind for 2 min", sighted[0])
        # The next short one is not told.
        self.world.pass_time(60)
        self.server.go_away()
        self.world.pass_time(1)
        self.server.come_back()
        self.world.pass_time(60)
        self.assertEqual(len(self.own()), 6)

    def test_the_alert_is_tried_again(self) -> None:
        one = self.live("one")
        self.world.pass_time(12)

        def refuse(alert: object) -> str:
            raise DeliveryError("out of order")

        one.notifiers["slack"].respond = refuse
        self.server.go_away()
        self.world.pass_time(5)
        one.notifiers["slack"].respond = lambda alert: "ok"
        self.world.pass_time(60)
        self.assertEqual([event for _, event, _ in self.own()], ["started", "blind"])

    def expiring(self) -> FakeNotifier:
        """The channel of an instance, whose alerts expire."""
        self.life = self.live("one")
        self.world.pass_time(12)
        slack = self.life.notifiers["slack"]
        slack.keep = slack.send  # type: ignore[attr-defined]
        return slack

    def test_the_alert_is_sent_again_where_it_would_expire(self) -> None:
        slack = self.expiring()
        self.server.go_away()
        self.world.pass_time(30)
        for error in (DeliveryError("out of order"), RuntimeError("a bug")):
            slack.respond = lambda alert, error=error: fail(error)  # type: ignore[misc]
            self.world.pass_time(60)
        slack.respond = lambda alert: "ok"
        self.world.pass_time(180)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        blind = [alert for alert in slack.tried if alert.event is Event.BLIND]
        self.assertEqual((len(blind), len({alert.id for alert in blind})), (6, 1))
        self.server.come_back()
        self.world.pass_time(120)
        self.assertEqual([event for _, event, _ in self.own()], ["started", *["blind"] * 4, "sighted"])

    def test_the_alert_is_not_sent_again_to_a_channel_that_is_off(self) -> None:
        slack = self.expiring()
        self.server.go_away()
        self.world.pass_time(30)
        self.life.outbox.update(channels_on([]))
        self.world.pass_time(300)
        self.assertEqual(len([alert for alert in slack.tried if alert.event is Event.BLIND]), 1)

    def test_a_message_under_way_is_abandoned(self) -> None:
        one = self.live("one")
        self.world.pass_time(12)
        answer: Deferred[str] = Deferred()
        one.notifiers["slack"].respond = lambda alert: answer
        one.fail("a")
        self.world.pass_time(60)
        self.assertEqual(one.board.undelivered, 1)
        self.server.go_away()
        self.assertEqual(one.board.undelivered, 0)
        one.notifiers["slack"].respond = lambda alert: "ok"
        self.world.pass_time(2)
        self.server.come_back()
        self.world.pass_time(10)
        self.assertEqual(self.sent(), [("one", "problem", "a")])
        self.assertEqual(one.board.undelivered, 0)

    def test_the_alert_is_under_way_when_the_database_is_back(self) -> None:
        one = self.live("one")
        self.world.pass_time(12)
        answer: Deferred[str] = Deferred()
        one.notifiers["slack"].respond = lambda alert: answer
        self.server.go_away()
        self.world.pass_time(5)
        one.notifiers["slack"].respond = lambda alert: "ok"
        self.server.come_back()
        self.world.pass_time(5)
        # The first may have arrived, though it was not answered.
        self.assertEqual([event for _, event, _ in self.own()], ["started", "sighted"])
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_pushes_are_refused_and_their_tasks_get_their_grace(self) -> None:
        task = Task(url=None, id="p", name="p", label="", push_key="k" * 16, frequency=1.0, grace=60.0)
        one = self.live("one", tasks=[task, *self.tasks])
        self.world.pass_time(12)
        ping = Ping(Action.SUCCESS)
        self.assertEqual(self.done(one.pushes.ping("k" * 16, ping)).taken, Taken.KEPT)
        self.server.go_away()
        self.world.pass_time(600)
        refused = self.done(one.pushes.ping("k" * 16, ping))
        self.assertEqual((refused.taken, refused.retry_after is not None), (Taken.REFUSED, True))
        self.server.come_back()
        self.world.pass_time(50)
        self.assertEqual(self.sent(), [])


class BlindTests(SharedCase):
    def test_a_blind_instance_gives_its_tasks_away_and_notices_when_it_sees(self) -> None:
        tasks = [task_of(f"host{number}") for number in range(8)]
        one = self.live("one", tasks=tasks, fetcher=(mine := Network(self.world)))
        two = self.live("two", tasks=tasks, fetcher=Network(self.world))
        self.world.pass_time(70)
        self.assertEqual(len(one.watched()), 4)
        mine.everywhere = "no route"
        self.world.pass_time(100)
        self.world.pass_time(5)
        self.assertEqual((one.watched(), len(two.watched())), ([], 8))
        blind = [text for _, event, text in self.own() if event == "blind"]
        self.assertEqual(len(blind), 1)
        self.assertTrue(blind[0].startswith("instance one: "))
        self.assertEqual(self.sent(), [])
        mine.everywhere = None
        self.world.pass_time(30)
        self.assertEqual(
            [text.partition(":")[0] for _, event, text in self.own() if event == "sighted"], ["instance one"]
        )
        self.world.pass_time(5)
        self.assertEqual(len(one.watched()), 4)


class PeopleTests(SharedCase):
    def setUp(self) -> None:
        super().setUp()
        self.one, self.two = self.both()
        for life in (self.one, self.two):
            life.fail(*"abcdefgh")
        self.world.pass_time(70)
        self.theirs = self.two.watched()[0]

    def call(self, life: Life, command: str, **arguments: object) -> Coroutine[Deferred[Any], Any, Any]:
        return life.commands.handlers()[command](Call(dict(arguments), "ann", None))  # type: ignore[return-value]

    def test_an_acknowledgement_goes_to_the_owner(self) -> None:
        self.assertEqual(self.done(self.call(self.one, "ack", task=self.theirs)), {"task": self.theirs})
        for life in (self.one, self.two):
            incident = life.entry(self.theirs).state.incident
            assert incident is not None
            assert incident.acknowledged is not None
            self.assertEqual(incident.acknowledged.by, "ann")

    def test_what_the_owner_refuses(self) -> None:
        self.two.fail()
        self.world.pass_time(70)
        words = self.failed(self.call(self.one, "ack", task=self.theirs), CommandError)
        self.assertIn("has no open incident", words)

    def test_a_task_without_an_owner(self) -> None:
        self.server.owners.pop(self.two.entry(self.theirs).task.key)
        # The task has no owner.
        self.server.away = True
        words = self.failed(self.call(self.one, "ack", task=self.theirs), CommandError, wait=5.0)
        self.assertEqual(words, "no instance watches the task now")

    def test_a_task_that_changes_hands_is_waited_for(self) -> None:
        key = self.two.entry(self.theirs).task.key
        del self.server.owners[key]
        self.server.away = True
        doing = Deferred.fromCoroutine(self.call(self.one, "ack", task=self.theirs))
        self.world.pass_time(1)
        self.assertNoResult(doing)
        self.server.owners[key] = "two"
        self.world.pass_time(1)
        self.assertEqual(self.successResultOf(doing), {"task": self.theirs})

    def test_a_check_is_made_by_the_owner(self) -> None:
        before = len(self.two.fetcher.times(self.theirs))
        answer = self.done(self.call(self.one, "check-now", task=self.theirs))
        self.assertEqual((answer["task"], answer["kind"]), (self.theirs, Kind.FAILED))
        self.assertEqual(len(self.two.fetcher.times(self.theirs)), before + 1)

    def test_a_check_that_takes_long_is_waited_for(self) -> None:
        answer: Deferred[Answer] = Deferred()
        self.two.fetcher.answer = lambda task: answer
        doing = Deferred.fromCoroutine(self.call(self.one, "check-now", task=self.theirs))
        self.world.pass_time(15)
        self.assertNoResult(doing)
        answer.callback(Answer(200, body(self.world.now()), 15.0))
        self.world.pass_time(1)
        self.assertEqual(self.successResultOf(doing)["kind"], Kind.OK)

    def test_a_silence_mutes_everywhere(self) -> None:
        self.done(self.call(self.one, "silence", selector="*", seconds=3600.0))
        for life in (self.one, self.two):
            self.assertIsNotNone(life.entry(self.theirs).muted)
        (silence,) = self.two.silencing.listed()
        self.done(self.call(self.two, "unsilence", id=silence.id))
        self.assertIsNone(self.one.entry(self.theirs).muted)

    def test_a_silence_is_refused_without_a_lease(self) -> None:
        self.one.store.leased = False
        doing = Deferred.fromCoroutine(self.call(self.one, "silence", selector="*", seconds=3600.0))
        self.failureResultOf(doing)
        self.assertEqual(self.one.silencing.listed(), [])

    def test_a_push_goes_to_the_owner(self) -> None:
        tasks = [
            Task(url=None, id=name, name=name, label="", push_key=name * 16, frequency=10.0) for name in ("p", "q")
        ]
        for life in (self.one, self.two):
            life.pushes.update(tasks, 65_536)
            life.reload([*tasks, *self.tasks])
        self.world.pass_time(2)
        owners = {self.server.owners[task.key] for task in tasks}
        self.assertEqual(owners, {"one", "two"})
        for task in tasks:
            assert task.push_key is not None
            result = self.done(self.one.pushes.ping(task.push_key, Ping(Action.FAIL, body=b"disk \xff full")))
            self.assertEqual(result.taken, Taken.KEPT)
            report = b'{"status": "ok", "lastrun": "2026-11-02T12:00:00Z"}'
            self.assertEqual(self.done(self.two.pushes.report(task.push_key, report, whole=True)).taken, Taken.KEPT)
        for life in (self.one, self.two):
            for task in tasks:
                self.assertEqual(life.entry(task.name).state.report.lastrun, NOON)  # type: ignore[union-attr]
        self.assertEqual(self.server.states[tasks[0].key].pings, 2)

    def test_pushes_are_counted_wherever_they_arrive(self) -> None:
        task = Task(url=None, id="p", name="p", label="", push_key="p" * 16, frequency=10.0)
        for life in (self.one, self.two):
            life.pushes.update([task], 65_536)
            life.reload([task, *self.tasks])
        self.world.pass_time(2)

        def pinged(action: Action = Action.SUCCESS) -> list[PushResult]:
            return [self.done(life.pushes.ping("p" * 16, Ping(action)), 0.3) for life in (self.one, self.two)]

        began = self.world.now()
        for _ in range(PUSHES // 2):
            self.assertEqual([each.taken for each in pinged()], [Taken.KEPT] * 2)
        results = pinged()
        self.assertLess(self.world.now(), began + PUSHES_WITHIN)
        self.assertEqual([each.taken for each in results], [Taken.LIMITED] * 2)
        for each in results:
            assert each.retry_after is not None
            self.assertGreater(each.retry_after, 0)
        self.assertEqual([each.taken for each in pinged(Action.FAIL)], [Taken.KEPT] * 2)
        self.assertEqual(self.server.states[task.key].pings, PUSHES + 2)
        self.world.pass_time(PUSHES_WITHIN)
        self.assertEqual([each.taken for each in pinged()], [Taken.KEPT] * 2)


class ReminderTests(SharedCase):
    def test_reminders_come_from_the_owner_once(self) -> None:
        one, two = self.both()
        for life in (one, two):
            life.fail("a", "h")
        self.world.pass_time(600)
        events = Counter((event, task) for _, event, task in self.sent())
        self.assertEqual(
            events,
            {(event, task): 1 for event in (Event.PROBLEM.value, Event.REMINDER.value) for task in ("a", "h")},
        )


class SeldomTests(SharedCase):
    """Tasks that are checked once an hour, and taken over in between."""

    unmeasured = True

    def setUp(self) -> None:
        super().setUp()
        self.tasks = [make_task(name, interval=3600.0, frequency=10_000.0) for name in "abcd"]
        one, two = self.both()
        self.name = one.watched()[0]
        for life in (one, two):
            life.fail(self.name)
        self.world.pass_time(3600)
        self.assertEqual([each[1:] for each in self.sent()], [("problem", self.name)])
        self.one, self.two = one, two

    def test_a_reminder_that_falls_due_meanwhile(self) -> None:
        self.world.pass_time(465)
        # It hangs, so that its lease runs out.
        self.done(self.one.monitor.stop())
        self.world.pass_time(10)
        self.server.kill("one")
        self.world.pass_time(10)
        self.assertEqual([each[1:] for each in self.sent()], [("problem", self.name), ("reminder", self.name)])

    def test_a_silence_that_ends_later(self) -> None:
        self.done(self.two.silencing.add(f"name:{self.name}", 1000.0, "", "me"))
        self.done(self.one.stop())
        self.world.pass_time(900)
        self.assertEqual(len(self.sent()), 1)
        self.world.pass_time(120)
        self.assertEqual([each[1:] for each in self.sent()], [("problem", self.name), ("reminder", self.name)])

    def test_what_was_checked_since_the_start_is_ready(self) -> None:
        self.done(self.one.stop())
        self.world.pass_time(5)
        self.assertEqual(self.two.watched(), list("abcd"))
        self.assertTrue(self.two.board.daemon().ready)


class OwnStateTests(SharedCase):
    """The state of an instance is that of the tasks that it watches."""

    unmeasured = True

    def setUp(self) -> None:
        super().setUp()
        self.tasks = [make_task(name, interval=3600.0 if name in "aceg" else 60.0) for name in "abcdefgh"]
        self.one, self.two = self.both()
        self.assertEqual(self.one.watched(), list("aceg"))
        self.world.pass_time(1800)

    def test_how_often_it_checks(self) -> None:
        seldom, often = (life.board.daemon() for life in (self.one, self.two))
        self.assertEqual((round(seldom.frequency), round(often.frequency, 2)), (120, 2.33))

    def test_tasks_taken_over_do_not_make_checks_stuck(self) -> None:
        self.assertIsNone(self.one.monitor.stuck())
        self.done(self.two.stop(), 0.1)
        self.assertTrue(set("bdfh") & set(self.one.watched()))
        self.assertIsNone(self.one.monitor.stuck())
        self.assertGreater(self.one.board.daemon().lastrun, self.world.now() - 60)


class RoundTests(SharedCase):
    group_wait = 5.0

    def test_all_instances_check_a_host_that_falls_silent(self) -> None:
        networks = {name: Network(self.world) for name in ("one", "two")}
        tasks = [*(task_of("host", str(number)) for number in range(12)), task_of("other"), task_of("third")]
        for name, network in networks.items():
            self.live(name, tasks=tasks, fetcher=network)
        self.world.pass_time(110)
        for network in networks.values():
            network.modes["host"] = "refused"
        self.world.pass_time(20)
        owner = self.lives[self.server.channel_owners["slack"]]
        self.assertEqual(len(owner.sent()), 12)
        # The first alone, and the others of both instances in one; the starts come before.
        self.assertEqual(len(owner.notifiers["slack"].messages) - 2, 2)
