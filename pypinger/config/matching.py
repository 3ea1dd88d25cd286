"""The option ``match``: a selector (contract, section 4, "Selector")."""

from __future__ import annotations

from collections.abc import Sequence

from pypinger.config.section import SectionReader
from pypinger.domain import selector
from pypinger.domain.selector import Selector, SelectorError, Subject

#: What selectors see of a task only once it has been checked.
_SEEN_LATER = frozenset({"kind", "server", "process"})


def read_selector(section: SectionReader) -> Selector | None:
    """Return the selector in ``match``, without words if that is empty; None if it has a problem."""
    text = section.text("match")
    if section.is_wrong("match"):
        return None
    try:
        return selector.parse(text)
    except SelectorError as error:
        section.problem("match", str(error))
        return None


def warn_of_no_match(section: SectionReader, chosen: Selector, subjects: Sequence[Subject]) -> None:
    """Warn if a selector matches no task, unless that cannot be known before the tasks are checked."""
    if subjects and not chosen.fields & _SEEN_LATER and not any(map(chosen.matches, subjects)):
        section.warn("match", f"{section.quoted('match')} matches no task")
