"""The command line of the ``pypinger`` command."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import NoReturn

from pypinger import __version__
from pypinger.cli import _import_command, verbs
from pypinger.cli._codes import UNKNOWN
from pypinger.domain.durations import UNITS, parse_duration

#: The longest time accepted, in seconds.
YEAR = 366 * 86_400

#: How many days a calendar has at most.
LONGEST_CALENDAR = 366

#: What ``--state`` is.
STATE = (
    "directory of the store, or a store itself (default: $STATE_DIRECTORY, the service's /var/lib/pypinger, or here)"
)


class _Parser(argparse.ArgumentParser):
    """
    The parser of the command or of a subcommand.

    :ivar plugin: whether it is a monitoring plugin, which reports errors on standard output with exit code 3.
    :ivar refusal: the exit code of other commands for arguments that are not valid.
    """

    plugin = False
    refusal = 2

    def error(self, message: str) -> NoReturn:
        """Print the error and exit."""
        if self.plugin:
            print(f"UNKNOWN - {message}")
            self.exit(UNKNOWN)
        self.print_usage(sys.stderr)
        self.exit(self.refusal, f"{self.prog}: error: {message}\n")


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """
    Parse the arguments of the command; `module` names the module that carries them out.

    :raises SystemExit: they are wrong, or the help was asked for.
    """
    arguments, unknown = parser().parse_known_args(argv)
    if len(unknown) == 1 and not unknown[0].startswith("-") and getattr(arguments, "task", None) == "":
        # argparse takes an argument that may be left out only if no option stands before it.
        arguments.task, unknown = unknown[0], []
    if unknown:
        arguments.parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    return arguments


def parser() -> _Parser:
    """Return the parser of the command."""
    top = _Parser(prog="pypinger", description="Tools of Py Pinger. The daemon itself is `twistd pypinger`.")
    top.add_argument("--version", action="version", version=f"Py Pinger {__version__}")
    commands = top.add_subparsers(title="commands", metavar="COMMAND", required=True, parser_class=_Parser)

    check = commands.add_parser(
        "check",
        help="check one task",
        description="Fetch or read one task report and judge it, as a plugin for Nagios and Icinga does.",
        epilog="Exit code: 0 ok, 1 sleeping, 2 error, 3 unknown (the check could not be made). "
        "A TIME is a number of seconds, or like 90s, 5m, 1h 30m.",
    )
    check.plugin = True
    check.set_defaults(module="check", parser=check)
    check.add_argument("target", metavar="URL|FILE", help="an http or https URL, a file, or - for standard input")
    check.add_argument("--config", metavar="INI", help="use the task's settings, token and CA of this ini file")
    check.add_argument("--timeout", type=_seconds, metavar="TIME", help="limit of the whole exchange (default 20 s)")
    check.add_argument("--grace", type=_seconds, metavar="TIME", help="grace after the due time (default 60 s)")
    check.add_argument("--ca-file", metavar="PEM", help="a private CA to trust besides those of the system")
    check.add_argument("--header", metavar="'NAME: VALUE'", help="send this header, for example one with a token")

    validate = commands.add_parser(
        "validate",
        help="list the problems of an ini file",
        description="Read an ini file as the daemon does, and list all problems with their lines.",
        epilog="Exit code: 0 valid, 1 invalid.",
    )
    validate.set_defaults(module="validate", parser=validate)
    validate.add_argument("--routes", action="store_true", help="print which alert of which task goes where, and when")
    validate.add_argument("ini", metavar="INI")
    validate.add_argument("task", metavar="TASK", nargs="?", default="", help="with --routes: only these tasks")

    notify_test = commands.add_parser(
        "notify-test",
        help="send a test alert through every channel",
        description="Send one alert, marked as a test, through every channel of an ini file, and print the answers.",
        epilog="Exit code: 0 all services accepted it, 1 at least one did not, 2 nothing was sent.",
    )
    notify_test.set_defaults(module="notify_test", parser=notify_test)
    notify_test.add_argument("ini", metavar="INI")

    replay = commands.add_parser(
        "replay",
        help="compare past alerts with those of other settings",
        description="Judge the recorded past with the settings of an ini file, and list the alerts that would be new "
        "(+), gone (-) and the same (=). Nothing is sent or changed.",
        epilog="Exit code: 0 the same alerts, 1 different alerts, 2 invalid arguments or ini file, 3 the store cannot "
        "be read. A TIME is like 7d, 12h or 30m ago, or an ISO 8601 date and time, by default in UTC.",
    )
    replay.set_defaults(module="replay", parser=replay)
    replay.add_argument("ini", metavar="INI", help="the settings to judge with; [store] path names the recorded past")
    replay.add_argument("--since", type=_moment, metavar="TIME", default="7d", help="start (default 7d)")
    replay.add_argument("--until", type=_moment, metavar="TIME", help="end (default: now)")
    replay.add_argument("--task", metavar="URL", help="only the task with this URL or id")
    replay.add_argument("--grace", type=_seconds, metavar="TIME", help="grace of every task")
    replay.add_argument(
        "--failures", type=_failures, metavar="N", help="errors in a row before an alert, of every task"
    )
    replay.add_argument("--json", action="store_true", help="print JSON")
    replay.add_argument("--state", metavar="DIR", help=STATE)

    calendar = commands.add_parser(
        "calendar",
        help="when tasks are due and asleep",
        description="Print when tasks are due and asleep in the days to come, by the ini file and their last reports.",
        epilog="Exit code: 0, 2 invalid arguments or ini file, 3 the store cannot be read.",
    )
    calendar.set_defaults(module="calendar", parser=calendar)
    calendar.add_argument("ini", metavar="INI")
    calendar.add_argument(
        "task", metavar="TASK", nargs="?", default="", help="only these tasks: a name, URL, id or selector"
    )
    calendar.add_argument("--days", type=_days, metavar="N", default=7.0, help="how many days (default 7)")
    calendar.add_argument(
        "--timezone", type=_import_command.zone, metavar="ZONE", help="zone of the times (default: this machine's)"
    )
    calendar.add_argument("--json", action="store_true", help="print JSON")
    calendar.add_argument("--state", metavar="DIR", help=STATE)

    migrate = commands.add_parser(
        "migrate",
        help="move the SQLite store to PostgreSQL",
        description="Copy everything that the SQLite store of an ini file ([store] path) holds into the empty "
        "PostgreSQL database that [store] url names. Stop Py Pinger first.",
        epilog="Exit code: 0 moved, 2 invalid arguments or ini file, 3 nothing was moved.",
    )
    migrate.set_defaults(module="migrate", parser=migrate)
    migrate.add_argument("ini", metavar="INI")
    migrate.add_argument("--state", metavar="DIR", help=STATE)

    # For the list of commands; pypinger.cli does not parse its arguments here.
    commands.add_parser("run", help="run a command and publish its task report", add_help=False)

    _import_command.add_command(commands.add_parser)

    verbs.add_commands(commands.add_parser)
    # 2 would mean a task in error, also to those who run it as a plugin.
    commands.choices["status"].refusal = UNKNOWN

    demo = commands.add_parser(
        "demo",
        help="run the daemon with sample tasks",
        description="Run the daemon with sample tasks on loopback: on time, late, failing, sleeping and broken ones. "
        "Nothing is sent or kept. Ctrl-C stops it.",
    )
    demo.set_defaults(module="demo", parser=demo)
    demo.add_argument(
        "--port", type=_port, metavar="PORT", default=3002, help="port of the pages; 0 picks a free one (default 3002)"
    )
    demo.add_argument(
        "--fleet-port", type=_port, metavar="PORT", default=0, help="port of the sample tasks (default: a free one)"
    )
    return top


def _seconds(text: str) -> float:
    try:
        value = parse_duration(text.strip())
    except ValueError:
        value = math.nan
    if not 0 <= value <= YEAR:
        raise argparse.ArgumentTypeError(f"{text!r} is no length of time, such as 90, 90s or 5m")
    return value


def _moment(text: str) -> Callable[[float], float]:
    """Return a function from the current time to the moment that `text` names."""
    text = text.strip()
    try:
        # A number without a unit may be a date such as 20260301.
        if not text.endswith(tuple(UNITS)):
            then = datetime.fromisoformat(text)
            instant = (then if then.tzinfo else then.replace(tzinfo=UTC)).timestamp()
            return lambda now: instant
        ago = parse_duration(text)
    except (ValueError, OverflowError):
        ago = math.nan
    if not 0 <= ago <= 10 * YEAR:
        raise argparse.ArgumentTypeError(f"{text!r} is neither like 7d, 12h or 30m nor an ISO 8601 date and time")
    return lambda now: now - ago


def _days(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value <= LONGEST_CALENDAR:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of days up to {LONGEST_CALENDAR}")
    return value


def _failures(text: str) -> int:
    if not (text.isdecimal() and 1 <= int(text) <= 1000):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to 1000")
    return int(text)


def _port(text: str) -> int:
    if not (text.isdecimal() and int(text) <= 65_535):
        raise argparse.ArgumentTypeError(f"{text!r} is not a port")
    return int(text)
