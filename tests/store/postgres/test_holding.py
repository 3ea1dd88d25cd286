"""What an instance owns, gains and releases, over a database in memory."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from random import Random
from typing import NamedTuple, TypeVar, cast

import psycopg
from twisted.trial.unittest import SynchronousTestCase

from pypinger.domain.sharing import Moves, moves
from pypinger.store.postgres import holding as holdings
from pypinger.store.postgres import membership
from pypinger.store.postgres import view as views
from pypinger.store.postgres.holding import Holding
from pypinger.store.postgres.lease import Lease, boottime
from pypinger.store.postgres.loading import KeptChannels
from pypinger.store.postgres.membership import InstanceRow
from pypinger.store.postgres.recording import SharedRecorder
from pypinger.store.postgres.view import Keys, MemberView
from pypinger.store.rows import TaskRecord

ME = "me"
OTHER = "other"
TASKS = [f"task {number}" for number in range(12)]
CHANNELS = ["email", "ntfy", "slack"]
IDS = {key: number for number, key in enumerate(TASKS, 1)}
RUNS = 100
STEPS = 60

#: What the fake database does instead.
FAKED = {
    membership: [
        *("rows", "listing_of", "clean", "unlisted"),
        *("free_tasks", "free_channels", "take_tasks", "take_channels", "snapshot"),
    ],
    holdings: ["load_tasks", "load_channels"],
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
    """

    def __init__(self, random: Random) -> None:
        self._random = random
        self.owners: dict[str, str | None] = dict.fromkeys(TASKS)
        self.channel_owners: dict[str, str | None] = dict.fromkeys(CHANNELS)
        self.instances = {ME: Listed(self.some_keys())}
        self.failing = 0.0

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

    def take_tasks(self, _: object, me: str, ids: Sequence[int], *, fenced: bool) -> list[int]:
        self._answer()
        keys = [key for key in TASKS if IDS[key] in ids]
        if self.happens(0.2):
            # Another instance was faster.
            stolen = self._random.choice(keys)
            self.owners[stolen] = self.owners[stolen] or OTHER
        return [IDS[key] for key in self._take(self.owners, me, keys)]

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
        return [TaskRecord(id, key) for key, id in IDS.items() if id in ids]

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
        self.recorder = SharedRecorder(lambda: [1])
        self.view = MemberView()
        self.holding = Holding(Lease(ME, ME, boottime()), self.recorder, self.view, {})
        self.joined = 0
        # What is being left: it is released later, the tasks first.
        self.leaving: tuple[list[str], list[str]] = ([], [])
        self.steps: list[Callable[[], object]] = [
            *[self.look, self.leave, self.release] * 2,
            *[self.gain] * 3,
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
        self._until_answered(lambda: self.holding.gain(self.connection, 0))

    def leave(self) -> None:
        if not any(self.leaving):
            tasks, channels = self.holding.moves()
            self.leaving = sorted(tasks.leave), sorted(channels.leave)

    def release(self) -> None:
        tasks, channels = self.leaving
        if tasks:
            part = tasks[:2]
            left = self.holding.ids(part)
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
            try:
                return call()
            except psycopg.OperationalError:
                pass


class HoldingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.patch(views, "PAUSE", 0)
        # Each look is also one for what no instance lists.
        self.patch(holdings, "ORPHANS", 0.0)

    def drive(self, seed: int) -> Driver:
        random = Random(seed)
        self.patch(holdings, "GAINED", random.choice([1, 2, 5]))
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
        and the connection is lost at any point. What is owned here is what the database says.
        """
        for seed in range(RUNS):
            driver = self.drive(seed)
            for number in range(STEPS):
                where = f"seed {seed}, step {number}: {driver.step()}"
                self.assertEqual(driver.holding.moves(), driver.compared(), where)
                self.assertEqual(driver.recorder.tasks.keys(), self.owned(driver.database.owners), where)
                self.assertFalse(driver.recorder.tasks.keys() & driver.holding._to_adopt[0], where)
                self.assertEqual(driver.holding.channels.keys(), self.owned(driver.database.channel_owners), where)
