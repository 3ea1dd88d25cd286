"""``pypinger status``: what is wrong now, in the words and the order of the overview, for a terminal."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, TextIO

import msgspec

from pypinger.domain.kinds import Status
from pypinger.domain.texts import one_line
from pypinger.domain.times import span
from pypinger.ports.showing import Sharing
from pypinger.web import instances
from pypinger.web.formatting import NAMES, count, relative, short_clock
from pypinger.web.html.storms import MANY

#: Exit codes; see :func:`status_code`.
OK, WARNING, ERROR = 0, 1, 2

#: How many tasks of a storm are named.
NAMED = 3

#: The columns, as on the page.
COLUMNS = ("STATUS", "TASK", "LAST RUN", "DUE", "WHY")

_RED, _YELLOW, _BOLD, _QUIET = "1;31", "1;33", "1", "2"

_SUMS = {Status.ERROR: "in trouble", Status.SLEEPING: "sleeping", Status.OK: "on time", Status.NEW: "not checked yet"}


def status_code(answer: Mapping[str, Any]) -> int:
    """The exit code of ``pypinger status``: 2 any error, 1 blind, not seen or a dead channel, else 0."""
    tasks, daemon = answer["tasks"], answer["self"]
    if any(task["status"] == Status.ERROR for task in tasks):
        return ERROR
    if daemon["blind"] or daemon["dead_channels"] or any(task["unseen"] for task in tasks):
        return WARNING
    return OK


def has_colours(stream: TextIO, environ: Mapping[str, str] = os.environ) -> bool:
    """Whether to write colours to a stream: it is a terminal, and NO_COLOR is not set (https://no-color.org)."""
    return stream.isatty() and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"


def status_lines(answer: Mapping[str, Any], now: float, *, folded: bool = True, coloured: bool = False) -> list[str]:
    """
    What is wrong as a table, the newest trouble first, and a line of sums.

    :param folded: whether tasks of one origin that fail for the same cause are one line, if there are many.
    :param coloured: whether to use the colours of a terminal.
    """
    paint = _paint if coloured else _plain
    daemon, tasks = answer["self"], answer["tasks"]
    lines = []
    if daemon["blind"]:
        reason = one_line(daemon["explanation"]).removeprefix("blind: ")
        words = f"Py Pinger has been blind for {span(max(0.0, now - daemon['blind']))}: {reason}"
        lines.append(paint(words, _YELLOW))
    elif daemon["status"] != Status.OK:
        lines.append(paint(f"Py Pinger: {one_line(daemon['explanation'])}", _YELLOW))
    lines += [paint(words, colour) for words, colour in _instances(answer, now)]
    wrong = sorted((task for task in tasks if _rank(task) < 2), key=lambda task: (_rank(task), -_since(task, now)))
    names = Counter(task["name"] for task in wrong)
    rows: list[tuple[str, Sequence[str]]] = []
    for members in _folded(wrong) if folded else [[task] for task in wrong]:
        first = members[0]
        alone, blind = names[first["name"]] == 1, bool(daemon["blind"])
        row = _row(first, now, alone=alone, blind=blind) if len(members) == 1 else _storm(members, now, blind=blind)
        rows.append((_RED if _rank(first) == 0 and not blind else _YELLOW, row))
    if rows:
        head, *texts = table([COLUMNS, *(row for _, row in rows)])
        lines.append(paint(head, _QUIET))
        for (colour, row), text in zip(rows, texts, strict=True):
            lines.append(paint(row[0], colour) + text[len(row[0]) :])
    sums = Counter("not seen" if task["unseen"] else _SUMS[Status(task["status"])] for task in tasks)
    ordered = ("in trouble", "not seen", "sleeping", "on time", "not checked yet")
    listed = ", ".join(f"{sums[words]:,} {words}" for words in ordered if sums[words])
    known = ", as last known" if daemon["blind"] and tasks else ""
    lines.append(paint(f"{count(len(tasks), 'task')}: {listed or 'none'}{known}", _BOLD))
    if daemon["undelivered"] or daemon["dead"]:
        words = f"alerts: {daemon['undelivered']:,} pending, {daemon['dead']:,} given up"
        lines.append(paint(f"{words} (pypinger resend)", _YELLOW) if daemon["dead"] else words)
    return lines


def _instances(answer: Mapping[str, Any], now: float) -> list[tuple[str, str]]:
    """The instances that share the tasks, in one line, and what is wrong with them in one more; with colours."""
    sharing = msgspec.convert(answer.get("sharing"), Sharing | None)
    if sharing is None or not sharing.members:
        return []
    known = " (as last known)" if sharing.away is not None else ""
    lines = [(f"{instances.heading(sharing)}{known}: {instances.shares(sharing)}", _QUIET)]
    if found := instances.troubles(sharing, now):
        words = "; ".join(found)
        lines.append((words[0].upper() + words[1:], _YELLOW))
    return lines


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows as lines with aligned columns."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    return ["  ".join([*map(str.ljust, row[:-1], widths), row[-1]]).rstrip() for row in rows]


def _rank(task: Mapping[str, Any]) -> int:
    """The importance of a task, as on the page: in trouble, then not seen, then the rest."""
    if task["unseen"]:
        return 1
    return 0 if task["status"] == Status.ERROR else 2


def _since(task: Mapping[str, Any], now: float) -> float:
    return float(task["unseen"] or task["since"] or now)


def _folded(tasks: Sequence[Mapping[str, Any]]) -> list[list[Mapping[str, Any]]]:
    """The tasks in their order, each alone or, in place of its newest, a whole storm."""
    keys = [None if task["unseen"] else (task.get("cause"), task.get("origin")) for task in tasks]
    sizes = Counter(keys)
    storms: dict[Any, list[Mapping[str, Any]]] = {}
    found: list[list[Mapping[str, Any]]] = []
    for task, key in zip(tasks, keys, strict=True):
        if key is None or not all(key) or sizes[key] < MANY:
            found.append([task])
        elif key in storms:
            storms[key].append(task)
        else:
            storms[key] = [task]
            found.append(storms[key])
    return found


def _storm(tasks: Sequence[Mapping[str, Any]], now: float, *, blind: bool) -> Sequence[str]:
    first = tasks[0]
    longest = span(max(0.0, now - min(_since(task, now) for task in tasks)))
    named = ", ".join(one_line(task["name"]) for task in tasks[:NAMED])
    origin = first["origin"]
    origin = origin.removesuffix(":443" if origin.startswith("https:") else ":80")
    words = one_line(f"{len(tasks):,} × {first['cause']} on {origin}")
    state = "blind, was in trouble" if blind else f"in trouble for {longest}"
    return state, words, "", "", f"{named} and {len(tasks) - NAMED:,} more"


def _row(task: Mapping[str, Any], now: float, *, alone: bool, blind: bool) -> Sequence[str]:
    marks = []
    if task["silenced"]:
        by = f" by {one_line(task['silenced']['by'])}" if task["silenced"]["by"] else ""
        marks.append(f"silenced until {short_clock(task['silenced']['until'], now)}{by}")
    if task["incident"] and task["incident"]["acknowledged"]:
        marks.append(f"acknowledged by {one_line(task['incident']['acknowledged']['by'])}")
    if task["incident"] and task["incident"]["flapping"]:
        marks.append("flapping")
    why = f"was {NAMES[task['kind']]}" if task["unseen"] and not blind else one_line(task["why"] or "")
    noted = f"({', '.join(marks)})" if marks else ""
    lastrun, due = task["lastrun"], task["due"]
    return (
        f"blind, was {NAMES[task['kind']]}" if blind else _state(task, now),
        # A push task has no URL.
        one_line(task["name"] if alone else f"{task['name']} ({task['url'] or task['id']})"),
        "–" if lastrun is None else relative(lastrun, now),
        "–" if due is None else relative(due, now),
        " ".join(filter(None, (why, noted))),
    )


def _state(task: Mapping[str, Any], now: float) -> str:
    """The state with how long it has lasted: ``late by 33 min``, ``failed for 25 min``."""
    lasted = span(max(0.0, now - _since(task, now)))
    if task["unseen"]:
        return f"not seen for {lasted}"
    by = one_line(task["age"]).partition(" by ")[2]
    return f"{NAMES[task['kind']]} by {by}" if by else f"{NAMES[task['kind']]} for {lasted}"


def _paint(text: str, colour: str) -> str:
    return f"\x1b[{colour}m{text}\x1b[0m"


def _plain(text: str, colour: str) -> str:
    return text
