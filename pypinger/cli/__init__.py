"""
The ``pypinger`` command: what an operator asks by hand, and a demonstration.

This module reads the command line; each command is a module beside it with a ``run(arguments) -> exit code``. Nothing
of Twisted is imported before a command needs it: ``--help`` stays quick, and importing this installs no reactor.
"""

from __future__ import annotations

import argparse
import io
import math
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib import import_module
from typing import NoReturn

from pypinger import __version__

#: The exit code of a plugin that could not make its check.
UNKNOWN = 3

#: The longest time taken, in seconds.
YEAR = 366 * 86_400

#: Units of lengths of time, in seconds.
UNITS = {"d": 86_400, "h": 3600, "m": 60}


class _Parser(argparse.ArgumentParser):
    """
    The parser of the command or of a subcommand.

    :ivar plugin: whether a monitoring system runs it, which reads standard output and an exit code of its own.
    """

    plugin = False

    def error(self, message: str) -> NoReturn:
        """Say what is wrong with the arguments, and end."""
        if not self.plugin:
            super().error(message)
        print(f"UNKNOWN - {message}")
        self.exit(UNKNOWN)


def main(argv: Sequence[str] | None = None) -> int:
    """
    Run the command.

    :param argv: the arguments, by default those of the process.
    :returns: the exit code.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A monitoring system's locale may lack characters of a report; that must not end in a traceback.
            stream.reconfigure(errors="backslashreplace")
    arguments, unknown = _parser().parse_known_args(argv)
    if unknown:
        arguments.parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    code: int = import_module(f"pypinger.cli.{arguments.module}").run(arguments)
    return code


def _parser() -> _Parser:
    top = _Parser(prog="pypinger", description="Py Pinger by hand. The daemon itself is `twistd pypinger`.")
    top.add_argument("--version", action="version", version=f"Py Pinger {__version__}")
    commands = top.add_subparsers(title="commands", metavar="COMMAND", required=True, parser_class=_Parser)

    check = commands.add_parser(
        "check",
        help="judge one task report",
        description="Fetch or read one task report and judge it, once. Fit as a plugin for Nagios and Icinga.",
        epilog="Exit code: 0 ok, 1 sleeping, 2 error, 3 unknown: the check could not be made.",
    )
    check.plugin = True
    check.set_defaults(module="check", parser=check)
    check.add_argument("target", metavar="URL|FILE", help="an http or https URL, a file, or - for standard input")
    check.add_argument("--config", metavar="INI", help="take the task's settings, token and CA from this ini file")
    check.add_argument("--timeout", type=_seconds, metavar="S", help="seconds that the exchange may take (default 20)")
    check.add_argument("--grace", type=_seconds, metavar="S", help="seconds of grace after the due time (default 60)")
    check.add_argument("--ca-file", metavar="PEM", help="a private CA to trust besides the system's")
    check.add_argument("--header", metavar="'NAME: VALUE'", help="send this header, one with a token say")

    validate = commands.add_parser(
        "validate",
        help="look for problems in an ini file",
        description="Read an ini file as the daemon would, and say every problem in it.",
        epilog="Exit code: 0 it is sound, 1 it is not.",
    )
    validate.set_defaults(module="validate", parser=validate)
    validate.add_argument("ini", metavar="INI")

    notify_test = commands.add_parser(
        "notify-test",
        help="send a test alert through every channel",
        description="Send one alert, marked as a test, through every channel of an ini file, and say how it went.",
        epilog="Exit code: 0 every service accepted it, 1 one did not, 2 nothing could be sent.",
    )
    notify_test.set_defaults(module="notify_test", parser=notify_test)
    notify_test.add_argument("ini", metavar="INI")

    replay = commands.add_parser(
        "replay",
        help="the alerts that other settings would have made",
        description="Judge what the daemon recorded with the settings of an ini file, and list the alerts that would "
        "have come (+), those that would not (-), and those that did and would (=). Nothing is sent or changed.",
        epilog="Exit code: 0 the same alerts, 1 others, 2 a mistake in the arguments or the ini file, 3 the store "
        "cannot be read. A TIME is 7d, 12h or 30m ago, or an ISO 8601 date and time, in UTC unless it says otherwise.",
    )
    replay.set_defaults(module="replay", parser=replay)
    replay.add_argument("ini", metavar="INI", help="the settings to judge with; its [store] path has the history")
    replay.add_argument("--since", type=_moment, metavar="TIME", default="7d", help="where to begin (default 7d)")
    replay.add_argument("--until", type=_moment, metavar="TIME", help="where to end (default: now)")
    replay.add_argument("--task", metavar="URL", help="only the task with this URL or id")
    replay.add_argument("--grace", type=_seconds, metavar="S", help="seconds of grace, for every task")
    replay.add_argument("--failures", type=_failures, metavar="N", help="errors in a row that alert, for every task")
    replay.add_argument("--json", action="store_true", help="print JSON")

    demo = commands.add_parser(
        "demo",
        help="the daemon with tasks to look at",
        description="Run it with sample tasks of its own on loopback: healthy, late, failing, asleep and worse. "
        "Nothing is sent or kept. Ctrl-C ends it.",
    )
    demo.set_defaults(module="demo", parser=demo)
    demo.add_argument(
        "--port", type=_port, metavar="PORT", default=3002, help="port of the pages; 0 takes a free one (default 3002)"
    )
    demo.add_argument(
        "--fleet-port", type=_port, metavar="PORT", default=0, help="port of the sample tasks (default: a free one)"
    )
    return top


def _seconds(text: str) -> float:
    """A length of time on the command line."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= YEAR:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds")
    return value


def _moment(text: str) -> Callable[[float], float]:
    """A moment on the command line: what it is, given the time."""
    unit = UNITS.get(text[-1:])
    try:
        if unit is None:
            then = datetime.fromisoformat(text)
            instant = (then if then.tzinfo else then.replace(tzinfo=UTC)).timestamp()
            return lambda now: instant
        ago = float(text[:-1]) * unit
    except (ValueError, OverflowError):
        ago = math.nan
    if not 0 <= ago <= 10 * YEAR:
        raise argparse.ArgumentTypeError(f"{text!r} is neither like 7d, 12h or 30m nor an ISO 8601 date and time")
    return lambda now: now - ago


def _failures(text: str) -> int:
    """A number of failures on the command line."""
    if not (text.isdecimal() and 1 <= int(text) <= 1000):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to 1000")
    return int(text)


def _port(text: str) -> int:
    """A TCP port on the command line."""
    if not (text.isdecimal() and int(text) <= 65_535):
        raise argparse.ArgumentTypeError(f"{text!r} is not a port")
    return int(text)
