"""Instances that join, leave, die, and take over from each other (contract, section 8, "Several machines")."""

from __future__ import annotations

import time
from itertools import count
from multiprocessing.pool import ThreadPool
from threading import Event, Thread
from typing import Any

from psycopg import Connection
from psycopg.errors import LockNotAvailable
from psycopg.pq import TransactionStatus
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from pypinger.domain.identity import task_of
from pypinger.domain.kinds import Kind, Status
from pypinger.domain.model import Delivery, Incident, Outcome, TaskState
from pypinger.domain.silence import Silence
from pypinger.ports.sharing import InstanceHealth, InstanceListing, LeaseLost
from pypinger.store.postgres import beats, feeds, holding, lease, listening, membership, others, view
from pypinger.store.postgres.connection import connect
from pypinger.store.postgres.keys import add_rows
from pypinger.store.postgres.states import KnownStates
from pypinger.store.postgres.store import PostgresStore
from pypinger.store.postgres.upgrading import scripts, upgrade
from pypinger.store.rows import encode
from tests import postgres
from tests.store.postgres import emptied
from tests.store.postgres.members import Crowd, Runtime, alert, check, keys, listing, sleep, task, until


def keep_busy(seconds: float) -> None:
    """Let the reactor do nothing else."""
    time.sleep(seconds)


