"""Channels that send alerts, and the HTTP client that they send with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import msgspec
from twisted.internet.interfaces import IStreamClientEndpoint

from pypinger.domain.model import Alert, Event, Instant, Report, Seconds, Task
from pypinger.ports.clock import WallClock


class Reply(msgspec.Struct, frozen=True):
    """
    A channel's HTTP answer.

    :ivar headers: names in lower case; of a repeated header the last value.
    :ivar body: at most 64 KiB of it.
    """

    code: int
    headers: Mapping[str, str]
    body: bytes


class RequestFailed(Exception):
    """There was no answer; ``str()`` says why and holds no secret."""


class HttpClient(Protocol):
    """Posts messages, and makes the request of the heartbeat."""

    async def post(
        self,
        url: str,
        *,
        headers: Mapping[str, str],
        json: object = None,
        data: bytes | None = None,
        timeout: Seconds = 20.0,
    ) -> Reply:
        """
        POST once, following no redirect.

        :param json: sent as JSON, with its content type.
        :param data: sent as it is; used if `json` is None.
        :param timeout: seconds for the whole exchange; when it passes, the socket is closed.
        :raises RequestFailed: there was no answer in time.
        """

    async def get(self, url: str, *, timeout: Seconds = 20.0) -> Reply:
        """
        GET, following no redirect.

        :param timeout: seconds for the whole exchange.
        :raises RequestFailed: there was no answer in time.
        """


class Proxies(Protocol):
    """
    The proxy of ``[main]``, for channels that do not send with the :class:`HttpClient`.

    A `scheme` names the protocol that is spoken, ``https`` or ``smtp`` say; ``proxy = env`` chooses by it.
    """

    def url(self, scheme: str, host: str, port: int) -> str | None:
        """
        Return the URL of the proxy for a host, with its credentials; None if there is none for it.

        It may be called in any thread.
        """

    def tunnel(self, scheme: str, host: str, port: int) -> IStreamClientEndpoint | None:
        """
        Return an endpoint that connects to a host through the proxy's ``CONNECT``; None if no proxy is used for it.

        A host on the loopback is this machine, so it is reached through a proxy on this machine only.

        :returns: an endpoint whose ``connect`` fails with :class:`RequestFailed` if there is no tunnel. It has a time
            limit, and cancelling it closes the connection.
        :raises RequestFailed: the proxy cannot be used.
        """


class DeliveryError(Exception):
    """
    An attempt to send failed.

    :ivar words: the service's own words, or why it could not be reached; they hold no secret.
    :ivar permanent: whether a retry cannot succeed (a bad token, an unknown channel).
    :ivar retry_after: seconds that the service asks to wait, else None.
    """

    def __init__(self, words: str, *, permanent: bool = False, retry_after: Seconds | None = None) -> None:
        super().__init__(words)
        self.words = words
        self.permanent = permanent
        self.retry_after = retry_after


class MessageLost(DeliveryError):
    """A message can no longer be changed (it was deleted, say); a new one has to take its place."""

    def __init__(self, words: str) -> None:
        super().__init__(words, permanent=True)


class Notifier(Protocol):
    """
    One channel, ready to send.

    :ivar name: its section in the ini file, ``slack`` or ``slack ops`` say; that of its :class:`ChannelContext`.
    :ivar spacing: the least number of seconds between the starts of two messages.
    :ivar groups: whether one message can hold several alerts.
    """

    @property
    def name(self) -> str: ...

    @property
    def spacing(self) -> Seconds: ...

    @property
    def groups(self) -> bool: ...

    async def send(self, alerts: Sequence[Alert]) -> str:
        """
        Send one message: for one alert, or for a storm of them where `groups` is true.

        :returns: the service's answer in a few words, for ``notify-test`` and the record of deliveries.
        :raises DeliveryError: the message was not accepted, or it is not known whether it was.
        """


@runtime_checkable
class PartialNotifier(Protocol):
    """
    A :class:`Notifier` with several recipients, each of whom may accept or refuse a message.

    Those who were reached are not written to again when the message is retried, by another notifier of the channel
    either: after a restart, a reload, or at another instance.
    """

    def progress(self, alert: Alert) -> str | None:
        """
        Return which recipients an alert has reached though its message failed, in the channel's own form.

        It is kept in the store, and holds no secret.

        :returns: None if it has reached none.
        """

    def begin(self, alert: Alert, progress: str | None) -> None:
        """
        Begin to send an alert, or begin again: to all recipients that it has not reached, also those that refused it.

        :param progress: from a notifier of this channel, perhaps with other settings; unknown forms are ignored. None
            if the alert has reached no recipient.
        """


class Receipt(msgspec.Struct, frozen=True):
    """
    A message was accepted.

    :ivar words: the service's answer in a few words.
    :ivar reference: what the notifier finds the message by; kept in the store and not interpreted. None if the service
        does not tell.
    """

    words: str
    reference: str | None = None


@runtime_checkable
class ThreadedNotifier(Protocol):
    """
    A :class:`Notifier` whose messages can be replied to and changed (contract, section 5, ``[slack]``).

    The first message of an incident is the incident's; the incident's later alerts are replies to it.
    """

    async def post(self, alerts: Sequence[Alert], thread: str | None) -> Receipt:
        """
        Send one message as :meth:`Notifier.send` does.

        :param thread: the reference of the message to reply to. If it takes no reply, the alerts are sent as a message
            of their own.
        :returns: with `thread` as its reference if the message is a reply to it, else with that of the new message.
        :raises DeliveryError: the message was not accepted, or it is not known whether it was.
        """

    async def update(self, reference: str, alerts: Sequence[Alert]) -> str:
        """
        Change a message to show the present state of its incidents. Best effort.

        :param alerts: the latest alert of each incident, except reminders.
        :returns: the service's answer in a few words.
        :raises MessageLost: the message cannot be changed.
        :raises DeliveryError: it was not changed, or it is not known whether it was.
        """


@runtime_checkable
class RunObserver(Protocol):
    """A channel that also receives every run of a task, like Sentry's cron monitors. Best effort."""

    async def run_seen(self, task: Task, report: Report, at: Instant) -> None:
        """
        Send a run that has ended or begun: a report with a ``lastrun`` or ``started`` not seen before.

        :raises DeliveryError: it was not accepted; the caller logs this and does not retry.
        """


