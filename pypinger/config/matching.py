"""The option ``match``: a selector (contract, section 4, "Selector")."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pypinger.config.section import SectionReader
from pypinger.domain import selector
from pypinger.domain.selector import Selector, SelectorError, Subject

#: What selectors see of a task only once it has been checked.
_SEEN_LATER = frozenset({"kind", "server", "process"})

_MAYBE_SECRET = re.compile("[@?=]")

# Userinfo, or a query with a value: a "?" alone stands for any character.
_SECRET = re.compile(r"\S*//\S*[@=]\S*")


def read_selector(section: SectionReader) -> Selector | None:
    """Return the selector in ``match``, without words if that is empty; None if it has a problem."""
    text = section.text("match")
    if section.is_wrong("match"):
        return None
    url_secrets(section, text)
    try:
        return selector.parse(text)
    except SelectorError as error:
        section.problem("match", "the selector is not valid" if may_hold_secret(text) else str(error))
        return None


def warn_of_no_match(section: SectionReader, chosen: Selector, subjects: Sequence[Subject]) -> None:
    """Warn if a selector matches no task, unless that cannot be known before the tasks are checked."""
    if subjects and not chosen.fields & _SEEN_LATER and not any(map(chosen.matches, subjects)):
        shown = "the selector" if may_hold_secret(chosen.text) else section.quoted("match")
        section.warn("match", f"{shown} matches no task")


def url_secrets(section: SectionReader, text: str) -> None:
    """Record the secrets of the URLs in a selector, valid or not."""
    for url in _SECRET.findall(text):
        section.url_secrets(url)


def may_hold_secret(text: str) -> bool:
    """Whether a selector may hold a URL's userinfo or query; messages must not quote it then."""
    return "//" in text and _MAYBE_SECRET.search(text) is not None
