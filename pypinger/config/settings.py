"""The settings of a valid ini file (contract, section 6): frozen values with all defaults filled in."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from pypinger.domain.model import Seconds, Task
from pypinger.domain.routing import ChannelRoute
from pypinger.domain.selector import Selector
from pypinger.domain.silence import Maintenance

#: In values, what stands for a credential that is missing outside the service; its name follows.
MISSING_CREDENTIAL = "missing-credential-"


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

    :ivar name: its section, ``slack ops`` say.
    :ivar kind: the first word of it.
    :ivar values: the channel's own options, all of them, with defaults; flags as ``true`` or ``false``.
    :ivar route: what it is sent.
    """

    name: str
    kind: str
    values: Mapping[str, str]
    route: ChannelRoute


class HeartbeatSettings(msgspec.Struct, frozen=True):
    """
    The ``[heartbeat]`` section.

    :ivar url: what is fetched; secret.
    :ivar interval: seconds between two requests.
    """

    url: str
    interval: Seconds = 60.0


class WebSettings(msgspec.Struct, frozen=True):
    """
    The ``[web]`` section.

    :ivar endpoint: a Twisted server endpoint string.
    :ivar hosts: the ``Host`` names served, in lower case; empty for any.
    :ivar public_url: the URL under which people reach the pages, without a final slash; empty if unknown.
    :ivar loopback: whether the endpoint is on the loopback interface.
    :ivar public: the tasks on the public page; None without one.
    """

    endpoint: str = "tcp:3002:interface=127.0.0.1"
    hosts: tuple[str, ...] = ()
    public_url: str = ""
    loopback: bool = True
    public: Selector | None = None


class PushSettings(msgspec.Struct, frozen=True):
    """
    The ``[push]`` section.

    :ivar endpoint: a Twisted server endpoint string; empty for that of ``[web]``.
    """

    endpoint: str = ""


class StoreSettings(msgspec.Struct, frozen=True):
    """
    The ``[store]`` section.

    :ivar path: an absolute path, or ``:memory:``.
    :ivar keep_days: how long history is kept, in days.
    :ivar url: of a PostgreSQL database, which is used instead of the path; may hold a password. Empty for none.
    :ivar instance: the name of this instance there; empty without a URL.
    """

    path: str
    keep_days: float = 90.0
    url: str = ""
    instance: str = ""


class Settings(msgspec.Struct, frozen=True):
    """
    A valid configuration.

    :ivar path: the ini file, as given.
    :ivar included: the files that it includes, in the order of reading.
    :ivar empty: those of them that have no section.
    :ivar digest: of the contents of these files, so that instances can compare theirs; empty without a shared store.
    :ivar tasks: the tasks to check, in the order of the file, with their overrides.
    :ivar task_defaults: a task without a URL, with what ``[main]`` sets for all tasks.
    :ivar concurrency: how many checks may run at once.
    :ivar max_body: the largest decoded report, in bytes.
    :ivar token_auth: None when off.
    :ivar channels: the channels that are on.
    :ivar ca_file: a private CA to trust for every request, or None.
    :ivar proxy: the proxy of every request: a URL, ``env``, or None.
    :ivar heartbeat: None when off.
    :ivar maintenance: in the order of the file.
    :ivar log: ``text`` or ``json``.
    :ivar secrets: all secret values of the file, to be masked in everything that is written or shown.
    :ivar warnings: harmless mistakes, with file and line.
    """

    path: str
    store: StoreSettings
    tasks: tuple[Task, ...] = ()
    task_defaults: Task = Task(url=None, id="", name="", label="")
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
    heartbeat: HeartbeatSettings | None = None
    maintenance: tuple[Maintenance, ...] = ()
    log: str = "text"
    web: WebSettings = WebSettings()
    push: PushSettings = PushSettings()
    secrets: frozenset[str] = frozenset()
    warnings: tuple[str, ...] = ()
    included: tuple[str, ...] = ()
    empty: tuple[str, ...] = ()
    digest: str = ""

    def lacks_credential(self, task: Task) -> bool:
        """Whether a check of `task` needs a credential that is missing outside the service."""
        used = [task.url, task.credentials, task.proxy]
        if task.token_auth and self.token_auth is not None:
            token = self.token_auth
            used += [token.token, token.url, token.username, token.password]
        return any(MISSING_CREDENTIAL in text for text in used if text)
