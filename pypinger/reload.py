"""
What a reload changes (contract, section 8).

:class:`Reloader` reads the ini file again and applies what differs. State, queues and work under way are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from twisted.internet.defer import Deferred, DeferredLock
from twisted.logger import Logger

from pypinger.config import ConfigErrors
from pypinger.config.settings import Settings
from pypinger.domain.model import Instant
from pypinger.domain.redaction import Secrets
from pypinger.domain.times import clock
from pypinger.logs import CleanLog
from pypinger.parts import Channels, Fetching
from pypinger.ports.sharing import SharedStore
from pypinger.runtime.heartbeat import Heartbeat
from pypinger.runtime.keeping import Keeper
from pypinger.runtime.monitor import Monitor
from pypinger.runtime.outbox import Outbox
from pypinger.runtime.pushes import Pushes
from pypinger.runtime.runs import RunFeed
from pypinger.runtime.silencing import Silencing
from pypinger.servers import Servers
from pypinger.stores import listing_of
from pypinger.supervision import Supervision


class Parts(NamedTuple):
    """The parts of the daemon that a reload changes."""

    log: CleanLog
    secrets: Secrets
    channels: Channels
    outbox: Outbox
    runs: RunFeed
    fetching: Fetching
    monitor: Monitor
    silencing: Silencing
    heartbeat: Heartbeat
    keeper: Keeper
    pushes: Pushes
    servers: Servers
    shared: SharedStore | None = None

    def set_heartbeat(self, settings: Settings) -> None:
        """Give the heartbeat its settings; it is off with ``only_log``, as nothing may leave the machine."""
        beat = None if settings.only_log else settings.heartbeat
        self.heartbeat.configure(beat.url if beat else "", beat.interval if beat else 0.0, self.channels.client)


class Reloader:
    """
    Reads the ini file again and applies what differs, one reload after the other.

    :param reread: reads the ini file; raises :class:`~pypinger.config.ConfigErrors` if it is not valid.
    """

    _log = Logger()

    def __init__(
        self,
        reread: Callable[[], Settings],
        settings: Settings,
        supervision: Supervision,
        parts: Parts,
        now: Callable[[], Instant],
    ) -> None:
        self._reread = reread
        self._settings = settings
        self._supervision = supervision
        self._parts = parts
        self._now = now
        self._lock = DeferredLock()
        self._active = False
        self._failed: str | None = None
        self._latest: Instant = 0.0
        self._problems: list[str] = []

    def start(self) -> None:
        """Reload from now on; until then the file that was just read counts."""
        self._active = True

    def stop(self) -> None:
        """Ignore further reloads."""
        self._active = False

    def trouble(self) -> str | None:
        """Return a line about the latest reload if it failed, else None."""
        return None if self._failed is None else f"{self._failed} (at {clock(self._latest, self._now())})"

    def reload(self) -> Deferred[None]:
        """
        Read the ini file again (contract, section 8).

        A valid file with at least one task, which includes no empty file, is applied. Otherwise every problem is
        logged, ``/status`` reports the failure until a reload succeeds, and the configuration stays.
        """
        reloading: Deferred[None] = self._lock.run(lambda: Deferred.fromCoroutine(self._reload()))
        return reloading.addErrback(lambda failure: self._log.failure("reloading the configuration", failure))

    async def problems(self) -> Sequence[str]:
        """Read the ini file again, and return why that failed; nothing if it did not."""
        await self.reload()
        if not self._active:
            return ["the daemon is starting or stopping"]
        return [] if self._failed is None else self._problems or [self._failed]

    async def _reload(self) -> None:
        if not self._active:
            return
        self._supervision.reloading()
        began = self._now()
        try:
            self._problems = []
            await self._read()
        except Exception:
            self._failed = "the latest reload failed; see the log"
            raise
        finally:
            self._latest = began
            self._supervision.ready()

    async def _read(self) -> None:
        try:
            settings = self._reread()
        except ConfigErrors as errors:
            self._refuse([str(problem) for problem in errors.problems])
            return
        for warning in settings.warnings:
            self._log.warn("{words}", words=warning)
        if not settings.tasks:
            self._refuse([f"{settings.path}: it has no tasks, and a reload must leave at least one"])
            return
        if settings.empty:
            # It may have been truncated by a program that is writing it.
            words = "the included file has no section; delete the file if that is meant"
            self._refuse([f"{file}: {words}" for file in settings.empty])
            return
        await self._apply(settings)
        self._failed = None

    def _refuse(self, problems: list[str]) -> None:
        for problem in problems:
            self._log.error("{problem}", problem=problem)
        self._log.error("the reload of {path} failed; the configuration stays", path=self._settings.path)
        self._problems = problems
        rest = len(problems) - 1
        more = f" (and {rest} more problem{'s' if rest > 1 else ''})" if rest else ""
        self._failed = f"the latest reload failed: {problems[0]}{more}"

    async def _apply(self, settings: Settings) -> None:
        before, self._settings = self._settings, settings
        parts = self._parts
        parts.secrets.change(settings.secrets)
        parts.log.configure(parts.secrets, debug=settings.debug, as_json=settings.log == "json")
        parts.channels.change(settings)
        parts.outbox.update(parts.channels.for_outbox)
        parts.runs.update(parts.channels.observers)
        parts.keeper.update(parts.channels.kept)
        parts.fetching.change(settings, parts.monitor)
        parts.monitor.update(settings.tasks)
        if parts.shared is not None:
            parts.shared.list(listing_of(settings))
        parts.pushes.update(settings.tasks, settings.max_body)
        parts.silencing.configure(settings.maintenance)
        parts.set_heartbeat(settings)
        await parts.servers.change(settings.web, settings.push)
        if settings.store != before.store:
            self._log.warn("[store] has changed; that takes effect at the next start")
        keys, old_keys = {task.key for task in settings.tasks}, {task.key for task in before.tasks}
        self._log.info(
            "reloaded {path}: watching {count} tasks, {added} of them new, {removed} removed",
            path=settings.path,
            count=len(keys),
            added=len(keys - old_keys),
            removed=len(old_keys - keys),
        )
