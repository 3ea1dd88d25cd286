"""
Bodies compressed with gzip, for clients that accept it.

Note [Compressed bodies]
~~~~~~~~~~~~~~~~~~~~~~~~
Routes make whole bodies; the decorator :func:`compressed` then compresses what they return. The overview of thousands
of tasks takes a tenth of a second, so a long body is compressed in slices that share the reactor's time with all else,
and once for all clients that get the same one. The stream of changes is not decorated: its events are short, and each
must leave at once. There is no secret on a page that a length could betray.

Clients that accept gzip get weak entity tags, since the same tag stands for the plain body too; ``If-None-Match``
compares weakly.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, Concatenate, ParamSpec, Protocol, TypeAlias, TypeVar

from twisted.internet.task import Cooperator
from twisted.web.server import Request

from pypinger.web.serving.negotiation import accepts_gzip
from pypinger.web.serving.slicing import Shared, in_slices

R = TypeVar("R", bound="HasCompressor")
P = ParamSpec("P")

#: Bytes from which on a body is worth compressing; less fits into one packet anyway.
LEAST = 1024

#: Bytes compressed in a slice: about a millisecond.
PIECE = 65_536

#: How hard to compress: a little better than the fastest, at the same speed.
LEVEL = 3

#: Long bodies whose compressed forms are kept for clients that are answered a moment later.
KEPT = 2

_TYPES = (
    b"application/json",
    b"text/",
    b"image/svg+xml",
    b"application/atom+xml",
    b"application/openmetrics-text",
)

#: The window of gzip, with its header and trailer.
_GZIP = 31


class Compressor:
    """
    Compresses bodies.

    :param cooperator: shares out the time.
    """

    def __init__(self, cooperator: Cooperator) -> None:
        self._cooperator = cooperator
        self._shared: Shared[bytes] = Shared(cooperator, fixed=True)
        # By the identity of the plain body, which is kept so that no other has it.
        self._kept: dict[int, tuple[bytes, bytes]] = {}

    async def compress(self, body: bytes) -> bytes:
        """The gzip form of `body`."""
        if len(body) <= PIECE:
            return zlib.compress(body, LEVEL, _GZIP)
        kept = self._kept.get(id(body))
        return await self._shared.get(id(body), lambda: self._compress(body)) if kept is None else kept[1]

    async def _compress(self, body: bytes) -> bytes:
        packer = zlib.compressobj(LEVEL, zlib.DEFLATED, _GZIP)
        starts = range(0, len(body), PIECE)
        view = memoryview(body)
        pieces = await in_slices(
            lambda start: packer.compress(view[start : start + PIECE]), starts, self._cooperator, 1
        )
        packed = b"".join((*pieces, packer.flush()))
        self._kept[id(body)] = body, packed
        while len(self._kept) > KEPT:
            del self._kept[next(iter(self._kept))]
        return packed


class HasCompressor(Protocol):
    """What has routes that :func:`compressed` decorates."""

    @property
    def compressor(self) -> Compressor:
        """Compresses the bodies."""


Route: TypeAlias = Callable[Concatenate[R, Request, P], Coroutine[Any, Any, bytes]]


def compressed(route: Route[R, P]) -> Route[R, P]:
    """Decorate a route: compress the body that it returns, if the client accepts that."""

    @wraps(route)
    async def packed(self: R, request: Request, /, *args: P.args, **kwargs: P.kwargs) -> bytes:
        body = await route(self, request, *args, **kwargs)
        _vary(request)
        if not _wants_gzip(request):
            return body
        _weaken(request)
        if len(body) >= LEAST and _has_text(request):
            body = await self.compressor.compress(body)
            request.setHeader(b"Content-Encoding", b"gzip")
            request.setHeader(b"Content-Length", b"%d" % len(body))
        return body

    return packed


def _wants_gzip(request: Request) -> bool:
    sent = request.requestHeaders.getRawHeaders(b"Accept-Encoding", ())
    return accepts_gzip(b",".join(sent).decode("latin-1"))


def _has_text(request: Request) -> bool:
    (media_type,) = request.responseHeaders.getRawHeaders(b"Content-Type", (b"",))
    return media_type.startswith(_TYPES)


def _vary(request: Request) -> None:
    before = request.responseHeaders.getRawHeaders(b"Vary", ())
    request.setHeader(b"Vary", b", ".join((*before, b"Accept-Encoding")))


def _weaken(request: Request) -> None:
    """Make the entity tag weak."""
    for tag in request.responseHeaders.getRawHeaders(b"ETag", ()):
        request.setHeader(b"ETag", b"W/" + tag)
