"""Keeping secrets out of texts."""

from __future__ import annotations

import json
import re
from base64 import b64encode, urlsafe_b64encode
from bisect import bisect_left
from collections import deque
from collections.abc import Iterable, Iterator
from urllib.parse import quote, unquote, unquote_plus

#: How many secrets added while running (fetched tokens) are remembered; older ones have expired.
MOST_ADDED = 1000

#: Replaces a secret in a text.
MASK = "***"

#: A shorter secret is not looked for, since that would mask half of every text.
SHORTEST_SECRET = 4

#: A value of a URL's query of this many characters is a secret; shorter ones are ordinary words and numbers.
SHORTEST_VALUE = 8

_USERINFO = re.compile(r"//([^/?#]*)@")
_AFTER_HOST = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*")

# Text that no encoding below changes.
_PLAIN = re.compile(r"[A-Za-z0-9_.-]*")
# The characters, besides letters, digits and "_.-~", that percent-encoding keeps: in Python with and without the slash,
# in Java, in .NET, and in JavaScript's encodeURIComponent and encodeURI.
_KEPT = ("/", "", "*", "!()*", "!'()*", "!'()*;,/?:@&=+$#")


def secret_parts(text: str) -> tuple[str, ...]:
    """
    Return the parts of a URL that is secret as a whole, such as a webhook's: the URL, its path with and without the
    query, and each segment of the path. A server that refuses a request may repeat any of them.

    Short parts are left out, since they are ordinary words that would be masked in every text.
    """
    path, _, query = _AFTER_HOST.sub("", text).partition("#")[0].partition("?")
    parts = {path: 8, f"{path}?{query}" if query else "": 8} | dict.fromkeys(path.split("/"), 16)
    return (text, *(part for part, least in parts.items() if len(part) >= least))


def url_secrets(text: str) -> set[str]:
    """
    Return what must not be seen of a URL, even if the URL cannot be used: its userinfo, its password (or its user name,
    where there is no password), its query, and each value of the query that has 8 characters or more. Values are
    given as written and percent-decoded. Parts of fewer than 4 characters are left out.
    """
    secrets: set[str] = set()
    if authority := _USERINFO.search(text):
        userinfo = authority.group(1)
        user, _, password = userinfo.partition(":")
        secrets |= {userinfo, password or user}
    query = text.partition("#")[0].partition("?")[2]
    secrets.add(query)
    # Some servers separate parameters by semicolons too; for others a semicolon is part of the value.
    for pair in (*query.split("&"), *re.split("[&;]", query)):
        name, equals, value = pair.partition("=")
        written = value if equals else name
        if len(written) >= SHORTEST_VALUE:
            secrets |= {written, unquote(written), unquote_plus(written)}
    return {secret for secret in secrets if len(secret) >= SHORTEST_SECRET}


class Secrets:
    """
    Replaces secrets in texts by ``***``.

    A secret is also found percent-encoded (as Python, JavaScript, Java, PHP and .NET do it), percent-decoded, escaped
    as in JSON and, if it is ``user:password``, in Base64 as HTTP Basic sends it. Secrets that overlap in a text are
    replaced as one.

    :param secrets: whole values; empty ones are ignored. Callers leave out very short ones, which would mask half of
        every text.
    :ivar version: changes whenever the secrets do.
    """

    __slots__ = ("_added", "_configured", "_finders", "version")

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self.version = 0
        self._configured: set[str] = set()
        self._added: deque[set[str]] = deque(maxlen=MOST_ADDED)
        self._finders: dict[str, _Finder] = {}
        self.change(secrets)

    def change(self, secrets: Iterable[str]) -> None:
        """
        Look for the secrets of a new configuration. Former ones stay hidden: running checks and stored texts may still
        hold them.
        """
        self._configured.update(filter(None, secrets))
        self._look_for("configured", map(_forms, self._configured))

    def add(self, secret: str) -> None:
        """Look for a secret that was learned while running, say a fetched token."""
        self._added.append(_forms(secret))
        self._look_for("added", self._added)

    def _look_for(self, which: str, forms: Iterable[set[str]]) -> None:
        # Two finders, so that a new token does not sort tens of thousands of configured secrets again.
        if found := set[str]().union(*forms):
            self._finders[which] = _Finder(found)
            self.version += 1

    def scrub(self, text: str) -> str:
        """Return `text` without secrets; the same object if it holds none."""
        return masked(text, self.places(text))

    def places(self, text: str, *, cut: bool = False) -> list[tuple[int, int]]:
        """
        Return the start and end of each secret in `text`, sorted by start.

        :param cut: whether `text` was cut off, so that its end may be the beginning of a secret, and counts as one.
        """
        places = [place for finder in self._finders.values() for place in finder.found(text)]
        if cut:
            start = min((finder.unfinished(text) for finder in self._finders.values()), default=len(text))
            places += [(start, len(text))] if start < len(text) else []
        return sorted(places)