class MembershipTests(TestCase):
    skip = postgres.missing()
    timeout = 120

    def setUp(self) -> None:
        self.crowd = Crowd(self, emptied.database())

    async def test_a_lone_instance_owns_everything_when_it_opens(self) -> None:
        a = self.crowd.join("a", listing(30))
        self.assertEqual(a.states, dict.fromkeys(keys(30), TaskState()))
        self.assertEqual(a.channels, {"slack", "email"})
        self.assertTrue(a.store.alive())
        self.assertEqual((a.store.name, a.store.owner(task(3).key)), ("a", "a"))
        await until(lambda: a.instances)
        (instance,) = a.instances
        self.assertEqual((instance.name, instance.digest), ("a", "d"))

    async def test_a_second_instance_gets_its_share(self) -> None:
        a = self.crowd.join("a", listing(300))
        state = TaskState(pings=7)
        for number in range(300):
            a.store.note(task(number), state, check())
        b = self.crowd.join("b", listing(300))
        await until(lambda: len(a.states) + len(b.states) == 300 and len(b.states) > 100)
        self.assertFalse(a.states.keys() & b.states.keys())
        self.assertEqual({state.pings for state in b.states.values()}, {7})
        key = next(iter(b.states))
        await until(lambda: a.store.owner(key) == "b")
        await until(lambda: key in a.seen and a.seen[key].owner == "b")
        number = next(number for number in range(300) if task(number).key == key)
        await b.store.commit(task(number), TaskState(pings=8), None, [])
        await until(lambda: a.seen[key].state == TaskState(pings=8))

    async def test_tasks_that_are_to_be_gained_are_not_shown_first(self) -> None:
        self.patch(listening, "MOVING", 60.0)
        a = self.crowd.join("a", listing(300))
        b = self.crowd.join("b", listing(300))
        await until(lambda: len(a.states) + len(b.states) == 300 and len(b.states) > 100)
        await until(lambda: a.states.keys() <= b.seen.keys())
        self.assertFalse(b.states.keys() & b.seen.keys())

    async def test_tasks_are_shown_though_others_cannot_be_gained(self) -> None:
        self.patch(listening, "MOVING", 0.2)
        a = self.crowd.join("a", listing(40))
        a.leaving = Deferred()
        b = self.crowd.join("b", listing(40))
        await until(lambda: keys(40) == b.seen.keys())
        self.assertFalse(b.states)
        a.leaving.callback(None)
        await until(lambda: b.states)

    async def test_only_owners_that_have_changed_are_passed_on_without_states(self) -> None:
        a = self.crowd.join("a", listing(40))
        b = self.crowd.join("b", listing(40))
        await until(lambda: len(a.states) + len(b.states) == 40 and len(b.states) > 5)
        await until(lambda: a.states.keys() <= b.seen.keys())
        await until(lambda: all(a.store.owner(key) == "b" for key in b.states))
        c = self.crowd.join("c", listing(40))
        await until(lambda: len(a.states) + len(b.states) + len(c.states) == 40 and len(c.states) > 5)
        await until(lambda: all(b.store.owner(key) == "c" for key in c.states))
        self.assertEqual([b.seen[key].state for key in c.states], [None] * len(c.states))
        await c.store.close()
        await until(lambda: len(a.states) + len(b.states) == 40)
        await until(lambda: all(b.store.owner(key) == "a" for key in a.states))

    async def test_looks_wait_while_tasks_are_left(self) -> None:
        self.patch(listening, "MOVING", 60.0)
        a = self.crowd.join("a", listing(40))
        b = self.crowd.join("b", listing(40))
        await until(lambda: len(a.states) + len(b.states) == 40 and b.states)
        await until(lambda: b.states.keys() <= a.seen.keys())
        await until(lambda: len(a.channels) + len(b.channels) == 2)
        a.said.clear()
        a.leaving = Deferred()
        c = self.crowd.join("c", listing(40))
        await until(lambda: c.states and any(what == "leave" and part[0] for what, part in a.said))
        await until(lambda: b.words().count("leave") == 1 and not b.store.trouble())
        number = next(number for number in range(40) if task(number).key in b.states)
        await b.store.commit(task(number), TaskState(pings=5), None, [])
        await sleep(0.6)
        self.assertNotEqual(a.seen[task(number).key].state, TaskState(pings=5))
        a.leaving.callback(None)
        await until(lambda: a.seen[task(number).key].state == TaskState(pings=5))

    async def test_what_is_gained_is_loaded_without_the_lock_of_membership(self) -> None:
        self.crowd.join("a", listing(3))
        locked = {}

        def watch(name: str) -> Any:
            real = getattr(holding, name)

            def load(connection: Connection, *args: Any) -> Any:
                locked.setdefault(name, connection.info.transaction_status)
                return real(connection, *args)

            return load

        # Nothing is known of the tasks.
        self.patch(KnownStates, "read", lambda *_: None)
        for name in ("load_channels", "load_tasks"):
            self.patch(holding, name, watch(name))
        self.crowd.join("b", listing(3, channels=["hipchat"]))
        await until(lambda: len(locked) == 2)
        self.assertEqual(set(locked.values()), {TransactionStatus.IDLE})

    async def test_a_clean_stop_hands_over_at_once(self) -> None:
        # Not when the lease ends.
        for module in (lease, view):
            self.patch(module, "TTL", 600.0)
        self.patch(membership, "_UNTIL", "clock_timestamp() + interval '600 s'")
        a = self.crowd.join("a", listing(50))
        b = self.crowd.join("b", listing(50))
        await until(lambda: len(a.states) + len(b.states) == 50 and b.states)
        await a.store.close()
        await until(lambda: len(b.states) == 50 and len(b.channels) == 2)
        self.assertNotIn("lost", b.words())

    async def test_deliveries_reach_the_owner_of_the_channel(self) -> None:
        a = self.crowd.join("a", listing(50))
        b = self.crowd.join("b", listing(50))
        await until(lambda: len(a.states) + len(b.states) == 50 and len(a.channels) + len(b.channels) == 2 and b.states)
        for number in range(50):
            key = task(number).key
            owner = a if key in a.states else b
            sent = [Delivery(alert(f"{number}"), name) for name in ("slack", "email")]
            self.assertTrue(await owner.store.commit(task(number), TaskState(pings=1), check(), sent))
            for each in sent:
                if each.channel in owner.channels:
                    owner.pending[each.alert.id, each.channel] = each
        await until(lambda: len(a.pending) + len(b.pending) == 100, 10)
        await sleep(2)
        self.assertEqual(len(a.pending) + len(b.pending), 100)

    async def test_earlier_alerts_of_a_gained_task_come_before_it(self) -> None:
        a = self.crowd.join("a", listing(20, ["slack"]))
        b = self.crowd.join("b", listing(20, []))
        await until(lambda: len(a.states) + len(b.states) == 20 and b.states and "slack" in a.channels)
        look = listening.Listening._look_at_deliveries
        self.patch(others, "CATCHING_UP", 60.0)

        def slowly(self: Any, connection: Connection) -> None:
            time.sleep(2.4)
            look(self, connection)

        self.patch(listening.Listening, "_look_at_deliveries", slowly)
        number = next(number for number in range(20) if task(number).key in b.states)
        sent = Delivery(alert("earlier"), "slack")
        self.assertTrue(await b.store.commit(task(number), TaskState(pings=1), check(), [sent]))
        await b.store.close()
        await until(lambda: len(a.states) == 20)
        came = a.words().index("delivered")
        gained = [
            place for place, (what, part) in enumerate(a.said) if what == "gained" and task(number).key in part.states
        ]
        self.assertLess(came, gained[0])

    async def test_alerts_do_not_wait_until_all_tasks_are_shown(self) -> None:
        self.patch(feeds, "PAGE", 1)
        self.crowd.join("a", listing(100, ()))
        b = self.crowd.join("b", InstanceListing(frozenset(), frozenset({"slack"})))
        other = self.enterContext(connect(self.crowd.url, "other"))
        insert = (
            "INSERT INTO delivery (alert, channel, at, body, attempts, not_before, words)"
            " VALUES ('x', 'slack', 1, %s, 0, 0, '')"
        )
        parts = 0

        def watched(_: object) -> None:
            nonlocal parts
            parts += 1
            if parts == 1:
                other.execute(insert, (encode(alert("x")),))
            time.sleep(0.01)

        b.watched = watched  # type: ignore[method-assign]
        await until(lambda: b.pending)
        self.assertLess(parts, 90)

    async def test_the_second_of_a_name_gets_a_number(self) -> None:
        a = self.crowd.join("a", listing(10))
        b = self.crowd.join("a", listing(10))
        self.assertEqual((a.store.name, b.store.name), ("a", "a-2"))
        await until(lambda: len(a.states) + len(b.states) == 10 and len(a.instances) == 2)

    async def test_a_name_is_free_once_the_instance_that_has_it_is_gone(self) -> None:
        self.crowd.join("b", listing(10))
        before = lease.boottime()
        self._namesake(2.0)
        self.assertEqual(self.crowd.join("a", listing(10)).store.name, "a")
        self.assertGreater(lease.boottime(), before + 1)

    async def test_an_instance_of_another_machine_that_has_the_name(self) -> None:
        self.crowd.join("b", listing(10))
        self._namesake(60.0)
        joined = Event()

        def renew() -> None:
            for seconds in count(61):
                if joined.wait(0.5):
                    return
                self._namesake(seconds)

        renewal = Thread(target=renew)
        renewal.start()
        try:
            self.assertEqual(self.crowd.join("a", listing(10)).store.name, "a-2")
        finally:
            joined.set()
            renewal.join()

    async def test_a_name_is_free_though_the_clock_of_the_server_was_set_back(self) -> None:
        self.patch(view, "TTL", 1.0)
        self.crowd.join("b", listing(10))
        self._namesake(3600.0)
        self.assertEqual(self.crowd.join("a", listing(10)).store.name, "a")

    def _namesake(self, seconds: float) -> None:
        """Have an instance of another machine, called a, whose lease ends in so many seconds."""
        with connect(self.crowd.url, "a") as opened:
            opened.execute(
                "INSERT INTO instance (id, name, until, process, digest, listed, tasks, channels)"
                " VALUES ('x', 'a', clock_timestamp() + %s * interval '1 s', '', '', '', '[]', '[]')"
                " ON CONFLICT (id) DO UPDATE SET until = excluded.until",
                (seconds,),
            )

    async def test_blind_instances_give_their_tasks_away(self) -> None:
        since: list[float] = []
        a = self.crowd.join("a", listing(60), lambda: InstanceHealth(blind=since[0] if since else None))
        b = self.crowd.join("b", listing(60))
        await until(lambda: len(a.states) + len(b.states) == 60 and len(b.states) > 5 and len(a.states) > 5)
        since.append(1000.0)
        await until(lambda: len(b.states) == 60 and len(b.channels) == 2, 10)
        since.clear()
        await until(lambda: len(a.states) > 5 and len(a.states) + len(b.states) == 60, 10)

    async def test_a_task_that_one_file_lists_stays_with_it(self) -> None:
        a = self.crowd.join("a", listing(40))
        b = self.crowd.join("b", listing(20, digest="e"))
        await until(lambda: len(a.states) + len(b.states) == 40 and len(b.states) > 3)
        self.assertLessEqual(b.states.keys(), keys(20))
        await until(lambda: {each.digest for each in a.instances} == {"d", "e"})
        # A reload lists more.
        b.store.list(listing(40))
        await until(lambda: b.states.keys() - keys(20))
        await until(lambda: len(a.states) + len(b.states) == 40)

    async def test_tasks_that_a_reload_adds_are_shown_wherever_they_are_checked(self) -> None:
        a = self.crowd.join("a", listing(40))
        b = self.crowd.join("b", listing(20, digest="e"))
        await until(lambda: len(a.states) + len(b.states) == 40 and b.states)
        await until(lambda: a.states.keys() <= b.seen.keys())
        b.seen.clear()
        b.store.list(listing(40))
        await until(lambda: b.states.keys() - keys(20) and keys(40) <= b.states.keys() | b.seen.keys(), 10)

    async def test_tasks_that_nobody_lists_are_closed_by_somebody(self) -> None:
        self.patch(membership, "UNLISTED", 1.0)
        self.patch(holding, "ORPHANS", 0.2)
        a = self.crowd.join("a", listing(3, ["slack", "email"]))
        opened = TaskState(incident=Incident(1000.0, Kind.LATE, 1000.0, 1))
        sent = Delivery(alert("old"), "slack")
        await a.store.commit(task(0), opened, check(), [sent])
        b = self.crowd.join("b", InstanceListing(frozenset(), frozenset({"email"})))
        await a.store.close()
        await until(lambda: b.states and "slack" in b.channels, 10)
        self.assertEqual(b.states, {task(0).key: opened})
        self.assertEqual(
            {key for what, part in b.said if what == "gained" for key in part.unlisted}, {task(0).key, "slack"}
        )
        await until(lambda: b.pending == {("old", "slack"): sent})
        await b.store.commit(task(0), TaskState(), None, [])
        await b.store.settle(sent, Outcome.DEAD)
        # Once listed, it goes to who lists it.
        c = self.crowd.join("c", listing(3, ["slack"]))
        await until(lambda: len(c.states) == 3 and c.channels == {"slack"} and not b.states, 10)
        self.assertEqual(c.states[task(0).key], TaskState())

    async def test_gained_tasks_come_in_parts(self) -> None:
        self.patch(holding, "GAINED", 20)
        a = self.crowd.join("a", listing(100))
        self.assertEqual(len(a.states), 100)
        b = self.crowd.join("b", listing(100))
        await until(lambda: len(b.states) > 25 and len(a.states) + len(b.states) == 100)
        await b.store.close()
        await until(lambda: len(a.states) == 100)
        parts = [part.states for what, part in a.said if what == "gained"]
        self.assertTrue(all(len(states) <= 20 for states in parts))

    async def test_opening_may_take_longer_than_a_lease(self) -> None:
        self.patch(lease, "BEAT", 0.1)
        self.patch(holding, "GAINED", 10)
        take = membership.take_tasks

        def slowly(*args: Any, **options: Any) -> list[int]:
            # Five times; on a busy machine each takes longer.
            time.sleep(1.3)
            return take(*args, **options)

        self.patch(membership, "take_tasks", slowly)
        a = self.crowd.join("a", listing(50))
        self.assertEqual(len(a.states), 50)
        self.assertTrue(a.store.alive())

    async def test_the_lease_is_held_while_the_reactor_is_busy_with_the_start(self) -> None:
        self.patch(beats, "BEAT", 0.3)
        store = PostgresStore(reactor, self.crowd.url, name="a", keep_days=90)  # type: ignore[arg-type]
        store.list(listing(5))
        kept = store.open()
        self.addCleanup(lambda: Deferred.fromCoroutine(store.close()))
        store.hold()
        keep_busy(lease.TTL - 0.5)
        self.assertTrue(store.alive())
        member = Runtime(store, kept)
        store.start(member, InstanceHealth)
        self.assertTrue(await store.commit(task(0), TaskState(pings=1), check(), []))
        self.assertNotIn("lost", member.words())

    async def test_a_task_is_released_only_when_its_work_has_ended(self) -> None:
        a = self.crowd.join("a", listing(60))
        a.leaving = Deferred()
        b = self.crowd.join("b", listing(60))
        await until(lambda: "leave" in a.words())
        await sleep(2.5)
        self.assertEqual(b.states, {})
        (left,) = [tasks for what, (tasks, _) in a.said if what == "leave"]
        ended = Deferred.fromCoroutine(a.store.commit(task_of(left[0]), TaskState(pings=9), check(), []))
        a.leaving.callback(None)
        a.leaving = None
        self.assertTrue(await ended)
        await until(lambda: left[0] in b.states)
        self.assertEqual(b.states[left[0]].pings, 9)

    async def test_commits_for_tasks_of_others_are_refused(self) -> None:
        a = self.crowd.join("a", listing(30))
        b = self.crowd.join("b", listing(30))
        await until(lambda: len(a.states) + len(b.states) == 30 and b.states and a.states)
        other, own = task_of(next(iter(b.states))), task_of(next(iter(a.states)))
        kept = Deferred.fromCoroutine(a.store.commit(own, TaskState(pings=1), check(), []))
        with self.assertRaises(LeaseLost):
            await a.store.commit(other, TaskState(pings=1), check(), [])
        self.assertTrue(await kept)
        self.assertTrue(a.store.alive())

    async def test_silences_of_several_instances(self) -> None:
        a = self.crowd.join("a", listing(3))
        b = self.crowd.join("b", listing(3))
        first, second, third = (Silence(id, "name:x", 1.0, 9e9, "because", "me") for id in ("s1", "s2", "s3"))
        one, two = (Deferred.fromCoroutine(x.store.silences([y])) for x, y in ((a, first), (b, second)))
        await one
        await two
        await until(lambda: set(a.present) == {first, second} == set(b.present))
        await a.store.silences([second, third])
        await until(lambda: set(b.present) == {second, third})
        c = self.crowd.join("c", listing(3))
        self.assertEqual(set(c.present), {second, third})

    async def test_health_is_shown_to_all(self) -> None:
        self.crowd.join(
            "a", listing(30), lambda: InstanceHealth(Status.ERROR, "ill \0 \ud800", 5.0, "1.0", undelivered=3)
        )
        b = self.crowd.join("b", listing(30))
        await until(lambda: [each.name for each in b.instances] == ["a", "b"])
        ill = await until(lambda: b.instances[0].health if b.instances[0].health.undelivered else None)
        self.assertEqual((ill.status, ill.started, ill.version), (Status.ERROR, 5.0, "1.0"))
        await until(lambda: sum(each.tasks for each in b.instances) == 30)
        await until(lambda: sorted(b.instances[0].channels + b.instances[1].channels) == ["email", "slack"])

    async def test_common_clock(self) -> None:
        a = self.crowd.join("a", listing(1))
        self.assertLess(abs(a.store.now() - time.time()), 2)
        self.patch(time, "time", lambda: 12345.0)
        self.assertGreater(a.store.now(), 1e9)


