"""
Badges: a task's name and state, for other pages. As SVG, and as JSON for a Shields server.
"""

from __future__ import annotations

from unicodedata import east_asian_width
from xml.sax.saxutils import escape, quoteattr

import msgspec

from pypinger.domain.kinds import Status
from pypinger.domain.model import Instant
from pypinger.ports.showing import Entry
from pypinger.web.formatting import last_known, shown, stamp, state_of

#: Where names are cut.
MAX_NAME = 60

#: The badge of a task that is not monitored.
UNKNOWN = ("Py Pinger", "not monitored")

#: White text on each of them has a contrast of at least 4.5.
COLORS: dict[Status, str] = {Status.OK: "#18794e", Status.ERROR: "#c62828", Status.SLEEPING: "#4a5fc1"}
_GREY = "#626975"
_AMBER = "#8a5200"
_LABEL = "#3b4048"

_NARROW = frozenset("fijlrtI1 .,:;'|!()[]{}/-")


class Shield(msgspec.Struct, frozen=True, rename="camel"):
    """The answer of a Shields endpoint (https://shields.io/badges/endpoint-badge)."""

    schema_version: int
    label: str
    message: str
    color: str
    is_error: bool


def svg(entry: Entry | None, blind: Instant | None = None) -> bytes:
    """
    A task's badge; None is a task that is not monitored.

    :param blind: since when Py Pinger is blind, if it is.
    """
    name, message, color, _ = _content(entry, blind)
    left, right = _width(name) + 12, _width(message) + 12
    total = left + right
    text = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{total}" height="20" role="img" '
        f"aria-label={quoteattr(f'{name}: {message}')}>"
        f"<title>{escape(name)}: {escape(message)}</title>"
        f'<clipPath id="r"><rect width="{total}" height="20" rx="3"/></clipPath><g clip-path="url(#r)">'
        f'<rect width="{left}" height="20" fill="{_LABEL}"/>'
        f'<rect x="{left}" width="{right}" height="20" fill="{color}"/></g>'
        '<g fill="#fff" font-family="Verdana,DejaVu Sans,Geneva,sans-serif" font-size="11">'
        f'<text x="6" y="14" textLength="{left - 12}" lengthAdjust="spacingAndGlyphs">{escape(name)}</text>'
        f'<text x="{left + 6}" y="14" textLength="{right - 12}" lengthAdjust="spacingAndGlyphs">'
        f"{escape(message)}</text>"
        "</g></svg>\n"
    )
    return text.encode("utf-8")


def shield(entry: Entry | None, blind: Instant | None = None) -> bytes:
    """The badge for a Shields server."""
    name, message, color, trouble = _content(entry, blind)
    return msgspec.json.encode(Shield(1, name, message, color, trouble))


def _content(entry: Entry | None, blind: Instant | None) -> tuple[str, str, str, bool]:
    """Label, message, colour, and whether it is an error."""
    if entry is None:
        return *UNKNOWN, _GREY, True
    name = shown(entry.name)
    if len(name) > MAX_NAME:
        name = f"{name[: MAX_NAME - 1]}…"
    if blind is not None:
        words = f"blind since {stamp(blind)[:16]} UTC, was {last_known(entry)}"
        return name or entry.task.id, words, _AMBER, True
    if entry.unseen is not None:
        return name or entry.task.id, f"not seen since {stamp(entry.unseen)[:16]} UTC", _AMBER, True
    state = entry.state
    return name or entry.task.id, state_of(entry), COLORS.get(state.status, _GREY), state.status is Status.ERROR


def _width(text: str) -> int:
    """The approximate width of a text at 11 pixels; the drawing is fitted to it."""
    return round(sum(11 if east_asian_width(c) in "WF" else 4 if c in _NARROW else 7 for c in text))
