"""The sections of the channels: each channel says which options it has, and which of them it cannot do without."""

from __future__ import annotations

from pypinger.config.section import Section
from pypinger.config.settings import ChannelSettings
from pypinger.domain.redaction import Secrets
from pypinger.ports.notifying import Channel, OptionSpec


def read(section: Section, channel: Channel) -> ChannelSettings | None:
    """The settings of a channel; None if it is off or its section has a problem."""
    reading = section.reading
    before = len(reading.problems)
    values = {spec.name: _value(section, spec) for spec in channel.options}
    # What is wrong by itself is no reason to keep silent about the rest.
    wrong = {problem.option for problem in reading.problems[before:]}
    if any(spec.name in wrong and spec.form == "url" for spec in channel.options):
        return None  # A channel may go by its URL in what else it needs.
    essential = channel.essential(values)
    missing = [name for name in essential if not values[name] and name not in wrong]
    if len(missing) == len(essential):
        return None
    for name in missing:
        section.problem(name, f"missing; [{channel.name}] needs {' and '.join(essential)}")
    for name, words in channel.check(values).items() if not missing else ():
        if name not in wrong:
            section.problem(name, Secrets(reading.secrets).scrub(words))
    return ChannelSettings(name=channel.name, values=values) if len(reading.problems) == before else None


def _value(section: Section, spec: OptionSpec) -> str:
    if spec.form == "flag":
        return "true" if section.flag(spec.name, spec.default == "true") else "false"
    if spec.form == "url":
        return section.url(spec.name, spec.default, secret=spec.secret)
    return section.text(spec.name, spec.default, secret=spec.secret)
