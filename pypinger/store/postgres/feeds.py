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

#: How many tasks are given to the runtime at once; and how many of which only the owner has changed.
PAGE = 500
OWNERS_PAGE = 2000

#: Seconds for which transactions of this instance are remembered: longer than a gained channel takes to get its feed.
REMEMBERED: Seconds = 60.0

#: A snapshot that sees nothing.
NOTHING = "1:1:"

# Tasks that this instance does not own. Their states are long, so they are read in pages.
_TASKS = """
SELECT task.id, url, state, owner, instance.name
FROM task JOIN ownership ON ownership.task = task.id LEFT JOIN instance ON instance.id = owner
WHERE task.changed >= pg_snapshot_xmin(%(since)s::pg_snapshot)
    AND NOT pg_visible_in_snapshot(task.changed, %(since)s::pg_snapshot)
    AND task.id > %(after)s AND owner IS DISTINCT FROM %(me)s
ORDER BY task.id LIMIT %(page)s
"""

# Thousands change hands at once. A page would cost as much as all of them.
_OWNERS = """
SELECT ownership.task, owner, instance.name FROM ownership LEFT JOIN instance ON instance.id = owner
WHERE changed >= pg_snapshot_xmin(%(since)s::pg_snapshot)
    AND NOT pg_visible_in_snapshot(changed, %(since)s::pg_snapshot) AND owner IS DISTINCT FROM %(me)s
"""

_DELIVERIES = """
SELECT changed::text::bigint, channel, alert, body, attempts, not_before, words FROM delivery
WHERE outcome IS NULL AND channel = ANY(%(channels)s) AND changed >= pg_snapshot_xmin(%(since)s::pg_snapshot)
    AND NOT pg_visible_in_snapshot(changed, %(since)s::pg_snapshot)
ORDER BY id
"""

_STATE = msgspec.json.Decoder(TaskState)
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
        self._tasks = self._owners = NOTHING
        self._me = ""

    def forget_tasks(self) -> None:
        """Take all tasks as new at the next look."""
        self._tasks = NOTHING

    def tasks(self, connection: psycopg.Connection, me: str) -> Iterator[Sequence[tuple[Watched, str | None]]]:
        """
        Tasks of others, each with the id of its owner; under a new lease all of them.

        :param me: the id of this instance.
        """
        if me != self._me:
            # It may be another server, or have lost transactions.
            self._me, self._tasks = me, NOTHING
        snapshot = snapshot_of(connection)
        if self._tasks == NOTHING:
            # All of them, and so their owners.
            self._owners = snapshot
        values = {"since": self._tasks, "after": 0, "me": me, "page": PAGE}
        while rows := connection.execute(_TASKS, values).fetchall():
            yield [
                (Watched(url, decoded, name), owner)
                for _, url, state, owner, name in rows
                if (decoded := TaskState() if state == "" else decoded_or_none(_STATE, state)) is not None
            ]
            if len(rows) < PAGE:
                break
            values["after"] = rows[-1][0]
        self._tasks = snapshot

    def owners(self, connection: psycopg.Connection, me: str) -> Iterator[Sequence[tuple[Watched, str | None]]]:
        """
        Tasks whose owner has changed or is gone, without their states, each with the id of its owner. Only tasks that
        :meth:`tasks` has read are given.

        :param me: the id of this instance; its own tasks are left out.
        """
        if me != self._me or self._tasks == NOTHING:
            return
        snapshot = snapshot_of(connection)
        # What is read here is not added to `keys`: the writer's thread may have cleared them for another server.
        keys, read = self._keys, dict[int, str]()
        cursor = connection.execute(_OWNERS, {"since": self._owners, "me": me})
        while rows := cursor.fetchmany(OWNERS_PAGE):
            read_keys(connection, read, [id for id, *_ in rows if id not in keys])
            found = [(keys.get(id) or read.get(id), owner, name) for id, owner, name in rows]
            yield [(Watched(key, None, name), owner) for key, owner, name in found if key is not None]
        self._owners = snapshot

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
