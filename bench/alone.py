"""A PostgreSQL store whose only instance is this process."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

from pypinger.domain.model import Delivery, Task
from pypinger.domain.silence import Silence
from pypinger.ports.sharing import (
    Instance,
    InstanceHealth,
    InstanceListing,
    InstanceRequest,
    InstanceRequestFailed,
    Watched,
)
from pypinger.ports.storing import Kept
from pypinger.store.postgres.store import PostgresStore

sys.path.insert(0, str(Path(__file__).parent.parent))
from tests import postgres


class Alone:
    """A :class:`pypinger.ports.sharing.Sharer` to which nothing happens, as long as the lease lasts."""

    def gained(self, part: Kept) -> None: ...

    async def leave(self, tasks: Collection[str], channels: Collection[str]) -> None: ...

    def lost(self, words: str) -> None:
        raise AssertionError(words)

    def joined(self) -> None: ...

    def watched(self, tasks: Sequence[Watched]) -> None: ...

    def delivered(self, deliveries: Sequence[Delivery]) -> None: ...

    def silenced(self, present: Sequence[Silence]) -> None: ...

    def members(self, present: Sequence[Instance]) -> None: ...

    async def asked(self, request: InstanceRequest) -> object:
        raise InstanceRequestFailed("there is no other instance")


class AloneStore(PostgresStore):
    """Renews its lease from when it is open."""

    def open(self) -> Kept:
        kept = super().open()
        self.start(Alone(), InstanceHealth)
        return kept


def make_store(reactor: Any, tasks: Iterable[Task], channels: Iterable[str] = ()) -> AloneStore:
    """A store in a new database of a server that ends with this process."""
    server = postgres.server()
    store = AloneStore(reactor, server.url(server.create()), name="bench", keep_days=90)
    store.list(InstanceListing(frozenset(task.key for task in tasks), frozenset(channels)))
    return store
