"""The tasks: the URLs of ``[urls]``, and what the ``[task URL]`` sections override or add."""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

from pypinger.config import pem
from pypinger.config.known import TASK_OPTIONS
from pypinger.config.section import Section
from pypinger.domain import url as urls
from pypinger.domain.model import Task
from pypinger.domain.url import Url

_PROXY = re.compile(r"http://[^/?#]+/?\Z", re.IGNORECASE)


class Overridable(msgspec.Struct, frozen=True):
    """What ``[main]`` sets for every task and a task section may set anew; see :class:`~pypinger.domain.model.Task`."""

    interval: float = 60.0
    error_interval: float = 480.0
    timeout: float = 20.0
    grace: float = 60.0
    failures: int = 1
    ca_file: str | None = None
    client_cert: str | None = None
    client_key: str | None = None
    proxy: str | None = None


def overridable(section: Section, inherited: Overridable) -> Overridable:
    """What the section sets, and what it inherits where it sets nothing."""
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


def read(listed: Section, active: str, sections: Sequence[Section], main: Overridable, public_url: str) -> list[Task]:
    """
    The tasks to check, in the order of the file: those listed, then those that only have a section.

    A section for a URL that is only in the list not used now is checked for problems, and otherwise ignored.

    :param listed: ``[urls]``.
    :param active: which of its lists is used, ``prod`` or ``dev``.
    :param sections: the ``[task URL]`` sections.
    """
    lists = {name: _list(listed, name) for name in ("prod", "dev")}
    places: dict[str, int] = {}
    overrides: dict[str, Task] = {}
    for section in sections:
        section.expect(TASK_OPTIONS)
        task = _override(section, main)
        if task is None:
            continue
        if task.url in places:
            section.problem("", f"this task has a section already, in line {places[task.url]}")
        places[task.url] = section.line
        overrides[task.url] = task

    tasks: list[Task] = []
    for url in lists[active].values():
        task = overrides.pop(url.text, None) or _task(url, main)
        tasks.append(msgspec.structs.replace(task, credentials=task.credentials or url.credentials))
    tasks.extend(task for task in overrides.values() if not any(task.url in known for known in lists.values()))
    if public_url:
        tasks = [msgspec.structs.replace(task, page=f"{public_url}/task/{task.id}") for task in tasks]
    return tasks


def _list(section: Section, name: str) -> dict[str, Url]:
    found: dict[str, Url] = {}
    places: dict[str, int] = {}
    for line, text in section.lines(name):
        for item in filter(None, map(str.strip, text.split(","))):
            section.url_secrets(item)
            try:
                url = urls.parse(item)
            except urls.UrlError as error:
                section.problem(name, str(error), line=line)
                continue
            if url.text in found:
                section.warn(name, f"{url.label} is given twice, first in line {places[url.text]}", line=line)
                continue
            found[url.text], places[url.text] = url, line
    return found


def _url(section: Section) -> Url | None:
    text = "".join(section.name.split(None, 1)[1:]).strip()
    section.url_secrets(text)
    try:
        return urls.parse(text)
    except urls.UrlError as error:
        section.problem("", f"{error}; the section must be like [task https://example.com/report]")
        return None


def _override(section: Section, main: Overridable) -> Task | None:
    """Read all of a task section, even if its URL is none, so that every problem is found."""
    url = _url(section)
    values = overridable(section, main)
    name = section.text("name")
    token_auth = section.flag("token_auth", True)
    if url is None:
        return None
    task = _task(url, values)
    return msgspec.structs.replace(task, name=name or task.name, token_auth=token_auth)


def _task(url: Url, values: Overridable) -> Task:
    name = url.label.partition("://")[2]
    return Task(
        url=url.text,
        id=url.id,
        name=name,
        label=url.label,
        origin=url.origin,
        credentials=url.credentials,
        **msgspec.structs.asdict(values),
    )


def _ca_file(section: Section) -> str | None:
    path = _path(section, "ca_file")
    words = pem.check_ca(path) if path else ""
    if words:
        section.problem("ca_file", words)
    return path


def _pair(section: Section) -> tuple[str | None, str | None]:
    """The client certificate and its key; they belong together, so a task inherits both or none."""
    before = len(section.reading.problems)
    certificate, key = _path(section, "client_cert"), _path(section, "client_key")
    if len(section.reading.problems) > before:
        return None, None
    if key and not certificate:
        section.problem("client_key", "is of no use without client_cert")
    if certificate:
        for option, words in zip(("client_cert", "client_key"), pem.check_pair(certificate, key), strict=True):
            if words:
                section.problem(option, words)
    return certificate, key


def _path(section: Section, option: str) -> str | None:
    value = section.text(option)
    return section.reading.absolute(value) if value else None


def _proxy(section: Section, inherited: str | None) -> str | None:
    value = section.text("proxy")
    if not value:
        return inherited
    if value.lower() == "env":
        return "env"
    if value.lower() == "direct":
        return None
    section.url_secrets(value)
    if not _PROXY.match(value) or not _is_url(value):
        section.problem("proxy", "must be env, direct, or a URL such as http://proxy.example.com:3128")
        return inherited
    return value


def _is_url(text: str) -> bool:
    try:
        urls.parse(text)
    except urls.UrlError:
        return False
    return True
