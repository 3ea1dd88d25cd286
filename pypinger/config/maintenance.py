"""The ``[maintenance NAME]`` sections: when the alerts of which tasks are muted (contract, sections 4 and 6)."""

from __future__ import annotations

from collections.abc import Sequence

from pypinger.config import schedules
from pypinger.config.known import NAMED_OPTIONS
from pypinger.config.matching import read_selector, warn_of_no_match
from pypinger.config.section import SectionReader
from pypinger.domain import cron, selector
from pypinger.domain.dates import parse_date_time
from pypinger.domain.model import Instant, Task, TaskState
from pypinger.domain.selector import Selector
from pypinger.domain.silence import Maintenance
from pypinger.domain.times import MINUTE

_EXAMPLE = "2026-03-01T22:00+01:00"


def read(sections: Sequence[SectionReader], tasks: Sequence[Task]) -> tuple[Maintenance, ...]:
    """
    Return the valid sections, in the order of the file.

    :param tasks: those that are checked; a selector that matches none of them is a warning.
    """
    subjects = [selector.subject_of(task, TaskState()) for task in tasks]
    found: dict[str, Maintenance] = {}
    first: dict[str, SectionReader] = {}
    for section in sections:
        section.expect(NAMED_OPTIONS["maintenance"])
        _, name = section.context.split_name(section.name)
        if not name:
            section.problem("", "needs a name, as in [maintenance backup night]")
        elif name in first:
            section.problem("", f"duplicate maintenance, {section.first_given(first[name])}")
        first.setdefault(name, section)
        maintenance = _maintenance(section, name)
        if maintenance is None:
            continue
        found.setdefault(name, maintenance)
        if subjects:
            warn_of_no_match(section, maintenance.selector, subjects)
    return tuple(found.values())


def _maintenance(section: SectionReader, name: str) -> Maintenance | None:
    """Read a whole section, to find every problem; None after one."""
    before = len(section.context.problems)
    chosen, reason = _match(section), section.text("reason")
    schedule, timezone = _schedule(section)
    duration = section.seconds("duration", 0.0, unit=MINUTE)
    start, until = _moment(section, "from"), _moment(section, "to")
    scheduled = [option for option in ("schedule", "timezone", "duration") if section.has(option)]
    once = [option for option in ("from", "to") if section.has(option)]
    if once and scheduled == ["timezone"]:
        section.problem("timezone", f"is that of a schedule; write the offset into from and to, as in {_EXAMPLE}")
    elif once and scheduled:
        section.problem(scheduled[0], "cannot stand beside from and to; use a section of its own for the schedule")
    elif not once and not scheduled:
        section.problem("", "needs schedule and duration, or from and to")
    else:
        for option in ("from", "to") if once else ("schedule", "duration"):
            if not section.has(option):
                section.problem(option, f"missing; needs {'from and to' if once else 'schedule and duration'}")
    if start is not None and until is not None and until <= start:
        section.problem("to", "must be later than from")
    if len(section.context.problems) > before or chosen is None:
        return None
    return Maintenance(
        name=name,
        selector=chosen,
        reason=reason,
        schedule=schedule,
        timezone=timezone,
        duration=duration,
        start=start or 0.0,
        until=until or 0.0,
    )


def _match(section: SectionReader) -> Selector | None:
    chosen = read_selector(section)
    if chosen is not None and not chosen.words:
        section.problem("match", "missing; it says which tasks are muted: a name, a URL, group:..., or * for all")
        return None
    return chosen


def _schedule(section: SectionReader) -> tuple[str, str]:
    """Return the schedule and its time zone; the schedule is empty where there is none."""
    schedule, timezone = section.text("schedule"), section.text("timezone", "UTC")
    schedules.valid(section, "schedule", schedule, cron.fields)
    schedules.valid(section, "timezone", timezone, cron.zone)
    return schedule, timezone


def _moment(section: SectionReader, option: str) -> Instant | None:
    text = section.text(option)
    if not text or option in section.unresolved:
        return None
    instant = parse_date_time(text)
    if instant is None:
        section.problem(option, f"must be an ISO 8601 date and time, such as {_EXAMPLE}, not {section.quoted(option)}")
    return instant
