"""
Measure several instances over PostgreSQL: ``python bench/machines.py [TASKS]``, by default with 50,000 tasks.

Each task is checked every minute. First an instance with SQLite and one with PostgreSQL check all tasks side by side,
so that both meet the same machine. Then that with PostgreSQL runs alone, and a second one joins and stops several
times. All run as in production (twistd, pages) and are measured from outside, as in ``scale.py``: their CPU time from
``/proc``, who owns how many tasks from the database, every 50 ms. The longest pauses of their reactors come from
``ticking.py``. PostgreSQL has its defaults, but for ``shared_buffers = 256MB``.
"""

from __future__ import annotations

import platform
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import nginx
import psycopg
from scale import INTERVAL, ORIGINS, cpu, wait_until_ready
from ticking import longest_pause

import twisted

sys.path.insert(0, str(Path(__file__).parent.parent))
from tests import postgres

#: Seconds that each measurement lasts: all tasks are checked equally often meanwhile.
SPAN = INTERVAL

#: How often the two that check all tasks side by side are compared.
ROUNDS = 3

#: How often a second instance joins and stops.
CYCLES = 5

#: Seconds to wait for a rebalancing.
PATIENCE = 120.0

_INI = """[main]
interval = {interval:g}
only_log = true
[web]
endpoint = tcp:{port}:interface=127.0.0.1
[store]
{store}
[urls]
prod =
{urls}
"""


class Daemon:
    """
    An instance.

    :param store: the options of its section ``[store]``.
    """

    def __init__(self, place: Path, name: str, store: str, urls: str) -> None:
        self.name = name
        with socket.create_server(("127.0.0.1", 0)) as held:
            self.port = held.getsockname()[1]
        ini = place / f"{name}.ini"
        ini.write_text(_INI.format(interval=INTERVAL, port=self.port, store=store, urls=urls))
        self.pauses = place / f"{name}.pauses"
        ticking = str(Path(__file__).parent / "ticking.py")
        command = [sys.executable, ticking, str(self.pauses), "-n", "--pidfile=", "pypinger", "--config", str(ini)]
        directory = place / name
        directory.mkdir(exist_ok=True)
        with (place / f"{name}.log").open("ab") as output:
            self.process = subprocess.Popen(command, cwd=directory, stdout=output, stderr=output)

    @property
    def pid(self) -> int:
        """Its process."""
        return self.process.pid

    def stop(self) -> None:
        """End it, and wait for the end."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()


class Bench:
    """The tasks, and what is measured of the instances that check them."""

    def __init__(self, place: Path, count: int) -> None:
        self.place = place
        self.count = count
        self.origins = [nginx.Origin() for _ in range(ORIGINS)]
        self.log = place / "access.log"

    @property
    def urls(self) -> str:
        """The tasks, as the ini file lists them."""
        numbers = range(self.count)
        return "\n".join(f"    {self.origins[number % ORIGINS].url}/task/{number}" for number in numbers)

    def checks(self, begin: float, end: float) -> int:
        """How many tasks were asked between two times."""
        return sum(begin <= float(line.split()[0]) < end for line in self.log.read_text().splitlines())

    def measure(self, *daemons: Daemon, server: int = 0, shared: bool = True) -> list[float]:
        """
        Print the figures of some time.

        :param shared: whether the instances share the tasks; else each of them checks all.
        :returns: each instance's CPU time in microseconds, divided by all checks, or by its own if they do not share.
        """
        used, begin = [cpu(each.pid) for each in daemons], time.time()
        used_by_server = server_cpu(server)
        time.sleep(SPAN)
        end = time.time()
        used = [cpu(each.pid) - before for each, before in zip(daemons, used, strict=True)]
        used_by_server = server_cpu(server) - used_by_server
        time.sleep(1.5)
        checks = self.checks(begin, end) // (1 if shared else len(daemons))
        share = " and ".join(f"{100 * each / (end - begin):.1f} %" for each in used)
        more = f", PostgreSQL {100 * used_by_server / (end - begin):.1f} %" if server else ""
        pause = max(longest_pause(each.pauses, begin, end) for each in daemons)
        costs = " and ".join(f"{1e6 * each / checks:.0f}" for each in ([sum(used)] if shared else used))
        print(
            f"  {checks:,} checks in {end - begin:.0f} s; CPU {share} of a core{more}; "
            f"{costs} us a check; longest pause {pause:.0f} ms",
            flush=True,
        )
        return [1e6 * each / checks for each in used]


def server_cpu(pid: int) -> float:
    """CPU time of PostgreSQL's processes in seconds, those that have ended included; 0 without one."""
    if not pid:
        return 0.0
    stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    ended = sum(int(each) for each in stat[13:15]) / 100
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return ended + cpu(pid) + sum(cpu(int(each)) for each in children)


