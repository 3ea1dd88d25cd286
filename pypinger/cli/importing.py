"""``pypinger import``: prints the checks of Healthchecks, or the jobs of a crontab, as ini sections to paste."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Iterable
from uuid import uuid4

from pypinger.config.importing import crontab, healthchecks, jobs
from pypinger.config.importing.sections import NotImportable, written
from pypinger.report.values import machine_zone

#: The largest file that is read, in bytes.
MAX_FILE = 16_777_216

_STDIN = "-"
_SYSTEM = ("/etc/crontab", "/etc/cron.d/")


def run(arguments: argparse.Namespace) -> int:
    """
    Print the sections.

    :returns: the exit code: 0, or 1 if the file cannot be read or holds nothing to import.
    """
    read = {"healthchecks": _healthchecks, "crontab": _crontab}[arguments.kind]
    try:
        lines = list(read(arguments))
    except NotImportable as error:
        print(f"pypinger import: {error}", file=sys.stderr)
        return 1
    print("\n".join(lines))
    return 0


def _healthchecks(arguments: argparse.Namespace) -> Iterable[str]:
    shown, content = _content(arguments.file)
    try:
        checks = healthchecks.read(content.decode("utf-8-sig"), arguments.base, _key)
    except UnicodeDecodeError:
        raise NotImportable(f"{shown}: not UTF-8 text") from None
    except NotImportable as error:
        raise NotImportable(f"{shown}: {error}") from None
    return written(checks.head, checks.tasks)


def _crontab(arguments: argparse.Namespace) -> Iterable[str]:
    if bool(arguments.report) != bool(arguments.url):
        arguments.parser.error("--report and --url go together: where reports are written, and their URL")
    if arguments.file is None and sys.stdin is not None and sys.stdin.isatty():
        raise NotImportable("name a file, or write: crontab -l | pypinger import crontab")
    path = arguments.file or _STDIN
    shown, content = _content(path)
    system = arguments.form == "system" if arguments.form else os.path.abspath(path).startswith(_SYSTEM)
    parsed = crontab.parse(content.decode("utf-8", "surrogateescape"), system=system)
    if not parsed.jobs:
        number, words = next(iter(parsed.problems), (0, ""))
        raise NotImportable(f"{shown}: no job in it" + (f"; line {number}: {words}" if number else ""))
    if not system and any(job.command.split()[0] == "root" for job in parsed.jobs):
        raise NotImportable(f"{shown}: its lines name a user; use --system, which is for such crontabs")
    target = jobs.Target(
        run=(arguments.run,) if arguments.run else (_command(), "run"),
        base=arguments.base,
        zone=arguments.timezone or machine_zone(os.environ),
        directory=os.path.abspath(arguments.report) if arguments.report else "",
        url=arguments.url or "",
        written=arguments.crontab or "",
    )
    imported = jobs.read(parsed, target, _key)
    if arguments.crontab:
        lines = [imported.changed.get(number, raw) for number, raw in enumerate(parsed.lines, 1)]
        _write(arguments.crontab, "\n".join(lines).encode("utf-8", "surrogateescape"))
    return written(imported.head, imported.tasks, imported.foot)


def _content(path: str) -> tuple[str, bytes]:
    """
    Return what a file is called, and its content.

    :raises NotImportable: it cannot be read.
    """
    shown = "standard input" if path == _STDIN else path
    if path == _STDIN and sys.stdin is None:
        raise NotImportable(f"{shown}: it is closed")
    try:
        if path == _STDIN:
            content = sys.stdin.buffer.read(MAX_FILE + 1)
        else:
            with open(path, "rb") as file:
                content = file.read(MAX_FILE + 1)
    except OSError as error:
        raise NotImportable(f"{shown}: {(error.strerror or str(error)).lower()}") from None
    except ValueError:
        raise NotImportable("not a valid path") from None
    if len(content) > MAX_FILE:
        raise NotImportable(f"{shown}: larger than {MAX_FILE:,} bytes")
    return shown, content


def _write(path: str, content: bytes) -> None:
    """
    Write a new file that only its owner may read, since keys are secrets.

    :raises NotImportable: it cannot be written, or there is one.
    """
    try:
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
    except OSError as error:
        raise NotImportable(f"{path}: {(error.strerror or str(error)).lower()}") from None


def _key() -> str:
    return str(uuid4())


def _command() -> str:
    """Return the ``pypinger`` command with its path, since cron looks in few directories."""
    own = shutil.which(sys.argv[0]) if os.path.basename(sys.argv[0]) == "pypinger" else None
    return os.path.abspath(own or shutil.which("pypinger") or "/usr/local/bin/pypinger")
