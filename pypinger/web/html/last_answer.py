"""
What a task's endpoint answered last, as its page shows it: readable, and without secrets.

A body is kept as it came and is looked at only here, when somebody wants to see it: what is a secret may have changed
since. No escape must hide one, nor an escape within another (JSON in JSON, a URL in HTML), so secrets are looked for in
whatever the text may mean: see :func:`_readings`. They are masked where they were written; all else stays as the
endpoint wrote it, member by member.
"""

from __future__ import annotations

import json
import re
from codecs import getincrementaldecoder
from collections.abc import Callable, Iterator
from html import unescape
from typing import TypeAlias
from urllib.parse import unquote_to_bytes

from twisted.web.template import Tag, tags

from pypinger.domain.model import Instant, Report
from pypinger.domain.redaction import Secrets, masked
from pypinger.domain.times import MINUTE, iso
from pypinger.ports.showing import LastAnswer
from pypinger.web.formatting import shown_lines
from pypinger.web.html.layout import card, moment, unknown

#: What is nested more deeply is shown as it came: indented, most of it would be spaces.
DEEPEST = 32

#: How many readings of a text are looked through; a text with a JSON text in it that says things in HTML and
#: percent-encoded has about as many.
MOST_READINGS = 12

#: A value of a URL's query that is shorter may be an ordinary word.
SHORTEST_VALUE = 8

# From where to where in the text as it came each character of a reading was written.
_Spans: TypeAlias = list[tuple[int, int]]

_JSON_ESCAPE = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[0-9a-fA-F]{4}|\\[\"\\/bfnrt]"
)
_HTML_ESCAPE = re.compile(r"&(?:#0*[0-9]{1,7}|#[xX]0*[0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});?")
# A character in UTF-8, or a byte.
_PERCENT_ESCAPE = re.compile(
    r"\+|%[cdCD][0-9a-fA-F]%[89abAB][0-9a-fA-F]|%[eE][0-9a-fA-F](?:%[89abAB][0-9a-fA-F]){2}"
    r"|%[fF][0-7](?:%[89abAB][0-9a-fA-F]){3}|%[0-9a-fA-F]{2}"
)
# The beginning of an escape that was cut in half, and of an escape within it.
_HALF = re.compile(
    r"""(?:
    (?<!\\)\\+(?:u(?:[0-9a-fA-F]{0,3}|[dD][89abAB][0-9a-fA-F]{2}(?:\\+(?:u[0-9a-fA-F]{0,3})?)?))?
    | &(?:\#[0-9A-Za-z]*|[0-9A-Za-z]{0,32})
    | (?:%[c-fC-F][0-9a-fA-F](?:%[89abAB][0-9a-fA-F]){0,2})?%[0-9a-fA-F]?
    | %[c-fC-F][0-9a-fA-F](?:%[89abAB][0-9a-fA-F]){0,2}
    ){1,3}\Z""",
    re.VERBOSE,
)
# Where the userinfo of a URL is, if it has any: up to the last "@" of this. Some write a password as it is.
_USERINFO = re.compile(r"(?<=://)(?:[^/?#\s\"'<>:]*:[^\s\"]*|[^/?#\s\"'<>:]+)")
_TOKEN = re.compile(r"\"(?:[^\"\\]|\\.)*\"|\{\s*\}|\[\s*\]|[{}\[\],:]|[^\s{}\[\],:\"]+")
# Bytes that are no UTF-8 may be Latin-1, and so may be a secret.
_LATIN_1 = {0xDC00 + byte: byte for byte in range(0x80, 0x100)}


def last_answer(
    answer: LastAnswer | None, url: str, report: Report | None, secrets: Secrets, now: Instant
) -> list[Tag]:
    """
    The block about the latest answer.

    :param answer: None if there was none since the start; then `report`, if there is one, stands in for it.
    :param url: the task's.
    :param report: the last valid report.
    """
    if answer is None:
        return [] if report is None else [_understood(report)]
    words: list[Tag | str] = ["Received ", moment(answer.at, now) or "", f", HTTP {answer.code}. Secrets are masked."]
    if answer.cut:
        words.append(f" It is cut at {len(answer.body):,} bytes.")
    text = readable(answer, url, secrets)
    shown = unknown("It is not text.") if text is None else _text(text) if text else unknown("It was empty.")
    return [card("Latest answer", shown, tags.p(*words, class_="quiet"))]


def readable(answer: LastAnswer, url: str, secrets: Secrets) -> str | None:
    """
    A body without secrets, indented if it is JSON as a whole; None if it is not text.

    What was cut ends before anything that may be the beginning of a secret.

    :param url: the task's; the longer values of its query are secrets here, however they are called.
    """
    if b"\0" in answer.body:
        # UTF-16, too: with a mark between its characters anybody could read a secret that we do not find.
        return None
    cut = answer.cut
    decoder = getincrementaldecoder("utf-8")("surrogateescape")
    text = decoder.decode(answer.body, final=not cut).removeprefix("\ufeff")
    values = Secrets(_values(url))
    places: list[tuple[int, int]] = []
    end = len(text)
    for meant, spans in _readings(text.translate(_LATIN_1), cut=cut):
        if len(meant) < len(spans):
            end = min(end, spans[len(meant)][0])
        found = [*secrets.places(meant, cut=cut), *values.places(meant, cut=cut), *_userinfo(meant, cut=cut)]
        places += [(spans[start][0], spans[stop - 1][1]) for start, stop in found]
    text = masked(text[:end], sorted(place for place in places if place[0] < end))
    return f"{text}…" if cut else indented(text)


