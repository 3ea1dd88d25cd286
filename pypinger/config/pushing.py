"""The ``[push]`` section, and the option ``push_key`` of tasks that send their reports (contract, section 9)."""

from __future__ import annotations

import re
from collections.abc import Iterable

from pypinger.config.endpoint import endpoint_problem, overlap
from pypinger.config.ini import place
from pypinger.config.section import SectionReader
from pypinger.config.settings import PushSettings, WebSettings

#: The least number of characters of a key.
SHORTEST_KEY = 16

# What a path holds as it is.
_KEY = re.compile(r"[A-Za-z0-9_.~-]+")

#: The options about fetching.
_OF_FETCHES = ("timeout", "ca_file", "client_cert", "client_key", "proxy", "token_auth")


def read(section: SectionReader, web: WebSettings) -> PushSettings:
    """
    Read ``[push]``.

    :param web: pushes are taken at its endpoint unless the section names another.
    """
    endpoint = section.text("endpoint")
    words = endpoint_problem(endpoint) if endpoint else ""
    if words and "endpoint" not in section.unresolved:
        section.problem("endpoint", f"{section.quoted('endpoint')} {words}")
    if endpoint == web.endpoint:
        return PushSettings("")
    if endpoint and not words and overlap(endpoint, web.endpoint):
        words = f"is on the port of {web.endpoint}, where the pages are; choose another port, or leave it empty"
        section.problem("endpoint", f"{section.quoted('endpoint')} {words}")
    return PushSettings(endpoint)


def read_key(section: SectionReader) -> str:
    """Return the ``push_key`` of a task section; empty without one, or after a problem."""
    key = section.text("push_key", secret=True)
    if key and "push_key" not in section.unresolved and not (len(key) >= SHORTEST_KEY and _KEY.fullmatch(key)):
        rule = f"must have at least {SHORTEST_KEY} characters, all of them letters, digits or one of -_.~"
        section.problem("push_key", f"{rule}, such as a UUID")
        return ""
    return key


def check_keys(tasks: Iterable[tuple[str, SectionReader]]) -> None:
    """Record a problem for each key that an earlier task has already; `tasks` are keys with their sections."""
    first: dict[str, SectionReader] = {}
    for key, section in tasks:
        known = first.setdefault(key, section)
        if known is not section and "push_key" not in section.unresolved:
            where = place(known.line_of("push_key"), known.file, section.file)
            section.problem("push_key", f"is that of another task, too, first given in {where}; each needs its own")


def warn_of_fetching(section: SectionReader) -> None:
    """Warn of the options of a push task that say how it is fetched."""
    for option in _OF_FETCHES:
        if section.has(option):
            section.warn(option, "has no effect on a task with push_key, which is not fetched")


def warn_of_no_schedule(section: SectionReader) -> None:
    """Warn of a push task that does not say how often it runs: pings do not say it either."""
    words = "the task sets neither frequency nor schedule, so pings are due every 10 min, and the first one never"
    section.warn("push_key", words)
