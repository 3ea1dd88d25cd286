"""What this instance owns, gains and releases, in the writer's thread."""

from __future__ import annotations

from collections.abc import Collection, Container, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

import psycopg
from msgspec.structs import replace
from twisted.logger import Logger

from pypinger.domain.model import Seconds
from pypinger.domain.sharing import Moves, moved, moves
from pypinger.ports.storing import Kept
from pypinger.store.accounting import Millis
from pypinger.store.postgres import lease as leases
from pypinger.store.postgres import membership
from pypinger.store.postgres.lease import Lease, boottime
from pypinger.store.postgres.loading import load_channels, load_incidents, load_tasks
from pypinger.store.postgres.membership import InstanceRow
from pypinger.store.postgres.recording import SharedRecorder
from pypinger.store.postgres.states import NOTHING, KnownStates, changed_since
from pypinger.store.postgres.view import Keys, MemberView
from pypinger.store.rows import TaskRecord

#: How many tasks are gained in one transaction, and given to the runtime at once.
GAINED = 5000

#: Seconds between two looks for what no instance lists.
ORPHANS: Seconds = 5.0

_log = Logger()

_NOTHING: Keys = (frozenset(), frozenset())


class Gained(NamedTuple):
    """
    What was gained.

    :ivar snapshot: of the database, from before channels were loaded.
    :ivar more: whether more may be free.
    :ivar wanting: whether this instance is to own still more than it does.
    """

    kept: Kept
    snapshot: str
    more: bool
    wanting: bool


