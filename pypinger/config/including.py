"""Reads the ini file and the files that its option ``include`` names (contract, section 6)."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from functools import partial

from pypinger.config import ini
from pypinger.config.ini import IniSection
from pypinger.config.problems import ConfigErrors
from pypinger.config.section import LoadContext, SectionReader
from pypinger.config.substitution import Unreadable, read_bytes

#: The section that may stand in several files: the lists of all are one.
SHARED = "urls"


def read(context: LoadContext) -> tuple[Sequence[IniSection], Sequence[str]]:
    """
    Return the sections of all files, in the order of reading, and the names of the included files without a section.

    :raises ConfigErrors: the main file cannot be read.
    """
    text = _text(context, context.path, "copy pinger_template.ini to start with, or name another file with --config")
    if text is None:
        raise ConfigErrors(context.problems)
    known = dict(ini.parse(text, context.problem, context.warn, context.path))
    found, empty = list(known.values()), []
    for file in _included(context, SectionReader(context, "main", known.get("main"))):
        context.files.append(file)
        text = _text(context, file, f"{context.path} includes it")
        if text is None:
            continue
        earlier = {name: section for name, section in known.items() if name != SHARED}
        problem, warn = partial(_problem, context, file), partial(context.warn, file=file)
        sections = ini.parse(text, problem, warn, file, earlier)
        if not sections:
            empty.append(file)
            warn(0, "", "", "the included file has no section")
        known |= sections
        found += sections.values()
    return found, empty


def _problem(context: LoadContext, file: str, line: int, section: str, option: str, words: str) -> None:
    if (section, option) == ("main", "include"):
        words = f"an included file includes no others; name them in {context.path}"
    context.problem(line, section, option, words, file=file)


def _included(context: LoadContext, main: SectionReader) -> Iterator[str]:
    """Yield the names of the included files as they are shown: they begin with the directory of the main file."""
    directory = os.path.dirname(context.path)
    own = os.path.realpath(os.path.join(context.cwd, context.path))
    seen: set[str] = set()
    for line, text in main.lines("include"):
        pattern = text.strip()
        if "include" in main.unresolved:
            continue
        if not pattern.isprintable():
            main.problem("include", "contains a control character", line=line)
            continue
        root = os.path.join(context.cwd, directory)
        # Patterns may overlap, and spell the name of one file differently.
        found = {name: os.path.realpath(os.path.join(root, name)) for name in glob.iglob(pattern, root_dir=root)}
        names = sorted(name for name, real in found.items() if real != own)
        if not names:
            _no_match(main, line, pattern, root)
        for name in names:
            if found[name] not in seen:
                yield os.path.join(directory, name)
            seen.add(found[name])


def _no_match(main: SectionReader, line: int, pattern: str, root: str) -> None:
    """Warn that no file matches, unless that cannot be known because a directory cannot be read."""
    fixed = os.path.dirname(pattern)
    while glob.has_magic(fixed):
        fixed = os.path.dirname(fixed)
    try:
        os.listdir(os.path.join(root, fixed))
    except (FileNotFoundError, NotADirectoryError):
        pass
    except OSError as error:
        words = f"the directory {(fixed or root)[:200]} cannot be read: {(error.strerror or '').lower()}"
        main.problem("include", words, line=line)
        return
    main.warn("include", f"no file matches {main.quoted('include')}", line=line)


def _text(context: LoadContext, file: str, advice: str) -> str | None:
    """
    Return a file's text, None after a problem. If it is not UTF-8, record that and continue, to find the others.

    :param advice: what to say about a file that cannot be read.
    """
    try:
        content = read_bytes(os.path.join(context.cwd, file))
    except Unreadable as error:
        context.problem(0, "", "", f"cannot read the ini file: {error}; {advice}", file=file)
        return None
    context.content.update(len(content).to_bytes(8, "big") + content)
    if b"\0" in content:
        line = content[: content.index(b"\0")].count(b"\n") + 1
        context.problem(line, "", "", "the file contains a NUL byte; save it as plain UTF-8 text", file=file)
        return None
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        words = f"byte 0x{content[error.start]:02x} is not UTF-8; save the file as UTF-8"
        context.problem(line, "", "", words, file=file)
        return content.decode("utf-8-sig", errors="replace")
