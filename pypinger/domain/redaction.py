"""Keeping secrets out of texts."""

from __future__ import annotations

import json
import re
from base64 import b64encode, urlsafe_b64encode
from bisect import bisect_left
from collections import deque
from collections.abc import Iterable, Iterator
from urllib.parse import quote, unquote, unquote_plus

#: How many of the secrets that turn up while we run are kept in mind: nobody takes any more what was replaced so often.
MOST_ADDED = 1000

#: How many secrets that are configured no more are kept in mind: more than any file has.
MOST_FORMER = 100_000

#: What stands in a text where a secret stood.
MASK = "***"

_AFTER_HOST = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*")

# What looks the same however it is encoded.
_PLAIN = re.compile(r"[A-Za-z0-9_.-]*")
# The characters, besides letters, digits and "_.-~", that percent-encoding leaves alone: Python's, with and without
# the slash; Java's; .NET's; JavaScript's of a part of a URL, and of a whole one.
_LEFT_ALONE = ("/", "", "*", "!()*", "!'()*", "!'()*;,/?:@&=+$#")


def secret_parts(text: str) -> tuple[str, ...]:
    """
    What gives away a URL that is a secret as a whole, such as a webhook's: itself, its path with and without the query,
    and the last part of the path. A server that refuses a request may repeat any of them.

    Parts that are short are left out: they are ordinary words, which would be masked in every text.
    """
    path, _, query = _AFTER_HOST.sub("", text).partition("#")[0].partition("?")
    parts = {path: 8, f"{path}?{query}" if query else "": 8, path.rstrip("/").rpartition("/")[2]: 16}
    return (text, *(part for part, least in parts.items() if len(part) >= least))


class Secrets:
    """
    Replaces secrets in texts by ``***``.

    A secret is also found percent-encoded (as Python, JavaScript, Java, PHP and .NET do it), percent-decoded, escaped
    as in JSON, and, if it is ``user:password``, in Base64 as HTTP Basic sends it. Secrets that overlap in a text are
    replaced as one. Those that turn up while we run (a token that was fetched) are added to it.

    :param secrets: whole values; empty ones are ignored. A secret of a character or two would mask half of every
        text, which is what was asked for.
    :ivar edition: another object whenever something else is looked for.
    """

    __slots__ = ("_added", "_configured", "_finders", "edition")

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._configured: dict[str, None] = {}
        self._added: deque[set[str]] = deque(maxlen=MOST_ADDED)
        self._finders: dict[str, _Finder] = {}
        self.change(secrets)

    def change(self, secrets: Iterable[str]) -> None:
        """
        From now on look for these, too. What is under way, or was kept, may still say those of before, of which the
        oldest are forgotten if they are too many.
        """
        new = dict.fromkeys(filter(None, secrets))
        former = [secret for secret in self._configured if secret not in new]
        self._configured = {**dict.fromkeys(former[-MOST_FORMER:]), **new}
        self._look_for("configured", map(_forms, self._configured))

    def add(self, secret: str) -> None:
        """Look for `secret` too; the oldest of too many that were added is forgotten."""
        self._added.append(_forms(secret))
        self._look_for("added", self._added)

    def _look_for(self, which: str, forms: Iterable[set[str]]) -> None:
        # Apart, since tens of thousands may be configured: they are not sorted anew for each token.
        self.edition = object()
        if found := set[str]().union(*forms):
            self._finders[which] = _Finder(found)

    def scrub(self, text: str) -> str:
        """`text` without any secret; the very same object when there was none in it."""
        places = [place for finder in self._finders.values() for place in finder.found(text)]
        return masked(text, sorted(places)) if places else text

    def places(self, text: str, *, cut: bool = False) -> list[tuple[int, int]]:
        """
        Where secrets are in `text`: start and end of each, by start.

        :param cut: whether more followed, so that what stands at the end may be the beginning of a secret, and counts.
        """
        places = [place for finder in self._finders.values() for place in finder.found(text)]
        if cut:
            start = min((finder.unfinished(text) for finder in self._finders.values()), default=len(text))
            places += [(start, len(text))] if start < len(text) else []
        return sorted(places)


class _Finder:
    """
    Finds strings in texts, at a cost that hardly depends on how many there are.

    :param forms: one at least, none of them empty.
    """

    __slots__ = ("_candidates", "_forms", "_lengths", "_longest", "_size", "_sorted")

    def __init__(self, forms: set[str]) -> None:
        self._forms = forms
        self._sorted = sorted(forms)
        by_length = sorted(forms, key=len, reverse=True)
        self._longest, self._size = len(by_length[0]), (size := len(by_length[-1]))
        # For each prefix how long the forms are that begin with it, the longest first: thousands may begin alike.
        self._lengths: dict[str, list[int]] = {}
        for form in by_length:
            lengths = self._lengths.setdefault(form[:size], [])
            if not lengths or lengths[-1] != len(form):
                lengths.append(len(form))
        # One class of characters per place of the prefix: the regular expression engine skips nearly all of a text
        # with it, and unlike an alternation it costs the same for one secret and for thousands.
        columns = ("".join(sorted({prefix[place] for prefix in self._lengths})) for place in range(size))
        self._candidates = re.compile("(?=" + "".join(f"[{re.escape(column)}]" for column in columns) + ")")

    def found(self, text: str) -> Iterator[tuple[int, int]]:
        """Where they are, by start; of those with the same start the longest."""
        all_lengths, size, forms = self._lengths, self._size, self._forms
        for match in self._candidates.finditer(text):
            start = match.start()
            for length in all_lengths.get(text[start : start + size], ()):
                found = text[start : start + length]
                if found in forms:
                    # Not `length`: the text may end before.
                    yield start, start + len(found)
                    break

    def unfinished(self, text: str) -> int:
        """Where the longest end of `text` starts that one of them begins with; its length if there is none."""
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
    if _PLAIN.fullmatch(secret):
        return {secret}
    forms = {secret, unquote(secret), unquote_plus(secret)}
    forms |= {json.dumps(secret, ensure_ascii=ascii_only)[1:-1] for ascii_only in (True, False)}
    encoded = {quote(secret, safe, errors="replace") for safe in _LEFT_ALONE}
    encoded |= {escaped.replace("%20", "+") for escaped in encoded}
    encoded |= {escaped.replace("~", "%7E") for escaped in encoded}
    forms |= encoded | {re.sub("%[0-9A-F]{2}", lambda escape: escape.group().lower(), form) for form in encoded}
    for pair in (secret, unquote(secret)):
        if ":" in pair:
            for encode in (b64encode, urlsafe_b64encode):
                padded = encode(pair.encode("utf-8", "surrogatepass")).decode("ascii")
                forms |= {padded, padded.rstrip("=")}
    return forms
