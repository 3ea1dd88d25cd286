"""
A parser of ini files that keeps line numbers.

It reads the dialect of the standard library's configparser, with which the original Py Pinger read its file: ``=`` and
``:``, ``#`` and ``;`` comment lines, values continued on indented lines, blank lines inside values; no interpolation.
Unlike configparser it records the line of every section, option and value line, continues after an error, and treats
``[DEFAULT]`` like any other section.
"""

from __future__ import annotations

import re
from collections import ChainMap
from collections.abc import Callable, Mapping, MutableMapping
from typing import TypeAlias

import msgspec

#: Called with a line number, a section's name, an option's name and words.
Say: TypeAlias = Callable[[int, str, str, str], None]

_LINE_END = re.compile(r"\r\n|\r|\n")
_DELIMITER = re.compile("[=:]")


class IniOption(msgspec.Struct, frozen=True):
    """
    An option of a section.

    :ivar name: in lower case.
    :ivar file: the file that it stands in.
    :ivar line: the line of its name.
    :ivar lines: the lines of its value, each with its line number and without surrounding white space.
    """

    name: str
    file: str
    line: int
    lines: list[tuple[int, str]]

    @property
    def value(self) -> str:
        """The value as configparser returns it."""
        return "\n".join(text for _, text in self.lines).rstrip()


class IniSection(msgspec.Struct, frozen=True):
    """
    A section.

    :ivar file: the file that it stands in.
    :ivar line: the line of its header.
    :ivar options: by name.
    """

    name: str
    file: str
    line: int
    options: dict[str, IniOption]


def place(line: int, file: str, seen_from: str) -> str:
    """Return a line in words, with its file where that is not the one that the reader looks at."""
    return f"line {line}" if file == seen_from else f"line {line} of {file}"


def parse(
    text: str, problem: Say, warn: Say, file: str = "", earlier: MutableMapping[str, IniSection] | None = None
) -> Mapping[str, IniSection]:
    """
    Return the sections of an ini file, in the order of the file.

    :param file: its name.
    :param earlier: the sections of other files, which this one may not repeat.
    :param problem: called for each error. Neither `problem` nor `warn` gets any part of a value.
    :param warn: called for each harmless mistake.
    """
    sections: dict[str, IniSection] = {}
    known = ChainMap(sections, {} if earlier is None else earlier)
    section: IniSection | None = None
    option: IniOption | None = None
    indent = 0
    outside = False

    for number, line in enumerate(_LINE_END.split(text), start=1):
        content = line.strip()
        if content.startswith(("#", ";")):
            continue
        if not content:
            if option is not None:
                option.lines.append((number, ""))
            continue
        column = len(line) - len(line.lstrip())
        if option is not None and column > indent:
            option.lines.append((number, content))
            continue
        indent = column
        if content.startswith("["):
            section, option = _section(content, number, file, known, problem, warn), None
        elif section is None:
            if not outside:
                problem(number, "", "", "this line is outside any section; add a header such as [main] above it")
            outside = True
        else:
            option = _option(content, number, file, section, problem) or option
    return sections


def _section(
    content: str, number: int, file: str, sections: MutableMapping[str, IniSection], problem: Say, warn: Say
) -> IniSection:
    """Start a section. The options below an invalid header are read and dropped."""
    end = content.rfind("]")
    name = content[1:end]
    if end < 2:
        problem(number, "", "", "a section header must be a name in square brackets")
        return IniSection(name="", file=file, line=number, options={})
    rest = content[end + 1 :].strip()
    if rest and not rest.startswith(("#", ";")):
        warn(number, name, "", "the text after ] on this line is ignored")
    known = sections.get(name)
    if known is not None:
        where = place(known.line, known.file, file)
        problem(number, name, "", f"duplicate section, first given in {where}; merge the two")
        return known
    return sections.setdefault(name, IniSection(name=name, file=file, line=number, options={}))


def _option(content: str, number: int, file: str, section: IniSection, problem: Say) -> IniOption | None:
    """Start an option; None if the line is invalid."""
    delimiter = _DELIMITER.search(content)
    if delimiter is None:
        words = "the line has no =; indent it if it continues the value above"
        problem(number, section.name, "", words)
        return None
    name = content[: delimiter.start()].rstrip().lower()
    if not name:
        problem(number, section.name, "", f"the option has no name before {delimiter.group()}")
        return None
    option = IniOption(name=name, file=file, line=number, lines=[(number, content[delimiter.end() :].strip())])
    known = section.options.setdefault(name, option)
    if known is not option:
        problem(number, section.name, name, f"duplicate option, first given in {place(known.line, known.file, file)}")
    return option
