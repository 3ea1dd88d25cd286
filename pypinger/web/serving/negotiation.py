"""
Content negotiation between HTML and JSON, and between gzip and plain bodies.

A client that accepts neither gets JSON (contract, section 7: "JSON unless the client prefers HTML").
"""

from __future__ import annotations

import re

_QUALITY = re.compile(r"[01](?:\.[0-9]{0,3})?")


def prefers_html(accept: str | None) -> bool:
    """
    Whether an ``Accept`` header ranks ``text/html`` above ``application/json``.

    Between equal qualities the more specific range counts, so that ``text/html, */*`` means HTML. A range with an
    invalid quality is ignored.

    :param accept: the header's value, several of them joined by commas; None if there was none.
    """
    html = json = (0.0, 0)
    for part in (accept or "").lower().split(","):
        media, *parameters = (word.strip() for word in part.split(";"))
        quality = _quality(parameters)
        if quality is None:
            continue
        html = _better(html, media, quality, "text/html")
        json = _better(json, media, quality, "application/json")
    # A more specific range overrules a wider one (RFC 9110, section 12.5.1), whatever their qualities; only then are
    # the two types compared.
    return html[0] > json[0] or (html[0] == json[0] > 0 and html[1] > json[1])


def accepts_gzip(sent: str) -> bool:
    """
    Whether an ``Accept-Encoding`` header allows gzip, and does not rank a plain body above it.

    A coding with an invalid quality is ignored; a client that sends no such header gets plain bodies.

    :param sent: the header's value, several of them joined by commas.
    """
    qualities: dict[str, float] = {}
    for part in sent.lower().split(","):
        coding, *parameters = (word.strip() for word in part.split(";"))
        quality = _quality(parameters)
        if quality is not None:
            qualities.setdefault("gzip" if coding == "x-gzip" else coding, quality)
    quality = qualities.get("gzip", qualities.get("*", 0.0))
    return quality > 0 and quality >= qualities.get("identity", 0.0)


def _better(best: tuple[float, int], media: str, quality: float, wanted: str) -> tuple[float, int]:
    """The quality of `wanted`, and how specific the range is that gives it, after one more range."""
    major = wanted.partition("/")[0]
    specific = {wanted: 3, f"{major}/*": 2, "*/*": 1}.get(media, 0)
    return (quality, specific) if specific > best[1] else best


def _quality(parameters: list[str]) -> float | None:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            return min(float(value.strip()), 1.0) if _QUALITY.fullmatch(value.strip()) else None
    return 1.0
