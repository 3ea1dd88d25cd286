"""The ``[web]`` section."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pypinger.config.endpoint import endpoint_problem, is_loopback
from pypinger.config.matching import read_selector, warn_of_no_match
from pypinger.config.section import SectionReader, about_url
from pypinger.config.settings import WebSettings
from pypinger.domain import url as urls
from pypinger.domain.model import Task, TaskState
from pypinger.domain.selector import Selector, subject_of

#: The warning about pages on the loopback interface that any web site could read by DNS rebinding.
ANY_HOST = (
    "empty, so pages on the loopback interface answer to any host name; set it to localhost, 127.0.0.1, for example"
)

_HOST = re.compile(r"[a-z0-9_](?:[a-z0-9_.-]{0,252}[a-z0-9_])?\.?\Z|\[[0-9a-f:.]+\]\Z")


def read(section: SectionReader) -> WebSettings:
    defaults = WebSettings()
    endpoint = section.text("endpoint", defaults.endpoint)
    words = endpoint_problem(endpoint)
    if words and "endpoint" not in section.unresolved:
        section.problem("endpoint", f"{section.quoted('endpoint')} {words}")
    hosts, public_url = _hosts(section), _public_url(section)
    loopback = is_loopback(endpoint)
    if loopback and not hosts and not public_url:
        section.warn("hosts", ANY_HOST)
    public = read_selector(section, "public")
    return WebSettings(
        endpoint=endpoint,
        hosts=hosts,
        public_url=public_url,
        loopback=loopback,
        public=public if public is not None and public.words else None,
    )


def warn_of_public(section: SectionReader, public: Selector | None, tasks: Sequence[Task]) -> None:
    """Warn if the public page would have no tasks, since no task that matches has a configured name."""
    if public is not None and tasks:
        named = [subject_of(task, TaskState()) for task in tasks if task.named]
        warn_of_no_match(section, public, named, "public", "task with a configured name")


def _hosts(section: SectionReader) -> tuple[str, ...]:
    hosts: dict[str, None] = {}
    for line, text in section.lines("hosts"):
        for host in text.lower().replace(",", " ").split():
            if _HOST.match(name := _ascii(host)):
                hosts[name.rstrip(".")] = None
            else:
                words = "must be a host name, such as status.example.com, without scheme, port or path"
                section.problem("hosts", f"{urls.label(host)} {words}", line=line)
    return tuple(hosts)


def _ascii(host: str) -> str:
    """Return an internationalised name as browsers send it."""
    if host.isascii() or any(mark in host for mark in ":/?#@"):
        return host
    try:
        return urls.parse(f"http://{host}").host
    except urls.UrlError:
        return host


def _public_url(section: SectionReader) -> str:
    value = section.url("public_url")
    if not value or "public_url" in section.unresolved:
        return ""
    if "?" in value or "#" in value or urls.parse(value).credentials is not None:
        words = "the URL must have no user name, query or fragment"
        section.problem("public_url", about_url(value, words))
        return ""
    return value.rstrip("/")
