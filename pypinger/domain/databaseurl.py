"""The URL of a PostgreSQL database, as ``[store] url`` has it, and its secrets."""

from __future__ import annotations

import re
from urllib.parse import unquote

#: What a valid URL looks like, for messages.
EXAMPLE = "postgresql://USER:PASSWORD@HOST/DATABASE"

_URL = re.compile(
    r"postgres(?:ql)?://"
    r"(?:[^@/?#:\s]*(?::(?P<password>[^@/?#\s]*))?@)?"
    r"[^@/?#\s]*"
    r"/(?P<database>[^@/?#\s]*)"
    r"(?:\?(?P<query>[^#\s]*))?"
)
_BAD_PERCENT = re.compile("%(?![0-9a-fA-F]{2})|%00")


def problem(url: str) -> str:
    """Why this is no URL of a database, as the rest of a sentence without secrets; empty if it is one."""
    if not url.startswith(("postgresql://", "postgres://")):
        return f"must be a URL such as {EXAMPLE}"
    match = _URL.fullmatch(url)
    if match is None:
        return (
            f"must be a URL such as {EXAMPLE}; special characters of the password are written as %40 for @, %2F for /"
        )
    if not match["database"]:
        return f"names no database: {EXAMPLE}"
    return (
        "has a % that is not followed by two hexadecimal digits; % is written as %25"
        if _BAD_PERCENT.search(url)
        else ""
    )


def shown(url: str) -> str:
    """The URL without password and parameters, also of one that is not valid."""
    scheme, _, rest = url.partition("://")
    login, at, place = rest.rpartition("@")
    return f"{scheme}://{login.partition(':')[0]}{at}{re.split('[?#]', place)[0]}"


def secrets(url: str) -> frozenset[str]:
    """The passwords in a URL, as they are written and as they are meant."""
    login, _, place = url.partition("://")[2].rpartition("@")
    written = login.partition(":")[2]
    found = {written, unquote(written)}
    for parameter in place.partition("?")[2].split("&"):
        name, _, value = parameter.partition("=")
        if name.endswith("password"):
            found |= {value, unquote(value)}
    return frozenset(found - {""})
