"""
``twistd`` that writes down how long its reactor pauses: ``python bench/ticking.py FILE ARGUMENTS``.

Each second, FILE gets a line with the time and the longest pause in milliseconds. A pause is how late a timer of 10 ms
comes, without the time in which the thread was ready to run and had no processor, where the kernel counts that.
"""

from __future__ import annotations

import os
import sys
import time
from contextlib import suppress
from pathlib import Path

from twisted.internet.interfaces import IReactorTime
from twisted.scripts import twistd

TICK = 0.01


class Ticker:
    """Measures the pauses of a reactor."""

    def __init__(self, reactor: IReactorTime, path: str) -> None:
        self._reactor = reactor
        self._file = Path(path).open("a", buffering=1)  # noqa: SIM115 -- open as long as the process runs
        self._second = int(time.time())
        self._longest = 0.0
        # Kept open: to open it a hundred times a second would take a tenth of a processor from other threads.
        self._schedstat = -1
        with suppress(OSError):
            self._schedstat = os.open("/proc/self/schedstat", os.O_RDONLY)
        self._last, self._starved = time.monotonic(), self._waited()
        self._tick()

    def _tick(self) -> None:
        now, starved = time.monotonic(), self._waited()
        late = now - self._last - TICK - (starved - self._starved)
        self._last, self._starved = now, starved
        self._longest = max(self._longest, late)
        second = int(time.time())
        if second != self._second:
            self._file.write(f"{second} {1000 * self._longest:.1f}\n")
            self._second, self._longest = second, 0.0
        self._reactor.callLater(TICK, self._tick)

    def _waited(self) -> float:
        """For how long the main thread had no processor, in seconds."""
        return 0.0 if self._schedstat < 0 else int(os.pread(self._schedstat, 64, 0).split()[1]) / 1e9


def longest_pause(path: Path, begin: float, end: float) -> float:
    """The longest pause in milliseconds between two times in seconds since the epoch."""
    lines = (line.split() for line in path.read_text().splitlines())
    return max((float(pause) for second, pause in lines if begin <= int(second) <= end + 1), default=0.0)


def main() -> None:
    """Run ``twistd``."""
    path = sys.argv.pop(1)

    def start() -> None:
        from twisted.internet import reactor

        Ticker(reactor, path)

    # The reactor is chosen by the daemon's plugin; a timer of it starts the ticker.
    from pypinger import tap

    make = tap.makeService

    def making(options: object) -> object:
        service = make(options)
        from twisted.internet import reactor

        reactor.callWhenRunning(start)
        return service

    tap.makeService = making
    twistd.run()


if __name__ == "__main__":
    main()
