"""Requests among instances, and what they read of each other's writes (contract, section 8, "Several machines")."""

from __future__ import annotations

import random
from threading import Event, Thread
from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.trial.unittest import TestCase

from pypinger.domain.model import Alert, Delivery, TaskState
from pypinger.ports.sharing import InstanceRequest, InstanceRequestFailed
from pypinger.store.postgres.connection import connect
from pypinger.store.postgres.feeds import ChannelFeed, Feeds
from pypinger.store.postgres.keys import add_rows
from pypinger.store.postgres.states import NOTHING, KnownStates
from pypinger.store.postgres.upgrading import scripts, upgrade
from pypinger.store.rows import encode
from tests import postgres
from tests.store.postgres import emptied
from tests.store.postgres.members import LIMIT, Crowd, Runtime, alert, keys, listing, task, until


class RequestTests(TestCase):
    skip = postgres.missing()
    timeout = 180

    def setUp(self) -> None:
        self.url = emptied.database()
        self.crowd = Crowd(self, self.url)

    def sql(self, query: str, *values: object) -> list[Any]:
        return postgres.server().execute(query, *values, database=self.url.rpartition("/")[2])

    async def both(self) -> tuple[Runtime, Runtime, str]:
        """Two instances, and a task of the second one."""
        a = self.crowd.join("a", listing(30))
        b = self.crowd.join("b", listing(30))
        await until(lambda: len(a.states) + len(b.states) == 30 and b.states and len(a.instances) == 2)
        key = next(iter(b.states))
        await until(lambda: a.store.owner(key) == "b")
        return a, b, key

    async def test_the_owner_answers(self) -> None:
        a, b, key = await self.both()
        b.answer = lambda request: {"verb": request.verb, "body": dict(request.body)}
        answer = await a.store.ask(key, InstanceRequest("ack", {"by": "me \0 \ud800", "number": 3}))
        self.assertEqual(answer, {"verb": "ack", "body": {"by": "me \N{REPLACEMENT CHARACTER} ?", "number": 3}})

    async def test_many_at_once(self) -> None:
        a, b, key = await self.both()
        b.answer = lambda request: request.body["number"] * 2
        asked = [Deferred.fromCoroutine(a.store.ask(key, InstanceRequest("push", {"number": n}))) for n in range(2000)]
        self.assertEqual(await gatherResults(asked), [2 * n for n in range(2000)])
        # Nothing is left behind.
        await until(lambda: self.sql("SELECT count(*) FROM request") == [(0,)])

    async def test_refusals_and_errors(self) -> None:
        a, b, key = await self.both()

        def refuse(request: InstanceRequest) -> object:
            raise InstanceRequestFailed("no such incident") if request.verb == "ack" else ValueError("bug")

        b.answer = refuse
        with self.assertRaisesRegex(InstanceRequestFailed, "^no such incident$"):
            await a.store.ask(key, InstanceRequest("ack", {}))
        with self.assertRaisesRegex(InstanceRequestFailed, "unexpected error"):
            await a.store.ask(key, InstanceRequest("push", {}))
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    async def test_no_answer_in_time(self) -> None:
        a, b, key = await self.both()
        b.answer = lambda request: Deferred()

        async def never(request: InstanceRequest) -> object:
            await Deferred()
            return None

        b.asked = never  # type: ignore[method-assign]
        with self.assertRaisesRegex(InstanceRequestFailed, "instance b did not answer within 0.5 s"):
            await a.store.ask(key, InstanceRequest("ack", {}, limit=0.5))

    async def test_the_owner_dies(self) -> None:
        a, b, key = await self.both()

        async def die(request: InstanceRequest) -> object:
            await b.store.close()
            return None

        b.asked = die  # type: ignore[method-assign]
        with self.assertRaisesRegex(InstanceRequestFailed, "gone"):
            await a.store.ask(key, InstanceRequest("ack", {}))

    async def test_all_are_asked(self) -> None:
        a, b, _ = await self.both()
        c = self.crowd.join("c", listing(30))
        await until(lambda: len(a.instances) == 3)
        b.answer = lambda request: 7

        def refuse(request: InstanceRequest) -> object:
            raise InstanceRequestFailed("no")

        c.answer = refuse
        self.assertEqual(await a.store.ask_all(InstanceRequest("resend", {})), {"b": 7})

    async def test_a_task_without_owner(self) -> None:
        a = self.crowd.join("a", listing(3))
        with self.assertRaisesRegex(InstanceRequestFailed, "no instance watches"):
            await a.store.ask("http://host/unknown", InstanceRequest("ack", {}))


