"""What the daemon needs where several instances share its tasks: the store, and what this instance can do."""

from __future__ import annotations

from typing import Any, Protocol

from pypinger.config.settings import Settings, StoreSettings
from pypinger.domain.databaseurl import shown
from pypinger.ports.clock import WallClock
from pypinger.ports.history import History
from pypinger.ports.sharing import InstanceListing, SharedStore
from pypinger.ports.storing import Store, StoreError
from pypinger.store.sqlite import SqliteStore


class DaemonStore(Store, History, Protocol):
    """What the daemon's store offers."""


class DaemonSharedStore(DaemonStore, SharedStore, Protocol):
    """What it offers where several instances share it."""


def make_store(reactor: Any, now: WallClock, settings: StoreSettings) -> tuple[DaemonStore, DaemonSharedStore | None]:
    """
    Make the store.

    :raises StoreError: a package is missing.
    :returns: the store, and the same once more if several instances share it.
    """
    if not settings.url:
        return SqliteStore(reactor, now, settings.path, keep_days=settings.keep_days), None
    try:
        # psycopg is an extra.
        from pypinger.store.postgres.store import PostgresStore
    except ImportError as error:
        words = f"it needs psycopg, which cannot be imported ({error}); install py-pinger[postgres]"
        raise StoreError(f"[store] url {shown(settings.url)}: {words}") from error

    shared = PostgresStore(reactor, settings.url, name=settings.instance, keep_days=settings.keep_days)
    return shared, shared


def listing_of(settings: Settings) -> InstanceListing:
    """Return what an instance with these settings can do."""
    return InstanceListing(
        frozenset(task.key for task in settings.tasks),
        frozenset(channel.name for channel in settings.channels),
        settings.digest,
    )
