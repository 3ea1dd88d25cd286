"""
What the people on call need to know of a task beside its verdict: whether a run is under way, and whether the task is
silenced, acknowledged or flapping.

The texts are unescaped; those that people typed hold no characters that disturb a page.
"""

from __future__ import annotations

import shlex
from typing import NamedTuple

from pypinger.domain.kinds import KINDS
from pypinger.domain.model import Instant
from pypinger.domain.schedule import plan_of
from pypinger.domain.selector import SelectorError, parse, subject_of
from pypinger.domain.times import clock, length
from pypinger.ports.showing import Entry
from pypinger.web.formatting import short_clock, shown

#: What the source of a mute of the ini file begins with.
MAINTENANCE = "maintenance "

#: Characters that mean something in a selector's word.
_SPECIAL = frozenset("*?!|\"'")


class Flag(NamedTuple):
    """
    One of these states.

    :ivar look: its class in the stylesheet.
    :ivar words: for a row of the overview: ``acknowledged by jane``.
    :ivar details: the rest of the line on the task's page: `` at 22:41:00 UTC: on it``.
    """

    look: str
    words: str
    details: str


class Command(NamedTuple):
    """A command to type, and what it does."""

    line: str
    words: str


def flags(entry: Entry, now: Instant) -> list[Flag]:
    """The states of a task that are worth a flag, in the order of their weight."""
    found: list[Flag] = []
    muted, incident, report = entry.muted, entry.state.incident, entry.state.report
    if report is not None and report.running and report.started is not None and KINDS[entry.state.kind].reported:
        found.append(Flag("running", f"running since {short_clock(report.started, now)}", _may_take(entry)))
    if muted is not None:
        source, until = shown(muted.source), short_clock(muted.until, now)
        if muted.source.startswith(MAINTENANCE):
            found.append(Flag("maintenance", f"{source} until {until}", f": no alerts{_reason(muted.reason)}"))
        else:
            by = f" by {shown(muted.by)}" if muted.by else ""
            found.append(Flag("silenced", f"silenced{by} until {until}", f"{_reason(muted.reason)} ({source})"))
    if incident is None:
        return found
    if (taken := incident.acknowledged) is not None:
        details = f" at {clock(taken.at, now)}{_reason(taken.reason)}"
        found.append(Flag("acknowledged", f"acknowledged by {shown(taken.by) or 'unknown'}", details))
    if incident.flapping:
        found.append(Flag("flapping", "flapping", ": it goes up and down"))
    return found


def commands(entry: Entry) -> list[Command]:
    """The commands that make sense for the task now, ready to be copied into a shell."""
    task, muted, incident = entry.task, entry.muted, entry.state.incident
    found: list[Command] = []
    if incident is not None and incident.acknowledged is None:
        # A word that begins with a dash would be an option.
        name = task.id if task.name.startswith("-") or shown(task.name) != task.name else task.name
        found.append(Command(f"pypinger ack {shlex.quote(name)} REASON", "You take care of it: no more reminders"))
    if muted is None:
        found.append(Command(f"pypinger silence {_selector(entry)} 2h REASON", "No alerts for two hours"))
    elif muted.source.startswith("silence "):
        found.append(Command(f"pypinger unsilence {muted.source.removeprefix('silence ')}", "End the silence"))
    return found


def _may_take(entry: Entry) -> str:
    allowed = plan_of(entry.task, entry.state.report).max_runtime
    return "" if allowed is None else f": may take {length(allowed)}"


def _reason(text: str) -> str:
    return f": {shown(text)}" if text else ""


def _selector(entry: Entry) -> str:
    """A selector of this task, as a word of a shell: its name where that is certain to be understood, else its id."""
    task = entry.task
    name = f'"{task.name}"' if " " in task.name else task.name
    plain = shown(task.name) == task.name and not task.name.startswith("-")
    if plain and not _SPECIAL.intersection(task.name):
        try:
            selector = parse(name)
            # Without a prefix.
            if selector.fields == {""} and selector.matches(subject_of(task, entry.state)):
                return shlex.quote(name)
        except SelectorError:
            pass
    return task.id
