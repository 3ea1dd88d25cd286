"""Hands mails in at a mail server: finds it, connects, and has a session."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

from twisted.internet.defer import CancelledError
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint, wrapClientTLS
from twisted.internet.error import ConnectError, ConnectingCancelledError

from pypinger.domain.model import Seconds
from pypinger.notify.background import Background, TooManyThreads
from pypinger.notify.smtp.server import Login, Mail, MailServer, SessionFailed, SmtpAnswer, is_loopback
from pypinger.notify.smtp.tls import MailTls, TlsError

#: How long one address may take to accept a connection, in seconds, if the server's name has several.
PER_ADDRESS: Seconds = 6.0

#: Addresses tried.
MAX_ADDRESSES = 4

#: Look-ups of the server's name at once, those of earlier attempts among them.
MAX_LOOKUPS = 4


class MailSender:
    """
    Hands mails in.

    :param login: who hands them in.
    :param required: whether TLS is required of a server that is not on the loopback; a login always requires it.
    :param ca_file: see :class:`~pypinger.notify.smtp.tls.MailTls`.
    """

    def __init__(self, reactor: Any, server: MailServer, login: Login, required: bool, ca_file: str | None) -> None:
        self._reactor = reactor
        self._server = server
        self._login = login
        self._required = required or bool(login.user)
        self._ca_file = ca_file
        self._background = Background(reactor, MAX_LOOKUPS)

    async def send(self, mails: Sequence[Mail], answered: Callable[[Mail, SmtpAnswer], None]) -> None:
        """
        Send each mail over one connection. A cancellation closes it at once.

        :param answered: is called with the server's answer to each mail.
        :raises SessionFailed: not all were answered.
        """
        try:
            module, addresses, tls = await self._background.call(self._prepare)
        except TooManyThreads:
            raise _unanswered("earlier look-ups of the server's name have not ended yet") from None
        except OSError as error:
            raise _unanswered(f"cannot look up {self._server.host}: {error.strerror}") from None
        except TlsError as error:
            raise _unanswered(str(error)) from None
        session = await self._connect(module, addresses, tls, mails, answered)
        await session.finished

    def _prepare(self) -> tuple[Any, list[str], MailTls]:
        """Do what blocks; called in a thread."""
        # twisted.mail looks up the name of this host when it is imported.
        module = import_module("pypinger.notify.smtp.session")
        found = socket.getaddrinfo(self._server.host, None, type=socket.SOCK_STREAM)
        addresses = dict.fromkeys(
            str(place[0]) for family, _, _, _, place in found if family in (socket.AF_INET, socket.AF_INET6)
        )
        return module, list(addresses)[:MAX_ADDRESSES], MailTls(self._server.host, self._ca_file)

    async def _connect(
        self,
        module: Any,
        addresses: Sequence[str],
        tls: MailTls,
        mails: Sequence[Mail],
        answered: Callable[[Mail, SmtpAnswer], None],
    ) -> Any:
        problem = "it has no address"
        for address in addresses:
            make = TCP6ClientEndpoint if ":" in address else TCP4ClientEndpoint
            endpoint: Any = make(self._reactor, address, self._server.port, timeout=PER_ADDRESS)
            if self._server.implicit_tls:
                endpoint = wrapClientTLS(tls, endpoint)
            secured = self._required and not is_loopback(address)
            factory = module.SessionFactory(
                lambda secured=secured: module.Session(self._reactor, self._login, tls, secured, mails, answered)
            )
            try:
                return await endpoint.connect(factory)
            except ConnectingCancelledError:
                raise CancelledError from None
            except ConnectError as error:
                problem = _words(error)
        raise _unanswered(f"cannot connect to {self._server.peer}: {problem}")


def _unanswered(words: str) -> SessionFailed:
    return SessionFailed(SmtpAnswer(-1, words))


def _words(error: ConnectError) -> str:
    number = error.osError
    return os.strerror(number) if isinstance(number, int) else str(error).rstrip(".")
