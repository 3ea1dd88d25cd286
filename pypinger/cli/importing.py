"""``pypinger import``: prints the checks of Healthchecks, or the jobs of a crontab, as ini sections to paste."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Callable, Iterable
from uuid import uuid4

from pypinger.config.importing import crontab, healthchecks, jobs
from pypinger.config.importing.sections import NotImportable, written
from pypinger.domain import cron
from pypinger.domain import url as urls
from pypinger.domain.cron import CronError
from pypinger.report.values import machine_zone

#: The largest file that is read, in bytes.
MAX_FILE = 16_777_216

#: Where Py Pinger takes pushes unless the ini file says otherwise.
BASE = "http://localhost:3002"

_STDIN = "-"
_SYSTEM = ("/etc/crontab", "/etc/cron.d/")


def run(arguments: argparse.Namespace) -> int:
    """
    Print the sections.

    :returns: the exit code: 0, or 1 if the file cannot be read or holds nothing to import.
    """
    read: Callable[[argparse.Namespace], Iterable[str]] = arguments.read
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
    shown, content = _content(arguments.file)
    system = arguments.form == "system" if arguments.form else os.path.abspath(arguments.file).startswith(_SYSTEM)
    parsed = crontab.parse(content.decode("utf-8", "surrogateescape"), system=system)
    if not parsed.jobs:
        number, words = next(iter(parsed.problems), (0, ""))
        raise NotImportable(f"{shown}: no job in it" + (f"; line {number}: {words}" if number else ""))
    if not system and any(job.command.split()[0] == "root" for job in parsed.jobs):
        raise NotImportable(f"{shown}: its lines name a user; use --system, which is for such crontabs")
    target = jobs.Target(
        run=_command(),
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


def _base(text: str) -> str:
    try:
        url = urls.parse(text)
    except urls.UrlError as error:
        raise argparse.ArgumentTypeError(f"{urls.label(text)}: {error}") from None
    if url.credentials is not None or url.text != url.label:
        raise argparse.ArgumentTypeError("the URL must have neither a user name nor a query")
    return text.rstrip("/")


def _zone(text: str) -> str:
    try:
        cron.zone(text)
    except CronError as error:
        raise argparse.ArgumentTypeError(f"{text!r}: {error}") from None
    return text.strip()


def add_command(add_parser: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the command to the parser of the ``pypinger`` command."""
    parser = add_parser(
        "import",
        help="make ini sections of other monitors' checks, or of a crontab",
        description="Print ini sections to paste into the ini file, with comments on what could not be carried over.",
    )
    parser.set_defaults(parser=parser)
    kinds = parser.add_subparsers(title="what is imported", metavar="KIND", required=True, parser_class=type(parser))
    base = f"where clients reach Py Pinger's endpoint of [push] or [web] (default {BASE})"
    file = "the file; - is standard input"

    checks = kinds.add_parser(
        "healthchecks",
        help="checks of Healthchecks",
        description="Import checks of Healthchecks: the JSON that its API answers to GET /api/v3/checks/.",
        epilog="Exit code: 0, or 1 if the file cannot be read or holds no checks.",
    )
    checks.set_defaults(module="importing", parser=checks, read=_healthchecks)
    checks.add_argument("file", metavar="FILE", help=file)
    checks.add_argument("--base", type=_base, metavar="URL", default=BASE, help=base)

    table = kinds.add_parser(
        "crontab",
        help="the jobs of a crontab",
        description="Import the jobs of a crontab: a section each, and the line that runs the job by pypinger run.",
        epilog="Exit code: 0, or 1 if the file cannot be read or holds no job.",
    )
    table.set_defaults(module="importing", parser=table, read=_crontab)
    table.add_argument("file", metavar="FILE", nargs="?", default=_STDIN, help=f"{file}, as from crontab -l (default)")
    form = table.add_mutually_exclusive_group()
    form.add_argument(
        "--user", dest="form", action="store_const", const="user", help="lines name no user: a user's crontab"
    )
    form.add_argument(
        "--system",
        dest="form",
        action="store_const",
        const="system",
        help="lines name the user after the time (default for /etc/crontab and files of /etc/cron.d)",
    )
    table.add_argument("--base", type=_base, metavar="URL", default=BASE, help=base)
    table.add_argument("--report", metavar="DIR", help="let jobs write report files there instead of pushing")
    table.add_argument("--url", type=_base, metavar="URL", help="with --report: the URL under which DIR is served")
    table.add_argument("--timezone", type=_zone, metavar="ZONE", help="that cron runs in (default: this machine's)")
    table.add_argument("--crontab", metavar="NEW", help="write the whole crontab with its new lines to this new file")
