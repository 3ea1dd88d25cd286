"""
Takes pictures of the pages in every state, for people to look at: ``python -m tests.browser.pictures FOLDER [NAME]``.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from msgspec.structs import replace
from playwright.sync_api import Browser, sync_playwright
from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import react
from twisted.internet.threads import deferToThread

from pypinger.domain.clocks import IS_WRONG
from pypinger.domain.kinds import Status
from pypinger.domain.model import TaskState
from pypinger.domain.times import DAY
from pypinger.ports.showing import DaemonState, Entry, LastAnswer, Sharing
from tests.browser.chromium import _FLAGS, CHROMIUM
from tests.browser.fleet import crowd, fleet, instances, judged, member, on_call, report, shared, storm
from tests.web.fakes import FakeBoard, daemon_state, task
from tests.web.history import FakeHistory
from tests.web.pages import make_pages

reactor: Any = _reactor
NOW = time.time()
WIDTHS = {1400: 800, 768: 1024, 390: 844}
INI = "/etc/pypinger/pinger.ini"


def fine(count: int = 20) -> list[Entry]:
    """So many tasks on time."""
    names = ("Invoices", "Backup of db", "Search index", "Thumbnails", "Newsletter", "Price import", "Audit log")
    return [
        judged(f"{names[n % 7]} {n}", report(NOW, 20 + 23 * n, 10, process=f"job-{n % 4}", server=f"app-{n % 5}"), NOW)
        for n in range(count)
    ]


def states() -> dict[str, tuple[list[Entry], DaemonState, list[str]]]:
    """Name -> tasks, state of the daemon, and paths to visit."""
    good = daemon_state(started=NOW - 7200, lastrun=NOW, ini=INI)
    bad = replace(good, status=Status.ERROR)
    every = [*fleet(NOW), *on_call(NOW)]
    kinds: dict[str, str] = {}
    for each in every:
        kinds.setdefault(each.state.kind.value, each.task.id)
    unseen = replace(fine(1)[0], unseen=NOW - 600, seen=NOW - 600)
    troubles = (
        "the latest reload failed: line 12: unknown option intervall; did you mean interval? (2 problems)",
        "the store cannot be written: No space left on device",
        f"{IS_WRONG}: it is 12 min behind the clocks of most hosts",
        "slack did not accept the latest alert: invalid_auth",
    )
    twenty = [*fleet(NOW), *fine(7)]
    two = Sharing("a", (member("a", NOW - DAY, 10, ("email",)), member("b", NOW - DAY, 10, ("slack",))))
    three = instances(NOW)
    names = [each.name for each in three.members]
    away = replace(three, away=NOW - 95, words="db.example.org does not answer: connection refused")
    one = shared(twenty, "a", "b")[1].task.id
    return {
        "fine": (fine(), good, [""]),
        "mixed": (list(fleet(NOW))[:12], good, [""]),
        "twenty": ([*fleet(NOW), *fine(7)], good, [""]),
        "oncall": (every, good, [""]),
        "storm": ([*storm(NOW, 3000), *fleet(NOW), *fine(80)], good, [""]),
        "blind": (
            [*list(fleet(NOW))[:8], unseen],
            replace(bad, blind=NOW - 90, explanation="blind: no host answers", troubles=("blind: no host answers",)),
            ["", f"task/{kinds['ok']}"],
        ),
        "empty": ([], good, [""]),
        "start": ([Entry(task(f"http://h/{n}", f"Job {n}"), TaskState()) for n in range(12)] + fine(3), good, [""]),
        "trouble": (
            fine(8),
            replace(bad, explanation="; ".join(troubles), troubles=troubles, dead=3, dead_channels=("slack",)),
            [""],
        ),
        "machines": (shared(twenty, "a", "b"), replace(good, sharing=two), ["", "?by=instance", f"task/{one}"]),
        "members": (shared(twenty, *names), replace(good, sharing=three), [""]),
        "away": (
            shared(twenty, "alpha"),
            replace(bad, sharing=away, blind=NOW - 95, explanation="blind: " + away.words),
            ["", f"task/{one}"],
        ),
        "lost": (fine(3), good, ["no/such/page", "task/deadbeef"]),
        "tasks": (every, good, [f"task/{number}" for number in kinds.values()]),
        "silenced": (every, good, [f"task/{each.task.id}" for each in on_call(NOW)]),
        "groups": ([*fleet(NOW), *fine(40)], good, ["?by=server"]),
        "wall": ([*storm(NOW, 300), *crowd(NOW, 300), *on_call(NOW)], good, ["?view=wall"]),
        "lists": (every, replace(bad, dead=1, undelivered=2), ["incidents", "deliveries", "public"]),
        "crowd": (list(crowd(NOW, 300)), good, [""]),
    }


def take(browser: Browser, home: str, folder: Path, name: str, paths: Iterable[str]) -> None:
    """Visit the pages in all sizes, the widest also in the dark."""
    for number, path in enumerate(paths):
        for width, height in WIDTHS.items():
            for scheme in ("light", "dark") if width == 1400 else ("light",):
                context = browser.new_context(
                    viewport={"width": width, "height": height}, color_scheme=scheme, locale="en-GB", timezone_id="UTC"
                )
                page = context.new_page()
                page.goto(home + path)
                page.wait_for_timeout(1600)
                if page.locator("#instances").count():
                    page.locator("#instances > summary").click()
                dark = "-dark" if scheme == "dark" else ""
                page.screenshot(path=folder / f"{name}{number or ''}-{width}{dark}.png")
                context.close()


async def main(folder: str, *wanted: str) -> None:
    """Serve each state, and take its pictures."""
    place = Path(folder)
    place.mkdir(exist_ok=True)
    homes = {}
    for name, (entries, daemon, paths) in states().items():
        if wanted and name not in wanted:
            continue
        board = FakeBoard(entries, daemon)
        for each in entries[:40]:
            body = b'{"status": "ok", "lastrun": "2026-11-26T03:00:00Z", "frequency": 10}'
            if each.owner == "b":
                continue
            board.answers[each.task.id] = LastAnswer(NOW - 20, 200, body, False)
        history = FakeHistory(NOW)
        history.url = entries[0].task.url if entries else ""
        pages = make_pages(board, reactor, now=time.time, history=history, public="*")
        port = reactor.listenTCP(0, pages.site, interface="127.0.0.1")
        homes[name] = f"http://127.0.0.1:{port.getHost().port}/", paths

    def visit() -> None:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=_FLAGS)
            for name, (home, paths) in homes.items():
                take(browser, home, place, name, paths)
            browser.close()

    await deferToThread(visit)


if __name__ == "__main__":
    react(lambda _: Deferred.fromCoroutine(main(*sys.argv[1:])))
