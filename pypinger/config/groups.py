"""The ``[group SELECTOR]`` sections: options for all tasks that match (contract, section 6)."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from pypinger.config import overrides
from pypinger.config.expectations import warn_of_both
from pypinger.config.known import NAMED_OPTIONS
from pypinger.config.matching import may_hold_secret, url_secrets
from pypinger.config.overrides import Overrides
from pypinger.config.section import SectionReader
from pypinger.domain import selector
from pypinger.domain.model import Task, TaskState
from pypinger.domain.selector import Selector, SelectorError

_EXAMPLE = "as in [group group:shop] or [group https://shop.example.com/*]"

#: The options that say which task a section is about.
_OF_ONE_TASK = ("url", "name", "group", "push_key")

#: What is known of a task only once it has been checked.
_SEEN_LATER = ("server", "process", "kind")


class _Group(msgspec.Struct, frozen=True):
    selector: Selector
    overrides: Overrides


class Groups:
    """The sections of all groups, in the order of reading."""

    def __init__(self, sections: Sequence[SectionReader]) -> None:
        self._groups = [group for group in map(_read, sections) if group is not None]
        self._unused = list(self._groups)
        self._names: set[str] = set()
        self._tasks = 0

    def of(self, task: Task) -> list[Overrides]:
        """Return what the groups of a task set, in the order of reading."""
        if not self._groups:
            return []
        subject = selector.subject_of(task, TaskState())
        found = [group for group in self._groups if group.selector.matches(subject)]
        if self._unused:
            self._unused = [group for group in self._unused if group not in found]
        self._names.add(task.group.casefold())
        self._tasks += 1
        return [group.overrides for group in found]

    def warn_of_no_match(self) -> None:
        """Warn of the groups that have matched no task so far, unless there was none."""
        for group in self._unused if self._tasks else ():
            text = group.selector.text
            words = "matches no task"
            if text.casefold() in self._names:
                words += f"; for the tasks with group = {text} write [group group:{text}]"
            group.overrides.section.warn("", words)


def _read(section: SectionReader) -> _Group | None:
    """Read a whole section, even if its selector is invalid, to find every problem."""
    misplaced = dict.fromkeys(_OF_ONE_TASK, "is about one task; set it in a [task NAME or URL] section")
    section.expect(NAMED_OPTIONS["group"], misplaced=misplaced)
    chosen, values = _selector(section), overrides.read(section)
    warn_of_both(section)
    return None if chosen is None else _Group(chosen, values)


def _selector(section: SectionReader) -> Selector | None:
    _, text = section.context.split_name(section.name)
    url_secrets(section, text)
    try:
        chosen = selector.parse(text)
    except SelectorError as error:
        words = f"the selector is not valid; name tasks {_EXAMPLE}" if may_hold_secret(text) else str(error)
        section.problem("", words)
        return None
    later = [prefix for prefix in _SEEN_LATER if prefix in chosen.fields]
    if not chosen.words:
        section.problem("", f"needs a selector, {_EXAMPLE}")
    elif later:
        words = f"{later[0]}: is known only once a task has been checked; a group is chosen by name:, url: or group:"
        section.problem("", words)
    else:
        return chosen
    return None
