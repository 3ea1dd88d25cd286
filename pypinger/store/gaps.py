"""The gaps between the runs of a task."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import zip_longest

from pypinger.domain.model import Instant, Reported
from pypinger.ports.history import Gap, Run


def gaps_between(runs: Iterable[Run], limit: int) -> Sequence[Gap]:
    """The gaps between the task's runs; `runs` are newest first."""
    found: list[Instant] = []
    for run in runs:
        lastrun = run.finding.report.lastrun if isinstance(run.finding, Reported) else None
        if lastrun is not None and (not found or found[-1] != lastrun):
            found.append(lastrun)
            if len(found) > limit:
                break
    return [Gap(at, None if before is None else at - before) for at, before in zip_longest(found, found[1:])][:limit]
