"""
Reads the checks of Healthchecks: what its API answers to ``GET /api/v3/checks/``, of any version, also one check alone.

A check becomes a task that is pushed. Its key is the check's UUID, so that clients need a new base URL only.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any
from uuid import UUID

import msgspec

from pypinger.config.importing.sections import ImportedTask, NotImportable, SectionNames, duration, line, value
from pypinger.domain import cron
from pypinger.domain.cron import CronError
from pypinger.domain.model import Seconds
from pypinger.domain.texts import one_line
from pypinger.domain.times import DAY

#: The longest time that is taken; Healthchecks has at most 365 days.
LONGEST: Seconds = 366 * DAY

_UUID = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}\Z")

#: The members that hold a check's UUID, alone or at the end of a URL; a read-only API key shows none of them.
_WITH_UUID = ("ping_url", "uuid", "update_url", "pause_url", "resume_url")

_MOST_BASES = 5

#: Members that show that a check's clients tell of the start of a run.
_OF_STARTS = ("started", "last_duration")

_KEYWORDS = ("start_kw", "success_kw", "failure_kw", "subject", "subject_fail")


class ImportedChecks(msgspec.Struct, frozen=True):
    """
    Checks as tasks.

    :ivar head: what holds for all of them.
    """

    tasks: Sequence[ImportedTask]
    head: Sequence[str]


def read(text: str, base: str, new_key: Callable[[], str]) -> ImportedChecks:
    """
    Return the checks in `text`.

    :param base: where Py Pinger takes pushes, without a final slash.
    :param new_key: returns a new key, for a check without UUID.
    :raises NotImportable: the text is not what the API answers.
    """
    checks = _checks(text)
    names, keys = SectionNames(), dict[str, str]()
    tasks = [_task(check, names, keys, new_key) for check in checks]
    return ImportedChecks(tasks, list(_head(checks, base)))


def _checks(text: str) -> Sequence[Mapping[str, Any]]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        words = "nested too deeply" if isinstance(error, RecursionError) else one_line(str(error))
        raise NotImportable(f"not JSON: {words}") from None
    if isinstance(found, dict):
        # A check alone is what the API answers to a request for one.
        found = found.get("checks", [found] if "grace" in found else None)
    if not isinstance(found, list) or not found:
        raise NotImportable('no checks in it; it should be the answer to GET /api/v3/checks/, {"checks": [...]}')
    for number, check in enumerate(found, 1):
        if not isinstance(check, dict):
            raise NotImportable(f"check {number} is not a JSON object")
    return found


def _head(checks: Sequence[Mapping[str, Any]], base: str) -> Iterator[str]:
    yield f"{_count(len(checks), 'check')} of Healthchecks, as tasks that are pushed (docs/migrating.md)."
    if bases := sorted({known for check in checks if (known := _base(check))}):
        yield "Keys are the UUIDs of the checks, so that clients need another base URL only. Replace"
        yield from (f"  {line(known)}" for known in bases[:_MOST_BASES])
        yield f"by {base}/ping/ (--base names another). URLs with a ping key and a slug need the UUID instead."
    channels = Counter(each.strip() for check in checks for each in _text(check, "channels").split(",") if each.strip())
    if channels:
        yield f"Not carried over: {_count(len(channels), 'integration')}. Configure channels ([slack], [email], ...);"
        yield "their option match says which tasks they are for. The tags of a check are the group of its task."
    yield "Not carried over: pings and status changes of the past, badges, addresses for pings by e-mail."


def _task(
    check: Mapping[str, Any], names: SectionNames, keys: dict[str, str], new_key: Callable[[], str]
) -> ImportedTask:
    comments: list[str] = []
    key = _uuid(check)
    text = _text(check, "name") or _text(check, "slug")
    name = names.unique(text, f"check {key[:8]}" if key else "check")
    if key in keys:
        comments.append(f"This check has the UUID of {keys[key]}, too: the key here is new.")
        key = None
    elif key is None:
        comments.append("The file does not hold its UUID (a read-only API key leaves it out). Its key is new.")
    if key is None:
        key = new_key()
    keys[key] = name
    options = {"push_key": key}
    if _text(check, "status") == "paused":
        options["enabled"] = "no"
        comments.append("It was paused. It is off until you remove enabled = no; a ping does not resume it here.")
    for option, text in (("group", _text(check, "tags")), ("note", _text(check, "desc"))):
        if shown := value(text):
            options[option] = shown
    options |= _timing(check, comments)
    comments += _lost(check)
    return ImportedTask(name, options, comments)


def _timing(check: Mapping[str, Any], comments: list[str]) -> dict[str, str]:
    """Return when the task is due, and add comments on what cannot be said here."""
    options: dict[str, str] = {}
    schedule = check.get("schedule")
    if schedule is not None:
        options |= _schedule(schedule, check.get("tz"), comments)
    elif (seconds := _seconds(check, "timeout", comments)) is not None:
        options["frequency"] = duration(seconds)
    if not options:
        comments.append("Set frequency or schedule: without either, pings are due every 10 min.")
    grace = _seconds(check, "grace", comments)
    if grace is not None:
        options["grace"] = duration(grace)
        if any(check.get(member) for member in _OF_STARTS):
            options["max_runtime"] = duration(grace)
            comments.append(
                "Its clients tell of starts. Healthchecks alerts when a run takes longer than the grace time;"
            )
            comments.append("here a run may take max_runtime, and grace longer.")
    return options


def _schedule(schedule: object, zone: object, comments: list[str]) -> dict[str, str]:
    zone = "UTC" if zone is None else zone
    lines = schedule.splitlines() if isinstance(schedule, str) else [json.dumps(schedule)]
    try:
        if not isinstance(schedule, str) or not isinstance(zone, str):
            raise CronError("schedule and tz must be texts")
        cron.zone(zone)
        cron.fields(schedule if len(lines) == 1 else "")
    except CronError as error:
        on_calendar = isinstance(schedule, str) and isinstance(zone, str) and _is_on_calendar(schedule)
        words = "an OnCalendar expression of systemd; write it as a cron expression" if on_calendar else str(error)
        comments.append(f"Not carried over: its schedule, in {line(str(zone))}: {words}")
        comments += (f"  {line(each)}" for each in lines if each.strip())
        return {}
    return {"schedule": " ".join(schedule.split()), "timezone": zone.strip()}


def _is_on_calendar(schedule: str) -> bool:
    return len(schedule.split()) != 5 or "\n" in schedule.strip() or ":" in schedule


def _lost(check: Mapping[str, Any]) -> Iterator[str]:
    """Yield what a check has that a task has not."""
    if any(_text(check, member) for member in _KEYWORDS):
        if check.get("filter_http_body") is True:
            yield "Not carried over: its keywords. Every ping counts, whatever its body says."
        else:
            yield "Not carried over: its keywords, and pings by e-mail."
    if _text(check, "methods") == "POST":
        yield "Not carried over: that it takes pings by POST only; GET and HEAD count as well."


def _uuid(check: Mapping[str, Any]) -> str | None:
    for member in _WITH_UUID:
        for part in reversed(_text(check, member).split("/")):
            if _UUID.match(part):
                return str(UUID(part))
    return None


def _base(check: Mapping[str, Any]) -> str:
    """Return the ping URL without the UUID at its end; empty if the file does not say it."""
    base, slash, last = _text(check, "ping_url").rpartition("/")
    return base + slash if _UUID.match(last) else ""


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _text(check: Mapping[str, Any], member: str) -> str:
    """Return a text; empty if it is missing or something else."""
    found = check.get(member)
    return found.strip() if isinstance(found, str) else ""


def _seconds(check: Mapping[str, Any], member: str, comments: list[str]) -> Seconds | None:
    found = check.get(member)
    if isinstance(found, int | float) and not isinstance(found, bool) and 0 < found <= LONGEST:
        return float(found)
    if found is not None:
        shown = line(json.dumps(found))
        comments.append(f"Not carried over: its {member}, {shown}: it is not a number of seconds up to 366 days")
    return None
