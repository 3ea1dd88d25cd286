"""The options that ``[main]`` sets for all tasks, groups for several and task sections for one."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping

import msgspec

from pypinger.config import pem, schedules
from pypinger.config.section import SectionReader, about_url
from pypinger.domain import url as urls
from pypinger.domain.model import Window

_PROXY = re.compile(r"http://[^/?#]+/?\Z", re.IGNORECASE)


class Overridable(msgspec.Struct, frozen=True):
    """
    The options that ``[main]`` sets and the sections of groups and tasks may override; see
    :class:`~pypinger.domain.model.Task`.
    """

    interval: float = 60.0
    error_interval: float = 480.0
    error_interval_max: float = 21_600.0
    timeout: float = 20.0
    grace: float = 60.0
    failures: int = 1
    unreachable_for: float = 0.0
    ca_file: str | None = None
    client_cert: str | None = None
    client_key: str | None = None
    proxy: str | None = None


class OfTask(Overridable, frozen=True):
    """With the options that only the sections of groups and tasks have."""

    enabled: bool = True
    runbook: str | None = None
    note: str = ""
    token_auth: bool = True
    frequency: float | None = None
    schedule: str | None = None
    timezone: str | None = None
    max_runtime: float | None = None
    sleep: tuple[Window, ...] | None = None


class Overrides(msgspec.Struct, frozen=True):
    """
    What one section sets.

    :ivar values: the options that it sets, as attributes of :class:`Overridable` or :class:`OfTask`.
    """

    section: SectionReader
    values: Mapping[str, object]


def read(section: SectionReader) -> Overrides:
    """Return what a section sets; options that it does not have are not read."""
    values = {name: reader(section, name) for name, reader in _READERS.items() if section.has(name)}
    if any(map(section.has, ("client_cert", "client_key"))):
        # They belong together, so a task inherits both or neither.
        values["client_cert"], values["client_key"] = _pair(section)
    # A task has the one or the other, so each overrides both.
    if section.has("schedule"):
        values["frequency"] = None
    elif section.has("frequency"):
        values["schedule"] = None
    return Overrides(section, values)


def combined(chain: Iterable[Overrides]) -> OfTask:
    """Return the values of a task, of which each section overrides those before it."""
    values: dict[str, object] = {}
    for each in chain:
        values |= each.values
    return OfTask(**values)  # type: ignore[arg-type]


def _seconds(section: SectionReader, name: str) -> float:
    return section.seconds(name, 1.0)


def _seconds_or_0(section: SectionReader, name: str) -> float:
    return section.seconds(name, 0.0, zero=True)


def _ca_file(section: SectionReader, name: str) -> str | None:
    path = section.path(name)
    words = pem.check_ca(path) if path else ""
    if words:
        section.problem(name, words)
    return path


def _pair(section: SectionReader) -> tuple[str | None, str | None]:
    """Return the client certificate and its key."""
    before = len(section.context.problems)
    certificate, key = section.path("client_cert"), section.path("client_key")
    if len(section.context.problems) > before or {"client_cert", "client_key"} & section.unresolved:
        return None, None
    if key and not certificate:
        section.problem("client_key", "needs client_cert")
    if certificate:
        for option, words in zip(("client_cert", "client_key"), pem.check_pair(certificate, key), strict=True):
            if words:
                section.problem(option, words)
    return certificate, key


def _proxy(section: SectionReader, name: str) -> str | None:
    value = section.text(name)
    if not value or name in section.unresolved:
        return value or None
    if value.lower() == "env":
        return "env"
    if value.lower() == "direct":
        return None
    section.url_secrets(value)
    try:
        url, valid = urls.parse(value), bool(_PROXY.match(value))
        shown = url.origin if url.target == b"/" else f"{url.origin}/…"
    except urls.UrlError:
        shown, valid = urls.label(value), False
    if not valid:
        example = "http://proxy.example.com:3128"
        section.problem(name, f"must be env, direct, or a URL without a path such as {example}, not {shown}")
    return value


def _runbook(section: SectionReader, name: str) -> str | None:
    """Return the URL of the instructions. It is a link for people: its query is no secret, and it has no userinfo."""
    value = section.text(name)
    if not value or name in section.unresolved:
        return value or None
    try:
        if urls.parse(value).credentials is None:
            return value
        words = "the URL must have no user name"
    except urls.UrlError as error:
        words = str(error)
    section.url_secrets(value)
    section.problem(name, about_url(value, words))
    return None


_READERS: Mapping[str, Callable[[SectionReader, str], object]] = {
    "interval": _seconds,
    "error_interval": _seconds_or_0,
    "error_interval_max": _seconds_or_0,
    "timeout": _seconds,
    "grace": _seconds_or_0,
    "failures": lambda section, name: section.whole(name, 1, 1_000_000),
    "unreachable_for": _seconds_or_0,
    "ca_file": _ca_file,
    "proxy": _proxy,
    "enabled": lambda section, name: section.flag(name, True),
    "runbook": _runbook,
    "note": lambda section, name: section.text(name),
    "token_auth": lambda section, name: section.flag(name, True),
    **schedules.READERS,
}
