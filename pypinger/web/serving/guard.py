"""
What every request must pass before it is routed, and the headers of every answer (contract, section 7).

Refused here: methods other than GET and HEAD, requests with a body, ``Host`` names that are not served, and targets
that are neither a path nor a whole URL. Time limits are in :mod:`pypinger.web.serving.connections`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from http import HTTPStatus
from ipaddress import ip_address

from twisted.logger import Logger
from twisted.web.resource import IResource, Resource
from twisted.web.server import NOT_DONE_YET, Request

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

#: Paths for probes, which often name a machine by its address: served for any ``Host``.
ANY_HOST = (b"/healthz", b"/readyz", b"/status", b"/metrics")

#: Hosts that are logged, so that a client that invents names does not fill the log.
MOST_LOGGED = 100

NOT_SERVED = "These pages are not served under this host name: see the option hosts in [web] of Py Pinger's ini file."

METHODS = (b"GET", b"HEAD")
_ALLOW = (b"Allow", b", ".join(METHODS))

_ABSOLUTE = re.compile(rb"https?://(?P<host>[^/?#]*)(?P<rest>[/?].*)?", re.IGNORECASE)
_HOST = re.compile(rb"(?P<name>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~-]+)(?::[0-9]*)?")


class Guard(Resource):
    """
    Stands before the routes.

    :param routes: renders what passes. It finds the path in ``request.postpath`` *as it was sent*, not
        percent-decoded: the one route that needs decoding does it itself, and no escape can disturb the others.
    """

    isLeaf = True
    _log = Logger()

    def __init__(self, routes: IResource) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._routes = routes
        self.configure(())

    def configure(self, hosts: Iterable[str], public_host: str = "", *, loopback: bool = False) -> None:
        """
        Limit the ``Host`` names.

        :param hosts: the names served, IPv6 addresses with or without their brackets; empty for any.
        :param public_host: the name of ``public_url``, always served; on the loopback interface it limits the names to
            itself, ``localhost`` and IP addresses, so that no page of another site reads these by DNS rebinding.
        """
        names = {_normal(host) for host in hosts}
        self._addresses = not names and loopback
        if names or (loopback and public_host):
            names |= {_normal(public_host)} if public_host else set()
            names |= {"localhost"} if self._addresses else set()
        self._hosts = frozenset(names)
        self._logged: set[str] = set()

    def render(self, request: Request) -> bytes | int:
        """Refuse the request, or let the routes answer it."""
        answer = self._answer(request)
        return send(request, answer) if isinstance(answer, bytes) else answer

    def _answer(self, request: Request) -> bytes | int:
        request.responseHeaders.removeHeader(b"Server")
        for name, value in SECURITY_HEADERS:
            request.setHeader(name, value)
        if request.method not in METHODS:
            request.setHeader(*_ALLOW)
            return refuse(request, HTTPStatus.METHOD_NOT_ALLOWED)
        if request.content is not None and request.content.read(1):
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
        if not self._serves(host) and request.path not in ANY_HOST:
            self._log_once(host)
            return refuse(request, HTTPStatus.MISDIRECTED_REQUEST, NOT_SERVED)
        if not request.uri.startswith(b"/") or not request.uri.isascii():
            return refuse(request, HTTPStatus.BAD_REQUEST)
        if request.uri.startswith(b"//"):
            # The routes would take it for a single slash.
            return refuse(request, HTTPStatus.NOT_FOUND)
        # The routes do not need the client's name for this server, and cannot be made to repeat it.
        request.requestHeaders.setRawHeaders(b"Host", [b"localhost"])
        request.postpath = request.path.split(b"/")
        return self._routes.render(request)  # type: ignore[no-any-return]

    def _serves(self, host: str) -> bool:
        return not self._hosts or host in self._hosts or (self._addresses and _is_address(host))

    def _log_once(self, host: str) -> None:
        if host not in self._logged and len(self._logged) < MOST_LOGGED:
            self._logged.add(host)
            self._log.warn("refused a request for host {host}: it is not in [web] hosts", host=host or "(none)")


def refuse(request: Request, status: HTTPStatus, words: str = "") -> bytes:
    """Answer with a status code, its name and `words` as plain text."""
    line = f"{status.value} {status.phrase}".encode("ascii")
    request.setResponseCode(status.value, line[4:])
    for name, value in (PLAIN_TEXT, NO_STORE):
        request.setHeader(name, value)
    return line + b"\n" + (words.encode("ascii") + b"\n" if words else b"")


def send(request: Request, body: bytes) -> int:
    """
    Send an answer.

    Twisted logs the target, which may hold secrets, of a HEAD request whose answer is returned with a body.
    """
    request.setHeader(b"Content-Length", b"%d" % len(body))
    request.write(body)
    request.finish()
    return NOT_DONE_YET


def refusal(status: HTTPStatus, *, head_only: bool = False) -> bytes:
    """A whole answer like that of :func:`refuse`, for a request that is not read to its end; the connection closes."""
    line = f"{status.value} {status.phrase}".encode("ascii")
    headers = [*SECURITY_HEADERS, PLAIN_TEXT, NO_STORE]
    headers += [_ALLOW] if status is HTTPStatus.METHOD_NOT_ALLOWED else []
    headers += [(b"Content-Length", b"%d" % (len(line) + 1)), (b"Connection", b"close")]
    head = b"HTTP/1.1 %s\r\n%s\r\n" % (line, b"".join(b"%s: %s\r\n" % header for header in headers))
    return head if head_only else head + line + b"\n"


def _host(request: Request) -> str | None:
    """The name in the ``Host`` header, empty for an HTTP/1.0 client that sent none; None if it is malformed."""
    values = request.requestHeaders.getRawHeaders(b"Host", ())
    if not values and request.clientproto == b"HTTP/1.0":
        return ""
    return _name(values[0]) if len(values) == 1 else None


def _name(host: bytes) -> str | None:
    match = _HOST.fullmatch(host)
    return None if match is None else _normal(match["name"].decode("ascii"))


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _normal(host: str) -> str:
    return host.lower().strip("[]").rstrip(".")
