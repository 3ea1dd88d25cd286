"""
Times of day in texts, as ``<time>`` elements: the script can show them in the reader's own time zone.

Texts have them as :func:`pypinger.domain.times.clock` writes them, ``2026-03-01 21:55:00 UTC``, or as
:func:`pypinger.web.formatting.short_clock` does, ``1 Mar 21:55 UTC``; without the date where it is that of the moment
before it, or of now.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from twisted.web.template import Tag, tags

from pypinger.domain.model import Instant
from pypinger.domain.times import iso
from pypinger.web.formatting import MONTHS

_TIME = re.compile(
    r"(?:(?P<date>[0-9]{4}-[0-9]{2}-[0-9]{2}) |(?P<day>[0-9]{1,2}) (?P<month>[A-Z][a-z]{2})(?: (?P<year>[0-9]{4}))? )?"
    # A window of sleep is daily.
    r"(?<! to )(?P<time>[0-9]{2}:[0-9]{2}(?::[0-9]{2})?) UTC"
)

#: Elements whose text stays as it is: it is a time already, a quotation, or no HTML.
_LEFT = frozenset(("time", "pre", "code", "svg", "title", "option", "script"))


def mark_times(parts: Sequence[Any], now: Instant) -> list[Any]:
    """Parts of a template with all times of day in their texts marked; the tags among them are changed in place."""
    marked: list[Any] = []
    for part in parts:
        if isinstance(part, str):
            marked += _marked(part, now)
            continue
        if isinstance(part, list | tuple):
            part = mark_times(part, now)
        elif isinstance(part, Tag) and part.tagName not in _LEFT:
            part.children[:] = mark_times(part.children, now)
        marked.append(part)
    return marked


def mark_html(text: str, now: Instant) -> str:
    """The same for escaped text in a row that is written by hand."""
    if " UTC" not in text:
        return text
    return "".join(
        piece if instant is None else f'<time class="fixed" datetime="{instant}">{piece}</time>'
        for piece, instant in _pieces(text, now)
    )


def fixed_html(instant: Instant, words: str) -> str:
    """The words of :func:`pypinger.web.formatting.since_when`; a time of day, which has no zone there, is marked."""
    return f'<time class="fixed" datetime="{iso(instant)}">{words}</time>' if ":" in words else words


def fixed(instant: Instant, words: str) -> Tag | str:
    """The same as a tag."""
    return tags.time(words, datetime=iso(instant) or "", class_="fixed") if ":" in words else words


def _marked(text: str, now: Instant) -> list[Tag | str]:
    if " UTC" not in text:
        return [text]
    return [
        piece if instant is None else tags.time(piece, datetime=instant, class_="fixed")
        for piece, instant in _pieces(text, now)
    ]


def _pieces(text: str, now: Instant) -> Iterator[tuple[str, str | None]]:
    """The pieces of a text; with each time of day the same as ISO 8601."""
    today = (iso(now) or "")[:10]
    date, end = today, 0
    for match in _TIME.finditer(text):
        if match["day"] and match["month"] not in MONTHS:
            continue
        if match.start() > end:
            yield text[end : match.start()], None
        if match["day"]:
            month = MONTHS.index(match["month"]) + 1
            date = f"{match['year'] or today[:4]}-{month:02}-{int(match['day']):02}"
        date, end = match["date"] or date, match.end()
        yield match[0], f"{date}T{match['time']}Z"
    if end < len(text):
        yield text[end:], None
