"""The mail server of a section, and what is exchanged with it."""

from __future__ import annotations

import re

import msgspec

from pypinger.domain import url as urls
from pypinger.domain.texts import cut, one_line

#: Scheme -> port.
PORTS = {"smtp": 25, "smtps": 465}

#: How much is quoted of a server that is not valid, in characters.
SHOWN = 60

_SERVER = re.compile(r"(?P<scheme>smtps?)://(?P<place>[^/?#]*)/?", re.IGNORECASE)


class MailServer(msgspec.Struct, frozen=True):
    """
    Where mails are handed in.

    :ivar host: in ASCII, an IPv6 address without brackets.
    :ivar implicit_tls: whether TLS begins with the connection, not by STARTTLS.
    """

    host: str
    port: int
    implicit_tls: bool

    @property
    def scheme(self) -> str:
        return "smtps" if self.implicit_tls else "smtp"

    @property
    def peer(self) -> str:
        """``host:port``, with brackets around an IPv6 address."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def local(self) -> bool:
        """Whether the host is on the loopback by its name."""
        return urls.is_loopback(self.host)


class Login(msgspec.Struct, frozen=True):
    """
    Who hands the mails in.

    :ivar user: empty without a login.
    :ivar sender: the address that the mails come from.
    """

    user: str
    password: str
    sender: str


class Mail(msgspec.Struct, frozen=True):
    """One mail to one recipient; the lines of `content` end in line feeds."""

    recipient: str
    content: bytes


class SmtpAnswer(msgspec.Struct, frozen=True):
    """
    A server's answer, or why there is none.

    :ivar code: SMTP's code; -1 if the server did not answer.
    :ivar words: as the server wrote them: they may hold anything.
    """

    code: int
    words: str

    @property
    def accepted(self) -> bool:
        return self.code in range(200, 300)

    @property
    def permanent(self) -> bool:
        return 500 <= self.code <= 599


class SessionFailed(Exception):
    """The connection ended before all mails were answered for; `answer` says why."""

    def __init__(self, answer: SmtpAnswer) -> None:
        super().__init__(f"SMTP session failed with code {answer.code}")
        self.answer = answer


def parse_server(text: str) -> MailServer:
    """
    Parse the option ``server``: ``smtp://host[:port]`` or ``smtps://host[:port]``.

    :raises ValueError: it is no valid server; ``str()`` says why, and holds no user and no password.
    """
    match = _SERVER.fullmatch(text)
    if match is None:
        quoted = "" if "@" in text else f", not {cut(one_line(text), SHOWN)}"
        raise ValueError(f"must be smtp://host, smtp://host:port or smtps://host[:port]{quoted}")
    if "@" in match["place"]:
        raise ValueError("must not hold a user or password; set the options user and password")
    scheme, place = match["scheme"].lower(), match["place"]
    try:
        parsed = urls.parse(f"http://{place}/")
    except urls.UrlError as error:
        raise ValueError(str(error)) from None
    given = ":" in place.rpartition("]")[2]
    return MailServer(parsed.host, parsed.port if given else PORTS[scheme], scheme == "smtps")
