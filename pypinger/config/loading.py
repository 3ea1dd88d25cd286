"""From the ini file to :class:`~pypinger.config.settings.Settings`, or to everything that is wrong with it."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

import msgspec

from pypinger.config import channels as channel_sections
from pypinger.config import ini, tasks, web
from pypinger.config.known import OPTIONS, suggestion
from pypinger.config.problems import ConfigErrors, in_order
from pypinger.config.section import Reading, Section, is_task
from pypinger.config.settings import Settings, StoreSettings, TokenAuth
from pypinger.config.substitution import Unreadable, read_bytes
from pypinger.domain.model import Task
from pypinger.ports.notifying import Channel

_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+\Z")
_HEADER_VALUE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e\t]*[\x21-\x7e])?\Z")

_BYTES_MAX = 1_073_741_824
_CONCURRENCY_MAX = 100_000


def load(path: str, *, channels: Mapping[str, Channel], environ: Mapping[str, str], cwd: str | None = None) -> Settings:
    """
    Read the ini file at `path` (contract, section 6).

    :param channels: section name -> channel.
    :param environ: the environment variables.
    :param cwd: the directory that relative paths start from; the process's own if None.
    :raises ConfigErrors: the file is not sound; it has every problem.
    """
    reading = Reading(path, environ, os.getcwd() if cwd is None else cwd)
    sections = ini.parse(_text(reading, path), reading.problem, reading.warn)
    settings = _settings(reading, path, sections, channels)
    if reading.problems:
        raise ConfigErrors(reading.problems)
    return settings


def _text(reading: Reading, path: str) -> str:
    """The file's text; where it is not UTF-8, that is noted and reading goes on, to find every other problem."""
    try:
        content = read_bytes(os.path.join(reading.cwd, path))
    except Unreadable as error:
        advice = "copy pinger_template.ini to begin with, or name another file with --config"
        reading.problem(0, "", "", f"cannot read the ini file: {error}; {advice}")
        raise ConfigErrors(reading.problems) from None
    if b"\0" in content:
        line = content[: content.index(b"\0")].count(b"\n") + 1
        reading.problem(line, "", "", "there is a NUL byte; the file must be plain UTF-8 text")
        raise ConfigErrors(reading.problems)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        reading.problem(line, "", "", f"byte 0x{content[error.start]:02x} is not UTF-8; save the file as UTF-8")
        return content.decode("utf-8-sig", errors="replace")


def _settings(
    reading: Reading, path: str, sections: Mapping[str, ini.Section], channels: Mapping[str, Channel]
) -> Settings:
    options = OPTIONS | {name: tuple(spec.name for spec in channel.options) for name, channel in channels.items()}
    for name, source in sections.items():
        if not is_task(name) and name not in options:
            _unknown(reading, source, [*options, "task"])

    found = {name: Section(reading, name, sections.get(name)) for name in options}
    for name, section in found.items():
        section.expect(options[name])
    main = found["main"]
    debug = main.flag("debug", False)
    inherited = tasks.overridable(main, tasks.Overridable())
    pages = web.read(found["web"])
    own = [Section(reading, name, source) for name, source in sections.items() if is_task(name)]
    active = "dev" if debug else "prod"
    monitored = tasks.read(found["urls"], active, own, inherited, pages.public_url)
    if not monitored:
        found["urls"].warn(active, "there is no task to check")

    return Settings(
        path=path,
        store=_store(found["store"]),
        tasks=tuple(monitored),
        usual=Task(url="", id="", name="", label="", **msgspec.structs.asdict(inherited)),
        debug=debug,
        debug_now=main.flag("debug_now", False, lenient=True),
        only_log=main.flag("only_log", False),
        greeting="\n".join(line.strip() for _, line in main.lines("greeting")),
        concurrency=main.whole("concurrency", 256, _CONCURRENCY_MAX),
        max_body=main.whole("max_body", 65_536, _BYTES_MAX),
        retry_for=main.seconds("retry_for", 86_400.0),
        group_wait=main.seconds("group_wait", 5.0, zero=True),
        ca_file=inherited.ca_file,
        proxy=inherited.proxy,
        token_auth=_token_auth(found["token_auth"]),
        channels=tuple(
            settings
            for name, channel in channels.items()
            if (settings := channel_sections.read(found[name], channel)) is not None
        ),
        web=pages,
        secrets=frozenset(reading.secrets),
        warnings=tuple(str(warning) for warning in in_order(reading.warnings)),
    )


def _unknown(reading: Reading, source: ini.Section, known: list[str]) -> None:
    name = source.name
    close = suggestion(name, known)
    if name == "DEFAULT":
        words = "unknown section; nothing is shared between sections, so give each option in its own"
    elif "://" in name:
        words = "unknown section; a task's section begins with the word task, as in [task https://example.com/report]"
    elif close:
        words = f"unknown section; did you mean [{close}]?"
    else:
        words = f"unknown section; there are {', '.join(f'[{other}]' for other in known[:-1])} and [task URL]"
    reading.problem(source.line, name, "", words)


def _store(section: Section) -> StoreSettings:
    path = section.text("path", "pypinger.sqlite")
    if path != ":memory:":
        # systemd separates several directories by colons.
        directory = section.reading.environ.get("STATE_DIRECTORY", "").partition(":")[0]
        path = section.reading.absolute(os.path.join(directory, path))
    return StoreSettings(path=path, keep_days=section.days("keep_days", 90.0))


def _token_auth(section: Section) -> TokenAuth | None:
    before = len(section.reading.problems)
    header = section.text("header", TokenAuth().header)
    if not _HEADER_NAME.match(header):
        section.problem("header", "must be the name of an HTTP header, such as X-Auth-Token")
    token = section.text("token", secret=True)
    url = section.url("url")
    username = section.text("username", strip=False)
    password = section.text("password", secret=True, strip=False)
    login = {"url": url, "username": username, "password": password}
    if token:
        if not _HEADER_VALUE.match(token):
            section.problem("token", "must be printable ASCII without spaces at its ends, to be sent in a header")
        # The word before it (Bearer, say) is none of the secret.
        section.reading.secret(token.rpartition(" ")[2])
        if all(login.values()):
            section.warn("token", "is used as it stands; url, username and password are not used while it is set")
        return TokenAuth(header=header, token=token)
    # What is wrong by itself is not missing, and does not hide what is.
    wrong = {problem.option for problem in section.reading.problems[before:]}
    missing = [name for name, value in login.items() if not value and name not in wrong]
    if len(missing) == len(login):
        return None
    for name in missing:
        section.problem(name, "missing; a login needs url, username and password")
    return TokenAuth(header=header, **login) if len(section.reading.problems) == before else None
