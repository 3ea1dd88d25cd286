"""
The arguments of ``pypinger import``; :mod:`pypinger.cli.importing` carries it out.

What checks their values is imported when it is needed, so that the command's help stays fast.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

#: Where Py Pinger takes pushes unless the ini file says otherwise.
BASE = "http://localhost:3002"


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
    checks.set_defaults(module="importing", parser=checks, kind="healthchecks")
    checks.add_argument("file", metavar="FILE", help=file)
    checks.add_argument("--base", type=base_url, metavar="URL", default=BASE, help=base)

    table = kinds.add_parser(
        "crontab",
        help="the jobs of a crontab",
        description="Import the jobs of a crontab: a section each, and the line that runs the job by pypinger run.",
        epilog="Exit code: 0, or 1 if the file cannot be read or holds no job.",
    )
    table.set_defaults(module="importing", parser=table, kind="crontab")
    table.add_argument("file", metavar="FILE", nargs="?", help=f"{file}, as from crontab -l (default)")
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
    table.add_argument("--base", type=base_url, metavar="URL", default=BASE, help=base)
    table.add_argument("--run", metavar="PATH", help="what runs the jobs: pypinger-report.py (default: pypinger run)")
    table.add_argument("--report", metavar="DIR", help="let jobs write report files there instead of pushing")
    table.add_argument("--url", type=base_url, metavar="URL", help="with --report: the URL under which DIR is served")
    table.add_argument("--timezone", type=zone, metavar="ZONE", help="that cron runs in (default: this machine's)")
    table.add_argument("--crontab", metavar="NEW", help="write the whole crontab with its new lines to this new file")


def base_url(text: str) -> str:
    """Return a URL without a final slash."""
    from pypinger.domain import url as urls

    try:
        url = urls.parse(text)
    except urls.UrlError as error:
        raise argparse.ArgumentTypeError(f"{urls.label(text)}: {error}") from None
    if url.credentials is not None or url.text != url.label:
        raise argparse.ArgumentTypeError("the URL must have neither a user name nor a query")
    return text.rstrip("/")


def zone(text: str) -> str:
    """Return the name of a time zone."""
    from pypinger.domain import cron

    try:
        cron.zone(text)
    except cron.CronError as error:
        raise argparse.ArgumentTypeError(f"{text!r}: {error}") from None
    return text.strip()
