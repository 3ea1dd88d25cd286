"""What the daemon needs where several instances share its tasks: the store, and what this instance can do."""

from __future__ import annotations

import re
from hashlib import blake2b
from typing import Any, Protocol

import msgspec
from msgspec.structs import replace

from pypinger.config.settings import PushSettings, Settings, StoreSettings, WebSettings
from pypinger.domain.databaseurl import shown
from pypinger.ports.clock import WallClock
from pypinger.ports.history import History
from pypinger.ports.sharing import Listing, SharedStore
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


def listing_of(settings: Settings) -> Listing:
    """Return what an instance with these settings can do."""
    return Listing(
        frozenset(task.key for task in settings.tasks),
        frozenset(channel.name for channel in settings.channels),
        digest_of(settings),
    )


def digest_of(settings: Settings) -> str:
    """
    Return sixteen hex digits that are the same for the same tasks, channels and rules.

    Where the files are, where pages are served and what the instance is called differ from machine to machine.
    """
    common = replace(
        settings,
        path="",
        included=(),
        empty=(),
        store=StoreSettings("", settings.store.keep_days),
        web=WebSettings(public_url=settings.web.public_url, public=settings.web.public),
        push=PushSettings(),
        heartbeat=None,
        log="text",
        secrets=frozenset(),
        warnings=(),
    )
    return blake2b(msgspec.json.encode(common, order="deterministic", enc_hook=_pattern), digest_size=8).hexdigest()


def _pattern(value: Any) -> str:
    """Return what stands for a selector's regular expression."""
    assert isinstance(value, re.Pattern)
    return str(value.pattern)
