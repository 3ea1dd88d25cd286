"""No endpoint harms the daemon or other tasks (contract, section 3): all faults of the table at once."""

from __future__ import annotations

import os
import re
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from urllib.parse import urlsplit

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from tests.acceptance import faultfleet
from tests.acceptance.endpoints import Endpoints, report
from tests.acceptance.faultfleet import Expected
from tests.acceptance.process import PATIENCE, Daemon, Process, ask, free_port, ini, pause, until
from tests.stopwatch import Stopwatch

INTERVAL = 1.5
HEALTHY = 20

#: How long the daemon is watched after every task has been checked, in seconds, and how often it checks each healthy
#: task then.
WATCHED = 9.0
CHECKS = int(WATCHED / INTERVAL) - 1

#: A page or a check that is this many seconds late was stalled, not only slow.
STALLED = 3.0

#: The memory that all faults together may cost, in megabytes. They send gigabytes.
MEGABYTES = 60


class Watcher:
    """
    Watches the daemon from outside. Its times are those of a machine of its own.

    :ivar waits: how long each answer of ``/healthz`` took, in seconds.
    :ivar descriptors: the numbers of open descriptors.
    """

    def __init__(self, daemon: Daemon) -> None:
        self.waits: list[float] = []
        self.descriptors: list[int] = []
        self._looks: list[tuple[float, float]] = []
        self._daemon = daemon
        self._stopwatch = Stopwatch(daemon.pid)
        self._over = False
        self._watching = Deferred.fromCoroutine(self._watch())

    def open(self) -> int:
        return len(os.listdir(f"/proc/{self._daemon.pid}/fd"))

    def connections(self) -> Counter[int]:
        """The number of connections to each port."""
        own = {each.removeprefix("socket:") for each in self._held()}
        lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        return Counter(int(line[2].partition(":")[2], 16) for line in lines if f"[{line[9]}]" in own)

    def _held(self) -> Iterator[str]:
        for descriptor in Path(f"/proc/{self._daemon.pid}/fd").iterdir():
            try:
                yield os.readlink(descriptor)
            except FileNotFoundError:
                pass  # closed just now

    def peak(self) -> float:
        """The daemon's peak memory in megabytes."""
        found = re.search(r"^VmHWM:\s+(\d+) kB$", Path(f"/proc/{self._daemon.pid}/status").read_text(), re.MULTILINE)
        assert found is not None
        return int(found[1]) / 1024

    def between(self, earlier: float, later: float) -> float:
        """How many seconds passed between two times of the wall clock."""
        starved = [0.0, *(starved for at, starved in self._looks if at <= earlier)][-1]
        by_then = next((starved for at, starved in self._looks if at >= later), self._stopwatch.starved())
        return later - earlier - (by_then - starved)

    async def stop(self) -> None:
        self._over = True
        await self._watching

    async def _watch(self) -> None:
        while not self._over:
            stopwatch = Stopwatch(self._daemon.pid)
            answer = await ask(self._daemon.port, "/healthz")
            assert answer.code == 200, answer
            self.waits.append(stopwatch.seconds())
            self.descriptors.append(self.open())
            self._looks.append((time.time(), self._stopwatch.starved()))
            await pause(0.05)


