"""Time limits that hold on a busy machine."""

from __future__ import annotations

import time
from pathlib import Path


class Stopwatch:
    """
    Measures how long something takes on a machine of its own.

    The kernel counts how long a thread was ready to run and had no processor, because others had them. Where it does
    not count that, all time does.

    :param pids: other processes whose main threads take part. What is known of one that ended is from the last look.
    """

    def __init__(self, *pids: int) -> None:
        self._waits = {Path(f"/proc/{pid}/schedstat"): 0 for pid in ("self", *pids)}
        self._look()
        self._before = sum(self._waits.values())
        self._began = time.monotonic()

    def seconds(self) -> float:
        return time.monotonic() - self._began - self.starved()

    def starved(self) -> float:
        """For how long the processes had no processor, in seconds."""
        self._look()
        return (sum(self._waits.values()) - self._before) / 1e9

    def _look(self) -> None:
        for path in self._waits:
            try:
                self._waits[path] = int(path.read_text().split()[1])
            except OSError:
                pass
