"""Channels go through ``[main] proxy`` like checks (contract, section 5)."""

from __future__ import annotations

import os
from importlib.util import find_spec
from typing import Any

from twisted.trial.unittest import SkipTest, TestCase

from tests.acceptance.endpoints import Endpoints, report
from tests.acceptance.process import Daemon, free_port, ini, until
from tests.http.tunnelserver import TunnelServer
from tests.notify.smtpserver import Mailbox, SmtpServer

LOGIN = "ZqXs-proxy-password"


class ChannelProxyTests(TestCase):
    timeout = 120

    def setUp(self) -> None:
        if find_spec("apprise") is None:
            raise SkipTest("Apprise is not installed here")
        self.proxy = TunnelServer()
        self.addCleanup(self.proxy.listen().stopListening)
        self.proxy.hosts["mail.test"] = "127.0.0.1"
        self.box = Mailbox("ops@example.com")
        self.mails = SmtpServer(self.box)
        self.addCleanup(self.mails.stop)

    async def start(self, setting: str) -> Daemon:
        tasks = Endpoints(self)
        url = tasks.url("/a", report(status="error", reason="disk full"))
        port = free_port()
        sections = (
            f"[task {url}]\nproxy = direct\n"
            f"[email]\nserver = smtp://mail.test:{self.mails.port}\ntls = no\n"
            "from = p@example.com\nto = ops@example.com\n"
            "[apprise]\nurls = json://apprise.test/\n[webhook]\nurl = http://webhook.test/\n"
        )
        main = f"interval = 0.5\ngroup_wait = 0\nproxy = {setting}"
        daemon = Daemon(self, ini(port, [url], main, sections), port)
        await daemon.is_ready()
        await daemon.becomes(url, kind="failed")
        return daemon

    def targets(self) -> set[bytes]:
        return {request.split()[1] for request in self.proxy.requests}

    def expected(self) -> set[bytes]:
        return {b"mail.test:%d" % self.mails.port, b"http://apprise.test/", b"http://webhook.test/"}

    async def check(self, setting: str) -> None:
        daemon = await self.start(setting)
        await until(lambda: len(self.box.delivered) == 2)
        await until(lambda: self.targets() == self.expected())
        self.assertIn("disk full", self.box.delivered[-1].content.decode())
        for request in self.proxy.requests:
            self.assertIn(b"Proxy-Authorization: Basic ", request)
        await daemon.stop()
        self.assertNotIn(LOGIN, daemon.log)

    async def test_url(self) -> None:
        await self.check(f"http://me:{LOGIN}@127.0.0.1:{self.proxy.port}")

    async def test_environment(self) -> None:
        url = f"http://me:{LOGIN}@127.0.0.1:{self.proxy.port}"
        environment: dict[str, Any] = {"http_proxy": url, "https_proxy": url}
        self.patch(os, "environ", {**os.environ, **environment})
        await self.check("env")

    async def test_refused(self) -> None:
        """The mail waits, with a clear line in the log."""
        self.proxy.refuse("403 Forbidden")
        daemon = await self.start(f"http://127.0.0.1:{self.proxy.port}")
        words = f"cannot connect to mail.test:{self.mails.port}: the proxy 127.0.0.1:{self.proxy.port} refused"
        await until(lambda: f"attempt 1: {words} to open a tunnel (403); the next attempt is in " in daemon.log)
