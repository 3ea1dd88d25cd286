"""
Reads crontabs as cron does: those of users and, with a column for the user, those of the system.

Lines are kept, so that a crontab can be written with some of its commands changed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import msgspec

from pypinger.config.importing.sections import line as one_line
from pypinger.domain import cron
from pypinger.domain.cron import CronError

#: The name of the lines that cron runs when the machine starts.
REBOOT = "@reboot"

# As cron reads it: quotes may stand around the name and the value.
_SETTING = re.compile(r"""\s*(?:"([^"]*)"|'([^']*)'|([^\s=#"'][^\s=]*))\s*=\s*(.*)""", re.DOTALL)
# The five fields or a name; cronie takes a dash before them, for lines that it does not log.
_WHEN = re.compile(r"\s*(?:(@\S+)|-?(\S+\s+\S+\s+\S+\s+\S+\s+\S+))\s+", re.DOTALL)
_USER = re.compile(r"\S+\s+")
# Lines that describe the columns, and what "crontab -l" writes at the beginning.
_HEADING = re.compile(r"m\s+h\s+dom\s+mon|DO NOT EDIT|installed on |Cron version|\A[-=*#.\s|]*\Z", re.IGNORECASE)


class Job(msgspec.Struct, frozen=True):
    """
    A line that runs a command.

    :ivar number: of the line, from 1.
    :ivar before: what stands on the line before the command.
    :ivar when: its five fields or name.
    :ivar command: as it stands there, with what ``%`` means to cron.
    :ivar settings: the environment settings above it.
    :ivar comment: the comment right above it.
    """

    number: int
    before: str
    when: str
    command: str
    settings: Mapping[str, str]
    comment: str = ""


class Crontab(msgspec.Struct, frozen=True):
    """
    A crontab.

    :ivar system: whether its lines name the user.
    :ivar lines: all of them.
    :ivar settings: the environment settings as they are at its end.
    :ivar problems: (number of the line, what is wrong with it).
    """

    system: bool
    lines: Sequence[str]
    jobs: Sequence[Job]
    settings: Mapping[str, str]
    problems: Sequence[tuple[int, str]]


def parse(text: str, *, system: bool) -> Crontab:
    """
    Parse a crontab.

    :param system: whether its lines name the user after the time, as in ``/etc/crontab`` and ``/etc/cron.d``.
    """
    lines = text.removeprefix("\ufeff").split("\n")
    jobs, problems = [], []
    settings: dict[str, str] = {}
    comment = ""
    for number, raw in enumerate(lines, 1):
        content = raw.strip()
        if content.startswith("#"):
            comment = content.lstrip("# \t")
            continue
        above, comment = comment, ""
        if not content:
            continue
        if (setting := _SETTING.match(raw)) is not None:
            settings[next(name for name in setting.groups()[:3] if name is not None)] = _unquoted(setting[4].strip())
            continue
        try:
            job = _job(number, raw, dict(settings), system=system)
        except CronError as error:
            problems.append((number, str(error)))
            continue
        described = above and not _HEADING.search(above) and not _is_job(above, system=system)
        jobs.append(msgspec.structs.replace(job, comment=one_line(above)) if described else job)
    return Crontab(system, lines, jobs, settings, problems)


def _job(number: int, raw: str, settings: Mapping[str, str], *, system: bool) -> Job:
    """
    Return the job of a line.

    :raises CronError: it is none.
    """
    match = _WHEN.match(raw)
    if match is None:
        raise CronError("it has neither five fields nor a name such as @daily before a command")
    when, end = " ".join((match[1] or match[2]).split()), match.end()
    if system:
        user = _USER.match(raw, end)
        if user is None:
            raise CronError("it has no user between time and command")
        end = user.end()
    command = raw[end:].rstrip()
    if not command:
        raise CronError("it has no command")
    if when.lower() != REBOOT:
        cron.fields(when)
    return Job(number, raw[:end], when, command, settings)


def _is_job(text: str, *, system: bool) -> bool:
    """Whether a comment is a job that was commented out."""
    try:
        _job(0, text, {}, system=system)
    except CronError:
        return False
    return True


def _unquoted(text: str) -> str:
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'" else text
