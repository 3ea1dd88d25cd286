"""
The log: one line per event, without secrets and without characters that control a terminal.

Texts of endpoints and services reach the log, so each line is cleaned here, in the last step: known secrets become
``***``, and control characters, except line feeds of tracebacks, are written as escapes.

With ``[main] log = json`` a line is a JSON object instead: `time`, `level`, `namespace` and `message`, and of events
that have them `event`, `task`, `kind` and `id`. Only syslog, which has marks of its own, gets text in any case.
"""

from __future__ import annotations

import atexit
import io
import json
import os
import re
import stat
import sys
from collections.abc import Callable, Mapping
from typing import Any

from twisted.logger import (
    FileLogObserver,
    ILogObserver,
    LegacyLogObserverWrapper,
    LogEvent,
    LogLevel,
    eventAsText,
    formatEvent,
    formatEventAsClassicLogText,
)
from twisted.python.logfile import LogFile
from zope.interface import implementer

from pypinger.domain.model import Seconds
from pypinger.domain.redaction import Secrets
from pypinger.domain.times import iso
from pypinger.streams import LogStream

#: How long the end of the process waits for a reader of the log.
DRAIN: Seconds = 1.0

#: The priorities of syslog and the journal.
PRIORITIES = {LogLevel.critical: 2, LogLevel.error: 3, LogLevel.warn: 4, LogLevel.info: 6, LogLevel.debug: 7}

#: The fields of events that are members of JSON lines, too.
FIELDS = ("event", "task", "kind", "id")

