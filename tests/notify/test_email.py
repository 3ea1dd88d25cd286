"""Mails through a mail server on a real socket (contract, section 5, "Email")."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from email import message_from_bytes, policy
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import trustme
from hypothesis import given, settings
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater
from twisted.logger import formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase, TestCase

from pypinger.domain.kinds import Kind
from pypinger.domain.model import Alert, Event
from pypinger.notify import channels, email
from pypinger.notify.mail import mail
from pypinger.notify.smtp import sender as sending
from pypinger.notify.smtp import session
from pypinger.ports.notifying import ChannelContext, Notifier, Proxies
from pypinger.testing.alerts import NOW, alert
from pypinger.testing.channels import RecordingClient
from pypinger.testing.contract import ChannelContract, FakeService, refusal
from pypinger.testing.partial import PartialSuccessContract
from tests.http.faultserver import full_backlog
from tests.notify.smtpserver import Mailbox, SmtpServer
from tests.notify.strategies import storms

USER, PASSWORD = "pinger-login", "SECRET-pässword"
FROM = "Py Pinger <pinger@example.org>"
VALUES = {
    "server": "smtp://127.0.0.1",
    "tls": "true",
    "user": "",
    "password": "",
    "from": FROM,
    "to": "ops@example.com",
}


def content(mail: Any, kind: str = "plain") -> str:
    """Return the text of a part."""
    text: str = mail.get_body((kind,)).get_content()
    return text.replace("\r\n", "\n")


class Script(asyncio.Protocol):
    """Sends the first text to who connects, and the next after each line; an empty one closes the connection."""

    def __init__(self, answers: Sequence[bytes]) -> None:
        self.answers = list(answers)

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.data_received(b"")

    def data_received(self, data: bytes) -> None:
        answer = self.answers.pop(0) if self.answers else b""
        self.transport.write(answer)
        if not answer:
            self.transport.close()


class ServerTestCase(TestCase):
    """Starts mail servers, and sends to them."""

    ca: ClassVar[trustme.CA] = trustme.CA()

    def start(self, *boxes: Mailbox, **options: Any) -> SmtpServer:
        server = SmtpServer(*boxes, **options)
        self.addCleanup(server.stop)
        return server

    def tls(self, *names: str, ca: trustme.CA | None = None, **options: Any) -> ssl.SSLContext:
        """Return what a server with a certificate for these names uses."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        (ca or self.ca).issue_cert(*names, **options).configure_cert(context)
        return context

    def ca_file(self) -> str:
        path = Path(self.mktemp()).absolute()
        self.ca.cert_pem.write_to_path(str(path))
        return str(path)

    def notifier(
        self, port: int, name: str = "email", ca_file: str | None = None, proxies: Proxies | None = None, **values: str
    ) -> Notifier:
        changed = {**VALUES, "server": f"smtp://127.0.0.1:{port}", **values}
        self.assertEqual(dict(channels()["email"].check(changed)), {})
        context = ChannelContext(name, RecordingClient(), lambda: NOW, reactor, ca_file, proxies)
        return channels()["email"].notifier(changed, context)

    async def closed(self, server: SmtpServer) -> None:
        """Wait until every connection is closed on the server's side."""
        while server.open:
            await deferLater(reactor, 0.01)


class ContractTests(ChannelContract, ServerTestCase):
    section = "email"
    values = VALUES
    secrets = (USER, PASSWORD)

    def setUp(self) -> None:
        self.ports: dict[int, int] = {}

    def service(self) -> Mailbox:
        box = Mailbox("ops@example.com")
        self.ports[id(box)] = self.start(box, login=(USER, PASSWORD), plain_login=True).port
        return box

    def notifier_for(self, service: FakeService, name: str) -> Notifier:
        return self.notifier(self.ports[id(service)], name, user=USER, password=PASSWORD)


