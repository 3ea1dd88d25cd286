"""
Read a task report (contract, section 1): from the fetcher's observation to a finding, for any body.

Two readers share the rules. The fast one reads reports whose members have their usual types, which are nearly all.
Everything else goes to the careful one, which accepts all that the contract allows and otherwise names the member that
is wrong.

An endpoint may repeat our own secrets. They are removed from each text that is kept or quoted, after its escapes are
decoded and before it is cut, so that no part of one remains. Nothing else is changed: a secret may be a word such as
``status``, and must not make a valid report invalid.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final, TypeAlias

import msgspec

from pypinger.domain.model import Answer, Finding, Instant, Invalid, Observation, Report, Reported, Window
from pypinger.domain.texts import LIMIT, cut, one_line

#: The longest frequency, in minutes: 366 days.
MAX_FREQUENCY: Final = 527_040.0

#: The longest sleep window, in minutes.
MAX_DURATION: Final = 1440.0

#: Removes secrets from a text; returns the same object if it holds none.
Scrub: TypeAlias = Callable[[str], str]

# How many characters of a wrong value a problem quotes.
_QUOTED = 80

_BOM = b"\xef\xbb\xbf"
_NUMERIC = re.compile(r"[ \t]*[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?[ \t]*")
_TIME_OF_DAY = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])(?::([0-5][0-9]))?")
# What fromisoformat takes as it stands, in every version of Python.
_USUAL_DATE_TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ](?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,6})?"
    r"(?:Z|[+-][0-9]{2}:[0-9]{2})?"
)
# ISO 8601: calendar and week dates, extended and basic format, hours alone; and a space for the T, as RFC 3339 allows.
_DATE_TIME = re.compile(
    r"(?P<date>[0-9]{4}-[0-9]{2}-[0-9]{2}|[0-9]{8}|[0-9]{4}-W[0-9]{2}-[1-7]|[0-9]{4}W[0-9]{2}[1-7])[Tt ]"
    r"(?P<hour>[0-9]{2})"
    r"(?:(?P<colon>:?)(?P<minute>[0-9]{2})(?:(?P=colon)(?P<second>[0-9]{2})(?:[.,](?P<fraction>[0-9]+))?)?)?"
    r"(?P<zone>[Zz]|[+-][0-9]{2}(?::?[0-9]{2})?)?"
)


class ReportError(Exception):
    """
    A report is invalid.

    :param words: what is wrong; `value`, if given, is quoted after it.
    """

    def __init__(self, words: str, *value: object) -> None:
        super().__init__(words, *value)
        self._words = words
        self._value = value

    def text(self, scrub: Scrub) -> str:
        """Return the error in one line, with the value quoted."""
        return self._words + "".join(_shown(value, scrub) for value in self._value)


class _UsualWindow(msgspec.Struct):
    start: str
    duration: float | str


class _UsualReport(msgspec.Struct):
    status: str
    lastrun: str
    frequency: float | str | None = None
    reason: str | None = None
    sleep: list[_UsualWindow] | None = None
    process: str | None = None
    server: str | None = None


_decode_usual = msgspec.json.Decoder(_UsualReport).decode


class _Number(str):
    """A number as written in the JSON: conversion could lose digits, or take very long."""


class _Constant(str):
    """``NaN`` or ``Infinity``, which Python's reader accepts as JSON."""


_decode_any: Callable[[str], object] = json.JSONDecoder(
    parse_int=_Number, parse_float=_Number, parse_constant=_Constant
).decode


def _as_it_is(text: str) -> str:
    return text


def read(observation: Observation, scrub: Scrub = _as_it_is) -> Finding:
    """Return a report, what is wrong with it, or the unchanged failure to get one."""
    if not isinstance(observation, Answer):
        return observation
    result = parse(observation.body, scrub)
    if isinstance(result, Report):
        return Reported(observation.code, result)
    return Invalid(observation.code, result)


def parse(body: bytes, scrub: Scrub = _as_it_is) -> Report | str:
    """
    Read a report's body.

    :returns: the report, or one line that names the wrong member and quotes at most 80 characters of the body.
    """
    if body.startswith(_BOM):
        body = body[len(_BOM) :]
    report = parse_usual(body, scrub)
    if report is not None:
        return report
    try:
        return parse_carefully(body, scrub)
    except ReportError as problem:
        return problem.text(scrub)


def parse_usual(body: bytes, scrub: Scrub = _as_it_is) -> Report | None:
    """Read a usual report fast; return None if the careful reader must decide."""
    try:
        # msgspec does not validate UTF-8 in members that it skips.
        if not body.isascii():
            body.decode("utf-8")
        usual = _decode_usual(body)
        return _report(
            usual.status,
            usual.lastrun,
            usual.frequency,
            usual.reason,
            tuple([_window("", each.start, each.duration) for each in usual.sleep]) if usual.sleep else (),
            usual.process,
            usual.server,
            scrub,
        )
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ReportError):
        return None


def parse_carefully(body: bytes, scrub: Scrub = _as_it_is) -> Report:
    """
    Read any report.

    :raises ReportError: the report is invalid.
    """
    members = _object(_json(body))
    return _report(
        members.get("status"),
        members.get("lastrun"),
        members.get("frequency"),
        members.get("reason"),
        _sleep(members.get("sleep")),
        members.get("process"),
        members.get("server"),
        scrub,
    )


