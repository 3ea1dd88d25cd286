"""Which process an instance is, so that others on the same machine find out at once that it is gone."""

from __future__ import annotations

import os
from pathlib import Path

_BOOT = Path("/proc/sys/kernel/random/boot_id")


def identity() -> str:
    """
    This process: machine and namespaces, process id and start. Empty if that cannot be told.

    A process id means something only in its namespace, and start times depend on the namespace of clocks.
    """
    try:
        spaces = [str(os.stat(f"/proc/self/ns/{name}").st_ino) for name in ("pid", "time")]
        pid = os.getpid()
        started = _started(pid)
        return "" if started is None else " ".join([_BOOT.read_text().strip(), *spaces, str(pid), started])
    except OSError:
        return ""


def beside(other: str, own: str) -> bool:
    """Whether another process is on the machine and in the namespaces of ours, by its :func:`identity` and ours."""
    there = other.split()
    return len(there) == 5 and there[:3] == own.split()[:3]


def gone(other: str, own: str) -> bool:
    """Whether another process is known to be gone, by its :func:`identity` and ours."""
    if not beside(other, own):
        return False
    there = other.split()
    pid = int(there[3])
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        # It exists, and is another user's.
        pass
    try:
        return _started(pid) != there[4]
    except OSError:
        # It may be hidden from us.
        return False


def _started(pid: int) -> str | None:
    """When a process began, in ticks since the machine did; None if it is dead and not reaped."""
    # The name of the program may hold spaces and brackets.
    fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    return None if fields[0] in ("Z", "X") else fields[19]
