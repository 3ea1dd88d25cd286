"""The contract suite of the port Store; mix :class:`StoreContract` into a trial ``TestCase``."""

from __future__ import annotations

import time
from itertools import pairwise
from typing import Any

import msgspec

from pypinger.domain.kinds import Kind
from pypinger.domain.model import (
    Alert,
    Check,
    Delivery,
    Event,
    Incident,
    Outcome,
    Report,
    Reported,
    Task,
    TaskState,
    Verdict,
    Window,
)
from pypinger.domain.silence import Silence
from pypinger.ports.storing import Blind, HostSeen, Kept, Store, Told

TASK = Task(url="http://h/a?x=1", id="a1", name="a", label="http://h/a?…")
OTHER = Task(url="http://h/b", id="b2", name="b", label="http://h/b")

STATE = TaskState(
    verdict=Verdict(Kind.LATE, "late – \N{SNOWMAN}", due=1.5, next_change=None),
    report=Report(ok=True, lastrun=1.25, reason="r", sleep=(Window(0, 60.0),), process="p", server="s"),
    pings=3,
    errors=2,
    checked=10.0,
    since=9.0,
    seen=9.75,
    latency=0.25,
    row=2,
    row_started=9.0,
    incident=Incident(started=9.0, kind=Kind.LATE, reminded=9.5, alerts=1),
)

CHECK = Check(
    at=10.0,
    latency=0.25,
    finding=Reported(200, Report(ok=True, lastrun=1.25)),
    verdict=Verdict(Kind.LATE, "late", due=1.5),
)


def alert(number: int, event: Event = Event.PROBLEM, task: str = "a1") -> Alert:
    return Alert(id=f"{number:016x}", event=event, at=float(number), explanation="why", task=task, kind=Kind.LATE)


def bare(delivery: Delivery) -> Delivery:
    """The delivery before it was sent."""
    return Delivery(delivery.alert, delivery.channel)


def known(kept: Kept) -> dict[str, TaskState]:
    """The tasks of which anything is known; a shared store gives new ones, too."""
    return {key: state for key, state in kept.states.items() if state != TaskState()}


