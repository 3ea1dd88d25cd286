"""What the routes read of a request."""

from __future__ import annotations

from collections.abc import Iterable

from twisted.web.server import Request

from pypinger.web.serving.negotiation import prefers_html


def wants_html(request: Request) -> bool:
    """Whether the client prefers HTML; the answer says that this matters."""
    request.setHeader(b"Vary", b"Accept")
    return prefers_html(accepted(request))


def accepted(request: Request) -> str:
    """The header ``Accept``."""
    values: Iterable[bytes] = request.requestHeaders.getRawHeaders(b"Accept", ())
    return b",".join(values).decode("latin-1")


def target_after(prefix: str, request: Request) -> str:
    """What follows our own part of the request's target, query included, exactly as it was sent."""
    return request.uri.decode("ascii")[len(prefix) :]


def root_from(request: Request, root: str) -> str:
    """
    The link from the requested page to the overview.

    A relative path works under any prefix that a proxy may add. But a task's URL in the path may have lost or gained
    slashes in a proxy, so from there only the absolute path is reliable.

    :param root: the path of the overview as clients see it.
    """
    return {1: "./", 2: "../"}.get(request.path.count(b"/"), root)
