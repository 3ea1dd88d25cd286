"""
The overview's rows as HTML.

They are written by hand and not with :mod:`twisted.web.template`, which takes some 0.4 ms a row: with thousands of
tasks that is seconds. Hence the one rule here: whatever comes from a task or a report goes through :func:`_text`.

A row is kept as long as its state (:mod:`pypinger.web.rendered`), but "12 min ago" is true for a second only. So a
row is cut open where such words belong, and they are filled in for every answer.
"""

from __future__ import annotations

from html import escape

import msgspec

from pypinger.domain.model import Instant
from pypinger.domain.times import iso
from pypinger.ports import Entry
from pypinger.web.api import NO_VERDICT
from pypinger.web.words import LOOKS, NAMES, relative, shown, stamp

_UNKNOWN = b'<span class="unknown">\xe2\x80\x93</span>'


class Row(msgspec.Struct, frozen=True):
    """
    One task's row.

    :ivar pieces: HTML in UTF-8; one more than `instants`.
    :ivar instants: the moments whose relative form stands between the pieces.
    """

    pieces: tuple[bytes, ...]
    instants: tuple[Instant, ...]

    def html(self, now: Instant) -> bytes:
        """The row as it reads at `now`."""
        filled = [self.pieces[0]]
        for instant, piece in zip(self.instants, self.pieces[1:], strict=True):
            filled += relative(instant, now).encode("ascii"), piece
        return b"".join(filled)


def row(entry: Entry) -> Row:
    """Render one task's row; its link is relative to the overview."""
    task, state = entry.task, entry.state
    report, verdict = state.report, state.verdict or NO_VERDICT
    look, kind = LOOKS[state.status], NAMES[state.kind]
    tags = "" if report is None else " · ".join(_text(tag) for tag in (report.process, report.server) if tag)
    head = (
        f'<tr class="{look}"><td class="kind"><span class="mark"></span>{kind}</td>'
        f'<th scope="row"><a href="task/{_text(task.id)}">{_text(task.name)}</a>'
        f'<span class="tags">{tags}</span></th>'
        f'<td class="why">{_text(verdict.explanation)}</td>'
    )
    pieces, instants = [head.encode("utf-8")], []
    for label, instant in (
        ("Last run", None if report is None else report.lastrun),
        ("Due", verdict.due),
        ("Checked", state.checked),
    ):
        pieces[-1] += f'<td class="when" data-label="{label}">'.encode("ascii")
        datetime = iso(instant)
        if instant is None or datetime is None:
            pieces[-1] += _UNKNOWN
        else:
            pieces[-1] += f'<time datetime="{datetime}" title="{stamp(instant)}">'.encode("ascii")
            instants.append(instant)
            pieces.append(b"</time>")
        pieces[-1] += b"</td>"
    pieces[-1] += b"</tr>\n"
    return Row(tuple(pieces), tuple(instants))


def _text(value: str) -> str:
    return escape(shown(value))