class StoreContract:
    """Needs `make`: each call returns the same store as a restarted process would open it."""

    def make(self) -> Store:
        raise NotImplementedError

    async def reopen(self, store: Store) -> tuple[Store, Any]:
        await store.close()
        again = self.make()
        return again, again.open()

    async def test_new_store(self: Any) -> None:
        kept = self.make().open()
        self.assertEqual((known(kept), list(kept.deliveries), kept.dead), ({}, [], 0))

    async def test_committed_state_and_deliveries_are_kept_in_order(self: Any) -> None:
        store = self.make()
        store.open()
        deliveries = [Delivery(alert(1), "slack"), Delivery(alert(1), "sentry"), Delivery(alert(2), "slack")]
        await store.commit(TASK, STATE, CHECK, deliveries[:2])
        await store.commit(TASK, STATE, CHECK, deliveries[2:])
        _, kept = await self.reopen(store)
        self.assertEqual(known(kept), {TASK.url: STATE})
        self.assertEqual(list(kept.deliveries), deliveries)

    async def test_noted_state_is_kept_when_closed(self: Any) -> None:
        store = self.make()
        store.open()
        store.note(TASK, TaskState(pings=1), CHECK)
        store.note(OTHER, STATE, CHECK)
        store.note(TASK, TaskState(pings=2), CHECK)
        _, kept = await self.reopen(store)
        self.assertEqual(known(kept), {TASK.url: TaskState(pings=2), OTHER.url: STATE})

    async def test_a_commit_is_not_undone_by_an_older_note(self: Any) -> None:
        store = self.make()
        store.open()
        store.note(TASK, TaskState(pings=1), CHECK)
        await store.commit(TASK, STATE, CHECK, [])
        _, kept = await self.reopen(store)
        self.assertEqual(known(kept), {TASK.url: STATE})

    async def test_alerts_of_the_daemon(self: Any) -> None:
        store = self.make()
        store.open()
        delivery = Delivery(alert(3, Event.STARTED, task=""), "slack")
        await store.enqueue([delivery])
        _, kept = await self.reopen(store)
        self.assertEqual(list(kept.deliveries), [delivery])

    async def test_sent_and_replaced_are_not_sent_again(self: Any) -> None:
        store = self.make()
        store.open()
        one, two, three = (Delivery(alert(number), "slack") for number in (1, 2, 3))
        await store.commit(TASK, STATE, CHECK, [one, two, three])
        await store.settle(one, Outcome.SENT)
        await store.settle(two, Outcome.REPLACED)
        _, kept = await self.reopen(store)
        self.assertEqual((list(kept.deliveries), kept.dead), ([three], 0))

    async def test_each_channel_is_settled_separately(self: Any) -> None:
        store = self.make()
        store.open()
        slack, sentry = Delivery(alert(1), "slack"), Delivery(alert(1), "sentry")
        await store.commit(TASK, STATE, CHECK, [slack, sentry])
        await store.settle(slack, Outcome.SENT)
        _, kept = await self.reopen(store)
        self.assertEqual(list(kept.deliveries), [sentry])

    async def test_a_change_knows_what_was_told_before_it(self: Any) -> None:
        """It has replaced others, which were not sent."""
        store = self.make()
        store.open()
        kinds = (Kind.LATE, Kind.FAILED, Kind.UNREACHABLE, Kind.INVALID)
        changes = [
            msgspec.structs.replace(alert(number, Event.CHANGED), before=before, kind=kind)
            for number, (before, kind) in enumerate(pairwise(kinds), 2)
        ]
        alerts = [alert(1), *changes[:2], alert(9, Event.REMINDER), changes[2]]
        for each in alerts:
            await store.commit(TASK, STATE, None, [Delivery(each, "slack")])
        await store.settle(Delivery(alerts[0], "slack"), Outcome.SENT)
        for each in alerts[1:-1]:
            await store.settle(Delivery(each, "slack"), Outcome.REPLACED)
        _, kept = await self.reopen(store)
        self.assertEqual([(each.alert.id, each.alert.before) for each in kept.deliveries], [(changes[2].id, Kind.LATE)])

    async def test_a_retry_keeps_attempts_words_and_time(self: Any) -> None:
        store = self.make()
        store.open()
        delivery = Delivery(alert(1), "slack")
        await store.commit(TASK, STATE, CHECK, [delivery, Delivery(alert(2), "slack")])
        tried = msgspec.structs.replace(delivery, attempts=2, words="no answer", not_before=77.5)
        await store.settle(tried, Outcome.RETRY)
        _, kept = await self.reopen(store)
        self.assertEqual(list(kept.deliveries), [tried, Delivery(alert(2), "slack")])

    async def test_progress_is_kept_until_all_is_sent(self: Any) -> None:
        store = self.make()
        store.open()
        one, two = (Delivery(alert(number), "email", 1, progress=f"\N{SNOWMAN}{number}") for number in (1, 2))
        await store.commit(TASK, STATE, CHECK, [bare(one), bare(two)])
        await store.settle(one, Outcome.RETRY)
        await store.settle(two, Outcome.DEAD)
        store, kept = await self.reopen(store)
        self.assertEqual(list(kept.deliveries), [one])
        # It is sent again by hand.
        dead = list(await store.dead())
        self.assertEqual([each.progress for each in dead], [two.progress])
        await store.enqueue(dead)
        store, kept = await self.reopen(store)
        self.assertEqual([each.progress for each in kept.deliveries], [one.progress, two.progress])
        await store.settle(msgspec.structs.replace(one, attempts=2, progress=None), Outcome.RETRY)
        _, kept = await self.reopen(store)
        self.assertEqual([each.progress for each in kept.deliveries], [None, two.progress])

    async def test_dead_deliveries_are_counted(self: Any) -> None:
        store = self.make()
        store.open()
        delivery = Delivery(alert(1), "slack")
        await store.commit(TASK, STATE, CHECK, [delivery])
        await store.settle(msgspec.structs.replace(delivery, attempts=1, words="channel_not_found"), Outcome.DEAD)
        _, kept = await self.reopen(store)
        self.assertEqual((list(kept.deliveries), kept.dead), ([], 1))

    async def test_the_same_delivery_twice_is_one(self: Any) -> None:
        store = self.make()
        store.open()
        delivery = Delivery(alert(1), "slack")
        await store.commit(TASK, STATE, CHECK, [delivery])
        await store.commit(TASK, STATE, CHECK, [delivery])
        _, kept = await self.reopen(store)
        self.assertEqual(list(kept.deliveries), [delivery])

    async def test_settling_twice_changes_nothing(self: Any) -> None:
        store = self.make()
        store.open()
        delivery = Delivery(alert(1), "slack")
        await store.commit(TASK, STATE, CHECK, [delivery])
        await store.settle(delivery, Outcome.SENT)
        await store.settle(delivery, Outcome.RETRY)
        _, kept = await self.reopen(store)
        self.assertEqual(list(kept.deliveries), [])

    async def test_what_was_told_is_kept_with_its_message(self: Any) -> None:
        store = self.make()
        store.open()
        problems = [Delivery(alert(number), "slack", 1, reference="C1 1.1") for number in (1, 2)]
        await store.commit(TASK, STATE, CHECK, [bare(problems[0])])
        await store.commit(OTHER, STATE, CHECK, [bare(problems[1])])
        for each in problems:
            await store.settle(each, Outcome.SENT)
        changed = Delivery(alert(3, Event.CHANGED), "slack", 1, reference="C1 1.1")
        reminder = Delivery(alert(4, Event.REMINDER), "slack", 1)
        await store.commit(TASK, STATE, CHECK, [bare(changed), reminder, Delivery(alert(5), "hipchat")])
        await store.settle(changed, Outcome.SENT)
        await store.settle(reminder, Outcome.SENT)
        store, kept = await self.reopen(store)
        self.assertEqual(
            {channel: list(told) for channel, told in kept.told.items()},
            {"slack": [Told("C1 1.1", problems[1].alert), Told("C1 1.1", changed.alert)]},
        )
        # The alerts are of long ago. One incident ends: the message still shows both.
        await store.commit(TASK, TaskState(pings=4), CHECK, [])
        store, kept = await self.reopen(store)
        self.assertEqual([told.alert.id for told in kept.told["slack"]], [problems[1].alert.id, changed.alert.id])
        await store.commit(OTHER, TaskState(pings=4), CHECK, [])
        _, kept = await self.reopen(store)
        self.assertEqual(dict(kept.told), {})

    async def test_what_was_told_in_the_last_hours_is_kept(self: Any) -> None:
        store = self.make()
        store.open()
        now = time.time()
        recovered = Delivery(
            msgspec.structs.replace(alert(1, Event.RECOVERED), at=now - 600), "slack", reference="C1 1"
        )
        await store.commit(TASK, TaskState(), CHECK, [bare(recovered)])
        await store.settle(recovered, Outcome.SENT)
        _, kept = await self.reopen(store)
        self.assertEqual(list(kept.told["slack"]), [Told("C1 1", recovered.alert)])

    async def test_another_message_takes_the_place_of_one(self: Any) -> None:
        """Settling what is settled changes only the reference."""
        store = self.make()
        store.open()
        delivery = Delivery(alert(1), "slack", 1, words="ok", reference="C1 1.1")
        await store.commit(TASK, STATE, CHECK, [bare(delivery)])
        await store.settle(delivery, Outcome.SENT)
        await store.settle(msgspec.structs.replace(delivery, reference="C1 2.2"), Outcome.SENT)
        store, kept = await self.reopen(store)
        self.assertEqual(list(kept.told["slack"]), [Told("C1 2.2", delivery.alert)])
        await store.settle(msgspec.structs.replace(delivery, reference="C1 3.3"), Outcome.SENT)
        await store.settle(msgspec.structs.replace(delivery, reference=None), Outcome.DEAD)
        _, kept = await self.reopen(store)
        self.assertEqual((list(kept.told["slack"]), kept.dead), ([Told("C1 3.3", delivery.alert)], 0))

    async def test_hosts(self: Any) -> None:
        store = self.make()
        store.open()
        now = time.time()
        store.hosts({"a.example": HostSeen("192.0.2.1", now - 0.123456), "b.example": HostSeen(None, now - 90_000)})
        store.hosts({"a.example": HostSeen("192.0.2.2", now), "c.example": HostSeen(None, now - 3600)})
        again, kept = await self.reopen(store)
        expected = {"a.example": HostSeen("192.0.2.2", now), "c.example": HostSeen(None, now - 3600)}
        self.assertEqual(dict(kept.hosts), expected)
        _, kept = await self.reopen(again)
        self.assertEqual(dict(kept.hosts), expected)

    async def test_blindness(self: Any) -> None:
        store = self.make()
        self.assertIsNone(store.open().blind)
        store.blindness(Blind(1.25, "no host answers"))
        store.blindness(Blind(2.5, "no host answers ☃"))
        again, kept = await self.reopen(store)
        self.assertEqual(kept.blind, Blind(2.5, "no host answers ☃"))
        self.assertIsNone(kept.clock)
        again.blindness(Blind(2.5, "no host answers"), Blind(1.5, "its clock is wrong"))
        again, kept = await self.reopen(again)
        self.assertEqual((kept.blind, kept.clock), (Blind(2.5, "no host answers"), Blind(1.5, "its clock is wrong")))
        again.blindness(None, Blind(1.5, "its clock is wrong"))
        again, kept = await self.reopen(again)
        self.assertEqual((kept.blind, kept.clock), (None, Blind(1.5, "its clock is wrong")))
        again.blindness(None)
        _, kept = await self.reopen(again)
        self.assertEqual((kept.blind, kept.clock), (None, None))

    async def test_silences(self: Any) -> None:
        store = self.make()
        self.assertEqual(store.open().silences, ())
        later = time.time() + 3600
        kept = Silence("s1", "server:db1 \N{SNOWMAN}", 10.0, later, "upgrade", "jane")
        await store.silences([kept, Silence("s2", "*", 10.0, 20.0)])
        await store.silences([kept])
        await store.close()
        self.assertEqual(list(self.make().open().silences), [kept])

    async def test_dead_deliveries_can_be_enqueued_again(self: Any) -> None:
        store = self.make()
        store.open()
        first, second = Delivery(alert(1), "slack"), Delivery(alert(2), "slack")
        await store.commit(TASK, STATE, CHECK, [first, second])
        await store.settle(msgspec.structs.replace(first, words="no_text"), Outcome.DEAD)
        await store.settle(second, Outcome.SENT)
        (dead,) = await store.dead()
        self.assertEqual((dead.alert, dead.channel, dead.words), (alert(1), "slack", "no_text"))
        await store.enqueue([dead, second])
        self.assertEqual(list(await store.dead()), [])
        await store.close()
        kept = self.make().open()
        self.assertEqual([each.alert.id for each in kept.deliveries], [alert(1).id])
        self.assertEqual(kept.dead, 0)

    async def test_channels_that_were_told_of_blindness(self: Any) -> None:
        """Those with an alert of that which lasts, sent or pending; not of an earlier one."""
        store = self.make()
        store.open()
        store.blindness(Blind(10.0, "no host answers"), Blind(20.0, "its clock is wrong"))
        deliveries = [
            Delivery(alert(number, event, ""), name)
            for number, event, name in (
                (9, Event.BLIND, "early"),
                (10, Event.BLIND, "slack"),
                (11, Event.STARTED, "hipchat"),
                (30, Event.BLIND, "email"),
            )
        ]
        await store.enqueue(deliveries)
        await store.settle(deliveries[1], Outcome.SENT)
        await store.close()
        again = self.make()
        self.assertEqual(again.open().blind_told, {"slack", "email"})
        again.blindness(None)
        await again.close()
        self.assertEqual(self.make().open().blind_told, frozenset())

    async def test_channels_whose_latest_delivery_is_dead(self: Any) -> None:
        store = self.make()
        store.open()
        deliveries = [Delivery(alert(number), name) for number in (1, 2) for name in ("slack", "hipchat")]
        await store.commit(TASK, STATE, CHECK, deliveries)
        for delivery, outcome in zip(deliveries, ["dead", "sent", "sent", "dead"], strict=True):
            await store.settle(
                msgspec.structs.replace(delivery, words=f"{outcome} {delivery.alert.id}"), Outcome(outcome)
            )
        await store.close()
        kept = self.make().open()
        self.assertEqual(kept.dead_channels, {"hipchat"})
        self.assertEqual(kept.refusals, {"hipchat": f"dead {alert(2).id}"})
