"""
First paints and CPU time of the overview in several checkouts, in turns: ``python bench/paint.py CHECKOUT ...``.

Figures of a busy machine say little; the ratio of two checkouts measured in the same minute does. Each checkout serves
5,000 tasks, a hundredth of which change 100 times a second, from a process of its own; Chromium loads each page in turn
with nothing in its cache. For the CPU time nothing changes. Needs Playwright and Debian's Chromium.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path
from statistics import median

from playwright.sync_api import Browser, sync_playwright

ROUNDS = 7

#: Requests in a round of CPU time, which the kernel counts in hundredths of a second.
REQUESTS = 15

CHROMIUM = shutil.which("chromium")
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
PAINT = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime"
ANSWERED = "performance.getEntriesByType('navigation')[0].responseStart"
NODES = "document.querySelectorAll('*').length"

#: Serves the checkout and prints its port; earlier ones have the server in another module.
SERVER = """
import gc, sys, time
checkout, changing = sys.argv[1], sys.argv[2] == "changing"
sys.path[:0] = [checkout, checkout + "/bench"]
from twisted.internet import reactor
from twisted.internet.task import LoopingCall
from crowd import Past, change_some, crowd
try:
    from pypinger.web.server import Pages
    from pypinger.web.sources import Sources
except ImportError:
    from pypinger.web.app import Pages, Sources
board = crowd(5000)
pages = Pages(reactor, Sources(board, time.time, Past()))
listening = reactor.listenTCP(0, pages.site, interface="127.0.0.1")
gc.freeze()
if changing:
    LoopingCall(change_some, board).start(0.01)
print(listening.getHost().port, flush=True)
reactor.run()
"""


class Server:
    """Serves the pages of a checkout."""

    def __init__(self, checkout: Path, *, changing: bool) -> None:
        words = [sys.executable, "-c", SERVER, str(checkout), "changing" if changing else "still"]
        self._process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.home = f"http://127.0.0.1:{int(self._process.stdout.readline())}/"

    def cpu(self) -> float:
        """The CPU time of the process in ms."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return 1000 * (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait()


def paint(browser: Browser, home: str) -> tuple[float, float, int]:
    """The first paint and the first byte in ms after the navigation began, and the number of elements."""
    context = browser.new_context(viewport={"width": 1360, "height": 800})
    page = context.new_page()
    page.goto(home)
    while (at := page.evaluate(PAINT)) is None:
        page.wait_for_timeout(10)
    found = at, page.evaluate(ANSWERED), page.evaluate(NODES)
    context.close()
    return found


def cost(server: Server) -> float:
    """The CPU time of one answer in ms."""
    request = urllib.request.Request(server.home, headers={"Accept": "text/html"})
    before = server.cpu()
    for _ in range(REQUESTS):
        with urllib.request.urlopen(request) as answer:
            answer.read()
    return (server.cpu() - before) / REQUESTS


def main(checkouts: list[Path]) -> None:
    """Measure and print."""
    servers = [Server(checkout, changing=True) for checkout in checkouts]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        # The first of all fills the caches of the servers.
        rounds = [[paint(browser, server.home) for server in servers] for _ in range(ROUNDS + 1)][1:]
        browser.close()
    for server in servers:
        server.stop()
    servers = [Server(checkout, changing=False) for checkout in checkouts]
    costs = [[cost(server) for server in servers] for _ in range(ROUNDS + 1)][1:]
    for server in servers:
        server.stop()
    print(f"Medians of {ROUNDS}, load {os.getloadavg()[0]:.0f}")
    for number, checkout in enumerate(checkouts):
        paints, answers, nodes = zip(*(each[number] for each in rounds), strict=True)
        print(
            f"{checkout}: first paint {median(paints):.0f} ms ({min(paints):.0f} to {max(paints):.0f}), first byte "
            f"{median(answers):.0f} ms, {nodes[0]:,} elements, {median(each[number] for each in costs):.1f} ms of CPU"
        )


if __name__ == "__main__":
    main([Path(each).resolve() for each in sys.argv[1:] or ["."]])