class PartialSuccessTests(PartialSuccessContract, ServerTestCase):
    at = "RCPT"

    def recipients(self) -> Sequence[Mailbox]:
        boxes = [Mailbox(f"user{number}@example.com") for number in range(3)]
        self.server = self.start(*boxes, at=self.at)
        return boxes

    def notifier_to(self, recipients: Sequence[FakeService]) -> Notifier:
        return self.notifier(self.server.port, to="user0@example.com, user1@example.com\nuser2@example.com")


class PartialSuccessOfDataTests(PartialSuccessTests):
    """The same, with answers only after the text of the mail."""

    at = "DATA"


class SessionTests(ServerTestCase):
    async def sent(self, box: Mailbox, notifier: Notifier) -> None:
        await notifier.send([alert()])
        self.assertEqual(len(box.delivered), 1)

    def not_on_the_loopback(self) -> None:
        """Treat the server as one on another machine."""
        self.patch(sending, "is_loopback", lambda host: False)

    async def test_one_connection(self) -> None:
        self.patch(session, "GOODBYE", 60.0)
        boxes = [Mailbox(f"user{number}@example.com") for number in range(3)]
        server = self.start(*boxes)
        await self.notifier(server.port, to=", ".join(box.address for box in boxes)).send([alert()])
        self.assertEqual(server.connections, 1)
        self.assertEqual([len(box.delivered) for box in boxes], [1, 1, 1])
        self.assertEqual({box.delivered[0].message["To"] for box in boxes}, {box.address for box in boxes})
        self.assertIn(b"QUIT", server.heard)
        await self.closed(server)

    async def test_starttls(self) -> None:
        box = Mailbox("ops@example.com")
        server = self.start(box, tls=self.tls("127.0.0.1"), login=(USER, PASSWORD))
        self.not_on_the_loopback()
        await self.sent(box, self.notifier(server.port, ca_file=self.ca_file(), user=USER, password=PASSWORD))
        self.assertTrue(box.delivered[0].encrypted)
        self.assertTrue(box.delivered[0].authenticated)

    async def test_starttls_is_used_wherever_it_is_offered(self) -> None:
        """On the loopback and with ``tls = no`` too."""
        box = Mailbox("ops@example.com")
        server = self.start(box, tls=self.tls("127.0.0.1"))
        await self.sent(box, self.notifier(server.port, ca_file=self.ca_file(), tls="false"))
        self.assertTrue(box.delivered[0].encrypted)

    async def test_starttls_is_required_of_other_hosts(self) -> None:
        for login in ({}, {"user": USER, "password": PASSWORD}):
            box = Mailbox("ops@example.com")
            server = self.start(box, login=(USER, PASSWORD) if login else None, plain_login=True)
            self.not_on_the_loopback()
            error = await refusal(self.notifier(server.port, **login), alert())
            self.assertIn("STARTTLS", error.words)
            self.assertFalse(error.permanent)
            self.assertRegex(server.heard, rb"^EHLO [^ ]+\r\n$")
            await self.closed(server)

    async def test_tls_no(self) -> None:
        box = Mailbox("ops@example.com")
        server = self.start(box)
        self.not_on_the_loopback()
        await self.sent(box, self.notifier(server.port, tls="false"))
        self.assertFalse(box.delivered[0].encrypted)

    async def test_implicit_tls(self) -> None:
        box = Mailbox("ops@example.com")
        server = self.start(box, tls=self.tls("localhost"), implicit=True, login=(USER, PASSWORD))
        self.not_on_the_loopback()
        url = f"smtps://localhost:{server.port}"
        await self.sent(box, self.notifier(0, ca_file=self.ca_file(), server=url, user=USER, password=PASSWORD))
        self.assertTrue(box.delivered[0].encrypted)
        await self.closed(server)

    async def test_wrong_certificates(self) -> None:
        yesterday = datetime(2020, 1, 2, tzinfo=UTC)
        cases = (
            (self.tls("mail.example.net"), "not for 127.0.0.1"),
            (self.tls("127.0.0.1", ca=trustme.CA()), "unknown authority"),
            (self.tls("127.0.0.1", not_before=datetime(2020, 1, 1, tzinfo=UTC), not_after=yesterday), "expired"),
        )
        for implicit in (False, True):
            for tls, words in cases:
                box = Mailbox("ops@example.com")
                server = self.start(box, tls=tls, implicit=implicit)
                scheme = "smtps" if implicit else "smtp"
                for flag in ("true", "false"):
                    url = f"{scheme}://127.0.0.1:{server.port}"
                    notifier = self.notifier(0, ca_file=self.ca_file(), server=url, tls=flag)
                    error = await refusal(notifier, alert())
                    self.assertIn(words, error.words)
                    self.assertFalse(error.permanent)
                    self.assertEqual(box.delivered, [])
                await self.closed(server)

    async def test_login_refused(self) -> None:
        for answer, permanent in (("535 5.7.8 no, {0} {1}", True), ("454 4.7.0 later, {0} {1}", False)):
            box = Mailbox("ops@example.com")
            server = self.start(box, login=(USER, "another"), plain_login=True)
            server.login_refusal = answer.format(USER, "SECRET-password")
            error = await refusal(self.notifier(server.port, user=USER, password="SECRET-password"), alert())
            self.assertEqual(error.permanent, permanent)
            self.assertIn(answer[:10], error.words)
            for secret in (USER, "SECRET-password", "AUTH"):
                self.assertNotIn(secret, f"{error!r} {error.words}")
            await self.closed(server)

    async def test_no_login_offered(self) -> None:
        server = self.start(Mailbox("ops@example.com"))
        error = await refusal(self.notifier(server.port, user=USER, password=PASSWORD), alert())
        self.assertIn("no login", error.words)
        self.assertFalse(error.permanent)

    async def test_sender_refused(self) -> None:
        box = Mailbox("ops@example.com")
        server = self.start(box)
        for answer, permanent in (("553 not you", True), ("452 full", False)):

            async def handle_MAIL(*arguments: Any, answer: str = answer) -> str:
                return answer

            server.handle_MAIL = handle_MAIL
            error = await refusal(self.notifier(server.port), alert())
            self.assertEqual((error.words, error.permanent), (answer, permanent))

    async def test_cannot_connect(self) -> None:
        error = await refusal(self.notifier(0, server="smtp://127.0.0.1:1"), alert())
        self.assertEqual(error.words, "cannot connect to 127.0.0.1:1: Connection refused")
        self.assertFalse(error.permanent)
        error = await refusal(self.notifier(0, server="smtp://nowhere.invalid"), alert())
        self.assertTrue(error.words.startswith("cannot look up nowhere.invalid: "), error.words)
        self.assertFalse(error.permanent)

    async def test_servers_that_break_the_protocol(self) -> None:
        cases = (
            ([b"220 hello\r\n", b"250-hello\r\n250 STARTTLS\r\n", b"220 go\r\n250 injected\r\n"], "before TLS began"),
            ([b"220 hello\r\n", b"250-hello\r\n" * 2_000], "endless answer"),
            ([b"2" * 100_000], "endless line"),
            ([b"SSH-2.0-OpenSSH_9.2\r\n"], "not SMTP: SSH-2.0-OpenSSH_9.2"),
            ([b"220 hello\r\n", b""], "closed the connection"),
            ([b"554 5.7.1 go away\r\n"], "554 5.7.1 go away"),
            ([b"\xff\xfe\r\n"], "not SMTP: \N{REPLACEMENT CHARACTER}"),
        )
        for answers, words in cases:
            server = self.start(protocol=partial(Script, answers))
            error = await refusal(self.notifier(server.port), alert())
            self.assertIn(words, error.words)
            self.assertTrue(error.words.isprintable())
            self.assertEqual(error.permanent, words.startswith("5"))

    async def test_cancelled_attempts_leave_no_socket(self) -> None:
        for answer in ("hang", "drip"):
            for at in ("RCPT", "DATA"):
                box = Mailbox("ops@example.com")
                server = self.start(box, at=at)
                box.answer = answer
                waiting = box.waiting()
                running = Deferred.fromCoroutine(self.notifier(server.port).send([alert()]))
                await waiting
                self.assertEqual(server.open, 1)
                self.assertFalse(running.called)
                running.cancel()
                self.failureResultOf(running)
                await self.closed(server)

    async def test_cancelled_while_nothing_answers(self) -> None:
        """While the connection is made, and in the TLS handshake."""
        full = self.enterContext(full_backlog())
        mute = self.start(protocol=asyncio.Protocol)
        self.patch(email, "LIMIT", 0.3)
        for scheme, port in (("smtp", full), ("smtp", mute.port), ("smtps", mute.port)):
            error = await refusal(self.notifier(0, server=f"{scheme}://127.0.0.1:{port}"), alert())
            self.assertEqual((error.words, error.permanent), ("no answer within 0.3 s", False))

    async def test_servers_that_accept_no_connection(self) -> None:
        """The time limit and a cancellation end the attempt as they end one that is connected."""
        with full_backlog() as port:
            notifier = self.notifier(port)
            running = Deferred.fromCoroutine(notifier.send([alert()]))
            await deferLater(reactor, 0.2)
            running.cancel()
            self.failureResultOf(running, CancelledError)
            self.patch(email, "LIMIT", 0.2)
            error = await refusal(notifier, alert())
            self.assertEqual((error.words, error.permanent), ("no answer within 0.2 s", False))

    async def test_our_own_time_limit(self) -> None:
        """``notify-test`` and ``drill`` have none."""
        self.patch(email, "LIMIT", 0.2)
        box = Mailbox("ops@example.com")
        server = self.start(box)
        box.hang()
        error = await refusal(self.notifier(server.port), alert())
        self.assertEqual((error.words, error.permanent), ("no answer within 0.2 s", False))
        await self.closed(server)

    async def test_a_server_that_never_says_goodbye(self) -> None:
        """A mail that was accepted is sent."""
        box = Mailbox("ops@example.com")
        server = self.start(box)

        async def handle_RSET(*arguments: Any) -> str:
            await asyncio.sleep(60)
            return "250 OK"

        server.handle_RSET = handle_RSET
        self.patch(session, "GOODBYE", 0.1)
        await self.sent(box, self.notifier(server.port))
        await self.closed(server)

    async def test_a_server_that_takes_one_mail_a_connection(self) -> None:
        """The others are sent over the connections of the next attempts."""
        self.patch(session, "GOODBYE", 60.0)
        boxes = [Mailbox(f"user{number}@example.com") for number in range(2)]
        server = self.start(*boxes)

        async def handle_RSET(*arguments: Any) -> str:
            return "421 4.7.0 too many mails"

        server.handle_RSET = handle_RSET
        notifier = self.notifier(server.port, to="user0@example.com, user1@example.com")
        error = await refusal(notifier, alert())
        self.assertEqual(error.words, "user1@example.com: the server ended the session: 421 4.7.0 too many mails")
        self.assertFalse(error.permanent)
        await notifier.send([alert()])
        self.assertEqual([len(box.delivered) for box in boxes], [1, 1])
        self.assertEqual(server.heard.count(b"RSET"), 2)
        await self.closed(server)

    async def test_greetings_that_are_refused(self) -> None:
        """The server's own words say why; plain HELO is tried once, where the server does not know EHLO."""
        for answers, words, permanent in (
            ([b"504 5.5.2 Helo command rejected: need fully-qualified hostname\r\n"], "504 5.5.2 Helo", True),
            ([b"421 4.3.2 busy\r\n"], "421 4.3.2 busy", False),
            ([b"502 what\r\n", b"550 5.7.1 go away\r\n"], "550 5.7.1 go away", True),
            ([b"500 what\r\n", b"502 what\r\n"], "502 what", True),
        ):
            server = self.start(protocol=partial(Script, [b"220 hello\r\n", *answers]))
            error = await refusal(self.notifier(server.port), alert())
            self.assertEqual((error.words[: len(words)], error.permanent), (words, permanent))
        self.not_on_the_loopback()
        for answer, words, permanent in (
            (b"504 5.5.2 Helo command rejected\r\n", "504 5.5.2 Helo", True),
            (b"502 what\r\n", "the server does not speak ESMTP", False),
        ):
            server = self.start(protocol=partial(Script, [b"220 hello\r\n", answer]))
            error = await refusal(self.notifier(server.port), alert())
            self.assertEqual((error.words[: len(words)], error.permanent), (words, permanent))

    async def test_the_name_in_the_greeting(self) -> None:
        """The full name of this host; without one its address, as servers refuse "localhost" and the like."""
        for name, greeting in ((b"pinger.example.com", b"pinger.example.com"), (b"", b"[127.0.0.1]")):
            self.patch(session, "HOST_NAME", name)
            box = Mailbox("ops@example.com")
            server = self.start(box, tls=self.tls("127.0.0.1"))
            await self.sent(box, self.notifier(server.port, ca_file=self.ca_file()))
            self.assertEqual(server.heard.count(b"EHLO " + greeting + b"\r\n"), 2)

    async def test_extensions_in_any_case(self) -> None:
        """STARTTLS is used wherever it is offered; a line without a word is none."""
        for offer in (b"250-mail.test\r\n250 starttls\r\n", b"250-\r\n250-StartTLS\r\n250 \r\n"):
            answers = [b"220 hello\r\n", offer, b"454 4.7.0 no certificate\r\n"]
            server = self.start(protocol=partial(Script, answers))
            error = await refusal(self.notifier(server.port, tls="false"), alert())
            self.assertEqual(error.words, "the server refused STARTTLS: 454 4.7.0 no certificate")
            self.assertFalse(error.permanent)


