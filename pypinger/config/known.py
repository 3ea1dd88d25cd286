"""The sections and options of Py Pinger itself (contract, section 6); channels declare their own."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

#: The options that ``[main]`` sets for all tasks and a task section may override.
OVERRIDABLE = (
    "interval",
    "error_interval",
    "error_interval_max",
    "timeout",
    "grace",
    "failures",
    "unreachable_for",
    "ca_file",
    "client_cert",
    "client_key",
    "proxy",
)

#: Section -> its options.
OPTIONS: dict[str, tuple[str, ...]] = {
    "main": (
        *OVERRIDABLE,
        "include",
        "debug",
        "debug_now",
        "only_log",
        "greeting",
        "flap_incidents",
        "concurrency",
        "max_body",
        "retry_for",
        "group_wait",
        "log",
    ),
    "urls": ("prod", "dev"),
    "token_auth": ("token", "url", "username", "password", "header"),
    "heartbeat": ("url", "interval"),
    "web": ("endpoint", "hosts", "public_url", "public"),
    "push": ("endpoint",),
    "store": ("path", "keep_days", "url", "instance"),
}

#: The options that say when a task is expected to run.
OF_SCHEDULE = ("frequency", "schedule", "timezone", "max_runtime", "sleep")

#: The options of a task that ``[group SELECTOR]`` may set for several.
OF_GROUPS = ("enabled", *OVERRIDABLE, *OF_SCHEDULE, "runbook", "note", "token_auth")

#: First word of the names of sections that stand once for each task or maintenance -> their options.
NAMED_OPTIONS: dict[str, tuple[str, ...]] = {
    "task": ("url", "name", "group", "push_key", *OF_GROUPS),
    "group": OF_GROUPS,
    "maintenance": ("match", "schedule", "timezone", "duration", "from", "to", "reason"),
}

#: How such sections are shown in lists of known ones.
EXAMPLES = {"task": "[task NAME or URL]", "group": "[group SELECTOR]", "maintenance": "[maintenance NAME]"}


def suggestion(name: str, known: Iterable[str]) -> str:
    """Return the known name that is nearest to `name`; empty if none is near."""
    close = get_close_matches(name.strip().lower(), list(known), n=1)
    return close[0] if close else ""
