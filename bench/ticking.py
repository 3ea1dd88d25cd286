"""
``twistd`` that writes down how long its reactor pauses: ``python bench/ticking.py FILE ARGUMENTS``.

Each second, FILE gets a line with the time and the longest pause in milliseconds. A pause is how late a timer of 10 ms
comes, without the time in which the thread was ready to run and had no processor, where the kernel counts that.
"""

from __future__ import annotations

import sys
import time
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
        self._last, self._starved = time.monotonic(), _starved()
        self._tick()

    def _tick(self) -> None:
        now, starved = time.monotonic(), _starved()
        late = now - self._last - TICK - (starved - self._starved)
        self._last, self._starved = now, starved
        self._longest = max(self._longest, late)
        second = int(time.time())
        if second != self._second:
            self._file.write(f"{second} {1000 * self._longest:.1f}\n")
            self._second, self._longest = second, 0.0
        self._reactor.callLater(TICK, self._tick)


def _starved() -> float:
    """For how long the main thread had no processor, in seconds."""
    try:
        return int(Path("/proc/self/schedstat").read_text().split()[1]) / 1e9
    except OSError:
        return 0.0


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