class MessageTests(ServerTestCase):
    unmeasured = True

    def setUp(self) -> None:
        self.box = Mailbox("ops@example.com")
        self.server = self.start(self.box)

    async def mails(self, *messages: Sequence[Alert], **values: str) -> list[Any]:
        """Send messages, each by a notifier of its own, and return the parsed mails."""
        before = len(self.box.delivered)
        for alerts in messages:
            await self.notifier(self.server.port, **values).send(alerts)
        return [each.message for each in self.box.delivered[before:]]

    async def test_headers(self) -> None:
        (mail,) = await self.mails([alert()])
        self.assertEqual(mail["From"], FROM)
        self.assertEqual(mail["To"], "ops@example.com")
        self.assertEqual(mail["Subject"], "PROBLEM: nightly backup is late")
        self.assertEqual(mail["Date"].datetime, datetime.fromtimestamp(NOW, UTC))
        self.assertEqual(mail["Auto-Submitted"], "auto-generated")
        self.assertEqual(mail["X-Pypinger-Alert-Id"], "0123456789ab-1700000000-1")
        self.assertRegex(mail["Message-ID"], rf"^<{mail['X-Pypinger-Alert-Id']}\.[a-z0-9]+@example\.org>$")
        self.assertEqual(mail.defects, [])
        self.assertEqual(self.box.delivered[0].sender, "pinger@example.org")
        self.assertTrue(self.box.delivered[0].content.isascii())

    async def test_parts(self) -> None:
        (mail,) = await self.mails([alert(runbook="https://wiki.example/?a=1&b=2", explanation="<b>5 > 4</b>\n.\n..")])
        text, html = (content(mail, kind) for kind in ("plain", "html"))
        self.assertEqual(mail.get_content_type(), "multipart/alternative")
        self.assertEqual(
            text,
            "PROBLEM: nightly backup is late\n<b>5 > 4</b>\n.\n..\nprocess: backup, server: db1\nhttps://db1.example/task?…\n"
            "runbook: https://wiki.example/?a=1&b=2\nhttps://pinger.example/task/0123456789ab\n\n-- \n"
            "[0123456789ab-1700000000-1]\n",
        )
        self.assertIn("&lt;b&gt;5 &gt; 4&lt;/b&gt;", html)
        self.assertIn('<a href="https://pinger.example/task/0123456789ab">', html)
        self.assertIn('<a href="https://wiki.example/?a=1&amp;b=2">', html)
        self.assertNotIn('href="https://db1', html)

    async def test_links_are_urls(self) -> None:
        (mail,) = await self.mails([alert(page='javascript:alert("x")', runbook='https://x/"onclick="y')])
        html = content(mail, "html")
        self.assertNotIn('href="javascript', html)
        self.assertNotIn('"onclick', html)

    async def test_an_incident_is_one_thread(self) -> None:
        problem, changed, reminder, recovered, other = await self.mails(
            [alert()],
            [alert(Event.CHANGED, id="id-2")],
            [alert(Event.REMINDER, id="id-3")],
            [alert(Event.RECOVERED, id="id-4")],
            [alert(id="id-5", started=NOW + 999, problem="id-5")],
        )
        self.assertIsNone(problem["In-Reply-To"])
        self.assertIsNone(problem["References"])
        for reply in (changed, reminder, recovered):
            self.assertEqual(reply["In-Reply-To"], problem["Message-ID"])
            self.assertEqual(reply["References"], problem["Message-ID"])
        self.assertIsNone(other["In-Reply-To"])
        ids = [mail["Message-ID"] for mail in (problem, changed, reminder, recovered, other)]
        self.assertEqual(len(set(ids)), 5)

    async def test_a_problem_that_ends_flapping_is_a_mail_of_its_own(self) -> None:
        """Mail servers drop a second mail with an id that they know."""
        # To a section that does not take it, flapping is a problem.
        flapping, problem = await self.mails(
            [alert(id="id-1", problem="id-1")], [alert(id="id-2", problem="id-1", before=Kind.LATE)]
        )
        self.assertNotEqual(problem["Message-ID"], flapping["Message-ID"])
        self.assertEqual(problem["In-Reply-To"], flapping["Message-ID"])

    async def test_ids_with_long_domains(self) -> None:
        """The headers hold the ids themselves, which mail programs look for."""
        sender = f"pinger@{'monitoring.' * 5}example.org"
        group = [alert(id=f"p-{i}", task=f"{i:012}", problem=f"p-{i}") for i in range(20)]
        problem, recovered, _ = await self.mails(
            [alert()], [alert(Event.RECOVERED, id="r-1")], group, **{"from": sender}
        )
        self.assertEqual(recovered["In-Reply-To"], problem["Message-ID"])
        for delivered in self.box.delivered[1:]:
            raw = message_from_bytes(delivered.content, policy=policy.compat32)
            for name in ("Message-ID", "In-Reply-To", "References"):
                self.assertRegex(raw[name], rf"^(<[a-z0-9.-]+@{sender.partition('@')[2]}>(\r\n )?)+$")

    async def test_threads_of_groups(self) -> None:
        """A group refers to what would be the problem of each incident, and so do their recoveries."""
        incidents = [{"task": f"{i:012}", "started": NOW - i, "problem": f"p-{i}"} for i in range(30)]
        group, digest, alone = await self.mails(
            [alert(id=f"p-{i}", **one) for i, one in enumerate(incidents)],
            [alert(Event.REMINDER, id=f"m-{i}", **one) for i, one in enumerate(incidents[:3])],
            [alert(Event.RECOVERED, id="r-1", **incidents[1])],
        )
        self.assertEqual(len(group["References"].split()), 20)
        self.assertIn(alone["In-Reply-To"], group["References"].split())
        self.assertIn(alone["In-Reply-To"], digest["References"].split())
        self.assertEqual(len({group["Message-ID"], digest["Message-ID"], alone["Message-ID"]}), 3)
        self.assertEqual(group["X-Pypinger-Alert-Ids"].split(), [f"p-{i}" for i in range(30)])

    async def test_alerts_of_the_daemon_are_no_thread(self) -> None:
        for one in await self.mails([alert(Event.STARTED)], [alert(Event.TEST)]):
            self.assertIsNone(one["In-Reply-To"])

    async def test_ids_differ_by_recipient(self) -> None:
        other = Mailbox("night@example.com")
        server = self.start(self.box, other)
        await self.notifier(server.port, to="ops@example.com,night@example.com").send([alert()])
        ids = {box.delivered[-1].message["Message-ID"] for box in (self.box, other)}
        self.assertEqual(len(ids), 2)

    async def test_unicode(self) -> None:
        (mail,) = await self.mails([alert(name="Sicherung täglich 漢字 😀 " * 5)], **{"from": "Prüfer <p@example.org>"})
        self.assertIn("Sicherung täglich 漢字 😀", mail["Subject"])
        group = [alert(id="a"), alert(id="b", task="other", kind=Kind.FAILED)]
        (grouped,) = await self.mails(group)
        self.assertEqual(
            grouped["Subject"], "PROBLEM: 2 tasks on https://db1.example are in trouble: 1 × late, 1 × failing"
        )
        self.assertEqual(mail["From"].addresses[0].display_name, "Prüfer")
        self.assertIn("täglich 漢字 😀", content(mail))
        self.assertTrue(self.box.delivered[0].content.isascii())

    async def test_no_header_from_a_report(self) -> None:
        for text in (
            "x\r\nBcc: victim@example.net",
            "x\nBcc: v@x",
            "=?utf-8?q?x=0D=0ABcc:_v@x?=",
            "x\x0bBcc: v",
            "x\u2028Bcc: v",
        ):
            (mail,) = await self.mails([alert(name=text, explanation=text, server=text)])
            self.assertEqual(mail.keys(), ORDER)
            self.assertEqual(self.box.delivered[-1].recipient, "ops@example.com")

    async def test_line_lengths(self) -> None:
        await self.mails(
            [alert(name="x" * 5_000, explanation="y" * 5_000 + "é")], [alert(id=f"{i:016x}") for i in range(3000)]
        )
        for delivered in self.box.delivered:
            self.assertLessEqual(max(map(len, delivered.content.split(b"\r\n"))), 998)
            self.assertLess(len(delivered.content), 200_000)
            self.assertNotIn(b"\n", delivered.content.replace(b"\r\n", b""))

    async def test_lines_that_begin_with_a_point(self) -> None:
        """Also where a mail sent in pieces would have a piece begin."""
        for pad in range(3):
            text = "x" * pad + "\n.b" * 6_000
            (mail,) = await self.mails([alert(explanation=text)])
            self.assertIn(text[:19_000], content(mail))

    async def test_the_same_id_each_time(self) -> None:
        group = [alert(id="id-1"), alert(id="id-2")]
        for alerts in ([alert()], [alert(Event.RECOVERED)], [alert(Event.TEST)], group):
            first, second = await self.mails(alerts, alerts)
            self.assertEqual(first["Message-ID"], second["Message-ID"])


