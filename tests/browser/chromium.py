"""Chromium, driven by Playwright from a thread while the reactor serves the pages, directly or through nginx."""

from __future__ import annotations

import atexit
import shutil
import socket
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeVar

from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.task import deferLater
from twisted.internet.threads import blockingCallFromThread
from twisted.python.failure import Failure
from twisted.trial.unittest import SkipTest, TestCase

from pypinger.ports.showing import DaemonState, Entry
from tests.acceptance.process import free_port
from tests.web.fakes import FakeBoard, daemon_state
from tests.web.history import FakeHistory
from tests.web.pages import make_pages

try:
    from playwright.sync_api import Browser, Page, expect, sync_playwright
except ImportError:
    Browser = Page = expect = None  # type: ignore[assignment, misc]
    sync_playwright = None  # type: ignore[assignment]

__all__ = ["BrowserTestCase", "Page", "expect", "reactor"]

reactor: Any = _reactor
T = TypeVar("T")

#: Time limit in seconds for steps that should take one, on a busy machine.
PATIENCE = 60.0

CHROMIUM = shutil.which("chromium")
NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")

#: Chromium's window is never seen, but its address bar loads two pages of its own into each, and a spare process is
#: started for the next page: half the work of a visit. The flag replaces that of Playwright, whose features
#: follow here as well.
_WITHOUT = (
    "WebUIOmniboxPopup",
    "WebUIOmniboxAimPopup",
    "SpareRendererForSitePerProcess",
    "AimEnabled",
    "AvoidUnnecessaryBeforeUnloadCheckSync",
    "DestroyProfileOnBrowserClose",
    "HttpsFirstBalancedModeAutoEnable",
    "HttpsUpgrades",
    "LensOverlay",
    "MediaRouter",
    "NetworkTimeServiceQuerying",
    "OptimizationHints",
    "PaintHolding",
    "PreconnectToSearch",
    "ThirdPartyStoragePartitioning",
)

