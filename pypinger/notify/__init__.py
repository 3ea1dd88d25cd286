"""
Channels: one module each, found by the name of its section in the ini file.

A channel's module has ``CHANNEL``, an object that implements :class:`pypinger.ports.notifying.Channel`: its options,
how to check them, and how to make the notifier. To add a channel, add a module. :mod:`~pypinger.notify.post` and
:mod:`~pypinger.notify.text` hold what channels share.

The outbox decides when to send, retries and keeps the order; the HTTP client has connections and time limits.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from types import MappingProxyType

from pypinger.ports.notifying import Channel

__all__ = ["channels"]


@cache
def channels() -> Mapping[str, Channel]:
    """
    Return every channel.

    :returns: section name -> channel, in the order of the names.
    """
    modules = [import_module(f"{__name__}.{module.name}") for module in iter_modules(__path__)]
    found: list[Channel] = [module.CHANNEL for module in modules if hasattr(module, "CHANNEL")]
    return MappingProxyType({channel.name: channel for channel in found})
