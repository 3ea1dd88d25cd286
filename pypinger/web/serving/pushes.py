"""
The two paths that tasks send to (contract, section 9): ``/push/KEY`` takes reports, ``/ping/KEY`` Healthchecks' pings.

A key is a secret: it is in no answer and no log line.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from http import HTTPStatus
from io import BytesIO
from math import ceil
from urllib.parse import parse_qs
from uuid import UUID

import msgspec
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request

from pypinger.domain.pushes import PING_BODY, Action, Ping
from pypinger.ports.pushing import PushReceiver, PushResult, Taken
from pypinger.web.serving.connections import Shed
from pypinger.web.serving.guard import NO_STORE, PLAIN_TEXT, SECURITY_HEADERS, refuse, send

#: What the targets of pushes begin with.
PREFIXES = (b"/push/", b"/ping/")

_ORIGIN = re.compile(rb"https?://[^/?#]*", re.IGNORECASE)
_KEY = re.compile(rb"[A-Za-z0-9_.~-]{1,500}")
_CODE = re.compile(rb"[0-9]{1,9}")
_ACTIONS = {b"start": Action.START, b"fail": Action.FAIL, b"log": Action.LOG}

_PING_METHODS = (b"GET", b"HEAD", b"POST")
_PUSH_METHODS = (b"POST",)
_PING_HEADERS = ((b"Ping-Body-Limit", b"%d" % PING_BODY), (b"Access-Control-Allow-Origin", b"*"))

# How requests to the two paths begin, and the answer to those that are refused unread.
_BEGINNINGS = (b"GET /ping/", b"HEAD /ping/", b"POST /ping/", b"POST /push/")
_SHED = (
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nContent-Type: text/plain; charset=utf-8\r\n"
    b"%sContent-Length: %d\r\n\r\n"
)
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]{1,9})[ \t]*\r\n")

_STATUSES: Mapping[Taken, HTTPStatus] = {
    Taken.KEPT: HTTPStatus.OK,
    Taken.INVALID: HTTPStatus.BAD_REQUEST,
    Taken.UNKNOWN: HTTPStatus.NOT_FOUND,
    Taken.LIMITED: HTTPStatus.TOO_MANY_REQUESTS,
    Taken.REFUSED: HTTPStatus.SERVICE_UNAVAILABLE,
}


class PushTarget(msgspec.Struct, frozen=True):
    """
    A request's target, read.

    :ivar ping: what it says, without its body; None for a report, or after a problem.
    :ivar problem: what is wrong with it, as Healthchecks says it; empty if nothing.
    """

    key: str
    pings: bool
    ping: Ping | None = None
    problem: str = ""

    @property
    def methods(self) -> tuple[bytes, ...]:
        return _PING_METHODS if self.pings else _PUSH_METHODS


class EarlyAnswer(msgspec.Struct, frozen=True):
    """An answer that needs no body to be read."""

    status: HTTPStatus
    words: str


def is_push(target: bytes) -> bool:
    """Whether a target is one of the two paths."""
    return _path(target).startswith(PREFIXES)


def read(target: bytes) -> PushTarget:
    """Read a target for which :func:`is_push` holds."""
    path, _, query = _path(target).partition(b"?")
    kind, _, rest = path[1:].partition(b"/")
    key, _, suffix = rest.partition(b"/")
    name = key.decode("ascii") if _KEY.fullmatch(key) else ""
    if kind == b"push":
        return PushTarget("" if suffix else name, pings=False)
    action, code = Action.SUCCESS, None
    if suffix:
        if suffix in _ACTIONS:
            action = _ACTIONS[suffix]
        elif _CODE.fullmatch(suffix) and int(suffix) <= 255:
            code = int(suffix)
            action = Action.FAIL if code else Action.SUCCESS
        else:
            return PushTarget(name, pings=True, problem="invalid url format")
    try:
        rid = _rid(query)
    except ValueError:
        return PushTarget(name, pings=True, problem="invalid uuid format")
    return PushTarget(name, pings=True, ping=Ping(action, rid, code))


class BodyRequest(Request):
    """
    A request that may have a body, of which the beginning is kept.

    :ivar length: the length of the body so far.
    """

    length = 0
    _kept = 0
    _body: bytearray | None = None

    @property
    def body(self) -> bytes:
        """The beginning of the body."""
        return b"" if self._body is None else bytes(self._body)

    def keep_body(self, size: int) -> None:
        """Take a body, and keep so many bytes of it."""
        self._kept, self._body = size, bytearray()

    def keep(self, data: bytes) -> bool:
        """Take a part of the body; False if the request may not have one."""
        if self._body is None:
            return False
        self.length += len(data)
        if len(self._body) < self._kept:
            self._body += data[: self._kept - len(self._body)]
        return True

    def gotLength(self, length: int | None) -> None:
        """Make no file for a body: no body is kept in one."""
        self.content = BytesIO()


class PushPaths(Resource):
    """
    Answers requests to the two paths, for any ``Host``.

    :param others: renders all other requests; without it there is nothing else here.
    """

    isLeaf = True
    _log = Logger()

    def __init__(self, receiver: PushReceiver, others: Resource | None = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._receiver = receiver
        self._others = others
        self._on = True

    def switch(self, on: bool) -> None:
        """Whether the two paths are here."""
        self._on = on

    def serves(self, target: bytes) -> bool:
        """Whether a request for this target is answered here."""
        return self._on and is_push(target)

    def shed(self, data: bytes) -> Shed | None:
        """
        Refuse a push unread if there are too many of them.

        :param data: the first data of a request.
        """
        if not data.startswith(_BEGINNINGS) or not self._on or not self._receiver.overloaded():
            return None
        whole = _is_whole(data)
        body = b"" if data.startswith(b"HEAD") else b"too many pushes"
        connection = b"" if whole else b"Connection: close\r\n"
        return Shed(_SHED % (connection, len(body)) + body, whole)

    def kept(self, target: bytes) -> int:
        """How many bytes of a request's body are kept; of a report one more than it may have."""
        return PING_BODY if read(target).pings else self._receiver.max_body + 1

    def refusal(self, method: bytes, target: bytes) -> EarlyAnswer | None:
        """What can be said against a request without its body."""
        found = read(target)
        if method not in found.methods:
            return EarlyAnswer(HTTPStatus.METHOD_NOT_ALLOWED, "method not allowed")
        if found.problem:
            return EarlyAnswer(HTTPStatus.BAD_REQUEST, found.problem)
        if not self._receiver.knows(found.key):
            return EarlyAnswer(HTTPStatus.NOT_FOUND, "not found")
        return None

    def refuse_unread(self, method: bytes, target: bytes) -> bytes | None:
        """Return the whole answer to a request that is refused before its body is read; None if it is not."""
        refusal = self.refusal(method, target)
        if refusal is None:
            return None
        found, body = read(target), refusal.words.encode("ascii")
        headers = [*SECURITY_HEADERS, *_headers(found, refusal.status), (b"Content-Length", b"%d" % len(body))]
        headers.append((b"Connection", b"close"))
        line = b"HTTP/1.1 %d %s\r\n" % (refusal.status.value, refusal.status.phrase.encode("ascii"))
        head = line + b"".join(b"%s: %s\r\n" % header for header in headers) + b"\r\n"
        return head if method == b"HEAD" else head + body

    def render(self, request: Request) -> bytes | int:
        """Answer a request once its body has been read."""
        serves = self.serves(request.uri)
        if not serves and self._others is not None:
            return self._others.render(request)  # type: ignore[no-any-return]
        request.responseHeaders.removeHeader(b"Server")
        for name, value in SECURITY_HEADERS:
            request.setHeader(name, value)
        if not serves:
            return send(request, refuse(request, HTTPStatus.NOT_FOUND))
        refusal = self.refusal(request.method, request.uri)
        found = read(request.uri)
        if refusal is not None:
            return send(request, _answer(request, found, refusal.status, refusal.words))
        assert isinstance(request, BodyRequest)
        waiting = _Waiting(request, found)
        receiving = Deferred.fromCoroutine(self._receive(found, request.body, request.length))
        receiving.addCallbacks(waiting.answer, self._failed)
        receiving.addErrback(waiting.fail)
        return NOT_DONE_YET

    async def _receive(self, found: PushTarget, body: bytes, length: int) -> PushResult:
        if found.ping is None:
            return await self._receiver.report(found.key, body, whole=length == len(body))
        return await self._receiver.ping(found.key, msgspec.structs.replace(found.ping, body=body))

    def _failed(self, failure: Failure) -> Failure:
        self._log.failure("taking a push", failure)
        return failure


