"""Foreign text made fit for one line: of a log, an explanation or a message."""

from __future__ import annotations

import re

#: Where texts from reports are cut (contract, sections 1, 2 and 7), in characters.
LIMIT = 500

# White space and control characters; lone surrogates, which are no text in UTF-8; and the marks that turn the direction
# of writing, with which a report could make the rest of a line read backwards.
_UNFIT = re.compile("[\\s\0-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff]+")


def one_line(text: str) -> str:
    """`text` on one line: each run of white space and of characters that are unfit to show is one space."""
    return _UNFIT.sub(" ", text).strip()


def cut(text: str, limit: int = LIMIT) -> str:
    """`text` in at most `limit` characters; an ellipsis stands for what is left out."""
    return text if len(text) <= limit else text[: limit - 1] + "…"
