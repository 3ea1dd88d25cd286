"""
The queries of the JSON paths, read strictly: unknown parameters and invalid values are errors.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from urllib.parse import parse_qsl

#: Entries on a page: the default, and the maximum.
PAGE = 50
MOST = 200

#: A key of the store, or a position: no more digits than a 64-bit integer always holds.
NUMBER = "[0-9]{1,18}"

_NUMBER = re.compile(NUMBER)
_PAIR = re.compile(f"({NUMBER})-({NUMBER})")


class BadQuery(Exception):
    """A query is invalid; ``str()`` of it names the parameter and what it may be."""


def read(query: str, names: Collection[str]) -> Mapping[str, str]:
    """
    The parameters of a query.

    :param names: the known parameters.
    :raises BadQuery: there is another one, or one twice.
    """
    values: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name not in names:
            raise BadQuery(
                f"unknown parameter; known are {', '.join(names)}" if names else "this path has no parameters"
            )
        if name in values:
            raise BadQuery(f"{name} is given twice")
        values[name] = value
    return values


def limit_of(values: Mapping[str, str]) -> int:
    """
    The size of the page.

    :raises BadQuery: it is not a whole number in the bounds.
    """
    text = values.get("limit", str(PAGE))
    if not _NUMBER.fullmatch(text) or not 1 <= int(text) <= MOST:
        raise BadQuery(f"limit must be a whole number from 1 to {MOST}")
    return int(text)


def number_of(values: Mapping[str, str], name: str) -> int | None:
    """
    A cursor that is one number.

    :raises BadQuery: it is malformed.
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

    :raises BadQuery: it is malformed.
    """
    text = values.get(name)
    if text is None:
        return None, None
    match = _PAIR.fullmatch(text)
    if match is None:
        raise BadQuery(f"{name} must come from the link to the next page")
    return int(match[1]), int(match[2])
