"""
Print the slowest modules and tests of suites: wall time, and processor time with that of their processes.

Usage: ``python -m tests.durations tests.store tests.web.test_app``. ``COUNT`` is the number of lines of each table.
"""

from __future__ import annotations

import os
import resource
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, TextIO

from twisted.trial.reporter import TreeReporter
from twisted.trial.runner import TestLoader, TrialRunner

COUNT = int(os.environ.get("COUNT", "25"))


def processor() -> float:
    """Seconds of processor time that this process and its descendants have used."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages) + sum(_living(os.getpid()))


def _living(pid: int) -> Iterator[float]:
    """The seconds of each living descendant and of its children that have ended, on Linux."""
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            pids = children.read_text().split()
        except OSError:
            continue  # the thread has just ended
        for child in pids:
            try:
                fields = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()
                yield sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
                yield from _living(int(child))
            except OSError:
                pass  # it has just ended


class Durations(TreeReporter):
    """
    A reporter that measures each test.

    :cvar wall: seconds by test id.
    :cvar busy: seconds of processor time by test id.
    """

    wall: ClassVar[Counter[str]] = Counter()
    busy: ClassVar[Counter[str]] = Counter()

    def startTest(self, method: Any) -> None:
        super().startTest(method)
        self._began = time.monotonic(), processor()

    def stopTest(self, method: Any) -> None:
        super().stopTest(method)
        self.wall[method.id()] += time.monotonic() - self._began[0]
        self.busy[method.id()] += processor() - self._began[1]


def write(title: str, wall: Mapping[str, float], busy: Mapping[str, float], out: TextIO) -> None:
    """Write a table, the greatest sum of both times first."""
    out.write(f"\n{'wall s':>8}{'CPU s':>8}  {title}\n")
    order = sorted(wall, key=lambda name: wall[name] + busy[name], reverse=True)
    for name in order[:COUNT]:
        out.write(f"{wall[name]:8.2f}{busy[name]:8.2f}  {name}\n")


def main(suites: list[str]) -> int:
    """Run the suites; returns the exit code."""
    if not suites:
        print(__doc__, file=sys.stderr)
        return 2
    result = TrialRunner(Durations).run(TestLoader().loadByNames(suites, recurse=True))
    modules = [Counter[str](), Counter[str]()]
    for sums, tests in zip(modules, (Durations.wall, Durations.busy), strict=True):
        for name, seconds in tests.items():
            sums[name.rsplit(".", 2)[0]] += seconds
    write("module", *modules, sys.stdout)
    write("test", Durations.wall, Durations.busy, sys.stdout)
    print(f"\n{processor():8.2f} CPU s in all, {Durations.wall.total():.2f} s of tests")
    return 0 if result.wasSuccessful() else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
