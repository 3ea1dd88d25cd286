"""
The tasks: the URLs of ``[urls]``, and the task sections that override or add tasks.

A section is named by the task's URL, or by any other text, which is then the task's name; its option ``url`` says where
the report is.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from pypinger.config.known import NAMED_OPTIONS
from pypinger.config.nearby import NearbyUrls
from pypinger.config.overrides import Overridable, overridable
from pypinger.config.section import SectionReader, about_url, is_without_scheme
from pypinger.domain import url as urls
from pypinger.domain.model import Task
from pypinger.domain.url import Url

_ADVICE = "a task section looks like [task https://example.com/report] or [task NAME]"


class Common(msgspec.Struct, frozen=True):
    """
    What all tasks share.

    :ivar public_url: of ``[web]``.
    """

    inherited: Overridable = Overridable()
    flap_incidents: int = 4
    public_url: str = ""


class _Own(msgspec.Struct, frozen=True):
    """
    A task section.

    :ivar name: the configured name; empty without one.
    """

    section: SectionReader
    task: Task
    name: str
    enabled: bool


def read(listed: SectionReader, active: str, sections: Sequence[SectionReader], common: Common) -> list[Task]:
    """
    Return the tasks to check: those of the active list, then those that only have a section, in the order of the file.

    Sections of tasks that are not checked (URLs of the inactive list, with `dev` also the tasks in no list, disabled
    tasks) are checked for problems and otherwise ignored.

    :param listed: ``[urls]``.
    :param active: the list in use, ``prod`` or ``dev``.
    :param sections: the task sections.
    """
    lists = {name: _list(listed, name) for name in ("prod", "dev")}
    known: dict[str, _Own] = {}
    for section in sections:
        section.expect(NAMED_OPTIONS["task"])
        own = _own(section, common)
        if own is None:
            continue
        first = known.setdefault(own.task.url, own)
        if first is not own:
            section.problem("", f"duplicate section of this task, first given in line {first.section.line}")

    everywhere = {url for urls_ in lists.values() for url in urls_}
    unlisted = [own for url, own in known.items() if url not in everywhere]
    # A listed URL with a section of its own is not the one that a typo missed.
    _warn_of_typos(unlisted, [url for url in everywhere if url not in known])

    tasks: list[Task] = []
    for url in lists[active].values():
        found = known.get(url.text)
        if found is None:
            tasks.append(make(url, common))
        elif found.enabled:
            tasks.append(msgspec.structs.replace(found.task, credentials=found.task.credentials or url.credentials))
    if active == "prod":
        tasks += [own.task for own in unlisted if own.enabled]
    checked = {task.url for task in tasks}
    _warn_of_names(own for own in known.values() if own.task.url in checked)
    return tasks


def make(url: Url, common: Common) -> Task:
    """Return the task of a URL, without options of its own."""
    task = Task(
        url=url.text,
        id=url.id,
        name=url.label.partition("://")[2],
        label=url.label,
        origin=url.origin,
        credentials=url.credentials,
        page=f"{common.public_url}/task/{url.id}" if common.public_url else None,
        flap_incidents=common.flap_incidents,
    )
    return msgspec.structs.replace(task, **msgspec.structs.asdict(common.inherited))


def defaults(common: Common) -> Task:
    """Return a task without a URL, with what ``[main]`` sets for all tasks."""
    task = Task(url="", id="", name="", label="", flap_incidents=common.flap_incidents)
    return msgspec.structs.replace(task, **msgspec.structs.asdict(common.inherited))


def _warn_of_typos(unlisted: Sequence[_Own], listed: Sequence[str]) -> None:
    """Warn of sections that add a task although a listed URL is nearly the same."""
    if not unlisted or not listed:
        return
    nearby = NearbyUrls(listed)
    for own in unlisted:
        near = nearby.find(own.task.url)
        if near:
            words = f"adds a task of its own; did you mean {urls.label(near)}, which is in [urls]?"
            own.section.warn("url" if own.section.has("url") else "", words)


def _warn_of_names(sections: Iterable[_Own]) -> None:
    """Warn of tasks with the same name: commands and selectors cannot tell them apart by it."""
    first: dict[str, SectionReader] = {}
    for own in sections:
        section = first.setdefault(own.name.casefold(), own.section)
        if own.name and section is not own.section:
            option = "name" if own.section.has("name") else ""
            own.section.warn(option, f"the task of line {section.line} has this name, too; selectors match both")


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


def _own(section: SectionReader, common: Common) -> _Own | None:
    """Read a whole task section, even if its URL is invalid, to find every problem."""
    url, name = _identity(section)
    values = overridable(section, common.inherited)
    name = section.text("name") or name
    group, note = section.text("group"), section.text("note")
    runbook, enabled = _runbook(section), section.flag("enabled", True)
    token_auth = section.flag("token_auth", True)
    if url is None:
        return None
    task = make(url, msgspec.structs.replace(common, inherited=values))
    task = msgspec.structs.replace(
        task, name=name or task.name, group=group, runbook=runbook, note=note, token_auth=token_auth
    )
    return _Own(section, task, name, enabled)


def _identity(section: SectionReader) -> tuple[Url | None, str]:
    """Return the URL of a task section, None after a problem, and the name that the section's name gives it."""
    _, text = section.context.split_name(section.name)
    if "://" in text or not text:
        section.url_secrets(text)
        if section.has("url"):
            section.problem("url", "is only for sections that are named by a name; this one is named by its URL")
        try:
            return urls.parse(text), ""
        except urls.UrlError as error:
            words = str(error) if text else "needs a URL or a name"
            section.problem("", f"{words}; {_ADVICE}")
            return None, ""
    value = section.text("url")
    if not value:
        if not section.is_wrong("url"):
            advice = f"; if {text} is that URL, write https:// before it" if is_without_scheme(text) else ""
            section.problem("", f"needs url, the URL of the task's report{advice}")
        return None, text
    section.url_secrets(value)
    try:
        return urls.parse(value), text
    except urls.UrlError as error:
        if "url" not in section.unresolved:
            section.problem("url", about_url(value, str(error)))
        return None, text


def _runbook(section: SectionReader) -> str | None:
    """Return the URL of the instructions. It is a link for people: its query is no secret, and it has no userinfo."""
    value = section.text("runbook")
    if not value or "runbook" in section.unresolved:
        return value or None
    try:
        if urls.parse(value).credentials is None:
            return value
        words = "the URL must have no user name"
    except urls.UrlError as error:
        words = str(error)
    section.url_secrets(value)
    section.problem("runbook", about_url(value, words))
    return None
