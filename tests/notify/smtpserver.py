"""A mail server on a real socket, in a thread of its own: aiosmtpd, with answers that a test decides."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable
from email import message_from_bytes, policy
from email.message import EmailMessage
from threading import Thread
from typing import Any

import msgspec
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from twisted.internet import reactor
from twisted.internet.defer import Deferred

from pypinger.testing.contract import Received

# It logs a traceback for each failed handshake.
logging.getLogger("mail.log").setLevel(logging.CRITICAL)


class Delivered(msgspec.Struct):
    """A mail as the server has it."""

    sender: str
    recipient: str
    content: bytes
    encrypted: bool
    authenticated: bool

    @property
    def message(self) -> EmailMessage:
        parsed = message_from_bytes(self.content, policy=policy.default)
        assert isinstance(parsed, EmailMessage)
        return parsed


class Mailbox:
    """One recipient: a :class:`pypinger.testing.contract.FakeService`."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.delivered: list[Delivered] = []
        self.answer = "accept"
        self.words = ""
        self._waiting: list[Deferred[None]] = []

    def received(self) -> list[Received]:
        return [received(each) for each in self.delivered]

    def accept(self) -> None:
        self.answer, self.words = "accept", ""

    def refuse(self, words: str) -> None:
        self.answer, self.words = "550", words[:400]

    def fail(self, words: str) -> None:
        self.answer, self.words = "451", words[:400]

    def hang(self) -> None:
        self.answer = "hang"

    def drip(self) -> None:
        self.answer = "drip"

    def waiting(self) -> Deferred[None]:
        waiting: Deferred[None] = Deferred()
        self._waiting.append(waiting)
        return waiting

    def waits(self) -> None:
        """Called in the server's thread."""
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            reactor.callFromThread(each.callback, None)


def received(delivered: Delivered) -> Received:
    """All that is in a mail, decoded."""
    message = delivered.message
    parts = [part.get_content() for part in message.walk() if not part.is_multipart()]
    headers = [f"{name}: {value}" for name, value in message.items()]
    return Received("\n".join([*headers, *parts]), message["X-Pypinger-Alert-Id"])


class SmtpServer:
    """
    The server.

    :param tls: for STARTTLS, or from the start with `implicit`.
    :param login: the user and password that are required.
    :param at: where recipients are refused: ``RCPT`` or ``DATA``.
    :ivar heard: all that clients sent, decrypted.
    :ivar open: how many connections are open.
    :ivar connections: how many there were.
    """

    def __init__(
        self,
        *boxes: Mailbox,
        tls: ssl.SSLContext | None = None,
        implicit: bool = False,
        login: tuple[str, str] | None = None,
        plain_login: bool = False,
        at: str = "RCPT",
        protocol: Callable[..., Any] | None = None,
    ) -> None:
        self.boxes = {box.address: box for box in boxes}
        self.login = login
        self.at = at
        self.login_refusal = "535 5.7.8 Error: authentication failed"
        self.heard = b""
        self.open = self.connections = 0
        self._tls, self._implicit, self._plain_login = tls, implicit, plain_login
        self._protocol = protocol or self._smtp
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(10)
        self.port: int = self._server.sockets[0].getsockname()[1]

    async def _listen(self) -> asyncio.base_events.Server:
        tls = self._tls if self._implicit else None
        return await self._loop.create_server(self._protocol, "127.0.0.1", 0, ssl=tls)

    def _smtp(self) -> SMTP:
        return _Protocol(
            self,
            loop=self._loop,
            hostname="mail.test",
            tls_context=None if self._implicit else self._tls,
            auth_required=self.login is not None and not self._plain_login,  # aiosmtpd warns of it otherwise
            auth_require_tls=not (self._implicit or self._plain_login),
            authenticator=self._authenticate,
        )

    def stop(self) -> None:
        async def end() -> None:
            self._server.close()
            tasks = asyncio.all_tasks() - {asyncio.current_task()}
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(end(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def _authenticate(
        self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any
    ) -> AuthResult:
        assert isinstance(data, LoginPassword)
        good = self.login == (data.login.decode(), data.password.decode())
        return AuthResult(success=good, handled=good, message=None if good else self.login_refusal)

    async def handle_RCPT(self, server: Any, session: Session, envelope: Envelope, address: str, options: Any) -> str:
        box = self.boxes.get(address)
        answer = await self._answer(box, server) if self.at == "RCPT" else None
        if answer is None:
            envelope.rcpt_tos.append(address)
        return answer or "250 OK"

    async def handle_DATA(self, server: Any, session: Session, envelope: Envelope) -> str:
        assert isinstance(envelope.content, bytes)
        (recipient,) = envelope.rcpt_tos
        box = self.boxes[recipient]
        answer = await self._answer(box, server) if self.at == "DATA" else None
        if answer is None:
            mail = Delivered(
                envelope.mail_from or "",
                recipient,
                envelope.content,
                session.ssl is not None or self._implicit,
                bool(session.authenticated),
            )
            box.delivered.append(mail)
        return answer or f"250 OK queued as {len(box.delivered)}"

    async def _answer(self, box: Mailbox | None, server: Any) -> str | None:
        if box is None:
            return "550 no such user"
        if box.answer in ("hang", "drip"):
            box.waits()
            while True:
                await asyncio.sleep(0.02)
                if box.answer == "drip":
                    server.transport.write(b"250-wait\r\n")
        return None if box.answer == "accept" else f"{box.answer} {box.words}"


class _Protocol(SMTP):
    """Counts connections, and records what clients send."""

    def __init__(self, server: SmtpServer, **options: Any) -> None:
        super().__init__(server, **options)
        self._fake = server

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if self.transport is None:  # else TLS has begun
            self._fake.open += 1
            self._fake.connections += 1
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        self._fake.open -= 1
        super().connection_lost(error)

    def data_received(self, data: bytes) -> None:
        self._fake.heard += data
        super().data_received(data)
