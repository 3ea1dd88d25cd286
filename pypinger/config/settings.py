"""What a sound ini file says (contract, section 6): frozen values with every default filled in."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from pypinger.domain.model import Seconds, Task


class TokenAuth(msgspec.Struct, frozen=True):
    """
    The ``[token_auth]`` section (contract, section 3): either `token`, or `url`, `username` and `password`.

    :ivar header: the request header that carries the token.
    """

    header: str = "Authorization"
    token: str | None = None
    url: str | None = None
    username: str | None = None
    password: str | None = None


class ChannelSettings(msgspec.Struct, frozen=True):
    """
    A channel that is on.

    :ivar name: its section.
    :ivar values: every option of the section, defaults filled in, flags as ``true`` or ``false``.
    """

    name: str
    values: Mapping[str, str]


class WebSettings(msgspec.Struct, frozen=True):
    """
    The ``[web]`` section.

    :ivar endpoint: a Twisted server endpoint string.
    :ivar hosts: the ``Host`` names served, in lower case; empty for any.
    :ivar public_url: where people reach the pages, without a slash at its end; empty if unknown.
    """

    endpoint: str = "tcp:3002:interface=127.0.0.1"
    hosts: tuple[str, ...] = ()
    public_url: str = ""


class StoreSettings(msgspec.Struct, frozen=True):
    """
    The ``[store]`` section.

    :ivar path: an absolute path, or ``:memory:``.
    :ivar keep_days: for how many days history is kept.
    """

    path: str
    keep_days: float = 90.0


class Settings(msgspec.Struct, frozen=True):
    """
    A sound configuration.

    :ivar path: the ini file, as given.
    :ivar tasks: the tasks to check, in the order of the file, with their overrides.
    :ivar usual: a task without a URL that has what ``[main]`` sets for all.
    :ivar token_auth: None when off.
    :ivar channels: those that are on.
    :ivar ca_file: a private CA for everything that is fetched, or None.
    :ivar proxy: the proxy for everything that is fetched or sent: a URL, ``env``, or None for none.
    :ivar secrets: every secret value of the file, to be kept out of whatever is written or shown.
    :ivar warnings: what is odd but no reason not to start, each with file and line.
    """

    path: str
    store: StoreSettings
    tasks: tuple[Task, ...] = ()
    usual: Task = Task(url="", id="", name="", label="")
    debug: bool = False
    debug_now: bool = False
    only_log: bool = False
    greeting: str = ""
    concurrency: int = 256
    max_body: int = 65_536
    retry_for: Seconds = 86_400.0
    group_wait: Seconds = 5.0
    ca_file: str | None = None
    proxy: str | None = None
    token_auth: TokenAuth | None = None
    channels: tuple[ChannelSettings, ...] = ()
    web: WebSettings = WebSettings()
    secrets: frozenset[str] = frozenset()
    warnings: tuple[str, ...] = ()
