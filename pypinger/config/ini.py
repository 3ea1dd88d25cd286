"""
The ini dialect of the standard library's configparser, without interpolation, and with the place of everything.

The original Py Pinger read its file with configparser, so this accepts what configparser accepts and understands it
alike: ``=`` and ``:``, ``#`` and ``;`` comment lines, values that go on in indented lines, blank lines inside values.
It differs in what an operator needs: it knows the line of every section, option and line of a value, it goes on after
an error, and ``[DEFAULT]`` is a section like any other. What the sections mean is for others to say.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TypeAlias

import msgspec

#: Takes a line number, a section's name, an option's name and words.
Report: TypeAlias = Callable[[int, str, str, str], None]

_LINE_END = re.compile(r"\r\n|\r|\n")
_DELIMITER = re.compile("[=:]")


class Option(msgspec.Struct, frozen=True):
    """
    An option of a section.

    :ivar name: in lower case.
    :ivar line: where its name stands.
    :ivar lines: its value, line by line, each with its line number and without surrounding white space.
    """

    name: str
    line: int
    lines: list[tuple[int, str]]

    @property
    def value(self) -> str:
        """The value as configparser gives it."""
        return "\n".join(text for _, text in self.lines).rstrip()


class Section(msgspec.Struct, frozen=True):
    """
    A section with its options, by name.

    :ivar line: where its header stands.
    """

    name: str
    line: int
    options: dict[str, Option]


def parse(text: str, problem: Report, warn: Report) -> Mapping[str, Section]:
    """
    Read the sections of an ini file, in the order of the file.

    :param problem: called for each error; neither it nor `warn` is given any part of a value.
    :param warn: called for what is odd but harmless.
    """
    sections: dict[str, Section] = {}
    section: Section | None = None
    option: Option | None = None
    indent = 0
    homeless = False

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
            if not homeless:
                problem(number, "", "", "stands before the first section; put a line such as [main] above it")
            homeless = True
        else:
            option = _option(content, number, section, problem) or option
    return sections


def _section(content: str, number: int, sections: dict[str, Section], problem: Report, warn: Report) -> Section:
    """Begin a section; one whose header is unsound is read on, but thrown away."""
    end = content.rfind("]")
    name = content[1:end]
    if end < 2:
        problem(number, "", "", "a section's header must be a name in [ and ]")
        return Section(name="", line=number, options={})
    rest = content[end + 1 :].strip()
    if rest and not rest.startswith(("#", ";")):
        warn(number, name, "", "what follows the ] on this line is ignored")
    known = sections.get(name)
    if known is not None:
        problem(number, name, "", f"this section was given before, in line {known.line}; join the two")
        return known
    return sections.setdefault(name, Section(name=name, line=number, options={}))


def _option(content: str, number: int, section: Section, problem: Report) -> Option | None:
    """Begin an option; None if the line is none."""
    delimiter = _DELIMITER.search(content)
    if delimiter is None:
        words = "this line is no option, since it has no =; a line that goes on with a value must be indented"
        problem(number, section.name, "", words)
        return None
    name = content[: delimiter.start()].rstrip().lower()
    if not name:
        problem(number, section.name, "", f"there is no option's name before the {delimiter.group()}")
        return None
    option = Option(name=name, line=number, lines=[(number, content[delimiter.end() :].strip())])
    known = section.options.setdefault(name, option)
    if known is not option:
        problem(number, section.name, name, f"this option was given before, in line {known.line}")
    return option