class _Waiting:
    """A request that waits for its push to be kept; its client may leave meanwhile."""

    def __init__(self, request: Request, found: PushTarget) -> None:
        self._request = request
        self._found = found
        self._gone = False
        request.notifyFinish().addErrback(self._leave)

    def answer(self, result: PushResult) -> None:
        """Send the answer."""
        words = result.words if result.taken is not Taken.KEPT else "OK"
        if not self._gone:
            if result.retry_after is not None:
                self._request.setHeader(b"Retry-After", b"%d" % max(1, ceil(result.retry_after)))
            self._finish(_STATUSES[result.taken], words)

    def fail(self, _: Failure) -> None:
        """Say that the push was not taken, for a reason that is in the log."""
        if not self._gone:
            self._finish(HTTPStatus.INTERNAL_SERVER_ERROR, "not taken")

    def _finish(self, status: HTTPStatus, words: str) -> None:
        send(self._request, _answer(self._request, self._found, status, words))

    def _leave(self, _: Failure) -> None:
        self._gone = True


def _answer(request: Request, found: PushTarget, status: HTTPStatus, words: str) -> bytes:
    body = words.encode("utf-8", "replace")
    request.setResponseCode(status.value, status.phrase.encode("ascii"))
    for name, value in _headers(found, status):
        request.setHeader(name, value)
    return body


def _headers(found: PushTarget, status: HTTPStatus) -> list[tuple[bytes, bytes]]:
    headers = [PLAIN_TEXT, NO_STORE]
    headers += _PING_HEADERS if found.pings else ()
    headers += [(b"Allow", b", ".join(found.methods))] if status is HTTPStatus.METHOD_NOT_ALLOWED else []
    return headers


def _is_whole(data: bytes) -> bool:
    """Whether data is exactly one request on a connection that may be kept."""
    head, end, body = data.partition(b"\r\n\r\n")
    head = head.lower() + b"\r\n"
    if not end or b"\r\ntransfer-encoding:" in head or b"\r\nconnection:" in head or b" http/1.1\r\n" not in head:
        return False
    length = _LENGTH.search(head)
    return len(body) == (0 if length is None else int(length[1]))


def _path(target: bytes) -> bytes:
    """A target without the origin that a request to a proxy has."""
    origin = _ORIGIN.match(target)
    return target if origin is None else target[origin.end() :]


def _rid(query: bytes) -> str | None:
    """
    Return the run's id, in its usual form.

    :raises ValueError: it is no UUID.
    """
    values = parse_qs(query.decode("latin-1"), keep_blank_values=True).get("rid")
    return None if values is None else str(UUID(values[-1]))
