"""
URLs as the client needs them: who to connect to, what to ask for, and whose credentials go where.

Strict where a mistake would go to the wrong place (host, port, scheme), lenient where it would not (a space or an
umlaut in the path is percent-encoded). Parsed URLs are kept, so that a poll does not parse.
"""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache
from typing import TypeAlias
from urllib.parse import unquote_to_bytes, urljoin

import idna
import msgspec

from pypinger.domain.model import Fault
from pypinger.http.errors import ExchangeFailed

#: Scheme, host and port: credentials never leave it.
Origin: TypeAlias = tuple[str, str, int]

DEFAULT_PORTS = {"http": 80, "https": 443}

_URL = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://"
    r"(?:(?P<userinfo>[^/?#]*)@)?"
    r"(?P<host>\[[^\]/?#]*\]|[^:/?#\[\]]*)"
    r"(?::(?P<port>[^/?#]*))?"
    r"(?P<path>/[^?#]*)?"
    r"(?P<query>\?[^#]*)?"
    r"(?:#.*)?",
    re.DOTALL,
)
_LABEL = re.compile(r"[a-z0-9_~-]{1,63}")
_UNSAFE = re.compile(rb"[^!#$%&'()*+,\-./0-9:;=?@A-Z\[\]_a-z~|^{}`\"<>\\]")


class Url(msgspec.Struct, frozen=True):
    """
    A sound http or https URL.

    :ivar host: in lower case and ASCII, an IPv6 address without its brackets.
    :ivar target: path and query as they go into the request line.
    :ivar host_header: the value of ``Host``.
    :ivar userinfo: what stood before an ``@``, decoded; secret.
    :ivar is_ip: whether `host` is an IP address.
    """

    scheme: str
    host: str
    port: int
    target: bytes
    host_header: bytes
    userinfo: bytes | None
    is_ip: bool

    @property
    def origin(self) -> Origin:
        """Scheme, host and port."""
        return self.scheme, self.host, self.port

    @property
    def peer(self) -> str:
        """``host:port``, as it may be said."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def absolute(self) -> bytes:
        """The URL without userinfo and fragment."""
        return b"%s://%s%s" % (self.scheme.encode("ascii"), self.host_header, self.target)


def _unsound(words: str) -> ExchangeFailed:
    return ExchangeFailed(Fault.URL, words)


@lru_cache(maxsize=4096)
def parse(text: str) -> Url:
    """
    Take a URL apart.

    :raises ExchangeFailed: it cannot be fetched; the words do not quote it.
    """
    match = _URL.fullmatch(text.strip(" \t\r\n"))
    if match is None:
        raise _unsound("the URL is not of the form http://host/path")
    scheme = match["scheme"].lower()
    if scheme not in DEFAULT_PORTS:
        raise _unsound("the URL's scheme is neither http nor https")
    host, is_ip = _host(match["host"])
    port = _port(match["port"], DEFAULT_PORTS[scheme])
    target = ((match["path"] or "/") + (match["query"] or "")).encode("utf-8", "surrogateescape")
    shown = f"[{host.partition('%')[0]}]" if ":" in host else host
    return Url(
        scheme=scheme,
        host=host,
        port=port,
        target=_UNSAFE.sub(_percent, target),
        host_header=(shown if port == DEFAULT_PORTS[scheme] else f"{shown}:{port}").encode("ascii"),
        userinfo=None if match["userinfo"] is None else unquote_to_bytes(match["userinfo"]),
        is_ip=is_ip,
    )


def join(base: Url, location: bytes) -> Url:
    """
    Where a ``Location`` leads; userinfo in it is dropped.

    :raises ExchangeFailed: nowhere that can be fetched.
    """
    text = location.decode("utf-8", "surrogateescape")
    try:
        text = urljoin(base.absolute.decode("ascii"), text)
    except ValueError:
        raise _unsound("the URL is not of the form http://host/path") from None
    return msgspec.structs.replace(parse(text), userinfo=None)


def is_ip(host: str) -> bool:
    """Whether this is an IP address, so that no name needs to be looked up."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _percent(match: re.Match[bytes]) -> bytes:
    return b"%%%02X" % match[0][0]


def _port(text: str | None, default: int) -> int:
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 8 and 0 < int(text) < 65_536):
        raise _unsound("the URL's port is not a number from 1 to 65535")
    return int(text)


def _host(text: str) -> tuple[str, bool]:
    if text.startswith("["):
        literal = text[1:-1].replace("%25", "%").lower()
        if ":" not in literal or not is_ip(literal) or not literal.isascii():
            raise _unsound("the URL's host is no valid IPv6 address")
        return literal, True
    if not text:
        raise _unsound("the URL has no host")
    if len(text) > 1024:
        raise _unsound("the URL's host is no valid name")
    if is_ip(text):
        return text, True
    labels = text.lower().removesuffix(".").split(".")
    try:
        ascii_labels = [
            label if label.isascii() else idna.encode(label, uts46=True).decode("ascii") for label in labels
        ]
    except UnicodeError:  # idna's own errors among them
        raise _unsound("the URL's host is no valid name") from None
    host = ".".join(ascii_labels)
    if len(host) > 253 or not all(_LABEL.fullmatch(label) for label in ascii_labels):
        raise _unsound("the URL's host is no valid name")
    return host, False
