"""
Measure timers: ``python bench/timers.py [TASKS]``, by default of 50,000 tasks, two timers each.

The reactor's own timers and those of :class:`pypinger.runtime.timetable.Timetable` do the same in turns: three
fifths of them are cancelled in slices of 100, as when another instance takes tasks over, and the others are called. The
figures are the longest time between two turns of the reactor, and the CPU time of all, medians of the rounds.
"""

from __future__ import annotations

import statistics
import sys
import time

from twisted.internet.epollreactor import EPollReactor
from twisted.internet.interfaces import IReactorTime

from pypinger.runtime.timetable import Timetable

ROUNDS = 7
SLICE = 100


def run(count: int, *, own: bool) -> tuple[float, float]:
    """The longest pause and the CPU time, both in seconds."""
    reactor = EPollReactor()
    reactor.seconds = time.monotonic  # type: ignore[method-assign]
    times: IReactorTime = Timetable(reactor) if own else reactor
    began, longest = time.process_time(), 0.0
    called: list[int] = []
    timers = [times.callLater(1000 + number * 0.617 % 60, called.append, number) for number in range(2 * count)]
    reactor.iterate(0)
    left = 6 * count // 5
    for start in range(0, left, SLICE):
        since = time.perf_counter()
        for timer in timers[start : min(start + SLICE, left)]:
            timer.cancel()
        reactor.iterate(0)
        longest = max(longest, time.perf_counter() - since)
    # Those that are left.
    for timer in timers[left:]:
        timer.cancel()
        times.callLater(0, called.append, 0)
    while len(called) < 2 * count - left:
        reactor.iterate(0)
    return longest, time.process_time() - began


def main(count: int) -> None:
    """Measure both in turns."""
    found: dict[bool, list[tuple[float, float]]] = {False: [], True: []}
    for _ in range(ROUNDS):
        for own, figures in found.items():
            figures.append(run(count, own=own))
    for own, name in ((False, "reactor"), (True, "timetable")):
        pause, used = (statistics.median(part) for part in zip(*found[own], strict=True))
        print(f"{name}: longest pause {1000 * pause:.1f} ms, CPU time {used:.2f} s")
    ratio = statistics.median(each[0] for each in found[False]) / statistics.median(each[0] for each in found[True])
    print(f"the longest pause of the reactor's timers is {ratio:.1f} times as long")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 50_000)
