"""What an instance owns, gains and releases, over a database in memory."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from random import Random
from types import SimpleNamespace
from typing import Any, NamedTuple, TypeVar, cast

import psycopg
from twisted.trial.unittest import SynchronousTestCase

from pypinger.domain.model import TaskState
from pypinger.domain.sharing import Moves, moves
from pypinger.store.postgres import holding as holdings
from pypinger.store.postgres import membership, states
from pypinger.store.postgres import view as views
from pypinger.store.postgres.holding import Holding
from pypinger.store.postgres.lease import Lease, boottime
from pypinger.store.postgres.loading import KeptChannels
from pypinger.store.postgres.membership import InstanceRow
from pypinger.store.postgres.recording import SharedRecorder
from pypinger.store.postgres.states import NOTHING, ForeignTask, KnownStates
from pypinger.store.postgres.view import Keys, MemberView
from pypinger.store.rows import TaskRecord, encode

ME = "me"
OTHER = "other"
TASKS = [f"task {number}" for number in range(12)]
CHANNELS = ["email", "ntfy", "slack"]
IDS = {key: number for number, key in enumerate(TASKS, 1)}
RUNS = 400
STEPS = 60

#: What the fake database does instead.
FAKED = {
    membership: [
        *("rows", "listing_of", "clean", "unlisted"),
        *("free_tasks", "free_channels", "take_tasks", "take_channels", "snapshot"),
    ],
    holdings: ["load_tasks", "load_channels", "changed_since"],
    states: ["snapshot_of"],
}

T = TypeVar("T")


class Listed(NamedTuple):
    """What an instance of the database lists."""

    keys: Keys
    blind: bool = False


class FakeDatabase:
    """
    Instances and owners, with the functions that a holding calls; it is also the connection that they are given.

    :ivar failing: how likely the connection is lost at each call.
    :ivar meanwhile: is called at each call: others use the database, too.
    :ivar reading: is called between the answer to a page of a look, and its end.
    """

    def __init__(self, random: Random) -> None:
        self._random = random
        self.owners: dict[str, str | None] = dict.fromkeys(TASKS)
        self.channel_owners: dict[str, str | None] = dict.fromkeys(CHANNELS)
        self.instances = {ME: Listed(self.some_keys())}
        self.failing = 0.0
        self.meanwhile: Callable[[], None] = lambda: None
        self.reading: Callable[[], None] = lambda: None
        # The states of the tasks, and the numbers of the transactions that wrote them.
        self.states = {key: TaskState(pings=number) for number, key in enumerate(TASKS)}
        self.changed = dict.fromkeys(TASKS, 0)
        self.transactions = 0

    def happens(self, likely: float) -> bool:
        return self._random.random() < likely

    def some(self, keys: Collection[str], likely: float) -> frozenset[str]:
        return frozenset(key for key in sorted(keys) if self.happens(likely))

    def some_keys(self) -> Keys:
        return self.some(TASKS, 0.8), self.some(CHANNELS, 0.8)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        yield

    def _answer(self) -> None:
        self.meanwhile()
        if self.happens(self.failing):
            raise psycopg.OperationalError("the connection is lost")

    def rows(self, _: object) -> list[InstanceRow]:
        self._answer()
        return [
            InstanceRow(name, name, 0.0, "later", False, 5.0, "", "", str(listed.keys), listed.blind, "")
            for name, listed in sorted(self.instances.items())
        ]

    def listing_of(self, _: object, row: InstanceRow) -> Keys | None:
        self._answer()
        return None if self.happens(0.05) or row.id not in self.instances else self.instances[row.id].keys

    def clean(self, _: object) -> None:
        self._answer()

    def free_tasks(self, _: object, known: dict[int, str], me: str | None = None) -> dict[str, int]:
        self._answer()
        known.update((id, key) for key, id in IDS.items())
        return {key: IDS[key] for key, owner in self.owners.items() if owner in (None, me)}

    def free_channels(self, _: object, me: str | None = None) -> set[str]:
        self._answer()
        return {name for name, owner in self.channel_owners.items() if owner in (None, me)}

    def unlisted(self, _: object, tasks: Collection[str], channels: Collection[str]) -> Keys:
        self._answer()
        return self.some(tasks, 0.6), self.some(channels, 0.6)

    def take_tasks(self, _: object, me: str, ids: Sequence[int], *, fenced: bool) -> dict[int, int]:
        self._answer()
        keys = [key for key in TASKS if IDS[key] in ids]
        if self.happens(0.2):
            # Another instance was faster.
            stolen = self._random.choice(keys)
            self.owners[stolen] = self.owners[stolen] or OTHER
        taken = self._take(self.owners, me, keys)
        # They may be taken although that is not answered.
        self._answer()
        return {IDS[key]: 1 for key in taken}

    def take_channels(self, _: object, me: str, names: Collection[str], *, fenced: bool) -> dict[str, int]:
        self._answer()
        return dict.fromkeys(self._take(self.channel_owners, me, names), 1)

    def _take(self, owners: dict[str, str | None], me: str, keys: Collection[str]) -> list[str]:
        taken = [key for key in keys if owners[key] in (None, me)]
        owners.update(dict.fromkeys(taken, me))
        return taken

    def snapshot(self, _: object) -> str:
        return ""

    def load_tasks(self, _: object, ids: Sequence[int]) -> list[TaskRecord]:
        self._answer()
        records = [TaskRecord(id, key, 1) for key, id in IDS.items() if id in ids]
        for record in records:
            record.state = self.states[record.key]
        return records

    def write(self, key: str, state: TaskState) -> None:
        """The owner of a task writes its state."""
        self.transactions += 1
        self.states[key], self.changed[key] = state, self.transactions

    def snapshot_of(self, _: object) -> str:
        self._answer()
        return str(self.transactions)

    def changed_since(self, _: object, since: str) -> set[int]:
        self._answer()
        return {IDS[key] for key, number in self.changed.items() if number > int(since)}

    def execute(self, query: str, values: Mapping[str, Any]) -> SimpleNamespace:
        """A page of :meth:`KnownStates.look`."""
        self._answer()
        since = -1 if values["since"] == NOTHING else int(values["since"])
        rows = [
            (IDS[key], key, encode(self.states[key]), owner, owner)
            for key, owner in self.owners.items()
            if self.changed[key] > since and IDS[key] > values["after"] and owner != values["me"]
        ]
        self.reading()
        return SimpleNamespace(fetchall=lambda: rows[: values["page"]])

    def load_channels(self, _: object, names: Sequence[str], now: int) -> KeptChannels:
        self._answer()
        return KeptChannels([], 0, {}, {})


class Driver:
    """
    Changes the database and has a holding follow, one random step at a time.

    :ivar steps: the kinds of steps; some come more often than others.
    """

    def __init__(self, database: FakeDatabase, random: Random) -> None:
        self.random = random
        self.database = database
        self.connection = cast(psycopg.Connection, database)
        self.recorder = SharedRecorder(
            lambda: [1], lambda tasks: self._until_answered(lambda: self.holding.complete(self.connection, tasks))
        )
        self.view = MemberView()
        self.holding = Holding(
            Lease(ME, ME, boottime()), self.recorder, self.view, {}, KnownStates(ME), self.connection
        )
        self.looking: Iterator[Sequence[ForeignTask]] | None = None
        # Which of two threads are in the middle of something: that of the looks, and the writer's.
        self.in_look = self.in_call = False
        database.meanwhile, database.reading = self.meanwhile, self.reading
        # How many tasks were gained whose states were known.
        self.known = 0
        self.joined = 0
        # What is being left: it is released later, the tasks first.
        self.leaving: tuple[list[str], list[str]] = ([], [])
        self.steps: list[Callable[[], object]] = [
            *[self.look, self.leave, self.release] * 2,
            *[self.gain, self.read] * 3,
            *[self.record, self.others_write] * 2,
            *(self.join, self.quit, self.turn_blind, self.relist, self.others_take_and_free),
        ]

    def step(self) -> str:
        """Take a step; returns its name."""
        self.database.failing = self.random.choice([0, 0, 0.2])
        step = self.random.choice(self.steps)
        step()
        return step.__name__

    def look(self) -> None:
        self._until_answered(lambda: self.holding.look(self.connection))

    def gain(self) -> None:
        before = len(self.recorder.partial)
        self._until_answered(lambda: self.holding.gain(self.connection, 0))
        self.known += len(self.recorder.partial) - before

    def read(self) -> None:
        """Read a page of what others have written; more may happen before the next one."""
        if self.looking is None:
            self.looking = self.holding.states.look(self.connection)
        self.in_look = True
        try:
            if next(self.looking, None) is None:
                self.looking = None
        except psycopg.OperationalError:
            self.looking = None
            if self.database.happens(0.5):
                self.holding.states.begin_anew()
        finally:
            self.in_look = False

    def meanwhile(self) -> None:
        """While the writer waits for an answer, another thread looks, and other instances go on."""
        if self.in_call and self.database.happens(0.3):
            steps = [self.others_write, self.others_free]
            self.random.choice(steps if self.in_look else [*steps, self.read, self.read])()

    def reading(self) -> None:
        """While a page is read, the writer does something else."""
        for _ in range(self.random.randrange(4)):
            steps = [self.gain, self.leave, self.release, self.record] if not self.in_call else []
            self.random.choice([*steps, self.others_write])()

    def record(self) -> None:
        """Something happens to some of the own tasks."""
        for key in sorted(self.database.some(self.recorder.tasks.keys(), 0.3)):
            record = self.recorder.present(key)
            record.state = TaskState(pings=self.random.randrange(1000))
            self.database.write(key, record.state)

    def others_write(self) -> None:
        for key, owner in self.database.owners.items():
            if owner not in (None, ME) and self.database.happens(0.3):
                self.database.write(key, TaskState(pings=self.random.randrange(1000)))

    def leave(self) -> None:
        if not any(self.leaving):
            tasks, channels = self.holding.moves()
            self.leaving = sorted(tasks.leave), sorted(channels.leave)

    def release(self) -> None:
        tasks, channels = self.leaving
        if tasks:
            part = tasks[:2]
            left = self.holding.remember(part)
            self.database.owners.update((key, None) for key in TASKS if IDS[key] in left)
            self.holding.released(part, ())
            self.leaving = tasks[2:], channels
        else:
            self.database.channel_owners.update((name, None) for name in channels if name in self.holding.channels)
            self.holding.released((), channels)
            self.leaving = [], []

    def join(self) -> None:
        self.joined += 1
        self.database.instances[f"instance {self.joined}"] = Listed(self.database.some_keys())

    def quit(self) -> None:
        others = sorted(self.database.instances.keys() - {ME})
        if others:
            del self.database.instances[self.random.choice(others)]

    def turn_blind(self) -> None:
        name, listed = self._any_instance()
        self.database.instances[name] = listed._replace(blind=not listed.blind)

    def relist(self) -> None:
        name, listed = self._any_instance()
        self.database.instances[name] = listed._replace(keys=self.database.some_keys())

    def others_free(self) -> None:
        for owners in (self.database.owners, self.database.channel_owners):
            owners.update((key, None) for key, owner in owners.items() if owner == OTHER and self.database.happens(0.3))

    def others_take_and_free(self) -> None:
        for owners in (self.database.owners, self.database.channel_owners):
            for key in [key for key, owner in owners.items() if owner != ME and self.random.random() < 0.5]:
                owners[key] = self.random.choice([None, OTHER])

    def compared(self) -> tuple[Moves, Moves]:
        """What :meth:`Holding.moves` is to return: a comparison of all tasks and of all channels."""
        mine = [wanted | adopting for wanted, adopting in zip(self.view.wanted, self.holding._to_adopt, strict=True)]
        adopted = self.holding._adopted
        return (
            moves(mine[0], self.recorder.tasks.keys(), adopted[0]),
            moves(mine[1], self.holding.channels.keys(), adopted[1]),
        )

    def _any_instance(self) -> tuple[str, Listed]:
        return self.random.choice(sorted(self.database.instances.items()))

    def _until_answered(self, call: Callable[[], T]) -> T:
        while True:
            self.in_call = True
            try:
                return call()
            except psycopg.OperationalError:
                pass
            finally:
                self.in_call = False


class HoldingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.patch(views, "PAUSE", 0)
        # Each look at the same members is also one for what none of them lists.
        self.patch(holdings, "ORPHANS", 0.0)

    def drive(self, seed: int) -> Driver:
        random = Random(seed)
        self.patch(holdings, "GAINED", random.choice([1, 2, 5]))
        self.patch(states, "PAGE", random.choice([1, 3, 50]))
        database = FakeDatabase(random)
        for module, names in FAKED.items():
            for name in names:
                self.patch(module, name, getattr(database, name))
        return Driver(database, random)

    def owned(self, owners: dict[str, str | None]) -> set[str]:
        return {key for key, owner in owners.items() if owner == ME}

    def test_what_changes_hands_is_compared_as_all_would_be(self) -> None:
        """
        After a gain or a release only what has changed hands is compared. Whatever happens, the result is that of a
        comparison of everything: instances join, leave, turn blind and list something else, others take what is free,
        and the connection is lost at any point. What is owned here is what the database says, and so are the states,
        whichever of them were read before.
        """
        known = 0
        for seed in range(RUNS):
            driver = self.drive(seed)
            for number in range(STEPS):
                where = f"seed {seed}, step {number}: {driver.step()}"
                self.assertEqual(driver.holding.moves(), driver.compared(), where)
                self.assertEqual(driver.recorder.tasks.keys(), self.owned(driver.database.owners), where)
                self.assertFalse(driver.recorder.tasks.keys() & driver.holding._to_adopt[0], where)
                self.assertEqual(driver.holding.channels.keys(), self.owned(driver.database.channel_owners), where)
                states = {key: record.state for key, record in driver.recorder.tasks.items()}
                self.assertEqual(states, {key: driver.database.states[key] for key in states}, where)
                self.assertLessEqual(driver.recorder.partial, states.keys(), where)
            known += driver.known
        self.assertGreater(known, RUNS)

    def test_when_members_change_what_none_of_them_lists_is_looked_for_later(self) -> None:
        driver = self.drive(0)
        cleaned: list[object] = []
        self.patch(membership, "clean", cleaned.append)
        found = []
        for step in (driver.look, driver.look, driver.join, driver.look, driver.look):
            step()
            found.append(len(cleaned))
        self.assertEqual(found, [0, 1, 1, 1, 2])
