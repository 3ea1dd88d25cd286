"""
The writer of an instance: it joins, renews the lease, and records calls and writes what they change, in one transaction
a turn. All in the writer's thread.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import NamedTuple, TypeVar

import psycopg
from twisted.python.failure import Failure

from pypinger.domain.model import Seconds
from pypinger.ports.sharing import Instance, InstanceHealth, InstanceListing, LeaseLost
from pypinger.ports.storing import Kept
from pypinger.store.accounting import millis
from pypinger.store.postgres import lease as leases
from pypinger.store.postgres import membership, silences
from pypinger.store.postgres.attempts import Attempts
from pypinger.store.postgres.connection import unusable
from pypinger.store.postgres.holding import Gained, Holding
from pypinger.store.postgres.keys import add_rows
from pypinger.store.postgres.lease import CommonClock, Lease, boottime
from pypinger.store.postgres.loading import load_common
from pypinger.store.postgres.recording import NotOwned, SharedRecorder
from pypinger.store.postgres.refused import without_nul
from pypinger.store.postgres.retention import sweep
from pypinger.store.postgres.states import KnownStates
from pypinger.store.postgres.tables import PostgresTables, Stale
from pypinger.store.postgres.upgrading import scripts, upgrade
from pypinger.store.postgres.view import MemberView, Said, applicant, foreseen, instances, namesakes, own_rows_gone
from pypinger.store.rows import encode
from pypinger.store.writer import BATCH, FIRST_SWEEP, SWEEP, Call

T = TypeVar("T")

#: How many ids of incidents are reserved at once, and for how many seconds, so that ids are about chronological.
IDS = 10
RESERVED: Seconds = 30.0


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


class SharedWriter:
    """
    Writes for one instance.

    :param name: of this instance, as it is configured.
    :ivar transactions: the ids of those that this instance made, and when, for the feeds, which remove them.
    :ivar keys: of tasks by their ids, as far as they are known; other threads only read them.
    """

    def __init__(self, url: str, name: str, keep_days: float, clock: CommonClock) -> None:
        self._name = name
        self._keep_days = keep_days
        self._clock = clock
        self._attempts = Attempts(url, name)
        self.transactions: dict[int, Seconds] = {}
        self.keys: dict[int, str] = {}
        self._listing = InstanceListing(frozenset(), frozenset())
        self._recorder = SharedRecorder(self._reserve, self._complete)
        self._tables = PostgresTables(name)
        self._holding = Holding(self._attempts.lease, self._recorder, MemberView(), self.keys, KnownStates(""), None)
        # The ids under which this process may have joined.
        self._ids: list[str] = []
        self._written = 0
        self._wrote = self._reserved = 0.0
        self._sweep: Iterator[None] | None = None
        self._sweeps = boottime() + FIRST_SWEEP

    @property
    def lease(self) -> Lease:
        """The present lease."""
        return self._attempts.lease

    @property
    def states(self) -> KnownStates:
        """What is known of the tasks of others under the present lease."""
        return self._holding.states

    @property
    def trouble(self) -> str:
        """Why the latest attempt failed; empty if it did not."""
        return self._attempts.trouble

    def abort(self) -> None:
        """Make what waits for the server fail at once; for other threads."""
        self._attempts.link.abort()

    def open(self, listing: InstanceListing) -> tuple[Kept, list[Gained]]:
        """
        Connect, make or upgrade the schema, join, and gain what is free.

        :raises StoreError: the database cannot be used.
        """
        link = self._attempts.link
        try:
            kept = self.join(listing)
            self.beat(self.lease, InstanceHealth(), listing)
            parts, beaten = [], boottime()
            while (part := self.gain(self.lease)) is not None:
                parts.append(part)
                if boottime() >= beaten + leases.BEAT:
                    self.beat(self.lease, InstanceHealth(), listing)
                    beaten = boottime()
        except BaseException as error:
            link.drop()
            if isinstance(error, psycopg.Error | ValueError):
                raise unusable(link.url, error) from error
            if isinstance(error, LeaseLost):
                raise unusable(link.url, psycopg.OperationalError(str(error))) from error
            raise
        return kept, parts

    def join(self, listing: InstanceListing) -> Kept:
        """
        Make or upgrade the schema, read the states of others' tasks, join, and load what belongs to no task.

        :raises psycopg.Error, StoreError: the database cannot be used.
        :raises ValueError: a row is damaged.
        """
        link = self._attempts.link
        try:
            return self._join(link.connection(), listing)
        except BaseException:
            link.drop()
            raise

    def _join(self, connection: psycopg.Connection, listing: InstanceListing) -> Kept:
        upgrade(connection, self._attempts.link.url, scripts())
        # It may be another database.
        self.keys.clear()
        add_rows(connection, listing.tasks, listing.channels, self.keys)
        applying, gone = applicant(self._name, listing), own_rows_gone(membership.rows(connection), self._ids)
        gone |= namesakes(connection, self._name, applying.process, gone)
        me = uuid.uuid4().hex[:16]
        states = KnownStates(me)
        # Before it joins: once it has, tasks of others are to change hands within seconds.
        if any(row.id not in gone for row in membership.rows(connection)):
            membership.notify(connection, f"coming {self._name}")
            states.read(connection)
        view = foreseen(connection, applying, listing, gone)
        self._ids.append(me)
        sent = boottime()
        joined = membership.join(connection, me, applying, gone)
        self._ids = [me]
        self._clock.learn(sent, boottime(), joined.now)
        recorder = SharedRecorder(self._reserve, self._complete)
        kept = load_common(connection, recorder, joined.name, millis(joined.now), alone=joined.alone)
        membership.life(connection)
        lease = Lease(me, joined.name, sent)
        self._listing, self._recorder, self._tables = listing, recorder, PostgresTables(joined.name)
        self._holding = Holding(lease, recorder, view, self.keys, states, connection)
        self._written = 0
        self.transactions.clear()
        self._attempts.begin(lease)
        return kept

    def foresee(self, name: str) -> None:
        """See :meth:`~pypinger.store.postgres.view.MemberView.foresee`."""
        self._holding.foresee(name)

    def turn(self, lease: Lease, calls: Sequence[Call], *, urgent: bool = False, last: bool = False) -> SharedTurn:
        """
        Record the calls, and write what is pending if a caller waits or it is time.

        :raises LeaseLost: all that is pending was dropped.
        """
        self._attempts.check(lease)
        recorder, refused, failures = self._recorder, set(), []
        recorder.expect(calls)
        for number, (call, args) in enumerate(calls):
            try:
                call(recorder, *args)
            except NotOwned:
                refused.add(number)
            except LeaseLost:
                raise
            except Exception:
                failures.append((f"recording {call.__name__}", Failure()))
        if recorder.unwritten and (urgent or last or boottime() >= self._wrote + BATCH):
            self._write(lease)
        more = False
        if not urgent and not last:
            try:
                more = self._delete()
            except (psycopg.OperationalError, psycopg.InterfaceError):
                # The connection is lost; who writes next connects anew, and the next sweep deletes what is left.
                self._sweep = None
            except psycopg.Error:
                self._sweep = None
                failures.append(("deleting old history", Failure()))
        return SharedTurn(frozenset(refused), failures, more)

    def beat(self, lease: Lease, health: InstanceHealth, listing: InstanceListing) -> Beat:
        """
        Renew the lease, look at the members, and bury those whose lease is over.

        :raises LeaseLost: it could not be renewed.
        """
        self._attempts.check(lease)
        said = without_nul(encode(Said(health, len(self._recorder.tasks), tuple(sorted(self._holding.channels)))))

        def renew(connection: psycopg.Connection) -> None:
            sent = boottime()
            now = membership.renew(connection, lease.id, health.blind is not None, said, fenced=leases.FENCED)
            if now is None:
                raise Stale("the lease of this instance ran out")
            lease.renew(sent)
            self._clock.learn(sent, boottime(), now)
            membership.life(connection)

        self._attempts.run(lease, renew)
        if listing is not self._listing:
            self._attempts.run(lease, lambda connection: self._relist(connection, listing))
        if boottime() >= self._reserved + RESERVED:
            self._recorder.forget_ids()
        rows = self._attempts.run(lease, self._holding.look)
        tasks, channels = self._holding.moves()
        others = [row.left for row in rows if row.id != lease.id]
        wanting = bool(tasks.gain or channels.gain)
        return Beat(instances(rows), (tasks.leave, channels.leave), wanting, min(others, default=leases.TTL))

    def gain(self, lease: Lease) -> Gained | None:
        """
        Own some of the tasks, or the channels, that are free and that this instance is to own; None if there are none.

        :raises LeaseLost: the lease is over.
        """
        self._attempts.check(lease)
        return self._attempts.run(lease, lambda connection: self._holding.gain(connection, millis(self._clock.now())))

    def run(self, lease: Lease, act: Callable[[psycopg.Connection], T]) -> T:
        """
        Do something else with the connection; it may be done twice.

        :raises LeaseLost: the lease is over.
        """
        self._attempts.check(lease)
        return self._attempts.run(lease, act)

    def close(self) -> None:
        """Leave, if the lease lasts, and close the connection."""
        lease = self.lease
        try:
            if lease.alive():
                membership.quit(self._attempts.link.connection(), lease.id)
        finally:
            lease.end("it has left")
            self._attempts.link.drop()

    def _write(self, lease: Lease) -> None:
        """Write all that is pending, once."""
        recorder, holding = self._recorder, self._holding
        number = self._written + 1

        def write(connection: psycopg.Connection) -> None:
            try:
                with connection.transaction():
                    if not self._fence(connection, lease, number):
                        return
                    pending = recorder.pending
                    fenced = leases.FENCED
                    self._tables.write(connection, pending, lease.id, holding.channels, fenced=fenced)
                    silences.write(connection, recorder.silence_changes)
                    for tasks, channels in recorder.releases:
                        membership.release(connection, lease.id, holding.remember(tasks), channels)
                    membership.notify(connection, *recorder.news)
            except BaseException:
                self._tables.forget(recorder.pending)
                raise

        self._attempts.run(lease, write)
        self._written = number
        self._wrote = boottime()
        for tasks, channels in recorder.releases:
            holding.released(tasks, channels)
        recorder.written()

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
        query = "SELECT nextval('incident_id') FROM generate_series(1, %s)"
        return self._attempts.run(self.lease, lambda connection: [id for (id,) in connection.execute(query, (IDS,))])

    def _complete(self, tasks: Collection[str]) -> None:
        self._attempts.run(self.lease, lambda connection: self._holding.complete(connection, tasks))

    def _relist(self, connection: psycopg.Connection, listing: InstanceListing) -> None:
        add_rows(connection, listing.tasks, listing.channels, self.keys)
        membership.relist(connection, self.lease.id, applicant(self._name, listing))
        self._listing = listing

    def _delete(self) -> bool:
        """Delete some of the old history if it is time; returns whether some is left."""
        if self._sweep is None:
            if boottime() < self._sweeps:
                return False
            self._sweeps = boottime() + SWEEP
            self._sweep = sweep(self._attempts.link.connection(), self._keep_days, millis(self._clock.now()))
        if next(self._sweep, self) is self:
            self._sweep = None
        return self._sweep is not None
