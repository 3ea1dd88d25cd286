"""
Several instances that share the tasks over one database (contract, section 8, "Several machines").

A shared store gives its instance tasks to check and channels to send through: it *owns* them while its lease lasts.
:class:`SharedStore` is what the store offers beside :class:`~pypinger.ports.storing.Store`, :class:`Sharer` what the
runtime does when the store tells it that something has changed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from pypinger.domain.kinds import Status
from pypinger.domain.model import Delivery, Instant, Seconds, TaskState
from pypinger.domain.silence import Silence
from pypinger.ports.storing import Kept


class LeaseLost(Exception):
    """
    The lease of this instance has run out, so what it was doing may be done by another one.

    Nothing was written, and nothing may be sent or shown of it. The message is one line.
    """


class InstanceRequestFailed(Exception):
    """Another instance did not answer a request in time, or refused it; ``str()`` is one line."""


class InstanceListing(msgspec.Struct, frozen=True):
    """
    What an instance can do, by its ini file.

    :ivar tasks: the keys of its tasks.
    :ivar channels: the names of its channels, those that are off for a time included.
    :ivar digest: of the ini file and what it includes; instances with another digest are shown as different.
    """

    tasks: frozenset[str]
    channels: frozenset[str]
    digest: str = ""


class InstanceHealth(msgspec.Struct, frozen=True):
    """
    What an instance says of itself, with each renewal of its lease.

    :ivar blind: since when it has been blind; None while it sees.
    :ivar undelivered: pending deliveries of the channels that it owns; `dead`: those that were given up.
    """

    status: Status = Status.OK
    explanation: str = ""
    started: Instant = 0.0
    version: str = ""
    blind: Instant | None = None
    undelivered: int = 0
    dead: int = 0
    dead_channels: tuple[str, ...] = ()


class Instance(msgspec.Struct, frozen=True):
    """
    An instance that holds a lease.

    :ivar id: of this process; another start of the same instance has another id.
    :ivar name: see ``[store] instance``.
    :ivar joined: when it got its lease, by the clock of the database.
    :ivar tasks: how many tasks it owns.
    :ivar channels: the channels that it owns.
    :ivar digest: see :class:`InstanceListing`.
    """

    id: str
    name: str
    joined: Instant
    tasks: int
    channels: tuple[str, ...]
    digest: str
    health: InstanceHealth


class Watched(msgspec.Struct, frozen=True, gc=False):
    """
    A task as another instance stored it last.

    :ivar state: None if it is to be left as it is shown, since only the owner has changed.
    :ivar owner: the name of the instance that owns it; None while none does.
    """

    key: str
    state: TaskState | None
    owner: str | None


class InstanceRequest(msgspec.Struct, frozen=True):
    """
    Something that another instance asks of this one.

    :ivar verb: what is to be done.
    :ivar body: its arguments: values that JSON can hold.
    :ivar limit: for how many seconds the answer is waited for.
    """

    verb: str
    body: Mapping[str, Any]
    limit: Seconds = 10.0


class Sharer(Protocol):
    """
    What the runtime does when the store reports a change. All calls come in the reactor's thread, one after the other.
    """

    def gained(self, part: Kept) -> None:
        """
        Take over tasks and channels: check those tasks, and send the pending deliveries of those channels.

        :param part: `states` of the tasks, `channels`, and what is kept of these channels (`deliveries`, `dead`,
            `told`, `dead_channels`, `refusals`). Tasks that are `unlisted` are to be closed, and deliveries of such
            channels given up. Others that a reload has just removed here are left soon.
        """

    async def leave(self, tasks: Collection[str], channels: Collection[str]) -> None:
        """
        Stop work on tasks and channels that another instance is to own.

        Once it returns, no check of these tasks is under way, nothing of them is on its way to the store, and no
        message is under way through these channels. The store then gives them away.
        """

    def lost(self, words: str) -> None:
        """
        Drop all tasks and channels at once: the lease has run out, and the database cannot be reached.

        :param words: why, in one line.
        """

    def joined(self) -> None:
        """A new lease has been given after a loss; tasks and channels follow with :meth:`gained`."""

    def watched(self, tasks: Sequence[Watched]) -> None:
        """Show tasks of other instances."""

    def delivered(self, deliveries: Sequence[Delivery]) -> None:
        """Send deliveries that were committed just now, by any instance, for channels that this one owns."""

    def silenced(self, present: Sequence[Silence]) -> None:
        """Use these silences; people gave them to any instance."""

    def members(self, present: Sequence[Instance]) -> None:
        """Show these instances, this one included; called when anything of them has changed."""

    async def asked(self, request: InstanceRequest) -> object:
        """
        Do what another instance asks.

        :returns: a value that JSON can hold.
        :raises InstanceRequestFailed: it cannot be done; the other instance gets the message.
        """


class SharedStore(Protocol):
    """
    What a store that several instances share offers beside :class:`~pypinger.ports.storing.Store`.

    Its `commit`, `enqueue` and `settle` raise :class:`LeaseLost` instead of going on from memory.
    """

    @property
    def name(self) -> str:
        """The name of this instance."""

    def now(self) -> Instant:
        """
        The common time of all instances: seconds since the epoch by the clock of the database.

        It follows this machine's clock between two renewals of the lease.
        """

    def alive(self) -> bool:
        """Whether the lease lasts: only then may a check begin or a message be sent."""

    def hold(self) -> None:
        """
        Hold the lease from :meth:`~pypinger.ports.storing.Store.open` to :meth:`start`.

        With thousands of tasks the start keeps the reactor's thread busy for longer than a lease lasts.
        """

    def start(self, sharer: Sharer, health: Callable[[], InstanceHealth]) -> None:
        """
        Begin to renew the lease and to report changes, after :meth:`~pypinger.ports.storing.Store.open`.

        :param health: is asked at each renewal.
        """

    def list(self, listing: InstanceListing) -> None:
        """Set what this instance can do, before it opens and after each reload."""

    def owner(self, task: str) -> str | None:
        """The name of the instance that owns a task, as far as is known; None if none does."""

    async def ask(self, task: str, request: InstanceRequest) -> Any:
        """
        Ask the owner of a task, which is not this instance.

        :raises InstanceRequestFailed: it has no owner now, or that did not answer in time, or refused.
        """

    async def ask_all(self, request: InstanceRequest) -> Mapping[str, Any]:
        """Ask all other instances; returns the answers of those that answered, by name."""
