"""Loads the ini file: its :class:`~pypinger.config.settings.Settings`, or every problem in it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from pypinger.config import channels as channel_sections
from pypinger.config import including, ini, maintenance, overrides, pushing, storing, tasks, web
from pypinger.config.advice import warn_of_discord
from pypinger.config.headers import header_problem
from pypinger.config.known import EXAMPLES, NAMED_OPTIONS, OPTIONS, suggestion
from pypinger.config.problems import ConfigErrors, in_order
from pypinger.config.section import LoadContext, SectionReader
from pypinger.config.settings import HeartbeatSettings, Settings, TokenAuth
from pypinger.ports.notifying import Channel, UnusableChannel

_HEADER_VALUE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e\t]*[\x21-\x7e])?\Z")

_BYTES_MAX = 1_073_741_824
_CONCURRENCY_MAX = 100_000
_INCIDENTS_MAX = 1000

#: The shortest interval of the heartbeat, in seconds: other services limit how often they are asked.
_SHORTEST_BEAT = 1.0


def load(
    path: str,
    *,
    channels: Mapping[str, Channel],
    environ: Mapping[str, str],
    cwd: str | None = None,
    credentials: bool = True,
    unusable: Sequence[UnusableChannel] = (),
) -> Settings:
    """
    Read the ini file at `path`, and those that it includes (contract, section 6).

    :param channels: the channels by section name.
    :param environ: the environment variables.
    :param cwd: the directory that relative paths start from; None for the process's own.
    :param credentials: False for commands that can do without the service's credentials: outside the service a missing
        one is then a warning; see :meth:`~pypinger.config.settings.Settings.lacks_credential`.
    :param unusable: channels of other packages that cannot be used; a section of one is a problem.
    :raises ConfigErrors: the file is invalid.
    """
    context = LoadContext(
        path,
        environ,
        os.path.abspath("" if cwd is None else cwd),
        [*NAMED_OPTIONS, *channels, *(each.name for each in unusable if each.name not in OPTIONS)],
        credentials=credentials,
    )
    sections, empty = including.read(context)
    sections = channel_sections.without_unusable(sections, context, channels, unusable)
    settings = _settings(context, sections, channels)
    if context.problems:
        raise ConfigErrors(context.problems, context.files)
    return msgspec.structs.replace(settings, empty=tuple(empty))


def _settings(context: LoadContext, sections: Sequence[ini.IniSection], channels: Mapping[str, Channel]) -> Settings:
    named: dict[str, list[SectionReader]] = {family: [] for family in (*NAMED_OPTIONS, *channels)}
    of_channels: list[SectionReader] = []
    for source in sections:
        if family := context.split_name(source.name)[0]:
            reader = SectionReader(context, source.name, source)
            named[family].append(reader)
            if family in channels:
                of_channels.append(reader)
        elif source.name not in OPTIONS:
            _unknown(context, source, channels)

    single = {source.name: source for source in reversed(sections)}
    found = {name: SectionReader(context, name, single.get(name)) for name in OPTIONS}
    for name, section in found.items():
        section.expect(OPTIONS[name], legacy=("auth_token",) if name == "urls" else ())
    listed = [found["urls"]]
    for source in sections:
        if source.name == "urls" and source is not single["urls"]:
            listed.append(SectionReader(context, "urls", source))
            listed[-1].expect(OPTIONS["urls"])
    main = found["main"]
    debug = main.flag("debug", False)
    pages = web.read(found["web"])
    common = tasks.Common(
        main=overrides.read(main),
        flap_incidents=main.whole("flap_incidents", 4, _INCIDENTS_MAX, least=0),
        public_url=pages.public_url,
    )
    defaults = tasks.defaults(common)
    active = "dev" if debug else "prod"
    monitored = tasks.read(listed, active, named["task"], named["group"], common)
    if not monitored:
        found["urls"].warn(active, "there is no task to check")

    web.warn_of_public(found["web"], pages.public, monitored)
    warn_of_discord(named.get("slack", ()))

    store = storing.read(found["store"], pages.endpoint)
    return Settings(
        path=context.path,
        included=tuple(context.files[1:]),
        store=store,
        digest=context.content.hexdigest() if store.url else "",
        tasks=tuple(monitored),
        task_defaults=defaults,
        debug=debug,
        debug_now=main.flag("debug_now", False, lenient=True),
        only_log=main.flag("only_log", False),
        greeting="\n".join(line.strip() for _, line in main.lines("greeting")),
        concurrency=main.whole("concurrency", 256, _CONCURRENCY_MAX),
        max_body=main.whole("max_body", 65_536, _BYTES_MAX),
        retry_for=main.seconds("retry_for", 86_400.0),
        group_wait=main.seconds("group_wait", 5.0, zero=True),
        ca_file=defaults.ca_file,
        proxy=defaults.proxy,
        token_auth=_token_auth(found["token_auth"], found["urls"]),
        channels=channel_sections.read(of_channels, channels, monitored),
        heartbeat=_heartbeat(found["heartbeat"]),
        maintenance=maintenance.read(named["maintenance"], monitored),
        log=main.choice("log", ("text", "json")),
        web=pages,
        push=pushing.read(found["push"], pages),
        secrets=frozenset(context.secrets),
        warnings=tuple(str(warning) for warning in in_order(context.warnings, context.files)),
    )


def _unknown(context: LoadContext, source: ini.IniSection, channels: Iterable[str]) -> None:
    name, known = source.name, [*OPTIONS, *channels, *NAMED_OPTIONS]
    close = suggestion(name, known) or suggestion(name.partition(" ")[0], [*NAMED_OPTIONS, *channels])
    if name == "DEFAULT":
        words = "unknown section; sections inherit nothing from it, so set each option in its own section"
    elif "://" in name:
        words = "unknown section; a task section starts with the word task, as in [task https://example.com/report]"
    elif close:
        words = f"unknown section; did you mean {EXAMPLES.get(close, f'[{close}]')}?"
    else:
        shown = [EXAMPLES.get(other, f"[{other}]") for other in known]
        words = f"unknown section; known are {', '.join(shown[:-1])} and {shown[-1]}"
    context.problem(source.line, name, "", words, file=source.file)


def _heartbeat(section: SectionReader) -> HeartbeatSettings | None:
    # Such services identify the sender by the path.
    url = section.url("url", secret=True)
    interval = section.seconds("interval", 60.0)
    if interval < _SHORTEST_BEAT:
        section.problem("interval", f"must be at least {_SHORTEST_BEAT:g} s, not {section.quoted('interval')}")
    return HeartbeatSettings(url, interval) if url else None


def _token_auth(section: SectionReader, urls: SectionReader) -> TokenAuth | None:
    before = len(section.context.problems)
    header = section.text("header", TokenAuth().header)
    if words := header_problem(header):
        section.problem("header", words)
    token, owner, option = section.text("token", secret=True), section, "token"
    legacy = urls.text("auth_token", secret=True)
    if legacy and token:
        urls.warn("auth_token", "ignored, because [token_auth] token is set; delete this line")
    elif legacy:
        urls.warn("auth_token", "taken as [token_auth] token; move it there")
        token, owner, option = legacy, urls, "auth_token"
    url = section.url("url")
    username = section.text("username", strip=False)
    password = section.text("password", secret=True, strip=False)
    login = {"url": url, "username": username, "password": password}
    if token:
        if option not in owner.unresolved:
            if not _HEADER_VALUE.match(token):
                owner.problem(option, "must be printable ASCII without spaces at its ends, to be sent in a header")
            # A word before it, such as Bearer, is not secret.
            section.context.secret(token.rpartition(" ")[2])
        if all(login.values()):
            owner.warn(option, "is sent as it stands; url, username and password are not used while it is set")
        return TokenAuth(header=header, token=token)
    # An option that is wrong by itself is not reported as missing too.
    wrong = {problem.option for problem in section.context.problems[before:]}
    missing = [name for name, value in login.items() if not value and name not in wrong]
    if len(missing) == len(login):
        return None
    for name in missing:
        section.problem(name, "missing; a login needs url, username and password")
    return TokenAuth(header=header, **login) if len(section.context.problems) == before else None
