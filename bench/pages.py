"""
What pages cost: ``python bench/pages.py [TASKS]``, 5,000 tasks unless told otherwise.

A site is served over real sockets to clients in processes of their own, so that the CPU time told is the server's
alone. Each page is asked for with nothing changed since the last time, with a hundredth of the tasks changed (what a
second or so brings), and with all of them changed. Then a client asks for ``/healthz`` all the while that
another asks for pages, and tells how long it waited at most.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from statistics import median

from msgspec.structs import replace
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall, react
from twisted.internet.utils import getProcessOutput

from pypinger.domain.model import Incident, Instant, Kind, Report, Task, TaskState, Verdict
from pypinger.domain.urls import label, task_id
from pypinger.ports import Change, Day, Entry, Gap, PastDelivery, PastIncident, Run, Span
from pypinger.runtime.board import Board
from pypinger.web.app import site

NOW = time.time()
DAY = 86_400.0
WORDS = "last ran 21:55:00 UTC, 34 min ago; runs every 10 min; was due 22:05:00 UTC and 60 s grace ended 23 min ago"
KINDS = (Kind.OK,) * 16 + (Kind.SLEEPING,) * 3 + (Kind.LATE,)
ROUNDS = 9
BESIDE = 4.0
HTML = "text/html"
PAGES = (
    ("/", "application/json"),
    ("/", HTML),
    ("/?page=2", HTML),
    ("/?q=host7&by=server", HTML),
    ("/api/v1/tasks?limit=200", "application/json"),
    ("/metrics", "text/plain"),
)

#: Asks for a path and reads the answer; or, with a number of seconds, for as long, and tells the longest wait in ms.
CLIENT = """
import http.client, sys, time
port, path, accept, seconds = int(sys.argv[1]), sys.argv[2], sys.argv[3], float(sys.argv[4])
connection = http.client.HTTPConnection("127.0.0.1", port)
longest, end = 0.0, time.monotonic() + seconds
while True:
    start = time.monotonic()
    connection.request("GET", path, headers={"Accept": accept})
    answer = connection.getresponse()
    assert answer.status == 200, answer.status
    size = len(answer.read())
    longest = max(longest, time.monotonic() - start)
    if time.monotonic() >= end:
        break
    time.sleep(0.002)
