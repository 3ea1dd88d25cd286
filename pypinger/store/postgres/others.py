"""What this instance knows of the others, and what they write. In the reactor's thread."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger

from pypinger.domain.model import Delivery, Seconds
from pypinger.domain.silence import Silence
from pypinger.ports.sharing import Instance, LeaseLost, Sharer, Watched
from pypinger.ports.storing import Kept
from pypinger.store.postgres.feeds import ChannelFeed
from pypinger.store.postgres.lease import Lease
from pypinger.store.postgres.listening import Listening
from pypinger.store.postgres.recording import SharedRecorder
from pypinger.store.postgres.states import KnownStates
from pypinger.store.threads import Reactor

#: Seconds that gained tasks wait for earlier alerts at most.
CATCHING_UP: Seconds = 3.0


class Reporting:
    """Calls the runtime; an error there does not stop the store."""

    _log = Logger()

    def __init__(self) -> None:
        self.sharer: Sharer | None = None

    def start(self, sharer: Sharer) -> None:
        """Call this one from now on."""
        self.sharer = sharer

    def tell(self, what: str, *values: Any) -> None:
        """Call a method of :class:`~pypinger.ports.sharing.Sharer`."""
        if self.sharer is None:
            return
        try:
            getattr(self.sharer, what)(*values)
        except Exception:
            self._log.failure("unexpected error while reporting a change: {what}", what=what)


class Others:
    """
    Members, the owners of tasks, and silences; passes on what others write.

    :param heard: is called with notifications about members and requests.
    """

    def __init__(
        self, reactor: Reactor, listening: Listening, reporting: Reporting, heard: Callable[[set[str]], None]
    ) -> None:
        self._reactor = reactor
        self._listening = listening
        self._reporting = reporting
        self._heard = heard
        self._lease: Lease | None = None
        self._own: set[str] = set()
        # Task -> the id of the instance that owns it, as far as is known.
        self._owners: dict[str, str | None] = {}
        self._members: tuple[Instance, ...] = ()
        self._silences: tuple[Silence, ...] = ()
        # How many changes of silences are on their way.
        self._changing = 0
        # Those who wait for a look at deliveries, with its number.
        self._waiting: list[tuple[int, Deferred[None]]] = []

    def start(self) -> None:
        """Begin to listen."""
        self._listening.start(self._found)

    def read_again(self) -> None:
        """Pass on the tasks of all others once more."""
        self._listening.read_tasks_again()

    @property
    def trouble(self) -> str:
        """Why what others write cannot be read; empty if it can."""
        return self._listening.trouble

    def stop(self) -> None:
        """End."""
        self._lease = None
        self._found_looked(None)
        self._listening.stop()

    def begin(self, lease: Lease, states: KnownStates, present: Iterable[Silence]) -> None:
        """
        Read under a new lease.

        :param states: what is known of tasks under it.
        :param present: the silences that there are.
        """
        self._lease = lease
        self._silences = tuple(present)
        self._listening.hold(True)
        self._listening.begin(states)

    def end(self) -> None:
        """The lease is over, and nothing is owned."""
        self._lease = None
        self._own = set()
        self._listening.end()
        self._found_looked(None)

    def catch_up(self) -> Deferred[None]:
        """
        Wait until all deliveries that were committed until now have been passed on.

        :returns: fires then, or when the lease is over, or after :data:`CATCHING_UP` seconds.
        """
        if self._lease is None or not self._listening.channels:
            return succeed(None)
        waiting: Deferred[None] = Deferred()
        self._waiting.append((self._listening.look(), waiting))
        return waiting.addTimeout(CATCHING_UP, self._reactor, onTimeoutCancel=lambda *_: None)  # type: ignore[arg-type]

    def gained(self, part: Kept, snapshot: str) -> None:
        """
        Take account of what is owned now.

        :param snapshot: see :class:`~pypinger.store.postgres.feeds.ChannelFeed`.
        """
        self._own.update(part.states)
        if part.channels and self._lease is not None:
            loaded = [(each.alert.id, each.channel) for each in part.deliveries]
            feeds = {name: ChannelFeed(name, snapshot, loaded) for name in part.channels}
            self._listening.set({**self._listening.channels, **feeds})

    def leaving(self, channels: Collection[str]) -> None:
        """Pass on no more deliveries of some channels."""
        if channels and self._lease is not None:
            feeds = {name: feed for name, feed in self._listening.channels.items() if name not in channels}
            self._listening.set(feeds)

    def left(self, tasks: Collection[str]) -> None:
        """Some tasks are owned no more."""
        self._own.difference_update(tasks)

    def meet(self, members: tuple[Instance, ...], *, moving: bool) -> None:
        """
        Take account of all members, after each beat.

        :param moving: whether this instance is to gain more, or to leave some tasks.
        """
        self._listening.watch()
        self._listening.hold(moving)
        if members != self._members:
            self._members = members
            self._reporting.tell("members", members)

    def present(self) -> Sequence[Instance]:
        """The other members."""
        return [each for each in self._members if self._lease is not None and each.id != self._lease.id]

    def owns(self, task: str) -> bool:
        """Whether this instance owns a task."""
        return task in self._own

    def owner(self, task: str) -> Instance | None:
        """The other member that owns a task, as far as is known."""
        owner = self._owners.get(task)
        return next((each for each in self._members if each.id == owner), None)

    async def change_silences(self, present: Sequence[Silence], write: Callable[..., Awaitable[bool]]) -> None:
        """
        Record the differences to the silences that there were.

        :raises LeaseLost: nothing was written.
        """
        known = {each.id: each for each in self._silences}
        added = [each for each in present if known.get(each.id) != each]
        removed = sorted(known.keys() - {each.id for each in present})
        before, self._silences = self._silences, tuple(present)
        # What is being read of them just now is out of date.
        self._changing += 1
        self._listening.outdate()
        try:
            await write(SharedRecorder.change_silences, added, removed)
        except LeaseLost:
            self._silences = before
            raise
        finally:
            self._changing -= 1
            self._listening.outdate()

    def _found(self, what: str, *values: Any) -> None:
        if self._lease is not None:
            getattr(self, f"_found_{what}")(*values)

    def _found_heard(self, payloads: set[str]) -> None:
        self._heard(payloads)

    def _found_tasks(self, me: str, part: Sequence[tuple[Watched, str | None]]) -> None:
        if self._lease is None or self._lease.id != me:
            return
        shown = [(watched, owner) for watched, owner in part if watched.key not in self._own]
        self._owners.update({watched.key: owner for watched, owner in shown})
        if shown:
            self._reporting.tell("watched", [watched for watched, _ in shown])

    def _found_deliveries(self, found: Sequence[tuple[ChannelFeed, Delivery]]) -> None:
        channels = self._listening.channels
        new = [delivery for feed, delivery in found if channels.get(feed.name) is feed]
        if new:
            self._reporting.tell("delivered", new)

    def _found_looked(self, number: int | None) -> None:
        waiting, self._waiting = self._waiting, []
        for asked, waits in waiting:
            if waits.called:
                continue
            if number is None or asked <= number:
                waits.callback(None)
            else:
                self._waiting.append((asked, waits))

    def _found_silences(self, version: int, present: tuple[Silence, ...]) -> None:
        # After a change they are read again.
        if version == self._listening.version and not self._changing and present != self._silences:
            self._silences = present
            self._reporting.tell("silenced", present)