@runtime_checkable
class KeptAlive(Protocol):
    """A channel whose alerts expire unless they are sent again, like Alertmanager's. Best effort."""

    async def keep(self, alerts: Sequence[Alert]) -> None:
        """
        Send again what still stands; called every minute.

        :param alerts: the latest alert of each incident that the channel has been told of and that is still open, and
            of Py Pinger's blindness.
        :raises DeliveryError: it was not accepted; the caller logs this, and calls again a minute later.
        """


class ChannelContext(msgspec.Struct, frozen=True):
    """
    What a channel's notifier gets from the daemon.

    :ivar name: the channel's section, ``slack ops`` say.
    :ivar client: makes its HTTP requests, with the proxy and the trust of ``[main]``.
    :ivar now: the wall clock.
    :ivar reactor: for channels that do not use HTTP.
    :ivar ca_file: a private CA to trust, for channels that do not use HTTP; or None.
    :ivar proxies: the proxy of ``[main]``, for channels that do not use `client`; None for no proxy.
    """

    name: str
    client: HttpClient
    now: WallClock
    reactor: Any
    ca_file: str | None = None
    proxies: Proxies | None = None


#: The sections of Py Pinger itself (contract, section 6); no channel has such a name.
RESERVED = frozenset(
    {"main", "urls", "token_auth", "heartbeat", "web", "push", "store", "group", "task", "maintenance"}
)

#: The options that the sections of all channels have (contract, section 5); a channel has no option of such a name.
ROUTING = ("match", "events", "after")

#: The forms of options.
FORMS = ("text", "lines", "flag", "url", "path")


class OptionSpec(msgspec.Struct, frozen=True):
    """
    One option of a channel's section.

    :ivar form: ``text`` (one line), ``lines`` (its non-empty lines, joined by line feeds), ``flag`` (true or false),
        ``url`` (http or https) or ``path`` (made absolute).
    :ivar default: what an empty or absent option means; ``false`` or ``true`` for a flag.
    :ivar secret: whether its value must never be shown.
    """

    name: str
    form: str = "text"
    default: str = ""
    secret: bool = False


class Channel(Protocol):
    """
    A kind of channel: its sections of the ini file, and how to make their notifiers.

    Each channel's module in :mod:`pypinger.notify` has one as ``CHANNEL``; other packages name theirs in the entry
    point group ``pypinger.channels``.

    :ivar name: the first word of its sections' names.
    :ivar events: what a section without the option ``events`` is sent.
    :ivar resolves: whether its service keeps incidents of its own, so that it is sent the end of what it was told of
        even while a silence lasts.
    """

    @property
    def name(self) -> str: ...

    @property
    def events(self) -> frozenset[Event]: ...

    @property
    def resolves(self) -> bool: ...

    @property
    def options(self) -> tuple[OptionSpec, ...]: ...

    def essential(self, values: Mapping[str, str]) -> tuple[str, ...]:
        """Return the options that must be set for the channel to be on; with all of them empty it is off."""

    def check(self, values: Mapping[str, str]) -> Mapping[str, str]:
        """Check values that are valid each by itself; returns option -> what is wrong with it."""

    def notifier(self, values: Mapping[str, str], context: ChannelContext) -> Notifier:
        """Make the notifier; `values` has every option, defaults filled in, flags as ``true`` or ``false``."""


class UnusableChannel(msgspec.Struct, frozen=True):
    """
    A channel of another package that cannot be used.

    :ivar name: that of its sections.
    :ivar words: the package, and why.
    """

    name: str
    words: str
