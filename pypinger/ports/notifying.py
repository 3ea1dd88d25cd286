"""Sending alerts: what a channel is, and the HTTP client it sends with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

import msgspec

from pypinger.domain.model import Alert, Instant, Report, Seconds, Task
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
    """There was no answer; ``str()`` of it says why, in words that hold no secret."""


class HttpClient(Protocol):
    """What channels send their messages with."""

    async def post(self, url: str, *, headers: Mapping[str, str], body: bytes, timeout: Seconds = 20.0) -> Reply:
        """
        POST `body`, following no redirect.

        :param timeout: seconds for the whole exchange; when it passes, the socket is closed.
        :raises RequestFailed: there was no answer in time.
        """


class DeliveryError(Exception):
    """
    An attempt to send failed.

    :ivar words: the service's own words, or why it could not be reached; no secret in them.
    :ivar permanent: whether trying again is of no use (a bad token, an unknown channel).
    :ivar retry_after: seconds that the service asked to be left alone, else None.
    """

    def __init__(self, words: str, *, permanent: bool = False, retry_after: Seconds | None = None) -> None:
        super().__init__(words)
        self.words = words
        self.permanent = permanent
        self.retry_after = retry_after


class Notifier(Protocol):
    """
    One channel, ready to send.

    :ivar name: its section in the ini file.
    :ivar spacing: the least number of seconds between the starts of two messages.
    :ivar groups: whether it can gather several alerts in one message.
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
        :raises DeliveryError: it was not accepted, or nobody knows whether it was.
        """


@runtime_checkable
class RunObserver(Protocol):
    """A channel that also wants to hear of every run of a task, as Sentry's cron monitors do. Best effort."""

    async def run_seen(self, task: Task, report: Report, at: Instant) -> None:
        """
        A report with a ``lastrun`` not seen before has come.

        :raises DeliveryError: it was not accepted; the caller logs it and goes on.
        """


class OptionSpec(msgspec.Struct, frozen=True):
    """
    One option of a channel's section.

    :ivar form: ``text``, ``flag`` (true or false) or ``url`` (http or https).
    :ivar default: what an empty or absent option means; ``false`` or ``true`` for a flag.
    :ivar secret: whether its value must never be shown.
    """

    name: str
    form: str = "text"
    default: str = ""
    secret: bool = False


class Channel(Protocol):
    """
    What a module of :mod:`pypinger.notify` offers as ``CHANNEL``: its section of the ini file and how to make it.

    :ivar name: the section's name.
    """

    @property
    def name(self) -> str: ...

    @property
    def options(self) -> tuple[OptionSpec, ...]: ...

    def essential(self, values: Mapping[str, str]) -> tuple[str, ...]:
        """The options that must all be set for the channel to be on; with all of them empty it is off."""

    def check(self, values: Mapping[str, str]) -> Mapping[str, str]:
        """What is wrong with values that are well-formed each by itself: option name -> words; empty if all is well."""

    def notifier(self, values: Mapping[str, str], client: HttpClient, now: WallClock) -> Notifier:
        """Make the channel; `values` has every option, defaults filled in, flags as ``true`` or ``false``."""