print(size, longest * 1000)
"""


class Past:
    """Implements :class:`pypinger.ports.History`: 30 runs and 90 days of each task, and nothing else."""

    async def runs(self, url: str, before: int | None = None, limit: int = 50) -> Sequence[Run]:
        """See :meth:`pypinger.ports.History.runs`."""
        return ()

    async def verdicts(self, url: str, before: int | None = None, limit: int = 50) -> Sequence[Change]:
        """See :meth:`pypinger.ports.History.verdicts`."""
        return ()

    async def incidents(
        self, url: str | None = None, before: int | None = None, limit: int = 50
    ) -> Sequence[PastIncident]:
        """See :meth:`pypinger.ports.History.incidents`."""
        return ()

    async def deliveries(
        self, url: str | None = None, before: int | None = None, limit: int = 50
    ) -> Sequence[PastDelivery]:
        """See :meth:`pypinger.ports.History.deliveries`."""
        return ()

    async def uptime(self, url: str, now: Instant) -> Mapping[str, float | None]:
        """See :meth:`pypinger.ports.History.uptime`."""
        return {}

    async def days(self, url: str, now: Instant, count: int = 90) -> Sequence[Day]:
        """See :meth:`pypinger.ports.History.days`."""
        today = now // DAY * DAY
        return [Day(today - DAY * each, DAY - 60.0 * (each % 7), 60.0 * (each % 7), 0.0) for each in range(count)][::-1]

    async def gaps(self, url: str, limit: int = 50) -> Sequence[Gap]:
        """See :meth:`pypinger.ports.History.gaps`."""
        return [Gap(NOW - 600 * each, 590.0 + each) for each in range(limit)]

    async def findings(self, url: str, since: Instant, until: Instant) -> Sequence[Run]:
        """See :meth:`pypinger.ports.History.findings`."""
        return ()

    async def blind_times(self, since: Instant, until: Instant) -> Sequence[Span]:
        """See :meth:`pypinger.ports.History.blind_times`."""
        return ()


def a_task(number: int) -> Task:
    """One of the tasks."""
    url = f"https://host{number % 50}.example.org/tasks/{number}?key=secret"
    return Task(url, task_id(url), label(url), label(url))


def a_state(number: int) -> TaskState:
    """Where it stands."""
    kind = KINDS[number % len(KINDS)]
    trouble = kind is Kind.LATE
    return TaskState(
        Verdict(kind, WORDS, NOW + 300, NOW + 360),
        Report(True, NOW - 300.125, 10.0, None, (), "nightly", f"server-{number % 50}"),
        pings=1000,
        errors=7,
        checked=NOW - 21.5,
        since=NOW - 900.25,
        latency=0.0123,
        incident=Incident(NOW - 900.25, kind, NOW - 900, 1) if trouble else None,
    )


def change(board: Board, entry: Entry) -> None:
    """Have a task checked, with a new explanation."""
    state = entry.state
    assert state.verdict is not None
    verdict = replace(state.verdict, explanation=f"{WORDS} {state.pings}")
    board.show(entry.task, replace(state, pings=state.pings + 1, verdict=verdict))


class Turns:
    """
    Watches the reactor's turns.

    :ivar longest: the most CPU time that one of them took, in seconds; that is how long all else waited for it.
    """

    def __init__(self) -> None:
        self.longest = 0.0
        self._start = 0.0
        # Starting the clients' processes takes a long turn, which is none of the pages'.
        self._call = reactor.callLater(1.0, self._begin)

    def _begin(self) -> None:
        self._start = time.thread_time()
        self._call = reactor.callLater(0, self._turn)

    def _turn(self) -> None:
        now = time.thread_time()
        self.longest = max(self.longest, now - self._start)
        self._start = now
        self._call = reactor.callLater(0, self._turn)

    def stop(self) -> None:
        """Watch no more."""
        self._call.cancel()


def change_some(board: Board) -> None:
    """Have a hundredth of the tasks checked, each time others."""
    entries = board.entries()
    start = int(time.monotonic() * 100) % 100
    for entry in entries[start::100]:
        change(board, entry)


async def ask(port: int, path: str, accept: str, seconds: float = 0) -> tuple[int, float]:
    """The size of the answer, and the longest wait in ms."""
    arguments = ("-c", CLIENT, str(port), path, accept, str(seconds))
    size, longest = (await getProcessOutput(sys.executable, arguments, errortoo=True)).split()
    return int(size), float(longest)


async def main(count: int) -> None:
    """Measure and print."""
    board = Board([a_task(number) for number in range(count)], time.time)
    for number, entry in enumerate(board.entries()):
        board.show(entry.task, a_state(number))
    port = reactor.listenTCP(0, site(board, time.time, history=Past(), reactor=reactor), interface="127.0.0.1")
    number = port.getHost().port
    # What a client costs us beside the page: its process, its connection.
    start = time.thread_time()
    for _ in range(ROUNDS):
        await ask(number, "/healthz", "*/*")
    client = (time.thread_time() - start) / ROUNDS
    print(f"{count:,} tasks; CPU time of the server in ms, median of {ROUNDS}\n")
    print(f"{'page':<42}{'size':>10}{'first':>9}{'unchanged':>11}{'1 % new':>9}{'all new':>9}")
    for path, accept in PAGES:
        figures = []
        for share, rounds in ((1.0, 1), (0.0, ROUNDS), (0.01, ROUNDS), (1.0, ROUNDS)):
            costs = []
            for _ in range(rounds):
                for entry in board.entries()[: round(count * share)]:
                    change(board, entry)
                start = time.thread_time()
                size, _ = await ask(number, path, accept)
                costs.append((time.thread_time() - start - client) * 1000)
            figures.append(median(costs))
        first, unchanged, few, everything = figures
        name = f"{path} ({accept.rpartition('/')[2]})"
        print(f"{name:<42}{size:>10,}{first:>9.1f}{unchanged:>11.1f}{few:>9.1f}{everything:>9.1f}")
    print(
        f"\n/healthz for {BESIDE:g} s beside a client that asks without a pause, while {count:,} tasks change a second"
    )
    print("longest wait of the client, and the most CPU time that one turn of the reactor took, in ms")
    print("(where the first is much more than the second, something else has the machine's processors)\n")
    print(f"{'the other client asks for':<42}{'wait':>10}{'turn':>10}")
    changes = LoopingCall(change_some, board)
    changes.start(0.01)
    for path, accept in (("", ""), *PAGES):
        turns = Turns()
        waited = Deferred.fromCoroutine(ask(number, "/healthz", "*/*", BESIDE))
        if path:
            await ask(number, path, accept, BESIDE)
        _, longest = await waited
        turns.stop()
        name = f"{path} ({accept.rpartition('/')[2]})" if path else "nothing"
        print(f"{name:<42}{longest:>10.1f}{turns.longest * 1000:>10.1f}")
    changes.stop()
    await port.stopListening()


if __name__ == "__main__":
    tasks = int(sys.argv[1]) if len(sys.argv) > 1 else 5000
    react(lambda _: Deferred.fromCoroutine(main(tasks)))
