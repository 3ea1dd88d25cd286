"""Request headers: validated, rendered, and HTTP Basic credentials."""

from __future__ import annotations

import re
from base64 import b64encode

from twisted.web.http_headers import Headers

from pypinger import __version__
from pypinger.domain.model import Fault
from pypinger.http.wire.errors import ExchangeFailed

USER_AGENT = f"py-pinger/{__version__}".encode("ascii")

# Headers that describe the connection, which the polling agent writes itself.
_OWN = frozenset({b"host", b"content-length", b"accept-encoding", b"transfer-encoding", b"connection", b"keep-alive"})

_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")
_LINES = re.compile(rb"(?:%s: %s\r\n)*" % (_TOKEN.pattern, _VALUE.pattern))


def check_header(name: str | bytes, value: str | bytes) -> None:
    """
    Check a header before it is given to :class:`~twisted.web.http_headers.Headers`, which would change its value.

    :raises ExchangeFailed: it would break the request; the words do not quote the value.
    """
    name = name.encode("utf-8", "surrogateescape") if isinstance(name, str) else name
    value = value.encode("utf-8", "surrogateescape") if isinstance(value, str) else value
    if not _TOKEN.fullmatch(name):
        raise ExchangeFailed(Fault.URL, "the name of a request header holds a character that no header may have")
    if not _VALUE.fullmatch(value):
        words = f"the request header {name.decode('ascii')} holds a character that no header may have"
        raise ExchangeFailed(Fault.URL, words)


def render(headers: Headers) -> bytes:
    """
    Return header lines as they are sent, without those that the polling agent writes itself.

    :raises ExchangeFailed: as :func:`check_header`.
    """
    given = [
        (name, value) for name, values in headers.getAllRawHeaders() if name.lower() not in _OWN for value in values
    ]
    lines = b"".join([b"%s: %s\r\n" % pair for pair in given])
    if not _LINES.fullmatch(lines):
        for name, value in given:
            check_header(name, value)
    return lines


def check_method(method: bytes) -> None:
    """
    Check a request method.

    :raises ExchangeFailed: it is not valid.
    """
    if not _TOKEN.fullmatch(method):
        raise ExchangeFailed(Fault.URL, "the request's method is not valid")


def basic(credentials: str) -> bytes:
    """Return the value of a header with HTTP Basic credentials (``user:password``)."""
    if ":" not in credentials:
        credentials += ":"
    return b"Basic %s" % b64encode(credentials.encode("utf-8", "surrogateescape"))
