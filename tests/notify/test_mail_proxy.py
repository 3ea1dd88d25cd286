"""Mails through the proxy of ``[main]``, over real sockets (contract, section 5)."""

from __future__ import annotations

import os
import socket
from functools import partial

from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater

from pypinger.http import tunnels
from pypinger.http.messenger import Messenger
from pypinger.http.wire.names import Names
from pypinger.notify import email
from pypinger.ports.notifying import Notifier, Proxies
from pypinger.testing.alerts import alert
from pypinger.testing.contract import refusal
from tests.http.tunnelserver import TunnelServer
from tests.notify.smtpserver import Mailbox, SmtpServer
from tests.notify.test_email import PASSWORD, USER, Script, ServerTestCase

#: A name that only the proxy can look up.
HOST = "mail.test"


class MailProxyTests(ServerTestCase):
    def setUp(self) -> None:
        self.proxy = TunnelServer()
        self.addCleanup(self.proxy.listen().stopListening)
        self.proxy.hosts[HOST] = "127.0.0.1"
        self.box = Mailbox("ops@example.com")

    def proxies(self, setting: str | None = None) -> Proxies:
        """Return what a channel gets with this ``[main] proxy``; None for our proxy, with a login."""
        if setting is None:
            setting = f"http://us:hunter2@127.0.0.1:{self.proxy.port}"
        messenger = Messenger(reactor, proxy=setting)
        self.addCleanup(lambda: Deferred.fromCoroutine(messenger.close()))
        return messenger.proxies

    def through(self, server: SmtpServer, *, scheme: str = "smtp", host: str = HOST, **options: str) -> Notifier:
        """Return a notifier that sends through the proxy to a server."""
        return self.notifier(
            server.port,
            server=f"{scheme}://{host}:{server.port}",
            ca_file=self.ca_file(),
            proxies=self.proxies(),
            **options,
        )

    async def test_starttls(self) -> None:
        """The proxy looks the name up and sees nothing of the mail; the certificate is that of the mail host."""
        server = self.start(self.box, tls=self.tls(HOST), login=(USER, PASSWORD))
        words = await self.through(server, user=USER, password=PASSWORD).send([alert()])
        self.assertEqual(words, "250 OK queued as 1")
        self.assertTrue(self.box.delivered[0].encrypted)
        self.assertTrue(self.box.delivered[0].authenticated)
        (request,) = self.proxy.requests
        peer = b"mail.test:%d" % server.port
        login = b"Proxy-Authorization: Basic dXM6aHVudGVyMg==\r\n"
        self.assertEqual(request, b"CONNECT %s HTTP/1.1\r\nHost: %s\r\n%s\r\n" % (peer, peer, login))
        self.assertNotIn(b"Proxy", server.heard)

    async def test_implicit_tls(self) -> None:
        server = self.start(self.box, tls=self.tls(HOST), implicit=True)
        await self.through(server, scheme="smtps").send([alert()])
        self.assertTrue(self.box.delivered[0].encrypted)

    async def test_a_greeting_that_comes_with_the_answer_of_the_proxy(self) -> None:
        self.proxy.together = True
        server = self.start(self.box, tls=self.tls(HOST))
        await self.through(server).send([alert()])
        self.assertEqual(len(self.box.delivered), 1)

    async def test_the_certificate_is_for_the_mail_host(self) -> None:
        """One for the proxy's host is not."""
        for scheme in ("smtp", "smtps"):
            server = self.start(self.box, tls=self.tls("127.0.0.1", "localhost"), implicit=scheme == "smtps")
            error = await refusal(self.through(server, scheme=scheme), alert())
            self.assertEqual(error.words, "the server's certificate is not for mail.test")
            self.assertFalse(error.permanent)
        self.assertEqual(self.box.delivered, [])

    async def test_tls_is_required(self) -> None:
        """Though the proxy is on this machine, the mail host is not."""
        server = self.start(self.box)
        error = await refusal(self.through(server), alert())
        self.assertIn("STARTTLS", error.words)
        self.assertEqual(self.box.delivered, [])
        await self.through(server, tls="false").send([alert()])
        self.assertEqual(len(self.box.delivered), 1)

    async def test_server_and_proxy_on_this_machine(self) -> None:
        """Nothing leaves it, so TLS is not required; of a proxy elsewhere the server would be another one."""
        server = self.start(self.box)
        for host in ("localhost", "127.0.0.1"):
            await self.through(server, host=host).send([alert()])
        self.assertEqual(len(self.proxy.requests), 2)
        address = f"smtp://127.0.0.1:{server.port}"
        await self.notifier(server.port, server=address, proxies=self.proxies("http://p.test:3128")).send([alert()])
        self.assertEqual((len(self.box.delivered), len(self.proxy.requests)), (3, 2))

    async def test_refusals(self) -> None:
        """All pass: the proxy's administrator may change them."""
        proxy = f"127.0.0.1:{self.proxy.port}"
        server = self.start(self.box)
        for status, words in (
            ("403 Forbidden", f"the proxy {proxy} refused to open a tunnel (403)"),
            ("405 Not allowed", f"the proxy {proxy} refused to open a tunnel (405)"),
            ("407 Proxy Authentication Required", f"the proxy {proxy} does not accept our credentials (407)"),
            ("503 Unavailable", f"the proxy {proxy} refused to open a tunnel (503)"),
        ):
            self.proxy.refuse(status)
            error = await refusal(self.through(server), alert())
            self.assertEqual(error.words, f"cannot connect to mail.test:{server.port}: {words}")
            self.assertFalse(error.permanent)
        while self.proxy.open:
            await deferLater(reactor, 0.01)

    async def test_no_proxy_there(self) -> None:
        proxies = self.proxies("http://127.0.0.1:1")
        error = await refusal(self.notifier(25, server="smtp://mail.test", proxies=proxies), alert())
        words = "cannot connect to mail.test:25: connection refused by the proxy 127.0.0.1:1"
        self.assertEqual((error.words, error.permanent), (words, False))

    async def test_the_name_of_the_proxy(self) -> None:
        """Its addresses are tried in turn, and a name that is not known is named."""

        def look_up(host: str) -> list[str]:
            if host != "proxy.test":
                raise socket.gaierror(socket.EAI_NONAME, "")
            return ["127.0.0.2", "127.0.0.1"]

        def names(at: str) -> Proxies:
            return tunnels.MainProxy(reactor, Names(reactor, look_up=look_up), f"http://{at}:{self.proxy.port}")

        server = self.start(self.box)
        make = partial(self.notifier, server.port, server=f"smtp://{HOST}:{server.port}", tls="false")
        await make(proxies=names("proxy.test")).send([alert()])
        self.assertEqual(len(self.box.delivered), 1)
        error = await refusal(make(proxies=names("gone.test")), alert())
        self.assertIn("cannot look up gone.test: there is no such name", error.words)

    async def test_a_proxy_that_hangs(self) -> None:
        self.proxy.hang()
        self.patch(tunnels, "LIMIT", 0.2)
        server = self.start(self.box)
        error = await refusal(self.through(server), alert())
        self.assertIn("no answer within 0.2 s: still waiting for the proxy", error.words)
        self.assertFalse(error.permanent)
        while self.proxy.open:
            await deferLater(reactor, 0.01)

    async def test_cancelled(self) -> None:
        """The outbox cancels an attempt; no connection is left."""
        self.proxy.hang()
        sending = Deferred.fromCoroutine(self.through(self.start(self.box)).send([alert()]))
        while not self.proxy.requests:
            await deferLater(reactor, 0.01)
        sending.cancel()
        self.failureResultOf(sending, CancelledError)
        while self.proxy.open:
            await deferLater(reactor, 0.01)

    async def test_time_limit_of_an_attempt(self) -> None:
        """The server behind the proxy does not greet."""
        self.patch(email, "LIMIT", 0.3)
        server = self.start(protocol=partial(Script, [b"\r", b""]))
        error = await refusal(self.through(server), alert())
        self.assertEqual(error.words, "no answer within 0.3 s")

    async def test_direct(self) -> None:
        """No proxy, even if the environment has one."""
        server = self.start(self.box)
        self.patch(
            os, "environ", {**os.environ, "https_proxy": "http://127.0.0.1:1", "all_proxy": "http://127.0.0.1:1"}
        )
        for setting in ("direct", ""):
            await self.notifier(server.port, proxies=self.proxies(setting)).send([alert()])
        self.assertEqual(len(self.box.delivered), 2)

    async def test_environment(self) -> None:
        """``no_proxy`` lists exceptions."""
        at = f"http://127.0.0.1:{self.proxy.port}"
        environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
        server = self.start(self.box)
        for variables, count in (
            ({}, 0),
            ({"https_proxy": at}, 1),
            ({"https_proxy": at, "no_proxy": "127.0.0.0/8"}, 1),
            ({"https_proxy": at, "no_proxy": f"127.0.0.1:{server.port}"}, 1),
            ({"https_proxy": at, "no_proxy": "127.0.0.1:1,other.test"}, 2),
            ({"smtp_proxy": at, "https_proxy": "http://127.0.0.1:1"}, 3),
            ({"ALL_PROXY": at}, 4),
            ({"http_proxy": "http://127.0.0.1:1"}, 4),
        ):
            self.patch(os, "environ", {**environment, **variables})
            await self.notifier(server.port, proxies=self.proxies("env")).send([alert()])
            self.assertEqual(len(self.proxy.requests), count, variables)
        self.assertEqual(len(self.box.delivered), 8)

    async def test_a_proxy_that_cannot_be_used(self) -> None:
        self.patch(os, "environ", {"all_proxy": "socks5://127.0.0.1:1"})
        error = await refusal(self.notifier(25, proxies=self.proxies("env")), alert())
        words = "cannot connect to 127.0.0.1:25: the proxy's URL is not of the form http://host:port"
        self.assertEqual((error.words, error.permanent), (words, False))
