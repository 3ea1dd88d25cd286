"""A route: the first host to connect to, the proxy in between, and the TLS to speak."""

from __future__ import annotations

from pypinger.domain.url import Url
from pypinger.http.wire.proxy import Proxy
from pypinger.http.wire.tls import TlsClient


class Route:
    """
    One way to one origin; also the key of the connections that are kept for it.

    :ivar peer: ``host:port`` of the origin.
    :ivar tls: None for plain HTTP.
    """

    __slots__ = ("__weakref__", "host", "is_ip", "peer", "port", "proxy", "tls")

    def __init__(self, url: Url, proxy: Proxy | None, tls: TlsClient | None) -> None:
        self.host = url.host
        self.port = url.port
        self.is_ip = url.is_ip
        self.peer = url.peer
        self.proxy = proxy
        self.tls = tls

    @property
    def first_hop(self) -> Route | Proxy:
        """The host to connect to: the proxy, or the origin itself."""
        return self if self.proxy is None else self.proxy
