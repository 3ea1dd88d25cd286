"""
The log: one line an event, free of secrets and of characters that a terminal would obey.

What endpoints and services say reaches the log, so that every line is scrubbed here, last of all and whoever wrote it:
known secrets become ``***``, control characters (line feeds outside tracebacks too) are written as escapes.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable
from typing import cast

from twisted.logger import (
    FilteringLogObserver,
    ILogObserver,
    LogEvent,
    LogLevel,
    LogLevelFilterPredicate,
    eventAsText,
    formatEvent,
    textFileLogObserver,
)
from twisted.python.logfile import LogFile
from zope.interface import implementer

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


def observer(
    file_name: str, foreground: bool, secrets: Iterable[str], debug: bool, other: Callable[[], ILogObserver] | None
) -> ILogObserver:
    """
    Make the log's observer.

    :param file_name: twistd's ``--logfile``; empty for its default: standard output, or ``twistd.log`` as a daemon.
    :param debug: whether to log at debug level too.
    :param other: makes the observer to hand on to, if ``--logger`` names one.
    """
    if other is not None:
        target = other()
    elif file_name == "-" or (foreground and not file_name):
        target = textFileLogObserver(sys.stdout)
    else:
        target = textFileLogObserver(LogFile.fromFullPath(file_name or "twistd.log"))
    clean = CleanLogObserver(target, Secrets(secrets))
    lowest = LogLevelFilterPredicate(defaultLogLevel=LogLevel.debug if debug else LogLevel.info)
    return cast(ILogObserver, FilteringLogObserver(clean, [lowest]))