def _report(
    status: object,
    lastrun: object,
    frequency: object,
    reason: object,
    sleep: tuple[Window, ...],
    process: object,
    server: object,
    scrub: Scrub,
) -> Report:
    return Report(
        ok=_status(status),
        lastrun=_instant(lastrun),
        frequency=10.0 if frequency is None else _minutes("frequency", frequency, MAX_FREQUENCY),
        reason=None if reason is None else _text("reason", reason, scrub),
        sleep=sleep,
        process=None if process is None else _text("process", process, scrub),
        server=None if server is None else _text("server", server, scrub),
    )


def _json(body: bytes) -> object:
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ReportError(f"the body is not UTF-8 (byte {error.start})") from None
    if not text.strip():
        raise ReportError("the body is empty")
    try:
        return _decode_any(text)
    except RecursionError:
        raise ReportError("the body is nested too deeply") from None
    except json.JSONDecodeError as error:
        raise ReportError(
            f"the body is not JSON: {error.msg} at character {error.pos}; it starts with ", text
        ) from None


def _object(value: object) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise ReportError("the body must be a JSON object, not ", value)
    return value


def _status(value: object) -> bool:
    # lower() alone would accept "o\N{KELVIN SIGN}".
    if isinstance(value, str) and value.isascii():
        match value.lower():
            case "ok":
                return True
            case "error":
                return False
    raise _wrong("status", "must be ok or error", value)


def _instant(value: object) -> Instant:
    if type(value) is str:
        try:
            if _USUAL_DATE_TIME.fullmatch(value):
                return _utc(value)
            if match := _DATE_TIME.fullmatch(value):
                return _unusual_instant(match)
        except ValueError:
            pass
    raise _wrong("lastrun", "must be an ISO 8601 date-time", value)


def _unusual_instant(match: re.Match[str]) -> Instant:
    """
    A date-time that is right, but which not every version of fromisoformat takes.

    :raises ValueError: there is no such day or time.
    """
    date, hour, _, minute, second, fraction, zone = match.groups("")
    minute, second, fraction = minute or "00", second or "00", fraction[:6] or "0"
    later = 0.0
    if hour == "24" and int(minute) == int(second) == int(fraction) == 0:
        hour, later = "00", 86_400.0  # ISO 8601's way to write the end of a day.
    elif second == "60":
        second, later = "59", 1.0  # A leap second; in a count of seconds it is the first of the next minute.
    return _utc(f"{date}T{hour}:{minute}:{second}.{fraction}{zone.upper()}") + later


def _utc(text: str) -> Instant:
    when = datetime.fromisoformat(text)
    # Subtracting aware datetimes, as timestamp() does, cannot overflow where converting to UTC would.
    return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()


def _minutes(member: str, value: object, most: float) -> float:
    """A number of minutes, written as a number or as a numeric string."""
    if type(value) is str:
        minutes = float(value) if _NUMERIC.fullmatch(value) else -1.0
    else:
        minutes = float(value) if isinstance(value, float | _Number) else -1.0
    if not 0 < minutes <= most:
        raise _wrong(member, f"must be a number of minutes above 0 and at most {most:,.0f}", value)
    return minutes


def _text(member: str, value: object, scrub: Scrub) -> str:
    """A string, or a number as its text, scrubbed and cut."""
    if not isinstance(value, str) or isinstance(value, _Constant):
        raise _wrong(member, "must be a string or a number", value)
    text = value[:LIMIT]
    try:
        # Half a surrogate pair is no text: no store and no page could take it.
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise ReportError(f"{member} contains half a surrogate pair") from None
    scrubbed = scrub(value)
    # What moved up when a secret was taken out was not looked at.
    return text if scrubbed is value else scrubbed[:LIMIT].encode("utf-8", "replace").decode("utf-8")


def _sleep(value: object) -> tuple[Window, ...]:
    if value is None:
        return ()
    if not isinstance(value, list):
        raise _wrong("sleep", "must be an array of objects with start and duration", value)
    windows = []
    for index, each in enumerate(value):
        member = f"sleep[{index}]"
        if not isinstance(each, dict):
            raise ReportError(f"{member} must be an object with start and duration, not ", each)
        windows.append(_window(member, each.get("start"), each.get("duration")))
    return tuple(windows)


def _window(member: str, start: object, duration: object) -> Window:
    match = _TIME_OF_DAY.fullmatch(start) if type(start) is str else None
    if match is None:
        raise _wrong(f"{member}.start", "must be HH:MM or HH:MM:SS", start)
    hour, minute, second = match.groups("0")
    return Window(
        start=int(hour) * 3600 + int(minute) * 60 + int(second),
        duration=_minutes(f"{member}.duration", duration, MAX_DURATION) * 60,
    )


def _wrong(member: str, rule: str, value: object) -> ReportError:
    return ReportError(f"{member} is missing") if value is None else ReportError(f"{member} {rule}, not ", value)


def _shown(value: object, scrub: Scrub) -> str:
    """A value as it may be quoted in a problem: on one line, and never much of it."""
    match value:
        case _Number() | _Constant():
            return cut(scrub(value), _QUOTED)
        case str():
            return f'"{cut(one_line(scrub(value)[: _QUOTED + 1]), _QUOTED)}"'
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case list():
            return "an array"
        case _:
            return "an object"