#: How many tasks each instance owns; and, which takes no time from the instances, how many it says that it owns.
OWNED = "SELECT name, (SELECT count(*) FROM ownership WHERE owner = instance.id) FROM instance"
SAID = "SELECT name, coalesce((health::json ->> 'tasks')::int, 0) FROM instance"


def count(connection: psycopg.Connection[tuple[str, int]], query: str) -> dict[str, int]:
    """The instances that are alive, and what the query counts of each."""
    return dict(connection.execute(f"{query} WHERE until > clock_timestamp()".encode()).fetchall())


def wait_for(done: Callable[[], bool]) -> float:
    """Wait; returns the time in seconds since the epoch."""
    deadline = time.monotonic() + PATIENCE
    while not done():
        if time.monotonic() > deadline:
            sys.exit("it did not happen in time")
        time.sleep(0.05)
    return time.time()


@contextmanager
def database() -> Iterator[postgres.Server]:
    """Run PostgreSQL, as safe as by default."""
    server = postgres.Server(fsync="on", full_page_writes="on", shared_buffers="256MB", autovacuum_naptime="1min")
    try:
        server.start()
        yield server
    finally:
        server.remove()


def run(bench: Bench, server: postgres.Server) -> None:
    """SQLite and PostgreSQL side by side, then PostgreSQL alone, then two instances."""
    print(f"SQLite and PostgreSQL side by side, each with {bench.count:,} tasks")
    connection = psycopg.connect(server.url(), autocommit=True)
    pid = int((server.data / "postmaster.pid").read_text().split()[0])
    store = "url = {url}\ninstance = {name}"
    plain = Daemon(bench.place, "sqlite", f"path = {bench.place}/pinger.sqlite", bench.urls)
    first = Daemon(bench.place, "a", store.format(url=server.url(), name="a"), bench.urls)
    second: Daemon | None = None
    try:
        for each in (plain, first):
            wait_until_ready(each.pid, each.port)
        time.sleep(INTERVAL)
        rounds = [bench.measure(plain, first, server=pid, shared=False) for _ in range(ROUNDS)]
        ratios = ", ".join(f"{shared / alone:.2f}" for alone, shared in rounds)
        print(f"  cost of a check with PostgreSQL: {ratios} times that with SQLite")
        plain.stop()
        print("PostgreSQL, one instance")
        (whole,) = bench.measure(first, server=pid)
        for number in range(CYCLES):
            second = Daemon(bench.place, "b", store.format(url=server.url(), name="b"), bench.urls)
            joined = wait_for(lambda: len(count(connection, SAID)) == 2)
            print("a second instance joins")
            rebalanced(bench, connection, joined, 0.4 * bench.count)
            report_pauses(joined, first, second)
            if number == 0:
                time.sleep(INTERVAL)
                halves = bench.measure(first, second, server=pid)
                print(f"  of the work of one alone: {', '.join(f'{100 * part / whole:.0f} %' for part in halves)}")
            stopped = time.time()
            print("it stops")
            second.process.send_signal(signal.SIGTERM)
            rebalanced(bench, connection, stopped, bench.count, left="a")
            second.process.wait()
            report_pauses(stopped, first)
    finally:
        for daemon in (plain, first, second):
            if daemon is not None and daemon.process.poll() is None:
                daemon.stop()


def rebalanced(
    bench: Bench, connection: psycopg.Connection[tuple[str, int]], since: float, least: float, left: str = ""
) -> None:
    """Wait until no task is without an owner and each instance has at least so many, and print how long it took."""

    def balanced(query: str) -> bool:
        counts = count(connection, query)
        mine = [number for name, number in counts.items() if name in (left or name)]
        return sum(counts.values()) == bench.count and min(mine) >= least

    took = wait_for(lambda: balanced(SAID) and balanced(OWNED)) - since
    print(f"  rebalanced in {took:.2f} s: {count(connection, OWNED)}", flush=True)


def report_pauses(since: float, *daemons: Daemon) -> None:
    """Print the longest pauses of some seconds."""
    time.sleep(max(0.0, since + 15 - time.time()))
    pauses = (f"{each.name} {longest_pause(each.pauses, since, since + 15):.0f} ms" for each in daemons)
    print(f"  longest pauses in these 15 s: {', '.join(pauses)}", flush=True)


def main(count: int) -> None:
    """Measure."""
    print(f"Python {platform.python_version()}, Twisted {twisted.__version__}, nginx {nginx.version()}")
    if words := postgres.missing():
        sys.exit(words)
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        place.chmod(0o755)
        bench = Bench(place, count)
        with nginx.serving(place, bench.origins, log=bench.log), database() as server:
            run(bench, server)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 50_000)
