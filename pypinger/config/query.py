"""Which values of a URL's query are secrets: the parameter's name tells, or it and the look of the value together."""

from __future__ import annotations

import re
from collections.abc import Iterator

# The words of a name: apiKey, api_key and API-KEY have the same.
_WORD = re.compile(r"[A-Z]*[a-z]+|[A-Z]+|[0-9]+")

# Whole words, so that no "keyword", "author" or "design" tells that its value, an ordinary word perhaps, is a secret.
_SECRET = re.compile(
    r"token|secret|passw"
    r"|\b(?:(?:user|db)?pass(?:phrase|code)?|pwd|jwt|sig|signature|auth|authentication|authorization|credentials?"
    r"|(?:api|access|account|app|auth|client|function|host|master|private|sas|shared|subscription)?keys?)\b"
    r"(?<!\bsort key)"
)

# What may be secret (Azure's "code") or an ordinary word of reports (a country code, a host): the value tells.
_PERHAPS = re.compile(r"\b(?:code|hash|sess|sid|(?:php|j)?sess(?:ion)? ?(?:id)?)\b")
# Names of hosts and jobs have hyphens between their words, dates between their figures.
_RANDOM = re.compile(r"(?=.*[0-9])(?=.*[A-Za-z])[^-_.]{16,}|[^-_.]{20,}|.{32,}")


def secret_values(query: str) -> Iterator[str]:
    """The values in a query, as they are written there, that should be seen by nobody."""
    for pair in re.split("[&;]", query):
        name, _, value = pair.partition("=")
        words = " ".join(_WORD.findall(name)).lower()
        if value and (_SECRET.search(words) or (_PERHAPS.search(words) and _RANDOM.fullmatch(value))):
            yield value
