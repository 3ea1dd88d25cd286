"""
What other instances wrote: states of tasks, their owners, deliveries of channels that this instance owns, silences.

Note [Nothing is missed]
~~~~~~~~~~~~~~~~~~~~~~~~
A row holds the id of the transaction that wrote it. Transactions end in another order than they begin, so the largest
id that was seen says nothing. Each look remembers its snapshot of the database, and the next one reads what that
snapshot did not see. What this instance wrote itself is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import msgspec
import psycopg

from pypinger.domain.model import Alert, Delivery, Instant, Seconds, TaskState
from pypinger.domain.silence import Silence
from pypinger.ports.sharing import Watched
from pypinger.store.accounting import millis
from pypinger.store.postgres.keys import read_keys
from pypinger.store.postgres.lease import boottime
from pypinger.store.postgres.loading import decoded_or_none, load_silences
from pypinger.store.postgres.membership import snapshot as snapshot_of
from pypinger.store.postgres.states import NOTHING, PAGE, KnownStates

#: How many tasks are given to the runtime at once of which only the owner has changed.
OWNERS_PAGE = 2000

#: Seconds for which transactions of this instance are remembered: longer than a gained channel takes to get its feed.
REMEMBERED: Seconds = 60.0

# Thousands change hands at once. A page would cost as much as all of them.
_OWNERS = """
SELECT ownership.task, owner, instance.name FROM ownership LEFT JOIN instance ON instance.id = owner
WHERE changed >= pg_snapshot_xmin(%(since)s::pg_snapshot)
    AND NOT pg_visible_in_snapshot(changed, %(since)s::pg_snapshot) AND owner IS DISTINCT FROM %(me)s
"""

_DELIVERIES = """
SELECT changed::text::bigint, channel, alert, body, attempts, not_before, words, progress FROM delivery
WHERE outcome IS NULL AND channel = ANY(%(channels)s) AND changed >= pg_snapshot_xmin(%(since)s::pg_snapshot)
    AND NOT pg_visible_in_snapshot(changed, %(since)s::pg_snapshot)
ORDER BY id
"""

_ALERT = msgspec.json.Decoder(Alert)


class ChannelFeed:
    """
    New deliveries of a channel, from when this instance owns it.

    :param snapshot: from before the pending deliveries were loaded.
    :param loaded: those deliveries, each alert's id and channel.
    """

    def __init__(self, name: str, snapshot: str, loaded: Iterable[tuple[str, str]]) -> None:
        self.name = name
        self.snapshot = snapshot
        self.loaded = frozenset(loaded)

    def seen(self, snapshot: str) -> None:
        """All up to a later snapshot has been read."""
        self.snapshot = snapshot
        self.loaded = frozenset()


class Feeds:
    """
    Reads what is new. Used in one thread.

    :param transactions: the ids of those that this instance made, and when; old ones are removed.
    :param keys: of tasks by their ids, as far as they are known; another thread changes them.
    """

    def __init__(self, transactions: dict[int, Seconds], keys: dict[int, str]) -> None:
        self._transactions = transactions
        self._keys = keys
        self._owners = NOTHING
        # The lease under which all tasks have been given.
        self._me = ""

    def give_all_again(self) -> None:
        """Give all tasks at the next look, changed or not."""
        self._me = ""

    def tasks(
        self, connection: psycopg.Connection, states: KnownStates
    ) -> Iterator[Sequence[tuple[Watched, str | None]]]:
        """Tasks of others that have changed, each with the id of its owner; under a new lease all of them."""
        if states.me != self._me or states.snapshot == NOTHING:
            snapshot = snapshot_of(connection)
            if states.snapshot != NOTHING:
                yield from self._owned(connection, states.me, NOTHING, PAGE, states.by_id)
            self._me, self._owners = states.me, snapshot
        for page in states.look(connection):
            yield [(Watched(each.key, each.state, each.name), each.owner) for each in page]

    def owners(
        self, connection: psycopg.Connection, states: KnownStates
    ) -> Iterator[Sequence[tuple[Watched, str | None]]]:
        """
        Tasks whose owner has changed or is gone, without their states, each with the id of its owner; this instance's
        own are left out. Nothing is given before :meth:`tasks` has given all.
        """
        if states.me == self._me and states.snapshot != NOTHING:
            snapshot = snapshot_of(connection)
            yield from self._owned(connection, states.me, self._owners, OWNERS_PAGE, {})
            self._owners = snapshot

    def _owned(
        self, connection: psycopg.Connection, me: str, since: str, page: int, states: Mapping[int, TaskState]
    ) -> Iterator[Sequence[tuple[Watched, str | None]]]:
        """Tasks whose owner has changed since a snapshot, with those of these states that they have."""
        # What is read here is not added to `keys`: the writer's thread may have cleared them for another server.
        keys, read = self._keys, dict[int, str]()
        cursor = connection.execute(_OWNERS, {"since": since, "me": me})
        while rows := cursor.fetchmany(page):
            read_keys(connection, read, [id for id, *_ in rows if id not in keys])
            yield [
                (Watched(key, states.get(id), name), owner)
                for id, owner, name in rows
                if (key := keys.get(id) or read.get(id)) is not None
            ]

    def deliveries(
        self, connection: psycopg.Connection, channels: Mapping[str, ChannelFeed]
    ) -> list[tuple[ChannelFeed, Delivery]]:
        """New deliveries of channels, in the order in which they were added."""
        found: list[tuple[ChannelFeed, Delivery]] = []
        feeds = [*channels.values()]
        with connection.transaction():
            # All that is read is of one snapshot: what committed after it would be given now and by the next look.
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            snapshot = snapshot_of(connection)
            for since in dict.fromkeys(feed.snapshot for feed in feeds):
                group = {feed.name: feed for feed in feeds if feed.snapshot == since}
                values = {"channels": [*group], "since": since}
                for number, channel, alert, body, *rest in connection.execute(_DELIVERIES, values).fetchall():
                    feed = group[channel]
                    if number in self._transactions or (alert, channel) in feed.loaded:
                        continue
                    decoded = decoded_or_none(_ALERT, body)
                    if decoded is not None:
                        found.append((feed, Delivery(decoded, channel, *rest)))
        for feed in feeds:
            feed.seen(snapshot)
        oldest = int(snapshot.partition(":")[0])
        horizon = boottime() - REMEMBERED
        for number, at in list(self._transactions.items()):
            if number < oldest and at < horizon:
                self._transactions.pop(number, None)
        return found

    def silences(self, connection: psycopg.Connection, now: Callable[[], Instant]) -> tuple[Silence, ...]:
        """The silences that have not ended."""
        return load_silences(connection, millis(now()))
