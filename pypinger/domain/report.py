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
from typing import Final, NamedTuple, TypeAlias

import msgspec

from pypinger.domain import cron
from pypinger.domain.cron import CronError
from pypinger.domain.dates import parse_date_time
from pypinger.domain.model import Answer, Finding, Instant, Invalid, Observation, Report, Reported, Window
from pypinger.domain.texts import LIMIT, cut, visible

#: The longest frequency, in minutes: 366 days.
MAX_FREQUENCY: Final = 527_040.0

#: The longest time that a run may take, in minutes.
MAX_RUNTIME: Final = MAX_FREQUENCY

#: The longest sleep window, in minutes.
MAX_DURATION: Final = 1440.0

#: Removes secrets from a text; returns the same object if it holds none.
Scrub: TypeAlias = Callable[[str], str]

# How many characters of a wrong value a problem quotes.
_QUOTED = 80

_BOM = b"\xef\xbb\xbf"
# Possessive quantifiers: a long text that does not match costs no backtracking.
_NUMERIC = re.compile(r"[+-]?(?:[0-9]++(?:\.[0-9]*+)?|\.[0-9]++)(?:[eE][+-]?[0-9]++)?")
_TIME_OF_DAY = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])(?::([0-5][0-9]))?")
_SURROGATE = re.compile("[\ud800-\udfff]")


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
        return self._words + "".join(
            value.shown(scrub) if isinstance(value, _SyntaxError) else _shown(value, scrub) for value in self._value
        )


class _SyntaxError(NamedTuple):
    """
    A body that is not JSON.

    :ivar position: of the wrong character, from 0.
    """

    message: str
    body: str
    position: int

    def shown(self, scrub: Scrub) -> str:
        """Return what is wrong and where, with the text at that place, or the start of the body if it holds secrets."""
        # Python's messages end with "at" where a place follows.
        message = self.message.removesuffix(" at").rstrip(": ")
        words = f"{message[:1].lower()}{message[1:]} at character {self.position + 1:,}"
        place = self.body[self.position :]
        if not self.body[: self.position].strip() or scrub(self.body) is not self.body:
            return f"{words}; it starts with {_shown(self.body.lstrip(), scrub)}"
        return f"{words}: {_shown(place, scrub)}" if place else f"{words}, where it ends"


class _UsualWindow(msgspec.Struct):
    start: str
    duration: float | str


class _UsualReport(msgspec.Struct):
    status: str
    lastrun: str | None = None
    frequency: float | str | None = None
    reason: str | None = None
    sleep: list[_UsualWindow] | None = None
    process: str | None = None
    server: str | None = None
    schedule: str | None = None
    timezone: str | None = None
    started: str | None = None
    max_runtime: float | str | None = None


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
        windows = [_window("", each.start, each.duration) for each in usual.sleep] if usual.sleep else ()
        return _report(usual, tuple(windows), scrub)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ReportError):
        return None


def parse_carefully(body: bytes, scrub: Scrub = _as_it_is) -> Report:
    """
    Read any report.

    :raises ReportError: the report is invalid.
    """
    members = _object(_json(body))
    return _report(_Members(*map(members.get, _Members._fields)), _sleep(members.get("sleep")), scrub)


class _Members(NamedTuple):
    """The members of a report but ``sleep``, of any type."""

    status: object
    lastrun: object
    frequency: object
    reason: object
    process: object
    server: object
    schedule: object
    timezone: object
    started: object
    max_runtime: object


def _report(given: _UsualReport | _Members, sleep: tuple[Window, ...], scrub: Scrub) -> Report:
    ok = _status(given.status)
    started = None if given.started is None else _instant("started", given.started)
    lastrun = None if given.lastrun is None and started is not None else _instant("lastrun", given.lastrun)
    return Report(
        ok,
        lastrun,
        10.0 if given.frequency is None else _minutes("frequency", given.frequency, MAX_FREQUENCY),
        None if given.reason is None else _text("reason", given.reason, scrub),
        sleep,
        None if given.process is None else _text("process", given.process, scrub),
        None if given.server is None else _text("server", given.server, scrub),
        None if given.schedule is None else _schedule(given.schedule),
        None if given.timezone is None else _timezone(given.timezone),
        started,
        None if given.max_runtime is None else _minutes("max_runtime", given.max_runtime, MAX_RUNTIME),
    )


def _json(body: bytes) -> object:
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ReportError(f"the body is not UTF-8 (byte {error.start + 1})") from None
    if not text.strip():
        raise ReportError("the body is empty")
    try:
        return _decode_any(text)
    except RecursionError:
        raise ReportError("the body is nested too deeply") from None
    except json.JSONDecodeError as error:
        raise ReportError("the body is not JSON: ", _SyntaxError(error.msg, text, error.pos)) from None


def _object(value: object) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise ReportError("the body must be a JSON object, not ", value)
    return value


def _status(value: object) -> bool:
    if isinstance(value, str):
        text = value.strip()
        # lower() alone would accept "o\N{KELVIN SIGN}".
        if text.isascii():
            match text.lower():
                case "ok":
                    return True
                case "error":
                    return False
    raise _wrong("status", "must be ok or error", value)


def _instant(member: str, value: object) -> Instant:
    if type(value) is str and (instant := parse_date_time(value)) is not None:
        return instant
    raise _wrong(member, "must be an ISO 8601 date-time", value)


def _schedule(value: object) -> str:
    """Return a cron expression or name, with one space between its fields."""
    if type(value) is not str:
        raise _wrong("schedule", "must be a cron expression of five fields, or a name such as @daily", value)
    try:
        cron.fields(value)
    except CronError as error:
        raise ReportError(f"schedule is not valid ({error}): ", value) from None
    return " ".join(value.split())


def _timezone(value: object) -> str:
    """Return the name of a time zone."""
    if type(value) is str and (name := value.strip()):
        try:
            cron.zone(name)
            return name
        except CronError:
            pass
    raise _wrong("timezone", "must be an IANA time zone such as Europe/Berlin", value)


def _minutes(member: str, value: object, most: float) -> float:
    """Return a number of minutes, written as a number or as a numeric string."""
    if type(value) is str:
        text = value.strip()
        minutes = float(text) if _NUMERIC.fullmatch(text) else -1.0
    else:
        minutes = float(value) if isinstance(value, float | _Number) else -1.0
    if not 0 < minutes <= most:
        raise _wrong(member, f"must be a number of minutes above 0 and at most {most:,.0f}", value)
    return minutes


def _text(member: str, value: object, scrub: Scrub) -> str:
    """Return a string, or a number as its text, without secrets and cut."""
    if not isinstance(value, str) or isinstance(value, _Constant):
        raise _wrong(member, "must be a string or a number", value)
    return text_of(value, scrub)


def text_of(value: str, scrub: Scrub) -> str:
    """Return a text that a task has sent as it is kept: without secrets, and cut."""
    text = scrub(value).strip()[:LIMIT]
    # No store and no page can hold half a surrogate pair.
    return text if text.isascii() else _SURROGATE.sub("\N{REPLACEMENT CHARACTER}", text)


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
    match = _TIME_OF_DAY.fullmatch(start.strip()) if type(start) is str else None
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
    """Return a value as an error quotes it: short, on one line, with escapes for what cannot be seen."""
    match value:
        case _Number() | _Constant():
            return cut(scrub(value), _QUOTED)
        case str():
            return f'"{cut(visible(scrub(value)[: _QUOTED + 1]), _QUOTED)}"'
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case list():
            return "an array"
        case _:
            return "an object"
