"""
Takes pictures of the pages in every state, for people to look at: ``python -m tests.browser.pictures FOLDER [NAME]``.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from msgspec.structs import replace
from playwright.sync_api import Browser, sync_playwright
from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import react
from twisted.internet.threads import deferToThread

from pypinger.domain.clocks import IS_WRONG
from pypinger.domain.kinds import Kind, Status
from pypinger.domain.model import Alert, Event, Outcome, TaskState
from pypinger.domain.times import DAY
from pypinger.ports.history import (
    ALL_DELIVERIES,
    ALL_INCIDENTS,
    DeliveryFilter,
    IncidentFilter,
    PastAlert,
    PastDelivery,
    PastIncident,
)
from pypinger.ports.showing import DaemonState, Entry, LastAnswer, Sharing
from tests.browser.chromium import _FLAGS, CHROMIUM
from tests.browser.fleet import crowd, fleet, instances, judged, member, on_call, report, shared, storm
from tests.web.fakes import FakeBoard, daemon_state, task
from tests.web.history import FakeHistory
from tests.web.pages import make_pages

reactor: Any = _reactor
WIDTHS = {1400: 800, 768: 1024, 390: 844}
INI = "/etc/pypinger/pinger.ini"
ANSWER = b'{"status": "ok", "lastrun": "2026-11-26T03:00:00Z", "frequency": 10}'


class Past(FakeHistory):
    """The incidents that the tasks of a board show, each with its alerts, and one that is over."""

    def __init__(self, board: FakeBoard) -> None:
        super().__init__(time.time())
        self._board = board

    def _wrong(self, url: str | None) -> list[Entry]:
        every = [
            each for each in self._board.entries() if each.state.incident is not None and each.state.verdict is not None
        ]
        return [each for each in every if url in (None, each.task.key)][:50]

    async def incidents(
        self,
        url: str | None = None,
        before: int | None = None,
        limit: int = 50,
        which: IncidentFilter = ALL_INCIDENTS,
    ) -> Sequence[PastIncident]:
        found = []
        for each in self._wrong(url):
            assert each.state.incident is not None
            assert each.state.verdict is not None
            began, words = each.state.incident.started, each.state.verdict.explanation
            told = PastAlert(f"a{len(found)}", Event.PROBLEM, began + 1, words)
            made = PastIncident(
                9 - len(found), each.task.key, began, began, None, (each.state.kind,), words, 1, (told,)
            )
            found.append(made)
        if url and not found:
            began, words = self.now - 9 * 86_400, "no run for 12 min"
            found.append(PastIncident(0, url, began, began, began + 8_640, (Kind.LATE,), words, 0, ()))
        return found

    async def deliveries(
        self,
        url: str | None = None,
        before: int | None = None,
        limit: int = 50,
        which: DeliveryFilter = ALL_DELIVERIES,
    ) -> Sequence[PastDelivery]:
        ends: tuple[tuple[str, Outcome | None, int, str], ...] = (
            ("slack", None, 0, ""),
            ("slack", None, 2, "HTTP 503"),
            ("slack", Outcome.DEAD, 3, "channel_not_found"),
            ("email", Outcome.SENT, 1, "250 OK"),
        )
        found = []
        for number, each in enumerate(self._wrong(url)):
            channel, outcome, attempts, words = ends[min(number, 3)]
            if which.outcome not in (None, outcome or Outcome.RETRY):
                continue
            assert each.state.incident is not None
            assert each.state.verdict is not None
            at = each.state.incident.started + 1
            alert = Alert(
                f"a{number}",
                Event.PROBLEM,
                at,
                each.state.verdict.explanation,
                task=each.task.id,
                name=each.task.name,
                kind=each.state.kind,
            )
            settled = at + 5 if attempts else None
            found.append(PastDelivery(99 - number, each.task.key, alert, channel, attempts, words, outcome, settled))
        return found


def fine(now: float, count: int = 20) -> list[Entry]:
    """So many tasks on time."""
    names = ("Invoices", "Backup of db", "Search index", "Thumbnails", "Newsletter", "Price import", "Audit log")
    return [
        judged(f"{names[n % 7]} {n}", report(now, 20 + 23 * n, 10, process=f"job-{n % 4}", server=f"app-{n % 5}"), now)
        for n in range(count)
    ]


def states(now: float) -> dict[str, tuple[list[Entry], DaemonState, list[str]]]:
    """Name -> tasks, state of the daemon, and paths to visit."""
    good = daemon_state(started=now - 7200, lastrun=now, ini=INI)
    bad = replace(good, status=Status.ERROR)
    every = [*fleet(now), *on_call(now)]
    kinds: dict[str, str] = {}
    for each in every:
        kinds.setdefault(each.state.kind.value, each.task.id)
    unseen = replace(fine(now, 1)[0], unseen=now - 600, seen=now - 600)
    troubles = (
        "the latest reload failed: line 12: unknown option intervall (and 1 more problem) (at 09:01:20 UTC)",
        "the store cannot be written: No space left on device",
        f"{IS_WRONG}: it is 12 min behind the clocks of most hosts (since 08:50:02 UTC)",
        "slack did not accept the latest alert: invalid_auth",
    )
    twenty = [*fleet(now), *fine(now, 7)]
    two = Sharing("a", (member("a", now - DAY, 10, ("email",)), member("b", now - DAY, 10, ("slack",))))
    three = instances(now)
    names = [each.name for each in three.members]
    away = replace(three, away=now - 95, words="db.example.org does not answer: connection refused")
    one = shared(twenty, "a", "b")[1].task.id
    return {
        "fine": (fine(now), good, [""]),
        "mixed": (list(fleet(now))[:12], good, [""]),
        "twenty": ([*fleet(now), *fine(now, 7)], good, [""]),
        "oncall": (every, good, [""]),
        "storm": ([*storm(now, 3000), *fleet(now), *fine(now, 80)], good, [""]),
        "blind": (
            [*list(fleet(now))[:8], unseen],
            replace(bad, blind=now - 90, explanation="blind: no host answers", troubles=("blind: no host answers",)),
            ["", f"task/{kinds['ok']}"],
        ),
        "empty": ([], good, [""]),
        "start": (
            [Entry(task(f"http://h/{n}", f"Job {n}"), TaskState()) for n in range(12)] + fine(now, 3),
            good,
            [""],
        ),
        "trouble": (
            fine(now, 8),
            replace(bad, explanation="; ".join(troubles), troubles=troubles, dead=3, dead_channels=("slack",)),
            [""],
        ),
        "machines": (shared(twenty, "a", "b"), replace(good, sharing=two), ["", "?by=instance", f"task/{one}"]),
        "members": (shared(twenty, *names), replace(good, sharing=three), [""]),
        "away": (
            shared(twenty, "alpha"),
            replace(bad, sharing=away, blind=now - 95, explanation="blind: " + away.words),
            ["", f"task/{one}"],
        ),
        "lost": (fine(now, 3), good, ["no/such/page", "task/deadbeef"]),
        "tasks": (every, good, [f"task/{number}" for number in kinds.values()]),
        "silenced": (every, good, [f"task/{each.task.id}" for each in on_call(now)]),
        "groups": ([*fleet(now), *fine(now, 40)], good, ["?by=server"]),
        "wall": ([*storm(now, 300), *crowd(now, 300), *on_call(now)], good, ["?view=wall"]),
        "lists": (every, replace(bad, dead=1, undelivered=2), ["incidents", "deliveries", "public"]),
        "crowd": (list(crowd(now, 300)), good, [""]),
    }


def take(
    browser: Browser, home: str, folder: Path, name: str, paths: Iterable[str], refresh: Callable[[], None]
) -> None:
    """Visit the pages in all sizes, by day and by night."""
    for number, path in enumerate(paths):
        for width, height in WIDTHS.items():
            for scheme in ("light", "dark"):
                context = browser.new_context(
                    viewport={"width": width, "height": height}, color_scheme=scheme, locale="en-GB", timezone_id="UTC"
                )
                page = context.new_page()
                refresh()
                page.goto(home + path)
                page.wait_for_timeout(1600)
                if page.locator("#instances").count():
                    page.locator("#instances > summary").click()
                dark = "-dark" if scheme == "dark" else ""
                page.screenshot(path=folder / f"{name}{number or ''}-{width}{dark}.png")
                context.close()


def put(board: FakeBoard, name: str) -> None:
    """Put a state of now onto a board."""
    now = time.time()
    entries, board.state, _ = states(now)[name]
    board.set(entries)
    for each in entries[:40]:
        if each.owner != "b":
            board.answers[each.task.id] = LastAnswer(now - 20, 200, ANSWER, False)


async def main(folder: str, *wanted: str) -> None:
    """Serve each state, and take its pictures."""
    place = Path(folder)
    place.mkdir(exist_ok=True)
    homes = {}
    for name, (_, _, paths) in states(time.time()).items():
        if wanted and name not in wanted:
            continue
        board = FakeBoard()
        put(board, name)
        pages = make_pages(board, reactor, now=time.time, history=Past(board), public="*")
        port = reactor.listenTCP(0, pages.site, interface="127.0.0.1")
        homes[name] = f"http://127.0.0.1:{port.getHost().port}/", paths, board

    def visit() -> None:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=_FLAGS)
            for name, (home, paths, board) in homes.items():
                take(browser, home, place, name, paths, lambda board=board, name=name: put(board, name))  # type: ignore[misc]
            browser.close()

    await deferToThread(visit)


if __name__ == "__main__":
    react(lambda _: Deferred.fromCoroutine(main(*sys.argv[1:])))
