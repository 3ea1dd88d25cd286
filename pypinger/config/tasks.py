"""The tasks: the URLs of ``[urls]``, and the ``[task URL]`` sections that override or add tasks."""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

from pypinger.config import pem
from pypinger.config.known import TASK_OPTIONS
from pypinger.config.nearby import NearbyUrls
from pypinger.config.section import SectionReader, about_url
from pypinger.domain import url as urls
from pypinger.domain.model import Task
from pypinger.domain.url import Url

_PROXY = re.compile(r"http://[^/?#]+/?\Z", re.IGNORECASE)


class Overridable(msgspec.Struct, frozen=True):
    """The options that ``[main]`` sets and a task section may override; see :class:`~pypinger.domain.model.Task`."""

    interval: float = 60.0
    error_interval: float = 480.0
    timeout: float = 20.0
    grace: float = 60.0
    failures: int = 1
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
        timeout=section.seconds("timeout", inherited.timeout),
        grace=section.seconds("grace", inherited.grace, zero=True),
        failures=section.whole("failures", inherited.failures, 1_000_000),
        ca_file=_ca_file(section) or inherited.ca_file,
        client_cert=certificate,
        client_key=key,
        proxy=_proxy(section, inherited.proxy),
    )


def read(
    listed: SectionReader, active: str, sections: Sequence[SectionReader], main: Overridable, public_url: str
) -> list[Task]:
    """
    Return the tasks to check: those of the active list, then those that only have a section, in the order of the file.

    A section for a URL that is only in the inactive list is checked for problems and otherwise ignored.

    :param listed: ``[urls]``.
    :param active: the list in use, ``prod`` or ``dev``.
    :param sections: the ``[task URL]`` sections.
    """
    lists = {name: _list(listed, name) for name in ("prod", "dev")}
    first: dict[str, SectionReader] = {}
    overrides: dict[str, Task] = {}
    for section in sections:
        section.expect(TASK_OPTIONS)
        task = _override(section, main)
        if task is None:
            continue
        if task.url in first:
            section.problem("", f"duplicate section of this task, first given in line {first[task.url].line}")
            continue
        first[task.url] = section
        overrides[task.url] = task

    tasks: list[Task] = []
    for url in lists[active].values():
        task = overrides.pop(url.text, None) or _task(url, main)
        tasks.append(msgspec.structs.replace(task, credentials=task.credentials or url.credentials))
    own = [task for task in overrides.values() if not any(task.url in known for known in lists.values())]
    # A listed URL with a section of its own is not the one that a typo missed.
    plain = [url for known in lists.values() for url in known if url not in first]
    _warn_of_typos([first[task.url] for task in own], own, plain)
    tasks.extend(own)
    if public_url:
        tasks = [msgspec.structs.replace(task, page=f"{public_url}/task/{task.id}") for task in tasks]
    return tasks


def _warn_of_typos(sections: Sequence[SectionReader], own: Sequence[Task], listed: Sequence[str]) -> None:
    """Warn of sections that add a task although a listed URL is nearly the same."""
    if not own or not listed:
        return
    nearby = NearbyUrls(listed)
    for section, task in zip(sections, own, strict=True):
        near = nearby.find(task.url)
        if near:
            section.warn("", f"adds a task of its own; did you mean {urls.label(near)}, which is in [urls]?")


def _list(section: SectionReader, name: str) -> dict[str, Url]:
    found: dict[str, Url] = {}
    places: dict[str, int] = {}
    for line, text in section.lines(name):
        for item in filter(None, map(str.strip, text.split(","))):
            section.url_secrets(item)
            try:
                url = urls.parse(item)
            except urls.UrlError as error:
                if name not in section.unresolved:
                    section.problem(name, about_url(item, str(error)), line=line)
                continue
            if url.text in found:
                section.warn(name, f"{url.label} is a duplicate, first given in line {places[url.text]}", line=line)
                continue
            found[url.text], places[url.text] = url, line
    return found


def _url(section: SectionReader) -> Url | None:
    text = "".join(section.name.split(None, 1)[1:]).strip()
    section.url_secrets(text)
    try:
        return urls.parse(text)
    except urls.UrlError as error:
        section.problem("", f"{error}; a task section looks like [task https://example.com/report]")
        return None


def _override(section: SectionReader, main: Overridable) -> Task | None:
    """Read a whole task section, even if its URL is invalid, to find every problem."""
    url = _url(section)
    values = overridable(section, main)
    name = section.text("name")
    token_auth = section.flag("token_auth", True)
    if url is None:
        return None
    task = _task(url, values)
    return msgspec.structs.replace(task, name=name or task.name, token_auth=token_auth)


def _task(url: Url, values: Overridable) -> Task:
    return Task(
        url=url.text,
        id=url.id,
        name=url.label.partition("://")[2],
        label=url.label,
        origin=url.origin,
        credentials=url.credentials,
        **msgspec.structs.asdict(values),
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
