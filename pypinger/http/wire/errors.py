"""
Why an exchange failed: a class, words for the operator, and what the failure shows about the host.

Words may hold names and addresses of hosts. They hold no path, query, userinfo or token, and of what a server wrote
only short excerpts.
"""

from __future__ import annotations

import errno
import os
import re
import socket

from twisted.internet.defer import CancelledError
from twisted.internet.error import ConnectError

from pypinger.domain.model import Contact, Fault, Seconds

#: Error numbers of our own side, whatever the address (contract, section 3).
OWN_ERRNOS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.ENETDOWN, errno.EADDRNOTAVAIL})

# A machine without IPv6 answers these for every IPv6 address, so they say nothing about its network.
_NO_IPV6 = frozenset({errno.ENETUNREACH, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})

_OWN_WORDS = {
    errno.EMFILE: "this process has no free file descriptors",
    errno.ENFILE: "this machine has no free file descriptors",
    errno.ENOBUFS: "this machine has no free network buffers",
    errno.ENOMEM: "this machine has no free memory",
    errno.ENETDOWN: "the network of this machine is down",
    errno.ENETUNREACH: "this machine has no route to the network",
    errno.EADDRNOTAVAIL: "this machine has no free local port",
}

_UNPRINTABLE = re.compile(r"[^\x20-\x7e]")


class ExchangeFailed(Exception):
    """
    There is no usable answer.

    :ivar words: what went wrong; no secret in them, no full stop at the end.
    :ivar contact: the host that was asked; None if the exchange failed before any host was.
    """

    def __init__(self, fault: Fault, words: str, contact: Contact | None = None) -> None:
        super().__init__(words)
        self.fault = fault
        self.words = words
        self.contact = contact


class StaleConnection(ExchangeFailed):
    """A kept connection was lost before any byte of the answer; the request can be repeated on a new one."""


class ExchangeCancelled(CancelledError):
    """
    The exchange was cancelled, by a time limit or by its caller.

    :ivar stage: what it was doing, in words that follow "while".
    :ivar contact: the host that was asked last; None if none was.
    """

    def __init__(self, stage: str, contact: Contact | None = None) -> None:
        super().__init__(stage)
        self.stage = stage
        self.contact = contact

    def timed_out(self, seconds: Seconds) -> ExchangeFailed:
        """Return the failure to report if a time limit of `seconds` cancelled the exchange."""
        return ExchangeFailed(Fault.TIMEOUT, f"no answer within {seconds:g} s: still {self.stage}", self.contact)


def closing() -> ExchangeFailed:
    """Return the failure of exchanges that end because the client is closed."""
    return ExchangeFailed(Fault.OWN, "the client is being closed")


def excerpt(raw: bytes, limit: int = 60) -> str:
    """Return what a peer wrote in one printable line of at most `limit` characters."""
    text = _UNPRINTABLE.sub("?", raw[: limit + 1].decode("latin-1"))
    return text if len(text) <= limit else text[: limit - 1] + "…"


def connect_failed(error: BaseException | None, address: str, host: str, peer: str) -> ExchangeFailed:
    """
    Explain a failed attempt to connect.

    :param address: the IP address that was tried.
    :param host: the host that `address` belongs to.
    :param peer: how to name the other end: ``host:port``.
    """
    number = error.osError if isinstance(error, ConnectError) else getattr(error, "errno", None)
    at = peer if address in peer else f"{peer} ({address})"
    if number == errno.ECONNREFUSED:
        return ExchangeFailed(Fault.REFUSED, f"connection refused by {at}", Contact(host))
    if number in (errno.ECONNRESET, errno.ECONNABORTED):
        # It was accepted and reset before this process had a look.
        return ExchangeFailed(Fault.RESET, "the connection was reset before any answer", Contact(host))
    silent = Contact(host, silent=True)
    if number in _NO_IPV6 and ":" in address:
        return NoIPv6(Fault.CONNECT, f"cannot connect to {at}: this machine does not reach it over IPv6", silent)
    if number == errno.ENETUNREACH:
        return ExchangeFailed(Fault.NO_ROUTE, own_words(number), Contact(host))
    if number in OWN_ERRNOS:
        return ExchangeFailed(Fault.OWN, own_words(number), Contact(host))
    if isinstance(number, int):
        return ExchangeFailed(Fault.CONNECT, f"cannot connect to {at}: {os.strerror(number).lower()}", silent)
    return ExchangeFailed(Fault.CONNECT, f"cannot connect to {at}", silent)


class NoIPv6(ExchangeFailed):
    """An IPv6 address cannot be reached because this machine has no IPv6."""


def own_words(number: int) -> str:
    """Return words for an error number of our own side."""
    return f"{_OWN_WORDS[number]} ({errno.errorcode[number]})"


def lookup_failed(error: BaseException, host: str) -> ExchangeFailed:
    """Explain a failed name look-up."""
    contact = Contact(host)
    if isinstance(error, socket.gaierror):
        if error.errno in (socket.EAI_SYSTEM, socket.EAI_MEMORY):
            return ExchangeFailed(Fault.OWN, f"this machine cannot look up names: {error.strerror}", contact)
        reasons = {
            socket.EAI_AGAIN: "no name server answered",
            socket.EAI_NONAME: "there is no such name",
            socket.EAI_NODATA: "there is no such name",
        }
        reason = reasons.get(error.errno or 0, error.strerror)
        return ExchangeFailed(Fault.DNS, f"cannot look up {host}: {reason}", contact)
    if isinstance(error, OSError) and error.errno in OWN_ERRNOS:
        return ExchangeFailed(Fault.OWN, own_words(error.errno), contact)
    return ExchangeFailed(Fault.DNS, f"cannot look up {host}", contact)
