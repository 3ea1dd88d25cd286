"""
Typed values of a section's options, and the list of problems found while reading them.

A problem quotes a value as it stands in the file, before substitution, and only if its option is no secret. A getter
that finds a problem records it and returns the default, so that the other options are checked too.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from hashlib import blake2b

from pypinger.config import forms, ini
from pypinger.config.known import suggestion
from pypinger.config.problems import ConfigProblem
from pypinger.config.substitution import Substitution
from pypinger.domain import url as urls
from pypinger.domain.durations import parse_duration
from pypinger.domain.model import Seconds
from pypinger.domain.redaction import SHORTEST_SECRET, secret_parts, url_secrets
from pypinger.domain.times import DAY

#: The longest time an option accepts, and the shortest other than 0.
LONGEST: Seconds = 366 * DAY
SHORTEST: Seconds = 0.001

#: The longest time that history is kept.
LONGEST_KEPT: Seconds = 36_525 * DAY

_FLAGS = {"1": True, "yes": True, "true": True, "on": True, "0": False, "no": False, "false": False, "off": False}
_WHOLE = re.compile(r"[+-]?[0-9]{1,18}\Z")
_NAME = re.compile(r"[a-z_-]{1,24}[0-9]{0,2}\Z")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f]")
_URL_LIKE = re.compile("[/@=]")
_WITHOUT_SCHEME = re.compile(r"(?:[a-z0-9-]{1,63}\.)+[a-z]{2,24}(?::[0-9]{1,5})?(?:/[a-z0-9_./-]{0,60})?\Z")


class LoadContext:
    """
    What the sections share while a file is loaded, with those that it includes.

    :param path: the file, as given.
    :param environ: the environment variables.
    :param cwd: the directory that relative paths start from.
    :param families: the first words of the names of sections that may stand several times.
    :param credentials: whether a credential that is missing outside the service is a problem, or only a warning.
    :ivar secrets: every secret value found, of valid options or not.
    :ivar files: the files in the order in which they were read.
    :ivar content: a digest of their contents.
    """

    def __init__(
        self, path: str, environ: Mapping[str, str], cwd: str, families: Iterable[str] = (), *, credentials: bool = True
    ) -> None:
        self.environ = environ
        self.cwd = cwd
        self.substitution = Substitution(environ, cwd, credentials=credentials)
        self.problems: list[ConfigProblem] = []
        self.warnings: list[ConfigProblem] = []
        self.secrets: set[str] = set()
        self.path = path
        self.files = [path]
        self.content = blake2b(digest_size=8)
        self._families = frozenset(families)

    def problem(self, line: int, section: str, option: str, words: str, *, file: str = "") -> None:
        """Record a problem, of the main file unless `file` names another."""
        self.problems.append(ConfigProblem(file or self.path, line, self._shown(section), shown_name(option), words))

    def warn(self, line: int, section: str, option: str, words: str, *, file: str = "") -> None:
        """Record a warning."""
        self.warnings.append(ConfigProblem(file or self.path, line, self._shown(section), shown_name(option), words))

    def secret(self, *values: str) -> None:
        """Record secret values, except very short ones."""
        self.secrets.update(value for value in values if len(value) >= SHORTEST_SECRET)

    def split_name(self, section: str) -> tuple[str, str]:
        """Return the first word of a section's name, empty unless that may stand several times, and the rest."""
        words = section.split(None, 1)
        if not words or words[0] not in self._families:
            return "", section
        return words[0], "".join(words[1:]).strip()

    def _shown(self, name: str) -> str:
        """Return a section's name without secrets: of a URL only its label."""
        family, rest = self.split_name(name)
        if family:
            # A URL may stand where a name belongs, and without its scheme.
            shown = urls.label(rest) if _URL_LIKE.search(rest) else rest[:200]
            return f"{family} {shown}".strip()
        return name if len(name) <= 40 and "://" not in name and "@" not in name else "…"

    def absolute(self, path: str) -> str:
        """Resolve a relative path from the working directory."""
        return os.path.normpath(os.path.join(self.cwd, path))


