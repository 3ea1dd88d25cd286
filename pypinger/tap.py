"""What ``twistd pypinger`` needs: its options, and the service they make."""

from __future__ import annotations

import os
import sys
import time
from types import TracebackType
from typing import Any

from twisted.application.service import IService
from twisted.python import usage

from pypinger import __version__, logs
from pypinger.config import ConfigErrors, load
from pypinger.config.settings import Settings
from pypinger.notify import channels


class Options(usage.Options):
    """``twistd pypinger``'s own options; twistd's stand before the word ``pypinger``."""

    synopsis = "[--config pinger.ini]"
    longdesc = (
        "Py Pinger fetches the reports of scheduled tasks, judges whether they run on time, tells people when that"
        " changes, and shows where everything stands on a web page. Use 'twistd -n pypinger' to stay in the foreground"
        " and log to standard output, and 'pypinger --help' for the tools beside the daemon."
    )
    optParameters = [  # noqa: RUF012 - the interface of usage.Options
        ["config", "c", "pinger.ini", "the ini file; pinger_template.ini documents every option"],
    ]

    settings: Settings

    def __init__(self) -> None:
        super().__init__()
        # A daemon changes its directory, and still reads the same file again.
        self._directory = os.getcwd()

    def opt_version(self) -> None:
        """Show Py Pinger's version and exit."""
        print(f"Py Pinger {__version__}")
        sys.exit(0)

    def postOptions(self) -> None:
        """
        Read the ini file.

        :raises SystemExit: it is not sound; every problem is a line of the message, which goes to standard error.
            (A ``UsageError`` would have twistd bury them under its own help.)
        """
        try:
            self.settings = self.read()
        except ConfigErrors as errors:
            sys.exit(str(errors))

    def read(self) -> Settings:
        """
        Read the ini file as it is now.

        :raises ConfigErrors: it is not sound.
        """
        return load(self["config"], channels=channels(), environ=os.environ, cwd=self._directory)


def makeService(options: Options) -> IService:
    """Make the daemon from its options; nothing is opened yet."""
    from twisted.internet import reactor

    from pypinger.runtime.clock import use_monotonic_time
    from pypinger.service import Pinger
    from pypinger.supervision import obey_signals

    use_monotonic_time(reactor)
    sys.excepthook = _excepthook
    log = logs.make_log(options.parent or {})
    pinger = Pinger(reactor, options.settings, now=time.time, reread=options.read, log=log)
    reactor.callWhenRunning(obey_signals, reactor, pinger.reload)
    service: IService = pinger
    return service


def _excepthook(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> Any:
    """Let a start that was refused end in one line; it has been logged too."""
    from pypinger.service import StartError

    if isinstance(error, StartError):
        print(f"twistd pypinger: {error}", file=sys.__stderr__)
    else:
        sys.__excepthook__(kind, error, traceback)
