"""Runs one coroutine in the reactor, for short-lived commands."""

from __future__ import annotations

import sys
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

from pypinger.cli._codes import INTERRUPTED


def run_until_done(main: Callable[[Any], Coroutine[Any, Any, int]], broken: int) -> int:
    """
    Run `main` in the reactor, and stop the reactor when it is done.

    :param broken: the exit code if `main` raises, which is a bug.
    :returns: what `main` returned, or :data:`INTERRUPTED`.
    """
    from twisted.internet import reactor
    from twisted.internet.defer import CancelledError, Deferred
    from twisted.internet.error import ReactorNotRunning
    from twisted.logger import globalLogBeginner

    from pypinger.runtime.clock import use_monotonic_time

    running: Any = reactor
    use_monotonic_time(running)
    # The log of libraries is not part of the command's output.
    globalLogBeginner.beginLoggingTo([], discardBuffer=True, redirectStandardIO=False)
    code = INTERRUPTED

    async def until_done() -> None:
        nonlocal code
        try:
            code = await main(running)
        except CancelledError:
            pass
        except Exception as error:
            print(f"unexpected error {type(error).__name__}; please report it", file=sys.stderr)
            code = broken
        with suppress(ReactorNotRunning):
            running.stop()

    def start() -> None:
        done = Deferred.fromCoroutine(until_done())
        # An interrupt cancels the work before connections are closed, so that it is not taken for a failed request.
        running.addSystemEventTrigger("before", "shutdown", done.cancel)

    running.callWhenRunning(start)
    running.run()
    return code
