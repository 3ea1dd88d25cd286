"""The sections of channels. Each channel says which options it has and which of them are essential."""

from __future__ import annotations

from pypinger.config.section import SectionReader
from pypinger.config.settings import ChannelSettings
from pypinger.domain.redaction import Secrets
from pypinger.ports.notifying import Channel, OptionSpec


def read(section: SectionReader, channel: Channel) -> ChannelSettings | None:
    """Return the settings of a channel; None if it is off or its section has a problem."""
    context = section.context
    before = len(context.problems)
    values = {spec.name: _value(section, spec) for spec in channel.options}
    # An option that is wrong by itself does not hide the problems of the others.
    wrong = {problem.option for problem in context.problems[before:]}
    if any(spec.name in wrong and spec.form == "url" for spec in channel.options):
        return None  # Which options are essential may depend on the URL.
    essential = channel.essential(values)
    missing = [name for name in essential if not values[name] and name not in wrong]
    if len(missing) == len(essential):
        return None
    for name in missing:
        section.problem(name, f"missing; [{channel.name}] needs {' and '.join(essential)}")
    for name, words in channel.check(values).items() if not missing and not section.unresolved else ():
        if name not in wrong:
            section.problem(name, Secrets(context.secrets).scrub(words))
    return ChannelSettings(name=channel.name, values=values) if len(context.problems) == before else None


def _value(section: SectionReader, spec: OptionSpec) -> str:
    if spec.form == "flag":
        return "true" if section.flag(spec.name, spec.default == "true") else "false"
    if spec.form == "url":
        return section.url(spec.name, spec.default, secret=spec.secret)
    return section.text(spec.name, spec.default, secret=spec.secret)
