"""
The sections of channels, with a name or without: ``[slack]``, ``[slack ops]``.

Each channel says which options it has and which of them are essential; all have the options of routing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence, Set

from pypinger.config.ini import IniSection
from pypinger.config.known import suggestion
from pypinger.config.matching import read_selector, warn_of_no_match
from pypinger.config.section import LoadContext, SectionReader
from pypinger.config.settings import ChannelSettings
from pypinger.domain.model import Event, Task, TaskState
from pypinger.domain.redaction import Secrets
from pypinger.domain.routing import ALWAYS, DEFAULT_EVENTS, ChannelRoute
from pypinger.domain.selector import Selector, subject_of
from pypinger.domain.texts import cut, error_words
from pypinger.ports.notifying import RESERVED, ROUTING, Channel, OptionSpec, UnusableChannel


def read(
    sections: Sequence[SectionReader], channels: Mapping[str, Channel], tasks: Sequence[Task]
) -> tuple[ChannelSettings, ...]:
    """
    Return the channels that are on and valid, in the order of the file.

    :param tasks: those that are checked; a ``match`` that matches none of them is a warning.
    """
    subjects = [subject_of(task, TaskState()) for task in tasks]
    found: list[ChannelSettings] = []
    first: dict[str, SectionReader] = {}
    for section in sections:
        kind, rest = section.context.split_name(section.name)
        name = " ".join([kind, *rest.split()])
        if name in first:
            section.problem("", f"duplicate section, {section.first_given(first[name])}; merge the two")
        elif "://" in rest:
            section.problem("", "has a URL where its name belongs; a URL goes into an option")
        first.setdefault(name, section)
        channel = channels[kind]
        before = len(section.context.problems)
        section.expect((*(spec.name for spec in channel.options), *ROUTING))
        route = _route(section, name, channel)
        values = _values(section, channel)
        if len(section.context.problems) > before:
            continue
        if values is None:
            if rest or any(map(section.has, ROUTING)):
                words = "is off, since no option that it needs is set; nothing is inherited from other sections"
                section.warn("", words)
            continue
        if route.match.words and subjects:
            warn_of_no_match(section, route.match, subjects)
        found.append(ChannelSettings(name=name, kind=kind, values=values, route=route))
    return tuple(found)


def without_unusable(
    sections: Sequence[IniSection],
    context: LoadContext,
    channels: Mapping[str, Channel],
    unusable: Sequence[UnusableChannel],
) -> Sequence[IniSection]:
    """
    Return the sections but those of channels that cannot be used.

    Such a section is a problem. A channel without a section, or with a name that is taken, is a warning.
    """
    broken = {each.name: each.words for each in unusable if each.name not in channels and each.name not in RESERVED}
    usable, used = [], set()
    for section in sections:
        kind, _ = context.split_name(section.name)
        if kind in broken:
            used.add(kind)
            context.problem(section.line, section.name, "", broken[kind], file=section.file)
        else:
            usable.append(section)
    for each in unusable:
        if each.name not in used:
            context.warn(0, each.name, "", each.words)
    return usable


def _route(section: SectionReader, name: str, channel: Channel) -> ChannelRoute:
    match = read_selector(section) or Selector("", ())
    after = section.seconds("after", 0.0, zero=True)
    return ChannelRoute(name, match, _events(section, channel.events), after, channel.resolves)


def _events(section: SectionReader, default: frozenset[Event]) -> frozenset[Event]:
    known = [event.value for event in Event if event in DEFAULT_EVENTS | ALWAYS and event is not Event.TEST]
    taken = " ".join(line for _, line in section.lines("events")).replace(",", " ").lower().split()
    for word in taken:
        if word not in known:
            close = suggestion(word, known)
            words = f"did you mean {close}?" if close else f"there are {', '.join(known)}"
            section.problem("events", f"unknown event {json.dumps(cut(word, 60), ensure_ascii=False)}; {words}")
            return default
    return frozenset(map(Event, taken)) or default


def _values(section: SectionReader, channel: Channel) -> Mapping[str, str] | None:
    """Return a channel's own options; None if it is off or has a problem."""
    context = section.context
    before = len(context.problems)
    values = {spec.name: _value(section, spec) for spec in channel.options}
    # An option that is wrong by itself does not hide the problems of the others.
    wrong = {problem.option for problem in context.problems[before:]}
    if any(spec.name in wrong and spec.form == "url" for spec in channel.options):
        return None  # Which options are essential may depend on the URL.
    try:
        on = _check(section, channel, values, wrong)
    except Exception as error:
        # The channel may be another package's.
        section.problem("", Secrets(context.secrets).scrub(f"the channel is broken: {error_words(error)}"))
        return None
    if not on:
        return None
    return values if len(context.problems) == before else None


def _check(section: SectionReader, channel: Channel, values: Mapping[str, str], wrong: Set[str]) -> bool:
    """Record what the channel says is wrong with its options; returns whether it is on."""
    essential = channel.essential(values)
    missing = [name for name in essential if not values[name] and name not in wrong]
    if len(missing) == len(essential):
        return False
    for name in missing:
        section.problem(name, f"missing; [{channel.name}] needs {' and '.join(essential)}")
    for name, words in channel.check(values).items() if not missing and not section.unresolved else ():
        if name not in wrong:
            section.problem(name, Secrets(section.context.secrets).scrub(words))
    return True


def _value(section: SectionReader, spec: OptionSpec) -> str:
    match spec.form:
        case "flag":
            return "true" if section.flag(spec.name, spec.default == "true") else "false"
        case "url":
            return section.url(spec.name, spec.default, secret=spec.secret)
        case "lines":
            values = [line.strip() for _, line in section.lines(spec.name)]
            if spec.secret and spec.name not in section.unresolved:
                section.context.secret(*values)
            return "\n".join(values) or spec.default
        case "path":
            return section.path(spec.name) or spec.default
        case _:
            return section.text(spec.name, spec.default, secret=spec.secret)
