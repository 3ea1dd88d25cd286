"""Prepare texts from outside for one line of a log, an explanation or a message."""

from __future__ import annotations

import re

#: Where texts from reports are cut (contract, sections 1, 2 and 7), in characters.
LIMIT = 500

# White space and control characters; lone surrogates, which UTF-8 cannot encode; and marks that change the direction of
# writing, with which a report could reverse the rest of a line.
_INVISIBLE = re.compile("[\\s\0-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff]+")

_SUSPECT = re.compile("[^ -~]")
# Letters and symbols that are printable and yet look like nothing or a space.
_BLANK = "\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0"
_SHORT_ESCAPES = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}


def one_line(text: str) -> str:
    """Return `text` on one line: each run of white space and of characters that cannot be seen becomes one space."""
    return _INVISIBLE.sub(" ", text).strip()


def visible(text: str) -> str:
    """Return `text` with an escape for each character that cannot be seen: ``\\n``, ``\\u200e``; spaces stay."""
    return text if text.isascii() and text.isprintable() else _SUSPECT.sub(_escape, text)


def cut(text: str, limit: int = LIMIT) -> str:
    """Return `text` in at most `limit` characters, with an ellipsis where it is cut."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def error_words(error: BaseException, limit: int = 200) -> str:
    """Return an error of foreign code in one line: ``TypeError: unsupported operand``."""
    return cut(one_line(f"{type(error).__name__}: {error}").removesuffix(":"), limit)


def _escape(match: re.Match[str]) -> str:
    character = match[0]
    if character.isprintable() and character not in _BLANK:
        return character
    code = ord(character)
    return _SHORT_ESCAPES.get(character) or (f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}")
