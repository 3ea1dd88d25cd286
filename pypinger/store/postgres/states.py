"""
The states of the tasks that this instance does not own, as far as it knows them.

Note [Known states]
~~~~~~~~~~~~~~~~~~~
Thousands of tasks may change hands at once. Who gains them has read most of their states before, to show them, and
reads only those that have changed since. All else of a task (its run, hour and incident) is read once something is
recorded about it: see :class:`~pypinger.store.postgres.recording.SharedRecorder`.

A row that has not changed since :attr:`KnownStates.snapshot` holds the state that is here, if there is one:

* A look reads what the snapshot of the look before did not see, but for the tasks that this instance owns.
* Those are put here within the transaction that releases them, before any other instance can change them. Where the
  server refused the row, what is here is newer.
* A gain takes note of the snapshot before it takes the tasks. Where tasks may have been taken before, because an answer
  of the server was lost, it reads all rows.
* Another server may have lost transactions, and give their numbers to others. So a gain relies on what is here only
  over the connection that joined, and a look over a new connection begins anew.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgspec
import psycopg

from pypinger.domain.model import TaskState
from pypinger.store.postgres.loading import decoded_or_none
from pypinger.store.postgres.membership import snapshot as snapshot_of

#: How many tasks are read, and given to the runtime, at once.
PAGE = 500

#: A snapshot that sees nothing.
NOTHING = "1:1:"

# Their states are long, so they are read in pages.
_CHANGED = """
SELECT task.id, url, state, owner, instance.name
FROM task JOIN ownership ON ownership.task = task.id LEFT JOIN instance ON instance.id = owner
WHERE task.changed >= pg_snapshot_xmin(%(since)s::pg_snapshot)
    AND NOT pg_visible_in_snapshot(task.changed, %(since)s::pg_snapshot)
    AND task.id > %(after)s AND owner IS DISTINCT FROM %(me)s
ORDER BY task.id LIMIT %(page)s
"""

_CHANGED_IDS = """
SELECT id FROM task WHERE changed >= pg_snapshot_xmin(%(since)s::pg_snapshot)
    AND NOT pg_visible_in_snapshot(changed, %(since)s::pg_snapshot)
"""

_STATE = msgspec.json.Decoder(TaskState)


class ForeignTask(NamedTuple):
    """
    A task that this instance does not own.

    :ivar owner: the id of the instance that owns it; `name`: its name. None if none does.
    """

    key: str
    state: TaskState
    owner: str | None
    name: str | None


class KnownStates:
    """
    What an instance knows under one lease: see Note [Known states].

    One thread at a time looks. Any thread uses `by_id`, and reads `snapshot`.

    :ivar me: the id of the instance.
    :ivar by_id: states by the ids of the tasks' rows.
    :ivar snapshot: of the database, up to which all changes are in `by_id`; :data:`NOTHING` before the first look.
    """

    def __init__(self, me: str) -> None:
        self.me = me
        self.by_id: dict[int, TaskState] = {}
        self.snapshot = NOTHING

    def begin_anew(self) -> None:
        """Read everything at the next look, and rely on nothing until then."""
        self.snapshot = NOTHING

    def read(self, connection: psycopg.Connection) -> None:
        """Look without showing what is found."""
        for _ in self.look(connection):
            pass

    def look(self, connection: psycopg.Connection) -> Iterator[Sequence[ForeignTask]]:
        """Read what has changed since the look before; the look is over with the last page."""
        snapshot = snapshot_of(connection)
        values = {"since": self.snapshot, "after": 0, "me": self.me, "page": PAGE}
        while rows := connection.execute(_CHANGED, values).fetchall():
            found = []
            for id, key, words, owner, name in rows:
                state = TaskState() if words == "" else decoded_or_none(_STATE, words)
                if state is None:
                    self.by_id.pop(id, None)
                else:
                    self.by_id[id] = state
                    found.append(ForeignTask(key, state, owner, name))
            yield found
            if len(rows) < PAGE:
                break
            values["after"] = rows[-1][0]
        self.snapshot = snapshot


def changed_since(connection: psycopg.Connection, since: str) -> set[int]:
    """The ids of the tasks whose rows a snapshot does not see as they are."""
    return {id for (id,) in connection.execute(_CHANGED_IDS, {"since": since})}
