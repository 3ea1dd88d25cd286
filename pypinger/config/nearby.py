"""Finds typos in the URLs of task sections: a listed URL that is nearly the same."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from itertools import takewhile
from typing import TypeAlias

#: How many parts are compared at most: about half a second.
MAX_COMPARED = 50_000

#: In shorter parts a single letter may tell two tasks apart.
SHORTEST_PART = 4

_DIGITS = re.compile("[0-9]+")
_PARTS = re.compile("[/?&]")

# The parts of a URL with one part left out, and its place.
_Key: TypeAlias = tuple[int, tuple[str, ...]]


class NearbyUrls:
    """
    Finds a URL that differs in letter case, scheme, the final slash, or in one letter of a single part.

    Parts that differ only in numbers are not near: ``/shop/1`` and ``/shop/2`` are two tasks.
    """

    def __init__(self, listed: Iterable[str]) -> None:
        self._compared = 0
        self._whole: dict[tuple[str, ...], str] = {}
        self._without: dict[_Key, dict[str, str]] = {}
        for url in listed:
            parts = _parts(url)
            self._whole.setdefault(parts, url)
            for key, part in _keys(parts):
                self._without.setdefault(key, {}).setdefault(part, url)

    def find(self, url: str) -> str:
        """Return a listed URL that is near `url`; empty if none is."""
        parts = _parts(url)
        if parts in self._whole:
            return self._whole[parts]
        for key, part in _keys(parts):
            known = self._without.get(key, {})
            self._compared += len(known)
            if self._compared > MAX_COMPARED:
                break
            for close in get_close_matches(part, known, n=3, cutoff=0.7):
                if _one_edit(part, close) and _DIGITS.sub("0", close) != _DIGITS.sub("0", part):
                    return known[close]
        return ""


def _one_edit(one: str, other: str) -> bool:
    """Whether the texts differ in one letter: added, left out, replaced, or swapped with the next."""
    if max(len(one), len(other)) < SHORTEST_PART:
        return False
    start = _common(one, other)
    one, other = one[start:], other[start:]
    end = _common(one[::-1], other[::-1])
    one, other = one[: len(one) - end], other[: len(other) - end]
    return max(len(one), len(other)) <= 1 or (len(one) == 2 and one == other[::-1])


def _common(one: str, other: str) -> int:
    """Return the length of the common beginning."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def _parts(url: str) -> tuple[str, ...]:
    return tuple(_PARTS.split(url.lower().partition("://")[2].rstrip("/")))


def _keys(parts: tuple[str, ...]) -> Iterator[tuple[_Key, str]]:
    for place, part in enumerate(parts):
        yield (place, (*parts[:place], *parts[place + 1 :])), part
