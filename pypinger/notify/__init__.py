"""
Channels: one module each, found by the name of its section in the ini file, and those of other packages.

A channel's module has ``CHANNEL``, an object that implements :class:`pypinger.ports.notifying.Channel`: its options,
how to check them, and how to make the notifier. To add a channel, add a module. :mod:`~pypinger.notify.post` and
:mod:`~pypinger.notify.text` hold what channels share. :mod:`~pypinger.notify.packages` finds the channels of other
packages.

The outbox decides when to send, retries and keeps the order; the HTTP client has connections and time limits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from types import MappingProxyType

import msgspec
from twisted.logger import Logger

from pypinger.domain.model import Alert, Seconds
from pypinger.domain.redaction import Secrets
from pypinger.domain.texts import error_words
from pypinger.notify.packages import found
from pypinger.ports.notifying import Channel, ChannelContext, DeliveryError, Notifier, UnusableChannel

__all__ = ["channels", "make_notifier", "registry", "unusable"]

_log = Logger()


class Registry(msgspec.Struct, frozen=True):
    """
    All channels.

    :ivar channels: section name -> channel, in the order of the names.
    :ivar unusable: the channels of other packages that cannot be used.
    """

    channels: Mapping[str, Channel]
    unusable: tuple[UnusableChannel, ...]


@cache
def registry() -> Registry:
    """Import every channel, once."""
    modules = [import_module(f"{__name__}.{module.name}") for module in iter_modules(__path__)]
    known: dict[str, Channel] = {
        module.CHANNEL.name: module.CHANNEL for module in modules if hasattr(module, "CHANNEL")
    }
    wrong: list[UnusableChannel] = []
    for each in list(found(known)):
        if isinstance(each, UnusableChannel):
            wrong.append(each)
        else:
            known[each.name] = each
    return Registry(MappingProxyType(dict(sorted(known.items()))), tuple(wrong))


def channels() -> Mapping[str, Channel]:
    """
    Return every channel.

    :returns: section name -> channel, in the order of the names.
    """
    return registry().channels


def unusable() -> Sequence[UnusableChannel]:
    """Return the channels of other packages that cannot be used."""
    return registry().unusable


def make_notifier(kind: str, values: Mapping[str, str], context: ChannelContext) -> Notifier:
    """
    Make the notifier of a section; if its channel raises an error, one that refuses every alert and says why.

    :param kind: the channel.
    :param values: the section's options.
    """
    try:
        made = channels()[kind].notifier(values, context)
        fits = made.name == context.name and made.spacing >= 0 and isinstance(made.groups, bool) and callable(made.send)
    except Exception as error:
        secrets = [values[option.name] for option in channels()[kind].options if option.secret]
        words = Secrets(filter(None, secrets)).scrub(error_words(error))
    else:
        if fits:
            return made
        words = "its notifier does not have the members of pypinger.ports.notifying.Notifier"
    _log.critical("the channel [{name}] cannot be used: {words}", name=context.name, words=words)
    return _Broken(context.name, words)


class _Broken:
    """A :class:`pypinger.ports.notifying.Notifier` that refuses every alert."""

    spacing: Seconds = 0.0
    groups = False

    def __init__(self, name: str, words: str) -> None:
        self.name = name
        self._words = words

    async def send(self, alerts: Sequence[Alert]) -> str:
        raise DeliveryError(self._words, permanent=True)
