"""
The one notation that selects tasks: in channels, silences, maintenance and groups (contract, section 4, "Selector").

A selector is a row of words that must all match. A word is a glob (``*`` any text, ``?`` any character) over the whole
text, in any letter case; a prefix says which text. ``!`` negates a word, ``|`` separates alternatives within it, quotes
keep spaces.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from difflib import get_close_matches

import msgspec

from pypinger.domain.model import Task, TaskState

#: The prefixes, and what each looks at.
PREFIXES = ("name", "url", "server", "process", "group", "kind")

_PREFIX = re.compile(r"([A-Za-z_]+):(?!//)(.*)", re.DOTALL)


class SelectorError(ValueError):
    """The text is no selector; ``str()`` says why."""


class Subject(msgspec.Struct, frozen=True):
    """
    What a selector looks at.

    :ivar name: the configured name, else the URL.
    :ivar url: empty for a task without one.
    :ivar kind: of the open incident, else of the latest verdict.
    :ivar tagged: whether a report has said what `process` and `server` are.
    :ivar aliases: other texts that stand for the task as a whole: how it is shown.
    """

    name: str
    url: str
    id: str
    group: str = ""
    process: str = ""
    server: str = ""
    kind: str = ""
    tagged: bool = True
    aliases: tuple[str, ...] = ()


class _Pattern(msgspec.Struct, frozen=True):
    """One alternative of a word; an empty `field` looks at name or URL."""

    field: str
    text: str
    glob: re.Pattern[str]

    def matches(self, subject: Subject, unknown: bool) -> bool:
        if not self.field:
            if self.text in (subject.name, subject.url, subject.id, *subject.aliases):
                return True
            fields = (subject.url,) if "://" in self.text else (subject.name, subject.url)
            return any(self.glob.fullmatch(each) for each in fields if each)
        if unknown and not subject.tagged and self.field in ("server", "process"):
            return True
        if self.field == "url" and not subject.url:
            return False
        return self.glob.fullmatch(getattr(subject, self.field)) is not None


class _Word(msgspec.Struct, frozen=True):
    negated: bool
    alternatives: tuple[_Pattern, ...]


class Selector(msgspec.Struct, frozen=True):
    """
    A parsed selector; without words it selects every task.

    :ivar text: as it was written.
    """

    text: str
    words: tuple[_Word, ...]

    def matches(self, subject: Subject, *, unknown_tags: bool = False) -> bool:
        """
        Whether every word matches.

        :param unknown_tags: what ``server:`` and ``process:`` say of a task whose tags are not known yet.
        """
        for word in self.words:
            hit = any(each.matches(subject, unknown_tags) for each in word.alternatives)
            open_question = unknown_tags and not subject.tagged and _on_tags(word)
            if not open_question and hit is word.negated:
                return False
        return True

    @property
    def fields(self) -> frozenset[str]:
        """The prefixes that occur; empty for words that look at name or URL."""
        return frozenset(each.field for word in self.words for each in word.alternatives)


def subject_of(task: Task, state: TaskState) -> Subject:
    """What selectors see of a task: its configured name, else its URL; the tags of its last valid report."""
    report = state.report
    return Subject(
        name=task.name if task.named else task.key,
        url=task.url or "",
        id=task.id,
        group=task.group,
        process=(report.process if report else None) or "",
        server=(report.server if report else None) or "",
        kind=state.kind.value if state.incident is None else state.incident.kind.value,
        tagged=report is not None,
        aliases=(task.name, task.label),
    )


def parse(text: str) -> Selector:
    """
    Parse a selector.

    :raises SelectorError: it is not valid.
    """
    return Selector(text.strip(), tuple(_word(each) for each in _split(text)))


def parse_typed(text: str, subjects: Iterable[Subject]) -> Selector:
    """
    Parse a selector from a command line, whose shell has taken the quotes away.

    A text that equals the name, the URL or the id of a task is that task, although it holds spaces or a colon.

    :raises SelectorError: it is not valid.
    """
    typed = text.strip()
    named = [each for each in subjects if typed in (each.name, each.url, each.id, *each.aliases)]
    if not typed or not named:
        return parse(text)
    # It may mean something else in the notation.
    for word in (typed, f"name:{typed}"):
        quoted = f"'{word}'" if '"' in word else f'"{word}"' if " " in word else word
        try:
            selector = parse(quoted)
        except SelectorError:
            continue
        if _is_literal(selector, typed) and all(map(selector.matches, named)):
            return selector
    return parse("|".join(each.id for each in named))


def _is_literal(selector: Selector, text: str) -> bool:
    """Whether a selector is one word that holds the text as it is."""
    texts = [[each.text for each in word.alternatives] for word in selector.words if not word.negated]
    return texts == [[text]] and len(selector.words) == 1


def _on_tags(word: _Word) -> bool:
    return any(each.field in ("server", "process") for each in word.alternatives)


def _split(text: str) -> Iterator[str]:
    """The words, without their quotes."""
    word, quote, begun = "", "", False
    for character in text:
        if quote:
            if character == quote:
                quote = ""
            else:
                word += character
        elif character in "\"'":
            quote, begun = character, True
        elif character.isspace():
            if begun or word:
                yield word
            word, begun = "", False
        else:
            word += character
    if quote:
        raise SelectorError(f"a quote ({quote}) is not closed")
    if begun or word:
        yield word


def _word(text: str) -> _Word:
    negated = text.startswith("!")
    field, alternatives = "", []
    for number, part in enumerate(text.removeprefix("!").split("|")):
        match = _PREFIX.fullmatch(part)
        if match is not None:
            field, part = match[1].lower(), match[2]
            if field not in PREFIXES:
                raise SelectorError(_unknown(match[1]))
        elif number and "://" in part:
            field = ""
        if not part:
            raise SelectorError(f"the word {text!r} has an empty alternative")
        alternatives.append(_Pattern(field, part, _glob(part)))
    return _Word(negated, tuple(alternatives))


def _glob(text: str) -> re.Pattern[str]:
    # Runs of stars would make the search slow and mean the same as one.
    shrunk = re.sub(r"\*+", "*", text)
    pattern = "".join({"*": ".*", "?": "."}.get(each, re.escape(each)) for each in shrunk)
    return re.compile(pattern, re.IGNORECASE | re.DOTALL)


def _unknown(prefix: str) -> str:
    close = get_close_matches(prefix.lower(), PREFIXES, 1)
    advice = f"did you mean {close[0]}:?" if close else f"there are {', '.join(f'{each}:' for each in PREFIXES)}"
    return f"unknown prefix {prefix}:; {advice}"
