"""
Tasks that change hands in parts: the database frees a part while the runtime leaves the next one, and gives a part
while the one before waits for what is pending.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from types import SimpleNamespace
from typing import Any

from psycopg import Connection
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase

from pypinger.domain.model import TaskState
from pypinger.ports.storing import Kept
from pypinger.store.postgres import handover, holding, membership
from pypinger.store.postgres.handover import Handover
from pypinger.store.postgres.holding import Gained
from pypinger.store.postgres.lease import Lease
from pypinger.store.postgres.others import Others
from tests import postgres
from tests.store.postgres import emptied
from tests.store.postgres.members import Crowd, Runtime, check, listing, sleep, task, until

COUNT = 60


class PartsTests(TestCase):
    skip = postgres.missing()
    timeout = 120

    def setUp(self) -> None:
        self.patch(handover, "LEFT", 4)
        self.url = emptied.database()
        self.crowd = Crowd(self, self.url)
        self.a = self.crowd.join("a", listing(COUNT))

    async def shared(self, *members: Runtime) -> None:
        """Wait until each task has one owner, and each instance its share."""
        least = COUNT // len(members) // 3
        await until(
            lambda: (
                sum(len(each.states) for each in members) == COUNT and min(len(each.states) for each in members) > least
            )
        )
        self.assertEqual(len(set().union(*(each.states for each in members))), COUNT)

    async def test_all_that_was_pending_is_written(self) -> None:
        for number in range(COUNT):
            self.a.store.note(task(number), TaskState(pings=number), check())
        b = self.crowd.join("b", listing(COUNT))
        await self.shared(self.a, b)
        pings = {task(number).key: number for number in range(COUNT)}
        self.assertEqual({key: state.pings for key, state in b.states.items()}, {key: pings[key] for key in b.states})
        self.assertGreater(self.a.words().count("leave"), 4)
        await self.shared(self.a, b, self.crowd.join("c", listing(COUNT)))

    async def test_one_is_freed_while_the_next_is_left(self) -> None:
        first: Deferred[None] = Deferred()
        free = membership.release

        def release(*values: Any) -> None:
            free(*values)
            if not first.called:
                reactor.callFromThread(lambda: first.called or first.callback(None))  # type: ignore[attr-defined]

        self.patch(membership, "release", release)
        leave, calls = self.a.leave, []

        async def left(tasks: Collection[str], channels: Collection[str]) -> None:
            calls.append(tasks)
            await leave(tasks, channels)
            if len(calls) == 2:
                # The first part is freed meanwhile.
                await first

        self.patch(self.a, "leave", left)
        await self.shared(self.a, self.crowd.join("b", listing(COUNT)))

    async def test_freeing_fails_while_the_next_is_left(self) -> None:
        free, calls = membership.release, []

        def release(connection: Connection, me: str, tasks: Sequence[int], channels: Collection[str]) -> None:
            calls.append(tasks)
            if len(calls) == 2:
                raise RuntimeError("a bug")
            free(connection, me, tasks, channels)

        self.patch(membership, "release", release)
        leave = self.a.leave
        parts = []

        async def left(tasks: Collection[str], channels: Collection[str]) -> None:
            parts.append(tasks)
            await leave(tasks, channels)
            if len(parts) == 3:
                await sleep(0.3)

        self.patch(self.a, "leave", left)
        b = self.crowd.join("b", listing(COUNT))
        # Work may go on that should not: the lease is given up, and the log says why.
        await until(lambda: "lost" in self.a.words())
        await self.shared(self.a, b)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.assertEqual((self.a.words().count("lost"), b.words().count("lost")), (1, 0))

    async def test_the_lease_is_lost_meanwhile(self) -> None:
        database = self.url.rpartition("/")[2]
        leave, parts = self.a.leave, []

        async def left(tasks: Collection[str], channels: Collection[str]) -> None:
            parts.append(tasks)
            if len(parts) == 3:
                past = "UPDATE instance SET until = clock_timestamp() - interval '1 s' WHERE name = 'a'"
                postgres.server().execute(past, database=database)
                await until(lambda: "lost" in self.a.words())
                return
            await leave(tasks, channels)

        self.patch(self.a, "leave", left)
        await self.shared(self.a, self.crowd.join("b", listing(COUNT)))
        self.assertEqual(self.a.words().count("lost"), 1)

    async def test_a_part_is_gained_while_the_one_before_waits(self) -> None:
        self.patch(holding, "GAINED", 4)
        second: Deferred[None] = Deferred()
        take, catch_up, parts = membership.take_tasks, Others.catch_up, []

        def take_tasks(*values: Any, fenced: bool) -> list[int]:
            taken = take(*values, fenced=fenced)
            parts.append(taken)
            if len(parts) == 2:
                reactor.callFromThread(second.callback, None)  # type: ignore[attr-defined]
            return taken

        async def caught_up(others: Others) -> None:
            # What is pending for the first part takes until then.
            await second
            await catch_up(others)

        self.patch(membership, "take_tasks", take_tasks)
        self.patch(Others, "catch_up", lambda others: Deferred.fromCoroutine(caught_up(others)))
        b = self.crowd.join("b", listing(COUNT))
        await self.shared(self.a, b)
        self.assertGreater(b.words().count("gained"), 4)


class WaitingTests(SynchronousTestCase):
    """Gained tasks wait until what is pending for them has been passed on."""

    def setUp(self) -> None:
        self.parts: list[Deferred[Gained | None]] = []
        self.waiting: list[Deferred[None]] = []
        self.said: list[str] = []
        # The writer's thread, the listener's and the runtime, of which each answer is given by hand.
        worker = SimpleNamespace(run=lambda *_: self.later(self.parts))
        others = SimpleNamespace(gained=lambda *_: None, catch_up=lambda: self.later(self.waiting))
        reporting = SimpleNamespace(tell=lambda what, kept: self.said.append(" ".join([what, *kept.states])))
        stubs: list[Any] = [worker, SimpleNamespace(gain=None), None, others, reporting]
        self.handover = Handover(*stubs, self.failed, lambda: self.said.append("all is given"))
        self.handover.begin(Lease("id", "a", 0.0))
        self.handover.gain()

    def later(self, deferreds: list[Deferred[Any]]) -> Deferred[Any]:
        deferreds.append(Deferred())
        return deferreds[-1]

    def failed(self, failure: Failure, *_: object) -> None:
        failure.raiseException()

    def gain(self, key: str) -> None:
        """The database gives a part."""
        states = {key: TaskState()}
        self.parts[-1].callback(Gained(Kept(states, deliveries=(), dead=0, channels=frozenset()), ""))

    def test_all_is_given_once_the_last_part_is(self) -> None:
        self.gain("first")
        self.gain("second")
        self.parts[-1].callback(None)
        self.assertEqual(self.said, [])
        self.waiting[0].callback(None)
        self.assertEqual(self.said, ["gained first"])
        self.waiting[1].callback(None)
        self.assertEqual(self.said, ["gained first", "gained second", "all is given"])

    def test_all_is_given_once_nothing_more_can_be_gained(self) -> None:
        self.gain("first")
        self.waiting[0].callback(None)
        self.assertEqual(self.said, ["gained first"])
        self.parts[-1].callback(None)
        self.assertEqual(self.said, ["gained first", "all is given"])
        self.handover.gain()
        self.parts[-1].callback(None)
        self.assertEqual(len(self.said), 2)

    def test_nothing_is_left_while_a_part_waits(self) -> None:
        self.gain("first")
        self.gain("second")
        self.waiting[0].callback(None)
        # It would ask what it has no part for.
        self.handover.leave(frozenset({"first"}), frozenset())
        self.assertEqual(self.said, ["gained first"])

    def test_the_lease_is_lost_while_a_part_waits(self) -> None:
        self.gain("first")
        self.handover.end()
        self.handover.begin(Lease("other", "a", 0.0))
        self.waiting[0].callback(None)
        self.assertEqual(self.said, [])
        self.handover.gain()
        self.gain("second")
        self.waiting[1].callback(None)
        self.parts[-1].callback(None)
        self.assertEqual(self.said, ["gained second", "all is given"])
