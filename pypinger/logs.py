"""
The log: one line an event, free of secrets and of characters that a terminal would obey.

What endpoints and services say reaches the log, so that every line is scrubbed here, last of all and whoever wrote it:
known secrets become ``***``, control characters (line feeds outside tracebacks too) are written as escapes.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from typing import Any

from twisted.logger import (
    ILogObserver,
    LegacyLogObserverWrapper,
    LogEvent,
    LogLevel,
    eventAsText,
    formatEvent,
    textFileLogObserver,
)
from twisted.python.logfile import LogFile
from zope.interface import implementer

from pypinger.domain.redaction import Secrets

_KEPT = ("log_time", "log_level", "log_namespace", "log_system")
_UNFIT = re.compile("[\0-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_UNFIT_IN_TRACEBACKS = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def _escape(match: re.Match[str]) -> str:
    return match.group().encode("unicode_escape", "surrogatepass").decode("ascii")


@implementer(ILogObserver)
class CleanLog:
    """
    Hands on each event as a text that is fit to be written.

    :param target: writes it.
    """

    def __init__(self, target: ILogObserver) -> None:
        self._target = target
        self._secrets = Secrets()
        self._debug = False

    def configure(self, secrets: Secrets, *, debug: bool) -> None:
        """From now on keep these secrets out, and write events of level debug or not."""
        self._secrets = secrets
        self._debug = debug

    def __call__(self, event: LogEvent) -> None:
        """Clean `event` and hand it on."""
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
        self._target({**kept, "log_format": "{log_text}", "log_text": text})


def make_log(twistd: Mapping[str, Any]) -> CleanLog:
    """
    Make the log's observer, which writes where twistd's options want the log.

    :param twistd: its options: ``logfile`` (by default standard output, or ``twistd.log`` as a daemon), ``nodaemon``,
        ``syslog`` and ``prefix``.
    """
    name = twistd.get("logfile")
    if twistd.get("syslog"):
        from twisted.python import syslog

        legacy = syslog.SyslogObserver(twistd.get("prefix") or "pypinger")
        return CleanLog(LegacyLogObserverWrapper(legacy.emit))  # type: ignore[arg-type]
    if name == "-" or (twistd.get("nodaemon") and not name):
        return CleanLog(textFileLogObserver(sys.stdout))
    return CleanLog(textFileLogObserver(LogFile.fromFullPath(name or "twistd.log")))
