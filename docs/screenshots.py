"""
Makes the pictures of the README: the tasks and settings of ``pypinger demo``, with a past of 80 days made up for them.

Run it in a checkout, in an environment with the extra ``test``, where Debian's Chromium is installed:
``.venv/bin/python docs/screenshots.py``. It takes about a minute.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from msgspec.structs import replace
from playwright.sync_api import Page, sync_playwright
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater, react
from twisted.internet.threads import deferToThread

from pypinger.cli.demo import LOOPBACK, free_port, ini
from pypinger.cli.fleet import SAMPLES, FleetSite, Sample
from pypinger.config.loading import load
from pypinger.domain import incidents, report
from pypinger.domain.judge import judge
from pypinger.domain.model import (
    Answer,
    Check,
    Delivery,
    Fault,
    Finding,
    Instant,
    NoAnswer,
    Outcome,
    Report,
    Reported,
    Task,
    TaskState,
)
from pypinger.domain.times import DAY, HOUR, MINUTE
from pypinger.store.sqlite import SqliteStore

FOLDER = Path(__file__).parent / "screenshots"
CHROMIUM = "/usr/bin/chromium"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]

#: How long the tasks have been in trouble.
TROUBLE = 34 * MINUTE

#: Name -> the task whose page it is (None for the overview), and options of the browser's context.
PICTURES: dict[str, tuple[str | None, dict[str, Any]]] = {
    "overview": (None, {"viewport": {"width": 1400, "height": 800}}),
    "overview-dark": (None, {"viewport": {"width": 1400, "height": 800}, "color_scheme": "dark"}),
    "task": ("Price import", {"viewport": {"width": 1280, "height": 1180}}),
    "phone": (None, {"viewport": {"width": 390, "height": 780}, "color_scheme": "dark"}),
}


async def main(reactor: Any) -> None:
    """Make up a past, run the daemon on it, and take the pictures."""
    fleet = reactor.listenTCP(0, FleetSite(time.time), interface=LOOPBACK)
    with tempfile.TemporaryDirectory() as name:
        port, folder = free_port(), Path(name)
        database, settings = folder / "history.sqlite", folder / "pinger.ini"
        settings.write_text(ini(port, fleet.getHost().port).replace(":memory:", str(database)), encoding="utf-8")
        await remember(reactor, load(str(settings), channels={}, environ=os.environ).tasks, str(database))
        await deferToThread(run, settings, f"http://{LOOPBACK}:{port}/")
        await deferLater(reactor, 0.1)
    await fleet.stopListening()


async def remember(reactor: Any, tasks: tuple[Task, ...], path: str) -> None:
    """Fill a database with results of checks."""
    end = time.time()
    moment = end
    store = SqliteStore(reactor, lambda: moment, path, keep_days=90)
    store.open()
    samples = {sample.path: sample for sample in SAMPLES}
    for task in tasks:
        sample = samples.get(task.url.rpartition("/")[2])
        state = TaskState()
        for moment, interval, finding in past(task, sample, end):
            verdict = judge(finding, task, moment)
            check = Check(moment, 0.02, finding, verdict)
            # The store takes a finding to be true for one interval.
            slow = replace(task, interval=interval)
            state, alerts = incidents.step(slow, state, check)
            deliveries = [Delivery(alert, "slack") for alert in alerts]
            if not deliveries:
                store.note(slow, state, check)
                continue
            await store.commit(slow, state, check, deliveries)
            for delivery in deliveries:
                await store.settle(replace(delivery, attempts=1, words="ok"), Outcome.SENT)
    moment = end
    await store.close()


def past(task: Task, sample: Sample | None, end: Instant) -> Iterator[tuple[Instant, float, Finding]]:
    """The results of a task's checks, as (time, interval, finding)."""
    dice = random.Random(task.name)
    sent = None if sample is None else sample.behaviour(end, end)
    found = None if sent is None else report.read(Answer(200, sent.body, 0.02))
    frequency, ran = 10.0, end
    if isinstance(found, Reported):
        frequency, ran = found.report.frequency, found.report.lastrun or end
    elif sent is not None and sent.location:
        frequency = 1.0  # of the task that the redirect leads to
    # No run can be seen after the last one that the sample reports.
    trouble = min(end - TROUBLE, ran)
    at = end - 80 * DAY
    while at < trouble - 6 * HOUR:
        yield at, HOUR, _run(at, frequency)
        if dice.random() < 0.002:
            at += HOUR
            for _ in range(dice.randrange(1, 6)):
                yield at, HOUR, _run(at, frequency, "partner answered 502")
                at += HOUR
            continue
        at += HOUR
    while at < trouble:
        yield at, 2 * frequency * MINUTE, _run(at, frequency)
        at += frequency * MINUTE * (dice.choice((1.5, 2)) if dice.random() < 0.06 else dice.uniform(0.9, 1))
    at = trouble
    while sample is not None and at < end - 10:
        sent = sample.behaviour(end, at)
        if sent is not None and sent.location:
            return
        if sent is None or not sent.complete:
            yield at, MINUTE, NoAnswer(Fault.TIMEOUT, "no answer within 3 s", 3.0)
        else:
            yield at, MINUTE, report.read(Answer(sent.code, sent.body, 0.02))
        at += MINUTE


def _run(at: Instant, frequency: float, reason: str | None = None) -> Reported:
    # A task that runs less often than it is checked ran some time before.
    period = frequency * MINUTE
    return Reported(200, Report(reason is None, at - 1 if period < HOUR else at // period * period, frequency, reason))


def run(settings: Path, home: str) -> None:
    """Run the daemon while the pictures are taken."""
    twistd = Path(sys.executable).parent / "twistd"
    command = [twistd, "-n", "--pidfile=", "pypinger", "--config", settings]
    with subprocess.Popen(command, cwd=settings.parent, stdout=subprocess.DEVNULL) as daemon:
        try:
            take(home)
        finally:
            daemon.terminate()


def take(home: str) -> None:
    """Take the pictures."""
    for _ in range(120):
        try:
            with urllib.request.urlopen(f"{home}readyz"):
                break
        except (urllib.error.URLError, OSError):
            time.sleep(0.5)
    FOLDER.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        for name, (task, options) in PICTURES.items():
            page = browser.new_context(locale="en-GB", timezone_id="UTC", **options).new_page()
            visit(page, home, task)
            page.screenshot(path=FOLDER / f"{name}.png")
        browser.close()


def visit(page: Page, home: str, task: str | None) -> None:
    """Go to the overview, or to a task's page."""
    page.goto(home)
    if task is not None:
        page.get_by_role("link", name=task, exact=True).last.click()
    page.wait_for_selector(".live.on")
    # Figures that come too late for the page are fetched a moment later.
    page.wait_for_timeout(2500)


if __name__ == "__main__":
    react(lambda reactor: Deferred.fromCoroutine(main(reactor)))
