"""The command line of ``pypinger run`` and ``pypinger-report.py`` (contract, section 9)."""

from __future__ import annotations

import argparse
import os
import re
import sys
import time
from typing import Callable, NoReturn, Sequence, Union

from pypinger import __version__
from pypinger.report.child import CommandEnd, SignalGate, run_command
from pypinger.report.content import Stopwatch, TaskDetails
from pypinger.report.destinations import Complain, ReportFile
from pypinger.report.push import RETRY_FOR, PushUrl
from pypinger.report.values import cron_expression, machine_zone, minutes, sleep_windows, time_zone

#: The environment variable that may have the push URL.
PUSH_URL = "PYPINGER_PUSH_URL"

# How long a report that is being pushed has after a signal, or after its minute, in seconds.
_LAST_ATTEMPT = 2.0

_FLAGS = ("-h", "--help", "--version", "--no-output")

Destination = Union[ReportFile, PushUrl]


class _OneLineParser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Say in one line what is wrong, without the paths of URLs, and exit."""
        words = " ".join(re.sub(r"(\w://)\S+", r"\1***", message).split())
        self.exit(2, f"{self.prog}: {words}\n")


def main(argv: Sequence[str] | None = None, prog: str = "pypinger-report.py") -> int:
    """
    Run a command and publish its report.

    :param argv: the arguments, by default those of the process.
    :returns: the exit code: that of the command.
    """
    own, command = _split(sys.argv[1:] if argv is None else list(argv))
    parser = _parser(prog)
    arguments = parser.parse_args(own)
    if not command:
        parser.error("a command is needed: [OPTIONS] -- COMMAND...")

    def complain(words: str) -> None:
        try:
            os.write(2, f"{prog}: {words}\n".encode("utf-8", "backslashreplace"))
        except OSError:
            pass

    destination = _destination(parser, arguments, command[0], complain)
    gate = SignalGate()
    try:
        return _run(command, destination, gate, not arguments.no_output, complain)
    finally:
        gate.close()


def _run(
    command: Sequence[str], destination: Destination, gate: SignalGate, keep_stderr: bool, complain: Complain
) -> int:
    stopwatch = Stopwatch()
    pushes = isinstance(destination, PushUrl)
    # A file says so before the command begins; a push takes a thread, which begins after it.
    if not pushes:
        destination.begin(stopwatch.started)

    def begun() -> None:
        if pushes:
            destination.begin(stopwatch.started)

    def ended(outcome: CommandEnd) -> None:
        if outcome.problem:
            complain(outcome.problem)
        destination.finish(stopwatch.stop(outcome.code == 0, outcome.reason))
        deadline = time.monotonic() + RETRY_FOR
        while not destination.wait(0.1) and not gate.asked_to_end() and time.monotonic() < deadline:
            pass
        if not destination.wait(_LAST_ATTEMPT):
            complain("the report was not pushed in time")

    return run_command(command, gate, keep_stderr, begun, ended)


def _split(argv: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return our own arguments and the command, which begins after ``--`` or with what is no option."""
    place = 0
    while place < len(argv) and argv[place] != "--" and argv[place].startswith("-"):
        place += 1 if "=" in argv[place] or argv[place] in _FLAGS else 2
    command = list(argv[place:])
    return list(argv[:place]), command[1:] if command[:1] == ["--"] else command


def _destination(
    parser: argparse.ArgumentParser, arguments: argparse.Namespace, command: str, complain: Complain
) -> Destination:
    schedule, sleep = arguments.schedule, arguments.sleep
    details = TaskDetails(
        process=_valid(os.path.basename(command) if arguments.name is None else arguments.name),
        server=_valid(os.uname().nodename if arguments.server is None else arguments.server),
        every=arguments.every,
        schedule=schedule,
        timezone=(arguments.timezone or machine_zone(os.environ)) if schedule else None,
        max_runtime=arguments.max_runtime,
        sleep=[window for windows in sleep for window in windows] if sleep else None,
    )
    push = arguments.push if arguments.push is not None else os.environ.get(PUSH_URL, "")
    if arguments.report is None and not push:
        parser.error(f"--report FILE, --push URL or ${PUSH_URL} is needed")
    try:
        if arguments.report is not None:
            return ReportFile(arguments.report, details, complain)
    except ValueError as error:
        parser.error(f"argument --report: {error}")
    try:
        return PushUrl(push, details, complain)
    except ValueError as error:
        parser.error(f"the push URL cannot be used: {error}")


def _valid(text: str) -> str:
    """An argument without the bytes that are no text."""
    return os.fsencode(text).decode("utf-8", "replace")


def _parser(prog: str) -> argparse.ArgumentParser:
    parser = _OneLineParser(
        prog=prog,
        usage="%(prog)s [OPTIONS] -- COMMAND...",
        description="Run a command and publish the report of a task: when it began, when it ended, and whether it "
        "succeeded. The exit code is that of the command.",
        epilog="A TIME is a number of minutes, or like 10m, 1h 30m or 90s.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"Py Pinger {__version__}")
    when = parser.add_mutually_exclusive_group()
    when.add_argument("--every", type=_value(minutes), metavar="TIME", help="how often the task should run")
    when.add_argument("--schedule", type=_value(cron_expression), metavar="CRON", help="five fields, or @daily")
    parser.add_argument(
        "--timezone", type=_value(time_zone), metavar="ZONE", help="that of the schedule (default: this machine's)"
    )
    parser.add_argument("--max-runtime", type=_value(minutes), metavar="TIME", help="how long a run may take")
    parser.add_argument(
        "--sleep",
        type=_value(sleep_windows),
        action="append",
        metavar="WINDOWS",
        help="when the task does not run, each day in UTC: '22:00 + 450m, 12:00 + 30m'",
    )
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--report", metavar="FILE", help="write the report to this file")
    where.add_argument("--push", metavar="URL", help=f"push it to this URL of Py Pinger (default: ${PUSH_URL})")
    parser.add_argument("--name", metavar="NAME", help="what the task is (default: the command's name)")
    parser.add_argument("--server", metavar="NAME", help="where it runs (default: this machine's name)")
    parser.add_argument("--no-output", action="store_true", help="keep standard error out of the report")
    return parser


def _value(read: Callable[[str], object]) -> Callable[[str], object]:
    """A type of arguments whose errors say what is wrong."""

    def convert(text: str) -> object:
        try:
            return read(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return convert
