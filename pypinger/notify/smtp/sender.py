"""Hands mails in at a mail server: finds it, connects, perhaps through a proxy, and has a session."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from typing import Any, NamedTuple

from twisted.internet.defer import CancelledError
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint, wrapClientTLS
from twisted.internet.error import ConnectError, ConnectingCancelledError
from twisted.internet.interfaces import IStreamClientEndpoint

from pypinger.domain.model import Seconds
from pypinger.domain.url import is_loopback
from pypinger.notify.background import Background, TooManyThreads
from pypinger.notify.smtp.server import Login, Mail, MailServer, SessionFailed, SmtpAnswer
from pypinger.notify.smtp.tls import MailTls, TlsError
from pypinger.ports.notifying import Proxies, RequestFailed

#: How long one address may take to accept a connection, in seconds, if the server's name has several.
PER_ADDRESS: Seconds = 6.0

#: Addresses tried.
MAX_ADDRESSES = 4

#: Look-ups of the server's name at once, those of earlier attempts among them.
MAX_LOOKUPS = 4


class _Prepared(NamedTuple):
    """
    What a session needs.

    :ivar module: :mod:`pypinger.notify.smtp.session`.
    :ivar ways: the endpoints to try in turn, each with whether it does not leave this machine.
    """

    module: Any
    tls: MailTls
    ways: Sequence[tuple[IStreamClientEndpoint, bool]]


class MailSender:
    """
    Hands mails in.

    :param login: who hands them in.
    :param required: whether TLS is required of a server that is not on the loopback; a login always requires it.
    :param ca_file: see :class:`~pypinger.notify.smtp.tls.MailTls`.
    :param proxies: the proxy to connect through; None for no proxy.
    """

    def __init__(
        self,
        reactor: Any,
        server: MailServer,
        login: Login,
        required: bool,
        ca_file: str | None,
        proxies: Proxies | None = None,
    ) -> None:
        self._reactor = reactor
        self._server = server
        self._login = login
        self._required = required or bool(login.user)
        self._ca_file = ca_file
        self._proxies = proxies
        self._background = Background(reactor, MAX_LOOKUPS)

    async def send(self, mails: Sequence[Mail], answered: Callable[[Mail, SmtpAnswer], None]) -> None:
        """
        Send each mail over one connection. A cancellation closes it at once.

        :param answered: is called with the server's answer to each mail.
        :raises SessionFailed: not all were answered.
        """
        server = self._server
        try:
            tunnel = None
            if self._proxies is not None:
                tunnel = self._proxies.tunnel(server.scheme, server.host, server.port)
            prepared = await self._background.call(partial(self._prepare, tunnel))
        except RequestFailed as failed:
            raise self._unreached(str(failed)) from None
        except TooManyThreads:
            raise _unanswered("earlier look-ups of the server's name have not ended yet") from None
        except OSError as error:
            raise _unanswered(f"cannot look up {server.host}: {error.strerror}") from None
        except TlsError as error:
            raise _unanswered(str(error)) from None
        session = await self._connect(prepared, mails, answered)
        await session.finished

    def _prepare(self, tunnel: IStreamClientEndpoint | None) -> _Prepared:
        """Do what blocks; called in a thread."""
        # twisted.mail looks up the name of this host when it is imported.
        module = import_module("pypinger.notify.smtp.session")
        server = self._server
        tls = MailTls(server.host, self._ca_file)
        if tunnel is not None:
            # The proxy looks the name up. It and the server are both on this machine, or the way is not protected.
            return _Prepared(module, tls, ((tunnel, server.local),))
        found = socket.getaddrinfo(server.host, None, type=socket.SOCK_STREAM)
        addresses = dict.fromkeys(
            str(place[0]) for family, _, _, _, place in found if family in (socket.AF_INET, socket.AF_INET6)
        )
        ways = []
        for address in list(addresses)[:MAX_ADDRESSES]:
            make = TCP6ClientEndpoint if ":" in address else TCP4ClientEndpoint
            ways.append((make(self._reactor, address, server.port, timeout=PER_ADDRESS), is_loopback(address)))
        return _Prepared(module, tls, ways)

    async def _connect(
        self, prepared: _Prepared, mails: Sequence[Mail], answered: Callable[[Mail, SmtpAnswer], None]
    ) -> Any:
        module, tls = prepared.module, prepared.tls
        problem = "it has no address"
        for way, protected in prepared.ways:
            endpoint = wrapClientTLS(tls, way) if self._server.implicit_tls else way
            secured = self._required and not protected
            factory = module.SessionFactory(
                lambda secured=secured: module.Session(self._reactor, self._login, tls, secured, mails, answered)
            )
            try:
                return await endpoint.connect(factory)
            except ConnectingCancelledError:
                # Twisted's class is not derived from the one that cancelled coroutines raise.
                raise CancelledError from None
            except ConnectError as error:
                problem = _words(error)
            except RequestFailed as failed:
                problem = str(failed)
        raise self._unreached(problem)

    def _unreached(self, problem: str) -> SessionFailed:
        return _unanswered(f"cannot connect to {self._server.peer}: {problem}")


def _unanswered(words: str) -> SessionFailed:
    return SessionFailed(SmtpAnswer(-1, words))


def _words(error: ConnectError) -> str:
    number = error.osError
    return os.strerror(number) if isinstance(number, int) else str(error).rstrip(".")
