"""
Task URLs, and keeping secrets out of texts.

A task's URL is its identity: people look the task up by it, so it is kept as configured, less userinfo and fragment,
and not normalised. How it goes on the wire (percent-encoding, IDNA) is left to the HTTP client.
"""

from __future__ import annotations

import json
import re
from base64 import b64encode
from bisect import bisect_left
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Sequence
from hashlib import blake2b
from ipaddress import IPv6Address
from typing import NamedTuple
from urllib.parse import quote, quote_plus, unquote

import idna
import msgspec

#: The longest URL taken, in characters; what most servers take for a request line.
MAX_LENGTH = 8192

#: How many of the secrets that turn up while we run are kept in mind.
MOST_ADDED = 8

#: What stands in a text where a secret stood.
MASK = "***"

_DEFAULT_PORTS = {"http": 80, "https": 443}
_URL = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<authority>[^/?#]*)(?P<path>[^?#]*)(?P<query>\?[^#]*)?(?P<fragment>#.*)?",
    re.DOTALL,
)
_AFTER_HOST = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_ASCII_NAME = re.compile(r"(?:[A-Za-z0-9_~-]{1,63}\.)*[A-Za-z0-9_~-]{1,63}\.?")
_PORT = re.compile(r"[0-9]{1,5}")


class TaskUrl(msgspec.Struct, frozen=True):
    """
    A URL that a report can be fetched from.

    :ivar url: as configured, without userinfo and fragment.
    :ivar credentials: ``user:password``, percent-decoded; None without userinfo. Secret.
    :ivar id: see :func:`task_id`.
    :ivar label: see :func:`label`.
    :ivar origin: see :func:`origin`.
    """

    url: str
    credentials: str | None
    id: str
    label: str
    origin: str


class _Parts(NamedTuple):
    """A URL taken apart; `host` has its brackets, `port` is explicit, `place` is host and port as configured."""

    scheme: str
    userinfo: str
    place: str
    host: str
    port: int
    path: str
    query: str


def parse(text: str) -> TaskUrl:
    """
    Read a task's URL: ``http`` or ``https`` in any letter case, a host, the rest optional.

    :raises ValueError: it cannot be used; the words say why, and hold nothing of the URL itself.
    """
    parts = _split(text)
    url = f"{parts.scheme}://{parts.place}{parts.path}{parts.query}"
    return TaskUrl(
        url=url,
        credentials=_credentials(parts.userinfo),
        id=task_id(url),
        label=_label(parts),
        origin=_origin(parts),
    )


def task_id(url: str) -> str:
    """Twelve hex digits that stand for the task with this URL, the same for ever."""
    return blake2b(url.encode("utf-8", "surrogatepass"), digest_size=6).hexdigest()


def label(text: str) -> str:
    """
    A URL as it may be logged and sent: without userinfo and fragment, its query replaced by ``?…``.

    Any text will do. Of one that is no URL for us only what surely is no secret is kept, cut at 200 characters.
    """
    try:
        return _label(_split(text))
    except ValueError:
        pass
    if "@" in text:
        # Nobody can tell where the userinfo of a broken URL ends.
        scheme = _SCHEME.match(text)
        return f"{scheme.group() if scheme else ''}…"
    shown, mark, _ = text.partition("#")[0].partition("?")
    if len(shown) > 200:
        shown, mark = shown[:200], "…"
    elif mark:
        mark = "?…"
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in shown) + mark


def origin(url: str) -> str:
    """
    ``scheme://host:port`` in lower case, the port always given.

    :raises ValueError: as :func:`parse`.
    """
    return _origin(_split(url))


def secret_parts(text: str) -> tuple[str, ...]:
    """
    What gives away a URL that is a secret as a whole, such as a webhook's: itself, its path with and without the query,
    and the last part of the path. A server that refuses a request may repeat any of them.

    Parts that are short are left out: they are ordinary words, which would be masked in every text.
    """
    path, _, query = _AFTER_HOST.sub("", text).partition("#")[0].partition("?")
    parts = {path: 8, f"{path}?{query}" if query else "": 8, path.rstrip("/").rpartition("/")[2]: 16}
    return (text, *(part for part, least in parts.items() if len(part) >= least))


