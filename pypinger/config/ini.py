"""
A parser of ini files that keeps line numbers.

It reads the dialect of the standard library's configparser, with which the original Py Pinger read its file: ``=`` and
``:``, ``#`` and ``;`` comment lines, values continued on indented lines, blank lines inside values; no interpolation.
Unlike configparser it records the line of every section, option and value line, continues after an error, and treats
``[DEFAULT]`` like any other section.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
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
    :ivar line: the line of its name.
    :ivar lines: the lines of its value, each with its line number and without surrounding white space.
    """

    name: str
    line: int
    lines: list[tuple[int, str]]

    @property
    def value(self) -> str:
        """The value as configparser returns it."""
        return "\n".join(text for _, text in self.lines).rstrip()


class IniSection(msgspec.Struct, frozen=True):
    """
    A section.

    :ivar line: the line of its header.
    :ivar options: by name.
    """

    name: str
    line: int
    options: dict[str, IniOption]


def parse(text: str, problem: Say, warn: Say) -> Mapping[str, IniSection]:
    """
    Return the sections of an ini file, in the order of the file.

    :param problem: called for each error. Neither `problem` nor `warn` gets any part of a value.
    :param warn: called for each harmless mistake.
    """
    sections: dict[str, IniSection] = {}
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
            section, option = _section(content, number, sections, problem, warn), None
        elif section is None:
            if not outside:
                problem(number, "", "", "this line is outside any section; add a header such as [main] above it")
            outside = True
        else:
            option = _option(content, number, section, problem) or option
    return sections


def _section(content: str, number: int, sections: dict[str, IniSection], problem: Say, warn: Say) -> IniSection:
    """Start a section. The options below an invalid header are read and dropped."""
    end = content.rfind("]")
    name = content[1:end]
    if end < 2:
        problem(number, "", "", "a section header must be a name in square brackets")
        return IniSection(name="", line=number, options={})
    rest = content[end + 1 :].strip()
    if rest and not rest.startswith(("#", ";")):
        warn(number, name, "", "the text after ] on this line is ignored")
    known = sections.get(name)
    if known is not None:
        problem(number, name, "", f"duplicate section, first given in line {known.line}; merge the two")
        return known
    return sections.setdefault(name, IniSection(name=name, line=number, options={}))


def _option(content: str, number: int, section: IniSection, problem: Say) -> IniOption | None:
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
    option = IniOption(name=name, line=number, lines=[(number, content[delimiter.end() :].strip())])
    known = section.options.setdefault(name, option)
    if known is not option:
        problem(number, section.name, name, f"duplicate option, first given in line {known.line}")
    return option
