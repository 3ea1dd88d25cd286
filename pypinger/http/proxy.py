"""
Proxies: which one a request goes through, and the tunnel that a ``CONNECT`` makes for https.

Credentials for a proxy come from its URL's userinfo; they go to the proxy, and nowhere else.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.request import getproxies_environment, proxy_bypass_environment  # type: ignore[attr-defined]

import msgspec
from twisted.internet.interfaces import IProtocol, ITCPTransport, ITransport
from twisted.python.failure import Failure
from zope.interface import implementer

from pypinger.domain.model import Fault
from pypinger.http.errors import ExchangeFailed
from pypinger.http.prompt import prompt
from pypinger.http.request import basic
from pypinger.http.url import Url, parse

#: The setting that means the usual environment variables.
ENVIRONMENT = "env"

_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})(?: |\r?$)")
_HEAD_LIMIT = 16_384


class Proxy(msgspec.Struct, frozen=True):
    """
    A proxy for plain HTTP and for ``CONNECT``.

    :ivar authorization: the header line with its credentials, or nothing; secret.
    """

    host: str
    port: int
    is_ip: bool
    peer: str
    authorization: bytes


def proxy_for(setting: str | None, url: Url) -> Proxy | None:
    """
    The proxy for a URL.

    :param setting: a proxy's URL, ``env``, or nothing.
    :raises ExchangeFailed: the setting cannot be used.
    """
    if not setting:
        return None
    if setting == ENVIRONMENT:
        found = _from_environment(url)
        if not found:
            return None
        setting = found
    try:
        address = parse(setting if "://" in setting else f"http://{setting}")
    except ExchangeFailed:
        raise ExchangeFailed(Fault.URL, "the proxy's URL is not of the form http://host:port") from None
    if address.scheme != "http":
        raise ExchangeFailed(Fault.URL, "the proxy's URL must begin with http://")
    return Proxy(
        host=address.host,
        port=address.port,
        is_ip=address.is_ip,
        peer=address.peer,
        authorization=basic(b"Proxy-Authorization", address.userinfo) if address.userinfo else b"",
    )


def _from_environment(url: Url) -> str | None:
    proxies = getproxies_environment()
    if proxy_bypass_environment(f"{url.host}:{url.port}", proxies):
        return None
    return proxies.get(url.scheme) or proxies.get("all")


@implementer(IProtocol)
class Tunnel:
    """
    Asks a proxy for a tunnel, then passes everything on.

    :param inner: what speaks through the tunnel once it stands.
    :param failed: told why it never will.
    """

    __slots__ = ("_buffer", "_failed", "_inner", "_open", "_proxy", "_request", "transport")

    def __init__(
        self, proxy: Proxy, authority: str, inner: IProtocol, failed: Callable[[ExchangeFailed], None]
    ) -> None:
        self.transport: ITCPTransport | None = None
        self._proxy = proxy
        self._inner = inner
        self._failed = failed
        self._open = False
        self._buffer = b""
        host = authority.encode("ascii")
        self._request = b"CONNECT %s HTTP/1.1\r\nHost: %s\r\n%s\r\n" % (host, host, proxy.authorization)

    def abort(self) -> None:
        """Close it now."""
        if self.transport is not None:
            self.transport.abortConnection()

    def makeConnection(self, transport: ITransport) -> None:
        """The proxy is connected."""
        # At once: whatever the proxy answers, what speaks through the tunnel must not overtake the request for it.
        self.transport = prompt(transport)
        self.transport.write(self._request)

    def connectionMade(self) -> None:
        """Twisted's transports call `makeConnection`."""

    def dataReceived(self, data: bytes) -> None:
        """Part of the proxy's answer, or what comes through the tunnel."""
        if self._open:
            self._inner.dataReceived(data)
            return
        self._buffer += data
        try:
            self._read()
        except ExchangeFailed as failure:
            self._failed(failure)
            self.abort()

    def connectionLost(self, reason: Failure) -> None:
        """The proxy is gone."""
        self.transport = None
        if self._open:
            self._inner.connectionLost(reason)
        else:
            words = f"the proxy {self._proxy.peer} closed the connection without opening a tunnel"
            self._failed(ExchangeFailed(Fault.CONNECT, words))

    def _read(self) -> None:
        peer = self._proxy.peer
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self._buffer) > _HEAD_LIMIT:
                raise ExchangeFailed(
                    Fault.TOO_LARGE, f"the proxy {peer} sent headers larger than {_HEAD_LIMIT:,} bytes"
                )
            return
        status = _STATUS.match(self._buffer.partition(b"\r\n")[0])
        rest = self._buffer[end + 4 :]
        if status is None:
            raise ExchangeFailed(Fault.BROKEN, f"the proxy {peer} did not answer in HTTP")
        code = int(status[1])
        if 100 <= code < 200 and code != 101:
            self._buffer = rest
            if rest:
                self._read()
            return
        if code == 407:
            raise ExchangeFailed(Fault.CONNECT, f"the proxy {peer} does not accept our credentials (407)")
        if not 200 <= code < 300:
            raise ExchangeFailed(Fault.CONNECT, f"the proxy {peer} refused to open a tunnel ({code})")
        if rest:
            raise ExchangeFailed(Fault.BROKEN, f"the proxy {peer} sent something before the tunnel was used")
        self._buffer = b""
        self._open = True
        assert self.transport is not None
        self._inner.makeConnection(self.transport)
