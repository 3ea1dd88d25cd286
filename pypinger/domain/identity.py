"""
The keys by which tasks are known in stores and tables (:attr:`pypinger.domain.model.Task.key`), and what they tell
of a task that is no longer configured.
"""

from __future__ import annotations

from pypinger.domain import url as urls
from pypinger.domain.model import PUSH, Task
from pypinger.domain.url import task_id


def url_of(key: str) -> str | None:
    """Return the URL of a task; None for a push task."""
    return None if key.startswith(PUSH) else key


def label_of(key: str) -> str:
    """Return the URL of a task as it may be shown; empty for a push task."""
    return "" if key.startswith(PUSH) else urls.label(key)


def name_of(key: str) -> str:
    """Return what a task is called whose configuration is not known: its URL as it may be shown, or a push name."""
    return label_of(key) or key.removeprefix(PUSH)


def task_of(key: str) -> Task:
    """Return a task that is not configured."""
    return Task(url=url_of(key), id=task_id(key), name=name_of(key), label=label_of(key))