#: The headers of a mail, in their order.
ORDER = [
    "From",
    "To",
    "Subject",
    "Date",
    "Message-ID",
    "Auto-Submitted",
    "X-Pypinger-Alert-Id",
    "MIME-Version",
    "Content-Type",
]


class AnyTextTests(SynchronousTestCase):
    @settings(max_examples=60, deadline=None)
    @given(storms)
    def test_any_text(self, alerts: list[Alert]) -> None:
        (sender,), (recipient,) = email.addresses(FROM), email.addresses("ops@example.com")
        made = mail(alerts, sender, recipient, NOW)
        self.assertTrue(made.isascii())
        self.assertLessEqual(max(map(len, made.split(b"\n"))), 998)
        self.assertLess(len(made), 300_000)
        parsed: Any = message_from_bytes(made, policy=policy.default)
        expected = [name for name in parsed if name not in ("In-Reply-To", "References")]
        self.assertEqual([name.replace("-Ids", "-Id") for name in expected], ORDER)
        self.assertEqual(parsed.defects, [])
        self.assertNotRegex(parsed["Subject"], r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e]")
        for kind in ("plain", "html"):
            self.assertNotRegex(content(parsed, kind), r"[\x00-\x09\x0b-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e]")
            self.assertIn(alerts[0].id, content(parsed, kind))


