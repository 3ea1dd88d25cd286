"""
Parts of the daemon that are made from the settings and changed by a reload: the channels and the fetcher.

:mod:`pypinger.servers` has the pages.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from pypinger.config.settings import ChannelSettings, Settings
from pypinger.domain.redaction import Secrets
from pypinger.domain.routing import Routing
from pypinger.http.fetcher import TaskFetcher
from pypinger.http.messenger import Messenger
from pypinger.http.wire.limits import free_descriptors
from pypinger.notify import channels, make_notifier
from pypinger.ports.clock import WallClock
from pypinger.ports.notifying import Channel, ChannelContext, KeptAlive, Notifier, RunObserver
from pypinger.runtime.fetches import EXTRA, CheckSettings
from pypinger.runtime.keeping import KeptChannel
from pypinger.runtime.monitor import Monitor
from pypinger.runtime.outboxsettings import OutboxSettings
from pypinger.runtime.queue import ATTEMPT_LIMIT


class Channels:
    """
    The channels that are on, and the HTTP client they send with.

    A channel whose settings stay the same stays the same object.
    """

    _log = Logger()

    def __init__(self, reactor: Any, now: WallClock, settings: Settings) -> None:
        self._reactor = reactor
        self._now = now
        self._settings = settings
        self._client = self._make_client(settings)
        self._notifiers: dict[str, Notifier] = {}
        self._made_from: dict[str, object] = {}
        self._leaving: dict[Messenger, IDelayedCall] = {}
        self._choose(settings, {})

    @property
    def for_outbox(self) -> OutboxSettings:
        """The channels that are on, what each is sent, and how."""
        settings = self._settings
        names = frozenset(channel.name for channel in settings.channels)
        return OutboxSettings(
            notifiers=tuple(self._notifiers.values()),
            routes=Routing(tuple(each.route for each in settings.channels if each.name in self._notifiers)),
            held=names - self._notifiers.keys(),
            retry_for=settings.retry_for,
            group_wait=settings.group_wait,
        )

    @property
    def client(self) -> Messenger:
        """The HTTP client that they send with."""
        return self._client

    @property
    def observers(self) -> list[RunObserver]:
        """The channels that are also informed of every run."""
        return [each for each in self._notifiers.values() if isinstance(each, RunObserver)]

    @property
    def kept(self) -> list[KeptChannel]:
        """The channels whose alerts are kept alive."""
        after = {channel.name: channel.route.after for channel in self._settings.channels}
        return [
            KeptChannel(name, each, after[name])
            for name, each in self._notifiers.items()
            if isinstance(each, KeptAlive)
        ]

    def change(self, settings: Settings) -> None:
        """Use other settings."""
        before, self._settings = self._settings, settings
        known = self._made_from
        if (settings.ca_file, settings.proxy) != (before.ca_file, before.proxy):
            # Messages under way keep the old client, and take at most two attempts' time.
            old, self._client = self._client, self._make_client(settings)
            self._leaving[old] = self._reactor.callLater(2 * ATTEMPT_LIMIT, self._leave, old)
            known = {}
        self._choose(settings, known)

    async def close(self) -> None:
        """Close all connections."""
        leaving, self._leaving = self._leaving, {}
        for call in leaving.values():
            call.cancel()
        for client in (self._client, *leaving):
            await client.close()

    def _make_client(self, settings: Settings) -> Messenger:
        return Messenger(self._reactor, ca_file=settings.ca_file, proxy=settings.proxy)

    def _choose(self, settings: Settings, known: Mapping[str, object]) -> None:
        registry = channels()
        chosen = () if settings.only_log else settings.channels
        self._made_from = {channel.name: _made_from(channel, registry[channel.kind]) for channel in chosen}
        self._notifiers = {
            channel.name: self._notifiers[channel.name]
            if channel.name in self._notifiers and known.get(channel.name) == self._made_from[channel.name]
            else make_notifier(channel.kind, channel.values, self._context(channel.name, settings))
            for channel in chosen
        }

    def _context(self, name: str, settings: Settings) -> ChannelContext:
        client = self._client
        return ChannelContext(name, client, self._now, self._reactor, settings.ca_file, client.proxies)

    def _leave(self, client: Messenger) -> None:
        del self._leaving[client]
        _close(client, self._log)


class Fetching:
    """The fetcher, and how checks use it."""

    _log = Logger()

    def __init__(self, reactor: Any, secrets: Secrets, settings: Settings) -> None:
        self._reactor = reactor
        self._secrets = secrets
        self._settings = settings
        self._fetcher = self._make(settings)

    def for_checks(self) -> CheckSettings:
        """The settings of checks."""
        settings, free = self._settings, free_descriptors()
        # Extra fetches are made beside these, and need descriptors too.
        extra = min(EXTRA, max(1, free // 4))
        free -= extra
        if settings.concurrency > free:
            # More checks at once would run out of descriptors, and make Py Pinger blind.
            self._log.warn(
                "[main] concurrency is {wanted}, but the limit of open files leaves room for {free} checks at once",
                wanted=settings.concurrency,
                free=free,
            )
        concurrency = max(1, min(settings.concurrency, free))
        defaults = settings.task_defaults
        return CheckSettings(
            self._fetcher,
            concurrency,
            self._secrets,
            settings.debug_now,
            extra,
            defaults.error_interval,
            defaults.error_interval_max,
        )

    def change(self, settings: Settings, monitor: Monitor) -> None:
        """Use other settings; a replaced fetcher is closed when its last check is over."""
        before, self._settings = self._settings, settings
        old = None
        if self._made_from(settings) != self._made_from(before):
            old, self._fetcher = self._fetcher, self._make(settings)
        free = monitor.reconfigure(self.for_checks())
        if old is not None:
            free.addCallback(lambda _: _close(old, self._log))

    async def close(self) -> None:
        """Close all connections."""
        await self._fetcher.close()

    def _make(self, settings: Settings) -> TaskFetcher:
        return TaskFetcher(
            self._reactor,
            token=settings.token_auth,
            max_body=settings.max_body,
            ca_file=settings.ca_file,
            proxy=settings.proxy,
            learned=self._secrets.add,
        )

    @staticmethod
    def _made_from(settings: Settings) -> tuple[object, ...]:
        return settings.token_auth, settings.max_body, settings.ca_file, settings.proxy


def _made_from(channel: ChannelSettings, kind: Channel) -> object:
    """Return what a channel's notifier is made from: its options, and the present content of files that they name."""
    paths = [channel.values[option.name] for option in kind.options if option.form == "path"]
    return channel.kind, dict(channel.values), [_stamp(path) for path in paths if path]


def _stamp(path: str) -> tuple[int, ...]:
    try:
        found = os.stat(path)
    except OSError:
        return ()
    return found.st_ino, found.st_size, found.st_mtime_ns


def _close(client: Messenger | TaskFetcher, log: Logger) -> None:
    closing = Deferred.fromCoroutine(client.close())
    closing.addErrback(lambda failure: log.failure("closing connections", failure))
