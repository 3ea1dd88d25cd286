"""What happens next to a task in trouble: its next check, and the reminders of its incident."""

from __future__ import annotations

from twisted.web.template import Tag, tags

from pypinger.domain.kinds import Status
from pypinger.domain.model import Instant, Task
from pypinger.domain.times import iso, span
from pypinger.ports.showing import DaemonState, Entry
from pypinger.web.formatting import coming, stamp


def following(entry: Entry, daemon: DaemonState, now: Instant) -> list[Tag]:
    """The line of a task in trouble; nothing for others, and while Py Pinger is blind."""
    task, state = entry.task, entry.state
    if state.status is not Status.ERROR or daemon.blind is not None:
        return []
    words: list[Tag | str] = []
    at = next_check(entry)
    if task.url is not None and at is not None:
        words += (
            "Next check ",
            tags.time(coming(at, now), datetime=iso(at) or "", title=stamp(at), class_="coming"),
            ". ",
        )
    incident = state.incident
    if incident is not None and incident.acknowledged is None and entry.muted is None and task.error_interval:
        words.append(f"Reminders {reminders(task)}.")
    return [tags.p(words, class_="next")] if words else []


def next_check(entry: Entry) -> Instant | None:
    """About when a task is checked next: after its interval, or when its verdict would change by itself."""
    state = entry.state
    if state.checked is None:
        return None
    usual = state.checked + entry.task.interval
    change = None if state.verdict is None else state.verdict.next_change
    return change if change is not None and state.checked < change < usual else usual


def reminders(task: Task) -> str:
    """How often a task in trouble is reminded of, in words."""
    if not task.error_interval:
        return "never"
    longest = max(task.error_interval, task.error_interval_max)
    if longest == task.error_interval:
        return f"every {span(longest)}"
    return f"after {span(task.error_interval)}, then each time after twice as long, at most {span(longest)}"
