"""
The cost of pages, and the delay they cause: ``python bench/pages.py [TASKS]``, by default 5,000 tasks.

Four things are measured, and printed as the tables of ``docs/performance.md``:

* CPU time of each page. A site is served over real sockets to clients in other processes, so that the time is the
  server's alone. Each page is asked for with nothing changed since the last time, with a hundredth of the tasks
  changed (what a second or so brings), with all of them changed, and by a client that has it already (304).
* The longest turn of that server's reactor while a client asks for the page without a pause: in CPU time, so that it
  is the page's alone however busy the machine is.
* The first paint of the overview in Chromium with nothing in its cache. Needs Playwright and Debian's Chromium.
* How long ``/healthz`` of a daemon waits that polls as many tasks every :data:`INTERVAL` seconds, while another client
  asks for pages without a pause. Needs nginx.
"""

from __future__ import annotations

import gc
import platform
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from statistics import median

import nginx
import scale
from crowd import Past, change, change_some, crowd
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall, react
from twisted.internet.threads import deferToThread
from twisted.internet.utils import getProcessOutput

from pypinger.runtime.board import LiveBoard
from pypinger.web.server import Pages
from pypinger.web.sources import Sources

try:
    from playwright.sync_api import sync_playwright
except ImportError:
    sync_playwright = None

ROUNDS = 7

#: Seconds in which pages are requested without a pause; the clients start in the first ones.
BESIDE = 2.5
BEFORE = 0.8

#: Seconds between two checks of a task by the daemon: a twelfth of the default.
INTERVAL = 5

#: Loads of the overview in the browser.
LOADS = 7
CHROMIUM = shutil.which("chromium")
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
PAINT = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime"

JSON = "application/json"
HTML = "text/html"
#: After a plus sign, how clients want it compressed.
PAGES = (
    ("/", JSON),
    ("/", f"{JSON}+gzip"),
    ("/", HTML),
    ("/", f"{HTML}+gzip"),
    ("/?page=2", HTML),
    ("/?q=host7&by=server", HTML),
    ("/api/v1/tasks?limit=200", JSON),
    ("/metrics", "text/plain"),
)

#: The other requests to the daemon, at first none; the braces stand for the URL of a task.
BUSY = (
    ("", ""),
    ("/", JSON),
    ("/", HTML),
    ("/task/{}", HTML),
    ("/?q=task&by=server", HTML),
    ("/metrics", "text/plain"),
)

#: Requests a path, once or for some seconds; prints the status, size and entity tag of the last answer, and the median,
#: 99th percentile and maximum of the waits in ms.
CLIENT = """
import http.client, sys, time
port, path, accept, seconds, tag = int(sys.argv[1]), sys.argv[2], sys.argv[3], float(sys.argv[4]), sys.argv[5]
connection = http.client.HTTPConnection("127.0.0.1", port)
accept, _, coding = accept.partition("+")
headers = {"Accept": accept, "Accept-Encoding": coding or "identity", **({"If-None-Match": tag} if tag else {})}
waits, end = [], time.monotonic() + seconds
while True:
    start = time.monotonic()
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    size = len(answer.read())
    waits.append(1000 * (time.monotonic() - start))
    if time.monotonic() >= end:
        break
    time.sleep(0.002)
tag, waits = answer.headers["ETag"] or "-", sorted(waits)
print(answer.status, size, tag, waits[len(waits) // 2], waits[len(waits) * 99 // 100], waits[-1])
"""

_INI = """[main]
interval = {interval}
[web]
endpoint = tcp:{port}:interface=127.0.0.1
[store]
path = {place}/pinger.sqlite
[urls]
prod =
{urls}
"""


