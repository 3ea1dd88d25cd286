"""
Queries of our own paths, read strictly: what is misspelled or out of bounds is said, not guessed.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from urllib.parse import parse_qsl

#: How many entries a page has, unless asked for otherwise, and at most.
PAGE = 50
MOST = 200

#: A key of the store, or a position: no more digits than a 64-bit integer holds for sure.
NUMBER = "[0-9]{1,18}"

_NUMBER = re.compile(NUMBER)
_PAIR = re.compile(f"({NUMBER})-({NUMBER})")


class BadQuery(Exception):
    """``str()`` of it says which parameter is wrong, and what it may be."""


def read(query: str, names: Collection[str]) -> Mapping[str, str]:
    """
    The parameters of a query.

    :param names: those that may stand there, each once.
    :raises BadQuery: another one stands there, or one twice.
    """
    values: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name not in names:
            raise BadQuery(f"unknown parameter; there are {', '.join(names)}" if names else "there are no parameters")
        if name in values:
            raise BadQuery(f"{name} is given twice")
        values[name] = value
    return values


def limit_of(values: Mapping[str, str]) -> int:
    """
    The size of the page.

    :raises BadQuery: it is no whole number in bounds.
    """
    text = values.get("limit", str(PAGE))
    if not _NUMBER.fullmatch(text) or not 1 <= int(text) <= MOST:
        raise BadQuery(f"limit must be a whole number from 1 to {MOST}")
    return int(text)


def number_of(values: Mapping[str, str], name: str) -> int | None:
    """
    A cursor that is one number.

    :raises BadQuery: it is not one that we gave.
    """
    text = values.get(name)
    if text is None:
        return None
    if not _NUMBER.fullmatch(text):
        raise BadQuery(f"{name} must come from the link to the next page")
    return int(text)


def pair_of(values: Mapping[str, str], name: str) -> tuple[int | None, int | None]:
    """
    A cursor over two lists at once.

    :raises BadQuery: it is not one that we gave.
    """
    text = values.get(name)
    if text is None:
        return None, None
    match = _PAIR.fullmatch(text)
    if match is None:
        raise BadQuery(f"{name} must come from the link to the next page")
    return int(match[1]), int(match[2])
