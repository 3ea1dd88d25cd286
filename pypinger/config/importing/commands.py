"""
Reads the shell commands of crontabs: what they run, which monitor they already report to, and how ``pypinger run`` can
be put before them.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence

import msgspec

# Backslashes keep their meaning to cron: they hide a "%", and nothing else.
_INPUT = re.compile(r"(?:\\.|[^%\\]|\\\Z)*", re.DOTALL)
_ASSIGNMENTS = re.compile(r"""(?:[A-Za-z_]\w*=(?:'[^']*'|"[^"$`\\]*"|[^\s'"$`\\;&|<>()]*)\s+)+""")
_SILENCED = re.compile(r"(?:2|&)>>?\s*/dev/null|>>?\s*/dev/null\s+2>&1")
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*(?:\[[^]]*\])?\+?=")
_PROGRAM = re.compile(r"(?!\d+[<>])[\w./~]")
_SUBCOMMAND = re.compile(r"[A-Za-z][\w:./-]*\Z")
_URL = re.compile(r"https?://([^\s?#'\"]+)")

# What the shell does itself: such a command needs a shell of its own.
_BUILTIN = re.compile(
    r"(?:\.|:|\[\[|!|\{|alias|break|case|cd|command|eval|exec|exit|export|for|function|if|local|read|return|set|shift"
    r"|source|time|trap|type|ulimit|umask|unset|until|wait|while)\Z"
)
# Words that do not say what a command is for.
_PASSED_OVER = re.compile(r"(?:\[|test|cd|export|set|\.|source|umask|ulimit|sleep|true|:)\Z")
_KEYWORD = re.compile(r"(?:if|then|else|elif|do|while|until|!|\{|exec|command|time|nohup|setsid|chronic|cronic)\Z")

#: Programs that run another: their options that take a value, and how many words come before the command.
_WRAPPERS: dict[str, tuple[frozenset[str], int]] = {
    "nice": (frozenset(("-n",)), 0),
    "ionice": (frozenset(("-c", "-n")), 0),
    "timeout": (frozenset(("-k", "-s")), 1),
    "flock": (frozenset(("-w", "-E")), 1),
    "sudo": (frozenset(("-u", "-g", "-h", "-p")), 0),
    "env": (frozenset(("-u", "-C")), 0),
    "runitor": (frozenset(("-uuid", "-slug", "-ping-key", "-api-url", "-api-retries", "-api-timeout")), 0),
    "systemd-cat": (frozenset(("-t", "-p")), 0),
    "stdbuf": (frozenset(("-i", "-o", "-e")), 0),
}

_INTERPRETERS = re.compile(r"(?:python|pypy|perl|ruby|php|node|bash|dash|sh|zsh|ksh|java)[0-9.]*\Z")

# Programs that do many things: their next word says which.
_WITH_SUBCOMMAND = re.compile(
    r"(?:manage\.py|artisan|rake|docker|kubectl|podman|systemctl|run-parts|wp|console|git|restic|borg)\Z"
)


class JobCommand(msgspec.Struct, frozen=True):
    """
    A shell command of a crontab.

    :ivar text: the command, as the crontab has it.
    :ivar rest: what follows its first ``%``, with that: its standard input.
    :ivar simple: whether it is one program with its arguments, settings and redirections.
    :ivar piped: whether it is a pipe, which hides failures of all but its last program.
    :ivar silenced: whether it throws away standard error where ``pypinger run`` would not see it.
    """

    text: str
    rest: str
    simple: bool
    piped: bool
    silenced: bool


def parse(text: str) -> JobCommand:
    """Parse a command as cron and the shell do."""
    match = _INPUT.match(text)
    command = match[0] if match is not None else ""
    operators = list(_operators(command))
    program = _ASSIGNMENTS.sub("", command, count=1).split(None, 1)
    plain = bool(program) and _PROGRAM.match(program[0]) and not _ASSIGNMENT.match(program[0])
    simple = not operators and bool(plain) and not _BUILTIN.match(program[0])
    silenced = not simple and _SILENCED.search(command) is not None
    return JobCommand(command, text[len(command) :], simple, "|" in operators, silenced)


