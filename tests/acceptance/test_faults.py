"""No endpoint can hurt the daemon, nor the tasks beside it (contract, section 3): all faults of the table at once."""

from __future__ import annotations

import os
import re
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
from tests.acceptance.process import Daemon, Process, ask, free_port, ini, pause, until

INTERVAL = 1.5
HEALTHY = 20

#: For how many seconds all is watched once every task has been checked.
WATCHED = 9.0

#: A page or a check that is so many seconds late was stalled, and not just slow.
STALLED = 3.0

#: How many megabytes all of them may cost, gigabytes of bombs and endless headers among them.
MEGABYTES = 60


def strain() -> float:
    """How many times longer things take here because others use the machine too."""
    return max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


class Watcher:
    """
    Looks at the daemon from outside, all the time.

    :ivar waits: how many seconds each answer of ``/healthz`` took.
    :ivar descriptors: how many were open: the time and their number.
    :ivar strain: the most that was seen.
    """

    def __init__(self, daemon: Daemon) -> None:
        self.waits: list[float] = []
        self.descriptors: list[tuple[float, int]] = []
        self.strain = 1.0
        self._daemon = daemon
        self._over = False
        self._watching = Deferred.fromCoroutine(self._watch())

    def open(self) -> int:
        return len(os.listdir(f"/proc/{self._daemon.pid}/fd"))

    def connections(self) -> Counter[int]:
        """How many connections it has to each port."""
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
        """The most memory that the daemon ever had, in megabytes."""
        found = re.search(r"^VmHWM:\s+(\d+) kB$", Path(f"/proc/{self._daemon.pid}/status").read_text(), re.MULTILINE)
        assert found is not None
        return int(found[1]) / 1024

    async def stop(self) -> None:
        self._over = True
        await self._watching

    async def _watch(self) -> None:
        while not self._over:
            began = reactor.seconds()
            answer = await ask(self._daemon.port, "/healthz")
            ended = reactor.seconds()
            assert answer.code == 200, answer
            self.waits.append(ended - began)
            self.descriptors.append((ended, self.open()))
            self.strain = max(self.strain, strain())
            await pause(0.05)


class FaultTests(TestCase):
    timeout = 120
    if not Path("/proc/net/tcp").exists():
        skip = "what a process holds is read from /proc"

    async def test_all_at_once(self) -> None:
        server = Process(self, *faultfleet.COMMAND)
        authority, fleet = await faultfleet.start(server)
        self.assertGreater(len(fleet), 60)
        tasks = Endpoints(self)
        healthy = [tasks.url(f"/healthy/{number}", report()) for number in range(HEALTHY)]
        port = free_port()
        ca_file = Path(self.mktemp()).absolute()
        ca_file.write_text(authority)
        main = f"interval = {INTERVAL}\ntimeout = 1\nca_file = {ca_file}\nerror_interval = 0\ngreeting ="
        urls = [url for pair in zip(healthy, [each.url for each in fleet[:HEALTHY]], strict=True) for url in pair]
        urls += [each.url for each in fleet[HEALTHY:]]
        # They are to be late rather than wrong where this machine is slow.
        more = "".join(f"[task {url}]\ntimeout = 10\n" for url in healthy)
        daemon = Daemon(self, ini(port, urls, main, more), port)
        await daemon.serves()
        watcher = Watcher(daemon)
        self.addCleanup(lambda: Deferred.fromCoroutine(watcher.stop()))
        before, spare = watcher.peak(), watcher.open()
        await daemon.is_ready()
        began = reactor.seconds()
        await self.judge(daemon, fleet, healthy)
        await pause(began + WATCHED - reactor.seconds())
        await self.judge(daemon, fleet, healthy)
        peak, connections = watcher.peak(), watcher.connections()
        await watcher.stop()

        self.check_pages(watcher)
        self.check_on_time(tasks, INTERVAL + STALLED * watcher.strain)
        self.check_descriptors(watcher, began, spare + len(urls))
        for each in fleet:
            # A check or its retry may just begin while what was before it ends.
            self.assertLessEqual(connections[each.port], 2, each.name)
        self.assertLess(peak - before, MEGABYTES, f"{before:.0f} MB became {peak:.0f} MB")

        # All of them gone: that is no fault of ours, and what they held is free.
        server.signal("KILL")
        await server.end()
        await daemon.becomes(fleet[0].url, kind="unreachable", explanation=self.refusal(fleet[0]))
        await until(lambda: watcher.open() <= spare + HEALTHY + 4, f"fewer descriptors: {watcher.open()}")
        own = (await daemon.get()).json()["self"]
        self.assertIsNone(own["blind"], own)
        self.assertEqual({(await daemon.task(url))["errors"] for url in healthy}, {0})
        await daemon.stop()

    async def judge(self, daemon: Daemon, fleet: Sequence[Expected], healthy: Sequence[str]) -> None:
        """Each fault is judged as the table says, and explained; on a slow machine perhaps not each time."""
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

        for _ in range(10):
            if await look():
                return
            await pause(0.5)
        self.fail("\n".join(f"{each.name} ({each.words}): {found}" for each, found in wrong.values()))

    def check_pages(self, watcher: Watcher) -> None:
        """Every one is answered, and no fault stalls them: how fast they are is for a bench to say."""
        self.assertGreater(len(watcher.waits), 20)
        self.assertLess(max(watcher.waits), STALLED * watcher.strain)

    def check_on_time(self, tasks: Endpoints, most: float) -> None:
        for number in range(HEALTHY):
            asked = [request.at for request in tasks.asked(f"/healthy/{number}")]
            gaps = [later - earlier for earlier, later in pairwise(asked)]
            self.assertGreaterEqual(len(gaps), int(WATCHED / INTERVAL) - 1)
            self.assertLess(max(gaps), most)

    def check_descriptors(self, watcher: Watcher, began: float, bound: int) -> None:
        """Neither more than one a task, nor more from one third of the time to the next."""
        first, last = (
            [count for at, count in watcher.descriptors if start <= (at - began) / WATCHED <= start + 1 / 3]
            for start in (0, 2 / 3)
        )
        self.assertLessEqual(max(first + last), bound)
        # Of the healthy, two or twenty may just be asked at the same time.
        self.assertLessEqual(max(last), max(first) + HEALTHY)

    def refusal(self, each: Expected) -> str:
        return f"connection refused by {urlsplit(each.url).netloc}"
