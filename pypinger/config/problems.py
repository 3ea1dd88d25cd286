"""
What is wrong, or odd, in an ini file: one :class:`Problem` each, with its place, and all of them in one error.

A problem's words never hold a value that may be secret; who writes them sees to that.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec


class Problem(msgspec.Struct, frozen=True):
    """
    One thing that is wrong or odd (contract, section 6).

    :ivar file: the ini file, as it was given.
    :ivar line: counted from 1; 0 where the whole file is meant.
    :ivar section: the section's name, fit to be shown; empty outside of any.
    :ivar option: the option's name; empty where the whole section is meant.
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
    The file is not sound; ``str()`` of it is one line a problem.

    :ivar problems: every problem, in the order of the lines.
    """

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems: tuple[Problem, ...] = in_order(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


def in_order(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """Each problem once, sorted by line; those of one line keep their order."""
    return tuple(sorted(dict.fromkeys(problems), key=lambda problem: problem.line))


def one_line(text: str) -> str:
    """`text` without anything that could end a line or steer a terminal."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)
