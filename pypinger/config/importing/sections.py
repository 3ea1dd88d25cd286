"""Writes ini sections: task sections of what was imported, with comments on what could not be carried over."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from pypinger.domain.model import Seconds
from pypinger.domain.texts import cut, one_line
from pypinger.domain.times import number

#: A longer name or note is cut.
LONGEST = 200

# A line of a file ends with any of these; tabs may stay.
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_SUBSTITUTION = re.compile(r"\$(?=\{[A-Za-z]+:)")
_COMMENT = re.compile(r"\s+[;#]\Z|\s+(;)(?=\s)|(?<=\s)(#)\s+")
_QUOTED = re.compile(r"""("|')(.*)\1\Z""")
_SIZES = (("d", 86_400), ("h", 3600), ("m", 60))


class NotImportable(ValueError):
    """The file does not hold what is imported; ``str()`` says why, in one line."""


class ImportedTask(msgspec.Struct, frozen=True):
    """
    A task section.

    :ivar options: option -> value, as :func:`value` returns it.
    :ivar comments: lines above the section.
    """

    name: str
    options: Mapping[str, str]
    comments: Sequence[str] = ()


class SectionNames:
    """Gives every section a name of its own, as selectors and commands compare names: in any letter case."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def unique(self, text: str, default: str = "task") -> str:
        """
        Return `text` as the name of a section, with a number if it is taken.

        :param default: the name where nothing of `text` is left.
        """
        # What holds "://" would be the task's URL.
        wanted = line(text).replace("://", ":").strip(" []") or default
        name, count = wanted, 1
        while name.casefold() in self._taken:
            count += 1
            name = f"{wanted} {count}"
        self._taken.add(name.casefold())
        return name


def written(head: Iterable[str], tasks: Iterable[ImportedTask], foot: Iterable[str] = ()) -> Iterator[str]:
    """
    Yield the lines of the file.

    :param head: comments at its beginning.
    :param foot: comments at its end.
    """
    yield from _comments(head)
    for task in tasks:
        yield ""
        yield from _comments(task.comments)
        yield f"[task {task.name}]"
        yield from (f"{option} = {text}" for option, text in task.options.items())
    rest = list(_comments(foot))
    if rest:
        yield from ("", *rest)


def line(text: str) -> str:
    """Return foreign text on one line, without characters that cannot be seen, and cut."""
    return cut(one_line(text), LONGEST)


def value(text: str) -> str:
    """Return foreign text as a value that means itself: nothing in it is a substitution, comment or quotes."""
    text = _SUBSTITUTION.sub("$ ", line(text))
    while (plain := _plain(text)) != text:
        text = plain
    return text


def _plain(text: str) -> str:
    """Take a step towards a value without comments and quotes."""
    quoted = _QUOTED.match(text)
    return _COMMENT.sub(r"\1\2", text if quoted is None else quoted[2]).strip().lstrip(";# ")


def duration(seconds: Seconds) -> str:
    """Return a length of time as settings have it, to a millisecond: ``90s``, ``5m``, ``1h 30m``, ``2d``."""
    # Settings have no exponents.
    rest, parts = max(round(seconds, 3), 0.001) if seconds else 0.0, []
    for unit, size in _SIZES:
        amount, rest = divmod(rest, size)
        if amount:
            parts.append(f"{amount:.0f}{unit}")
    if rest or not parts:
        parts.append(f"{number(rest)}s")
    return " ".join(parts)


def _comments(lines: Iterable[str]) -> Iterator[str]:
    for each in lines:
        yield f"# {_CONTROL.sub(' ', each)}".rstrip()
