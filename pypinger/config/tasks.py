"""
The tasks: the URLs of ``[urls]``, and the task sections that override or add tasks.

A section is named by the task's URL, or by any other text, which is then the task's name; its option ``url`` says where
the report is, or its option ``push_key`` that the task sends its reports.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from pypinger.config import overrides, pushing
from pypinger.config.expectations import ExpectationWarnings, warn_of_both
from pypinger.config.groups import Groups
from pypinger.config.ini import place
from pypinger.config.known import NAMED_OPTIONS
from pypinger.config.nearby import NearbyUrls
from pypinger.config.overrides import OfTask, Overrides, combined
from pypinger.config.section import SectionReader, about_url, is_without_scheme
from pypinger.domain import url as urls
from pypinger.domain.model import PUSH, Task
from pypinger.domain.times import span
from pypinger.domain.url import Url, task_id

_ADVICE = "a task section looks like [task https://example.com/report] or [task NAME]"


class Common(msgspec.Struct, frozen=True):
    """
    What all tasks share.

    :ivar main: what ``[main]`` sets.
    :ivar public_url: of ``[web]``.
    """

    main: Overrides
    flap_incidents: int = 4
    public_url: str = ""


class _Own(msgspec.Struct, frozen=True):
    """
    A task section.

    :ivar url: None for a push task.
    :ivar name: the configured name; empty without one.
    :ivar push_key: empty for a task with a URL.
    """

    url: Url | None
    name: str
    group: str
    overrides: Overrides
    push_key: str = ""

    @property
    def section(self) -> SectionReader:
        return self.overrides.section

    @property
    def key(self) -> str:
        """See :attr:`pypinger.domain.model.Task.key`."""
        return f"{PUSH}{self.name}" if self.url is None else self.url.text


def read(
    listed: Sequence[SectionReader],
    active: str,
    sections: Sequence[SectionReader],
    groups: Sequence[SectionReader],
    common: Common,
) -> list[Task]:
    """
    Return the tasks to check: those of the active list, then those that only have a section, in the order of reading.

    Sections of tasks that are not checked (URLs of the inactive list, with `dev` also the tasks in no list, disabled
    tasks) are checked for problems and otherwise ignored.

    :param listed: the sections ``[urls]``: each file may have one.
    :param active: the list in use, ``prod`` or ``dev``.
    :param sections: the task sections.
    :param groups: the sections of groups.
    """
    lists = {name: _list(listed, name) for name in ("prod", "dev")}
    known: dict[str, _Own] = {}
    for section in sections:
        section.expect(NAMED_OPTIONS["task"])
        own = _own(section)
        if own is None:
            continue
        first = known.setdefault(own.key, own)
        if first is not own:
            section.problem("", f"duplicate section of this task, {section.first_given(first.section)}")
    pushing.check_keys((own.push_key, own.section) for own in known.values() if own.url is None)

    everywhere = lists["dev" if active == "prod" else "prod"] | lists[active]
    unlisted = [own for key, own in known.items() if key not in everywhere]
    # A listed URL with a section of its own is not the one that a typo missed.
    _warn_of_typos(unlisted, [url for url in everywhere if url not in known])

    making = _Making(common, Groups(groups))
    for url in everywhere.values():
        making.add_url(url, known.get(url.text), checked=url.text in lists[active])
    for own in unlisted:
        making.add_own(own, checked=active == "prod")
    making.groups.warn_of_no_match()
    making.expectations.finish()
    made = making.tasks
    tasks = [made[key] for key in [*lists[active], *(own.key for own in unlisted)] if key in made]
    _check_names(own for key, own in known.items() if key in made)
    return tasks


class _Making:
    """
    Makes tasks of what all sections say about them.

    :ivar tasks: the key of a task -> the task, of those that are checked.
    """

    def __init__(self, common: Common, groups: Groups) -> None:
        self.groups = groups
        self.tasks: dict[str, Task] = {}
        self._common = common
        self.expectations = ExpectationWarnings()
        self._slow: set[SectionReader] = set()

    def add_own(self, own: _Own, *, checked: bool) -> None:
        """Make a task that only has a section."""
        if own.url is not None:
            self.add_url(own.url, own, checked=checked)
            return
        task = Task(
            url=None,
            id=task_id(own.key),
            name=own.name,
            label="",
            page=self._page(task_id(own.key)),
            flap_incidents=self._common.flap_incidents,
            group=own.group,
            push_key=own.push_key,
        )
        pushing.warn_of_fetching(own.section)
        self._add(task, own, checked=checked)

    def add_url(self, url: Url, own: _Own | None, *, checked: bool) -> None:
        """Make a task with a URL."""
        task = Task(
            url=url.text,
            id=url.id,
            name=url.label.partition("://")[2],
            label=url.label,
            origin=url.origin,
            credentials=url.credentials,
            page=self._page(url.id),
            flap_incidents=self._common.flap_incidents,
            named=False,
        )
        if own is not None:
            credentials = None if own.url is None else own.url.credentials
            task = msgspec.structs.replace(
                task,
                name=own.name or task.name,
                named=bool(own.name),
                group=own.group,
                credentials=credentials or task.credentials,
            )
        self._add(task, own, checked=checked)

    def _add(self, task: Task, own: _Own | None, *, checked: bool) -> None:
        """Complete a task, unless it is not checked. Its section overrides its groups, and these ``[main]``."""
        chain = [self._common.main, *self.groups.of(task), *([own.overrides] if own else [])]
        values = combined(chain)
        if checked and values.enabled:
            made = self.tasks[task.key] = _with(task, values)
            self.expectations.note(made, chain)
            if task.url is not None:
                self._warn_of_timeout(values, chain)
            elif own is not None and values.frequency is None and values.schedule is None:
                pushing.warn_of_no_schedule(own.section)

    def _page(self, number: str) -> str | None:
        return f"{self._common.public_url}/task/{number}" if self._common.public_url else None

    def _warn_of_timeout(self, values: OfTask, chain: Sequence[Overrides]) -> None:
        """Warn, once a section, of a check that may take longer than the time to the next."""
        if values.timeout <= values.interval:
            return
        section, option = next(
            (each.section, option)
            for each in reversed(chain)
            for option in ("timeout", "interval")
            if option in each.values
        )
        if section not in self._slow:
            self._slow.add(section)
            words = f"timeout ({span(values.timeout)}) is longer than interval ({span(values.interval)})"
            section.warn(option, f"{words}; a check that takes so long delays the next")


def defaults(common: Common) -> Task:
    """Return a task without a URL, with what ``[main]`` sets for all tasks."""
    task = Task(url=None, id="", name="", label="", flap_incidents=common.flap_incidents)
    return _with(task, combined([common.main]))


def _with(task: Task, values: OfTask) -> Task:
    members = msgspec.structs.asdict(values)
    del members["enabled"]
    return msgspec.structs.replace(task, **members)


def _warn_of_typos(unlisted: Sequence[_Own], listed: Sequence[str]) -> None:
    """Warn of sections that add a task although a listed URL is nearly the same."""
    if not unlisted or not listed:
        return
    nearby = NearbyUrls(listed)
    for own in unlisted:
        near = "" if own.url is None else nearby.find(own.url.text)
        if near:
            words = f"adds a task of its own; did you mean {urls.label(near)}, which is in [urls]?"
            own.section.warn("url" if own.section.has("url") else "", words)


def _check_names(sections: Iterable[_Own]) -> None:
    """
    Warn of tasks with the same name: commands and selectors cannot tell them apart by it.

    Of two push tasks it is a problem, since they have nothing else.
    """
    first: dict[str, _Own] = {}
    for own in sections:
        known = first.setdefault(own.name.casefold(), own)
        if own.name and known is not own:
            option = "name" if own.section.has("name") else ""
            where = place(known.section.line, known.section.file, own.section.file)
            words = f"the task of {where} has this name, too"
            if own.url is None and known.url is None:
                own.section.problem(option, f"{words}; a push task is known by its name alone")
            else:
                own.section.warn(option, f"{words}; selectors match both")


def _list(sections: Sequence[SectionReader], name: str) -> dict[str, Url]:
    found: dict[str, Url] = {}
    places: dict[str, tuple[int, str]] = {}
    for section in sections:
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
                    first = place(*places[url.text], section.file)
                    section.warn(name, f"{url.label} is a duplicate, first given in {first}", line=line)
                    continue
                found[url.text], places[url.text] = url, (line, section.file)
    return found


def _own(section: SectionReader) -> _Own | None:
    """Read a whole task section, even if its URL is invalid, to find every problem."""
    url, name = _identity(section)
    name = section.text("name") or name
    push_key = pushing.read_key(section)
    group, values = section.text("group"), overrides.read(section)
    warn_of_both(section)
    if url is not None and push_key:
        section.problem("push_key", "is only for tasks without a URL; a task is either fetched or sends its reports")
    return _Own(url, name, group, values, push_key) if url is not None or (push_key and name) else None


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
        if not section.is_wrong("url") and not section.has("push_key"):
            advice = f"; if {text} is that URL, write https:// before it" if is_without_scheme(text) else ""
            section.problem("", f"needs url, the URL of the task's report, or push_key{advice}")
        return None, text
    section.url_secrets(value)
    try:
        return urls.parse(value), text
    except urls.UrlError as error:
        if "url" not in section.unresolved:
            section.problem("url", about_url(value, str(error)))
        return None, text
