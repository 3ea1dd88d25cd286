"""Silences are added and removed one by one, so that several instances can do so at once."""

from __future__ import annotations

from collections.abc import Sequence

import psycopg

from pypinger.domain.silence import Silence
from pypinger.store.rows import text

_ADD = """
INSERT INTO silence (id, selector, start, until, reason, by) VALUES (%s, %s, %s, %s, %s, %s)
ON CONFLICT (id) DO UPDATE SET selector = excluded.selector, start = excluded.start, until = excluded.until,
    reason = excluded.reason, by = excluded.by
"""


def write(connection: psycopg.Connection, changes: Sequence[tuple[Sequence[Silence], Sequence[str]]]) -> None:
    """Write changes, each the silences that were added and the ids of those that were removed."""
    for added, removed in changes:
        if removed:
            connection.execute("DELETE FROM silence WHERE id = ANY(%s)", (list(removed),))
        for each in added:
            texts = [_fit(words) for words in (each.selector, each.reason, each.by)]
            connection.execute(_ADD, (each.id, texts[0], each.start, each.until, *texts[1:]))


def _fit(words: str) -> str:
    return text(words).replace("\0", "\N{REPLACEMENT CHARACTER}")