class _Finder:
    """
    Finds strings in texts, at a cost that hardly depends on their number.

    :param forms: at least one; none is empty.
    """

    __slots__ = ("_candidates", "_forms", "_lengths", "_longest", "_size", "_sorted")

    def __init__(self, forms: set[str]) -> None:
        self._forms = forms
        self._sorted = sorted(forms)
        by_length = sorted(forms, key=len, reverse=True)
        self._longest, self._size = len(by_length[0]), (size := len(by_length[-1]))
        # For each prefix the lengths of the forms that begin with it, longest first: thousands may share a prefix.
        self._lengths: dict[str, list[int]] = {}
        for form in by_length:
            lengths = self._lengths.setdefault(form[:size], [])
            if not lengths or lengths[-1] != len(form):
                lengths.append(len(form))
        # One character class per position of the prefix: the regular expression engine skips nearly all of a text with
        # it and, unlike an alternation, costs the same for one secret and for thousands.
        columns = ("".join(sorted({prefix[place] for prefix in self._lengths})) for place in range(size))
        self._candidates = re.compile("(?=" + "".join(f"[{re.escape(column)}]" for column in columns) + ")")

    def found(self, text: str) -> Iterator[tuple[int, int]]:
        """Yield start and end of each match, by start; of matches with the same start the longest."""
        all_lengths, size, forms = self._lengths, self._size, self._forms
        for match in self._candidates.finditer(text):
            start = match.start()
            for length in all_lengths.get(text[start : start + size], ()):
                found = text[start : start + length]
                if found in forms:
                    # Not `length`: the text may end earlier.
                    yield start, start + len(found)
                    break

    def unfinished(self, text: str) -> int:
        """Return where the longest suffix of `text` starts that begins a form; the text's length if there is none."""
        size, forms = self._size, self._sorted
        for start in range(max(0, len(text) - self._longest + 1), len(text)):
            if start + size <= len(text) and text[start : start + size] not in self._lengths:
                continue
            end = text[start:]
            at = bisect_left(forms, end)
            if at < len(forms) and forms[at].startswith(end):
                return start
        return len(text)


def masked(text: str, places: Iterable[tuple[int, int]]) -> str:
    """
    Return `text` with :data:`MASK` in these places; the same object if there are none.

    :param places: start and end of each, sorted by start. Places that overlap are masked as one.
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
    """Return the forms in which a secret may appear in a text."""
    if _PLAIN.fullmatch(secret):
        return {secret}
    forms = {secret, unquote(secret), unquote_plus(secret)}
    forms |= {json.dumps(secret, ensure_ascii=ascii_only)[1:-1] for ascii_only in (True, False)}
    encoded = {quote(secret, safe, errors="replace") for safe in _KEPT}
    encoded |= {escaped.replace("%20", "+") for escaped in encoded}
    encoded |= {escaped.replace("~", "%7E") for escaped in encoded}
    forms |= encoded | {re.sub("%[0-9A-F]{2}", lambda escape: escape.group().lower(), form) for form in encoded}
    for pair in (secret, unquote(secret)):
        if ":" in pair:
            for encode in (b64encode, urlsafe_b64encode):
                padded = encode(pair.encode("utf-8", "surrogatepass")).decode("ascii")
                forms |= {padded, padded.rstrip("=")}
    return forms
