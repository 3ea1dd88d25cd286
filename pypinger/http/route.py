"""The ways that requests go: who to connect to, through which proxy, trusting and showing which certificates."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pypinger.http.proxy import Proxy
from pypinger.http.tls import TlsClient
from pypinger.http.url import Url

if TYPE_CHECKING:
    from pypinger.http.connection import Connection


class Route:
    """
    One way to one origin.

    :ivar peer: ``host:port`` of the origin, as it may be said.
    :ivar tls: None for plain HTTP.
    :ivar idle: the connections that wait for a request, the one used last at the end.
    """

    __slots__ = ("__weakref__", "host", "idle", "is_ip", "peer", "port", "proxy", "tls")

    def __init__(self, url: Url, proxy: Proxy | None, tls: TlsClient | None) -> None:
        self.host = url.host
        self.port = url.port
        self.is_ip = url.is_ip
        self.peer = url.peer
        self.proxy = proxy
        self.tls = tls
        self.idle: list[Connection] = []
