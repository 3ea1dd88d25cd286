"""
The thread that listens to notifications, and reads what they are about.

It has a connection of its own, so that neither a page of history nor a slow transaction delays an alert. Where a
notification is lost with a connection, the next poll finds what it was about.
"""

from __future__ import annotations

import os
import select
from collections.abc import Callable, MutableSet
from threading import Event, Thread
from typing import Any

import psycopg
from twisted.logger import Logger

from pypinger.domain.model import Seconds
from pypinger.ports.storing import StoreError
from pypinger.store.postgres.connection import words_of
from pypinger.store.postgres.feeds import ChannelFeed, Feeds
from pypinger.store.postgres.lease import BEAT, CommonClock, boottime
from pypinger.store.postgres.link import Link
from pypinger.store.postgres.states import KnownStates
from pypinger.store.threads import Reactor

#: Seconds between two looks at tasks, at least.
OFTEN: Seconds = 0.25

#: Seconds between two looks without a notification.
POLL: Seconds = BEAT
POLL_SILENCES: Seconds = 30.0

#: Seconds between two attempts to connect, at first and at most.
PAUSE: Seconds = 0.1
LONGEST_PAUSE: Seconds = 2.0

#: Seconds after which a server that does not answer is asked over another connection: longer than a statement may take.
SILENT: Seconds = 10.0

#: What notifications say about tasks.
_OF_TASKS = frozenset({"tasks", "owners"})

#: What they say that the reactor's thread looks at itself.
_FOR_REACTOR = frozenset({"coming", "members", "free", "requests", "answers"})

#: Seconds that looks at tasks wait at most while this instance gains or leaves some, or may be about to: who gains
#: them would be shown them in vain, and who leaves them is in a hurry. Less than commands and pushes wait for an owner.
MOVING: Seconds = 2.5

#: Seconds without a change of owners that looks at tasks wait for, too, and for how long at most: a look delays the
#: instance that gains tasks, and finds some of them.
OWNERS_QUIET: Seconds = 0.5
QUIET_WITHIN: Seconds = 2.0

#: Seconds that the reactor may take to show one part of the tasks.
SHOWN: Seconds = 10.0


class _Hold:
    """Until when looks at tasks are held: see :data:`MOVING` and :data:`OWNERS_QUIET`."""

    def __init__(self) -> None:
        self._since: Seconds | None = boottime()
        self._changed = float("-inf")

    def until(self, now: Seconds, *, moving: bool, owners_change: bool) -> Seconds:
        """
        Return the time from which they may be made.

        :param moving: whether this instance is to gain some tasks, or leave some, or may be about to.
        :param owners_change: whether owners have changed since the call before.
        """
        if owners_change:
            self._changed = now
        quiet = self._changed + OWNERS_QUIET
        if not moving and now >= quiet:
            return quiet
        if self._since is None:
            self._since = now
        return self._since + MOVING if moving else min(quiet, self._since + QUIET_WITHIN)

    def looked(self) -> None:
        """A look was made: the next one may be held as long."""
        self._since = None


