"""
The assembly: settings in, a running Py Pinger out. :mod:`pypinger.reload` has what a reload changes.

Note [Order of starting and stopping]
~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
``twistd`` calls ``privilegedStartService`` after it has daemonised and before it drops its privileges: the ports are
bound there, so a busy port ends the start. ``startService`` follows, unprivileged: it opens the store, takes up the
undelivered alerts and the states, and begins to check.

The stop goes the other way round: no new checks, those under way cancelled, then the *stopped* alert joins the pending
ones, which get up to :data:`DRAIN` seconds; the store and the connections are closed last. The pages are served until
the end.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from twisted.application.service import MultiService
from twisted.internet.defer import Deferred, TimeoutError, maybeDeferred
from twisted.logger import ILogObserver, Logger
from twisted.python.components import Componentized

from pypinger import __version__
from pypinger.config.settings import Settings, StoreSettings
from pypinger.domain.alerting import daemon_alert
from pypinger.domain.databaseurl import shown
from pypinger.domain.model import Alert, Event, Seconds
from pypinger.domain.redaction import Secrets
from pypinger.domain.times import span
from pypinger.logs import CleanLog
from pypinger.parts import Channels, Fetching
from pypinger.ports.clock import WallClock
from pypinger.ports.sharing import LeaseLost
from pypinger.ports.storing import StoreError
from pypinger.reload import Parts, Reloader
from pypinger.runtime.board import LiveBoard
from pypinger.runtime.check import Checker
from pypinger.runtime.collector import Collector
from pypinger.runtime.commands import Commands
from pypinger.runtime.control import NAME as SOCKET_NAME
from pypinger.runtime.control import ControlService
from pypinger.runtime.heartbeat import Heartbeat
from pypinger.runtime.keeping import Keeper
from pypinger.runtime.monitor import Monitor
from pypinger.runtime.outbox import Outbox
from pypinger.runtime.pushes import Pushes
from pypinger.runtime.runs import RunFeed
from pypinger.runtime.sharing import Participant, SharedParts
from pypinger.runtime.silencing import Silencing
from pypinger.runtime.timetable import Timetable
from pypinger.servers import EndpointError, Servers
from pypinger.store.sqlite import CLOSING
from pypinger.stores import listing_of, make_store
from pypinger.supervision import Supervision
from pypinger.web.sources import Sources

#: Seconds that pending alerts get at a stop (contract, section 4).
DRAIN: Seconds = 5.0

#: Seconds that a stop takes at most (contract, section 8, allows 10).
STOP_LIMIT: Seconds = 9.0


class StartError(Exception):
    """Py Pinger cannot start; ``str()`` of it is one line that says why and what to do."""


class Pinger(MultiService):
    """
    The daemon.

    :param reactor: its ``seconds()`` must be monotonic (see :mod:`pypinger.runtime.clock`).
    :param now: the wall clock.
    :param reread: reads the ini file again, for :meth:`reload`.
    :param log: the application's log observer, which masks secrets.
    :param environ: the environment, for systemd's variables.
    """

    _log = Logger()

    # Twisted has no single type for what a reactor provides; each part declares the interfaces it needs.
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
        self._reactor = reactor
        try:
            self.store, self._shared = make_store(reactor, now, settings.store)
        except StoreError as error:
            raise self._refuse(str(error)) from error
        if self._shared is not None:
            # All instances judge by one clock.
            now = self._shared.now
        self._now = now
        self._settings = settings
        self._collector = Collector(reactor)
        self.log = log
        self.secrets = Secrets(settings.secrets)
        log.configure(self.secrets, debug=settings.debug, as_json=settings.log == "json")
        self.board = LiveBoard(settings.tasks, now, settings.path)
        self.board.add_source(lambda: None if self._away() else self.store.trouble())
        self.channels = Channels(reactor, now, settings)
        self.outbox = Outbox(reactor, now, self.store, self.board, self.channels.for_outbox)
        self._runs = RunFeed(reactor, self.channels.observers)
        self._fetching = Fetching(reactor, self.secrets, settings)
        self.checker = Checker(
            reactor, now, self.store, self.outbox, self.board, self._runs, self._fetching.for_checks()
        )
        self.monitor = Monitor(Timetable(reactor), now, settings.tasks, self.checker, self.board, self.outbox)
        self.silencing = Silencing(reactor, now, self.store, self.board.entries)
        self.silencing.configure(settings.maintenance)
        self.board.mute_with(self.silencing.muted)
        self._keeper = Keeper(reactor, now, self.board, self._standing, self.channels.kept, self.outbox.duty.sends)
        self._heartbeat = Heartbeat(reactor, lambda: self._away() or self.monitor.stuck(), self.outbox.healthy)
        self.pushes = Pushes(reactor, self.monitor, self.checker, self.secrets, settings.max_body)
        self.pushes.update(settings.tasks, settings.max_body)
        sources = Sources(self.board, now, self.store, self.secrets, self.pushes)
        try:
            self._servers = Servers(reactor, sources, self, settings.web, settings.push)
        except EndpointError as error:
            raise self._refuse(str(error)) from error
        self._supervision = Supervision(reactor, environ, self.monitor.stuck, lambda: self.board.daemon().explanation)
        self._supervision.setServiceParent(self)
        parts = Parts(
            log=log,
            secrets=self.secrets,
            channels=self.channels,
            outbox=self.outbox,
            runs=self._runs,
            fetching=self._fetching,
            monitor=self.monitor,
            silencing=self.silencing,
            heartbeat=self._heartbeat,
            keeper=self._keeper,
            pushes=self.pushes,
            servers=self._servers,
            shared=self._shared,
        )
        parts.set_heartbeat(settings)
        self._reloader = Reloader(reread, settings, self._supervision, parts, now)
        self.board.add_source(self._reloader.trouble)
        commands = Commands(
            (reactor, now), self.board, self.monitor, self.silencing, self.outbox, self.store, self._reloader.problems
        )
        self._participant: Participant | None = None
        if self._shared is not None:
            shared = SharedParts(self.board, self.monitor, self.outbox, self.checker, self.silencing, self._runs)
            self._participant = Participant(reactor, now, self._shared, shared, self._collector.grow)
            commands.share(self._participant)
            self.pushes.share(self._participant)
        self._control = ControlService(reactor, _socket_path(settings, environ), commands.handlers())
        self._control.setServiceParent(self)

    def setServiceParent(self, parent: Componentized) -> None:
        """Join the application, and set its log observer."""
        parent.setComponent(ILogObserver, self.log)
        super().setServiceParent(parent)

    def privilegedStartService(self) -> None:
        """Bind the ports: see Note [Order of starting and stopping]."""
        try:
            super().privilegedStartService()
        except EndpointError as error:
            raise self._refuse(str(error)) from error

    def startService(self) -> None:
        """Open the store, take up what it kept, and begin to check."""
        if self._shared is not None:
            self._shared.list(listing_of(self._settings))
        try:
            kept = self.store.open()
        except StoreError as error:
            raise self._refuse(str(error)) from error
        if self._shared is not None:
            self._shared.hold()
        settings = self._settings
        for warning in settings.warnings:
            self._log.warn("{words}", words=warning)
        self._log.info(
            "Py Pinger {version} reads {path} and keeps its state in {store}; its pages: {pages}",
            version=__version__,
            path=settings.path,
            store=_store_words(settings.store),
            pages=settings.web.public_url or settings.web.endpoint,
        )
        if self._participant is not None:
            self._participant.share()
        self.silencing.resume(kept.silences)
        self.monitor.resume(kept.states)
        self.checker.resume(kept)
        self.outbox.resume(kept)
        super().startService()
        if self._participant is None:
            self._announce_start()
        self.monitor.start()
        self.pushes.start()
        self.silencing.start(self.monitor.silences_changed)
        self._heartbeat.start()
        self._keeper.start()
        self._reloader.start()
        if self._participant is not None:
            self._participant.start(settings.greeting.strip(), len(settings.tasks))
        self._collector.start(len(settings.tasks))

    def stopService(self) -> Deferred[None]:
        """Stop cleanly within 10 seconds: see Note [Order of starting and stopping]."""
        return Deferred.fromCoroutine(self._stop())

    def reload(self) -> Deferred[None]:
        """Read the ini file again: see :meth:`pypinger.reload.Reloader.reload`."""
        return self._reloader.reload()

    async def _stop(self) -> None:
        self._reloader.stop()
        self._supervision.stopping()
        self._collector.stop()
        self.pushes.stop()
        self.silencing.stop()
        alone = True
        if self._participant is not None:
            self._participant.stop()
            alone = self._participant.alone
        self._heartbeat.stop()
        self._keeper.stop()
        began = self._reactor.seconds()
        await self._at_most(2.0, self.monitor.stop(), "ending the checks")
        self._runs.stop()
        words = f"it had run for {span(self._now() - self.board.started)}"
        name = "" if self._shared is None else self._shared.name
        stopped = daemon_alert(Event.STOPPED, words, self._now(), name)
        await self._at_most(1.0, self.outbox.announce(stopped), "recording the stop")
        limit = min(DRAIN, STOP_LIMIT - CLOSING - (self._reactor.seconds() - began))
        if self.board.undelivered and alone:
            self._log.info(
                "stopping: {count} deliveries get up to {limit:g} s",
                count=self.board.undelivered,
                limit=round(limit, 1),
            )
        await self.outbox.stop(limit, drain=alone)
        await self.store.close()
        await self._fetching.close()
        await self.channels.close()
        await maybeDeferred(super().stopService)

    async def _at_most(self, limit: Seconds, work: Coroutine[Deferred[Any], Any, None], what: str) -> None:
        """Wait for `work`, but not longer than `limit` seconds."""
        try:
            await Deferred.fromCoroutine(work).addTimeout(limit, self._reactor)
        except TimeoutError:
            self._log.warn("{what} took longer than {limit:g} s; the stop continues", what=what, limit=limit)
        except LeaseLost as lost:
            self._log.warn("{what}: {words}", what=what, words=str(lost))
        except Exception:
            self._log.failure("{what}", what=what)

    def _announce_start(self) -> None:
        settings = self._settings
        count = len(settings.tasks)
        watching = f"watching {count} task" + ("" if count == 1 else "s")
        greeting = f"{settings.greeting.strip()} – {watching}" if settings.greeting.strip() else watching
        announced = Deferred.fromCoroutine(self.outbox.announce(daemon_alert(Event.STARTED, greeting, self._now())))
        announced.addErrback(lambda failure: self._log.failure("announcing the start", failure))

    def _away(self) -> str | None:
        """Why this instance watches nothing: the shared database is away."""
        return None if self._participant is None else self._participant.trouble()

    def _standing(self, lasted: Seconds) -> list[Alert]:
        """What is wrong with Py Pinger, at any instance, for channels whose alerts are kept alive."""
        others = [] if self._participant is None else self._participant.standing(lasted)
        return [*self.checker.condition.standing(lasted), *others]

    def _refuse(self, words: str) -> StartError:
        self._log.critical("{words}", words=words)
        return StartError(words)


def _store_words(store: StoreSettings) -> str:
    if store.url:
        return shown(store.url)
    return "memory only" if store.path == ":memory:" else store.path


def _socket_path(settings: Settings, environ: Mapping[str, str]) -> str:
    """Where the control socket is: in systemd's runtime directory, else beside the store (contract, section 9)."""
    # systemd separates several directories by colons.
    directory = environ.get("RUNTIME_DIRECTORY", "").partition(":")[0]
    if not directory and settings.store.path != ":memory:":
        directory = os.path.dirname(settings.store.path)
    return os.path.join(directory, SOCKET_NAME)
