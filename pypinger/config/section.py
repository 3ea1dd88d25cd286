"""
Reading one file: typed values out of a section's options, and a note of everything that is wrong on the way.

A value is shown in a problem only as it stands in the file, before substitution, and only if its option holds no
secret. A getter that finds a problem notes it and gives the default, so that reading goes on.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from functools import partial

from pypinger.config import ini
from pypinger.config.known import suggestion
from pypinger.config.problems import Problem
from pypinger.config.query import secret_values
from pypinger.config.substitution import Substitution
from pypinger.domain import url as urls
from pypinger.domain.model import Seconds
from pypinger.domain.redaction import secret_parts

#: The longest time an option may say, and the shortest that is not 0; in seconds.
LONGEST: Seconds = 31_622_400.0
SHORTEST: Seconds = 0.001

#: A secret shorter than this is not looked for in texts, since that would mask half of each.
SHORTEST_SECRET = 4

_FLAGS = {"1": True, "yes": True, "true": True, "on": True, "0": False, "no": False, "false": False, "off": False}
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?\Z")
_WHOLE = re.compile(r"[+-]?[0-9]{1,18}\Z")
_NAME = re.compile(r"[a-z_-]{1,24}[0-9]{0,2}\Z")
_AUTHORITY = re.compile(r"://([^/?#]+)@")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f]")


class Reading:
    """
    One reading of one file: where its values come from, and what was found.

    :param path: the file, as given.
    :param environ: the environment variables.
    :param cwd: the directory that relative paths start from.
    :ivar secrets: every secret value seen, sound or not.
    """

    def __init__(self, path: str, environ: Mapping[str, str], cwd: str) -> None:
        self.environ = environ
        self.cwd = cwd
        self.substitution = Substitution(environ, cwd)
        self.problems: list[Problem] = []
        self.warnings: list[Problem] = []
        self.secrets: set[str] = set()
        self._path = path

    def problem(self, line: int, section: str, option: str, words: str) -> None:
        """Note something that is wrong."""
        self.problems.append(Problem(self._path, line, shown_section(section), shown_name(option), words))

    def warn(self, line: int, section: str, option: str, words: str) -> None:
        """Note something that is odd."""
        self.warnings.append(Problem(self._path, line, shown_section(section), shown_name(option), words))

    def secret(self, *values: str) -> None:
        """Note secret values; very short ones are left out."""
        self.secrets.update(value for value in values if len(value) >= SHORTEST_SECRET)

    def absolute(self, path: str) -> str:
        """`path`, from the working directory if it is relative."""
        return os.path.normpath(os.path.join(self.cwd, path))


class Section:
    """
    One section being read.

    :param name: the section's name, needed when the file does not have it.
    :param source: the section of the file, None if there is none.
    """

    def __init__(self, reading: Reading, name: str, source: ini.Section | None) -> None:
        self.reading = reading
        self.name = name
        self.line = source.line if source else 0
        self._options = source.options if source else {}

    def problem(self, option: str, words: str, *, line: int = 0) -> None:
        """Note what is wrong with an option, or with the section if `option` is empty."""
        self.reading.problem(line or self.line_of(option), self.name, option, words)

    def warn(self, option: str, words: str, *, line: int = 0) -> None:
        """Note what is odd."""
        self.reading.warn(line or self.line_of(option), self.name, option, words)

    def line_of(self, option: str) -> int:
        """Where an option stands; the section's header if it is not there."""
        known = self._options.get(option)
        return known.line if known else self.line

    def expect(self, known: tuple[str, ...]) -> None:
        """Note a problem for each option that is not among the `known`."""
        for option in self._options.values():
            if option.name in known:
                continue
            close = suggestion(option.name, known)
            if self.name == "urls" and option.name in ("http", "https"):
                words = "unknown option; a URL on a line of its own must be indented"
            elif close:
                words = f'unknown option; did you mean "{close}"?'
            else:
                words = f"unknown option; [{self.name.split(None, 1)[0]}] has {', '.join(known)}"
            self.problem(option.name, words)

    def lines(self, name: str) -> Iterator[tuple[int, str]]:
        """The lines of a value that are not empty, with everything put in, each with its line number."""
        option = self._options.get(name)
        for number, text in option.lines if option else ():
            problem, warn = partial(self.problem, name, line=number), partial(self.warn, name, line=number)
            value = self.reading.substitution.apply(text, problem, warn)
            for line in (value or "").splitlines():
                if line.strip():
                    yield number, line

    def text(self, name: str, default: str = "", *, secret: bool = False, strip: bool = True) -> str:
        """A value of one line."""
        lines = [line for _, line in self.lines(name)]
        if len(lines) > 1:
            if secret:
                self.reading.secret(*(line.strip() for line in lines))
            self.problem(name, "must be on one line; indented lines below an option belong to its value")
            return default
        value = "".join(lines)
        value = value.strip() if strip else value
        if secret:
            self.reading.secret(value)
        if _CONTROL.search(value):
            self.problem(name, "holds a control character")
            return default
        return value or default

    def flag(self, name: str, default: bool, *, lenient: bool = False) -> bool:
        """A yes or no, as configparser reads it; any other text is a yes if `lenient`."""
        value = self.text(name)
        known = _FLAGS.get(value.lower(), default if not value else None)
        if known is not None:
            return known
        if lenient:
            self.warn(name, f"taken as true, though it is neither true nor false, but {self._quoted(name)}")
            return True
        self.problem(name, f"must be true or false, not {self._quoted(name)}")
        return default

    def seconds(self, name: str, default: Seconds, *, zero: bool = False) -> Seconds:
        """A length of time, greater than 0 unless `zero` is allowed."""
        least = "0 or greater" if zero else "greater than 0"
        value = self._number(name, default, f"must be a number of seconds {least}", zero=zero)
        if value and not SHORTEST <= value <= LONGEST:
            self.problem(name, f"must be from {SHORTEST} to {LONGEST:.0f} seconds, not {self._quoted(name)}")
            return default
        return value

    def days(self, name: str, default: float) -> float:
        """A number of days, greater than 0 and at most a hundred years."""
        value = self._number(name, default, "must be a number of days greater than 0", zero=False)
        if not SHORTEST <= value <= 36_525:
            self.problem(name, f"must be from {SHORTEST} to 36525 days, not {self._quoted(name)}")
            return default
        return value

    def whole(self, name: str, default: int, most: int) -> int:
        """A whole number from 1 to `most`."""
        value = self.text(name)
        if not value:
            return default
        if not _WHOLE.match(value) or not 1 <= int(value) <= most:
            self.problem(name, f"must be a whole number from 1 to {most}, not {self._quoted(name)}")
            return default
        return int(value)

    def url(self, name: str, default: str = "", *, secret: bool = False) -> str:
        """An http or https URL; its userinfo and query are secrets anyway, and of a secret one its path too."""
        value = self.text(name, secret=secret)
        if not value or value == default:
            self.reading.secrets.discard(value)
            return default
        self.url_secrets(value)
        if secret:
            self.reading.secret(*secret_parts(value))
        try:
            urls.parse(value)
        except urls.UrlError as error:
            self.problem(name, str(error))
            return default
        return value

    def url_secrets(self, text: str) -> None:
        """Note the userinfo and the query of a URL as secrets, even if the URL cannot be used."""
        authority = _AUTHORITY.search(text)
        if authority:
            userinfo = authority.group(1)
            user, _, password = userinfo.partition(":")
            self.reading.secret(userinfo, password or user)
        query = text.partition("#")[0].partition("?")[2]
        # A server may repeat a token alone; any other value of a query may be an ordinary word of reports.
        self.reading.secret(query, *secret_values(query))

    def _number(self, name: str, default: float, words: str, *, zero: bool) -> float:
        value = self.text(name)
        if not value:
            return default
        number = float(value) if _NUMBER.match(value) else -1.0
        if number < 0 or (number == 0 and not zero):
            self.problem(name, f"{words}, not {self._quoted(name)}")
            return default
        return number

    def _quoted(self, name: str) -> str:
        """A value as it stands in the file, fit to be shown."""
        value = self._options[name].value.strip()
        return json.dumps(value if len(value) <= 60 else f"{value[:60]}…", ensure_ascii=False)


def is_task(name: str) -> bool:
    """Whether a section's name is that of a task section, sound or not."""
    return name.split(None, 1)[:1] == ["task"]


def shown_section(name: str) -> str:
    """A section's name as it may be shown: a URL in it only as its label."""
    if is_task(name):
        return " ".join(["task", *map(urls.label, name.split(None, 1)[1:])])
    return name if len(name) <= 40 and "://" not in name and "@" not in name else "…"


def shown_name(option: str) -> str:
    """An option's name, unless it looks like none: before a = may stand a secret that was not indented."""
    return option if not option or _NAME.match(option) else "…"
