"""
Answers: their headers, and 304 for clients that have the same already.

Pages change whenever a task is checked, so clients must ask again each time; one that names what it has
(``If-None-Match``) gets a short 304 while that is still what it would get.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from hashlib import blake2b
from http import HTTPStatus

import msgspec
from twisted.web.server import Request

from pypinger.web.serving.guard import NO_STORE

JSON = b"application/json"
HTML = b"text/html; charset=utf-8"

_TAG = re.compile(rb'(?:W/)?("[^"]*")')


def answer(request: Request, media_type: bytes, body: bytes) -> bytes:
    """Send `body`, which clients must not store."""
    for name, value in ((b"Content-Type", media_type), (b"Content-Length", b"%d" % len(body)), NO_STORE):
        request.setHeader(name, value)
    return body


def cacheable(request: Request, media_type: bytes, body: bytes, etag: bytes | None = None) -> bytes:
    """
    Send `body`, or 304 if the client has it. With a status other than 200 the body is always sent.

    :param etag: see :func:`etag_of`; by default that of the body.
    """
    answer(request, media_type, body)
    if request.code != HTTPStatus.OK:
        return body
    request.setHeader(b"Cache-Control", b"private, no-cache")
    quoted = b'"%s"' % (etag or etag_of(body))
    request.setHeader(b"ETag", quoted)
    if not _matches(request, quoted):
        return body
    for name in (b"Content-Type", b"Content-Length"):
        request.responseHeaders.removeHeader(name)
    request.setResponseCode(HTTPStatus.NOT_MODIFIED.value)
    return b""


def etag_of(*parts: bytes) -> bytes:
    """The entity tag of a body, or of the parts that it is made of."""
    digest = blake2b(digest_size=12)
    for part in parts:
        digest.update(part)
    return digest.hexdigest().encode("ascii")


def problem(request: Request, status: HTTPStatus, words: str, headers: Mapping[bytes, bytes] | None = None) -> bytes:
    """Answer ``{"error": words}``."""
    request.setResponseCode(status.value)
    for name, value in (headers or {}).items():
        request.setHeader(name, value)
    return answer(request, JSON, msgspec.json.encode({"error": words.encode("utf-8", "replace").decode("utf-8")}))


def _matches(request: Request, etag: bytes) -> bool:
    """Whether ``If-None-Match`` names this tag, compared weakly: proxies that compress make tags weak."""
    sent = b",".join(request.requestHeaders.getRawHeaders(b"If-None-Match", ()))
    return sent.strip() == b"*" or etag in _TAG.findall(sent)
