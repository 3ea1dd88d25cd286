"""Bodies of messages in the form of a file: :class:`string.Template` with fields, checked before it is used."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterator, Mapping
from difflib import get_close_matches
from string import Template

#: The largest template, in bytes.
MAX_TEMPLATE = 262_144


class TemplateError(ValueError):
    """The template cannot be used; ``str()`` lists every reason, on one line."""


class BodyTemplate:
    """
    A template whose fields are known.

    :raises TemplateError: it names an unknown field, or a ``$`` of it stands before no name.
    """

    def __init__(self, text: str, fields: Collection[str]) -> None:
        problems = list(_problems(text, fields))
        if problems:
            raise TemplateError("; ".join(problems))
        self._template = Template(text)

    def fill(self, values: Mapping[str, str]) -> str:
        """Return the text with the values of its fields; `values` has all of them."""
        return self._template.substitute(values)


def read_template(path: str, fields: Collection[str]) -> BodyTemplate:
    """
    Read a template.

    :raises TemplateError: the file cannot be read, or is no template with these fields.
    """
    try:
        text = _read(path).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise TemplateError(f"cannot read {path}: it is not UTF-8 text") from None
    except OSError as error:
        raise TemplateError(f"cannot read {path}: {(error.strerror or type(error).__name__).lower()}") from None
    except ValueError as error:
        raise TemplateError(f"cannot read {path}: {error}") from None
    try:
        return BodyTemplate(text, fields)
    except TemplateError as error:
        raise TemplateError(f"{path}: {error}") from None


def _read(path: str) -> bytes:
    # Opening a FIFO would otherwise wait for a writer.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ValueError("it is not a regular file")
        with open(descriptor, "rb", closefd=False) as file:
            content = file.read(MAX_TEMPLATE + 1)
    finally:
        os.close(descriptor)
    if len(content) > MAX_TEMPLATE:
        raise ValueError(f"it is larger than {MAX_TEMPLATE:,} bytes")
    return content


def _problems(text: str, fields: Collection[str]) -> Iterator[str]:
    for match in Template.pattern.finditer(text):
        line = text.count("\n", 0, match.start()) + 1
        name = match["named"] or match["braced"]
        if match["invalid"] is not None:
            yield f'line {line}: a "$" before no field; write "$$" for a dollar sign'
        elif name is not None and name not in fields:
            close = get_close_matches(name.lower(), fields, n=1)
            hint = f"did you mean ${close[0]}?" if close else f"known are {', '.join(sorted(fields))}"
            yield f"line {line}: unknown field ${name[:40]}; {hint}"
