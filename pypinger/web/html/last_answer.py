"""
What a task's endpoint answered last, as the task's page shows it: readable, and with its secrets masked.

The body is kept as it came and is masked when it is shown, since the secrets may have changed meanwhile. Masked are the
configured secrets, the longer values of the query of the task's URL, and the userinfo of any URL, also where they are
percent-encoded or escaped as in JSON.
"""

from __future__ import annotations

import json
import re
from codecs import getincrementaldecoder
from collections.abc import Iterable, Iterator
from html import escape
from urllib.parse import unquote

from twisted.web.template import Tag, tags

from pypinger.domain.model import Instant, Report
from pypinger.domain.redaction import SHORTEST_VALUE, Secrets, masked
from pypinger.domain.times import MINUTE, iso
from pypinger.ports.showing import LastAnswer
from pypinger.web.formatting import shown, shown_lines
from pypinger.web.html.layout import card, moment, unknown

#: JSON that is nested more deeply is shown as it came: indented, most of it would be spaces.
DEEPEST = 32

# An escape in JSON of a printable ASCII character, which needs none, or of a slash.
_NEEDLESS_ESCAPE = re.compile(r"(?<!\\)((?:\\\\)*)\\(?:u00([2-7][0-9a-fA-F])|(/))")
# The beginning of an escape that was cut.
_HALF_ESCAPE = re.compile(r"(?:\\(?:u[0-9a-fA-F]{0,3})?|&#?[0-9A-Za-z]{0,8}|%[0-9a-fA-F]?)\Z")
# Where the userinfo of a URL is, if it has any: up to the last "@" of this. Some write a password as it is.
_USERINFO = re.compile(r"(?<=://)(?:[^/?#\s\"'<>:]*:[^\s\"]*|[^/?#\s\"'<>:]+)")
_TOKEN = re.compile(r"\"(?:[^\"\\]|\\.)*\"|\{\s*\}|\[\s*\]|[{}\[\],:]|[^\s{}\[\],:\"]+")
# Bytes that are not UTF-8 may be Latin-1, as a secret may be.
_LATIN_1 = {0xDC00 + byte: byte for byte in range(0x80, 0x100)}


def last_answer(
    answer: LastAnswer | None, url: str, report: Report | None, secrets: Secrets, now: Instant, elsewhere: str = ""
) -> list[Tag]:
    """
    The block about the latest answer.

    :param answer: None if there was none since the start; then `report`, if there is one, is shown instead.
    :param url: the task's; empty without one.
    :param report: the last valid report.
    :param elsewhere: where the latest answer is, if another instance has it.
    """
    if answer is None and report is None:
        return [card("Latest answer" if url else "Latest push", tags.p(elsewhere))] if elsewhere else []
    if answer is None:
        return [] if report is None else [_report(report, elsewhere, pushed=not url)]
    title = "Latest push" if answer.pushed else "Latest answer"
    words: list[Tag | str] = ["Received ", moment(answer.at, now) or ""]
    if not answer.pushed:
        words.append(f", HTTP {answer.code}")
    if answer.url is not None:
        words += " from ", tags.code(shown(answer.url)), ", after redirects"
    words.append(".")
    if answer.foreign:
        # The owner of another origin has not agreed to be shown here.
        return [card("Latest answer", unknown("Not shown: it is from another origin."), tags.p(*words, class_="quiet"))]
    words.append(" Secrets are masked.")
    if answer.cut:
        words.append(f" Cut at {len(answer.body):,} bytes.")
    text = readable(answer, url, secrets)
    body = unknown("Not text.") if text is None else _block(text) if text else unknown("Empty.")
    return [card(title, body, tags.p(*words, class_="quiet"))]


def readable(answer: LastAnswer, url: str, secrets: Secrets) -> str | None:
    """
    A body without secrets, indented if it is JSON as a whole; None if it is not text.

    What was cut ends before anything that may be the beginning of a secret.

    :param url: the task's.
    """
    if b"\0" in answer.body:
        # UTF-16, too, where secrets would not be found.
        return None
    cut = answer.cut
    decoder = getincrementaldecoder("utf-8")("surrogateescape")
    text = decoder.decode(answer.body, final=not cut).removeprefix("\ufeff")
    if cut:
        text = _HALF_ESCAPE.sub("", text)
    every = (secrets, Secrets(_values(url)))
    text = _masked(text, every, cut=cut)
    text = _masked(_NEEDLESS_ESCAPE.sub(_unescaped, text), every, cut=cut)
    return f"{text}…" if cut else indented(text)


def indented(text: str) -> str:
    """
    JSON with a line for each member, else `text` as it is.

    Only white space is changed, not numbers, escapes or members that are there twice.
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


def _masked(text: str, every: Iterable[Secrets], *, cut: bool) -> str:
    compared = text.translate(_LATIN_1)
    places = [place for secrets in every for place in secrets.places(compared, cut=cut)]
    return masked(text, sorted([*places, *_userinfo(compared, cut=cut)]))


def _line(depth: int) -> str:
    return "\n" + "  " * depth


def _unescaped(match: re.Match[str]) -> str:
    backslashes, code, slash = match.groups()
    character = slash or chr(int(code, 16))
    return match.group() if character in '"\\\x7f' else backslashes + character


def _values(url: str) -> Iterator[str]:
    """The longer values of the query of `url`, in the forms in which an answer may repeat them."""
    query = url.partition("?")[2]
    for pair in re.split("[&;]", query):
        name, sign, value = pair.partition("=")
        text = value if sign else name
        if len(text) >= SHORTEST_VALUE:
            yield text
            yield escape(unquote(text))


def _userinfo(text: str, *, cut: bool) -> Iterator[tuple[int, int]]:
    """Where the userinfo of any URL is; of one that was cut the "@" may be missing."""
    for match in _USERINFO.finditer(text):
        start, end = match.span()
        stop = end if cut and end == len(text) else text.rfind("@", start, end)
        if stop > start:
            yield start, stop


def _block(text: str) -> Tag:
    # What scrolls must be reachable by keyboard, and so it needs a name.
    return tags.pre(tags.code(shown_lines(text)), tabindex="0", role="region", **{"aria-label": "Body of the answer"})


def _report(report: Report, elsewhere: str, *, pushed: bool) -> Tag:
    """
    The last valid report, as JSON.

    :param pushed: whether it is what the pushes of a task have come to.
    """
    members: dict[str, object] = {
        "status": "ok" if report.ok else "error",
        "lastrun": iso(report.lastrun),
        "started": iso(report.started),
        "frequency": report.frequency if report.schedule is None else None,
        "schedule": report.schedule,
        "timezone": report.timezone,
        "max_runtime": report.max_runtime,
        "reason": report.reason,
        "process": report.process,
        "server": report.server,
    }
    members = {name: value for name, value in members.items() if value is not None}
    if report.sleep:
        members["sleep"] = [
            {
                "start": f"{each.start // 3600:02}:{each.start // 60 % 60:02}:{each.start % 60:02}",
                "duration": each.duration / MINUTE,
            }
            for each in report.sleep
        ]
    words = (
        "From before this start of Py Pinger, without unknown members and secrets. "
        "The next answer is shown as it was received."
    )
    if pushed:
        words = "The report that its pushes add up to, without secrets."
    if elsewhere:
        words = f"Without unknown members and secrets. {elsewhere}"
    text = json.dumps(members, ensure_ascii=False, indent=2)
    return card("Last valid report", _block(text), tags.p(words, class_="quiet"))
