"""Options whose value is a selector (contract, section 4, "Selector"): ``match`` and ``public``."""

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


def read_selector(section: SectionReader, option: str = "match") -> Selector | None:
    """Return the selector in an option, without words if that is empty; None if it has a problem."""
    text = section.text(option)
    if section.is_wrong(option):
        return None
    url_secrets(section, text)
    try:
        return selector.parse(text)
    except SelectorError as error:
        section.problem(option, "the selector is not valid" if may_hold_secret(text) else str(error))
        return None


def warn_of_no_match(
    section: SectionReader,
    chosen: Selector,
    subjects: Sequence[Subject],
    option: str = "match",
    what: str = "task",
) -> None:
    """
    Warn if a selector matches no task, unless that cannot be known before the tasks are checked.

    :param subjects: all tasks that can match; a file without tasks has its own warning.
    """
    if not chosen.fields & _SEEN_LATER and not any(map(chosen.matches, subjects)):
        shown = "the selector" if may_hold_secret(chosen.text) else section.quoted(option)
        section.warn(option, f"{shown} matches no {what}")


def url_secrets(section: SectionReader, text: str) -> None:
    """Record the secrets of the URLs in a selector, valid or not."""
    for url in _SECRET.findall(text):
        section.url_secrets(url)


def may_hold_secret(text: str) -> bool:
    """Whether a selector may hold a URL's userinfo or query; messages must not quote it then."""
    return "//" in text and _MAYBE_SECRET.search(text) is not None
