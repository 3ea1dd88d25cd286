"""
Checks per second of CPU time: ``python bench/path.py [SECONDS [ROUNDS]]``.

The whole path (loop, fetch, parse, judge, step, record in SQLite; time limit, limits and retry on) is compared with a
bare loop of ``treq.get`` and ``json()``. All run in this process in turns, round after round, each for the same time. A
ratio compares two figures of one round; the medians over all rounds are printed. The server decides whether a
connection is kept; both clients have the same number of requests under way and can keep all connections.

With PostgreSQL the CPU time is that of this process, not of the server.

A report changes when its task runs, not with each check, so the same reports are served again and again. On the last
line each report is new and writes a row of history.
"""

from __future__ import annotations

import gc
import platform
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import alone
import nginx
import treq
import trustme
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.ssl import Certificate, trustRootFromCertificates
from twisted.internet.task import deferLater, react
from twisted.web.client import Agent, BrowserLikePolicyForHTTPS, HTTPConnectionPool
from twisted.web.http_headers import Headers

import twisted
from pypinger.domain.kinds import Kind
from pypinger.domain.model import Answer, Task
from pypinger.domain.redaction import Secrets
from pypinger.domain.routing import Routing
from pypinger.domain.url import parse
from pypinger.http.agents.polling import PollingAgent
from pypinger.http.client import NO_COOKIES, WireUrl, client_over
from pypinger.http.fetcher import TaskFetcher
from pypinger.http.wire.headers import USER_AGENT
from pypinger.http.wire.limits import Limits
from pypinger.http.wire.network import Network
from pypinger.runtime.board import LiveBoard
from pypinger.runtime.check import Checker
from pypinger.runtime.clock import use_monotonic_time
from pypinger.runtime.fetches import CheckSettings
from pypinger.runtime.monitor import Monitor
from pypinger.runtime.outbox import Outbox
from pypinger.runtime.outboxsettings import OutboxSettings
from pypinger.runtime.runs import RunFeed
from pypinger.runtime.timetable import Timetable
from pypinger.store.postgres.store import PostgresStore
from pypinger.store.sqlite import SqliteStore

#: How many requests are under way at once.
WORKERS = 100

#: An interval so short that the next check begins in the reactor's next turn.
AT_ONCE = 0.0001

#: Seconds that each run has to open its connections before it is measured.
WARM_UP = 1.0

#: Makes a store for some tasks.
Open = Callable[[Sequence[Task]], SqliteStore | PostgresStore]

#: A run: works for some seconds and returns the reports read per second of CPU time, of all threads.
Run = Callable[[float], Awaitable[float]]


def bare(origin: nginx.Origin, authority: trustme.CA) -> Run:
    """Return a loop of ``treq.get`` and ``json()``."""
    pool = HTTPConnectionPool(reactor)
    pool.maxPersistentPerHost = WORKERS
    policy = BrowserLikePolicyForHTTPS(trustRootFromCertificates([Certificate.loadPEM(authority.cert_pem.bytes())]))
    agent = Agent(reactor, pool=pool, contextFactory=policy)

    done = 0

    async def worker(number: int, until: float) -> None:
        nonlocal done
        while time.monotonic() < until:
            response = await treq.get(f"{origin.url}/task/{number}", agent=agent)
            assert (await response.json())["status"] == "ok"
            done += 1

    async def run(seconds: float) -> float:
        until = time.monotonic() + WARM_UP + seconds + 0.1
        workers = [Deferred.fromCoroutine(worker(number, until)) for number in range(WORKERS)]
        rate = await measured(seconds, lambda: done)
        await gatherResults(workers)
        await pool.closeCachedConnections()
        return rate

    return run


def ours(origin: nginx.Origin, *, with_treq: bool) -> Run:
    """Return a loop over the polling agent, alone or under treq as the fetcher uses it."""
    done = 0

    async def run(seconds: float) -> float:
        network = Network(reactor, Limits(connections=WORKERS))  # type: ignore[arg-type]
        agent = PollingAgent(network)
        client = client_over(agent)
        headers = Headers({b"User-Agent": [USER_AGENT], b"Accept": [b"application/json"]})
        until = time.monotonic() + WARM_UP + seconds + 0.1

        async def worker(number: int) -> None:
            nonlocal done
            text = f"{origin.url}/task/{number}"
            url, uri = WireUrl(parse(text)), text.encode()
            while time.monotonic() < until:
                if with_treq:
                    body = await treq.content(
                        await client.get(
                            url, headers=headers, cookies=NO_COOKIES, unbuffered=True, allow_redirects=False
                        )
                    )
                else:
                    response: Any = await agent.request(b"GET", uri, headers)
                    body = response.body
                assert b'"ok"' in body
                done += 1

        workers = [Deferred.fromCoroutine(worker(number)) for number in range(WORKERS)]
        rate = await measured(seconds, lambda: done)
        await gatherResults(workers)
        await network.close()
        return rate

    return run


def fetching(origin: nginx.Origin) -> Run:
    """Return a loop over the fetcher: treq over our agents, with time limit, redirects and contact."""
    done = 0

    async def run(seconds: float) -> float:
        fetcher = TaskFetcher(reactor)  # type: ignore[arg-type]
        until = time.monotonic() + WARM_UP + seconds + 0.1

        async def worker(number: int) -> None:
            nonlocal done
            url = parse(f"{origin.url}/task/{number}")
            task = Task(url=url.text, id=url.id, name=url.label, label=url.label, origin=url.origin)
            while time.monotonic() < until:
                found = await fetcher.fetch(task)
                assert isinstance(found, Answer)
                done += 1

        workers = [Deferred.fromCoroutine(worker(number)) for number in range(WORKERS)]
        rate = await measured(seconds, lambda: done)
        await gatherResults(workers)
        await fetcher.close()
        return rate

    return run


