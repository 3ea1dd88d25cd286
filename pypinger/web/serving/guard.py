"""
What every request must pass before it is routed, and what every answer carries (contract, section 7).

Refused here: other methods than GET and HEAD, requests with a body, ``Host`` names that are not served, and targets
that are neither a path nor a whole URL. How long a client may take is left to :mod:`pypinger.web.serving.site`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from http import HTTPStatus

from twisted.web.resource import IResource, Resource
from twisted.web.server import Request

#: Headers of every answer, errors included.
SECURITY_HEADERS: tuple[tuple[bytes, bytes], ...] = (
    (
        b"Content-Security-Policy",
        b"default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'self'; img-src 'self'; "
        b"base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    ),
    (b"X-Content-Type-Options", b"nosniff"),
    (b"Referrer-Policy", b"no-referrer"),
)

NO_STORE = (b"Cache-Control", b"no-store")
PLAIN_TEXT = (b"Content-Type", b"text/plain; charset=utf-8")

METHODS = (b"GET", b"HEAD")

_ABSOLUTE = re.compile(rb"https?://(?P<host>[^/?#]*)(?P<rest>[/?].*)?", re.IGNORECASE)
_HOST = re.compile(rb"(?P<name>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~-]+)(?::[0-9]*)?")


class Door(Resource):
    """
    Stands before the routes.

    :param routes: where what passes is rendered. It finds the path in ``request.postpath`` *as it was sent*, not
        percent-decoded: the one route that needs decoding does it itself, and no escape can disturb the others.
    :param hosts: the ``Host`` names served, IPv6 addresses with or without their brackets; empty for any.
    """

    isLeaf = True

    def __init__(self, routes: IResource, hosts: Iterable[str] = ()) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._routes = routes
        self._hosts = frozenset(_normal(host) for host in hosts)

    def render(self, request: Request) -> bytes | int:
        """Refuse the request, or let the routes answer it."""
        request.responseHeaders.removeHeader(b"Server")
        for name, value in SECURITY_HEADERS:
            request.setHeader(name, value)
        if request.method not in METHODS:
            request.setHeader(b"Allow", b", ".join(METHODS))
            return refuse(request, HTTPStatus.METHOD_NOT_ALLOWED)
        if has_body(request):
            return refuse(request, HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        host = _host(request)
        absolute = _ABSOLUTE.fullmatch(request.uri)
        if host is not None and absolute is not None:
            # As proxies are asked. Then it is the target that names the host (RFC 9112, 3.2.2).
            host = _name(absolute["host"])
            request.uri = b"/" + (absolute["rest"] or b"").removeprefix(b"/")
            request.path = request.uri.partition(b"?")[0]
        if host is None:
            return refuse(request, HTTPStatus.BAD_REQUEST)
        if self._hosts and host not in self._hosts:
            return refuse(request, HTTPStatus.MISDIRECTED_REQUEST)
        if not request.uri.startswith(b"/") or not request.uri.isascii():
            return refuse(request, HTTPStatus.BAD_REQUEST)
        if request.uri.startswith(b"//"):
            # The routes would take it for a single slash.
            return refuse(request, HTTPStatus.NOT_FOUND)
        # Routes have no use for the client's idea of our name; without it they cannot be made to repeat it.
        request.requestHeaders.setRawHeaders(b"Host", [b"localhost"])
        request.postpath = request.path.split(b"/")
        return self._routes.render(request)  # type: ignore[no-any-return]


def refuse(request: Request, status: HTTPStatus) -> bytes:
    """Answer with a status code and its name as plain text."""
    line = f"{status.value} {status.phrase}".encode("ascii")
    request.setResponseCode(status.value, line[4:])
    for name, value in (PLAIN_TEXT, NO_STORE):
        request.setHeader(name, value)
    return line + b"\n"


def has_body(request: Request) -> bool:
    """Whether the request's head announces a body."""
    headers = request.requestHeaders
    return headers.hasHeader(b"Transfer-Encoding") or any(
        length.strip(b"0") for length in headers.getRawHeaders(b"Content-Length", ())
    )


def _host(request: Request) -> str | None:
    """The name in the ``Host`` header, empty for the HTTP/1.0 client that sent none; None if it is broken."""
    values = request.requestHeaders.getRawHeaders(b"Host", ())
    if not values and request.clientproto == b"HTTP/1.0":
        return ""
    return _name(values[0]) if len(values) == 1 else None


def _name(host: bytes) -> str | None:
    match = _HOST.fullmatch(host)
    return None if match is None else _normal(match["name"].decode("ascii"))


def _normal(host: str) -> str:
    return host.lower().strip("[]").rstrip(".")