def wrapped(command: JobCommand, run: str, shell: str) -> str:
    """
    Return the line of a crontab that runs a command within another.

    :param run: the other command, up to its own arguments: ``/usr/bin/pypinger run --every 10m``.
    :param shell: what cron runs commands with.
    """
    if command.simple:
        settings = _ASSIGNMENTS.match(command.text)
        end = settings.end() if settings is not None else 0
        return f"{command.text[:end]}{run} -- {command.text[end:]}{command.rest}"
    return f"{run} -- {shell} -c {shlex.quote(command.text)}{command.rest}"


def words(command: JobCommand) -> Sequence[str]:
    """Return the words of a command, of all its parts."""
    return [word for part in _parts(command.text) for word in part]


def name(command: JobCommand, without: re.Pattern[str] | None = None) -> str:
    """
    Return what a command may be called: ``import-prices``, ``manage.py clearsessions``; empty for nothing.

    :param without: parts of the command in which this is found do not count.
    """
    parts = [_program(part) for part in _parts(command.text)]
    if without is not None:
        parts = [part for part in parts if not any(map(without.search, part))]
    telling = [part for part in parts if part and not _PASSED_OVER.match(part[0])]
    for part in telling or parts:
        if part:
            return _name(part)
    return ""


def _name(program: Sequence[str]) -> str:
    first, rest = _base(program[0]), list(program[1:])
    if first in ("curl", "wget"):
        url = next((match for word in rest if (match := _URL.match(word)) is not None), None)
        return first if url is None else url[1].rstrip("/")
    if _INTERPRETERS.match(first):
        while rest and rest[0].startswith("-") and rest[0] not in ("-c", "-e", "-r"):
            rest.pop(0)
        if not rest or rest[0].startswith("-"):
            return first
        first = _base(rest.pop(0))
    following = next((word for word in rest if not word.startswith("-")), "")
    if _WITH_SUBCOMMAND.match(first) and _SUBCOMMAND.match(_base(following)):
        return f"{first} {_base(following)}"
    return first


def _program(part: Sequence[str]) -> Sequence[str]:
    """Return the words of a part of a command from the program on that it is about."""
    left = list(part)
    while left:
        if _KEYWORD.match(left[0]) or _ASSIGNMENT.match(left[0]):
            left.pop(0)
        elif (wrapper := _WRAPPERS.get(_base(left[0]))) is not None and len(left) > 1:
            left = _after(left[1:], *wrapper)
        else:
            break
    return left


def _after(left: list[str], valued: frozenset[str], places: int) -> list[str]:
    """Return what follows the options and arguments of a wrapper."""
    while left and (left[0].startswith("-") or _ASSIGNMENT.match(left[0])):
        option = left.pop(0)
        if option in valued and left:
            left.pop(0)
    return left[places:]


def _base(word: str) -> str:
    return word.rstrip("/").rpartition("/")[2]


def _parts(text: str) -> Iterator[list[str]]:
    """Yield the words of each part of a command between operators."""
    lexer = shlex.shlex(text.replace("\\%", "%"), posix=True, punctuation_chars="();&|")
    lexer.commenters, lexer.whitespace_split = "", True
    part: list[str] = []
    try:
        for word in lexer:
            if set(word) <= set("();&|"):
                yield part
                part = []
            else:
                part.append(word)
    except ValueError:
        # A quote is not closed: the shell will say so.
        pass
    yield part


def _operators(text: str) -> Iterator[str]:
    """Yield what makes more of a command than one program: operators, and commands within it."""
    quote, position = "", 0
    while position < len(text):
        character = text[position]
        following = text[position + 1 : position + 2]
        if character == "\\" and quote != "'":
            position += 1
        elif quote == "'":
            quote = "" if character == "'" else quote
        elif character == "`" or (character == "$" and following == "("):
            yield "$("
        elif character == '"':
            quote = "" if quote else '"'
        elif not quote:
            if character == "'":
                quote = "'"
            elif character == "&" and (following == ">" or text[position - 1 : position] in (">", "<")):
                pass
            elif character in "|;&()":
                yield "||" if character == following == "|" or text[position - 1 : position + 1] == "||" else character
        position += 1
    if quote:
        yield quote