class FaultTests(TestCase):
    timeout = 300
    if not Path("/proc/net/tcp").exists():
        skip = "needs /proc"

    async def test_all_at_once(self) -> None:
        server = Process(self, *faultfleet.COMMAND)
        authority, fleet = await faultfleet.start(server)
        self.assertGreater(len(fleet), 60)
        tasks = Endpoints(self)
        healthy = [tasks.url(f"/healthy/{number}", report()) for number in range(HEALTHY)]
        port = free_port()
        ca_file = Path(self.mktemp()).absolute()
        ca_file.write_text(authority)
        main = f"interval = {INTERVAL}\ntimeout = 60\nca_file = {ca_file}\nerror_interval = 0\ngreeting ="
        urls = [url for pair in zip(healthy, [each.url for each in fleet[:HEALTHY]], strict=True) for url in pair]
        urls += [each.url for each in fleet[HEALTHY:]]
        # What answers may be late on a busy machine, but must not time out.
        more = "".join(f"[task {each.url}]\ntimeout = 3\n" for each in fleet if each.hangs)
        daemon = Daemon(self, ini(port, urls, main, more), port)
        await daemon.serves()
        watcher = Watcher(daemon)
        self.addCleanup(lambda: Deferred.fromCoroutine(watcher.stop()))
        before, spare = watcher.peak(), watcher.open()
        await daemon.is_ready()
        began = reactor.seconds()
        await self.judge(daemon, fleet, healthy)
        await pause(max(0.0, began + WATCHED - reactor.seconds()))
        await until(lambda: min(len(tasks.asked(f"/healthy/{number}")) for number in range(HEALTHY)) > CHECKS)
        await self.judge(daemon, fleet, healthy)
        peak = watcher.peak()
        # A check or its retry may begin while the previous connection closes, which takes a while on a busy machine.
        await until(
            lambda: (held := watcher.connections()) and all(held[each.port] <= 2 for each in fleet),
            "two connections to each port at most",
        )
        await watcher.stop()

        self.check_pages(watcher)
        self.check_on_time(tasks, watcher)
        # At most one descriptor for each task, and none that is left behind.
        self.assertLessEqual(max(watcher.descriptors), spare + len(urls))
        self.assertLess(peak - before, MEGABYTES, f"{before:.0f} MB became {peak:.0f} MB")

        # The fault server dies: the tasks are to blame, and their descriptors are free again.
        server.signal("KILL")
        await server.end()
        await daemon.becomes(fleet[0].url, kind="unreachable", explanation=self.refusal(fleet[0]))
        await until(lambda: watcher.open() <= spare + HEALTHY + 4, f"fewer descriptors: {watcher.open()}")
        own = (await daemon.get()).json()["self"]
        self.assertIsNone(own["blind"], own)
        self.assertEqual({(await daemon.task(url))["errors"] for url in healthy}, {0})
        await daemon.stop()

    async def judge(self, daemon: Daemon, fleet: Sequence[Expected], healthy: Sequence[str]) -> None:
        """Each fault gets its expected verdict and words, on a busy machine after a while."""
        wrong = {each.url: (each, "") for each in fleet}

        async def look() -> bool:
            overview = (await daemon.get()).json()
            self.assertIsNone(overview["self"]["blind"])
            for task in overview["data"]:
                expected, _ = wrong.get(task["url"], (None, ""))
                if expected is not None:
                    wrong[task["url"]] = expected, f"{task['kind']}: {task['explanation']}"
                    if task["kind"] in expected.kinds and expected.words in task["explanation"]:
                        del wrong[task["url"]]
            kinds = {task["url"]: task["kind"] for task in overview["data"]}
            self.assertEqual({kinds[url] for url in healthy}, {"ok"})
            return not wrong

        deadline = reactor.seconds() + PATIENCE
        while reactor.seconds() < deadline:
            if await look():
                return
            await pause(0.5)
        self.fail("\n".join(f"{each.name} ({each.words}): {found}" for each, found in wrong.values()))

    def check_pages(self, watcher: Watcher) -> None:
        """All are answered and none stalls. Speed is measured by benchmarks."""
        self.assertGreater(len(watcher.waits), 20)
        self.assertLess(max(watcher.waits), STALLED)

    def check_on_time(self, tasks: Endpoints, watcher: Watcher) -> None:
        for number in range(HEALTHY):
            asked = [request.at for request in tasks.asked(f"/healthy/{number}")]
            gaps = [watcher.between(*pair) for pair in pairwise(asked)]
            self.assertGreaterEqual(len(gaps), CHECKS)
            self.assertLess(max(gaps), INTERVAL + STALLED)

    def refusal(self, each: Expected) -> str:
        return f"connection refused by {urlsplit(each.url).netloc}"
