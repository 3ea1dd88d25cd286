"""The options that ``[main]`` sets for all tasks and task sections may override."""

from __future__ import annotations

import re

import msgspec

from pypinger.config import pem
from pypinger.config.section import SectionReader
from pypinger.domain import url as urls

_PROXY = re.compile(r"http://[^/?#]+/?\Z", re.IGNORECASE)


class Overridable(msgspec.Struct, frozen=True):
    """The options that ``[main]`` sets and a task section may override; see :class:`~pypinger.domain.model.Task`."""

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


def overridable(section: SectionReader, inherited: Overridable) -> Overridable:
    """Return the values of a section, inherited where it has none."""
    certificate, key = _pair(section)
    if certificate is None:
        certificate, key = inherited.client_cert, inherited.client_key
    return Overridable(
        interval=section.seconds("interval", inherited.interval),
        error_interval=section.seconds("error_interval", inherited.error_interval, zero=True),
        error_interval_max=section.seconds("error_interval_max", inherited.error_interval_max, zero=True),
        timeout=section.seconds("timeout", inherited.timeout),
        grace=section.seconds("grace", inherited.grace, zero=True),
        failures=section.whole("failures", inherited.failures, 1_000_000),
        unreachable_for=section.seconds("unreachable_for", inherited.unreachable_for, zero=True),
        ca_file=_ca_file(section) or inherited.ca_file,
        client_cert=certificate,
        client_key=key,
        proxy=_proxy(section, inherited.proxy),
    )


def _ca_file(section: SectionReader) -> str | None:
    path = section.path("ca_file")
    words = pem.check_ca(path) if path else ""
    if words:
        section.problem("ca_file", words)
    return path


def _pair(section: SectionReader) -> tuple[str | None, str | None]:
    """Return the client certificate and its key. They belong together, so a task inherits both or neither."""
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


def _proxy(section: SectionReader, inherited: str | None) -> str | None:
    value = section.text("proxy")
    if not value:
        return inherited
    if "proxy" in section.unresolved:
        return value
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
        section.problem("proxy", f"must be env, direct, or a URL without a path such as {example}, not {shown}")
        return inherited
    return value
