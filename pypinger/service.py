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
from collections.abc import Mapping
from typing import Any

from twisted.application.service import MultiService
from twisted.application.strports import service as endpoint_service
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.logger import Logger

from pypinger.config.settings import Settings
from pypinger.domain.incidents import daemon_alert
from pypinger.domain.model import Event, Seconds
from pypinger.domain.times import span
from pypinger.domain.urls import Secrets
from pypinger.http.client import ChannelClient
from pypinger.http.fetcher import TaskFetcher
from pypinger.notify import channels
from pypinger.ports import RunObserver, Store, StoreError, WallClock
from pypinger.runtime.board import Board
from pypinger.runtime.monitor import Monitor
from pypinger.runtime.outbox import Outbox
from pypinger.runtime.runs import RunFeed
from pypinger.store.memory import MemoryStore
from pypinger.supervision import Supervision
from pypinger.web.app import site

#: How many seconds pending alerts get at a stop (contract, section 4).
DRAIN: Seconds = 5.0


class StartError(Exception):
    """Py Pinger cannot start; ``str()`` of it is one line that says why and what to do."""


class Pinger(MultiService):
    """
    The daemon.

    :param reactor: whose ``seconds()`` must be monotonic (see :mod:`pypinger.runtime.clock`).
    :param now: the wall clock.
    :param environ: where systemd leaves its variables.
    """

    _log = Logger()

    # Twisted has no single type for what a reactor provides; each part says which of its interfaces it needs.
    def __init__(
        self, reactor: Any, settings: Settings, *, now: WallClock, environ: Mapping[str, str] = os.environ
    ) -> None:
        super().__init__()
        self.settings = settings
        self._reactor = reactor
        self._now = now
        self.store: Store = MemoryStore()
        self.board = Board(settings.tasks, now)
        self.board.add_source(self.store.trouble)
        self._client = ChannelClient(reactor, ca_file=settings.ca_file, proxy=settings.proxy)
        registry = channels()
        notifiers = (
            []
            if settings.only_log
            else [registry[channel.name].notifier(channel.values, self._client, now) for channel in settings.channels]
        )
        self.outbox = Outbox(reactor, now, self.store, self.board, notifiers, settings.retry_for, settings.group_wait)
        self._runs = RunFeed(reactor, [each for each in notifiers if isinstance(each, RunObserver)])
        self._fetcher = TaskFetcher(
            reactor,
            token=settings.token_auth,
            max_body=settings.max_body,
            ca_file=settings.ca_file,
            proxy=settings.proxy,
        )
        self.monitor = Monitor(
            reactor,
            now,
            settings.tasks,
            self._fetcher,
            self.store,
            self.outbox,
            self.board,
            self._runs,
            concurrency=settings.concurrency,
            secrets=Secrets(settings.secrets),
            log_judged=settings.debug_now,
        )
        web = settings.web
        pages = site(self.board, now, hosts=web.hosts, public_url=web.public_url, reactor=reactor)
        try:
            endpoint_service(web.endpoint, pages, reactor).setServiceParent(self)
        except (ValueError, LookupError) as error:
            # The file was found sound, so that this is a socket which systemd did not pass.
            raise self._refuse(f"[web] endpoint {web.endpoint}: no such socket was passed to us ({error})") from error
        self._supervision = Supervision(reactor, environ, self.monitor.stuck, lambda: self.board.daemon().explanation)
        self._supervision.setServiceParent(self)

    def privilegedStartService(self) -> None:
        """Bind the pages' port: see Note [Order of starting and stopping]."""
        try:
            super().privilegedStartService()
        except (CannotListenError, OSError) as error:
            cause = getattr(error, "socketError", error)
            words = getattr(cause, "strerror", None) or str(cause)
            raise self._refuse(
                f"[web] endpoint {self.settings.web.endpoint}: cannot listen: {words}; is another Py Pinger running?"
            ) from error

    def startService(self) -> None:
        """Open the store, go on where it left off, and begin to check."""
        try:
            kept = self.store.open()
        except StoreError as error:
            raise self._refuse(str(error)) from error
        for warning in self.settings.warnings:
            self._log.warn("{words}", words=warning)
        self.monitor.resume(kept.states)
        self.outbox.resume(kept.deliveries, kept.dead)
        super().startService()
        count = len(self.settings.tasks)
        watching = f"watching {count} task" + ("" if count == 1 else "s")
        greeting = f"{self.settings.greeting.strip()} – {watching}" if self.settings.greeting.strip() else watching
        self._announce(Event.STARTED, greeting)
        self.monitor.start()

    def stopService(self) -> Deferred[None]:
        """Stop cleanly within 10 seconds: see Note [Order of starting and stopping]."""
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        self._supervision.stopping()
        await self.monitor.stop()
        self._runs.stop()
        await self._announce(Event.STOPPED, f"after running for {span(self._now() - self.board.started)}")
        await self.outbox.stop(DRAIN)
        await self.store.close()
        await self._fetcher.close()
        await self._client.close()
        await maybeDeferred(super().stopService)

    def _announce(self, event: Event, explanation: str) -> Deferred[None]:
        announced = Deferred.fromCoroutine(self.outbox.announce(daemon_alert(event, explanation, self._now())))
        announced.addErrback(lambda failure: self._log.failure("announcing {event}", failure, event=event.value))
        return announced

    def _refuse(self, words: str) -> StartError:
        self._log.critical("cannot start: {words}", words=words)
        return StartError(words)
