"""Names of request headers that people set."""

from __future__ import annotations

import re

_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+\Z")

#: Those that every request has, or that describe its connection: a second one would make the request invalid.
OURS = frozenset(
    {
        "accept",
        "accept-encoding",
        "connection",
        "content-length",
        "host",
        "keep-alive",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "user-agent",
    }
)


def header_problem(name: str) -> str:
    """Return why a token cannot be sent in the header of this name; empty if it can."""
    if not _NAME.match(name):
        return "must be the name of an HTTP header, such as X-Auth-Token"
    if name.lower() in OURS:
        return f"must not be {name}, which Py Pinger sets itself; name the header for the token, such as X-Auth-Token"
    return ""