def sqlite(path: Path | str) -> Open:
    """Return a function that opens an SQLite store."""
    return lambda tasks: SqliteStore(reactor, time.time, str(path), keep_days=90)  # type: ignore[arg-type]


def shared(tasks: Sequence[Task]) -> PostgresStore:
    """A PostgreSQL store that this process has alone."""
    return alone.make_store(reactor, tasks)


def whole(origin: nginx.Origin, ca_file: Path, make: Open) -> Run:
    """Py Pinger without its pages, with the store that `make` returns."""
    tasks = []
    for number in range(WORKERS):
        url = parse(f"{origin.url}/task/{number}")
        tasks.append(
            Task(
                url=url.text,
                id=url.id,
                name=url.label,
                label=url.label,
                origin=url.origin,
                interval=AT_ONCE,
                ca_file=str(ca_file),
            )
        )

    async def run(seconds: float) -> float:
        # As in the daemon; the bare loop has the garbage collector as Python has it.
        gc.collect()
        gc.freeze()
        store = make(tasks)
        kept = store.open()
        board = LiveBoard(tasks, time.time)
        outbox = Outbox(reactor, time.time, store, board, OutboxSettings((), Routing()))  # type: ignore[arg-type]
        fetcher = TaskFetcher(reactor)  # type: ignore[arg-type]
        runs = RunFeed(reactor, [])  # type: ignore[arg-type]
        settings = CheckSettings(fetcher, 256, Secrets(["hunter2-and-more"]))
        checker = Checker(reactor, time.time, store, outbox, board, runs, settings)  # type: ignore[arg-type]
        monitor = Monitor(Timetable(reactor), time.time, tasks, checker, board, outbox)  # type: ignore[arg-type]
        monitor.resume(kept.states)
        monitor.start()
        rate = await measured(seconds, lambda: sum(entry.state.pings for entry in board.entries()))
        await monitor.stop()
        await store.close()
        await fetcher.close()
        gc.unfreeze()
        assert all(entry.state.kind is Kind.OK for entry in board.entries())
        return rate

    return run


async def measured(seconds: float, done: Callable[[], int]) -> float:
    """Return what is done per second of CPU time, once all connections are open."""
    await deferLater(reactor, WARM_UP)  # type: ignore[arg-type]
    before, began = done(), time.process_time()
    await deferLater(reactor, seconds)  # type: ignore[arg-type]
    return (done() - before) / (time.process_time() - began)


async def main(seconds: float, rounds: int, place: Path) -> None:
    """Measure everything, and print a table."""
    authority = trustme.CA()
    certificate, ca_file = place / "server.pem", place / "ca.pem"
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(certificate))
    authority.cert_pem.write_to_path(str(ca_file))
    origins = {
        "HTTP, kept": nginx.Origin(),
        "HTTP, new": nginx.Origin(keep=False),
        "HTTPS, kept": nginx.Origin(tls=True),
        "HTTPS, new": nginx.Origin(tls=True, keep=False),
    }
    base, fresh = "HTTP, kept", nginx.Origin(fresh=True)
    print(
        f"Python {platform.python_version()}, Twisted {twisted.__version__}, treq {treq.__version__}, "
        f"nginx {nginx.version()}; {rounds} rounds of {seconds:g} s"
    )
    with nginx.serving(place, [*origins.values(), fresh], certificate=certificate):
        runs: dict[tuple[str, str], Run] = {}
        for number, (kind, origin) in enumerate(origins.items()):
            runs["treq", kind] = bare(origin, authority)
            runs["whole path", kind] = whole(origin, ca_file, sqlite(place / f"{number}.sqlite"))
        runs["our agent alone", base] = ours(origins[base], with_treq=False)
        runs["treq over our agent", base] = ours(origins[base], with_treq=True)
        runs["the fetcher alone", base] = fetching(origins[base])
        runs["in memory", base] = whole(origins[base], ca_file, sqlite(":memory:"))
        runs["each report new", base] = whole(fresh, ca_file, sqlite(place / "fresh.sqlite"))
        if alone.postgres.missing() is None:
            runs["in PostgreSQL", base] = whole(origins[base], ca_file, shared)
            runs["new, in PostgreSQL", base] = whole(fresh, ca_file, shared)
        rates: dict[tuple[str, str], list[float]] = {key: [] for key in runs}
        for _ in range(rounds):
            for key, run in runs.items():
                rates[key].append(await run(seconds))
    reference = rates["treq", base]
    print(f"{'':32} {'a second':>9} {'CPU':>9}  ratio to treq, {base}")
    for (what, kind), found in rates.items():
        ratios = [each / other for each, other in zip(found, reference, strict=True)]
        print(
            f"{what + ', ' + kind:32} {median(found):9,.0f} {1e6 / median(found):6,.0f} us"
            f"  {median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})",
            flush=True,
        )


def _main(_: Any) -> Deferred[None]:
    use_monotonic_time(reactor)
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 1.5
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 7

    async def with_place() -> None:
        with tempfile.TemporaryDirectory() as name:
            await main(seconds, rounds, Path(name))

    return Deferred.fromCoroutine(with_place())


if __name__ == "__main__":
    react(_main)