class SectionReader:
    """
    Reads the options of one section.

    :param name: the section's name, also where the file does not have it.
    :param source: the section of the file, or None.
    :ivar unresolved: options whose credential is missing. They are set, but their values cannot be checked.
    """

    def __init__(self, context: LoadContext, name: str, source: ini.IniSection | None) -> None:
        self.context = context
        self.name = name
        self.file = source.file if source else context.path
        self.line = source.line if source else 0
        self.unresolved: set[str] = set()
        self._wrong: set[str] = set()
        self._options = source.options if source else {}

    def problem(self, option: str, words: str, *, line: int = 0) -> None:
        """Record a problem of an option, or of the section if `option` is empty."""
        self._wrong.add(option)
        known = self._options.get(option)
        if known is not None:
            words += forms.reason(text for number, text in known.lines if line in (0, number))
        self.context.problem(line or self.line_of(option), self.name, option, words, file=self._file_of(option))

    def warn(self, option: str, words: str, *, line: int = 0) -> None:
        """Record a warning."""
        self.context.warn(line or self.line_of(option), self.name, option, words, file=self._file_of(option))

    def first_given(self, first: SectionReader) -> str:
        """Return where a section stands that this one repeats."""
        return f"first given in {ini.place(first.line, first.file, self.file)}"

    def line_of(self, option: str) -> int:
        """Return an option's line, or that of the section's header if the option is absent."""
        known = self._options.get(option)
        return known.line if known else self.line

    def _file_of(self, option: str) -> str:
        known = self._options.get(option)
        return known.file if known else self.file

    def has(self, name: str) -> bool:
        """Whether an option is set; a value that cannot be substituted counts as set, an empty one does not."""

        def ignore(_: str) -> None:
            pass

        option = self._options.get(name)
        values = [self.context.substitution.apply(text, ignore, ignore) for _, text in option.lines] if option else ()
        return any(value is None or value.text.strip() for value in values)

    def is_wrong(self, option: str) -> bool:
        """Whether a problem of an option has been recorded."""
        return option in self._wrong

    def expect(
        self, known: tuple[str, ...], *, legacy: tuple[str, ...] = (), misplaced: Mapping[str, str] | None = None
    ) -> None:
        """
        Record a problem for each unknown option, and a warning for each value that hardly means what it says.

        :param legacy: options that are accepted, but not suggested.
        :param misplaced: options of other sections -> what to say about them.
        """
        for option in self._options.values():
            if option.name in known or option.name in legacy:
                if words := forms.mistake(option.name, (text for _, text in option.lines)):
                    self.warn(option.name, words)
                continue
            close = suggestion(option.name, known)
            if misplaced and option.name in misplaced:
                words = misplaced[option.name]
            elif self.name == "urls" and option.name in ("http", "https"):
                words = "unknown option; indent a URL that stands on its own line"
            elif close:
                words = f'unknown option; did you mean "{close}"?'
            else:
                words = f"unknown option; [{self.name.split(None, 1)[0]}] has {', '.join(known)}"
            self.problem(option.name, words)

    def lines(self, name: str) -> Iterator[tuple[int, str]]:
        """Yield the non-empty lines of a value, after substitution, with their line numbers."""
        option = self._options.get(name)
        for number, text in option.lines if option else ():
            problem, warn = partial(self.problem, name, line=number), partial(self.warn, name, line=number)
            value = self.context.substitution.apply(text, problem, warn)
            if value is None:
                continue
            if not value.complete:
                self.unresolved.add(name)
            for line in value.text.splitlines():
                if line.strip():
                    yield number, line

    def text(self, name: str, default: str = "", *, secret: bool = False, strip: bool = True) -> str:
        """Return a value of one line."""
        lines = [line for _, line in self.lines(name)]
        if len(lines) > 1:
            if secret:
                self.context.secret(*(line.strip() for line in lines))
            self.problem(name, "must be on one line; indented lines below an option belong to its value")
            return default
        value = "".join(lines)
        value = value.strip() if strip else value
        if secret and name not in self.unresolved:
            self.context.secret(value)
        if _CONTROL.search(value):
            self.problem(name, "contains a control character")
            return default
        return value or default

    def flag(self, name: str, default: bool, *, lenient: bool = False) -> bool:
        """
        Return a boolean, in the words that configparser accepts.

        :param lenient: whether any other text counts as true, with a warning.
        """
        value = self._checkable(name)
        known = _FLAGS.get(value.lower(), default if not value else None)
        if known is not None:
            return known
        if lenient:
            self.warn(name, f"should be true or false; {self.quoted(name)} counts as true")
            return True
        self.problem(name, f"must be true or false, not {self.quoted(name)}")
        return default

    def choice(self, name: str, words: tuple[str, ...]) -> str:
        """Return one of `words`, in any letter case; the first is the default."""
        value = self._checkable(name)
        if value and value.lower() not in words:
            self.problem(name, f"must be {' or '.join(words)}, not {self.quoted(name)}")
        return value.lower() if value.lower() in words else words[0]

    def seconds(self, name: str, default: Seconds, *, zero: bool = False, unit: Seconds = 1.0) -> Seconds:
        """
        Return a length of time in seconds.

        :param zero: whether 0 is allowed.
        :param unit: the unit of a number without one, in seconds.
        """
        value = self._duration(name, default, unit, "90, 90s, 5m, 1h 30m", zero=zero)
        if value and not SHORTEST <= value <= LONGEST:
            self.problem(name, f"must be between 0.001 seconds and 366 days, not {self.quoted(name)}")
            return default
        return value

    def days(self, name: str, default: float) -> float:
        """Return a length of time in days, at most a hundred years; a number without a unit is days."""
        value = self._duration(name, default * DAY, DAY, "90, 90d, 36h", zero=False)
        if not SHORTEST <= value <= LONGEST_KEPT:
            self.problem(name, f"must be between 0.001 seconds and 36525 days, not {self.quoted(name)}")
            return default
        return value / DAY

    def whole(self, name: str, default: int, most: int, *, least: int = 1) -> int:
        """Return a whole number from `least` to `most`."""
        value = self._checkable(name)
        if not value:
            return default
        if not _WHOLE.match(value) or not least <= int(value) <= most:
            self.problem(name, f"must be a whole number from {least} to {most}, not {self.quoted(name)}")
            return default
        return int(value)

    def url(self, name: str, default: str = "", *, secret: bool = False) -> str:
        """
        Return an http or https URL. Its userinfo and query are always secrets.

        :param secret: whether its path is a secret too.
        """
        value = self.text(name, secret=secret)
        if not value or value == default:
            self.context.secrets.discard(value)
            return default
        if name in self.unresolved:
            return value
        self.url_secrets(value)
        if secret:
            self.context.secret(*secret_parts(value))
        try:
            urls.parse(value)
        except urls.UrlError as error:
            self.problem(name, str(error) if secret else about_url(value, str(error)))
            return default
        return value

    def url_secrets(self, text: str) -> None:
        """Record the secrets of a URL, valid or not."""
        self.context.secret(*url_secrets(text))

    def path(self, name: str) -> str | None:
        """Return an absolute path; None if the option is empty, or its credential is missing."""
        value = self._checkable(name)
        return self.context.absolute(value) if value else None

    def _checkable(self, name: str) -> str:
        """Return a value of one line; empty if its credential is missing, or after a problem."""
        value = self.text(name)
        return "" if name in self.unresolved or self.is_wrong(name) else value

    def _duration(self, name: str, default: Seconds, unit: Seconds, example: str, *, zero: bool) -> Seconds:
        value = self._checkable(name)
        if not value:
            return default
        try:
            duration = parse_duration(value, unit)
        except ValueError:
            duration = -1.0
        if duration < 0 or (duration == 0 and not zero):
            least = "of 0 or more" if zero else "greater than 0"
            self.problem(name, f"must be a length of time {least} ({example}), not {self.quoted(name)}")
            return default
        return duration

    def quoted(self, name: str) -> str:
        """Quote a value as it stands in the file, at most 60 characters of it."""
        value = self._options[name].value.strip()
        return json.dumps(value if len(value) <= 60 else f"{value[:60]}…", ensure_ascii=False)


def shown_name(option: str) -> str:
    """Return an option's name, or ``…`` if it may be part of a secret that was not indented."""
    return option if not option or _NAME.match(option) else "…"


def is_without_scheme(text: str) -> bool:
    """Whether `text` looks like the host and path of a URL whose scheme is missing."""
    return _WITHOUT_SCHEME.match(text) is not None


def about_url(text: str, words: str) -> str:
    """
    Put the URL without its secrets before `words`.

    A text without a scheme is shown only if it looks like host and path: it may be part of a secret that a comma cut.
    """
    if "://" in text:
        return f"{urls.label(text)}: {words}"
    return f"{text}: {words}" if is_without_scheme(text) else words