class FeedTests(TestCase):
    """Nothing that is committed late is missed, and nothing comes twice."""

    unmeasured = True
    skip = postgres.missing()
    timeout = 180

    def setUp(self) -> None:
        self.url = emptied.database()
        self.connection = connect(self.url, "reads")
        self.addCleanup(self.connection.close)
        upgrade(self.connection, self.url, scripts())
        # Set once a channel is gained while others write.
        self.late = Event()

    def write(self, writer: int, count: int) -> None:
        """Transactions that take their ids early and end late, in any order; the last wait for `late`."""
        draw = random.Random(writer)
        with connect(self.url, f"w{writer}") as connection:
            for number in range(count):
                if number == count - 20:
                    self.late.wait(LIMIT)
                with connection.transaction():
                    for part in range(draw.randint(1, 3)):
                        made = alert(f"{writer}-{number}-{part}")
                        channel = draw.choice(["slack", "email"])
                        connection.execute(
                            "INSERT INTO delivery (alert, channel, at, body, attempts, not_before, words)"
                            " VALUES (%s, %s, 1, %s, 0, 0, '')",
                            (made.id, channel, encode(made)),
                        )
                        connection.execute("SELECT pg_sleep(%s)", (draw.random() * 0.01,))
                    connection.execute(
                        "UPDATE task SET state = %s, changed = pg_current_xact_id() WHERE url = %s",
                        (encode(TaskState(pings=number)), f"http://host/{writer}"),
                    )
                    connection.execute(
                        "UPDATE ownership SET owner = %s, changed = pg_current_xact_id() WHERE task ="
                        " (SELECT id FROM task WHERE url = %s)",
                        (str(number), f"http://host/{writer}"),
                    )
                    connection.execute("SELECT pg_sleep(%s)", (draw.random() * 0.01,))

    async def test_concurrent_transactions(self) -> None:
        writers, count = 6, 100
        add_rows(self.connection, keys(writers), (), {})
        threads = [Thread(target=self.write, args=(number, count)) for number in range(writers)]
        feeds, known = Feeds({}, {}), KnownStates("me")
        early = {name: ChannelFeed(name, NOTHING, ()) for name in ("slack", "email")}
        late: dict[str, ChannelFeed] = {}
        found: list[tuple[str, str]] = []
        expected: list[tuple[str, str]] = []
        states: dict[str, int] = {}
        owners: dict[str, int] = {}

        def look() -> None:
            for _, each in feeds.deliveries(self.connection, early):
                found.append((each.alert.id, each.channel))
            for page in feeds.tasks(self.connection, known):
                for watched, owner in page:
                    owners[watched.key] = int(owner or 0)
                    self.assertGreaterEqual(watched.state.pings, states.get(watched.key, 0))
                    states[watched.key] = watched.state.pings
            for page in feeds.owners(self.connection, known):
                for watched, owner in page:
                    self.assertIsNone(watched.state)
                    self.assertGreaterEqual(int(owner), owners.get(watched.key, 0))
                    owners[watched.key] = int(owner)

        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            look()
            if len(found) > 300 and not late:
                # A channel that is owned from now on, as it is gained.
                (snapshot,) = self.connection.execute("SELECT pg_current_snapshot()::text").fetchone() or ("",)
                rows = self.connection.execute("SELECT alert, channel FROM delivery WHERE channel = 'slack'").fetchall()
                late["slack"] = ChannelFeed("slack", snapshot, rows)
                expected += rows
                self.late.set()
        for thread in threads:
            thread.join()
        look()
        stored = self.connection.execute("SELECT alert, channel FROM delivery").fetchall()
        self.assertGreater(len(stored), 600)
        self.assertEqual(sorted(found), sorted(stored))
        last = {task(number).key: count - 1 for number in range(writers)}
        self.assertEqual((states, owners), (last, last))
        expected += [(each.alert.id, each.channel) for _, each in feeds.deliveries(self.connection, late)]
        self.assertEqual(sorted(expected), sorted(row for row in stored if row[1] == "slack"))

    async def test_own_and_settled_deliveries_are_left_out(self) -> None:
        insert = (
            "INSERT INTO delivery (alert, channel, at, body, attempts, not_before, words, outcome)"
            " VALUES (%s, 'slack', 1, %s, 2, 5.0, 'busy', %s) RETURNING changed::text::bigint"
        )

        def add(id: str, outcome: str | None = None) -> int:
            row = self.connection.execute(insert, (id, encode(alert(id)), outcome)).fetchone()
            assert row is not None
            return int(row[0])

        own = add("own")
        add("other")
        add("sent", "sent")
        feeds = Feeds({own: 0.0}, {})
        channels = {"slack": ChannelFeed("slack", NOTHING, ())}
        found = [each for _, each in feeds.deliveries(self.connection, channels)]
        self.assertEqual(found, [Delivery(Alert("other", *_rest(alert("other"))), "slack", 2, 5.0, "busy")])
        self.assertEqual(feeds.deliveries(self.connection, channels), [])


def _rest(made: Alert) -> tuple[Any, ...]:
    return made.event, made.at, made.explanation
