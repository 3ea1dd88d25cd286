"""
Why an exchange failed: its class, and words that help an operator and hold no secret.

The one place where errors of sockets are put into classes and words. Names and addresses of hosts may be said; paths,
queries, userinfo, tokens and whatever a server wrote are not, but for a few short, cleaned excerpts.
"""

from __future__ import annotations

import errno
import os
import re
import socket

from twisted.internet.error import ConnectError

from pypinger.domain.model import Fault

#: Error numbers that tell of our own side, whatever the address (the contract, section 3).
OWN_ERRNOS = frozenset(
    {
        errno.EMFILE,
        errno.ENFILE,
        errno.ENOBUFS,
        errno.ENOMEM,
        errno.ENETDOWN,
        errno.ENETUNREACH,
        errno.EADDRNOTAVAIL,
    }
)

# A host without IPv6 answers these for every IPv6 address: that says nothing of the network.
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

    :ivar fault: its class.
    :ivar words: what went wrong; no secret in them, no full stop at the end.
    """

    def __init__(self, fault: Fault, words: str) -> None:
        super().__init__(words)
        self.fault = fault
        self.words = words


class StaleConnection(ExchangeFailed):
    """A kept connection died before any byte of the answer: the request may be made again on a fresh one."""


def closing() -> ExchangeFailed:
    """The client is being closed: what ends with it says nothing of the other side."""
    return ExchangeFailed(Fault.OWN, "the client is being closed")


def excerpt(raw: bytes, most: int = 60) -> str:
    """Cut and clean what a peer wrote, so that it can be quoted in one line."""
    text = _UNPRINTABLE.sub("?", raw[: most + 1].decode("latin-1"))
    return text if len(text) <= most else text[: most - 1] + "…"


def connect_failed(error: BaseException | None, address: str, peer: str) -> ExchangeFailed:
    """
    Class and words for a failed attempt to connect.

    :param address: the IP address that was tried.
    :param peer: how to name the other end: ``host:port``.
    """
    number = error.osError if isinstance(error, ConnectError) else getattr(error, "errno", None)
    at = peer if address in peer else f"{peer} ({address})"
    if number == errno.ECONNREFUSED:
        return ExchangeFailed(Fault.REFUSED, f"connection refused by {at}")
    if number in _NO_IPV6 and ":" in address:
        return ExchangeFailed(Fault.CONNECT, f"cannot connect to {at}: this machine does not reach it over IPv6")
    if number in OWN_ERRNOS:
        return ExchangeFailed(Fault.OWN, own_words(number))
    if isinstance(number, int):
        return ExchangeFailed(Fault.CONNECT, f"cannot connect to {at}: {os.strerror(number).lower()}")
    return ExchangeFailed(Fault.CONNECT, f"cannot connect to {at}")


def own_words(number: int) -> str:
    """Words for an error number of our own side."""
    return f"{_OWN_WORDS[number]} ({errno.errorcode[number]})"


def lookup_failed(error: BaseException, host: str) -> ExchangeFailed:
    """Class and words for a name that could not be looked up."""
    if isinstance(error, socket.gaierror):
        if error.errno in (socket.EAI_SYSTEM, socket.EAI_MEMORY):
            return ExchangeFailed(Fault.OWN, f"this machine cannot look up names: {error.strerror}")
        if error.errno == socket.EAI_AGAIN:
            return ExchangeFailed(Fault.DNS, f"cannot look up {host}: no name server answered")
        if error.errno in (socket.EAI_NONAME, socket.EAI_NODATA):
            return ExchangeFailed(Fault.DNS, f"cannot look up {host}: there is no such name")
        return ExchangeFailed(Fault.DNS, f"cannot look up {host}: {error.strerror}")
    if isinstance(error, OSError) and error.errno in OWN_ERRNOS:
        return ExchangeFailed(Fault.OWN, own_words(error.errno))
    return ExchangeFailed(Fault.DNS, f"cannot look up {host}")
