"""Chromium, driven by Playwright from a thread while the reactor serves the pages, directly or through nginx."""

from __future__ import annotations

import shutil
import socket
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.task import deferLater
from twisted.internet.threads import blockingCallFromThread, deferToThread
from twisted.python.failure import Failure
from twisted.trial.unittest import SkipTest, TestCase

from pypinger.ports.showing import DaemonState, Entry
from tests.web.fakes import FakeBoard, daemon_state
from tests.web.history import FakeHistory
from tests.web.pages import make_pages

try:
    from playwright.sync_api import Page, expect, sync_playwright
except ImportError:
    Page = expect = None  # type: ignore[assignment, misc]
    sync_playwright = None  # type: ignore[assignment]

__all__ = ["BrowserTestCase", "Page", "expect", "reactor"]

reactor: Any = _reactor
T = TypeVar("T")

CHROMIUM = shutil.which("chromium")
NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")

_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


class BrowserTestCase(TestCase):
    """
    Serves the pages of a board, and visits them.

    :ivar complaints: messages on the browser's console, and errors of scripts.
    """

    timeout = 90

    def setUp(self) -> None:
        if CHROMIUM is None:
            raise SkipTest("there is no Chromium")
        if sync_playwright is None:
            raise SkipTest("there is no Playwright")
        self.now = time.time
        self.started = self.now()
        self.complaints: list[str] = []

    def serve(self, entries: Iterable[Entry], daemon: DaemonState | None = None, public_url: str = "") -> str:
        """Serve these tasks; returns the address of the overview."""
        state = daemon or daemon_state(started=self.started - 7200, lastrun=self.started)
        self.board = FakeBoard(entries, state)
        history = FakeHistory(self.started)
        pages = make_pages(self.board, reactor, now=self.now, history=history, public_url=public_url)
        self.site = pages.site
        self.port = reactor.listenTCP(0, pages.site, interface="127.0.0.1")
        self.addCleanup(lambda: self.port.stopListening())
        # The connections of a closed browser end a moment later.
        self.addCleanup(deferLater, reactor, 0.1)
        return f"http://127.0.0.1:{self.port.getHost().port}/"

    async def behind_nginx(self, entries: Iterable[Entry]) -> str:
        """Serve these tasks behind nginx, under a prefix."""
        if NGINX is None:
            raise SkipTest("there is no nginx")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            number = free.getsockname()[1]
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
        Run a visit in a new browser.

        :param visit: called in a thread.
        :param context: options of the browser's context.
        """
        return await deferToThread(self._browse, visit, context)

    def change(self, *entries: Entry) -> None:
        """Change states on the board, from the thread of a visit."""
        for entry in entries:
            blockingCallFromThread(reactor, self.board.show, entry)

    def _browse(self, visit: Callable[[Page], T], context: dict[str, Any]) -> T:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=_FLAGS)
            try:
                page = browser.new_context(**context).new_page()
                page.set_default_timeout(15_000)
                page.on("console", lambda message: self.complaints.append(message.text))
                page.on("pageerror", lambda error: self.complaints.append(str(error)))
                page.on("dialog", lambda dialog: (self.complaints.append(dialog.message), dialog.dismiss()))
                return visit(page)
            finally:
                browser.close()


class _Process(ProcessProtocol):
    def __init__(self) -> None:
        self.ended: Deferred[None] = Deferred()

    def processEnded(self, reason: Failure) -> None:
        self.ended.callback(None)


def _listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0
