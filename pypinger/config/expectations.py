"""Warnings about when tasks are expected to run: settings that are valid but hardly meant."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from itertools import pairwise

from pypinger.config.overrides import Overrides
from pypinger.config.section import SectionReader
from pypinger.domain.cron import Cron
from pypinger.domain.model import Instant, Seconds, Task
from pypinger.domain.schedule import Plan, plan_of
from pypinger.domain.sleep import AWAKE
from pypinger.domain.times import DAY, length

# Moments are compared from a fixed day on, so that the same file has the same warnings every day.
_SOME_DAY: Instant = datetime(2026, 1, 1, tzinfo=UTC).timestamp()

#: How many runs of a schedule are looked at.
RUNS = 50


class ExpectationWarnings:
    """Collects the warnings of all tasks, to give each once a section."""

    def __init__(self) -> None:
        self._told: set[tuple[SectionReader, str]] = set()
        # A section's timezone may be of use to one of its tasks only.
        self._zones: dict[SectionReader, str] = {}

    def note(self, task: Task, chain: Sequence[Overrides]) -> None:
        """
        Warn of what a task was made of.

        :param chain: the sections that set its options; each overrides those before it.
        """
        for option, words in _doubts(plan_of(task)):
            section = _setting(option, chain)
            if section is not None and (section, option) not in self._told:
                self._told.add((section, option))
                section.warn(option, words)
        zoned = _setting("timezone", chain)
        if zoned is not None:
            words = "" if task.schedule or task.sleep else _unused_zone(task)
            self._zones[zoned] = self._zones.get(zoned, words) and words

    def finish(self) -> None:
        """Warn of the time zones that no task uses."""
        for section, words in self._zones.items():
            if words:
                section.warn("timezone", words)


def warn_of_both(section: SectionReader) -> None:
    """Warn of a frequency beside a schedule."""
    if section.has("schedule") and section.has("frequency"):
        section.warn("frequency", "is not used beside schedule; remove one of them")


def _setting(option: str, chain: Sequence[Overrides]) -> SectionReader | None:
    return next((each.section for each in reversed(chain) if each.values.get(option) is not None), None)


def _unused_zone(task: Task) -> str:
    if task.frequency is not None:
        return "is not used, as there is a frequency and neither schedule nor sleep"
    return "is only used for schedules of the reports, as there is neither schedule nor sleep"


@lru_cache(maxsize=1024)
def _doubts(plan: Plan) -> Sequence[tuple[str, str]]:
    """Return options with what is odd about them. A group gives thousands of tasks the same plan."""
    if plan.sleep.always:
        return [("sleep", "covers the whole day, so the task is never late and never failed")]
    doubts = []
    if plan.max_runtime is not None:
        gap = plan.frequency if plan.cron is None else _shortest_gap(plan.cron, plan.max_runtime)
        if gap is not None and plan.max_runtime > gap:
            words = f"({length(plan.max_runtime)}) is longer than the time between two runs ({length(gap)})"
            doubts.append(("max_runtime", f"{words}; runs that are missing meanwhile are not noticed"))
    due = None if plan.cron is None or plan.sleep is AWAKE else plan.due_after(_SOME_DAY).at
    if due is not None and plan.sleep.period_at(due) is not None:
        doubts.append(("sleep", "covers every run of the schedule"))
    return doubts


def _shortest_gap(cron: Cron, shorter: Seconds) -> Seconds | None:
    """
    Return the shortest time between two runs.

    :param shorter: only if it is shorter than this, else None.
    """
    # The times of a day rule it out for most schedules. There may be thousands, and a search takes a millisecond.
    if shorter <= min(after - before for before, after in pairwise([*cron.times, cron.times[0] + DAY])):
        return None
    moments: list[Instant] = []
    at = cron.after(_SOME_DAY)
    while at is not None and len(moments) < RUNS:
        moments.append(at)
        at = cron.after(at)
    return min((after - before for before, after in pairwise(moments)), default=None)
