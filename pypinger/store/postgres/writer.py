"""
The writer of an instance: its transactions, its lease, and what it takes over. All in the writer's thread.

Note [Attempts]
~~~~~~~~~~~~~~~
While the database is away, the writer's thread tries again until the lease is over, so that a short restart loses
nothing. It connects anew, and asks :attr:`instance.written` whether the transaction was committed after all. Then the
lease is ended, and all that was to be written is dropped: another instance may have taken over.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection, Sequence
from typing import Any, NamedTuple, TypeAlias, TypeVar

import psycopg
from twisted.python.failure import Failure

from pypinger.domain.model import Seconds
from pypinger.domain.sharing import moves
from pypinger.ports.sharing import Health, Instance, LeaseLost, Listing
from pypinger.ports.storing import Kept, StoreError
from pypinger.store.accounting import millis
from pypinger.store.postgres import lease as leases
from pypinger.store.postgres import membership, silences
from pypinger.store.postgres.connection import unusable, words_of
from pypinger.store.postgres.lease import CommonClock, Lease, boottime
from pypinger.store.postgres.link import Link
from pypinger.store.postgres.loading import load_channels, load_common, load_tasks
from pypinger.store.postgres.recording import NotOwned, SharedRecorder
from pypinger.store.postgres.retention import sweep
from pypinger.store.postgres.tables import PostgresTables, Stale, without_nul
from pypinger.store.postgres.upgrading import scripts, upgrade
from pypinger.store.postgres.view import MemberView, Said, applicant, instances
from pypinger.store.rows import encode
from pypinger.store.writer import BATCH, FIRST_SWEEP, SWEEP

T = TypeVar("T")

#: A method of :class:`~pypinger.store.recorder.Recorder`, and its arguments.
Call: TypeAlias = tuple[Callable[..., None], tuple[Any, ...]]

#: How many tasks are gained in one transaction, and given to the runtime at once.
GAINED = 1000

#: Seconds between two attempts, at first and at most.
PAUSE: Seconds = 0.05
LONGEST_PAUSE: Seconds = 0.5

#: Seconds between two looks for what no instance lists.
ORPHANS: Seconds = 5.0

#: How many ids of incidents are reserved at once.
IDS = 10


class SharedTurn(NamedTuple):
    """
    The result of a turn.

    :ivar refused: the numbers of the calls about tasks that this instance does not own.
    :ivar failures: unexpected errors, each with what was being done.
    :ivar more: whether old history remains to be deleted.
    """

    refused: frozenset[int]
    failures: list[tuple[str, Failure]]
    more: bool


class Beat(NamedTuple):
    """
    The result of a renewal.

    :ivar members: all instances.
    :ivar leave: tasks and channels that another instance is to own.
    :ivar wanting: whether this one is to own more than it does.
    :ivar next_end: seconds until the lease of another instance ends, if it is not renewed.
    """

    members: tuple[Instance, ...]
    leave: tuple[frozenset[str], frozenset[str]]
    wanting: bool
    next_end: Seconds


class Gained(NamedTuple):
    """
    What was gained.

    :ivar snapshot: of the database, from before channels were loaded.
    :ivar more: whether more may be free.
    """

    kept: Kept
    snapshot: str
    more: bool


class SharedWriter:
    """
    :param name: of this instance, as it is configured.
    :ivar lease: the present lease.
    :ivar trouble: why the latest attempt failed; empty if it did not.
    :ivar transactions: the ids of transactions that this instance made, and when, for the feeds, which remove them.
    """

    def __init__(self, url: str, name: str, keep_days: float, clock: CommonClock) -> None:
        self._name = name
        self._keep_days = keep_days
        self._clock = clock
        self.link = Link(url, f"{name} writes")
        self.lease = Lease("", name, 0.0)
        self.lease.end("it has not joined yet")
        self.trouble = ""
        self.transactions: dict[int, Seconds] = {}
        self._listing = Listing(frozenset(), frozenset())
        self._recorder = SharedRecorder(self._reserve)
        self._tables = PostgresTables(name)
        self._view = MemberView()
        self._channels: dict[str, int] = {}
        self._ids: list[str] = []
        self._unsure = False
        self._adopted: tuple[set[str], set[str]] = (set(), set())
        self._to_adopt: tuple[frozenset[str], frozenset[str]] = (frozenset(), frozenset())
        self._written = 0
        self._wrote = self._looked = self._reserved = 0.0
        self._sweep: Any = None
        self._sweeps = boottime() + FIRST_SWEEP

    def open(self, listing: Listing) -> tuple[Kept, list[Gained]]:
        """
        Connect, make or upgrade the schema, join, and gain what is free.

        :raises StoreError: the database cannot be used.
        """
        try:
            upgrade(self.link.connection(), self.link.url, scripts())
            kept = self.join(listing)
            self._look(self.link.connection())
            parts = []
            while (part := self.gain(self.lease)) is not None:
                parts.append(part)
            self.beat(self.lease, Health(), listing)
        except (psycopg.Error, ValueError) as error:
            self.link.drop()
            raise unusable(self.link.url, error) from error
        except LeaseLost as error:
            self.link.drop()
            raise StoreError(f"[store] url: {error}; try again") from error
        return kept, parts

    def join(self, listing: Listing) -> Kept:
        """
        Join with a new lease, and load what belongs to no task.

        :raises psycopg.Error: the database cannot be reached.
        """
        self.trouble = ""
        connection = self.link.connection()
        known = membership.rows(connection)
        gone = self._view.gone(known, None)
        # Those of this process, be it that an answer was lost.
        gone.update({row.id: row.until for row in known if row.id in self._ids})
        me = uuid.uuid4().hex[:16]
        self._ids.append(me)
        sent = boottime()
        joined = membership.join(connection, me, applicant(self._name, listing), gone)
        self._ids = [me]
        self._clock.learn(sent, boottime(), joined.now)
        self._recorder = SharedRecorder(self._reserve)
        self._tables = PostgresTables(joined.name)
        self._channels = {}
        self._adopted = set(), set()
        self._written = 0
        self._view = MemberView()
        kept = load_common(connection, self._recorder, joined.name, millis(joined.now), alone=joined.alone)
        membership.life(connection)
        membership.add(connection, "task", listing.tasks)
        membership.add(connection, "channel", listing.channels)
        self._listing = listing
        self.lease = Lease(me, joined.name, sent)
        return kept

    def turn(self, lease: Lease, calls: Sequence[Call], *, urgent: bool = False, last: bool = False) -> SharedTurn:
        """
        Record the calls, and write what is pending if a caller waits or it is time.

        :raises LeaseLost: all that is pending was dropped.
        """
        self._current(lease)
        recorder, refused, failures = self._recorder, set(), []
        for number, (call, args) in enumerate(calls):
            try:
                call(recorder, *args)
            except NotOwned:
                refused.add(number)
            except LeaseLost:
                raise
            except Exception:
                failures.append((f"recording {call.__name__}", Failure()))
        if (recorder.pending or recorder.silence_changes) and (urgent or last or boottime() >= self._wrote + BATCH):
            self._write(lease)
        more = False
        if not urgent and not last:
            try:
                more = self._delete()
            except psycopg.Error:
                self._sweep = None
                failures.append(("deleting old history", Failure()))
        return SharedTurn(frozenset(refused), failures, more)

    def beat(self, lease: Lease, health: Health, listing: Listing) -> Beat:
        """
        Renew the lease, look at the members, and bury those whose lease is over.

        :raises LeaseLost: it could not be renewed.
        """
        self._current(lease)
        said = Said(health, len(self._recorder.tasks), tuple(sorted(self._channels)))
        encoded = without_nul(encode(said))

        def renew(connection: psycopg.Connection) -> None:
            sent = boottime()
            now = membership.renew(connection, lease.id, health.blind is not None, encoded, fenced=leases.FENCED)
            if now is None:
                raise Stale("the lease of this instance ran out")
            lease.renew(sent)
            self._clock.learn(sent, boottime(), now)
            membership.life(connection)

        self._try(lease, renew)
        if listing is not self._listing:
            self._try(lease, lambda connection: self._relist(connection, listing))
        rows = self._try(lease, self._look)
        wanted, held = self._view.wanted, self._held()
        tasks, channels = (moves(wanted[part], held[part], self._adopted[part]) for part in (0, 1))
        others = [row.left for row in rows if row.id != lease.id]
        wanting = bool(tasks.gain or channels.gain or any(self._to_adopt))
        return Beat(instances(rows), (tasks.leave, channels.leave), wanting, min(others, default=leases.TTL))

    def gain(self, lease: Lease) -> Gained | None:
        """
        Own some of the tasks, or the channels, that are free and that this instance is to own; None if there are none.

        :raises LeaseLost: the lease is over.
        """
        self._current(lease)
        return self._try(lease, lambda connection: self._gain(connection, lease))

    def release(self, lease: Lease, tasks: Collection[str], channels: Collection[str]) -> None:
        """
        Write what is pending, then free tasks and channels.

        :raises LeaseLost: the lease is over.
        """
        self._current(lease)
        self._write(lease)
        self._try(lease, lambda connection: membership.release(connection, lease.id, tasks, channels))
        for key in tasks:
            self._recorder.tasks.pop(key, None)
            self._adopted[0].discard(key)
        for name in channels:
            self._channels.pop(name, None)
            self._adopted[1].discard(name)

    def run(self, lease: Lease, act: Callable[[psycopg.Connection], T]) -> T:
        """
        Do something else with the connection; it may be done twice.

        :raises LeaseLost: the lease is over.
        """
        self._current(lease)
        return self._try(lease, act)

    def close(self) -> None:
        """Leave, if the lease lasts, and close the connection."""
        lease = self.lease
        try:
            if lease.alive():
                membership.quit(self.link.connection(), lease.id)
        finally:
            lease.end("it has left")
            self.link.drop()

    def _current(self, lease: Lease) -> None:
        if lease is not self.lease or not lease.alive():
            lease.end(self.trouble or "its lease ran out")
            raise LeaseLost(lease.words)

    def _try(self, lease: Lease, act: Callable[[psycopg.Connection], T]) -> T:
        """See Note [Attempts]."""
        pause = PAUSE
        while True:
            try:
                result = act(self.link.connection())
            except Stale as error:
                lease.end(str(error))
                raise LeaseLost(lease.words) from error
            except (psycopg.Error, StoreError) as error:
                self.trouble = words_of(error, self.link.url)
                if not isinstance(error, psycopg.errors.DeadlockDetected):
                    self.link.drop()
            else:
                self.trouble = ""
                return result
            lease.wait(pause)
            pause = min(2 * pause, LONGEST_PAUSE)
            self._current(lease)

    def _write(self, lease: Lease) -> None:
        """Write all that is pending, once."""
        recorder = self._recorder
        number = self._written + 1

        def write(connection: psycopg.Connection) -> None:
            try:
                with connection.transaction():
                    if not self._fence(connection, lease, number):
                        return
                    pending = recorder.pending
                    fenced = leases.FENCED
                    self._tables.write(connection, pending, lease.id, self._channels, fenced=fenced)
                    silences.write(connection, recorder.silence_changes)
                    for what, parts in (
                        ("tasks", pending.tasks),
                        ("deliveries", pending.deliveries),
                        ("silences", recorder.silence_changes),
                    ):
                        if parts:
                            membership.notify(connection, what)
            except BaseException:
                self._tables.forget(recorder.pending)
                raise

        self._try(lease, write)
        self._written = number
        self._wrote = boottime()
        recorder.pending.clear()
        recorder.silence_changes.clear()
        recorder.outbox.clear()

    def _fence(self, connection: psycopg.Connection, lease: Lease, number: int) -> bool:
        """Whether this transaction is to be written: see Note [Fence] in the module of the lease."""
        row = connection.execute(
            "UPDATE instance SET written = %s WHERE id = %s AND until > clock_timestamp() AND written < %s"
            " RETURNING pg_current_xact_id()::text::bigint",
            (number, lease.id, number),
        ).fetchone()
        if row is not None:
            self.transactions[row[0]] = boottime()
            return True
        written = connection.execute("SELECT written FROM instance WHERE id = %s", (lease.id,)).fetchone()
        if written == (number,):
            return False
        if leases.FENCED:
            raise Stale("the lease of this instance ran out")
        return True

    def _reserve(self) -> Sequence[int]:
        self._reserved = boottime()
        return self._try(
            self.lease,
            lambda connection: [
                id for (id,) in connection.execute("SELECT nextval('incident_id') FROM generate_series(1, %s)", (IDS,))
            ],
        )

    def _relist(self, connection: psycopg.Connection, listing: Listing) -> None:
        membership.add(connection, "task", listing.tasks)
        membership.add(connection, "channel", listing.channels)
        membership.relist(connection, self.lease.id, applicant(self._name, listing))
        self._listing = listing

    def _look(self, connection: psycopg.Connection) -> list[membership.InstanceRow]:
        """Look at the members, and at times for what none of them lists."""
        lease = self.lease
        rows = membership.rows(connection)
        gone = self._view.gone(rows, lease.id)
        if gone:
            membership.bury(connection, gone)
            rows = membership.rows(connection)
        self._view.update(rows, lease.name, lambda id: membership.listing_of(connection, id))
        for part in (0, 1):
            self._adopted[part].difference_update(self._view.listed[part])
        if boottime() >= self._reserved + 30:
            self._recorder.forget_ids()
        if boottime() >= self._looked + ORPHANS:
            self._looked = boottime()
            membership.free_ownerless(connection)
            free = [membership.free(connection, table) for table in ("task", "channel")]
            self._to_adopt = membership.unlisted(
                connection, free[0] - self._view.listed[0], free[1] - self._view.listed[1]
            )
        return rows

    def _held(self) -> tuple[set[str], set[str]]:
        return set(self._recorder.tasks), set(self._channels)

    def _gain(self, connection: psycopg.Connection, lease: Lease) -> Gained | None:
        held = self._held()
        # After an error it may own what it does not know of.
        me = lease.id if self._unsure else None
        self._unsure = True
        wanted = [
            (self._view.wanted[part] | self._to_adopt[part]) & membership.free(connection, table, me) - held[part]
            for part, table in ((0, "task"), (1, "channel"))
        ]
        if wanted[1]:
            return self._gain_channels(connection, lease, wanted[1], bool(wanted[0]))
        if not wanted[0]:
            self._to_adopt = frozenset(), frozenset()
            self._unsure = False
            return None
        keys = sorted(wanted[0])[:GAINED]
        with connection.transaction():
            ids = membership.take_tasks(connection, lease.id, keys, fenced=leases.FENCED)
            records = load_tasks(connection, ids)
        self._unsure = False
        states = {}
        for record in records:
            self._recorder.tasks[record.key] = record
            states[record.key] = record.state
            if record.key not in self._view.listed[0]:
                self._adopted[0].add(record.key)
        more = len(wanted[0]) > GAINED
        return Gained(Kept(states=states, deliveries=(), dead=0, channels=frozenset()), "", more)

    def _gain_channels(
        self, connection: psycopg.Connection, lease: Lease, names: Collection[str], more: bool
    ) -> Gained:
        with connection.transaction():
            epochs = membership.take_channels(connection, lease.id, names, fenced=leases.FENCED)
            row = connection.execute("SELECT pg_current_snapshot()::text").fetchone()
            loaded = load_channels(connection, sorted(epochs), millis(self._clock.now()))
        self._unsure = False
        self._channels.update(epochs)
        self._adopted[1].update(epochs.keys() - self._view.listed[1])
        kept = Kept(
            states={},
            deliveries=loaded.deliveries,
            dead=loaded.dead,
            told=loaded.told,
            dead_channels=frozenset(loaded.refusals),
            refusals=loaded.refusals,
            channels=frozenset(epochs),
        )
        return Gained(kept, "" if row is None else row[0], more)

    def _delete(self) -> bool:
        """Delete some of the old history if it is time; returns whether some is left."""
        if self._sweep is None:
            if boottime() < self._sweeps:
                return False
            self._sweeps = boottime() + SWEEP
            self._sweep = sweep(self.link.connection(), self._keep_days, millis(self._clock.now()))
        if next(self._sweep, self) is self:
            self._sweep = None
        return self._sweep is not None
