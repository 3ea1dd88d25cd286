"""
The options of ``twistd pypinger``, and the service that they make.

Most modules are imported after :meth:`~pypinger.signals.Signals.hold`: a SIGHUP during their import must not kill.
"""

from __future__ import annotations

import os
import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Any

from twisted.application.service import IService
from twisted.python import usage

from pypinger import __version__
from pypinger.signals import Signals

if TYPE_CHECKING:
    from pypinger.config.settings import Settings


class Options(usage.Options):
    """Options after the word ``pypinger``; those of twistd come before it."""

    synopsis = "[--config pinger.ini]"
    longdesc = (
        "Py Pinger fetches the reports of scheduled tasks, decides whether they are on time, alerts people when that"
        " changes, and shows the state of all tasks on web pages. Use 'twistd -n pypinger' to stay in the foreground"
        " and log to standard output. 'pypinger --help' lists the tools that come with the daemon."
    )
    optParameters = [  # noqa: RUF012 - the interface of usage.Options
        ["config", "c", "pinger.ini", "The ini file. pinger_template.ini documents every option."],
    ]

    settings: Settings

    def __init__(self) -> None:
        super().__init__()
        self.signals = Signals()
        # A daemon changes its working directory, and must find the same file at a reload.
        self._directory = os.getcwd()

    def opt_version(self) -> None:
        """Show Py Pinger's version and exit."""
        print(f"Py Pinger {__version__}")
        sys.exit(0)

    def postOptions(self) -> None:
        """
        Read the ini file.

        :raises SystemExit: it is invalid; the message has one line for each problem. (After a ``UsageError`` twistd
            would print its help, too.)
        """
        self.signals.hold()
        from pypinger.config import ConfigErrors

        try:
            self.settings = self.read()
        except ConfigErrors as errors:
            sys.exit(str(errors))

    def read(self) -> Settings:
        """
        Read the ini file again.

        :raises ConfigErrors: it is invalid.
        """
        from pypinger.config import load
        from pypinger.notify import channels, unusable

        return load(self["config"], channels=channels(), unusable=unusable(), environ=os.environ, cwd=self._directory)


def makeService(options: Options) -> IService:
    """Make the daemon; no file or port is opened yet but the log."""
    from twisted.internet import reactor

    from pypinger import logs
    from pypinger.runtime.clock import use_monotonic_time
    from pypinger.service import Pinger

    use_monotonic_time(reactor)
    sys.excepthook = _excepthook
    log = logs.make_log(options.parent or {})
    pinger = Pinger(reactor, options.settings, now=time.time, reread=options.read, log=log)
    reactor.callWhenRunning(log.use, reactor)
    reactor.callWhenRunning(options.signals.obey, reactor, pinger.reload, log.reopen)
    service: IService = pinger
    return service


def _excepthook(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> Any:
    """Print a refused start as one line; it has been logged, too."""
    from pypinger.service import StartError

    if isinstance(error, StartError):
        print(f"twistd pypinger: {error}", file=sys.__stderr__)
    else:
        sys.__excepthook__(kind, error, traceback)
