"""Problems and warnings of an ini file, each with its place. Their words never contain a value that may be secret."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec


class ConfigProblem(msgspec.Struct, frozen=True):
    """
    A problem or a warning (contract, section 6).

    :ivar file: the ini file, as given, or the included file.
    :ivar line: counted from 1; 0 for the whole file.
    :ivar section: the section's name, without secrets; empty outside sections.
    :ivar option: the option's name; empty for the whole section.
    :ivar words: what is wrong and, where that helps, what to do.
    """

    file: str
    line: int
    section: str
    option: str
    words: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:" if self.line else f"{self.file}:"
        section = f" [{self.section}]" if self.section else ""
        option = f" {self.option}" if self.option else ""
        colon = ":" if section or option else ""
        return one_line(f"{place}{section}{option}{colon} {self.words}")


class ConfigErrors(Exception):
    """
    The ini file is invalid; ``str()`` has one line for each problem.

    :param files: the files in the order in which they were read.
    :ivar problems: all problems, sorted by file and line.
    """

    def __init__(self, problems: Iterable[ConfigProblem], files: Sequence[str] = ()) -> None:
        self.problems: tuple[ConfigProblem, ...] = in_order(problems, files)
        super().__init__("\n".join(str(problem) for problem in self.problems))


def in_order(problems: Iterable[ConfigProblem], files: Sequence[str] = ()) -> tuple[ConfigProblem, ...]:
    """Sort by file and line and drop duplicates; problems of one line keep their order."""
    order = {file: number for number, file in enumerate(files)}
    return tuple(sorted(dict.fromkeys(problems), key=lambda problem: (order.get(problem.file, 0), problem.line)))


def one_line(text: str) -> str:
    """Replace the characters that could end a line or control a terminal."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)
