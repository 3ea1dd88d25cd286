"""
Texts of several lines, made fit for messages: no characters that cannot be shown, and the services' limits kept.

:mod:`pypinger.domain.wording` writes the texts.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from pypinger.domain.texts import cut, one_line

_BROKEN_ESCAPE = re.compile("&[a-z]{0,3}$")

_MENTION = re.compile(r"(?<!\w)@(?=\w)|(?<=<)(?=!)")


def lines(text: str, limit: int) -> str:
    """Return `text` with each of its lines fit to show, in at most `limit` characters."""
    # Cut before as well: to clean megabytes and throw them away takes time.
    shown = "\n".join(one_line(line) for line in text[:limit].split("\n"))
    return shown if len(text) <= limit else cut(f"{shown}…", limit)


def escape(text: str, limit: int) -> str:
    """As :func:`lines`, with ``& < >`` escaped; no escape is cut in two."""
    shown = lines(text, limit).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return shown if len(shown) <= limit else _BROKEN_ESCAPE.sub("", shown[: limit - 1]) + "…"


def without_mentions(text: str) -> str:
    """Return `text` with an invisible space in what services take for mentions: ``@all``, ``<!channel>``."""
    return _MENTION.sub(lambda match: f"{match[0]}\N{ZERO WIDTH SPACE}", text)


def signature(ids: Sequence[str], limit: int) -> str:
    """
    Return the alerts' ids, each as ``[id]``, in at most `limit` characters; those that do not fit are counted.

    The first is always there. Receivers recognise duplicates by them.
    """
    listed = " ".join(f"[{alert_id}]" for alert_id in ids)
    if len(listed) <= limit or len(ids) == 1:
        return listed
    kept = listed[: limit - len(" and 1,000,000 more")].rpartition("]")[0].count("]") + 1
    return f"{signature(ids[:kept], limit)} and {len(ids) - kept:,} more"
