"""
How people are shown a task (contract, section 7, "Names").

Selectors, and the keys of other systems (Sentry, Alertmanager, metrics), use ``Task.name``, which no report changes.
"""

from __future__ import annotations

from collections.abc import Iterable

from pypinger.domain.model import Report, Task
from pypinger.domain.texts import cut, one_line

#: Where the parts of a name that come from a report are cut, in characters.
LONGEST_PART = 100


def shown_name(task: Task, report: Report | None) -> str:
    """
    Return the configured name of a task; without one ``process on server`` as the report says, else the URL.

    A server alone is no name: several tasks run there.

    :param report: the last valid one.
    """
    if task.named or report is None:
        return task.name
    process, server = _part(report.process), _part(report.server)
    if process and server:
        return f"{process} on {server}"
    return process or task.name


def no_match(text: str, tasks: Iterable[tuple[Task, Report | None]]) -> str:
    """Return that a selector matches no task, with what to write if it is how a task is shown."""
    text = text.strip()
    for task, report in tasks:
        name = shown_name(task, report)
        if name != task.name and name.casefold() == text.casefold():
            return f"{text} is what the reports of {task.label} say; select it by its URL, or by its id {task.id}"
    return f"{text} matches no task"


def _part(text: str | None) -> str:
    return cut(one_line(text), LONGEST_PART) if text else ""
