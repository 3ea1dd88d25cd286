"""Which values of a URL's query are secrets: the parameter's name tells, or it and the look of the value together."""

from __future__ import annotations

import re
from collections.abc import Iterator

# The words of a name: apiKey, api_key and API-KEY have the same.
_WORD = re.compile(r"[A-Z]*[a-z]+|[A-Z]+|[0-9]+")

# Whatever tells of a secret counts, alone or joined to more (oauth, mykey, passcode), but for the words of other things
# that happen to hold the same letters, whose values are ordinary words perhaps.
_SECRET = re.compile(
    r"token|secret|passw|pwd|jwt|credential|signature|\bsigs?\b"
    r"|\b(?!(?:mon|don|tur|hoc|joc|whis)keys?\b)[a-z]*keys?\b(?<!\bsort key)"
    r"|\b(?!(?:com|by|tres|over|under|sur)pass\b)[a-z]*pass\b|\bpass(?!ive|age|enger|ed\b|ing\b)[a-z]+"
    r"|[a-z]*auth\b|\bauth(?!or(?:s|ity|ities)?\b)[a-z]+"
)

# What may be secret (Azure's "code") or an ordinary word of reports (a country code, a host): the value tells.
_PERHAPS = re.compile(r"\b(?:code|hash|sess|sid|(?:php|j)?sess(?:ion)? ?(?:id)?)\b")
# Names of hosts and jobs have hyphens between their words, dates between their figures.
_RANDOM = re.compile(r"(?=.*[0-9])(?=.*[A-Za-z])[^-_.]{16,}|[^-_.]{20,}|.{32,}")


def secret_values(query: str) -> Iterator[str]:
    """The values in a query, as they are written there, that should be seen by nobody."""
    # Some servers part parameters by a semicolon too, for others it belongs to the value: either may be repeated.
    for pair in dict.fromkeys((*query.split("&"), *re.split("[&;]", query))):
        name, _, value = pair.partition("=")
        words = " ".join(_WORD.findall(name)).lower()
        if value and (_SECRET.search(words) or (_PERHAPS.search(words) and _RANDOM.fullmatch(value))):
            yield value
