"""
The log: one line an event, free of secrets and of characters that a terminal would obey.

What endpoints and services say reaches the log, so that every line is scrubbed here, last of all and whoever wrote it:
known secrets become ``***``, control characters (line feeds outside tracebacks too) are written as escapes.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from typing import Any, cast

from twisted.logger import (
    FilteringLogObserver,
    ILogObserver,
    LegacyLogObserverWrapper,
    LogEvent,
    LogLevel,
    LogLevelFilterPredicate,
    eventAsText,
    formatEvent,
    textFileLogObserver,
)
from twisted.python.logfile import LogFile
from zope.interface import implementer

from pypinger.config.settings import Settings
from pypinger.domain.urls import Secrets

_UNFIT = re.compile("[\0-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_UNFIT_IN_TRACEBACKS = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def _escape(match: re.Match[str]) -> str:
    return match.group().encode("unicode_escape", "surrogatepass").decode("ascii")


@implementer(ILogObserver)
class CleanLogObserver:
    """Hands on each event as a text that is fit to be written."""

    def __init__(self, observer: ILogObserver, secrets: Secrets) -> None:
        self._observer = observer
        self._secrets = secrets

    def __call__(self, event: LogEvent) -> None:
        """Clean `event` and hand it on."""
        unfit = _UNFIT_IN_TRACEBACKS if "log_failure" in event else _UNFIT
        if "log_failure" in event:
            text = eventAsText(event, includeTimestamp=False, includeSystem=False)
        else:
            text = formatEvent(event)
        if not text:
            return
        kept: LogEvent = {
            key: event[key] for key in ("log_time", "log_level", "log_namespace", "log_system") if key in event
        }
        text = unfit.sub(_escape, self._secrets.scrub(text.rstrip("\n")))
        self._observer({**kept, "log_format": "{log_text}", "log_text": text})


def observer(settings: Settings, twistd: Mapping[str, Any]) -> ILogObserver:
    """
    Make the log's observer, where twistd's options want the log.

    :param twistd: its options: ``logfile`` (by default standard output, or ``twistd.log`` as a daemon), ``nodaemon``,
        ``syslog`` and ``prefix``.
    """
    name = twistd.get("logfile")
    target: ILogObserver
    if twistd.get("syslog"):
        from twisted.python import syslog

        legacy = syslog.SyslogObserver(twistd.get("prefix") or "pypinger")
        target = LegacyLogObserverWrapper(legacy.emit)  # type: ignore[arg-type]
    elif name == "-" or (twistd.get("nodaemon") and not name):
        target = textFileLogObserver(sys.stdout)
    else:
        target = textFileLogObserver(LogFile.fromFullPath(name or "twistd.log"))
    lowest = LogLevelFilterPredicate(defaultLogLevel=LogLevel.debug if settings.debug else LogLevel.info)
    return cast(ILogObserver, FilteringLogObserver(CleanLogObserver(target, Secrets(settings.secrets)), [lowest]))