def _values(url: str) -> Iterator[str]:
    """The values of the query of `url` that may be secrets."""
    for pair in re.split("[&;]", url.partition("?")[2]):
        name, sign, value = pair.partition("=")
        shown = value if sign else name
        if len(shown) >= SHORTEST_VALUE:
            yield shown


def _userinfo(text: str, *, cut: bool) -> Iterator[tuple[int, int]]:
    """Where the userinfo of any URL is; of one that was cut the "@" may be missing."""
    for match in _USERINFO.finditer(text):
        start, end = match.span()
        stop = end if cut and end == len(text) else text.rfind("@", start, end)
        if stop > start:
            yield start, stop


def _readings(text: str, *, cut: bool) -> list[tuple[str, _Spans]]:
    """
    `text`, and what it means with escapes of one kind undone, and of one kind after the other, in whatever order.

    :returns: the text each time, and where its characters were written: the spans of what was cut off from it, since
        it may be half an escape, follow.
    """
    whole = _HALF.sub("", text) if cut else text
    readings = [(whole, [(place, place + 1) for place in range(len(text))])]
    seen = {whole}
    for meant, spans in readings:
        for escape, meaning in _ESCAPES:
            if len(readings) == MOST_READINGS:
                return readings
            further, places = _undone(meant, spans, escape, meaning)
            if further not in seen:
                kept = _HALF.sub("", further) if cut else further
                seen |= {further, kept}
                readings.append((kept, places))
    return readings


def indented(text: str) -> str:
    """
    JSON with a line for each member, else `text` as it is.

    Nothing but white space is changed: neither numbers nor escapes nor members that are there twice.
    """
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return text
    pieces: list[str] = []
    depth = 0
    for token in _TOKEN.findall(text):
        if token in "]}":
            depth -= 1
            pieces.append(_line(depth))
        pieces.append(token)
        if token in "[{":
            depth += 1
            if depth > DEEPEST:
                return text
            pieces.append(_line(depth))
        elif token == ",":
            pieces.append(_line(depth))
        elif token == ":":
            pieces.append(" ")
    return "".join(pieces)


def _line(depth: int) -> str:
    return "\n" + "  " * depth


def _json(escape: str) -> str:
    character: str = json.loads(f'"{escape}"')
    return character


def _percent(escape: str) -> str:
    if escape == "+":
        return " "
    sent = unquote_to_bytes(escape)
    try:
        return sent.decode()
    except UnicodeDecodeError:
        return sent.decode("latin-1")


# What may hide characters of a secret, and what it means.
_ESCAPES: tuple[tuple[re.Pattern[str], Callable[[str], str]], ...] = (
    (_JSON_ESCAPE, _json),
    (_HTML_ESCAPE, unescape),
    (_PERCENT_ESCAPE, _percent),
)


def _undone(text: str, spans: _Spans, escape: re.Pattern[str], meaning: Callable[[str], str]) -> tuple[str, _Spans]:
    """`text` with its escapes undone, and for each character from where to where it was written, as `spans` has it."""
    pieces: list[str] = []
    places: _Spans = []
    end = 0
    for match in escape.finditer(text):
        start, stop = match.span()
        meant = meaning(match.group())
        if meant == match.group():
            # "&key" looks like an escape of HTML and is none.
            continue
        pieces += text[end:start], meant
        places += spans[end:start]
        places += [(spans[start][0], spans[stop - 1][1])] * len(meant)
        end = stop
    pieces.append(text[end:])
    places += spans[end : len(text)]
    return "".join(pieces), places


def _text(text: str) -> Tag:
    # What scrolls must be reachable by the keyboard, and so it needs a name.
    return tags.pre(tags.code(shown_lines(text)), tabindex="0", role="region", **{"aria-label": "What was answered"})


def _understood(report: Report) -> Tag:
    """The last valid report as it was understood, as JSON."""
    members: dict[str, object] = {
        "status": "ok" if report.ok else "error",
        "lastrun": iso(report.lastrun),
        "frequency": report.frequency,
    }
    members |= {name: value for name in ("reason", "process", "server") if (value := getattr(report, name)) is not None}
    if report.sleep:
        members["sleep"] = [
            {
                "start": f"{each.start // 3600:02}:{each.start // 60 % 60:02}:{each.start % 60:02}",
                "duration": each.duration / MINUTE,
            }
            for each in report.sleep
        ]
    words = (
        "As it was understood before Py Pinger was started. Members that Py Pinger does not know are left out, and so "
        "are secrets. The next answer is shown as it came."
    )
    text = json.dumps(members, ensure_ascii=False, indent=2)
    return card("Last valid report", _text(text), tags.p(words, class_="quiet"))