_KEPT = ("log_time", "log_level", "log_namespace", "log_system")
_UNFIT = re.compile("[\0-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_UNFIT_IN_TRACEBACKS = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


class ReopenableFile:
    """
    A log file that follows an external rotation; without one it rotates itself at 1 MB, as twistd's does.

    :param path: of the file.
    """

    def __init__(self, path: str) -> None:
        # A daemon changes its working directory.
        self._path = os.path.abspath(path)
        self._file = LogFile.fromFullPath(self._path)

    def write(self, text: str) -> None:
        self._file.write(text)

    def flush(self) -> None:
        self._file.flush()

    def reopen(self) -> None:
        """
        Open the file at the path anew.

        :raises OSError: it cannot be opened; the old one stays in use.
        """
        old, self._file = self._file, LogFile.fromFullPath(self._path)
        old.close()


@implementer(ILogObserver)
class CleanLog:
    """
    Passes on each event as one clean text.

    :param target: writes it.
    :param output: the file or stream that `target` writes to, if there is one.
    """

    def __init__(self, target: ILogObserver, output: ReopenableFile | LogStream | None = None) -> None:
        self._target = target
        self._output = output
        self._secrets = Secrets()
        self._debug = False
        self._json = False

    def configure(self, secrets: Secrets, *, debug: bool, as_json: bool = False) -> None:
        """
        Set what is masked and logged from now on, and how.

        :param debug: whether events of level debug are written.
        :param as_json: whether lines are JSON objects.
        """
        self._secrets = secrets
        self._debug = debug
        self._json = as_json

    def use(self, reactor: Any) -> None:
        """Write what a stream's reader has not read yet with this reactor's timers."""
        if isinstance(self._output, LogStream):
            self._output.use(reactor)

    def reopen(self) -> None:
        """
        Open the log file anew; do nothing without one.

        :raises OSError: it cannot be opened; the old one stays in use.
        """
        if isinstance(self._output, ReopenableFile):
            self._output.reopen()

    def __call__(self, event: LogEvent) -> None:
        if event.get("log_level") is LogLevel.debug and not self._debug:
            return
        if "log_failure" in event:
            unfit, text = _UNFIT_IN_TRACEBACKS, eventAsText(event, includeTimestamp=False, includeSystem=False)
        else:
            unfit, text = _UNFIT, formatEvent(event)
        if not text:
            return
        kept: LogEvent = {key: event[key] for key in _KEPT if key in event}
        text = unfit.sub(_escape, self._secrets.scrub(text.rstrip("\n")))
        kept |= {"log_format": "{log_text}", "log_text": text}
        if self._json:
            kept["log_json"] = self._as_json(event, text)
        self._target(kept)

    def _as_json(self, event: LogEvent, text: str) -> str:
        level = event.get("log_level", LogLevel.info)
        members = {
            "time": iso(event.get("log_time")),
            "level": level.name,
            "namespace": event.get("log_namespace") or event.get("log_system", ""),
            "message": text,
        }
        for name in FIELDS:
            if event.get(name):
                members[name] = _UNFIT.sub(_escape, self._secrets.scrub(str(event[name])))
        # In ASCII, since the encoding of the stream may lack other characters.
        return json.dumps(members)


def make_log(twistd: Mapping[str, Any], environ: Mapping[str, str] = os.environ) -> CleanLog:
    """
    Make the log's observer, which writes where twistd's options say.

    :param twistd: its options: ``logfile`` (default: standard output, or ``twistd.log`` for a daemon), ``nodaemon``,
        ``syslog`` and ``prefix``.
    :param environ: systemd sets ``JOURNAL_STREAM`` where standard output is the journal.
    :raises SystemExit: the log cannot be written there; the message is one line.
    """
    name, foreground = twistd.get("logfile"), twistd.get("nodaemon")
    if twistd.get("syslog"):
        from twisted.python import syslog

        legacy = syslog.SyslogObserver(twistd.get("prefix") or "pypinger")
        return CleanLog(LegacyLogObserverWrapper(legacy.emit))  # type: ignore[arg-type]
    if name == "-" and not foreground:
        sys.exit("twistd pypinger: a daemon cannot log to standard output; use -n, or --logfile with a file")
    if name == "-" or (foreground and not name):
        return _standard_output(environ)
    name = name or "twistd.log"
    try:
        output = _pipe(name) or ReopenableFile(name)
    except OSError as error:
        sys.exit(f"twistd pypinger: --logfile {name}: it cannot be opened: {error.strerror}")
    return CleanLog(_observer(output, log_line), output)


def _pipe(name: str) -> LogStream | None:
    """Return a stream if there is a FIFO, a terminal or another device at the path."""
    try:
        mode = os.stat(name).st_mode
    except FileNotFoundError:
        return None
    if not (stat.S_ISFIFO(mode) or stat.S_ISCHR(mode)):
        return None
    stream = LogStream(os.open(name, os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC), "utf-8")
    atexit.register(stream.drain, DRAIN)
    return stream


def _standard_output(environ: Mapping[str, str]) -> CleanLog:
    try:
        descriptor = sys.stdout.fileno()
    except (AttributeError, io.UnsupportedOperation):
        # It is closed, or no stream of the process.
        return CleanLog(FileLogObserver(sys.stdout or open(os.devnull, "w", encoding="utf-8"), log_line))
    stream = LogStream(descriptor, sys.stdout.encoding)
    atexit.register(stream.drain, DRAIN)
    status = os.fstat(descriptor)
    if environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}":
        return CleanLog(_observer(stream, _journal_lines), stream)
    return CleanLog(_observer(stream, log_line), stream)


def _observer(output: Any, lines: Callable[[LogEvent], str | None]) -> FileLogObserver:
    return FileLogObserver(output, lines)


def log_line(event: LogEvent) -> str | None:
    """Format an event of :class:`CleanLog`."""
    line: str | None = event.get("log_json")
    return formatEventAsClassicLogText(event) if line is None else f"{line}\n"


def _journal_lines(event: LogEvent) -> str | None:
    """Format an event with its priority before each line, as the journal reads it (``sd-daemon(3)``)."""
    text = log_line(event)
    if text is None:
        return None
    prefix = f"<{PRIORITIES.get(event.get('log_level', LogLevel.info), 6)}>"
    return "".join(f"{prefix}{line}\n" for line in text.splitlines())


def _escape(match: re.Match[str]) -> str:
    return match.group().encode("unicode_escape", "surrogatepass").decode("ascii")
