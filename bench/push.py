"""
Measure pushes beside checks: ``python bench/push.py [TASKS]``, by default beside 10,000 polled tasks.

2,000 tasks send pings to the daemon, at first 1,000 a second for 10 s over kept connections, then 1,000 a second over
new ones, then 5,000 a second over kept ones. The daemon runs as in production (twistd, pages, SQLite). What it answered
is counted; after the last answer it is killed (``kill -9``), and every push that was answered 200 must be in the
database. The lateness of checks comes from nginx's access log, as in ``scale.py``.
"""

from __future__ import annotations

import json
import platform
import select
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter, deque
from contextlib import closing
from pathlib import Path

import nginx
from scale import INTERVAL, ORIGINS, cpu, latenesses, spread, wait_until_ready

import twisted

#: How many tasks push.
PUSHING = 2000

#: Seconds that each load lasts.
SECONDS = 10.0

#: Connections at once.
CONNECTIONS = 1000

#: Seconds between two loads.
REST = 20.0

_INI = """[main]
interval = {interval:g}
only_log = true
[web]
endpoint = tcp:{port}:interface=127.0.0.1
[store]
path = {place}/pinger.sqlite
[urls]
prod =
{urls}
{tasks}
"""


def key(number: int) -> str:
    """The key of a task that pushes."""
    return f"00000000-0000-4000-8000-{number:012d}"


class Load:
    """
    Sends pings at a rate, whatever the answers, and counts these.

    :param kept: whether a connection serves for many pings.
    """

    def __init__(self, port: int, rate: float, *, kept: bool) -> None:
        self.answers: Counter[str] = Counter()
        self.times: list[float] = []
        self._address = ("127.0.0.1", port)
        self._rate = rate
        self._kept = kept
        self._poll = select.epoll()
        self._open: dict[int, socket.socket] = {}
        self._asked: dict[int, float] = {}
        self._got: dict[int, bytes] = {}
        self._idle: deque[int] = deque()
        self._number = 0

    def run(self) -> None:
        """Send for :data:`SECONDS`, and wait for the answers."""
        begin, due = time.monotonic(), 0
        while (passed := time.monotonic() - begin) < SECONDS:
            due = int(passed * self._rate)
            while self._number < due and self._send():
                pass
            self._receive(0.002)
        self.answers["not sent"] = max(0, int(SECONDS * self._rate) - self._number)
        until = time.monotonic() + 20
        while self._asked and time.monotonic() < until:
            self._receive(0.1)
        self.answers["no answer"] = len(self._asked)
        for each in self._open.values():
            each.close()

    def _send(self) -> bool:
        """Send one ping; False if all connections are in use."""
        if self._idle:
            handle = self._idle.popleft()
        elif len(self._open) < CONNECTIONS:
            made = socket.create_connection(self._address)
            made.setblocking(False)
            handle = made.fileno()
            self._open[handle] = made
            self._poll.register(handle, select.EPOLLIN)
        else:
            return False
        path = f"/ping/{key(self._number % PUSHING)}"
        close = "" if self._kept else "Connection: close\r\n"
        self._open[handle].send(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{close}\r\n".encode())
        self._asked[handle], self._got[handle] = time.monotonic(), b""
        self._number += 1
        return True

    def _receive(self, wait: float) -> None:
        for handle, _ in self._poll.poll(wait):
            data = self._open[handle].recv(65_536)
            got = self._got[handle] = self._got.get(handle, b"") + data
            head, end, body = got.partition(b"\r\n\r\n")
            if not data and not end:
                self.answers["closed"] += 1
            elif not end or len(body) < int(head.lower().partition(b"content-length: ")[2].partition(b"\r")[0]):
                continue
            else:
                self.answers[head[9:12].decode()] += 1
                self.times.append(time.monotonic() - self._asked[handle])
            self._asked.pop(handle, None)
            if self._kept and data and b"connection: close" not in head.lower():
                self._idle.append(handle)
            else:
                self._poll.unregister(handle)
                self._open.pop(handle).close()


def stored(path: Path) -> int:
    """How many pings the database holds."""
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT state FROM task WHERE url LIKE 'push:%'").fetchall()
    return sum(json.loads(state)["pings"] for (state,) in rows)


def main(count: int) -> None:
    """Measure."""
    print(f"Python {platform.python_version()}, Twisted {twisted.__version__}, nginx {nginx.version()}")
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        place.chmod(0o755)
        origins = [nginx.Origin() for _ in range(ORIGINS)]
        log = place / "access.log"
        with socket.create_server(("127.0.0.1", 0)) as held:
            port = held.getsockname()[1]
        with nginx.serving(place, origins, log=log):
            urls = "\n".join(f"    {origins[number % ORIGINS].url}/task/{number}" for number in range(count))
            tasks = "\n".join(
                f"[task push {number}]\npush_key = {key(number)}\nfrequency = 1d" for number in range(PUSHING)
            )
            ini = place / "pinger.ini"
            ini.write_text(_INI.format(interval=INTERVAL, port=port, place=place, urls=urls, tasks=tasks))
            twistd = [sys.executable, "-c", "from twisted.scripts.twistd import run; run()"]
            command = [*twistd, "-n", "--pidfile=", "pypinger", "--config", str(ini)]
            with (place / "daemon.log").open("wb") as output:
                daemon = subprocess.Popen(command, cwd=place, stdout=output, stderr=output)
            measured, kept = [], 0
            try:
                wait_until_ready(daemon.pid, port)
                time.sleep(max(0.0, INTERVAL - spread(count)) + REST)
                measured.append(("no pushes", None, time.time() - REST, time.time()))
                for words, rate, again in (
                    ("1,000 a second, kept connections", 1000, True),
                    ("1,000 a second, new connections", 1000, False),
                    ("5,000 a second, kept connections", 5000, True),
                ):
                    load, used, begin = Load(port, rate, kept=again), cpu(daemon.pid), time.time()
                    load.run()
                    end = time.time()
                    measured.append((words, load, begin, end))
                    kept += load.answers["200"]
                    waits = sorted(load.times)
                    print(
                        f"{words}: {dict(load.answers)} in {end - begin:.1f} s, "
                        f"{100 * (cpu(daemon.pid) - used) / (end - begin):.0f} % of a core; answers in ms: "
                        f"p50 {1000 * waits[len(waits) // 2]:.0f}, p99 {1000 * waits[len(waits) * 99 // 100]:.0f}",
                        flush=True,
                    )
                    if rate < 5000:
                        time.sleep(REST)
            finally:
                daemon.send_signal(signal.SIGKILL)
                daemon.wait()
            time.sleep(1.5)
        print(f"answered 200: {kept:,}; in the database after kill -9: {stored(place / 'pinger.sqlite'):,}")
        for words, _, begin, end in measured:
            late = latenesses(log, count, begin, end)
            print(
                f"{words}: lateness of {len(late):,} checks in ms: p50 {1000 * late[len(late) // 2]:.0f}, "
                f"p99 {1000 * late[len(late) * 99 // 100]:.0f}, max {1000 * late[-1]:.0f}"
            )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000)
