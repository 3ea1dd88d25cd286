"""
The HTTP channel, request and site: what of a request is read before a resource sees it.

Bodies are refused as soon as they are announced, or begin: Twisted would read and parse them first, which takes seconds
for a form of some megabytes. Only pushes have bodies (contract, section 9). Of these the beginning is kept and the rest
is dropped as it comes.
"""

# Twisted's HTTP server has no annotations.
# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus

from twisted.internet.interfaces import IReactorTime
from twisted.web import http, server
from twisted.web.resource import IResource

from pypinger.web.serving.connections import ClientConnection, Connections
from pypinger.web.serving.guard import METHODS, refusal
from pypinger.web.serving.pushes import BodyRequest, PushPaths


class HttpChannel(http.HTTPChannel):
    """Reads the requests of one client."""

    # The longest URL of a task, percent-encoded whole, fits into a line.
    MAX_LENGTH = 32_768
    totalHeadersSize = 40_960

    transport: ClientConnection  # type: ignore[assignment]
    site: Site
    _method = b""
    _target = b""

    def lineReceived(self, line: bytes) -> None:
        """Read a line of a request's head, of which the first names the method."""
        known = len(self.requests)
        super().lineReceived(line)
        if len(self.requests) > known:
            self._method, _, rest = line.partition(b" ")
            self._target = rest.partition(b" ")[0]

    def lineLengthExceeded(self, line: bytes) -> None:
        """Refuse a line that is too long."""
        self.transport.refuse(refusal(HTTPStatus.BAD_REQUEST))

    def allHeadersReceived(self) -> None:
        """Refuse the request if it announces a body and is no push; a chunked one may still be empty."""
        request = self.requests[-1]
        headers = request.requestHeaders
        announced = any(length.strip(b"0") for length in headers.getRawHeaders(b"Content-Length", ()))
        chunked = headers.hasHeader(b"Transfer-Encoding")
        pushes = self.site.pushes
        if pushes is not None and pushes.serves(self._target):
            if announced or chunked:
                self._take_body(request, pushes)
        elif announced or (chunked and self._method not in METHODS):
            self.refuse_body()
        headers.removeHeader(b"Expect")
        super().allHeadersReceived()

    def _take_body(self, request: PageRequest, pushes: PushPaths) -> None:
        """Have the body of a push sent, unless that is refused without it."""
        refused = pushes.refuse_unread(self._method, self._target)
        if refused is not None:
            self.transport.refuse(refused)
            return
        request.keep_body(pushes.kept(self._target))
        expected = request.requestHeaders.getRawHeaders(b"Expect", ())
        if any(value.strip().lower() == b"100-continue" for value in expected):
            self.transport.invite()

    def refuse_body(self) -> None:
        """Refuse the request under way, since it has a body."""
        allowed = self._method in METHODS
        status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE if allowed else HTTPStatus.METHOD_NOT_ALLOWED
        self.transport.refuse(refusal(status, head_only=self._method == b"HEAD"))

    def allContentReceived(self) -> None:
        """The request is complete: answer it."""
        if not self.transport.refused:
            self.transport.begin_answer()
            super().allContentReceived()

    def begin_stream(self) -> None:
        """The answer under way is the last one, and has no end of its own."""
        self.persistent = False
        self.transport.begin_stream()

    def requestDone(self, request: http.Request) -> None:
        """The answer is written: answer the request that the client has sent meanwhile, if it has."""
        self.transport.end_answer()
        super().requestDone(request)
        self.transport.end_requests()


class PageRequest(BodyRequest):
    """One request."""

    channel: HttpChannel | None  # type: ignore[assignment]

    def handleContentChunk(self, data: bytes) -> None:
        """Take a part of the body of a push; refuse a body that was not announced by its length."""
        if self.channel is None:
            return
        if not self.keep(data):
            self.channel.refuse_body()
            return
        self.channel.transport.received(len(data))

    def process(self) -> None:
        """Let the site's resource answer, also to ``*``, for which Twisted has an answer of its own."""
        if self.path == b"*":
            self.path = b"/*"
        super().process()

    def finish(self) -> None:
        """End the answer once all of it is with the transport; see Note [Long answers] in ``outgoing``."""
        if self.channel is None:
            super().finish()
        else:
            self.channel.transport.when_drained(super().finish)


class Site(server.Site):
    """
    Serves one resource over HTTP/1.1, as part of :class:`Connections`.

    There is no access log: paths hold the URLs of tasks, with their queries.

    :param closing: called when the port is closed, to end answers that have no end of their own.
    :ivar pushes: answers the requests that may have a body, if there are such.
    """

    protocol = HttpChannel  # type: ignore[assignment]  # without Twisted's proxy for HTTP/2
    requestFactory = PageRequest
    noisy = False

    def __init__(
        self, resource: IResource, closing: Callable[[], None], clock: IReactorTime, pushes: PushPaths | None = None
    ) -> None:
        # Connections have stricter time limits than Twisted's.
        super().__init__(resource, timeout=None, reactor=clock)
        self._closing = closing
        self.pushes = pushes

    def startFactory(self) -> None:
        """Open no access log, and keep no clock for one."""

    def stopFactory(self) -> None:
        """End what has no end of its own."""
        self._closing()


def serve(
    resource: IResource,
    clock: IReactorTime,
    closing: Callable[[], None],
    most: int | None = None,
    pushes: PushPaths | None = None,
) -> Connections:
    """
    A factory that serves `resource`, for an endpoint.

    :param closing: called when the port is closed, to end answers that have no end of their own.
    :param most: see :class:`Connections`.
    :param pushes: see :class:`Site`.
    """
    site = Site(resource, closing, clock, pushes)
    shed = None if pushes is None else pushes.shed
    return Connections(site, clock, bad_request=refusal(HTTPStatus.BAD_REQUEST), most=most, shed=shed)