class OptionTests(TestCase):
    def problems(self, **values: str) -> dict[str, str]:
        return dict(channels()["email"].check({**VALUES, **values}))

    def test_servers(self) -> None:
        for server in (
            "smtp://mail",
            "SMTP://mail.example.org:587",
            "smtps://[::1]:465/",
            "smtp://10.0.0.1",
            "smtp://bücher.example",
        ):
            self.assertEqual(self.problems(server=server), {}, server)
        for server in (
            "mail.example.org",
            "http://mail",
            "smtp://",
            "smtp://h:0",
            "smtp://h:x",
            "smtp://h/path",
            "smtp://h?tls=no",
        ):
            self.assertEqual(list(self.problems(server=server)), ["server"], server)
        self.assertTrue(self.problems(server="mail.example.org")["server"].endswith(", not mail.example.org"))

    def test_a_login_in_the_server_is_not_shown(self) -> None:
        words = self.problems(server="smtp://me:hunter22@mail.example.org")["server"]
        self.assertIn("user and password", words)
        self.assertNotIn("hunter22", words)
        self.assertNotIn("hunter22", self.problems(server="me:hunter22@mail.example.org")["server"])

    def test_addresses(self) -> None:
        for to in ("a@b", "a@b.example, c@d.example\ne@f.example,", '"Doe, J." <j@x.example>', "Jürgen <j@x.example>"):
            self.assertEqual(self.problems(to=to), {}, to)
        for to in (
            "ops",
            "a@b@c",
            "a b@c",
            "jürgen@x.example",
            "a@bücher.example",
            "<a@b",
            "a@b c@d",
            "@b",
            ",",
            "undisclosed:;",
            "a@b\r",
        ):
            self.assertEqual(list(self.problems(to=to)), ["to"], to)
        self.assertEqual(list(self.problems(**{"from": "a@b, c@d"})), ["from"])

    def test_a_login_is_whole_and_protected(self) -> None:
        self.assertEqual(list(self.problems(user="u")), ["password"])
        self.assertEqual(list(self.problems(password="p")), ["user"])
        login = {"user": "u", "password": "p", "tls": "false"}
        self.assertEqual(list(self.problems(server="smtp://mail", **login)), ["tls"])
        for server in ("smtps://mail", "smtp://localhost", "smtp://127.9.9.9", "smtp://[::1]"):
            self.assertEqual(self.problems(server=server, **login), {}, server)

    def test_essential(self) -> None:
        self.assertEqual(channels()["email"].essential(VALUES), ("server", "from", "to"))


class LogTests(ServerTestCase):
    async def test_refused_recipients_are_logged(self) -> None:
        events: list[str] = []

        def observe(event: Any) -> None:
            events.append(formatEvent(event))

        globalLogPublisher.addObserver(observe)
        self.addCleanup(globalLogPublisher.removeObserver, observe)
        good, gone = Mailbox("ops@example.com"), Mailbox("gone@example.com")
        server = self.start(good, gone)
        gone.refuse("5.1.1 no such user")
        words = await self.notifier(server.port, to="ops@example.com, gone@example.com").send([alert()])
        self.assertIn("gone@example.com: 550 5.1.1 no such user", words)
        (line,) = (line for line in events if "gone@example.com" in line)
        self.assertIn("refused [0123456789ab-1700000000-1] permanently, others accepted: 550 5.1.1 no such user", line)

    def test_nothing_is_loaded_before_the_first_mail(self) -> None:
        """twisted.mail installs the reactor, and looks up the name of this host."""
        code = "import sys, pypinger.notify; pypinger.notify.channels(); print('twisted.mail.smtp' in sys.modules)"
        ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
        self.assertEqual(ran.stdout.strip(), "False", ran.stderr)
