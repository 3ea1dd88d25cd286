"""
What a task's endpoint answered last, as its page shows it: readable, and without secrets.

A body is kept as it came and is looked at only here, when somebody wants to see it: what is a secret may have changed
since. An escape of JSON or HTML must not hide one, so secrets are looked for in what such escapes mean, too. They are
masked where they were written; all else stays as the endpoint wrote it, member by member.
"""

from __future__ import annotations

import json
import re
from codecs import getincrementaldecoder
from collections.abc import Callable, Sequence
from html import unescape

from twisted.web.template import Tag, tags

from pypinger.domain.model import Instant, NoAnswer, Report
from pypinger.domain.times import MINUTE, iso
from pypinger.domain.urls import Secrets, masked
from pypinger.ports import LastAnswer, Run
from pypinger.web.frame import card, moment, unknown
from pypinger.web.words import shown_lines

#: What is nested more deeply is shown as it came: indented, most of it would be spaces.
DEEPEST = 32

# What hides characters of a secret, and what it means; the first is nothing at all.
_NO_ESCAPE = re.compile(r"(?!)")
_JSON_ESCAPE = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[0-9a-fA-F]{4}|\\[\"\\/bfnrt]"
)
_HTML_ESCAPE = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
# The beginning of an escape that was cut in half.
_HALF = re.compile(
    r"(?:\\(?:u(?:[0-9a-fA-F]{0,3}|[dD][89abAB][0-9a-fA-F]{2}(?:\\(?:u[0-9a-fA-F]{0,3})?)?)?)?|&[#0-9A-Za-z]{0,32})\Z"
)
# The userinfo of any URL; of one that was cut the "@" may be missing.
_USERINFO = re.compile(r"(?<=://)[^/?#\s\"'<>]+(?=@)")
_USERINFO_CUT = re.compile(r"(?<=://)[^/?#\s\"'<>]+(?=@|\Z)")
_TOKEN = re.compile(r"\"(?:[^\"\\]|\\.)*\"|\{\s*\}|\[\s*\]|[{}\[\],:]|[^\s{}\[\],:\"]+")
# Bytes that are no UTF-8 may be Latin-1, and so may be a secret.
_LATIN_1 = {0xDC00 + byte: byte for byte in range(0x80, 0x100)}


def last_answer(
    answer: LastAnswer | None, report: Report | None, runs: Sequence[Run], secrets: Secrets, now: Instant
) -> list[Tag]:
    """
    The block about the latest answer.

    :param answer: None if there was none since the start; then `report`, if there is one, stands in for it.
    :param report: the last valid report.
    :param runs: what the latest checks found, newest first; what is shown of `answer` is its status code.
    """
    if answer is None:
        return [] if report is None else [_understood(report)]
    codes = [
        f", HTTP {run.finding.code}"
        for run in runs
        # The history knows milliseconds.
        if not isinstance(run.finding, NoAnswer) and abs(run.last - answer.at) < 0.002
    ]
    words: list[Tag | str] = ["Received ", moment(answer.at, now) or "", *codes[:1], ". Secrets are masked."]
    if answer.cut:
        words.append(f" It is cut at {len(answer.body):,} bytes.")
    text = readable(answer, secrets)
    shown = unknown("It is not text.") if text is None else _text(text) if text else unknown("It was empty.")
    return [card("Latest answer", shown, tags.p(*words, class_="quiet"))]


def readable(answer: LastAnswer, secrets: Secrets) -> str | None:
    """
    A body without secrets, indented if it is JSON as a whole; None if it is not text.

    What was cut ends before anything that may be the beginning of a secret.
    """
    if b"\0" in answer.body:
        # UTF-16, too: with a mark between its characters anybody could read a secret that we do not find.
        return None
    decoder = getincrementaldecoder("utf-8")("surrogateescape")
    text = decoder.decode(answer.body, final=not answer.cut).removeprefix("\ufeff")
    if answer.cut:
        text = _HALF.sub("", text)
    places: list[tuple[int, int]] = []
    plain = text.translate(_LATIN_1)
    userinfo = _USERINFO_CUT if answer.cut else _USERINFO
    for escape, meaning in ((_NO_ESCAPE, str), (_JSON_ESCAPE, _json), (_HTML_ESCAPE, unescape)):
        meant, spans = _undone(plain, escape, meaning)
        found = secrets.places(meant, cut=answer.cut)
        found += [match.span() for match in userinfo.finditer(meant)]
        places += [(spans[start][0], spans[end - 1][1]) for start, end in found]
    text = masked(text, sorted(places))
    return f"{text}…" if answer.cut else indented(text)


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


def _undone(text: str, escape: re.Pattern[str], meaning: Callable[[str], str]) -> tuple[str, list[tuple[int, int]]]:
    """`text` with its escapes undone, and for each character from where to where it was written."""
    pieces: list[str] = []
    spans: list[tuple[int, int]] = []
    end = 0
    for match in escape.finditer(text):
        pieces += text[end : match.start()], meaning(match.group())
        spans += [(place, place + 1) for place in range(end, match.start())]
        spans += [match.span()] * len(pieces[-1])
        end = match.end()
    pieces.append(text[end:])
    spans += [(place, place + 1) for place in range(end, len(text))]
    return "".join(pieces), spans


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