class StatementTests(TestCase):
    skip = postgres.missing()

    def join(self, url: str, first: Connection, second: Connection) -> list[int]:
        """Let instances `a` and `b` join; returns the ids of four tasks that are free."""
        upgrade(first, url, scripts())
        # On a busy machine a transaction may stay open for long, and who waits for it.
        for connection in (first, second):
            for limit in ("idle_in_transaction_session_timeout", "statement_timeout", "lock_timeout"):
                connection.execute(f"SET {limit} = 0".encode())
        for name, connection in (("a", first), ("b", second)):
            membership.join(connection, name, view.applicant(name, listing(4)), {})
        add_rows(first, keys(4), ["slack"], {})
        return sorted(membership.free_tasks(first, {}).values())

    def test_tasks_are_gained_while_others_are_released(self) -> None:
        url = emptied.database()
        with connect(url, "a") as first, connect(url, "b") as second:
            ids = self.join(url, first, second)
            mine, free = ids[:2], ids[2:]
            self.assertCountEqual(membership.take_tasks(first, "a", mine, fenced=True), mine)
            second.execute("SET lock_timeout = '100ms'")
            with first.transaction():
                membership.release(first, "a", mine, [])
                # Those that are being released are not free yet.
                self.assertCountEqual(membership.take_tasks(second, "b", ids, fenced=True), free)
                self.assertEqual(membership.take_channels(second, "b", ["slack"], fenced=True), {"slack": 1})
                for change in (
                    lambda: membership.join(second, "c", view.applicant("c", listing(4)), {}),
                    lambda: membership.bury(second, {}),
                    lambda: membership.quit(second, "b"),
                ):
                    with self.assertRaises(LockNotAvailable):
                        change()
            self.assertCountEqual(membership.take_tasks(second, "b", ids, fenced=True), ids)

    def test_two_gain_the_same_tasks(self) -> None:
        url = emptied.database()
        with connect(url, "a") as first, connect(url, "b") as second:
            ids = self.join(url, first, second)
            with ThreadPool() as pool:
                with first.transaction():
                    self.assertCountEqual(membership.take_tasks(first, "a", ids, fenced=True), ids)
                    waiting = pool.apply_async(membership.take_tasks, (second, "b", ids), {"fenced": True})
                    query = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
                    with connect(url, "looks") as looking:
                        while not looking.execute(query).fetchone():
                            time.sleep(0.01)
                self.assertEqual(waiting.get(), {})

    def test_what_an_instance_lists_is_read_as_of_its_row(self) -> None:
        url = emptied.database()
        with connect(url, "a") as opened:
            upgrade(opened, url, scripts())
            membership.join(opened, "id", view.applicant("a", listing(2)), {})
            (row,) = membership.rows(opened)
            self.assertEqual(membership.listing_of(opened, row), (keys(2), {"slack", "email"}))
            membership.relist(opened, "id", view.applicant("a", listing(3)))
            self.assertIsNone(membership.listing_of(opened, row))