_FLAGS = [
    f"--disable-features={','.join(_WITHOUT)}",
    "--no-sandbox",
    "--disable-gpu",
    "--in-process-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


#: Timers of some seconds never fire, unless a test installs Playwright's clock. So what the pages show because of a
#: change was not fetched lazily, nor with the next poll.
_WITHOUT_LATE_TIMERS = """
    // The page rests for four times as long as its latest fetch took, which is long on a busy machine.
    let begun = 0, ended = 0;
    const rest = () => 4 * ((ended < begun ? performance.now() : ended) - begun);
    const fetched = window.fetch;
    window.fetch = (...all) => {
        begun = performance.now();
        const answer = fetched(...all);
        answer.then((each) => each.clone().text()).catch(() => {}).then(() => { ended = performance.now(); });
        return answer;
    };
    for (const name of ["setTimeout", "setInterval"]) {
        const real = window[name];
        window[name] = (call, delay, ...more) =>
            delay > 9900 && (name == "setInterval" || rest() < 9000) ? 0 : real(call, delay, ...more);
    }
"""


class _Chromium:
    """
    One Chromium for all tests of this process: its start takes longer than most visits.

    Playwright needs all calls to come from one thread, and trial ends the reactor's threads after each class.
    """

    def __init__(self) -> None:
        self._visits: SimpleQueue[tuple[Callable[[Browser], object], Deferred[Any]] | None] = SimpleQueue()
        self._thread: Thread | None = None

    def call(self, visit: Callable[[Browser], T]) -> Deferred[T]:
        """Call `visit` in the browser's thread."""
        if self._thread is None:
            self._thread = Thread(target=self._run, daemon=True)
            self._thread.start()
            atexit.register(self._end)
        result: Deferred[T] = Deferred()
        self._visits.put((visit, result))
        return result

    def _run(self) -> None:
        try:
            with sync_playwright() as playwright:
                self._work(lambda: playwright.chromium.launch(executable_path=CHROMIUM, args=_FLAGS))
        except BaseException:
            failure = Failure()
            while (item := self._visits.get()) is not None:
                reactor.callFromThread(item[1].errback, failure)

    def _work(self, launch: Callable[[], Browser]) -> None:
        browser: Browser | None = None
        while (item := self._visits.get()) is not None:
            visit, result = item
            try:
                if browser is None or not browser.is_connected():
                    browser = launch()
                outcome = visit(browser)
            except BaseException:
                outcome = Failure()
            reactor.callFromThread(result.callback, outcome)
        if browser is not None:
            browser.close()

    def _end(self) -> None:
        assert self._thread is not None
        self._visits.put(None)
        self._thread.join(10)


_chromium = _Chromium()


class BrowserTestCase(TestCase):
    """
    Serves the pages of a board, and visits them.

    :ivar complaints: messages on the browser's console, and errors of scripts.
    """

    timeout = 300

    def setUp(self) -> None:
        if CHROMIUM is None:
            raise SkipTest("there is no Chromium")
        if sync_playwright is None:
            raise SkipTest("there is no Playwright")
        expect.set_options(1000 * PATIENCE)
        self.now = time.time
        self.started = self.now()
        self.complaints: list[str] = []

    def serve(
        self, entries: Iterable[Entry], daemon: DaemonState | None = None, public_url: str = "", public: str = ""
    ) -> str:
        """Serve these tasks; returns the address of the overview."""
        state = daemon or daemon_state(started=self.started - 7200, lastrun=self.started)
        self.board = FakeBoard(entries, state)
        self.history = FakeHistory(self.started)
        pages = make_pages(
            self.board, reactor, now=self.now, history=self.history, public_url=public_url, public=public
        )
        self.site = pages.site
        self.port = reactor.listenTCP(0, pages.site, interface="127.0.0.1")
        self.addCleanup(lambda: self.port.stopListening())
        self.addCleanup(lambda: Deferred.fromCoroutine(self._let_go()))
        return f"http://127.0.0.1:{self.port.getHost().port}/"

    async def behind_nginx(self, entries: Iterable[Entry]) -> str:
        """Serve these tasks behind nginx, under a prefix."""
        if NGINX is None:
            raise SkipTest("there is no nginx")
        number = free_port()
        home = f"http://127.0.0.1:{number}/pinger/"
        behind = self.serve(entries, public_url=home)
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        temporary = "".join(
            f"{name}_temp_path {folder}/{name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        (folder / "nginx.conf").write_text(
            f"pid {folder}/pid; error_log {folder}/error.log; daemon off; master_process off; events {{}}\n"
            f"http {{ access_log off; gzip on; {temporary} server {{ listen 127.0.0.1:{number};\n"
            f"location /pinger/ {{ proxy_pass {behind}; }} }} }}\n"
        )
        process = _Process()
        command = [NGINX, "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", str(folder / "error.log")]
        transport = reactor.spawnProcess(process, NGINX, command)
        self.addCleanup(lambda: process.ended)
        self.addCleanup(transport.signalProcess, "KILL")
        while not _listens(number):
            if process.ended.called:
                raise AssertionError((folder / "error.log").read_text())
            await deferLater(reactor, 0.05)
        return home

    async def browse(self, visit: Callable[[Page], T], **context: Any) -> T:
        """
        Run a visit in a new context of the browser, which has nothing of earlier ones.

        :param visit: called in a thread.
        :param context: options of the browser's context.
        """
        return await _chromium.call(lambda browser: self._browse(browser, visit, context))

    def stop_the_clock(self, page: Page) -> None:
        """Let the page's time pass only by its ``clock.run_for``; it begins a second after the start of the test."""
        # It runs until it is paused, and cannot be set back.
        page.clock.install(time=self.started - 3600)
        page.clock.pause_at(self.started + 1)

    def change(self, *entries: Entry) -> None:
        """Change states on the board, from the thread of a visit."""
        for entry in entries:
            blockingCallFromThread(reactor, self.board.show, entry)

    def _browse(self, browser: Browser, visit: Callable[[Page], T], options: dict[str, Any]) -> T:
        context = browser.new_context(**options)
        try:
            page = context.new_page()
            page.set_default_timeout(1000 * PATIENCE)
            page.add_init_script(_WITHOUT_LATE_TIMERS)
            page.on("console", lambda message: self.complaints.append(message.text))
            page.on("pageerror", lambda error: self.complaints.append(str(error)))
            page.on("dialog", lambda dialog: (self.complaints.append(dialog.message), dialog.dismiss()))
            return visit(page)
        finally:
            context.close()

    async def _let_go(self) -> None:
        """The browser's connections end a moment after the visit."""
        while self.site.protocols:
            await deferLater(reactor, 0.01)


class _Process(ProcessProtocol):
    def __init__(self) -> None:
        self.ended: Deferred[None] = Deferred()

    def processEnded(self, reason: Failure) -> None:
        self.ended.callback(None)


def _listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0
