"""
The one place where parts are put together: settings in, a running Py Pinger out.

Note [Order of starting and stopping]
~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
``twistd`` calls ``privilegedStartService`` after it has daemonised and before it gives up its privileges: there the
pages' port is bound, so that a busy port ends the start. ``startService`` follows, unprivileged: the store is opened
there, the undelivered alerts and the states it kept are taken up, and only then do checks begin.

The stop goes the other way round: no new checks, those under way cancelled, then the *stopped* alert joins the pending
ones, which get up to :data:`DRAIN` seconds; the store and the connections are closed last. The pages are served to the
end.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import Any

import msgspec
from twisted.application.service import MultiService, Service
from twisted.application.strports import service as endpoint_service
from twisted.internet.defer import Deferred, DeferredLock, TimeoutError, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import ILogObserver, Logger
from twisted.python.components import Componentized

from pypinger import __version__
from pypinger.config import ConfigErrors
from pypinger.config.settings import Settings
from pypinger.domain.incidents import daemon_alert
from pypinger.domain.model import Event, Seconds
from pypinger.domain.redaction import Secrets
from pypinger.domain.times import span
from pypinger.http.fetcher import TaskFetcher
from pypinger.http.messenger import Messenger
from pypinger.http.wire.limits import free_descriptors
from pypinger.logs import CleanLog
from pypinger.notify import channels
from pypinger.ports.clock import WallClock
from pypinger.ports.notifying import Notifier, RunObserver
from pypinger.ports.storing import StoreError
from pypinger.runtime.board import Board
from pypinger.runtime.lane import ATTEMPT_LIMIT
from pypinger.runtime.monitor import Monitor
from pypinger.runtime.outbox import Outbox
from pypinger.runtime.runs import RunFeed
from pypinger.store.memory import MemoryStore
from pypinger.store.sqlite import CLOSING, SqliteStore
from pypinger.supervision import Supervision
from pypinger.web.app import resource, site

#: How many seconds pending alerts get at a stop (contract, section 4).
DRAIN: Seconds = 5.0

#: How many seconds a stop takes at most (contract, section 8, says 10).
STOP_LIMIT: Seconds = 9.0


class StartError(Exception):
    """Py Pinger cannot start; ``str()`` of it is one line that says why and what to do."""


class Pinger(MultiService):
    """
    The daemon.

    :param reactor: whose ``seconds()`` must be monotonic (see :mod:`pypinger.runtime.clock`).
    :param now: the wall clock.
    :param reread: reads the ini file again, for :meth:`reload`.
    :param log: the log's observer, which the application gets and which is told of secrets.
    :param environ: where systemd leaves its variables.
    """

    _log = Logger()

    # Twisted has no single type for what a reactor provides; each part says which of its interfaces it needs.
    def __init__(
        self,
        reactor: Any,
        settings: Settings,
        *,
        now: WallClock,
        reread: Callable[[], Settings],
        log: CleanLog,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        super().__init__()
        self.settings = settings
        self._secrets = Secrets(settings.secrets)
        log.configure(self._secrets, debug=settings.debug)
        self._reactor = reactor
        self._now = now
        self._reread = reread
        self.log = log
        self._reloading = DeferredLock()
        self._stopping = False
        self._leaving: dict[Messenger, IDelayedCall] = {}
        self.store = _make_store(reactor, now, settings)
        self.board = Board(settings.tasks, now)
        self.board.add_source(self.store.trouble)
        self._client = self._make_client(settings)
        self._notifiers: dict[str, Notifier] = {}
        self._choose_channels(settings, Settings(path="", store=settings.store))
        notifiers = list(self._notifiers.values())
        self.outbox = Outbox(reactor, now, self.store, self.board, notifiers, settings.retry_for, settings.group_wait)
        self._runs = RunFeed(reactor, _observers(notifiers))
        self._fetcher = self._make_fetcher(settings)
        self.monitor = Monitor(
            reactor,
            now,
            settings.tasks,
            self._fetcher,
            self.store,
            self.outbox,
            self.board,
            self._runs,
            concurrency=self._concurrency(settings),
            secrets=self._secrets,
            log_judged=settings.debug_now,
        )
        web = settings.web
        self._site = site(
            self.board,
            now,
            history=self.store,
            secrets=self._secrets,
            hosts=web.hosts,
            public_url=web.public_url,
            reactor=reactor,
        )
        self._pages = self._listen(web.endpoint)
        self._pages.setServiceParent(self)
        self._supervision = Supervision(reactor, environ, self.monitor.stuck, lambda: self.board.daemon().explanation)
        self._supervision.setServiceParent(self)

    def setServiceParent(self, parent: Componentized) -> None:
        """Join the application, and have it log through our observer."""
        parent.setComponent(ILogObserver, self.log)
        super().setServiceParent(parent)

    def privilegedStartService(self) -> None:
        """Bind the pages' port: see Note [Order of starting and stopping]."""
        try:
            super().privilegedStartService()
        except (CannotListenError, OSError) as error:
            raise self._busy(self.settings.web.endpoint, error) from error

    def startService(self) -> None:
        """Open the store, go on where it left off, and begin to check."""
        try:
            kept = self.store.open()
        except StoreError as error:
            raise self._refuse(str(error)) from error
        for warning in self.settings.warnings:
            self._log.warn("{words}", words=warning)
        settings = self.settings
        self._log.info(
            "Py Pinger {version} reads {path} and keeps its state in {store}; its pages: {pages}",
            version=__version__,
            path=settings.path,
            store="memory only" if settings.store.path == ":memory:" else settings.store.path,
            pages=settings.web.public_url or settings.web.endpoint,
        )
        self.monitor.resume(kept.states)
        self.outbox.resume(kept.deliveries, kept.dead)
        super().startService()
        count = len(settings.tasks)
        watching = f"watching {count} task" + ("" if count == 1 else "s")
        greeting = f"{settings.greeting.strip()} – {watching}" if settings.greeting.strip() else watching
        self._announce(Event.STARTED, greeting)
        self.monitor.start()

    def stopService(self) -> Deferred[None]:
        """Stop cleanly within 10 seconds: see Note [Order of starting and stopping]."""
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        self._stopping = True
        self._supervision.stopping()
        began = self._reactor.seconds()
        await self._at_most(2.0, self.monitor.stop(), "ending the checks")
        self._runs.stop()
        stopped = daemon_alert(
            Event.STOPPED, f"after running for {span(self._now() - self.board.started)}", self._now()
        )
        await self._at_most(1.0, self.outbox.announce(stopped), "recording that it stops")
        limit = min(DRAIN, STOP_LIMIT - CLOSING - (self._reactor.seconds() - began))
        if self.board.undelivered:
            self._log.info(
                "stopping: {count} deliveries get up to {limit:g} s",
                count=self.board.undelivered,
                limit=round(limit, 1),
            )
        await self.outbox.stop(limit)
        await self.store.close()
        leaving, self._leaving = self._leaving, {}
        for call in leaving.values():
            call.cancel()
        clients: list[TaskFetcher | Messenger] = [self._fetcher, self._client, *leaving]
        for client in clients:
            await client.close()
        await maybeDeferred(super().stopService)

    async def _at_most(self, limit: Seconds, work: Coroutine[Deferred[Any], Any, None], what: str) -> None:
        """Give `work` so many seconds, and go on without it: a stop waits for nothing for long."""
        try:
            await Deferred.fromCoroutine(work).addTimeout(limit, self._reactor)
        except TimeoutError:
            self._log.warn("{what} took longer than {limit:g} s; stopping all the same", what=what, limit=limit)
        except Exception:
            self._log.failure("{what}", what=what)

    def reload(self) -> Deferred[None]:
        """
        Read the ini file again (contract, section 8): if it is sound, change what differs in place; if not, log every
        problem and go on as before. Reloads come one after the other.
        """
        reloading: Deferred[None] = self._reloading.run(lambda: Deferred.fromCoroutine(self._reload()))
        return reloading.addErrback(lambda failure: self._log.failure("reloading the configuration", failure))

    async def _reload(self) -> None:
        if self._stopping or not self.running:
            return
        self._supervision.reloading()
        try:
            settings = self._reread()
        except ConfigErrors as errors:
            for problem in errors.problems:
                self._log.error("{problem}", problem=str(problem))
            self._log.error("the configuration stays as it was: {path} is not sound", path=self.settings.path)
        else:
            for warning in settings.warnings:
                self._log.warn("{words}", words=warning)
            await self._apply(settings)
        finally:
            self._supervision.ready()

    async def _apply(self, settings: Settings) -> None:
        before, self.settings = self.settings, settings
        self._secrets.change(settings.secrets)
        self.log.configure(self._secrets, debug=settings.debug)
        self._change_channels(settings, before)
        self._change_checks(settings, before)
        await self._change_pages(settings, before)
        if settings.store != before.store:
            self._log.warn("[store] has changed; that takes effect at the next start")
        urls, old_urls = {task.url for task in settings.tasks}, {task.url for task in before.tasks}
        self._log.info(
            "read {path} again: watching {count} tasks, {added} of them new, {removed} removed",
            path=settings.path,
            count=len(urls),
            added=len(urls - old_urls),
            removed=len(old_urls - urls),
        )

    def _change_channels(self, settings: Settings, before: Settings) -> None:
        old_client = None
        if (settings.ca_file, settings.proxy) != (before.ca_file, before.proxy):
            old_client, self._client = self._client, self._make_client(settings)
            before = msgspec.structs.replace(before, channels=())
        self._choose_channels(settings, before)
        notifiers = list(self._notifiers.values())
        self.outbox.update(notifiers, settings.retry_for, settings.group_wait)
        self._runs.update(_observers(notifiers))
        if old_client is not None:
            # Longer than any message under way can take.
            self._leaving[old_client] = self._reactor.callLater(2 * ATTEMPT_LIMIT, self._leave, old_client)

    def _change_checks(self, settings: Settings, before: Settings) -> None:
        old_fetcher = None
        if _fetching(settings) != _fetching(before):
            old_fetcher, self._fetcher = self._fetcher, self._make_fetcher(settings)
        free = self.monitor.reconfigure(
            self._fetcher,
            concurrency=self._concurrency(settings),
            secrets=self._secrets,
            log_judged=settings.debug_now,
        )
        self.monitor.update(settings.tasks)
        if old_fetcher is not None:
            free.addCallback(lambda _: self._close(old_fetcher))

    async def _change_pages(self, settings: Settings, before: Settings) -> None:
        web = settings.web
        if web == before.web:
            return
        self._site.resource = resource(
            self.board,
            self._now,
            history=self.store,
            secrets=self._secrets,
            hosts=web.hosts,
            public_url=web.public_url,
            reactor=self._reactor,
        )
        if web.endpoint == before.web.endpoint:
            return
        try:
            pages = self._listen(web.endpoint)
        except StartError:
            self._keep_endpoint(before)
            return
        try:
            pages.setServiceParent(self)
        except (CannotListenError, OSError) as error:
            self._busy(web.endpoint, error)
            self._keep_endpoint(before)
            await maybeDeferred(pages.disownServiceParent)
            return
        old_pages, self._pages = self._pages, pages
        await maybeDeferred(old_pages.disownServiceParent)

    def _keep_endpoint(self, before: Settings) -> None:
        """What was tried in vain is tried again by the next reload."""
        web = msgspec.structs.replace(self.settings.web, endpoint=before.web.endpoint)
        self.settings = msgspec.structs.replace(self.settings, web=web)

    def _make_client(self, settings: Settings) -> Messenger:
        return Messenger(self._reactor, ca_file=settings.ca_file, proxy=settings.proxy)

    def _make_fetcher(self, settings: Settings) -> TaskFetcher:
        return TaskFetcher(
            self._reactor,
            token=settings.token_auth,
            max_body=settings.max_body,
            ca_file=settings.ca_file,
            proxy=settings.proxy,
            learned=self._secrets.add,
        )

    def _concurrency(self, settings: Settings) -> int:
        """How many checks may be under way: no more than there are descriptors for, lest we go blind of our own."""
        free = free_descriptors()
        if settings.concurrency > free:
            self._log.warn(
                "[main] concurrency is {wanted}, but the limit of open files leaves room for {free} checks at once",
                wanted=settings.concurrency,
                free=free,
            )
        return min(settings.concurrency, free)

    def _choose_channels(self, settings: Settings, before: Settings) -> None:
        """Have a notifier for each channel that is on; what has not changed stays the same object."""
        registry = channels()
        old = {channel.name: channel for channel in before.channels}
        self._notifiers = {
            channel.name: self._notifiers[channel.name]
            if channel.name in self._notifiers and old.get(channel.name) == channel
            else registry[channel.name].notifier(channel.values, self._client, self._now)
            for channel in (() if settings.only_log else settings.channels)
        }

    def _listen(self, endpoint: str) -> Service:
        try:
            pages: Service = endpoint_service(endpoint, self._site, self._reactor)
        except (ValueError, LookupError) as error:
            # The file was found sound, so that this is a socket which systemd did not pass.
            raise self._refuse(f"[web] endpoint {endpoint}: no such socket was passed to us ({error})") from error
        return pages

    def _leave(self, client: Messenger) -> None:
        del self._leaving[client]
        self._close(client)

    def _close(self, client: Messenger | TaskFetcher) -> None:
        closing = Deferred.fromCoroutine(client.close())
        closing.addErrback(lambda failure: self._log.failure("closing connections", failure))

    def _announce(self, event: Event, explanation: str) -> None:
        announced = Deferred.fromCoroutine(self.outbox.announce(daemon_alert(event, explanation, self._now())))
        announced.addErrback(lambda failure: self._log.failure("announcing {event}", failure, event=event.value))

    def _busy(self, endpoint: str, error: Exception) -> StartError:
        cause = getattr(error, "socketError", error)
        words = getattr(cause, "strerror", None) or str(cause)
        return self._refuse(f"[web] endpoint {endpoint}: cannot listen: {words}; is another Py Pinger running?")

    def _refuse(self, words: str) -> StartError:
        self._log.critical("{words}", words=words)
        return StartError(words)


def _make_store(reactor: Any, now: WallClock, settings: Settings) -> MemoryStore | SqliteStore:
    if settings.store.path == ":memory:":
        return MemoryStore()
    return SqliteStore(reactor, now, settings.store.path, keep_days=settings.store.keep_days)


def _observers(notifiers: Iterable[Notifier]) -> list[RunObserver]:
    return [notifier for notifier in notifiers if isinstance(notifier, RunObserver)]


def _fetching(settings: Settings) -> tuple[object, ...]:
    """What a fetcher is made from."""
    return settings.token_auth, settings.max_body, settings.ca_file, settings.proxy
