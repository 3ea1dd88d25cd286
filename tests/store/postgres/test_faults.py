"""What instances do while the database is away, and what they cannot do afterwards (contract, section 8)."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, DeferredList, gatherResults
from twisted.trial.unittest import TestCase

from pypinger.domain.kinds import Kind
from pypinger.domain.model import Alert, Check, Delivery, Event, Invalid, Outcome, Report, TaskState, Verdict
from pypinger.ports.sharing import InstanceRequest, LeaseLost
from pypinger.ports.storing import Blind
from pypinger.store.postgres import lease as leases
from pypinger.store.postgres.lease import Lease
from tests import postgres
from tests.stopwatch import Stopwatch
from tests.store.postgres.members import Crowd, Runtime, alert, check, listing, sleep, task, until
from tests.store.postgres.proxy import Proxy


class ServerTests(TestCase):
    """With a server that is stopped and started."""

    unmeasured = True
    skip = postgres.missing()
    timeout = 180

    def setUp(self) -> None:
        self.server = postgres.Server()
        self.addCleanup(self.server.remove)
        self.server.start()
        self.crowd = Crowd(self, self.server.url(self.server.create()))

    async def test_a_restart_within_the_lease_loses_nothing(self) -> None:
        a = self.crowd.join("a", listing(20))
        await until(lambda: a.instances)
        for end in (self.server.stop, self.server.kill):
            # On a busy machine the server may take longer than a lease to start.
            while not await self._restart(a, end):
                await until(lambda: len(a.states) == 20)
                a.said.clear()
            await sleep(2)
        self.assertNotIn("lost", a.words())
        await a.store.close()
        b = self.crowd.join("b", listing(20))
        self.assertEqual(len(b.states), 20)
        self.assertEqual({state.pings for state in b.states.values()}, {7})
        self.assertEqual(len(b.pending), 20)

    async def test_a_long_absence_ends_the_lease(self) -> None:
        a = self.crowd.join("a", listing(20))
        b = self.crowd.join("b", listing(20))
        await until(lambda: len(a.states) + len(b.states) == 20 and b.states)
        self.server.stop()
        waiting = self._commit(a, next(number for number in range(20) if task(number).key in a.states))
        await until(lambda: not a.store.alive() and not b.store.alive(), 10)
        await until(lambda: "lost" in a.words() and "lost" in b.words(), 2)
        with self.assertRaises(LeaseLost) as raised:
            await waiting
        self.assertNotIn("\n", str(raised.exception))
        with self.assertRaises(LeaseLost):
            await self._commit(a, 1)
        self.assertIn("cannot be", a.store.trouble() or "")
        self.assertNotIn(postgres.PASSWORD, a.store.trouble() or "")
        await sleep(2)
        self.server.start()
        await until(lambda: "joined" in a.words() and "joined" in b.words())
        await until(lambda: len(a.states) + len(b.states) == 20 and a.states and b.states)
        self.assertTrue(a.store.alive())
        await until(lambda: a.store.trouble() is None, 1.5)
        self.assertEqual((a.store.name, b.store.name), ("a", "b"))
        self.assertEqual(a.words().index("lost") + 1, a.words().index("joined"))
        self.assertTrue(await self._commit(a, next(n for n in range(20) if task(n).key in a.states)))

    async def _restart(self, a: Runtime, end: Callable[[], None]) -> bool:
        """Restart the server while 20 commits wait; returns whether that was quick enough."""
        kept = [self._commit(a, number) for number in range(10)]
        began = time.monotonic()
        end()
        kept += [self._commit(a, number) for number in range(10, 20)]
        await sleep(0.5)
        self.server.start()
        results = await DeferredList(kept, consumeErrors=True)
        slow = time.monotonic() > began + 2
        if slow and "lost" in a.words():
            return False
        self.assertEqual(results, [(True, True)] * 20)
        return True

    def _commit(self, member: Runtime, number: int) -> Deferred[bool]:
        sent = [Delivery(alert(f"{number}"), "slack")]
        return Deferred.fromCoroutine(member.store.commit(task(number), TaskState(pings=7), check(), sent))


class NetworkTests(TestCase):
    """With connections that break."""

    skip = postgres.missing()
    timeout = 180

    def setUp(self) -> None:
        self.url = postgres.database(self)
        self.proxy = Proxy(postgres.server().port)
        self.addCleanup(self.proxy.stop)
        self.crowd = Crowd(self, self.url)
        self.through = self.url.replace(f":{postgres.server().port}/", f":{self.proxy.port}/")

    def sql(self, query: str, *values: object) -> list[Any]:
        return postgres.server().execute(query, *values, database=self.url.rpartition("/")[2])

    async def test_connections_that_are_ended_are_made_anew(self) -> None:
        a = self.crowd.join("a", listing(20), url=self.through)
        b = self.crowd.join("b", listing(20))
        await until(lambda: len(a.states) + len(b.states) == 20 and b.states and a.states)
        own = [number for number in range(20) if task(number).key in a.states]
        for round in range(1, 30):
            if round % 2:
                self.sql(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE application_name LIKE 'pypinger%%' AND pid <> pg_backend_pid()"
                )
            else:
                self.proxy.cut()
            sent = [Delivery(alert(f"{round}"), "slack")]
            kept = a.store.commit(task(own[0]), TaskState(pings=round), check(round * 1000.0), sent)
            self.assertTrue(await kept)
            if "slack" in a.channels:
                a.pending[f"{round}", "slack"] = sent[0]
        owner = a if "slack" in a.channels else b
        await until(lambda: len(owner.pending) == 29)
        self.assertNotIn("lost", a.words() + b.words())
        # Nothing was written twice.
        self.assertEqual(self.sql("SELECT sum(count) + (SELECT sum(count) FROM task) FROM run"), [(29,)])

    async def test_requests_are_done_once_though_connections_end(self) -> None:
        a = self.crowd.join("a", listing(20), url=self.through)
        b = self.crowd.join("b", listing(20))
        await until(lambda: len(a.states) + len(b.states) == 20 and b.states and len(a.instances) == 2)
        key = next(iter(b.states))
        await until(lambda: a.store.owner(key) == "b")
        done: list[int] = []

        def do(request: InstanceRequest) -> object:
            done.append(request.body["number"])
            return request.body["number"]

        b.answer = do
        asked = []
        for number in range(200):
            asked.append(Deferred.fromCoroutine(a.store.ask(key, InstanceRequest("push", {"number": number}))))
            if number % 20 == 10:
                self.proxy.cut()
                await sleep(0.1)
        self.assertEqual(await gatherResults(asked), [*range(200)])
        self.assertEqual(sorted(done), [*range(200)])

    async def test_damaged_rows_do_not_stop_the_others(self) -> None:
        a = self.crowd.join("a", listing(20))
        for number in range(20):
            sent = [Delivery(alert(f"{number}"), "slack")]
            await a.store.commit(task(number), TaskState(pings=1), check(), sent)
        await a.store.close()
        self.sql('UPDATE task SET state = \'{"pings": "many"}\' WHERE url = %s', task(3).key)
        b = self.crowd.join("b", listing(20))
        self.assertEqual(b.states, {task(n).key: TaskState(pings=int(n != 3)) for n in range(20)})
        self.assertEqual(len(b.pending), 20)
        self.assertEqual(len(self.flushLoggedErrors()), 1)

    async def test_a_row_that_is_refused_stops_no_other(self) -> None:
        a = self.crowd.join("a", listing(20))
        await until(lambda: a.instances)
        self.sql("ALTER TABLE task ADD CHECK (state NOT LIKE '%%bad%%')")
        self.sql("ALTER TABLE delivery ADD CHECK (body NOT LIKE '%%bad%%')")
        self.sql("ALTER TABLE shape ADD CHECK (finding NOT LIKE '%%bad%%')")
        for _ in range(2):
            kept = []
            for number in range(20):
                words = "bad" if number == 7 else "good"
                state = TaskState(pings=7, report=Report(ok=True, lastrun=1.0, reason=words))
                found = Check(1000.0, 0.01, Invalid(200, words), Verdict(Kind.OK, "explained"))
                sent = [Delivery(alert(f"{words} {number}"), "slack")]
                kept.append(Deferred.fromCoroutine(a.store.commit(task(number), state, found, sent)))
            self.assertEqual(await gatherResults(kept), [True] * 20)
        self.assertIsNone(a.store.trouble())
        await a.store.close()
        self.assertNotIn("lost", a.words())
        b = self.crowd.join("b", listing(20))
        self.assertEqual([n for n in range(20) if b.states[task(n).key].pings == 0], [7])
        self.assertEqual(len(b.pending), 19)

    async def test_it_does_not_join_again_where_a_newer_version_needs_it_to_stop(self) -> None:
        a = self.crowd.join("a", listing(20))
        self.sql("UPDATE meta SET version = 99, oldest = 99")
        self.sql("DELETE FROM instance")
        await until(lambda: "newer Py Pinger" in (a.store.trouble() or ""))
        await sleep(1.5)
        self.assertEqual(self.sql("SELECT count(*) FROM instance"), [(0,)])

    async def test_a_dump_that_is_restored_while_it_runs(self) -> None:
        a = self.crowd.join("a", listing(20))
        await a.store.enqueue([Delivery(alert("1"), "slack")])
        # A transaction of the other server, which is still to come on this one.
        self.sql("UPDATE delivery SET changed = '1000000'")
        self.sql("UPDATE instance SET until = clock_timestamp() - interval '1 s'")
        await until(lambda: "joined" in a.words() and "slack" in a.channels)
        self.assertIn(("1", "slack"), a.pending)
        await sleep(2)
        # It is not given again with each look.
        after = a.words()[a.words().index("joined") :]
        self.assertNotIn("delivered", after)

    async def test_damaged_alerts_do_not_stop_the_others(self) -> None:
        a = self.crowd.join("a", listing(20))
        now = a.store.now()
        a.store.blindness(Blind(now, "no host answers"))
        for number in range(4):
            changed = Alert(f"{number}", Event.CHANGED, now, "explained")
            await a.store.commit(task(1), TaskState(pings=number), check(), [Delivery(changed, "slack")])
        await a.store.settle(Delivery(alert("0"), "slack", reference="thread"), Outcome.SENT)
        await a.store.enqueue([Delivery(alert("daemon"), "slack")])
        await a.store.close()
        self.sql("UPDATE delivery SET body = '{\"event\": \"rejoiced\"}' WHERE alert IN ('0', '2', 'daemon')")
        b = self.crowd.join("a", listing(20))
        self.assertEqual({id for id, _ in b.pending}, {"1", "3"})
        self.assertTrue(self.flushLoggedErrors())

    async def test_a_network_that_drops_everything_ends_the_lease(self) -> None:
        a = self.crowd.join("a", listing(20), url=self.through)
        b = self.crowd.join("b", listing(20))
        await until(lambda: len(a.states) + len(b.states) == 20 and b.states and a.states)
        self.proxy.frozen = True
        number = next(number for number in range(20) if task(number).key in a.states)
        waiting = Deferred.fromCoroutine(a.store.commit(task(number), TaskState(pings=1), check(), []))
        await until(lambda: "lost" in a.words(), 7)
        # Before others can have its tasks.
        self.assertLess(len(b.states), 20)
        with self.assertRaises(LeaseLost):
            await waiting
        await until(lambda: len(b.states) == 20 and len(b.channels) == 2, 6)
        self.proxy.frozen = False
        await until(lambda: "joined" in a.words() and a.states)
        await until(lambda: len(a.states) + len(b.states) == 20)
        self.assertNotIn("lost", b.words())

    async def test_a_connection_that_stalls_for_good(self) -> None:
        channels = [f"channel {number}" for number in range(20)]
        a = self.crowd.join("a", listing(20, channels), url=self.through)
        b = self.crowd.join("b", listing(20, channels))
        await until(lambda: len(a.states) + len(b.states) == 20 and b.states and a.states)
        self.proxy.stall()
        await until(lambda: "joined" in a.words())
        await until(
            lambda: len(a.states) + len(b.states) == 20 and len(a.channels) + len(b.channels) == 20 and a.channels
        )
        await b.store.enqueue([Delivery(alert("late"), name) for name in a.channels])
        await until(lambda: len(a.pending) == len(a.channels))

    async def test_a_stop_does_not_wait_for_the_network(self) -> None:
        a = self.crowd.join("a", listing(20), url=self.through)
        await until(lambda: a.instances)
        self.proxy.frozen = True
        await sleep(2)
        took = Stopwatch()
        await a.store.close()
        self.assertLess(took.seconds(), 4)

    async def test_a_buried_instance_writes_nothing(self) -> None:
        kept = await self._write_after_burial()
        self.assertIsInstance(kept, LeaseLost)
        self.assertEqual(self.sql("SELECT count(*) FROM delivery"), [(0,)])

    async def test_control_without_the_fence_it_writes(self) -> None:
        self.patch(leases, "FENCED", False)
        self.assertIs(await self._write_after_burial(), True)
        self.assertEqual(self.sql("SELECT count(*) FROM delivery"), [(1,)])

    async def _write_after_burial(self) -> object:
        """What comes of a commit after another instance has taken over, when this one does not know it yet."""
        # It takes its lease to last.
        self.patch(Lease, "renew", lambda lease, sent: None)
        a = self.crowd.join("a", listing(20))
        lease = a.store._sharing._lease
        assert lease is not None
        lease.deadline += 1000.0
        await until(lambda: a.instances)
        self.sql("UPDATE instance SET until = clock_timestamp() - interval '1 s'")
        self.sql("UPDATE ownership SET owner = 'other', epoch = epoch + 1")
        self.sql("DELETE FROM instance")
        try:
            return await a.store.commit(task(1), TaskState(pings=1), check(), [Delivery(alert("1"), "slack")])
        except LeaseLost as error:
            return error