class Listening:
    """
    Listens in a thread, and reports to the reactor's thread.

    :param report: is called in the reactor's thread with what was found: a name (``heard``, ``tasks``, ``deliveries``,
        ``silences``, ``looked``), and its values.
    :ivar states: what is known under the present lease; None while there is none.
    :ivar channels: of the channels that it owns.
    :ivar trouble: why it cannot listen; empty if it can.
    :ivar version: of silences; it is given back with those that were read after it was set.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Reactor,
        url: str,
        name: str,
        clock: CommonClock,
        transactions: dict[int, Seconds],
        keys: dict[int, str],
    ) -> None:
        self._reactor = reactor
        self._clock = clock
        self._link = Link(url, f"{name} listens")
        self._feeds = Feeds(transactions, keys)
        self._report: Callable[..., None] = lambda *_: None
        self.states: KnownStates | None = None
        self.channels: dict[str, ChannelFeed] = {}
        self.version = 0
        self._held = True
        self.trouble = ""
        self._heard: set[str] = set()
        self._again = False
        # The numbers of the latest look at deliveries that was asked for, and of the one that was made.
        self._asked = self._looked = 0
        self._answered = boottime()
        self._stopped = Event()
        self._wake, self._waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        # A daemon thread: a server that does not answer must not keep the process alive.
        self._thread = Thread(target=self._run, name="pypinger-listener", daemon=True)

    def start(self, report: Callable[..., None]) -> None:
        """Begin."""
        self._report = report
        self._thread.start()

    def begin(self, states: KnownStates) -> None:
        """Read under a new lease; no channel is owned."""
        self.states, self.channels = states, {}
        self.wake()

    def end(self) -> None:
        """The lease is over. The next one may be another server's, so connect anew."""
        self.states, self.channels = None, {}
        self._link.abort()
        self.wake()

    def set(self, channels: dict[str, ChannelFeed]) -> None:
        """Set which channels this instance owns."""
        self.channels = channels
        self.wake()

    def hold(self, moving: bool) -> None:
        """
        Hold looks at tasks while this instance is to gain some, or leave some, but not for long.

        They are also held from when members come or go until it is known whether it is.
        """
        if moving != self._held:
            self._held = moving
            self.wake()

    def outdate(self) -> None:
        """What is being read of silences is out of date; read them again."""
        self.version += 1
        self.wake()

    def read_tasks_again(self) -> None:
        """Report all tasks once more, changed or not."""
        self._again = True
        self.wake()

    def look(self) -> int:
        """
        Look at deliveries now.

        :returns: the number that is reported as ``looked`` after what the look, or a later one, has found.
        """
        self._asked += 1
        self.wake()
        return self._asked

    def wake(self) -> None:
        """Look at everything now."""
        try:
            os.write(self._waker, b"x")
        except OSError:
            # Full: it will wake up in any case.
            pass

    def watch(self) -> None:
        """Give the connection up if the server has not answered for long; called from time to time."""
        if boottime() > self._answered + SILENT:
            self._answered = boottime()
            self._link.abort()

    def stop(self) -> None:
        """End; it does not wait for the thread."""
        self._stopped.set()
        self.wake()
        self._link.abort()

    def _run(self) -> None:
        pause = PAUSE
        used: KnownStates | None = None
        while not self._stopped.is_set():
            began = boottime()
            try:
                connection = self._link.connection()
                connection.add_notify_handler(self._note)
                connection.execute("LISTEN pypinger")
                if used is not None:
                    # It may be another server, or have lost transactions.
                    used.begin_anew()
                self._listen(connection)
            except (psycopg.Error, StoreError, OSError) as error:
                self.trouble = words_of(error, self._link.url)
            except Exception:
                self.trouble = "unexpected error, see the log"
                self._log.failure("unexpected error while looking at what other instances wrote")
            self._link.drop()
            used = self.states
            pause = PAUSE if boottime() > began + LONGEST_PAUSE else min(2 * pause, LONGEST_PAUSE)
            # A new lease says that the server answers again.
            waker = select.poll()
            waker.register(self._wake, select.POLLIN)
            waker.poll(pause * 1000)
            self._drain()
        self._link.drop()

    def _note(self, notification: psycopg.Notify) -> None:
        self._heard.add(notification.payload)

    def _listen(self, connection: psycopg.Connection) -> None:
        poller = select.poll()
        poller.register(connection.fileno(), select.POLLIN)
        poller.register(self._wake, select.POLLIN)
        # Since the last connection anything may have happened.
        heard = {"members", "tasks", "owners", "deliveries", "silences", "requests", "answers"}
        tasks_next = polled = silences_next = 0.0
        hold = _Hold()
        version = -1
        self._looked = 0
        while not self._stopped.is_set():
            # The server adds what it has to notify to any answer; the handler notes it.
            connection.execute("SELECT")
            self._answered = boottime()
            now, states = boottime(), self.states
            owners_change = "owners" in self._heard
            heard |= self._heard
            self._heard = set()
            if self._again:
                self._again = False
                self._feeds.give_all_again()
                heard.add("tasks")
            if states is not None:
                self._pass_on(heard)
            else:
                hold = _Hold()
            shown_from = max(tasks_next, hold.until(now, moving=self._held, owners_change=owners_change))
            if states is not None:
                if self._asked != self._looked:
                    heard.add("deliveries")
                if now >= polled + POLL:
                    heard |= {"tasks", "owners", "deliveries"}
                    polled = now
                if now >= silences_next or version != self.version:
                    heard.add("silences")
                if "deliveries" in heard:
                    heard.discard("deliveries")
                    self._look_at_deliveries(connection)
                if "silences" in heard:
                    heard.discard("silences")
                    silences_next = now + POLL_SILENCES
                    version = self.version
                    self._send("silences", version, self._feeds.silences(connection, self._clock.now))
                if heard & _OF_TASKS and now >= shown_from:
                    began = boottime()
                    # Pushes and commands wait for the owners.
                    for what, look in (("owners", self._feeds.owners), ("tasks", self._feeds.tasks)):
                        if what not in heard:
                            continue
                        for part in look(connection, states):
                            self._show(states.me, part)
                            # Alerts, members and requests do not wait until thousands of tasks are shown.
                            self._look_at_deliveries(connection)
                            self._pass_on(self._heard)
                            self._answered = boottime()
                    heard -= _OF_TASKS
                    hold.looked()
                    # A look that takes long, because much has changed, leaves time to others.
                    tasks_next = boottime() + max(OFTEN, 2 * (boottime() - began))
                heard &= _OF_TASKS
                self.trouble = ""
            until = polled + POLL
            if heard:
                until = min(until, shown_from)
            if states is None:
                until = now + POLL
            if not self._heard:
                poller.poll(max(0.0, min(until - boottime(), POLL)) * 1000)
                self._drain()

    def _pass_on(self, heard: MutableSet[str]) -> None:
        """Report what the reactor's thread looks at itself, and remove it."""
        found = {what for what in heard if what.partition(" ")[0] in _FOR_REACTOR}
        if found:
            if "members" in found:
                # Whether it is to own more is known after the beat that follows, which calls hold(). A beat that is
                # under way may do so sooner; then some is shown in vain.
                self._held = True
            self._send("heard", found)
            heard -= found

    def _look_at_deliveries(self, connection: psycopg.Connection) -> None:
        asked = self._asked
        if found := self._feeds.deliveries(connection, self.channels):
            self._send("deliveries", found)
        if asked != self._looked:
            self._looked = asked
            self._send("looked", asked)

    def _drain(self) -> None:
        try:
            os.read(self._wake, 4096)
        except BlockingIOError:
            pass

    def _send(self, what: str, *values: Any) -> None:
        if not self._stopped.is_set():
            self._reactor.callFromThread(self._report, what, *values)

    def _show(self, me: str, part: Any) -> None:
        """Send a part of the tasks, and wait until the reactor has taken it, so that it does other work in between."""
        shown = Event()

        def show() -> None:
            try:
                self._report("tasks", me, part)
            finally:
                shown.set()

        self._reactor.callFromThread(show)
        shown.wait(SHOWN)
