"""
Tasks that change hands in parts: the database frees a part while the runtime leaves the next one, and gives a part
while the one before waits for what is pending.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from threading import Event
from types import SimpleNamespace
from typing import Any

from psycopg import Connection
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase

from pypinger.domain.model import TaskState
from pypinger.ports.storing import Kept
from pypinger.store.postgres import beats, handover, holding, lease, membership, view
from pypinger.store.postgres.beats import Beats
from pypinger.store.postgres.connection import connect
from pypinger.store.postgres.handover import Handover
from pypinger.store.postgres.holding import Gained
from pypinger.store.postgres.lease import Lease
from pypinger.store.postgres.listening import Listening
from pypinger.store.postgres.others import Others
from pypinger.store.postgres.states import NOTHING, KnownStates
from pypinger.store.postgres.view import MemberView
from pypinger.store.postgres.writer import Beat, SharedWriter
from tests import postgres
from tests.store.postgres import emptied
from tests.store.postgres.members import LIMIT, Crowd, Runtime, check, listing, sleep, task, until

COUNT = 60


class PartsTests(TestCase):
    skip = postgres.missing()
    timeout = 120

    def setUp(self) -> None:
        self.patch(handover, "FIRST", 3)
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

    async def test_others_rank_who_is_coming(self) -> None:
        writer = self.a.store._sharing._writer
        # It listens.
        await until(lambda: writer.states.snapshot != NOTHING)
        foresee, foreseen = MemberView.foresee, []

        def hear(each: MemberView, name: str) -> None:
            foresee(each, name)
            foreseen.append((each, name))

        self.patch(MemberView, "foresee", hear)
        # b joins once a has heard of it: who is busy does not rank.
        heard, send, read = Event(), Listening._send, KnownStates.read

        def sent(listening: Listening, what: str, *values: Any) -> None:
            send(listening, what, *values)
            if what == "heard" and "coming b" in values[0]:
                heard.set()

        def read_later(states: KnownStates, connection: Connection) -> None:
            self.assertTrue(heard.wait(LIMIT))
            read(states, connection)

        self.patch(Listening, "_send", sent)
        self.patch(KnownStates, "read", read_later)
        b = self.crowd.join("b", listing(COUNT))
        await until(lambda: foreseen)
        self.assertEqual(foreseen, [(writer._holding._view, "b")])
        await self.shared(self.a, b)

    async def test_who_is_coming_says_so_before_it_reads_the_states(self) -> None:
        heard: list[str] = []
        other = self.enterContext(connect(self.url, "test"))
        other.execute("LISTEN pypinger")
        read = KnownStates.read

        def hear(states: KnownStates, connection: Connection) -> None:
            for each in other.notifies(timeout=LIMIT):
                if each.payload.startswith("coming"):
                    heard.append(each.payload)
                    break
            read(states, connection)

        self.patch(KnownStates, "read", hear)
        await self.shared(self.a, self.crowd.join("b", listing(COUNT)))
        self.assertEqual(heard, ["coming b"])

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

    async def test_no_beat_delays_what_is_left(self) -> None:
        self.beat_seldom()
        self.patch(beats, "SOON", 0.0)
        done = self.record()
        await self.leave_slowly(self.crowd.join("b", listing(COUNT)))
        first = done.index("release")
        last = len(done) - 1 - done[::-1].index("release")
        self.assertGreater(last, first + 4)
        # One that was due before may follow the first.
        second = done.index("release", first + 1)
        self.assertNotIn("a beat", done[second:last])

    async def test_what_is_free_is_gained_without_a_beat(self) -> None:
        self.beat_seldom()
        soon = Beats.soon

        def soon_in_a(each: Beats) -> None:
            if each._lease is not None and each._lease.name == "a":
                soon(each)

        self.patch(Beats, "soon", soon_in_a)
        b = self.crowd.join("b", listing(COUNT))
        done = self.record()
        await self.leave_slowly(b)
        self.assertGreater(done.count("release"), 2 * done.count("b beat"))

    def beat_seldom(self) -> None:
        """Renew leases for so long that no beat is due but those that follow changes."""
        for module in (lease, view):
            self.patch(module, "TTL", 600.0)
        self.patch(membership, "_UNTIL", "clock_timestamp() + interval '600 s'")
        self.patch(beats, "BEAT", 300.0)

    async def leave_slowly(self, b: Runtime) -> None:
        """Share the tasks once `b` listens; each part is left once `b` has the one before."""
        leave, parts = self.a.leave, []
        listening = b.store._sharing._others._listening
        look = listening.look()

        async def left(tasks: Collection[str], channels: Collection[str]) -> None:
            # What is freed before is found by the beat that follows LISTEN.
            await until(lambda: listening._looked >= look)
            await leave(tasks, channels)
            if len(parts) > 1:
                await until(lambda: b.states.keys() >= set(parts[-2]))
            parts.append(tasks)

        self.patch(self.a, "leave", left)
        await self.shared(self.a, b)

    def record(self) -> list[str]:
        """Record the beats of all instances, and that tasks are released."""
        done = []
        renew, free = SharedWriter.beat, membership.release

        def beat(writer: SharedWriter, lease: Lease, *values: Any) -> Beat:
            done.append(f"{lease.name} beat")
            return renew(writer, lease, *values)

        def release(*values: Any) -> None:
            done.append("release")
            free(*values)

        self.patch(SharedWriter, "beat", beat)
        self.patch(membership, "release", release)
        return done

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

        def take_tasks(*values: Any, fenced: bool) -> dict[int, int]:
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
        others = SimpleNamespace(catch_up=lambda: self.later(self.waiting))
        for name in ("gained", "leaving", "left"):
            setattr(others, name, lambda *_: None)
        writer, queue = SimpleNamespace(gain=None), SimpleNamespace(write=lambda *_: self.later(self.parts))
        self.reporting = SimpleNamespace(tell=lambda what, kept: self.said.append(" ".join([what, *kept.states])))
        stubs: list[Any] = [worker, writer, queue, others, self.reporting]
        self.handover = Handover(*stubs, self.failed, self.settled)
        self.handover.begin(Lease("id", "a", 0.0))
        self.handover.gain()

    def later(self, deferreds: list[Deferred[Any]]) -> Deferred[Any]:
        deferreds.append(Deferred())
        return deferreds[-1]

    def failed(self, failure: Failure, *_: object) -> None:
        failure.raiseException()

    def settled(self, complete: bool) -> None:
        self.assertFalse(self.handover.busy)
        self.said.append("complete" if complete else "over")

    def gain(self, key: str, *, more: bool = True, wanting: bool = False) -> None:
        """The database gives a part."""
        states = {key: TaskState()}
        kept = Kept(states, deliveries=(), dead=0, channels=frozenset())
        self.parts[-1].callback(Gained(kept, "", more, wanting))

    def test_all_is_given_once_the_last_part_is(self) -> None:
        self.gain("first")
        self.gain("second")
        self.parts[-1].callback(None)
        self.assertEqual(self.said, [])
        self.waiting[0].callback(None)
        self.assertEqual(self.said, ["gained first"])
        self.waiting[1].callback(None)
        self.assertEqual(self.said, ["gained first", "gained second", "complete"])

    def test_all_is_given_once_nothing_more_can_be_gained(self) -> None:
        self.gain("first")
        self.waiting[0].callback(None)
        self.assertEqual(self.said, ["gained first"])
        self.parts[-1].callback(None)
        self.assertEqual(self.said, ["gained first", "complete"])
        self.handover.gain()
        self.assertTrue(self.handover.busy)
        self.parts[-1].callback(None)
        self.assertEqual(self.said[2:], ["over"])

    def test_all_that_was_free_is_given(self) -> None:
        self.gain("first", more=False, wanting=True)
        self.assertTrue(self.handover.busy)
        self.waiting[0].callback(None)
        # The database is not asked once more before something is heard.
        self.assertEqual((len(self.parts), self.said), (1, ["gained first", "over"]))
        self.handover.gain()
        self.gain("second", more=False)
        self.waiting[1].callback(None)
        self.assertEqual((len(self.parts), self.said[2:]), (2, ["gained second", "complete"]))

    def test_some_are_freed_while_others_are_gained(self) -> None:
        self.handover.gain()
        # The database is looked at once more, after all that the first look has found.
        self.gain("first", more=True)
        self.gain("second", more=False, wanting=True)
        self.handover.gain()
        self.parts[-1].callback(None)
        self.parts[-1].callback(None)
        self.assertEqual(len(self.parts), 4)
        for waiting in self.waiting:
            waiting.callback(None)
        self.assertEqual(self.said, ["gained first", "gained second", "over"])

    def test_who_has_all_that_it_wants_does_not_look_for_more(self) -> None:
        self.handover.gain()
        self.gain("first", more=False)
        self.assertEqual(len(self.parts), 1)
        self.waiting[0].callback(None)
        self.assertEqual(self.said, ["gained first", "complete"])

    def test_tasks_change_hands_while_they_are_left(self) -> None:
        self.parts[-1].callback(None)
        self.said.clear()
        left: Deferred[None] = Deferred()
        self.reporting.sharer = SimpleNamespace(leave=lambda *_: left)
        self.handover.leave(frozenset({"first"}), frozenset({"slack"}))
        self.assertTrue(self.handover.busy)
        self.reporting.sharer = SimpleNamespace(leave=lambda *_: Deferred())
        left.callback(None)
        # It is released.
        self.parts[-1].callback(None)
        # The message under way in the channel may take long; the others are to know of the tasks.
        self.assertFalse(self.handover.busy)
        self.assertEqual(self.said, ["complete"])

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
        self.assertEqual(self.said, ["gained second", "complete"])
