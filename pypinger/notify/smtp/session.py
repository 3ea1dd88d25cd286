"""
One connection to a mail server, over which one mail is sent to each of several recipients.

It uses :class:`twisted.mail.smtp.ESMTPSender` for the protocol, and answers for each recipient by itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from OpenSSL import SSL
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IAddress, IDelayedCall
from twisted.internet.protocol import ClientFactory
from twisted.mail.smtp import DNSNAME, ESMTPSender, SMTPClientError
from twisted.python.failure import Failure

from pypinger.domain.model import Seconds
from pypinger.notify.smtp.server import Login, Mail, SessionFailed, SmtpAnswer
from pypinger.notify.smtp.tls import MailTls

#: How long a server that has accepted all mails may take to say goodbye, in seconds.
GOODBYE: Seconds = 2.0

#: The most lines of one answer.
MOST_LINES = 1_000

#: The codes by which a server says that it does not know EHLO.
UNKNOWN_COMMAND = frozenset({500, 502})

#: The name that we greet servers with; empty if this host has no full name, which servers may insist on.
HOST_NAME = DNSNAME if re.fullmatch(rb"[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+", DNSNAME) else b""


class _Whole:
    """
    A file that is read at once.

    In several pieces a line that begins with a point would not be escaped where a piece begins.
    """

    def __init__(self, content: bytes) -> None:
        self._content = content

    def read(self, size: int = -1) -> bytes:
        content, self._content = self._content, b""
        return content

    def close(self) -> None:
        pass


class Session(ESMTPSender):
    """
    One connection.

    :param tls: for STARTTLS, and what is asked about a certificate that was refused.
    :param secured: whether the connection must be encrypted before anything is sent.
    :param answered: is called with the answer of each recipient, in the order of `mails`.
    """

    # Otherwise each line is kept, the password among them, and shown in errors.
    debug = False

    transport: Any

    def __init__(
        self,
        reactor: Any,
        login: Login,
        tls: MailTls,
        secured: bool,
        mails: Sequence[Mail],
        answered: Callable[[Mail, SmtpAnswer], None],
    ) -> None:
        super().__init__(login.user.encode(), login.password.encode() if login.user else None, tls, HOST_NAME)
        self.requireTransportSecurity = secured
        self.requireAuthentication = bool(login.user)
        # Only taken where neither TLS nor a login is needed.
        self.heloFallback = True
        self.clock = reactor
        self.sender = login.sender
        self.tls = tls
        self.answered = answered
        self.waiting = list(mails)
        self.current: Mail | None = None
        self.problem: SmtpAnswer | None = None
        self.greeted_plainly = False
        self.goodbye: IDelayedCall | None = None
        self.finished: Deferred[None] = Deferred(self.cancelled)

    def cancelled(self, finished: Deferred[None]) -> None:
        """Close the connection at once."""
        finished.errback(CancelledError())
        self.transport.abortConnection()

    def connectionMade(self) -> None:
        super().connectionMade()
        if not self.identity:
            host = self.transport.getHost().host.partition("%")[0]
            self.identity = (f"[IPv6:{host}]" if ":" in host else f"[{host}]").encode("ascii")

    def lineReceived(self, line: bytes) -> None:
        if len(self.resp) >= MOST_LINES:
            self.fail(-1, "the server sent an endless answer")
        elif not line[:3].isdigit():
            self.fail(-1, f"the server's answer is not SMTP: {_text(line)}")
        else:
            super().lineReceived(line)

    def smtpState_helo(self, code: int, resp: bytes) -> None:
        """The server has refused EHLO, or the HELO sent after that."""
        if self.greeted_plainly or code not in UNKNOWN_COMMAND:
            self.fail(code, _text(resp))
        else:
            self.greeted_plainly = True
            super().smtpState_helo(code, resp)

    def esmtpState_serverConfig(self, code: int, resp: bytes) -> None:
        """The server lists its extensions; their names may be in any case."""
        lines = (line.split(None, 1) for line in resp.split(b"\n") if line.strip())
        super().esmtpState_serverConfig(code, b"\n".join(b" ".join([name.upper(), *rest]) for name, *rest in lines))

    def smtpState_msgSent(self, code: int, resp: bytes | str) -> None:
        """The server has answered for the current mail, or has refused to begin another one."""
        if self.current is None:
            self.fail(-1, f"the server ended the session: {code} {_text(resp)}")
        else:
            super().smtpState_msgSent(code, resp)

    def getMailFrom(self) -> bytes | None:
        self.current = self.waiting.pop(0) if self.waiting else None
        return None if self.current is None else self.sender.encode("ascii")

    def getMailTo(self) -> list[bytes]:
        return [] if self.current is None else [self.current.recipient.encode("ascii")]

    def getMailData(self) -> _Whole:
        return _Whole(b"" if self.current is None else self.current.content)

    def sentMail(
        self, code: int, resp: bytes | str, numOk: int, addresses: Sequence[tuple[bytes, int, bytes]], log: object
    ) -> None:
        """The server has answered for the current mail."""
        if addresses and not numOk:
            code, resp = addresses[-1][1:]
        mail, self.current = self.current, None
        if mail is not None:
            self.answered(mail, SmtpAnswer(code, _text(resp)))
        if not self.waiting and self.goodbye is None:
            self.goodbye = self.clock.callLater(GOODBYE, self.transport.abortConnection)

    def sendError(self, exc: Exception) -> None:
        """The session cannot continue."""
        if isinstance(exc, SMTPClientError):
            self.fail(exc.code, _text(exc.resp))
        else:
            self.fail(-1, type(exc).__name__)

    def fail(self, code: int, words: str) -> None:
        """Give up; the connection is closed at once."""
        if self.problem is None:
            self.problem = SmtpAnswer(code, words)
        self.transport.abortConnection()

    def esmtpState_starttls(self, code: int, resp: bytes) -> None:
        if self.clearLineBuffer():
            # An attacker in between could put answers there (CVE-2011-0411).
            self.fail(-1, "the server sent more before TLS began")
        else:
            super().esmtpState_starttls(code, resp)

    # These are not the server's own words, and what stands between may have removed what is missing: they pass.

    def esmtpTLSRequired(self, code: int = -1, resp: bytes | None = None) -> None:
        self.fail(-1, "the server does not offer STARTTLS, so nothing was sent")

    def esmtpTLSFailed(self, code: int = -1, resp: bytes | None = None) -> None:
        self.fail(-1, f"the server refused STARTTLS: {code} {_text(resp)}".rstrip())

    def esmtpEHLORequired(self, code: int = -1, resp: bytes | None = None) -> None:
        if code in UNKNOWN_COMMAND:
            self.fail(-1, "the server does not speak ESMTP, so that neither TLS nor a login is possible")
        else:
            self.fail(code, _text(resp))

    def esmtpAUTHRequired(self, code: int = -1, resp: bytes | None = None) -> None:
        self.fail(-1, "the server offers no login that we know (CRAM-MD5, LOGIN or PLAIN)")

    def esmtpAUTHMalformedChallenge(self, code: int = -1, resp: bytes | None = None) -> None:
        self.fail(-1, "the server sent a malformed challenge to our login")

    def lineLengthExceeded(self, line: bytes) -> None:
        self.fail(-1, "the server sent an endless line")

    def connectionLost(self, reason: Failure = Failure(ConnectionDone())) -> None:  # noqa: B008
        super().connectionLost(reason)
        if self.goodbye is not None and self.goodbye.active():
            self.goodbye.cancel()
        finished, self.finished = self.finished, Deferred()
        if finished.called:
            return
        if self.current is None and not self.waiting and self.goodbye is not None:
            finished.callback(None)
        else:
            finished.errback(SessionFailed(self.problem or SmtpAnswer(-1, self.loss(reason.value))))

    def loss(self, error: BaseException | None) -> str:
        """Return why the connection was lost."""
        if self.tls.refusal:
            return self.tls.refusal
        if isinstance(error, SSL.Error):
            return "the TLS handshake failed; does the server speak TLS 1.2 or newer at this port?"
        if isinstance(error, (ConnectionDone, ConnectionLost)):
            return "the server closed the connection"
        return str(error)


class SessionFactory(ClientFactory):
    """Makes one session."""

    noisy = False

    def __init__(self, make: Callable[[], Session]) -> None:
        self._make = make

    def buildProtocol(self, addr: IAddress | None) -> Session:
        return self._make()


def _text(words: bytes | str | None) -> str:
    return words if isinstance(words, str) else (words or b"").decode("utf-8", "replace")
