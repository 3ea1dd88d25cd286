"""
Values from elsewhere: ``${env:NAME}``, ``${env:NAME:-default}``, ``${file:/path}`` and ``${credential:NAME}``.

Only these three sources are substitutions; any other ``$`` stands for itself, since a password may hold one. What
was put in is not looked at again. Nothing said here holds a value: neither a default nor what a source gave.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeAlias

from pypinger.config.problems import one_line

#: Takes words.
Say: TypeAlias = Callable[[str], None]

#: No ini file, and no value from a file, is as large as this many bytes.
MAX_FILE = 33_554_432

_START = re.compile(r"\$\{(env|file|credential):")
_OTHER = re.compile(r"\$\{(?!env:|file:|credential:)[A-Za-z]+:")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_CREDENTIAL = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@-]*\Z")


class Unreadable(Exception):
    """A file cannot be had as text; ``str()`` of it says why, in a few words."""


class Substitution:
    """
    Replaces the substitutions of one file's values.

    :param environ: the environment variables.
    :param cwd: the directory that relative paths start from.
    """

    def __init__(self, environ: Mapping[str, str], cwd: str) -> None:
        self._environ = environ
        self._cwd = cwd

    def apply(self, text: str, problem: Say, warn: Say) -> str | None:
        """`text` with everything put in; None if there was a problem, each of which was said."""
        if _OTHER.search(text):
            warn("has a ${...} whose source is none of env, file and credential; it is taken as it stands")
        parts: list[str] = []
        position, sound = 0, True
        while start := _START.search(text, position):
            parts.append(text[position : start.start()])
            source = start.group(1)
            end = text.find("}", start.end())
            if end < 0:
                problem(f"${{{source}: is not closed by a }}")
                return None
            try:
                parts.append(getattr(self, f"_{source}")(text[start.end() : end]))
            except ValueError as error:
                problem(str(error))
                sound = False
            position = end + 1
        return "".join([*parts, text[position:]]) if sound else None

    def _env(self, inner: str) -> str:
        name, with_default, default = inner.partition(":-")
        if not _VARIABLE.match(name):
            raise ValueError("${env:NAME} needs the name of an environment variable: letters, digits and _")
        value = self._environ.get(name, "")
        if with_default:
            value = value or default
        elif name not in self._environ:
            raise ValueError(f"environment variable {name} is not set; ${{env:{name}:-...}} would give a default")
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
            raise ValueError(
                f"credential {inner} cannot be had: $CREDENTIALS_DIRECTORY is not set;"
                " systemd sets it for a unit with LoadCredential="
            )
        try:
            return _read_text(os.path.join(directory, inner))
        except Unreadable as error:
            raise ValueError(f"credential {inner} cannot be read: {error}") from None


def read_bytes(path: str) -> bytes:
    """
    What a file holds.

    :raises Unreadable: it cannot be had.
    """
    try:
        with Path(path).open("rb") as file:
            content = file.read(MAX_FILE + 1)
    except OSError as error:
        raise Unreadable((error.strerror or type(error).__name__).lower()) from None
    except ValueError:
        raise Unreadable("that is no path") from None
    if len(content) > MAX_FILE:
        raise Unreadable(f"it is larger than {MAX_FILE:,} bytes")
    return content


def _read_text(path: str) -> str:
    try:
        text = read_bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Unreadable("it is not UTF-8 text") from None
    if "\0" in text:
        raise Unreadable("it has a NUL byte, so it is no text")
    return text.rstrip("\r\n")


def _is_text(value: str) -> bool:
    """Whether `value` came from UTF-8, so that it holds no lone surrogates."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