class Holding:
    """
    What is owned under one lease.

    :param recorder: holds the tasks.
    :param view: of the members.
    :param keys: of tasks by their ids, as far as they are known.
    :param states: what is known of the tasks of others.
    :param connection: over which the instance has joined.
    :ivar channels: those that are owned -> their epochs.
    """

    def __init__(
        self,
        lease: Lease,
        recorder: SharedRecorder,
        view: MemberView,
        keys: dict[int, str],
        states: KnownStates,
        connection: psycopg.Connection | None,
    ) -> None:
        self._lease = lease
        self._recorder = recorder
        self._view = view
        self.channels: dict[str, int] = {}
        # Owned although no instance lists them, and to be owned for that reason.
        self._adopted: tuple[set[str], set[str]] = (set(), set())
        self._to_adopt: Keys = _NOTHING
        self._keys = keys
        self.states = states
        self._connection = connection
        # What is to be gained and left; None once it may have changed.
        self._moves: tuple[Moves, Moves] | None = None
        # The ids of tasks that are to be gained, and were free at the latest look.
        self._free: list[int] = []
        self._looked = 0.0
        # Whether the answer to a transaction may have been lost: then more may be owned than is known.
        self._unsure = False

    def foresee(self, name: str) -> None:
        """See :meth:`~pypinger.store.postgres.view.MemberView.foresee`."""
        self._view.foresee(name)

    def look(self, connection: psycopg.Connection) -> list[InstanceRow]:
        """Look at the members, bury those whose lease is over, and look at times for what none of them lists."""
        rows = membership.rows(connection)
        gone = self._view.gone(rows, self._lease.id)
        if gone:
            membership.bury(connection, gone)
            rows = membership.rows(connection)
        changed = self._view.update(rows, self._lease.name, lambda row: membership.listing_of(connection, row))
        if changed:
            self._free = []
            self._moves = None
        listed = self._view.listed
        for adopted, part in zip(self._adopted, listed, strict=True):
            adopted.difference_update(part)
        # If they have changed, what is to change hands does so first.
        if not changed and boottime() >= self._looked + ORPHANS:
            self._looked = boottime()
            membership.clean(connection)
            tasks = membership.free_tasks(connection, self._keys).keys() - listed[0]
            channels = membership.free_channels(connection) - listed[1]
            to_adopt = membership.unlisted(connection, tasks, channels) if tasks or channels else _NOTHING
            if to_adopt != self._to_adopt:
                # Comparing what is owned with what is to be takes long, with thousands of tasks.
                self._to_adopt = to_adopt
                self._moves = None
        return rows

    def moves(self) -> tuple[Moves, Moves]:
        """What is to be gained and left, of tasks and of channels."""
        if self._moves is None:
            held = frozenset(self._recorder.tasks), frozenset(self.channels)
            tasks, channels = (
                moves(self._view.wanted[part] | self._to_adopt[part], held[part], self._adopted[part])
                for part in (0, 1)
            )
            self._moves = tasks, channels
        return self._moves

    def gain(self, connection: psycopg.Connection, now: Millis) -> Gained | None:
        """Own all channels, or some of the tasks, that are free and to be owned; None if there are none."""
        # See Note [Known states].
        since = self.states.snapshot if connection is self._connection and not self._unsure else NOTHING
        me = self._lease.id if self._unsure else None
        self._unsure = True
        kept, snapshot = None, ""
        if not self._free:
            tasks, channels = self.moves()
            names = channels.gain & membership.free_channels(connection, me) if channels.gain else None
            if names:
                kept, snapshot = self._gain_channels(connection, names, now)
            else:
                free = membership.free_tasks(connection, self._keys, me)
                self._free = [id for key, id in free.items() if key in tasks.gain]
        if self._free:
            kept = self._gain_tasks(connection, self._free[-GAINED:], since)
            del self._free[-GAINED:]
        gained = None
        if kept is not None:
            tasks_gained, channels_gained = kept.states.keys(), kept.channels or frozenset()
            if self._to_adopt != _NOTHING:
                self._to_adopt = self._to_adopt[0] - tasks_gained, self._to_adopt[1] - channels_gained
            self._changed(tasks_gained, channels_gained)
            wanting = any(part.gain for part in self.moves())
            gained = Gained(kept, snapshot, more=bool(self._free or channels_gained), wanting=wanting)
        elif self._to_adopt != _NOTHING:
            self._to_adopt = _NOTHING
            self._moves = None
        self._unsure = False
        return gained

    def complete(self, connection: psycopg.Connection, tasks: Collection[str]) -> None:
        """Load the rest of these tasks; only their states are known."""
        recorder, rest = self._recorder, [*tasks]
        while rest:
            part = rest[-GAINED:]
            known = {record.id: record for record in (recorder.tasks[key] for key in part)}
            for record in _load(connection, {id: each.epoch for id, each in known.items()}):
                record.state = known[record.id].state
                recorder.tasks[record.key] = record
            recorder.partial.difference_update(part)
            del rest[-GAINED:]

    def remember(self, tasks: Collection[str]) -> list[int]:
        """Remember the states of tasks that others will own; returns the ids of those that are owned."""
        owned = self._recorder.tasks
        states = {owned[key].id: owned[key].state for key in tasks if key in owned}
        self.states.by_id.update(states)
        return [*states]

    def released(self, tasks: Collection[str], channels: Collection[str]) -> None:
        """Forget what is owned no more."""
        for key in tasks:
            self._recorder.tasks.pop(key, None)
        self._recorder.partial.difference_update(tasks)
        for name in channels:
            self.channels.pop(name, None)
        self._adopted[0].difference_update(tasks)
        self._adopted[1].difference_update(channels)
        self._changed(tasks, channels)

    def _changed(self, tasks: Collection[str], channels: Collection[str]) -> None:
        """Some have been gained or released: comparing all takes long, with thousands of tasks."""
        if self._moves is None:
            return
        found = []
        holds: tuple[Container[str], Container[str]] = self._recorder.tasks, self.channels
        for part, changed in enumerate((frozenset(tasks), frozenset(channels))):
            mine = (changed & self._view.wanted[part]) | (changed & self._to_adopt[part])
            owned = {key for key in changed if key in holds[part]}
            found.append(moved(self._moves[part], changed, mine, owned, self._adopted[part]))
        self._moves = found[0], found[1]

    def _gain_tasks(self, connection: psycopg.Connection, ids: Sequence[int], since: str) -> Kept:
        with connection.transaction():
            taken = membership.take_tasks(connection, self._lease.id, ids, fenced=leases.FENCED)
        # After the transaction: while this instance reads, those who join need not wait for the lock of membership.
        changed = taken.keys() if since == NOTHING else changed_since(connection, since)
        by_id, recorder = self.states.by_id, self._recorder
        known = {id: state for id in taken if (state := by_id.pop(id, None)) is not None and id not in changed}
        records = _load(connection, {id: epoch for id, epoch in taken.items() if id not in known})
        self._keys.update((record.id, record.key) for record in records)
        states = {record.key: record.state for record in records}
        recorder.tasks.update({record.key: record for record in records})
        for id, state in known.items():
            record = TaskRecord(id, self._keys[id], taken[id])
            record.state = states[record.key] = state
            recorder.tasks[record.key] = record
            recorder.partial.add(record.key)
        unlisted = states.keys() - self._view.listed[0]
        self._adopted[0].update(unlisted)
        return Kept(states, deliveries=(), dead=0, channels=frozenset(), unlisted=frozenset(unlisted))

    def _gain_channels(self, connection: psycopg.Connection, names: Collection[str], now: Millis) -> tuple[Kept, str]:
        with connection.transaction():
            epochs = membership.take_channels(connection, self._lease.id, names, fenced=leases.FENCED)
            snapshot = membership.snapshot(connection)
        loaded = load_channels(connection, sorted(epochs), now)
        self.channels.update(epochs)
        unlisted = epochs.keys() - self._view.listed[1]
        self._adopted[1].update(unlisted)
        kept = Kept(
            states={},
            deliveries=loaded.deliveries,
            dead=loaded.dead,
            told=loaded.told,
            dead_channels=frozenset(loaded.refusals),
            refusals=loaded.refusals,
            channels=frozenset(epochs),
            unlisted=frozenset(unlisted),
        )
        return kept, snapshot


