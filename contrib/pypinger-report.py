#!/usr/bin/env python3
"""
Runs a command and publishes its task report for Py Pinger: pypinger-report.py [OPTIONS] -- COMMAND...

This file needs Python 3.8 or later and nothing else; --help lists the options. To decorate Python functions, copy it
into a project as pypinger_report.py and import monitored from it.

docs/publisher.py made it of the package pypinger.report: change that.
"""

from __future__ import annotations

import argparse
import atexit
import base64
import errno
import fcntl
import functools
import http.client
import inspect
import json
import logging
import os
import re
import select
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections import deque
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from typing import Any, Callable, Dict, Iterator, List, Mapping, NamedTuple, NoReturn, Sequence, TypeVar, Union
from urllib.parse import unquote, urlsplit

__version__ = "1.0.0"


####################################################################################################
# What people write: lengths of time, sleep windows, schedules and time zones (contract, sections 1 and 6).

#: A length of time: minutes, text such as ``10m`` or ``1h 30m``, or a timedelta.
Length = Union[float, str, timedelta]

#: A member ``sleep`` of a report.
Sleep = List[Dict[str, Union[str, float]]]

#: The longest length of time, in minutes: 366 days.
MOST_MINUTES = 527_040.0

#: The longest sleep window, in minutes.
MOST_SLEEP = 1440.0

_SECONDS = {"d": 86_400.0, "h": 3600.0, "m": 60.0, "min": 60.0, "s": 1.0}
_NUMBER = re.compile(r"\+?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?")
_PART = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+) ?(d|h|min|m|s)(?: ?(?=[0-9.])|\Z)")
_WINDOW = re.compile(r"((?:[01][0-9]|2[0-3]):[0-5][0-9](?::[0-5][0-9])?)\s*\+\s*(.+)", re.DOTALL)

_NAMED_SCHEDULES = ("@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly")
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_DAY_OF_MONTH, _DAY_OF_WEEK = "day of month", "day of week"
_FIELDS: tuple[tuple[str, int, int, Sequence[str]], ...] = (
    ("minute", 0, 59, ()),
    ("hour", 0, 23, ()),
    (_DAY_OF_MONTH, 1, 31, ()),
    ("month", 1, 12, _MONTHS),
    (_DAY_OF_WEEK, 0, 7, _DAYS),
)

# Machines have "localtime" and a few others beside the IANA names; elsewhere they mean something else.
_ZONE = re.compile(r"(?!(?:localtime|posixrules)\Z|(?:posix|right)/)[A-Za-z0-9_+-]+(?:/[A-Za-z0-9_+-]+)*")
_ZONE_FILES = ("/usr/share/zoneinfo", "/usr/lib/zoneinfo", "/usr/share/lib/zoneinfo", "/etc/zoneinfo")


def minutes(value: Length, most: float = MOST_MINUTES) -> float:
    """
    Return a length of time in minutes, which is also the unit of a number without one.

    :raises ValueError: it is none, or not above 0 and at most `most` minutes.
    """
    try:
        seconds = value.total_seconds() if isinstance(value, timedelta) else _seconds(value)
    except ValueError:
        raise ValueError(f"{value!r} is no length of time, such as 10m, 1h 30m or 90s") from None
    if not 0 < seconds <= most * 60:
        raise ValueError(f"{value!r} is not above 0 and at most {most:,.0f} minutes")
    found = seconds / 60
    return int(found) if found.is_integer() else found


def _seconds(value: float | str) -> float:
    if not isinstance(value, str):
        return float(value) * 60
    text = value.strip()
    if _NUMBER.fullmatch(text):
        return float(text) * 60
    total, position, units = 0.0, 0, set()
    match = _PART.match(text)
    while match and _SECONDS[match[2]] not in units:
        units.add(_SECONDS[match[2]])
        total += float(match[1]) * _SECONDS[match[2]]
        position = match.end()
        if position == len(text):
            return total
        match = _PART.match(text, position)
    raise ValueError(value)


def sleep_windows(text: str) -> Sleep:
    """
    Return the windows of a text such as ``22:00 + 450m, 12:00 + 30m``; their starts are UTC.

    :raises ValueError: one of them is wrong.
    """
    windows: Sleep = []
    for each in text.split(","):
        match = _WINDOW.fullmatch(each.strip())
        if match is None:
            raise ValueError(f"{each.strip()!r} is no sleep window, such as 22:00 + 450m")
        windows.append({"start": match[1], "duration": minutes(match[2], MOST_SLEEP)})
    return windows


def cron_expression(text: str) -> str:
    """
    Return a schedule with single spaces.

    :raises ValueError: it is neither five valid fields nor one of cron's names.
    """
    fields = text.split()
    expression = " ".join(fields)
    if len(fields) == 1 and expression.lower() in _NAMED_SCHEDULES:
        return expression
    if len(fields) != 5:
        raise ValueError(f"{text!r} is no schedule: five fields are needed, or a name such as @daily")
    for field, (name, low, high, words) in zip(fields, _FIELDS):
        if not _is_field(field.upper(), name, low, high, words):
            raise ValueError(f"{text!r} is no schedule: {field!r} is no {name}")
    return expression


