"""Running one coroutine in the reactor to its end: what the short-lived commands share."""

from __future__ import annotations

import sys
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

#: The exit code of a command that was interrupted, as shells have it.
INTERRUPTED = 130


def run_until_done(main: Callable[[Any], Coroutine[Any, Any, int]], broken: int) -> int:
    """
    Run `main` with the reactor, and stop the reactor after it.

    :param broken: the exit code if `main` raises, which is a bug of ours.
    :returns: the exit code: what `main` returned.
    """
    from twisted.internet import reactor
    from twisted.internet.defer import CancelledError, Deferred
    from twisted.internet.error import ReactorNotRunning
    from twisted.logger import globalLogBeginner

    from pypinger.runtime.clock import use_monotonic_time

    running: Any = reactor
    use_monotonic_time(running)
    # What libraries log is no answer to who asked at the prompt.
    globalLogBeginner.beginLoggingTo([], discardBuffer=True, redirectStandardIO=False)
    code = INTERRUPTED

    async def until_done() -> None:
        nonlocal code
        try:
            code = await main(running)
        except CancelledError:
            pass
        except Exception as error:
            print(f"unexpected {type(error).__name__}; please report this", file=sys.stderr)
            code = broken
        with suppress(ReactorNotRunning):
            running.stop()

    def start() -> None:
        done = Deferred.fromCoroutine(until_done())
        # What an interrupt does to open connections is no answer of theirs.
        running.addSystemEventTrigger("before", "shutdown", done.cancel)

    running.callWhenRunning(start)
    running.run()
    return code