class Turns:
    """
    Watches the reactor's turns.

    :ivar longest: the longest CPU time of a turn, in seconds; everything else waited as long.
    """

    def __init__(self) -> None:
        self.longest = 0.0
        self._start = 0.0
        # Starting the clients takes a long turn, which does not count.
        self._call = reactor.callLater(BEFORE, self._begin)

    def _begin(self) -> None:
        self._start = time.thread_time()
        self._call = reactor.callLater(0, self._turn)

    def _turn(self) -> None:
        now = time.thread_time()
        self.longest = max(self.longest, now - self._start)
        self._start = now
        self._call = reactor.callLater(0, self._turn)

    def stop(self) -> None:
        """Stop watching."""
        self._call.cancel()


class Answers:
    """The output of a client: see :data:`CLIENT`."""

    def __init__(self, output: bytes) -> None:
        status, size, tag, *waits = output.decode().split()
        self.status, self.size, self.tag = int(status), int(size), tag
        self.p50, self.p99, self.longest = map(float, waits)


async def ask(port: int, path: str, accept: str, seconds: float = 0, tag: str = "") -> Answers:
    """Have a client request a path, once or for so many seconds."""
    arguments = ("-c", CLIENT, str(port), path, accept, str(seconds), tag)
    return Answers(await getProcessOutput(sys.executable, arguments, errortoo=True))


def named(path: str, accept: str) -> str:
    """The name of a page in the tables."""
    return f"`{path}` ({accept.rpartition('/')[2].upper()})"


async def cost(
    board: LiveBoard, port: int, client: float, path: str, accept: str, share: float, tag: str = ""
) -> float:
    """
    CPU time of one answer in ms, after a share of the tasks has changed.

    :param client: the cost of starting the client, in seconds.
    """
    for entry in board.entries()[: round(len(board.entries()) * share)]:
        change(board, entry)
    start = time.thread_time()
    await ask(port, path, accept, tag=tag)
    return max(0.0, (time.thread_time() - start - client) * 1000)


async def costs(board: LiveBoard, port: int) -> None:
    """Print the CPU times of all pages, and the longest turns."""
    client = median([await cost(board, port, 0, "/healthz", "*/*", 0) for _ in range(ROUNDS)]) / 1000
    print("| page | bytes | first | unchanged | 1 % new | all new | 304 | longest turn |")
    print("|---|---|---|---|---|---|---|---|")
    for path, accept in PAGES:
        first = await cost(board, port, client, path, accept, 1)
        figures = [
            median([await cost(board, port, client, path, accept, share) for _ in range(ROUNDS)])
            for share in (0, 0.01, 1)
        ]
        answers = await ask(port, path, accept)
        has = await ask(port, path, accept, tag=answers.tag)
        same = "–"
        if has.status == 304:
            same = f"{median([await cost(board, port, client, path, accept, 0, has.tag) for _ in range(ROUNDS)]):.1f}"
        told = " | ".join(f"{figure:.1f}" for figure in (first, *figures))
        longest = await turn(board, port, path, accept)
        print(f"| {named(path, accept)} | {answers.size:,} | {told} | {same} | {longest:.1f} |", flush=True)


async def turn(board: LiveBoard, port: int, path: str, accept: str) -> float:
    """The longest turn in ms while a client asks for a page without a pause and all tasks change each second."""
    changes = LoopingCall(change_some, board)
    changes.start(0.01)
    turns = Turns()
    await ask(port, path, accept, BESIDE)
    turns.stop()
    changes.stop()
    return turns.longest * 1000


def paints(port: int) -> tuple[str, list[float]]:
    """The browser's version, and first paints in ms after the navigation began, each in a new context; blocks."""
    found = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        for _ in range(LOADS):
            context = browser.new_context(viewport={"width": 1360, "height": 800})
            page = context.new_page()
            page.goto(f"http://127.0.0.1:{port}/")
            # Our Content-Security-Policy lets no function wait within the page.
            while (at := page.evaluate(PAINT)) is None:
                page.wait_for_timeout(10)
            found.append(at)
            context.close()
        used = browser.version
        browser.close()
    return used, found


