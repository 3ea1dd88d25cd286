"""The sections and options of Py Pinger itself (contract, section 6); channels declare their own."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

#: The options of a task section; all but the last two are options of ``[main]`` too.
TASK_OPTIONS = (
    "interval",
    "error_interval",
    "timeout",
    "grace",
    "failures",
    "ca_file",
    "client_cert",
    "client_key",
    "proxy",
    "name",
    "token_auth",
)

#: Section -> its options.
OPTIONS: dict[str, tuple[str, ...]] = {
    "main": (
        "debug",
        "debug_now",
        "only_log",
        "greeting",
        "interval",
        "error_interval",
        "timeout",
        "grace",
        "failures",
        "concurrency",
        "max_body",
        "retry_for",
        "group_wait",
        "ca_file",
        "client_cert",
        "client_key",
        "proxy",
    ),
    "urls": ("prod", "dev"),
    "token_auth": ("token", "url", "username", "password", "header"),
    "web": ("endpoint", "hosts", "public_url"),
    "store": ("path", "keep_days"),
}


def suggestion(name: str, known: Iterable[str]) -> str:
    """Return the known name that is nearest to `name`; empty if none is near."""
    close = get_close_matches(name.strip().lower(), list(known), n=1)
    return close[0] if close else ""
