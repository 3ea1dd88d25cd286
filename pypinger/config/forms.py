"""
Mistakes that show in the form of a value: a comment behind it, quotes around it.

The ini files of Py Pinger have neither. What is returned never quotes a value.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

#: Options whose values may have quotes around them.
QUOTABLE = frozenset({"match"})

_COMMENT = re.compile(r"\s[;#](?:\s|\Z)")
_ANY_COMMENT = re.compile(r"\s[;#]")
_QUOTED = re.compile(r"""("|')(?:(?!\1).)*\1\Z""")
_ENDS_IN_QUOTES = re.compile(r"""("|').*\1\Z""")


def mistake(option: str, texts: Iterable[str]) -> str:
    """Return what a valid value has that was hardly meant, as a sentence about it; empty for nothing."""
    for text in texts:
        found = _COMMENT.search(text)
        if found:
            words = f'has " {found.group().strip()}" in it, and what follows is part of the value'
            return f"{words}; a comment needs a line of its own"
        if option not in QUOTABLE and _QUOTED.match(text):
            return "has quotes around it, which are part of the value; remove them"
    return ""


def reason(texts: Iterable[str]) -> str:
    """Return what may be why a value is invalid, as a clause that ends a sentence; empty for nothing."""
    for text in texts:
        if _ANY_COMMENT.search(text):
            return "; a comment needs a line of its own"
        if _ENDS_IN_QUOTES.match(text):
            return "; write the value without quotes"
    return ""
