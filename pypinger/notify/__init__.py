"""
The channels: one module each, found by the name of its section in the ini file.

A module here offers ``CHANNEL``, an object that implements :class:`pypinger.ports.notifying.Channel`: its options, what
is wrong with them, and how to make the notifier. A new channel is one new file. Modules whose name starts with an
underscore are what channels share and are no channels themselves.

When to send, retrying and order are left to the outbox; connections and time limits to the HTTP client.
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
    Every channel there is.

    :returns: section name → channel, in the order of the modules' names.
    """
    names = [module.name for module in iter_modules(__path__) if not module.name.startswith("_")]
    found: list[Channel] = [import_module(f"{__name__}.{name}").CHANNEL for name in names]
    return MappingProxyType({channel.name: channel for channel in found})
