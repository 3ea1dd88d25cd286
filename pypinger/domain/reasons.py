"""
Why a task is in trouble, in a few words: an explanation without what a table's other columns say (state, times).
"""

from __future__ import annotations

import re

from pypinger.domain.kinds import Kind
from pypinger.domain.texts import LIMIT, one_line
from pypinger.domain.wording import cause_of

_HTTP = re.compile(r"the task reports an error \((HTTP \d+)\)")
_OTHERWISE = re.compile(r"HTTP \d+ although the report says ok")
_RUNS = re.compile(r"\bruns .*?(?=, (?:was )?due |;|$)")
_TOO_LONG = re.compile(r"running since [^;]*, (longer than its [^;,]+)")
_TOO_LATE = re.compile(r"; (running only since [^;]+)")
_SKEW = re.compile(r"; (the clock of .+ ours)$")
_INVALID = "not a valid report: "


def reason(kind: Kind, explanation: str, reported: str | None = None) -> str:
    """
    Return the reason alone: ``disk full``, ``runs every 10 min``, ``connection refused``; empty if nothing is wrong.

    :param explanation: of the verdict.
    :param reported: the ``reason`` of the report that a ``failed`` verdict rests on.
    """
    match kind:
        case Kind.FAILED:
            return _failed(explanation, reported)
        case Kind.LATE:
            return _late(explanation)
        case Kind.FUTURE:
            skew = _SKEW.search(explanation)
            which = "the start of its run" if explanation.startswith("started") else "its last run"
            return f"{which} is in the future" + (f"; {skew[1]}" if skew else "")
        case Kind.INVALID:
            return explanation.removeprefix(_INVALID)
        case Kind.UNREACHABLE:
            return explanation
        case _:
            return ""


def cause(kind: Kind, explanation: str, reported: str | None = None) -> str:
    """Return what tasks of one storm have in common: ``HTTP 503``, ``late``, or the reason that they report."""
    if kind is Kind.FAILED:
        return _failed(explanation, reported)
    return cause_of(kind, explanation)


def _failed(explanation: str, reported: str | None) -> str:
    if otherwise := _OTHERWISE.match(explanation):
        return otherwise[0]
    words = one_line(reported or "")[:LIMIT] or "reports an error without a reason"
    http = _HTTP.match(explanation)
    return f"{words} ({http[1]})" if http else words


def _late(explanation: str) -> str:
    found = _RUNS.search(explanation), _TOO_LATE.search(explanation), _SKEW.search(explanation)
    parts = [match[match.lastindex or 0] for match in found if match is not None]
    if too_long := _TOO_LONG.search(explanation):
        parts.insert(0, f"runs {too_long[1]}")
    return "; ".join(parts)