async def paint(board: LiveBoard, port: int) -> None:
    """Print the first paint."""
    if sync_playwright is None or CHROMIUM is None:
        print("First paint: skipped, there is no Playwright or no Chromium")
        return
    changes = LoopingCall(change_some, board)
    changes.start(0.01)
    browser, found = await deferToThread(paints, port)
    changes.stop()
    print(
        f"First paint of the overview in Chromium {browser}, nothing in its cache, {LOADS} loads: "
        f"median {median(found):.0f} ms, {min(found):.0f} to {max(found):.0f} ms",
        flush=True,
    )


@contextmanager
def polling(count: int) -> Iterator[tuple[int, int, str]]:
    """Run a daemon that has checked so many tasks; yields its process id, the port of its pages, and a task's URL."""
    with tempfile.TemporaryDirectory() as name:
        place, origins = Path(name), [nginx.Origin() for _ in range(scale.ORIGINS)]
        place.chmod(0o755)
        with socket.create_server(("127.0.0.1", 0)) as held:
            port = held.getsockname()[1]
        with nginx.serving(place, origins):
            urls = [f"{origins[number % len(origins)].url}/task/{number}" for number in range(count)]
            ini = place / "pinger.ini"
            listed = "\n".join(f"    {url}" for url in urls)
            ini.write_text(_INI.format(interval=INTERVAL, port=port, place=place, urls=listed))
            twistd = [sys.executable, "-c", "from twisted.scripts.twistd import run; run()"]
            with (place / "daemon.log").open("wb") as output:
                command = [*twistd, "-n", "--pidfile=", "pypinger", "--config", str(ini)]
                daemon = subprocess.Popen(command, cwd=place, stdout=output, stderr=output)
            try:
                scale.wait_until_ready(daemon.pid, port)
                yield daemon.pid, port, urls[0]
            finally:
                daemon.send_signal(signal.SIGTERM)
                daemon.wait()


def kept_waiting(pid: int) -> float:
    """Milliseconds in which a process's main thread was ready to run, but had no processor."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e6


async def waits(count: int) -> None:
    """Print how long ``/healthz`` of a busy daemon waits while pages are requested."""
    if shutil.which("nginx") is None:
        print("`/healthz` beside pages while polling: skipped, there is no nginx")
        return
    with polling(count) as (pid, port, url):
        print(
            f"`/healthz` of a daemon that polls {count:,} tasks every {INTERVAL} s, on nginx {nginx.version()}: "
            f"waits within {BESIDE:g} s in ms\n"
        )
        print("(without a processor: how long the daemon could have gone on, had the machine had one for it)\n")
        print("| another client asks for | which takes | p50 | p99 | max | without a processor |")
        print("|---|---|---|---|---|---|")
        for path, accept in BUSY:
            before = kept_waiting(pid)
            health = Deferred.fromCoroutine(ask(port, "/healthz", "*/*", BESIDE))
            page = await ask(port, path.format(url), accept, BESIDE) if path else None
            answers = await health
            name, took = ("nothing", "–") if page is None else (named(path.format("…"), accept), f"{page.p50:.0f}")
            told = f"{answers.p50:.1f} | {answers.p99:.1f} | {answers.longest:.1f}"
            print(f"| {name} | {took} | {told} | {kept_waiting(pid) - before:.0f} |", flush=True)


async def main(count: int) -> None:
    """Measure and print."""
    versions = ", ".join(f"{name} {version(name)}" for name in ("Twisted", "klein", "msgspec"))
    board = crowd(count)
    pages = Pages(reactor, Sources(board, time.time, Past()))
    listening = reactor.listenTCP(0, pages.site, interface="127.0.0.1")
    port = listening.getHost().port
    # As the daemon does it, see pypinger/service.py.
    gc.freeze()
    print(f"Python {platform.python_version()}, {versions}; {count:,} tasks\n")
    print(f"CPU time of the server in ms, medians of {ROUNDS}; and the longest turn of its reactor\n")
    await costs(board, port)
    print()
    await paint(board, port)
    await listening.stopListening()
    print()
    await waits(count)


if __name__ == "__main__":
    tasks = int(sys.argv[1]) if len(sys.argv) > 1 else 5000
    react(lambda _: Deferred.fromCoroutine(main(tasks)))