def _split(text: str) -> _Parts:
    if len(text) > MAX_LENGTH:
        raise ValueError(f"the URL is longer than {MAX_LENGTH:,} characters")
    if not text:
        raise ValueError("the URL is empty")
    if not text.isprintable() or " " in text:
        raise ValueError("the URL contains a space or an invisible character")
    match = _URL.fullmatch(text)
    if match is None:
        raise ValueError("the URL must start with http:// or https://")
    scheme, authority, path, query, _ = match.groups("")
    if scheme.lower() not in _DEFAULT_PORTS:
        raise ValueError("the URL's scheme must be http or https")
    userinfo, _, place = authority.rpartition("@")
    host, port = _host_and_port(place)
    return _Parts(scheme, userinfo, place, host, port or _DEFAULT_PORTS[scheme.lower()], path, query)


def _host_and_port(place: str) -> tuple[str, int | None]:
    """Take host and port apart and see that both can be used; port None if it is not given."""
    if place.startswith("["):
        host, bracket, colon_port = place.partition("]")
        if not bracket or (colon_port and not colon_port.startswith(":")):
            raise ValueError("the URL's IPv6 address is not closed by a bracket before the port or path")
        try:
            IPv6Address(unquote(host[1:]))
        except ValueError:
            raise ValueError("the URL's host is no valid IPv6 address") from None
        host, port = f"{host}]", colon_port[1:]
    else:
        host, _, port = place.partition(":")
        _check_name(host)
    if not port:
        return host, None
    # Only ASCII digits: int() would take others, and it would take signs.
    if not _PORT.fullmatch(port) or not 1 <= int(port) <= 65_535:
        raise ValueError("the URL's port must be a number from 1 to 65535")
    return host, int(port)


def _check_name(host: str) -> None:
    if not host:
        raise ValueError("the URL has no host")
    if host.isascii():
        if len(host) > 254 or not _ASCII_NAME.fullmatch(host):
            raise ValueError("the URL's host name is not valid")
        return
    try:
        # IDNA knows no underscore, but host names that are in use do.
        idna.encode(host.replace("_", "x"), uts46=True)
    except UnicodeError:
        raise ValueError("the URL's host is no valid internationalised name") from None


def _credentials(userinfo: str) -> str | None:
    if not userinfo:
        return None
    user, _, password = userinfo.partition(":")
    try:
        user, password = unquote(user, errors="strict"), unquote(password, errors="strict")
    except UnicodeDecodeError:
        raise ValueError("the URL's user name or password is not percent-encoded UTF-8") from None
    if ":" in user:
        # HTTP Basic (RFC 7617) could not tell where the password starts.
        raise ValueError("the URL's user name contains a colon")
    return f"{user}:{password}"


def _label(parts: _Parts) -> str:
    query = "?…" if len(parts.query) > 1 else parts.query
    return f"{parts.scheme}://{parts.place}{parts.path}{query}"


def _origin(parts: _Parts) -> str:
    return f"{parts.scheme}://{parts.host}:{parts.port}".lower()