def _is_field(text: str, name: str, low: int, high: int, words: Sequence[str]) -> bool:
    def number(part: str) -> int:
        if part in words:
            return words.index(part) + low
        value = int(part) if part.isdecimal() and part.isascii() else -1
        return value if low <= value <= high else -1

    def is_term(term: str) -> bool:
        if name == _DAY_OF_WEEK and term.endswith("L"):
            return term[:-1].isdigit() and number(term[:-1]) >= 0
        if name == _DAY_OF_WEEK and "#" in term:
            day, _, nth = term.partition("#")
            return number(day) >= 0 and nth.lstrip("0") in tuple("12345")
        if "/" in term:
            start, _, step = term.partition("/")
            return step.isdecimal() and step.isascii() and int(step) > 0 and is_term(start)
        if "-" in term:
            first, _, last = term.partition("-")
            return 0 <= number(first) <= number(last)
        return term == "*" or number(term) >= 0 or (name == _DAY_OF_MONTH and term in ("L", "LW"))

    return all(is_term(term) for term in text.split(","))


def time_zone(name: str) -> str:
    """
    Return the name of an IANA time zone.

    :raises ValueError: this machine has a database of time zones, which does not have it.
    """
    name = name.strip()
    folders = [folder for folder in _ZONE_FILES if os.path.isdir(folder)]
    if not _ZONE.fullmatch(name) or (folders and not any(_is_zone(os.path.join(each, name)) for each in folders)):
        raise ValueError(f"{name!r} is no time zone, such as Europe/Berlin")
    return name


def _is_zone(path: str) -> bool:
    try:
        with open(path, "rb") as file:
            return file.read(4) == b"TZif"
    except OSError:
        return False


def machine_zone(environ: Mapping[str, str], etc: str = "/etc") -> str:
    """
    Return the time zone of this machine: of ``CRON_TZ``, ``TZ``, ``/etc/localtime`` or ``/etc/timezone``; else UTC.

    What is no IANA name, such as ``CET-1CEST,M3.5.0,M10.5.0/3``, is passed over.
    """
    localtime = os.path.join(etc, "localtime")
    for name in (environ.get("CRON_TZ", ""), environ.get("TZ", ""), _link(localtime), os.path.realpath(localtime)):
        try:
            return _usual(time_zone(_after_folder(name)))
        except ValueError:
            pass
    try:
        with open(os.path.join(etc, "timezone"), encoding="ascii") as file:
            return _usual(time_zone(file.readline()))
    except (OSError, ValueError):
        return "UTC"


def _usual(name: str) -> str:
    """The name that people use, where Debian has another one."""
    return "UTC" if name == "Etc/UTC" else name


def _link(path: str) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""


def _after_folder(path: str) -> str:
    """The name of a zone that may be written as ``:NAME`` or as the path of its file."""
    name = path.rpartition("zoneinfo/")[2].lstrip(":")
    for folder in ("posix/", "right/"):
        if name.startswith(folder):
            name = name[len(folder) :]
    return name


####################################################################################################
# What a report says, and the run before that it carries on (contract, section 1).

#: Where Py Pinger cuts a reason, in characters.
REASON = 500

# The clock that neither steps nor stands still while the machine is suspended.
_STEADY = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)

#: The members of a report.
Members = Dict[str, Any]


class TaskDetails(NamedTuple):
    """
    What every report of a task says.

    :ivar every: minutes between two runs; None for the monitor's settings, or with a schedule.
    :ivar timezone: of the schedule.
    :ivar max_runtime: minutes that a run may take.
    """

    process: str | None
    server: str | None
    every: float | None = None
    schedule: str | None = None
    timezone: str | None = None
    max_runtime: float | None = None
    sleep: Sleep | None = None

    def members(self) -> Members:
        """The members that are known."""
        found = {
            "frequency": self.every,
            "schedule": self.schedule,
            "timezone": self.timezone if self.schedule else None,
            "max_runtime": self.max_runtime,
            "sleep": self.sleep,
            "process": self.process,
            "server": self.server,
        }
        return {name: value for name, value in found.items() if value is not None}


class EndedRun(NamedTuple):
    """
    A run that has ended.

    :ivar ended: POSIX time, as `started`.
    :ivar reason: why it failed, at most 500 characters.
    """

    started: float
    ended: float
    ok: bool
    reason: str | None = None


class Stopwatch:
    """
    When a run started and ended, also where somebody sets the machine's clock meanwhile.

    :ivar started: POSIX time.
    """

    def __init__(self) -> None:
        self.started = time.time()
        self._steady = time.clock_gettime(_STEADY)

    def stop(self, ok: bool, reason: str | None = None) -> EndedRun:
        """Return the run that ends now."""
        ended, took = time.time(), time.clock_gettime(_STEADY) - self._steady
        stepped = abs(ended - self.started - took) > 1
        return EndedRun(ended - took if stepped else min(self.started, ended), ended, ok, reason and reason[:REASON])


class KeptReport(NamedTuple):
    """
    What a published report says of the runs before.

    :ivar outcome: ``status``, ``reason`` and ``lastrun``, as far as it has them.
    :ivar started: POSIX time of the latest start; None if it has none. `lastrun` likewise.
    """

    outcome: Members
    started: float | None = None
    lastrun: float | None = None


