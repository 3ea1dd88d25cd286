"""
Measure the daemon with thousands of tasks: ``python bench/scale.py [TASKS ...]``, by default 10,000 and 50,000.

Each task is checked every minute. The daemon runs as in production (twistd, pages, SQLite) and is measured from
outside: its CPU time and memory from ``/proc``, the times of its checks from nginx's access log. Task i of n is due at
i/n of the spread, then every interval, counted from the earliest check. The lateness of a check is how much later than
that its request was answered.

Each size takes the time until all tasks have been checked, an interval to settle, and a measured one and a half.
"""

from __future__ import annotations

import os
import platform
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import nginx

import twisted

#: Seconds between two checks of a task.
INTERVAL = 60.0

#: The number of origins that the tasks are spread over.
ORIGINS = 5

#: The number of tasks of the run that measures the base.
FEW = 10

_INI = """[main]
interval = {interval:g}
[web]
endpoint = tcp:{port}:interface=127.0.0.1
[store]
path = {place}/pinger.sqlite
[urls]
prod =
{urls}
"""


def spread(count: int) -> float:
    """The time in seconds over which first checks are spread."""
    return min(INTERVAL, max(10.0, count / 100))


def cpu(pid: int) -> float:
    """CPU time of all threads in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory(pid: int) -> int:
    """Resident memory in bytes."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) * 1024


def connections(pid: int) -> int:
    """The number of open sockets."""
    return sum(os.readlink(each).startswith("socket:") for each in Path(f"/proc/{pid}/fd").iterdir())


def wait_until_ready(pid: int, port: int) -> None:
    """Wait until every task has been checked."""
    while True:
        time.sleep(1)
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz").close()
        except OSError:
            if not Path(f"/proc/{pid}").exists():
                sys.exit("the daemon has ended")
        else:
            return


def latenesses(log: Path, count: int, begin: float, end: float) -> list[float]:
    """The sorted lateness in seconds of the checks between `begin` and `end`."""
    checks = []
    for line in log.read_text().splitlines():
        at, path = line.split()
        checks.append((float(at), int(path.rpartition("/")[2])))
    due = [number / count * spread(count) for number in range(count)]
    first = min(at - due[number] for at, number in checks)
    late = []
    for at, number in checks:
        if begin <= at < end:
            # nginx rounds to milliseconds.
            late.append((at - first - due[number] + 0.002) % INTERVAL - 0.002)
    return sorted(late)


def measure(count: int, base: int | None) -> int:
    """Run a daemon with `count` tasks and print the figures; returns its memory."""
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        place.chmod(0o755)
        origins = [nginx.Origin() for _ in range(ORIGINS)]
        log = place / "access.log"
        with socket.create_server(("127.0.0.1", 0)) as held:
            port = held.getsockname()[1]
        with nginx.serving(place, origins, log=log):
            urls = "\n".join(f"    {origins[number % ORIGINS].url}/task/{number}" for number in range(count))
            ini = place / "pinger.ini"
            ini.write_text(_INI.format(interval=INTERVAL, port=port, place=place, urls=urls))
            twistd = [sys.executable, "-c", "from twisted.scripts.twistd import run; run()"]
            command = [*twistd, "-n", "--pidfile=", "pypinger", "--config", str(ini)]
            with (place / "daemon.log").open("wb") as output:
                daemon = subprocess.Popen(command, cwd=place, stdout=output, stderr=output)
            try:
                wait_until_ready(daemon.pid, port)
                if base is not None:
                    time.sleep(INTERVAL)
                used, begin = cpu(daemon.pid), time.time()
                time.sleep(1.5 * INTERVAL if base is not None else 5)
                used, end = cpu(daemon.pid) - used, time.time()
                resident, sockets = memory(daemon.pid), connections(daemon.pid)
            finally:
                daemon.send_signal(signal.SIGTERM)
                daemon.wait()
            time.sleep(1.5)
            late = latenesses(log, count, begin, end)
    if base is not None:
        share = used / (end - begin)
        each = (resident - base) / count
        print(
            f"{count:,} tasks: {100 * share:.1f} % of a core, {1e6 * used / len(late):.0f} us a check, "
            f"{resident / 1e6:.0f} MB, {each / 1000:.1f} kB a task beyond the base, {sockets} sockets; "
            f"lateness of {len(late):,} checks in ms: "
            f"p50 {1000 * late[len(late) // 2]:.0f}, p99 {1000 * late[len(late) * 99 // 100]:.0f}, "
            f"max {1000 * late[-1]:.0f}",
            flush=True,
        )
    return resident


def main() -> None:
    """Measure every size."""
    print(f"Python {platform.python_version()}, Twisted {twisted.__version__}, nginx {nginx.version()}")
    base = measure(FEW, None)
    print(f"base: {base / 1e6:.0f} MB with {FEW} tasks", flush=True)
    for count in [int(each) for each in sys.argv[1:]] or [10_000, 50_000]:
        measure(count, base)


if __name__ == "__main__":
    main()
