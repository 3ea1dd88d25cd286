"""What an instance knows of the others, and what it is to own by that. In the writer's thread."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from hashlib import blake2b
from typing import NamedTuple

import msgspec
import psycopg

from pypinger.domain.model import Seconds
from pypinger.domain.sharing import Member, Ranking
from pypinger.ports.sharing import Instance, InstanceHealth, InstanceListing
from pypinger.store.postgres import membership, process
from pypinger.store.postgres.lease import TTL, boottime
from pypinger.store.postgres.membership import Applicant, InstanceRow
from pypinger.store.postgres.upgrading import scripts

#: Tasks and channels.
Keys = tuple[frozenset[str], frozenset[str]]

#: Seconds between two looks at an instance that has the name of this one.
LOOK: Seconds = 0.2

#: Seconds between two steps of a ranking, in which other threads may run.
PAUSE = 0.0001


class Said(msgspec.Struct, frozen=True):
    """The column ``health`` of an instance."""

    health: InstanceHealth = InstanceHealth()
    tasks: int = 0
    channels: tuple[str, ...] = ()


class Wanted(NamedTuple):
    """What this instance is to own."""

    tasks: frozenset[str] = frozenset()
    channels: frozenset[str] = frozenset()


_SAID = msgspec.json.Decoder(Said)


def applicant(name: str, listing: InstanceListing) -> Applicant:
    """What an instance says of itself, with this listing."""
    tasks, channels = (msgspec.json.encode(sorted(part)).decode() for part in (listing.tasks, listing.channels))
    listed = blake2b(f"{tasks}{channels}".encode(), digest_size=12).hexdigest()
    return Applicant(name, process.identity(), listing.digest, listed, tasks, channels, len(scripts()))


class MemberView:
    """
    The members as they were at the latest look.

    :param known: listings that need not be read, by their digests.
    :ivar wanted: what this instance is to own.
    :ivar listed: what any instance lists.
    """

    def __init__(self, known: Mapping[str, Keys] | None = None) -> None:
        self._listings: dict[str, Keys] = dict(known or {})
        self._rankings: list[Ranking] = [Ranking(()), Ranking(())]
        self._ranked: object = None
        self._process = process.identity()
        # Id -> the end of its lease as text, and when that was seen first.
        self._seen: dict[str, tuple[str, float]] = {}
        self.wanted = Wanted()
        self.listed: Keys = (frozenset(), frozenset())

    def gone(self, rows: Sequence[InstanceRow], me: str) -> dict[str, str]:
        """
        Others that are to be buried: id -> the end of its lease as text.

        That is so where the lease has ended, where a process of this machine is gone, and where a lease has not been
        renewed for its length, though it has not ended: the clock of the server was set back.
        """
        now = boottime()
        seen = {row.id: (row.until, now) for row in rows}
        for id, (until, at) in self._seen.items():
            if id in seen and seen[id][0] == until:
                seen[id] = until, at
        self._seen = seen
        return {
            row.id: row.until
            for row in rows
            if row.id != me and (row.ended or now - seen[row.id][1] > TTL or process.gone(row.process, self._process))
        }

    def update(self, rows: Sequence[InstanceRow], name: str, read: Callable[[InstanceRow], Keys | None]) -> bool:
        """
        Take account of the members; returns whether `wanted` may have changed.

        :param name: of this instance.
        :param read: reads what an instance lists; None if its row is gone, or lists something else by now.
        """
        key = name, [(row.name, row.listed, row.blind) for row in rows]
        if key == self._ranked:
            return False
        listings: dict[str, Keys] = {}
        for row in rows:
            found = listings.get(row.listed) or self._listings.get(row.listed) or read(row)
            if found is not None:
                listings[row.listed] = found
        self._listings = listings
        # The others are looked at again.
        complete = all(row.listed in listings for row in rows)
        rows = [row for row in rows if row.listed in listings]
        self.listed = self._union(0), self._union(1)
        self.wanted = Wanted(*(self._mine(part, rows, name) for part in (0, 1)))
        self._ranked = key if complete else None
        return True

    def foresee(self, name: str) -> None:
        """Work out the scores of an instance that is about to join: once it has, it waits for them."""
        for ranking in self._rankings:
            for _ in ranking.foresee(name):
                time.sleep(PAUSE)

    def _union(self, part: int) -> frozenset[str]:
        sets = [listing[part] for listing in self._listings.values()]
        union = sets[0] if len(sets) == 1 else frozenset[str]().union(*sets)
        if union != self.listed[part]:
            self._rankings[part] = Ranking(union)
        return union

    def _mine(self, part: int, rows: Sequence[InstanceRow], name: str) -> frozenset[str]:
        members = [Member(row.name, self._listings[row.listed][part], row.blind) for row in rows]
        mine: list[str] = []
        for keys in self._rankings[part].steps(members, name):
            mine += keys
            time.sleep(PAUSE)
        return frozenset(mine)


def foreseen(
    connection: psycopg.Connection, applying: Applicant, listing: InstanceListing, gone: Collection[str]
) -> MemberView:
    """
    The members as they will be when an instance has joined, if nothing else changes.

    Ranking thousands of tasks takes long, and once it has joined the others wait for it to take theirs.

    :param gone: the ids of those that are to be buried.
    """
    view = MemberView({applying.listed: (listing.tasks, listing.channels)})
    me = InstanceRow(
        "", applying.name, 0.0, "", False, TTL, applying.process, applying.digest, applying.listed, False, ""
    )
    rows = [row for row in membership.rows(connection) if row.id not in gone]
    rows = sorted([*rows, me], key=lambda row: row.name)
    view.update(rows, applying.name, lambda row: membership.listing_of(connection, row))
    return view


def own_rows_gone(rows: Sequence[InstanceRow], ids: Collection[str]) -> dict[str, str]:
    """
    Who is to be buried before this process joins: id -> the end of its lease as text.

    :param ids: under which this process joined before, or may have joined.
    """
    own = process.identity()
    return {row.id: row.until for row in rows if row.id in ids or process.gone(row.process, own)}


def namesakes(connection: psycopg.Connection, name: str, own: str, gone: Mapping[str, str]) -> dict[str, str]:
    """
    Wait until it is clear whether another instance of this name is alive, which may have been killed just now.

    :param own: see :func:`pypinger.store.postgres.process.identity`.
    :param gone: those that are known to be gone.
    :returns: those that have not renewed their lease for its length: id -> its end as text.
    """
    since, first = boottime(), None
    while True:
        found = {
            row.id: row.until for row in membership.rows(connection) if row.name == name and _unclear(row, own, gone)
        }
        first = found if first is None else first
        if not found or found != first:
            return {}
        if boottime() > since + TTL:
            return found
        time.sleep(LOOK)


def _unclear(row: InstanceRow, own: str, gone: Mapping[str, str]) -> bool:
    return not row.ended and row.id not in gone and not process.beside(row.process, own)


def instances(rows: Collection[InstanceRow]) -> tuple[Instance, ...]:
    """The members as the runtime sees them."""
    found = []
    for row in rows:
        try:
            said = _SAID.decode(row.health)
        except msgspec.MsgspecError:
            # A later version says more.
            said = Said()
        found.append(Instance(row.id, row.name, row.joined, said.tasks, said.channels, row.digest, said.health))
    return tuple(found)
