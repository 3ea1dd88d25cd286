"""
Channels of other packages, found by the entry point group ``pypinger.channels`` (contract, section 5).

Whatever is wrong with such a package is described in one line and raises nothing: one bad package must not stop the
daemon.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Set
from importlib.metadata import EntryPoint, entry_points

from pypinger.domain.model import Event
from pypinger.domain.texts import cut, error_words, one_line
from pypinger.ports.notifying import FORMS, RESERVED, ROUTING, Channel, OptionSpec, UnusableChannel

GROUP = "pypinger.channels"

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,39}\Z")
_OPTION = re.compile(r"[a-z][a-z0-9_-]{0,23}\Z")


def found(taken: Collection[str]) -> Iterator[Channel | UnusableChannel]:
    """
    Yield the channels of other packages, in the order of their names.

    :param taken: the names of channels that are built in.
    """
    installed = sorted(entry_points(group=GROUP), key=lambda point: (point.name, _package(point)))
    names = [point.name for point in installed]
    for point in installed:
        others = [_package(other) for other in installed if other.name == point.name and other != point]
        if point.name in taken or point.name in RESERVED:
            yield _unusable(point, f"[{point.name}] is a section of Py Pinger itself")
        elif names.count(point.name) > 1:
            yield _unusable(point, f"{' and '.join(others)} has a channel of this name, too; uninstall one of them")
        else:
            yield _loaded(point)


def _loaded(point: EntryPoint) -> Channel | UnusableChannel:
    try:
        channel: Channel = point.load()
        words = _fault(point.name, channel)
    except (Exception, SystemExit) as error:
        return _unusable(point, f"cannot import {_shown(point.value)}: {error_words(error)}")
    return _unusable(point, f"{_shown(point.value)} {words}") if words else channel


def _fault(name: str, channel: Channel) -> str:
    """Return why an object is no :class:`~pypinger.ports.notifying.Channel`; empty if it is one."""
    if not _NAME.match(name):
        return "has a name that no section can have: it must be a word of lower-case letters, digits, - and _"
    missing = [each for each in ("name", "events", "resolves", "options") if not hasattr(channel, each)]
    missing += [each for each in ("essential", "check", "notifier") if not callable(getattr(channel, each, None))]
    if missing or isinstance(channel, type):
        return f"is no channel: it has no {', '.join(missing)}" if missing else "is a class; name an object"
    if channel.name != name:
        return f"has the name {_shown(str(channel.name))}, but its entry point is {_shown(name)}"
    if not isinstance(channel.events, Set) or not all(isinstance(event, Event) for event in channel.events):
        return "has events that are no set of Event"
    if not isinstance(channel.options, tuple) or not all(isinstance(each, OptionSpec) for each in channel.options):
        return "has options that are no tuple of OptionSpec"
    options = [option.name for option in channel.options]
    for option in channel.options:
        if not _OPTION.match(option.name) or option.name in ROUTING or options.count(option.name) > 1:
            return f"has an option {_shown(option.name)}: not a name, taken or there twice"
        if option.form not in FORMS:
            return f"has an option {option.name} of an unknown form; known are {', '.join(FORMS)}"
    return ""


def _unusable(point: EntryPoint, words: str) -> UnusableChannel:
    return UnusableChannel(point.name, f"the package {_package(point)} cannot be used: {words}")


def _package(point: EntryPoint) -> str:
    return _shown(point.dist.name) if point.dist is not None else "of unknown name"


def _shown(text: str) -> str:
    return cut(one_line(text), 80)