class Secrets:
    """
    Replaces secrets in texts by ``***``.

    A secret is also found percent-encoded, percent-decoded, escaped as in JSON, and, if it is ``user:password``, in
    Base64 as HTTP Basic sends it. Secrets that overlap in a text are replaced as one. Those that turn up while we run
    (a token that was fetched) are added to it; the last few of them count.

    :param secrets: whole values; empty ones are ignored. A secret of a character or two would mask half of every
        text, which is what was asked for.
    :ivar edition: another object whenever something else is looked for.
    """

    __slots__ = ("_added", "_by_prefix", "_candidates", "_forms", "_prefix_length", "edition")

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._added: deque[str] = deque(maxlen=MOST_ADDED)
        self.change(secrets)

    def change(self, secrets: Iterable[str]) -> None:
        """From now on look for these, and still for those that were added."""
        self._forms = {form for secret in secrets if secret for form in _forms(secret)}
        self._prepare(self._forms.union(*map(_forms, self._added)))

    def add(self, secret: str) -> None:
        """Look for `secret` too; the oldest of too many that were added is forgotten."""
        self._added.append(secret)
        self._prepare(self._forms.union(*map(_forms, self._added)))

    def _prepare(self, found: Collection[str]) -> None:
        self.edition = object()
        forms = sorted(found, key=len, reverse=True)
        self._prefix_length = size = min(map(len, forms), default=0)
        self._by_prefix: dict[str, list[str]] = {}
        for form in forms:
            self._by_prefix.setdefault(form[:size], []).append(form)
        # One class of characters per place of the prefix: the regular expression engine skips nearly all of a text
        # with it, and unlike an alternation it costs the same for one secret and for thousands.
        columns = ("".join(sorted({form[i] for form in forms})) for i in range(size))
        self._candidates = re.compile("(?=" + "".join(f"[{re.escape(column)}]" for column in columns) + ")")

    def scrub(self, text: str) -> str:
        """`text` without any secret; the very same object when there was none in it."""
        return masked(text, self._found(text)) if self._by_prefix else text

    def places(self, text: str, *, cut: bool = False) -> list[tuple[int, int]]:
        """
        Where secrets are in `text`: start and end of each, by start.

        :param cut: whether more followed, so that what stands at the end may be the beginning of a secret, and counts.
        """
        if not self._by_prefix:
            return []
        found = list(self._found(text))
        if cut and (start := self._unfinished(text)) < len(text):
            found.append((start, len(text)))
        return sorted(found)

    def _unfinished(self, text: str) -> int:
        """Where the longest end of `text` starts that some secret begins with; its length if there is none."""
        size, prefixes = self._prefix_length, sorted(self._by_prefix)
        longest = max(len(forms[0]) for forms in self._by_prefix.values())
        for start in range(max(0, len(text) - longest + 1), len(text)):
            end = text[start:]
            forms: Sequence[str] = self._by_prefix.get(end[:size], ())
            if len(end) < size:
                at = bisect_left(prefixes, end)
                forms = prefixes[at : at + 1]
            if any(form.startswith(end) for form in forms):
                return start
        return len(text)

    def _found(self, text: str) -> Iterator[tuple[int, int]]:
        """Where secrets are, by start; of those with the same start the longest."""
        by_prefix, size = self._by_prefix, self._prefix_length
        for match in self._candidates.finditer(text):
            start = match.start()
            for form in by_prefix.get(text[start : start + size], ()):
                if text.startswith(form, start):
                    yield start, start + len(form)
                    break


def masked(text: str, places: Iterable[tuple[int, int]]) -> str:
    """
    `text` with :data:`MASK` in these places; the very same object when there are none.

    :param places: start and end of each, by start. Those that overlap are masked as one.
    """
    pieces: list[str] = []
    end = 0
    for start, stop in places:
        if start >= end:
            pieces += text[end:start], MASK
        end = max(end, stop)
    if not pieces:
        return text
    pieces.append(text[end:])
    return "".join(pieces)


def _forms(secret: str) -> set[str]:
    """The guises in which a secret may turn up in a text."""
    encoded = {quote(secret, safe="", errors="replace"), quote(secret, errors="replace")}
    encoded.add(quote_plus(secret, errors="replace"))
    forms = {secret, unquote(secret), json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]}
    forms |= encoded | {re.sub("%[0-9A-F]{2}", lambda escape: escape.group().lower(), form) for form in encoded}
    for pair in (secret, unquote(secret)):
        if ":" in pair:
            forms.add(b64encode(pair.encode("utf-8", "surrogatepass")).decode("ascii"))
    return forms
