"""
Values from other places: ``${env:NAME}``, ``${env:NAME:-default}``, ``${file:/path}`` and ``${credential:NAME}``.

Any other ``$`` is literal, since a password may contain one. Substituted text is not substituted again. No message
contains a value: neither a default nor what a source returned.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Mapping
from typing import TypeAlias

import msgspec

from pypinger.config.problems import one_line
from pypinger.config.settings import MISSING_CREDENTIAL

#: Called with words.
Say: TypeAlias = Callable[[str], None]

#: The largest ini file, and the largest file of a value, in bytes.
MAX_FILE = 16_777_216

_START = re.compile(r"\$\{(env|file|credential):")
_OTHER = re.compile(r"\$\{(?!env:|file:|credential:)[A-Za-z]+:")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_CREDENTIAL = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@-]*\Z")


class Unreadable(Exception):
    """A file cannot be read as text; ``str()`` says why in a few words."""


class Substituted(msgspec.Struct, frozen=True):
    """
    A value after substitution.

    :ivar complete: False if a credential is missing; `text` has a placeholder instead.
    """

    text: str
    complete: bool = True


class NoCredentials(ValueError):
    """There are no credentials: the process is not the service."""


class Substitution:
    """
    Replaces the substitutions in values.

    :param environ: the environment variables.
    :param cwd: the directory that relative paths start from.
    :param credentials: whether a credential that is missing outside the service is a problem, or only a warning.
    """

    def __init__(self, environ: Mapping[str, str], cwd: str, *, credentials: bool = True) -> None:
        self._environ = environ
        self._cwd = cwd
        self._credentials = credentials

    def apply(self, text: str, problem: Say, warn: Say) -> Substituted | None:
        """Substitute; return None after a problem. Every problem in `text` is reported."""
        if _OTHER.search(text):
            warn("contains a ${...} with a source other than env, file and credential; it is taken literally")
        parts: list[str] = []
        position, valid, complete = 0, True, True
        while start := _START.search(text, position):
            parts.append(text[position : start.start()])
            source = start.group(1)
            end = text.find("}", start.end())
            if end < 0:
                problem(f"${{{source}: has no closing }}")
                return None
            inner = text[start.end() : end]
            try:
                parts.append(getattr(self, f"_{source}")(inner))
            except NoCredentials as error:
                if self._credentials:
                    problem(str(error))
                    valid = False
                else:
                    warn(str(error))
                    parts.append(MISSING_CREDENTIAL + inner.replace("@", "-"))
                    complete = False
            except ValueError as error:
                problem(str(error))
                valid = False
            position = end + 1
        return Substituted("".join([*parts, text[position:]]), complete) if valid else None

    def _env(self, inner: str) -> str:
        name, with_default, default = inner.partition(":-")
        if not _VARIABLE.match(name):
            raise ValueError("${env:NAME} needs the name of an environment variable: letters, digits and _")
        value = self._environ.get(name, "")
        if with_default:
            value = value or default
        elif name not in self._environ:
            raise ValueError(f"environment variable {name} is not set; ${{env:{name}:-...}} sets a default")
        if not value.isascii() and not _is_text(value):
            raise ValueError(f"environment variable {name} is not UTF-8")
        return value

    def _file(self, inner: str) -> str:
        if not inner:
            raise ValueError("${file:/path} needs the path of a file")
        path = os.path.join(self._cwd, inner)
        try:
            return _read_text(path)
        except Unreadable as error:
            raise ValueError(f"cannot read the file {one_line(inner)}: {error}") from None

    def _credential(self, inner: str) -> str:
        if not _CREDENTIAL.match(inner):
            raise ValueError("${credential:NAME} needs the name of a credential, without a /")
        directory = self._environ.get("CREDENTIALS_DIRECTORY")
        if not directory:
            raise NoCredentials(
                f"credential {inner} is missing: $CREDENTIALS_DIRECTORY is not set;"
                " systemd sets it for services with LoadCredential="
            )
        try:
            return _read_text(os.path.join(directory, inner))
        except Unreadable as error:
            raise ValueError(f"credential {inner} cannot be read: {error}") from None


def read_bytes(path: str) -> bytes:
    """
    Return the content of a regular file.

    :raises Unreadable: it cannot be read.
    """
    try:
        # Opening a FIFO would otherwise wait for a writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
        try:
            mode = os.fstat(descriptor).st_mode
            if not stat.S_ISREG(mode):
                raise Unreadable("it is a directory" if stat.S_ISDIR(mode) else "it is not a regular file")
            with open(descriptor, "rb", closefd=False) as file:
                content = file.read(MAX_FILE + 1)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise Unreadable((error.strerror or type(error).__name__).lower()) from None
    except ValueError:
        raise Unreadable("not a valid path") from None
    if len(content) > MAX_FILE:
        raise Unreadable(f"it is larger than {MAX_FILE:,} bytes")
    return content


def _read_text(path: str) -> str:
    try:
        text = read_bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Unreadable("it is not UTF-8 text") from None
    if "\0" in text:
        raise Unreadable("it contains a NUL byte")
    return text.rstrip("\r\n")


def _is_text(value: str) -> bool:
    """Whether `value` has no lone surrogates, so that it was decoded from UTF-8."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
