"""The commands to the running daemon: ``status``, ``silence``, ``ack`` and the others (contract, section 9)."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable

from pypinger.cli.remote import NoDaemon, Refused, ask, find
from pypinger.cli.status import OK, WARNING, has_colours, status_code, status_lines, table
from pypinger.domain.durations import parse_duration
from pypinger.domain.texts import one_line
from pypinger.domain.times import clock

#: The exit code if no daemon answers, and of ``status`` if it refuses, where other commands have 1.
UNKNOWN = 3


def run(arguments: argparse.Namespace) -> int:
    """Carry out one of the commands; its result goes to standard output, what is wrong to standard error."""
    verb: Callable[[argparse.Namespace, str], int] = _VERBS[arguments.verb]
    try:
        return verb(arguments, find(arguments.socket))
    except NoDaemon as error:
        print(f"pypinger {arguments.verb}: {error}", file=sys.stderr)
        return UNKNOWN
    except Refused as error:
        print(f"pypinger {arguments.verb}: {error}", file=sys.stderr)
        return UNKNOWN if verb is _status else WARNING


def _status(arguments: argparse.Namespace, path: str) -> int:
    answer = ask(path, "status", {"selector": " ".join(arguments.selector)})
    if arguments.json:
        print(json.dumps(answer, ensure_ascii=False, indent=2))
    else:
        # A selector asks for each of its tasks.
        lines = status_lines(answer, time.time(), folded=not arguments.selector, coloured=has_colours(sys.stdout))
        print("\n".join(lines))
    return status_code(answer)


def _silence(arguments: argparse.Namespace, path: str) -> int:
    try:
        seconds = parse_duration(arguments.duration)
    except ValueError as error:
        raise Refused(f"{arguments.duration!r} is {error}; say 30m, 2h or 1d 12h") from None
    reason = " ".join(arguments.reason)
    answer = ask(path, "silence", {"selector": arguments.selector, "seconds": seconds, "reason": reason})
    tasks = "1 task" if answer["tasks"] == 1 else f"{answer['tasks']} tasks"
    print(f"silence {answer['id']}: {tasks} until {clock(answer['until'], time.time())}")
    return OK


def _silences(arguments: argparse.Namespace, path: str) -> int:
    answer = ask(path, "silences", {})
    if arguments.json:
        print(json.dumps(answer, ensure_ascii=False, indent=2))
        return OK
    now = time.time()
    rows = [
        (each["id"], clock(each["until"], now), str(each["tasks"]), one_line(each["by"]), one_line(each["text"]))
        for each in answer
    ]
    if not rows:
        print("nothing is silenced")
        return OK
    for line in table([("ID", "UNTIL", "TASKS", "BY", "WHAT AND WHY"), *rows]):
        print(line)
    return OK


def _unsilence(arguments: argparse.Namespace, path: str) -> int:
    ask(path, "unsilence", {"id": arguments.id})
    print(f"silence {arguments.id} is over")
    return OK


def _ack(arguments: argparse.Namespace, path: str) -> int:
    answer = ask(path, "ack", {"task": arguments.task, "reason": " ".join(arguments.reason)})
    print(f"{one_line(answer['task'])}: acknowledged; no reminders until its kind changes or it is OK again")
    return OK


def _check_now(arguments: argparse.Namespace, path: str) -> int:
    answer = ask(path, "check-now", {"task": arguments.task})
    print(f"{one_line(answer['task'])}: {answer['kind']}: {one_line(answer['explanation'])}")
    return OK


def _resend(arguments: argparse.Namespace, path: str) -> int:
    count = ask(path, "resend", {})["count"]
    tried = "1 delivery is" if count == 1 else f"{count} deliveries are"
    print(f"{tried} tried again" if count else "no alert was given up")
    return OK


def _drill(arguments: argparse.Namespace, path: str) -> int:
    results = ask(path, "drill", {})
    for each in results:
        state = "accepted" if each["accepted"] else "NOT ACCEPTED"
        print(f"{each['channel']}: {state} after {each['took']:.2f} s: {one_line(each['words'])}")
    if not results:
        print("no channel is configured")
    return OK if all(each["accepted"] for each in results) else WARNING


def _reload(arguments: argparse.Namespace, path: str) -> int:
    answer = ask(path, "reload", {})
    for problem in answer["problems"]:
        print(problem, file=sys.stderr)
    if answer["problems"]:
        return WARNING
    print(one_line(answer["words"]))
    return OK


def _backup(arguments: argparse.Namespace, path: str) -> int:
    """The daemon writes through our descriptor, so that it needs no right to the directory."""
    target = os.path.abspath(arguments.file)
    directory, name = os.path.split(target)
    if arguments.file.endswith(os.sep) or os.path.isdir(target):
        raise Refused(f"{arguments.file} is a directory; name a file")
    try:
        descriptor, part = tempfile.mkstemp(prefix=f".{name}.", dir=directory)
    except OSError as error:
        raise Refused(f"cannot write to {directory}: {error.strerror}") from None
    try:
        size = ask(path, "backup", {}, (descriptor,))["bytes"]
        os.fsync(descriptor)
        os.replace(part, target)
    except BaseException as error:
        os.unlink(part)
        if isinstance(error, OSError):
            raise Refused(f"cannot write {arguments.file}: {error.strerror}") from None
        raise
    finally:
        os.close(descriptor)
    print(f"{arguments.file}: {size:,} bytes")
    return OK


_VERBS: dict[str, Callable[[argparse.Namespace, str], int]] = {
    "status": _status,
    "silence": _silence,
    "silences": _silences,
    "unsilence": _unsilence,
    "ack": _ack,
    "check-now": _check_now,
    "resend": _resend,
    "drill": _drill,
    "reload": _reload,
    "backup": _backup,
}


def add_commands(add_parser: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the commands to the parser of the ``pypinger`` command."""

    def add(verb: str, words: str, description: str, epilog: str | None = None) -> argparse.ArgumentParser:
        parser = add_parser(verb, help=words, description=description, epilog=epilog)
        parser.set_defaults(module="verbs", verb=verb, parser=parser)
        parser.add_argument(
            "--socket",
            metavar="PATH",
            help="the daemon's control socket (default: $PYPINGER_SOCKET, "
            "/run/pypinger/pypinger.sock, pypinger.sock here)",
        )
        return parser

    selector = "a selector: words that must all match, such as 'server:db1 kind:late' or 'nightly*'"
    status = add(
        "status",
        "what is wrong now",
        "Show the tasks that are in trouble or not seen, the newest trouble first. Many of one origin with the same "
        "cause are one line; with a selector, '*' for all, each has its own. NO_COLOR turns colours off.",
        "Exit code: 2 any task is in error, 1 blind, not seen or a dead channel, 3 no daemon or no such task, else 0.",
    )
    status.add_argument("selector", nargs="*", metavar="SELECTOR", help=selector)
    status.add_argument("--json", action="store_true", help="print JSON, all tasks included")

    silence = add(
        "silence",
        "mute the alerts of tasks for a time",
        "Mute the alerts of the tasks that match. Checks, "
        "pages and history are not changed; what is still wrong at the end is announced then.",
    )
    silence.add_argument("selector", metavar="SELECTOR", help=selector)
    silence.add_argument("duration", metavar="FOR", help="how long: 30m, 2h, 1d 12h; at most 366d")
    silence.add_argument("reason", nargs="*", metavar="REASON", help="why, for those who look at the page")

    silences = add("silences", "list the silences", "List the silences and the maintenance that last now.")
    silences.add_argument("--json", action="store_true", help="print JSON")

    unsilence = add("unsilence", "end a silence", "End a silence before its time.")
    unsilence.add_argument("id", metavar="ID", help="as `pypinger silences` lists it")

    ack = add(
        "ack",
        "say that you take care of an incident",
        "Stop the reminders and escalations of a task's open incident, until its kind changes or it ends.",
    )
    ack.add_argument("task", metavar="TASK", help="a name, a URL or an id")
    ack.add_argument("reason", nargs="*", metavar="REASON", help="what you do about it")

    check_now = add("check-now", "check a task now", "Check a task now, and show the verdict.")
    check_now.add_argument("task", metavar="TASK", help="a name, a URL or an id")

    add("resend", "try given-up alerts again", "Try every delivery again that was given up.")
    add(
        "drill",
        "send one test alert through every channel",
        "Have the daemon send one marked test alert through every channel, and show how long each took.",
        "Exit code: 0 every service accepted it, 1 one did not.",
    )
    add(
        "reload",
        "read the ini file again",
        "Read the ini file again. Where it is not valid, its problems are listed and the daemon keeps the old one.",
        "Exit code: 0 it was read, 1 it is not valid, 3 no daemon.",
    )
    backup = add("backup", "copy the live store", "Copy the store of the running daemon into a file.")
    backup.add_argument("file", metavar="FILE", help="is replaced once the copy is whole")
