"""The thread that listens to notifications."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from psycopg import Connection
from twisted.internet import reactor
from twisted.trial.unittest import TestCase

from pypinger.domain.model import TaskState
from pypinger.runtime import sharing
from pypinger.store.postgres import listening, states
from pypinger.store.postgres.connection import connect
from pypinger.store.postgres.feeds import Feeds
from pypinger.store.postgres.keys import add_rows
from pypinger.store.postgres.lease import CommonClock, boottime
from pypinger.store.postgres.link import Link
from pypinger.store.postgres.states import NOTHING, KnownStates
from pypinger.store.postgres.upgrading import scripts, upgrade
from pypinger.store.rows import encode
from tests import postgres
from tests.store.postgres.members import sleep, until


class ListeningTests(TestCase):
    skip = postgres.missing()
    timeout = 60

    def listener(self, keys: Sequence[str]) -> tuple[str, listening.Listening]:
        """A database with these tasks, and the thread of an instance, which is not started yet."""
        url = postgres.database(self)
        with connect(url, "a") as opened:
            upgrade(opened, url, scripts())
            add_rows(opened, keys, (), {})
        thread = listening.Listening(reactor, url, "a", CommonClock(), {}, {})  # type: ignore[arg-type]
        self.addCleanup(thread.stop)
        return url, thread

    async def test_it_rests_while_there_is_no_lease(self) -> None:
        looks: list[float] = []
        clock: Callable[[], float] = listening.boottime

        def look() -> float:
            looks.append(clock())
            return looks[-1]

        self.patch(listening, "boottime", look)
        thread = listening.Listening(reactor, postgres.database(self), "a", CommonClock(), {}, {})  # type: ignore[arg-type]
        self.addCleanup(thread.stop)
        thread.start(lambda *_: None)
        await until(lambda: looks)
        await sleep(1)
        self.assertLess(len(looks), 20)

    def test_pushes_wait_longer_than_looks_at_tasks_are_held(self) -> None:
        self.assertGreater(sharing.WAITING, max(listening.MOVING, listening.QUIET_WITHIN))

    async def test_it_does_not_try_again_at_once_what_fails_each_time(self) -> None:
        thread = listening.Listening(reactor, postgres.database(self), "a", CommonClock(), {}, {})  # type: ignore[arg-type]
        self.addCleanup(thread.stop)
        # There are no tables.
        thread.begin(KnownStates("id"))
        connected: list[object] = []
        connection = Link.connection
        self.patch(Link, "connection", lambda link: connected.append(link) or connection(link))
        thread.start(lambda *_: None)
        await until(lambda: thread.trouble)
        await sleep(2)
        self.assertIn("does not exist", thread.trouble)
        self.assertLess(len(connected), 7)

    async def test_after_a_lease_it_connects_anew(self) -> None:
        url, thread = self.listener([])
        first, second = KnownStates("first"), KnownStates("second")
        thread.hold(False)
        thread.begin(first)
        thread.start(lambda *_: None)
        query = "SELECT pid FROM pg_stat_activity WHERE application_name = 'pypinger a listens'"
        other = self.enterContext(connect(url, "looks"))
        await until(lambda: first.snapshot != NOTHING)
        before = other.execute(query).fetchall()
        # The server of the next lease may be another one.
        thread.end()
        thread.begin(second)
        await until(lambda: second.snapshot != NOTHING)
        self.assertNotEqual(other.execute(query).fetchall(), before)

    async def test_alerts_and_requests_do_not_wait_until_all_tasks_are_shown(self) -> None:
        url, thread = self.listener([f"http://host/{number}" for number in range(50)])
        self.patch(states, "PAGE", 1)
        said: list[str] = []
        other = self.enterContext(connect(url, "b"))

        def report(what: str, *values: object) -> None:
            said.append(f"{what} {values[0]}" if what == "heard" else what)
            if said.count("tasks") == 1 and what == "tasks":
                thread.look()
                other.execute("NOTIFY pypinger, 'requests id'")

        thread.hold(False)
        thread.begin(KnownStates("id"))
        thread.start(report)
        await until(lambda: said.count("tasks") == 50)
        for words in ("looked", "heard {'requests id'}"):
            self.assertLess(said.index(words), 10)

    async def test_when_members_go_looks_at_tasks_wait_until_it_is_known_who_gets_theirs(self) -> None:
        self.patch(listening, "MOVING", 60.0)
        # A poll might look just after the members have changed, and before it hears of that.
        self.patch(listening, "POLL", 60.0)
        url, thread = self.listener(["http://host/1"])
        said: list[str] = []
        other = self.enterContext(connect(url, "b"))
        thread.begin(KnownStates("id"))
        thread.start(lambda what, *_: said.append(what))
        await until(lambda: "heard" in said)
        thread.hold(False)
        await until(lambda: "tasks" in said)
        said.clear()
        with other.transaction():
            other.execute("UPDATE ownership SET owner = 'b', changed = pg_current_xact_id()")
            for payload in ("members", "owners"):
                other.execute("SELECT pg_notify('pypinger', %s)", (payload,))
        await until(lambda: "heard" in said)
        await sleep(0.5)
        self.assertNotIn("tasks", said)
        thread.hold(False)
        await until(lambda: "tasks" in said)

    async def owners_change(self, *, quiet: float, within: float) -> tuple[list[float], float, float]:
        """
        Change the owner of a task several times a second.

        :returns: when tasks were shown, and the moments before the first change of the owner and before the last.
        """
        self.patch(listening, "OWNERS_QUIET", quiet)
        self.patch(listening, "QUIET_WITHIN", within)
        # It looks when it hears of something.
        self.patch(listening, "POLL", 60.0)
        url, thread = self.listener(["http://host/1"])
        times: dict[str, list[float]] = {"heard": [], "tasks": []}
        thread.begin(KnownStates("a"))
        thread.start(lambda what, *_: times[what].append(boottime()) if what in times else None)
        await until(lambda: times["heard"])
        thread.hold(False)
        shown = times["tasks"]
        await until(lambda: shown)
        await sleep(listening.OFTEN)
        shown.clear()
        other = self.enterContext(connect(url, "b"))
        changed = []
        # Where looks do not wait for quiet, one comes while owners change.
        while len(changed) < 20 or (within < quiet and not (shown and shown[0] < changed[-1])):
            changed.append(boottime())
            with other.transaction():
                other.execute(
                    "UPDATE ownership SET owner = %s, changed = pg_current_xact_id()", (f"instance {len(changed)}",)
                )
                other.execute("NOTIFY pypinger, 'owners'")
            await sleep(0.1)
        await until(lambda: shown and shown[-1] > changed[-1])
        return shown, changed[0], changed[-1]

    async def test_looks_at_tasks_wait_until_no_more_owners_change(self) -> None:
        shown, _, last = await self.owners_change(quiet=2.0, within=60.0)
        self.assertEqual(len(shown), 1)
        self.assertGreaterEqual(shown[0], last + 1.9)

    async def test_looks_at_tasks_do_not_wait_for_long(self) -> None:
        shown, first, last = await self.owners_change(quiet=60.0, within=0.5)
        self.assertGreaterEqual(shown[0], first + 0.4)
        self.assertLess(shown[0], last)


class FeedsTests(TestCase):
    skip = postgres.missing()

    def test_under_a_new_lease_all_tasks_are_read_again(self) -> None:
        url = postgres.database(self)
        feeds = Feeds({}, {})
        with connect(url, "a") as opened:
            upgrade(opened, url, scripts())
            add_rows(opened, ["http://host/1", "http://host/2"], (), {})
            a, b = KnownStates("a"), KnownStates("b")
            found = [sum(map(len, feeds.tasks(opened, each))) for each in (a, a, b, b)]
        self.assertEqual(found, [2, 0, 2, 0])

    def test_what_was_read_before_is_given_with_its_states(self) -> None:
        url = postgres.database(self)
        feeds, known = Feeds({}, {}), KnownStates("a")
        with connect(url, "a") as opened:
            upgrade(opened, url, scripts())
            add_rows(opened, ["http://host/1", "http://host/2"], (), {})
            self.write(opened, "http://host/1", 1)
            self.write(opened, "http://host/2", 1)
            known.read(opened)
            self.write(opened, "http://host/2", 2)
            opened.execute("UPDATE ownership SET owner = 'b', changed = pg_current_xact_id()")
            for _ in range(2):
                given = {}
                for page in feeds.tasks(opened, known):
                    given.update({watched.key[-1]: (watched.state, owner) for watched, owner in page})
                self.assertEqual(given, {"1": (TaskState(pings=1), "b"), "2": (TaskState(pings=2), "b")})
                # After a reload there may be others to show.
                feeds.give_all_again()
            self.assertEqual([*feeds.owners(opened, known)], [])

    def write(self, opened: Connection, key: str, pings: int) -> None:
        opened.execute(
            "UPDATE task SET state = %s, changed = pg_current_xact_id() WHERE url = %s",
            (encode(TaskState(pings=pings)), key),
        )

    def test_over_another_connection_all_tasks_are_read_again(self) -> None:
        url = postgres.database(self)
        feeds, known = Feeds({}, {}), KnownStates("a")
        with connect(url, "a") as opened:
            upgrade(opened, url, scripts())
            add_rows(opened, ["http://host/1"], (), {})
            self.assertEqual(sum(map(len, feeds.tasks(opened, known))), 1)
            # As another server may do, this one changes a row without a trace.
            opened.execute("UPDATE task SET state = %s", (encode(TaskState(pings=7)),))
            self.assertEqual([*feeds.tasks(opened, known)], [])
            known.begin_anew()
            self.assertEqual([*feeds.owners(opened, known)], [])
            ((given,),) = feeds.tasks(opened, known)
            self.assertEqual(given[0].state, TaskState(pings=7))

    def test_owners_that_have_changed(self) -> None:
        url = postgres.database(self)
        keys: dict[int, str] = {}
        feeds, known = Feeds({}, keys), KnownStates("a")
        with connect(url, "a") as opened:
            upgrade(opened, url, scripts())
            add_rows(opened, ["http://host/1", "http://host/2"], (), {})
            list(feeds.tasks(opened, known))
            ids = dict(opened.execute("SELECT url, id FROM task").fetchall())
            keys[ids["http://host/1"]] = "http://host/1"
            for owner in ("b", "c"):
                opened.execute("UPDATE ownership SET owner = %s, changed = pg_current_xact_id()", (owner,))
                found = [(each.key, each.state, owner) for part in feeds.owners(opened, known) for each, owner in part]
                self.assertEqual(sorted(found), [(key, None, owner) for key in ids])
            opened.execute("UPDATE ownership SET owner = 'a', changed = pg_current_xact_id()")
            self.assertEqual([*feeds.owners(opened, known), *feeds.owners(opened, KnownStates("b"))], [])