def read_report(body: bytes) -> KeptReport:
    """Return what `body` says; a report that is not valid says nothing."""
    nothing = KeptReport({"status": "ok"})
    try:
        members = json.loads(body.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return nothing
    status = str(members.get("status")).strip().lower() if isinstance(members, dict) else ""
    if status not in ("ok", "error"):
        return nothing
    lastrun, started = moment(members.get("lastrun")), moment(members.get("started"))
    if lastrun is None:
        return nothing._replace(started=started)
    outcome = {"status": status, "lastrun": timestamp(lastrun)}
    reason = members.get("reason")
    if isinstance(reason, (str, int, float)) and not isinstance(reason, bool):
        outcome["reason"] = str(reason)[:REASON]
    return KeptReport(outcome, started, lastrun)


def start_members(before: KeptReport, started: float) -> Members:
    """The members of a report of a run that starts."""
    return {**before.outcome, "started": timestamp(started)}


def end_members(run: EndedRun) -> Members:
    """The members of a report of a run that has ended."""
    members = {"status": "ok" if run.ok else "error"}
    if run.reason:
        members["reason"] = run.reason
    return {**members, "lastrun": timestamp(run.ended), "started": timestamp(run.started)}


def timestamp(instant: float) -> str:
    """ISO 8601 in UTC, with milliseconds."""
    text = datetime.fromtimestamp(instant, timezone.utc).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def moment(text: object) -> float | None:
    """The POSIX time of a date-time, in UTC unless it says otherwise; None for anything else."""
    try:
        when = datetime.fromisoformat(str(text).strip().replace("Z", "+00:00"))
        return (when if when.tzinfo else when.replace(tzinfo=timezone.utc)).timestamp()
    except (ValueError, OverflowError):
        return None


####################################################################################################
# Where reports go: a file that a web server serves, or Py Pinger's push endpoint (contract, section 9).

# How long to wait for the lock of a directory, in seconds. Who holds it longer does not keep a report back.
_LOCK_WAIT = 5.0

#: Says what went wrong.
Complain = Callable[[str], None]


class ReportFile:
    """
    A file that always holds a whole report.

    Each report is written beside it and moved into place. Runs at once take turns by a lock of the directory, so that
    the start of one does not undo the end of another.

    :raises ValueError: something else has this path.
    """

    def __init__(self, path: str, details: TaskDetails, complain: Complain) -> None:
        self._path = os.path.realpath(path)
        self._shown = path
        self._details = details
        self._complain = complain
        try:
            regular = stat.S_ISREG(os.stat(self._path).st_mode)
        except OSError:
            regular = not path.endswith("/")
        if not regular:
            raise ValueError(f"{path!r} is no file")

    def begin(self, started: float) -> None:
        """Publish that a run starts, with the outcome of the run before."""
        self._publish(lambda before: start_members(before, started))

    def finish(self, run: EndedRun) -> None:
        """Publish the end of a run, unless one that ended later is published."""
        self._publish(lambda before: _end(before, run))

    def wait(self, seconds: float) -> bool:
        """Whether all is published, or given up."""
        return True

    def _publish(self, make: Callable[[KeptReport], Members | None]) -> None:
        try:
            directory = os.path.dirname(self._path)
            _make_directory(directory)
            with _locked(directory):
                members = make(self._read())
                if members is not None:
                    self._write({**members, **self._details.members()})
        except OSError as error:
            kept = "; the report of the run before stays" if os.path.exists(self._path) else ""
            self._complain(f"cannot write {self._shown}: {error.strerror}{kept}")

    def _read(self) -> KeptReport:
        try:
            with open(self._path, "rb") as file:
                return read_report(file.read(1 << 20))
        except OSError:
            return read_report(b"")

    def _write(self, report: Members) -> None:
        new = os.path.join(os.path.dirname(self._path), f".pypinger-{os.urandom(6).hex()}.new")
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(json.dumps(report).encode("ascii") + b"\n")
                file.flush()
                os.fchmod(descriptor, 0o644)
                os.fsync(descriptor)
            os.replace(new, self._path)
        except BaseException:
            os.unlink(new)
            raise


def _end(before: KeptReport, run: EndedRun) -> Members | None:
    """The members at the end of `run`; None if a later end is published. The latest start is kept."""
    now = time.time()
    # What lies ahead was written before the clock was set back.
    if before.lastrun is not None and run.ended < before.lastrun <= now:
        return None
    if before.started is not None and run.started < before.started <= now:
        run = run._replace(started=before.started)
    return end_members(run)


def _make_directory(path: str) -> None:
    """Create a directory and those above it, which all may read."""
    if not os.path.isdir(path):
        _make_directory(os.path.dirname(path))
        try:
            os.mkdir(path)
            os.chmod(path, 0o755)
        except FileExistsError:
            pass


@contextmanager
def _locked(directory: str) -> Iterator[None]:
    """Hold the lock of a directory, where it can be had; it leaves no file and ends with the process."""
    descriptor = -1
    try:
        descriptor = os.open(directory, os.O_RDONLY)
        deadline = time.monotonic() + _LOCK_WAIT
        while not _lock(descriptor) and time.monotonic() < deadline:
            time.sleep(0.02)
    except OSError:
        pass
    try:
        yield
    finally:
        if descriptor >= 0:
            os.close(descriptor)


def _lock(descriptor: int) -> bool:
    """
    Try to lock; whether that succeeded.

    :raises OSError: this file system has no such locks.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


####################################################################################################
# Pushes reports to Py Pinger by POST (contract, section 9).

#: How long a report is retried, in seconds.
RETRY_FOR = 60.0

# How long to wait before the second attempt, in seconds; the next waits are longer.
_FIRST_PAUSE = 1.0

# The limit of each step of a request, in seconds.
_TIMEOUT = 10.0

# How many reports wait at most; older ones are dropped.
_MOST_WAITING = 100

# What is shown of the path, which holds the key.
_MASKED = "/***"

# The shortest part of a URL that is masked, in characters.
_SECRET = 8

# Answers below 500 after which another attempt may succeed.
_PASSING = (408, 425, 429)


class _Pending(NamedTuple):
    """
    A report to push.

    :ivar until: when it is given up, on the monotonic clock.
    """

    body: bytes
    ends: bool
    until: float


class _Refusal(NamedTuple):
    """
    Why a push failed.

    :ivar final: whether another attempt would fail as well.
    :ivar wait: seconds that the server asks for.
    """

    words: str
    final: bool = False
    wait: float = 0.0


class PushUrl:
    """
    A push URL of Py Pinger, which is secret: its key lets anyone report.

    A thread sends the reports one after the other, so that a monitor that is away holds up no task.

    :raises ValueError: the URL cannot be used; the message does not have it.
    """

    def __init__(self, url: str, details: TaskDetails, complain: Complain) -> None:
        self._url, self._origin, self._headers = _read_url(url.strip())
        target = self._url[len(self._origin) - len(_MASKED) :]
        parts = [target, *re.split("[/?&=]", target)]
        self._secrets = sorted((part for part in parts if len(part) >= _SECRET), key=len, reverse=True)
        self._details = details
        self._complain = complain
        self._changed = threading.Condition()
        self._waiting: deque[_Pending] = deque(maxlen=_MOST_WAITING)
        self._busy = False
        os.register_at_fork(after_in_child=self._forget)

    def _forget(self) -> None:
        """A forked process has neither the thread nor its work."""
        self._changed = threading.Condition()
        self._waiting.clear()
        self._busy = False

    def begin(self, started: float) -> None:
        """Push that a run starts; Py Pinger knows the outcome of the run before."""
        self._push({"status": "ok", "started": timestamp(started)}, ends=False)

    def finish(self, run: EndedRun) -> None:
        """Push the end of a run."""
        self._push(end_members(run._replace(reason=run.reason and self._masked(run.reason))), ends=True)

    def wait(self, seconds: float) -> bool:
        """Wait until all is pushed, or given up; whether it is."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._busy, seconds)

    def _push(self, members: Members, ends: bool) -> None:
        body = json.dumps({**members, **self._details.members()}).encode("ascii")
        with self._changed:
            self._waiting.append(_Pending(body, ends, time.monotonic() + RETRY_FOR))
            self._changed.notify_all()
            if self._busy:
                return
            try:
                threading.Thread(target=self._work, name="pypinger-push", daemon=True).start()
                self._busy = True
            except RuntimeError as error:
                self._waiting.clear()
                self._complain(f"cannot push to {self._origin}: {error}")

    def _work(self) -> None:
        while True:
            with self._changed:
                if not self._waiting:
                    self._busy = False
                    self._changed.notify_all()
                    return
                pending = self._waiting.popleft()
            try:
                self._deliver(pending)
            except Exception as error:
                self._complain(f"cannot push to {self._origin}: {self._words(error)}")

    def _deliver(self, pending: _Pending) -> None:
        """Push a report, again and again for a minute, or until a run that has ended since makes it old."""
        pause = _FIRST_PAUSE
        while True:
            refusal = self._attempt(pending.body, max(1.0, min(_TIMEOUT, pending.until - time.monotonic())))
            if refusal is None:
                return
            pause = max(pause, refusal.wait)
            if refusal.final or time.monotonic() + pause > pending.until:
                self._complain(f"cannot push to {self._origin}: {refusal.words}")
                return
            with self._changed:
                if self._changed.wait_for(lambda: any(each.ends for each in self._waiting), pause):
                    return
            pause = min(pause * 2, 15.0)

    def _attempt(self, body: bytes, timeout: float) -> _Refusal | None:
        request = urllib.request.Request(self._url, body, self._headers, method="POST")
        try:
            urllib.request.build_opener(_NoRedirects).open(request, timeout=timeout).close()
        except urllib.error.HTTPError as error:
            return self._refusal(error)
        except urllib.error.URLError as error:
            return _Refusal(self._words(error.reason))
        except (OSError, http.client.HTTPException, ValueError) as error:
            return _Refusal(self._words(error))
        return None

    def _refusal(self, answer: urllib.error.HTTPError) -> _Refusal:
        """An answer outside 2xx; its first line says why."""
        try:
            line = answer.read(1000).decode("utf-8", "replace").strip().partition("\n")[0].strip()
        except (OSError, http.client.HTTPException):
            line = ""
        finally:
            answer.close()
        words = f"HTTP {answer.code} {answer.reason}".strip()
        if line and not line.startswith("<"):
            words += f": {line}"
        wait = str(answer.headers.get("Retry-After", "")).strip()
        return _Refusal(
            self._words(words),
            final=answer.code < 500 and answer.code not in _PASSING,
            wait=float(wait) if re.fullmatch("[0-9]{1,4}", wait) else 0.0,
        )

    def _words(self, problem: BaseException | str) -> str:
        """What is wrong in one line, without the key."""
        words = getattr(problem, "strerror", None) or str(problem) or type(problem).__name__
        return "".join(each if each.isprintable() else " " for each in self._masked(words))[:200]

    def _masked(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, _MASKED)
        return text


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A POST that follows a redirect becomes a GET, which Py Pinger does not take."""

    def redirect_request(self, *arguments: Any) -> None:
        return None


def _read_url(url: str) -> tuple[str, str, Members]:
    """
    Return the URL without userinfo, its origin as it may be shown, and the headers of a push.

    :raises ValueError: the URL cannot be used.
    """
    headers = {"Content-Type": "application/json", "User-Agent": "pypinger-report"}
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ValueError("it is no valid URL") from None
    if parts.scheme not in ("http", "https") or not host:
        raise ValueError("it must begin with http:// or https:// and a host")
    if re.search(r"[^!-~]", url):
        raise ValueError("it holds a character that must be percent-encoded")
    if parts.username is not None:
        userinfo = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers["Authorization"] = "Basic " + base64.b64encode(userinfo.encode()).decode("ascii")
    shown = f"[{host}]" if ":" in host else host
    origin = f"{parts.scheme}://{shown}" + (f":{port}" if port is not None else "")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return origin + target, origin + _MASKED, headers


####################################################################################################
# Runs a command: passes signals and standard error on, and keeps the last lines (contract, section 9).

#: The exit codes of shells for a command that cannot be run, and for one that is not there.
CANNOT_RUN, NOT_FOUND = 126, 127

#: What a shell adds to the number of the signal that ended a command.
SIGNALLED = 128

# How much of standard error is kept, in bytes, and how much is read at once.
_TAIL = 8192
_CHUNK = 65_536

# How long the report waits for the end of standard error after that of the command, in seconds. What the command left
# running in the background may keep it open.
_LINGER = 1.0

_FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
# Colours and the like, and control characters that end no line.
_UNSHOWN = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[@-_])|[\x00-\x08\x0e-\x1b\x7f]")


class CommandEnd(NamedTuple):
    """
    How a command ended.

    :ivar code: the exit code as shells have it.
    :ivar reason: why it failed, if it did; what ended it early.
    :ivar problem: why it could not be run at all.
    """

    code: int
    reason: str | None = None
    problem: str | None = None


class SignalGate:
    """
    Holds back the signals for a command, until :meth:`next` takes them.

    Nothing is lost between two steps, and none of them interrupts a report. Signals that are ignored, as under nohup,
    stay ignored.
    """

    def __init__(self) -> None:
        self._forwarded = {each for each in _FORWARDED if signal.getsignal(each) != signal.SIG_IGN}
        self._child = signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self._before = signal.pthread_sigmask(signal.SIG_BLOCK, {*self._forwarded, signal.SIGCHLD})

    def open_in_child(self) -> None:
        """Give a new process the signals that this one had."""
        signal.pthread_sigmask(signal.SIG_SETMASK, self._before)

    def pass_on(self, child: subprocess.Popen[bytes]) -> signal.Signals | None:
        """
        Wait for a signal and send it to a child; None for the end of a child.

        What is typed at the terminal the kernel has sent to the command as well.
        """
        held: set[int] = {*self._forwarded, signal.SIGCHLD}
        if hasattr(signal, "sigwaitinfo"):
            found = signal.sigwaitinfo(held)
            number, typed = found.si_signo, found.si_code > 0
        else:  # macOS
            number, typed = signal.sigwait(held), False
        if number == signal.SIGCHLD:
            return None
        if not typed:
            child.send_signal(number)
        return signal.Signals(number)

    def asked_to_end(self) -> bool:
        """Whether a signal waits."""
        return not self._forwarded.isdisjoint(signal.sigpending())

    def close(self) -> None:
        """Restore what was before; what waits is dropped."""
        while not {*self._forwarded, signal.SIGCHLD}.isdisjoint(signal.sigpending()):
            signal.sigwait({*self._forwarded, signal.SIGCHLD})
        signal.pthread_sigmask(signal.SIG_SETMASK, self._before)
        if self._child is not None:
            signal.signal(signal.SIGCHLD, self._child)


class _Tail:
    """The last bytes of standard error, which it passes on as they come."""

    def __init__(self, source: int) -> None:
        self._source = source
        self._kept = bytearray()
        self._complete = False
        self._stopped, self._stop = os.pipe()
        self._thread = threading.Thread(target=self._pump, name="pypinger-stderr", daemon=True)
        self._thread.start()

    def _pump(self) -> None:
        passing = True
        ready = select.poll()
        ready.register(self._source, select.POLLIN)
        ready.register(self._stopped, select.POLLIN)
        while self._stopped not in dict(ready.poll()):
            data = os.read(self._source, _CHUNK)
            if not data:
                self._complete = True
                return
            self._kept += data[-_TAIL:]
            del self._kept[:-_TAIL]
            passing = passing and _pass_on(data)

    def end(self) -> bytes:
        """Return the last bytes, once the command has ended."""
        self._thread.join(_LINGER)
        return bytes(self._kept)

    def leave(self, gate: SignalGate) -> None:
        """
        Wait until all that was read is passed on.

        What the command left running would be killed by SIGPIPE without a reader: cat(1) reads on.
        """
        os.close(self._stop)
        while self._thread.is_alive() and not gate.asked_to_end():
            self._thread.join(0.1)
        if not self._complete:
            try:
                subprocess.Popen(
                    ["/bin/sh", "-c", "exec cat"],
                    stdin=self._source,
                    stdout=2,
                    cwd="/",
                    start_new_session=True,
                    preexec_fn=gate.open_in_child,
                )
            except OSError:
                pass


def _pass_on(data: bytes) -> bool:
    """Write to standard error; whether there is one."""
    rest = memoryview(data)
    while rest:
        try:
            rest = rest[os.write(2, rest) :]
        except BlockingIOError:
            select.select([], [2], [])
        except OSError:
            return False
    return True


def run_command(
    command: Sequence[str],
    gate: SignalGate,
    keep_stderr: bool,
    begun: Callable[[], None],
    ended: Callable[[CommandEnd], None],
) -> int:
    """
    Run a command to its end; return its exit code.

    :param keep_stderr: whether the last lines of standard error are part of the reason.
    :param begun: called once it runs, or cannot.
    :param ended: called once it has ended, or cannot run; standard error may still be passed on then.
    """
    _fill_standard_streams()
    stderr = subprocess.PIPE if keep_stderr else None
    try:
        child = _spawn(command, gate, stderr)
    except OSError as error:
        begun()
        outcome = _not_run(command[0], error)
        ended(outcome)
        return outcome.code
    tail = None if child.stderr is None else _Tail(child.stderr.fileno())
    begun()
    received: list[signal.Signals] = []
    while child.poll() is None:
        number = gate.pass_on(child)
        if number is not None:
            received.append(number)
    outcome = _outcome(child.returncode, received, b"" if tail is None else tail.end())
    ended(outcome)
    if tail is not None:
        tail.leave(gate)
    return outcome.code


def _spawn(command: Sequence[str], gate: SignalGate, stderr: int | None) -> subprocess.Popen[bytes]:
    """
    Start a command with the descriptors of this process, such as the lock of flock(1).

    :raises OSError: it cannot be run.
    """

    def start(arguments: Sequence[str]) -> subprocess.Popen[bytes]:
        # No thread runs yet that the child could miss.
        return subprocess.Popen(arguments, stderr=stderr, close_fds=False, preexec_fn=gate.open_in_child)

    try:
        return start(command)
    except OSError as error:
        script = shutil.which(command[0])
        if error.errno != errno.ENOEXEC or script is None:
            raise
        # As execvp(3) does for a script whose first line names no interpreter.
        return start(["/bin/sh", script, *command[1:]])


def _not_run(name: str, error: OSError) -> CommandEnd:
    shown = name or "''"
    # A folder of PATH that cannot be entered fails with EACCES, although it may hold no such command.
    unknown = "/" not in name and shutil.which(name, os.F_OK) is None
    if isinstance(error, FileNotFoundError) or unknown:
        words = "its interpreter is not found" if "/" in name and os.path.exists(name) else "not found"
        return CommandEnd(NOT_FOUND, f"{shown}: {words}"[:REASON], f"{shown}: {words}")
    words = "permission denied" if isinstance(error, PermissionError) else str(error.strerror)
    return CommandEnd(CANNOT_RUN, f"{shown}: {words}"[:REASON], f"{shown}: {words}")


def _outcome(returncode: int, received: Sequence[signal.Signals], stderr: bytes) -> CommandEnd:
    after = " after " + ", ".join(dict.fromkeys(each.name for each in received)) if received else ""
    if returncode == 0:
        return CommandEnd(0, f"ended{after}" if received else None)
    if returncode < 0:
        return CommandEnd(SIGNALLED - returncode, with_last_lines(f"killed by {_signal_name(-returncode)}", stderr))
    # What a shell says of a command that a signal ended.
    by = f" ({_signal_name(returncode - SIGNALLED)})" if SIGNALLED < returncode <= SIGNALLED + 31 else ""
    return CommandEnd(returncode, with_last_lines(f"exit code {returncode}{by}{after}", stderr))


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def with_last_lines(why: str, stderr: bytes) -> str:
    """Return a reason of at most 500 characters with as many of the last lines as it has room for."""
    text = _UNSHOWN.sub("", stderr.decode("utf-8", "replace").lstrip("\N{REPLACEMENT CHARACTER}"))
    lines: list[str] = []
    room = REASON - len(why) - 1
    for line in reversed([line.strip() for line in text.splitlines() if line.strip()]):
        if len(line) >= room:
            if not lines:
                lines.append(line[: room - 2] + "…")
            break
        lines.append(line)
        room -= len(line) + 1
    return why + (": " + "\n".join(reversed(lines)) if lines else "")


def _fill_standard_streams() -> None:
    """Keep a new descriptor from becoming a standard stream that is closed; the command does not inherit it."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


####################################################################################################
# ``monitored``: reports of Python functions and coroutines (contract, section 9).

Function = TypeVar("Function", bound=Callable[..., Any])

# How long a function waits for its report to be pushed, in seconds; a thread keeps trying.
_PATIENCE = 5.0


def monitored(
    *,
    name: str | None = None,
    every: Length | None = None,
    schedule: str | None = None,
    timezone: str | None = None,
    max_runtime: Length | None = None,
    report: str | os.PathLike[str] | None = None,
    push: str | None = None,
) -> Callable[[Function], Function]:
    """
    Publish a report whenever the decorated function or coroutine starts and ends.

    An exception, or the cancellation of a coroutine, is an error, and is raised as before. What goes wrong with the
    report itself is logged.

    :param name: what the task is; by default the name of the function.
    :param every: how often it should run: minutes, text such as ``10m``, or a timedelta.
    :param schedule: when it should run instead, as a cron expression.
    :param timezone: that of the schedule, by default this machine's.
    :param max_runtime: how long a run may take, as `every`.
    :param report: the file to write.
    :param push: the URL to push to instead, by default that of ``$PYPINGER_PUSH_URL``.
    :raises ValueError: an argument is wrong.
    """
    if every is not None and schedule is not None:
        raise ValueError("give either every or schedule")
    if report is not None and push is not None:
        raise ValueError("give either report or push")
    details = TaskDetails(
        process=name,
        server=os.uname().nodename,
        every=None if every is None else minutes(every),
        schedule=None if schedule is None else cron_expression(schedule),
        timezone=machine_zone(os.environ) if timezone is None else time_zone(timezone),
        max_runtime=None if max_runtime is None else minutes(max_runtime),
    )
    url = push or os.environ.get("PYPINGER_PUSH_URL", "")
    if report is None and not url:
        raise ValueError("give report, push or $PYPINGER_PUSH_URL")

    def decorate(function: Any) -> Any:
        named = details._replace(process=name or getattr(function, "__name__", type(function).__name__))
        complain = logging.getLogger("pypinger.report").error
        destination: ReportFile | PushUrl
        if report is None:
            destination = PushUrl(url, named, complain)
            atexit.register(destination.wait, RETRY_FOR)
        else:
            destination = ReportFile(os.fspath(report), named, complain)
        return _wrap(function, destination)

    return decorate


def _wrap(function: Any, destination: ReportFile | PushUrl) -> Any:
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise TypeError("a generator cannot be monitored: it ends when its caller wants")

    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def run_coroutine(*arguments: Any, **named: Any) -> Any:
            run = _MonitoredRun(destination)
            try:
                await _beside(run.begin)
                result = await function(*arguments, **named)
            except GeneratorExit as error:
                # Who closes a coroutine does not let it wait.
                run.finish(error)
                raise
            except BaseException as error:
                await _beside(run.finish, error)
                raise
            await _beside(run.finish, None)
            return result

        return run_coroutine

    @functools.wraps(function)
    def run_function(*arguments: Any, **named: Any) -> Any:
        run = _MonitoredRun(destination)
        try:
            run.begin()
            result = function(*arguments, **named)
        except BaseException as error:
            run.finish(error)
            raise
        run.finish(None)
        return result

    return run_function


class _MonitoredRun:
    def __init__(self, destination: ReportFile | PushUrl) -> None:
        self._destination = destination
        self._stopwatch = Stopwatch()

    def begin(self) -> None:
        self._destination.begin(self._stopwatch.started)

    def finish(self, error: BaseException | None) -> None:
        ok = error is None or (isinstance(error, SystemExit) and not error.code)
        self._destination.finish(self._stopwatch.stop(ok, None if ok or error is None else _words(error)))
        self._destination.wait(_PATIENCE)


def _words(error: BaseException) -> str:
    name = type(error).__name__
    if name == "CancelledError" or isinstance(error, GeneratorExit):
        return "cancelled"
    try:
        text = str(error).strip()
    except Exception:
        text = ""
    return f"{name}: {text}" if text else name


async def _beside(function: Callable[..., None], *arguments: Any) -> None:
    """
    Call a function that may block: from a task of asyncio in a thread, so that the loop does not wait.

    A cancellation is raised once the function has returned.
    """
    import asyncio  # slow, and of use to coroutines only

    call = functools.partial(function, *arguments)
    try:
        # Twisted runs coroutines on asyncio's loop, too, where they are no tasks and cannot await its futures.
        in_task = asyncio.current_task() is not None
        future = asyncio.get_running_loop().run_in_executor(None, call) if in_task else None
    except RuntimeError:  # no loop runs, or it shuts down
        future = None
    if future is None:
        call()
        return
    try:
        await asyncio.shield(future)
    except asyncio.CancelledError:
        await asyncio.shield(future)
        raise


####################################################################################################
# The command line of ``pypinger run`` and ``pypinger-report.py`` (contract, section 9).

#: The environment variable that may have the push URL.
PUSH_URL = "PYPINGER_PUSH_URL"

# How long a report that is being pushed has after a signal, or after its minute, in seconds.
_LAST_ATTEMPT = 2.0

_FLAGS = ("-h", "--help", "--version", "--no-output")

Destination = Union[ReportFile, PushUrl]


class _OneLineParser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Say in one line what is wrong, without the paths of URLs, and exit."""
        words = " ".join(re.sub(r"(\w://)\S+", r"\1***", message).split())
        self.exit(2, f"{self.prog}: {words}\n")


def main(argv: Sequence[str] | None = None, prog: str = "pypinger-report.py") -> int:
    """
    Run a command and publish its report.

    :param argv: the arguments, by default those of the process.
    :returns: the exit code: that of the command.
    """
    own, command = _split(sys.argv[1:] if argv is None else list(argv))
    parser = _parser(prog)
    arguments = parser.parse_args(own)
    if not command:
        parser.error("a command is needed: [OPTIONS] -- COMMAND...")

    def complain(words: str) -> None:
        try:
            os.write(2, f"{prog}: {words}\n".encode("utf-8", "backslashreplace"))
        except OSError:
            pass

    destination = _destination(parser, arguments, command[0], complain)
    gate = SignalGate()
    try:
        return _run(command, destination, gate, not arguments.no_output, complain)
    finally:
        gate.close()


def _run(
    command: Sequence[str], destination: Destination, gate: SignalGate, keep_stderr: bool, complain: Complain
) -> int:
    stopwatch = Stopwatch()
    pushes = isinstance(destination, PushUrl)
    # A file says so before the command begins; a push takes a thread, which begins after it.
    if not pushes:
        destination.begin(stopwatch.started)

    def begun() -> None:
        if pushes:
            destination.begin(stopwatch.started)

    def ended(outcome: CommandEnd) -> None:
        if outcome.problem:
            complain(outcome.problem)
        destination.finish(stopwatch.stop(outcome.code == 0, outcome.reason))
        deadline = time.monotonic() + RETRY_FOR
        while not destination.wait(0.1) and not gate.asked_to_end() and time.monotonic() < deadline:
            pass
        if not destination.wait(_LAST_ATTEMPT):
            complain("the report was not pushed in time")

    return run_command(command, gate, keep_stderr, begun, ended)


def _split(argv: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return our own arguments and the command, which begins after ``--`` or with what is no option."""
    place = 0
    while place < len(argv) and argv[place] != "--" and argv[place].startswith("-"):
        place += 1 if "=" in argv[place] or argv[place] in _FLAGS else 2
    command = list(argv[place:])
    return list(argv[:place]), command[1:] if command[:1] == ["--"] else command


def _destination(
    parser: argparse.ArgumentParser, arguments: argparse.Namespace, command: str, complain: Complain
) -> Destination:
    schedule, sleep = arguments.schedule, arguments.sleep
    details = TaskDetails(
        process=_valid(os.path.basename(command) if arguments.name is None else arguments.name),
        server=_valid(os.uname().nodename if arguments.server is None else arguments.server),
        every=arguments.every,
        schedule=schedule,
        timezone=(arguments.timezone or machine_zone(os.environ)) if schedule else None,
        max_runtime=arguments.max_runtime,
        sleep=[window for windows in sleep for window in windows] if sleep else None,
    )
    push = arguments.push if arguments.push is not None else os.environ.get(PUSH_URL, "")
    if arguments.report is None and not push:
        parser.error(f"--report FILE, --push URL or ${PUSH_URL} is needed")
    try:
        if arguments.report is not None:
            return ReportFile(arguments.report, details, complain)
    except ValueError as error:
        parser.error(f"argument --report: {error}")
    try:
        return PushUrl(push, details, complain)
    except ValueError as error:
        parser.error(f"the push URL cannot be used: {error}")


def _valid(text: str) -> str:
    """An argument without the bytes that are no text."""
    return os.fsencode(text).decode("utf-8", "replace")


def _parser(prog: str) -> argparse.ArgumentParser:
    parser = _OneLineParser(
        prog=prog,
        usage="%(prog)s [OPTIONS] -- COMMAND...",
        description="Run a command and publish the report of a task: when it began, when it ended, and whether it "
        "succeeded. The exit code is that of the command.",
        epilog="A TIME is a number of minutes, or like 10m, 1h 30m or 90s.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"Py Pinger {__version__}")
    when = parser.add_mutually_exclusive_group()
    when.add_argument("--every", type=_value(minutes), metavar="TIME", help="how often the task should run")
    when.add_argument("--schedule", type=_value(cron_expression), metavar="CRON", help="five fields, or @daily")
    parser.add_argument(
        "--timezone", type=_value(time_zone), metavar="ZONE", help="that of the schedule (default: this machine's)"
    )
    parser.add_argument("--max-runtime", type=_value(minutes), metavar="TIME", help="how long a run may take")
    parser.add_argument(
        "--sleep",
        type=_value(sleep_windows),
        action="append",
        metavar="WINDOWS",
        help="when the task does not run, each day in UTC: '22:00 + 450m, 12:00 + 30m'",
    )
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--report", metavar="FILE", help="write the report to this file")
    where.add_argument("--push", metavar="URL", help=f"push it to this URL of Py Pinger (default: ${PUSH_URL})")
    parser.add_argument("--name", metavar="NAME", help="what the task is (default: the command's name)")
    parser.add_argument("--server", metavar="NAME", help="where it runs (default: this machine's name)")
    parser.add_argument("--no-output", action="store_true", help="keep standard error out of the report")
    return parser


def _value(read: Callable[[str], object]) -> Callable[[str], object]:
    """A type of arguments whose errors say what is wrong."""

    def convert(text: str) -> object:
        try:
            return read(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return convert


if __name__ == "__main__":
    sys.exit(main())