def _load(connection: psycopg.Connection, epochs: Mapping[int, int]) -> list[TaskRecord]:
    """
    Load tasks.

    :param epochs: their ids -> the epochs in which they are owned. Should another instance own one by now, nothing may
        be written of it.
    """
    records = _load_rows(connection, [*epochs]) if epochs else []
    for record in records:
        record.epoch = epochs[record.id]
    return records


def _load_rows(connection: psycopg.Connection, ids: Sequence[int]) -> list[TaskRecord]:
    """Load tasks; those whose rows are damaged begin anew, because they must be watched in any case."""
    try:
        return load_tasks(connection, ids)
    except ValueError:
        if len(ids) > 1:
            half = len(ids) // 2
            return _load_rows(connection, ids[:half]) + _load_rows(connection, ids[half:])
        _log.failure("the row of a task cannot be read; it begins anew")
        rows = connection.execute("SELECT id, url FROM task WHERE id = ANY(%b::bigint[])", (list(ids),))
        records = {id: TaskRecord(id, key) for id, key in rows}
        with suppress(ValueError):
            load_incidents(connection, records)
        return [*records.values()]


def with_part(kept: Kept, part: Kept) -> Kept:
    """What is kept, with a part of it."""
    return replace(
        kept,
        states={**kept.states, **part.states},
        deliveries=[*kept.deliveries, *part.deliveries],
        dead=kept.dead + part.dead,
        told={**kept.told, **part.told},
        dead_channels=kept.dead_channels | part.dead_channels,
        refusals={**kept.refusals, **part.refusals},
        channels=(kept.channels or frozenset()) | (part.channels or frozenset()),
        unlisted=kept.unlisted | part.unlisted,
    )
