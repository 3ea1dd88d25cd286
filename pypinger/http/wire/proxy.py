"""
Proxies: which one a request goes through, and the tunnel that ``CONNECT`` opens for https and other protocols.

A proxy's credentials come from the userinfo of its URL; they are sent to the proxy and to no other host.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from ipaddress import ip_address, ip_network
from urllib.request import getproxies_environment

import msgspec
from twisted.internet.interfaces import IProtocol, ITCPTransport, ITransport
from twisted.python.failure import Failure
from zope.interface import implementer

from pypinger.domain.model import Fault
from pypinger.domain.url import Url, UrlError, is_ip_address, is_loopback, parse
from pypinger.http.wire.errors import ExchangeFailed
from pypinger.http.wire.headers import basic

#: The setting that means the usual environment variables.
ENVIRONMENT = "env"

#: The setting that means no proxy, as does an empty one.
DIRECT = "direct"

_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})(?: |\r?$)")
_HEAD_LIMIT = 16_384


class Proxy(msgspec.Struct, frozen=True):
    """
    A proxy for plain HTTP and for ``CONNECT``.

    :ivar peer: ``host:port``.
    :ivar authorization: the header line with its credentials, or nothing; secret.
    """

    host: str
    port: int
    is_ip: bool
    peer: str
    authorization: bytes


class NoUpstream(ExchangeFailed):
    """The proxy answered that it does not reach the host (contract, section 3: this counts as silence)."""


def proxy_for(setting: str | None, url: Url) -> Proxy | None:
    """
    Return the proxy for a URL.

    :param setting: a proxy's URL, ``env``, ``direct``, or nothing.
    :raises ExchangeFailed: the setting cannot be used.
    """
    found = proxy_url(setting, (url.scheme,), url.host, url.port)
    return None if found is None else _proxy_at(found)


def proxy_url(setting: str | None, schemes: Sequence[str], host: str, port: int) -> str | None:
    """
    Return the URL of the proxy for a host, with its credentials; None if there is none.

    :param setting: a proxy's URL, ``env``, ``direct``, or nothing.
    :param schemes: with ``env``, whose variables count, the first that is set; after them that of ``all``.
    """
    if not setting or setting == DIRECT:
        return None
    if setting == ENVIRONMENT:
        found = _from_environment(schemes, host, port)
        if not found:
            return None
        setting = found
    return setting if "://" in setting else f"http://{setting}"


def tunnel_proxy(setting: str | None, scheme: str, host: str, port: int) -> Proxy | None:
    """
    Return the proxy whose ``CONNECT`` leads to a host that does not speak HTTP.

    With ``env`` it is that of the scheme, ``smtp_proxy`` say, else that of https, else that of all. A host on the
    loopback is this machine, and no proxy but one on this machine leads there.

    :param setting: as for :func:`proxy_for`.
    :raises ExchangeFailed: the setting cannot be used.
    """
    found = proxy_url(setting, (scheme, "https"), host, port)
    proxy = None if found is None else _proxy_at(found)
    return None if proxy is not None and is_loopback(host) and not is_loopback(proxy.host) else proxy


def _proxy_at(text: str) -> Proxy:
    try:
        address = parse(text)
    except UrlError:
        raise ExchangeFailed(Fault.URL, "the proxy's URL is not of the form http://host:port") from None
    if address.scheme != "http":
        raise ExchangeFailed(Fault.URL, "the proxy's URL must begin with http://")
    credentials = address.credentials
    return Proxy(
        host=address.host,
        port=address.port,
        is_ip=address.is_ip,
        peer=address.peer,
        authorization=b"Proxy-Authorization: %s\r\n" % basic(credentials) if credentials else b"",
    )


def _from_environment(schemes: Sequence[str], host: str, port: int) -> str | None:
    proxies = getproxies_environment()
    if bypasses(proxies.get("no", ""), host, port):
        return None
    return next((found for scheme in (*schemes, "all") if (found := proxies.get(scheme))), None)


def bypasses(no_proxy: str, host: str, port: int) -> bool:
    """
    Whether ``no_proxy`` exempts a host, read as curl and Go read it.

    Its entries, separated by commas or spaces, are ``*``, names (which include their subdomains, with a leading dot or
    without), IP addresses and networks (``10.0.0.0/8``); names and addresses may have a port.
    """
    host = host.partition("%")[0]
    return any(_matches(entry.rstrip("."), host, port) for entry in no_proxy.lower().replace(",", " ").split())


def _matches(entry: str, host: str, port: int) -> bool:
    if entry == "*":
        return True
    try:
        network = ip_network(entry.strip("[]"), strict=False)
    except ValueError:
        pass
    else:
        return is_ip_address(host) and ip_address(host) in network
    name, wanted = _split_port(entry)
    if wanted and wanted != str(port):
        return False
    if is_ip_address(name) or is_ip_address(host):
        return is_ip_address(name) and is_ip_address(host) and ip_address(name) == ip_address(host)
    name = name.removeprefix("*").lstrip(".")
    return bool(name) and (host == name or host.endswith(f".{name}"))


def _split_port(entry: str) -> tuple[str, str]:
    if entry.startswith("["):
        literal, _, rest = entry[1:].partition("]")
        return literal, rest.removeprefix(":")
    name, _, port = entry.partition(":")
    return name, port


@implementer(IProtocol)
class Tunnel:
    """
    Asks a proxy for a tunnel, then passes everything on.

    :param inner: speaks through the tunnel once it is open.
    :param failed: called if it cannot be opened.
    :param lost: called when the connection to the proxy is closed.
    :param opened: called when the tunnel is open.
    :param server_first: whether the host may speak first, as mail servers do; else what comes with the proxy's answer
        is a failure.
    :ivar aborted: whether it was aborted; the reactor closes it at its next turn.
    """

    __slots__ = (
        "_buffer",
        "_failed",
        "_inner",
        "_lost",
        "_open",
        "_opened",
        "_proxy",
        "_request",
        "_server_first",
        "aborted",
        "transport",
    )

    def __init__(
        self,
        proxy: Proxy,
        authority: str,
        inner: IProtocol,
        failed: Callable[[ExchangeFailed], None],
        lost: Callable[[Tunnel], None],
        opened: Callable[[], None] | None = None,
        *,
        server_first: bool = False,
    ) -> None:
        self.transport: ITCPTransport | None = None
        self._proxy = proxy
        self._inner = inner
        self._failed = failed
        self._lost = lost
        self._opened = opened
        self._server_first = server_first
        self._open = False
        self.aborted = False
        self._buffer = b""
        host = authority.encode("ascii")
        self._request = b"CONNECT %s HTTP/1.1\r\nHost: %s\r\n%s\r\n" % (host, host, proxy.authorization)

    def abort(self, failure: ExchangeFailed | None = None) -> None:
        """Close the connection at once; if the tunnel is not open, fail with `failure`."""
        self.aborted = True
        if self.transport is not None:
            self.transport.abortConnection()
        if failure is not None and not self._open:
            self._failed(failure)

    def makeConnection(self, transport: ITransport) -> None:
        """Ask for the tunnel."""
        self.transport = transport  # type: ignore[assignment]
        transport.write(self._request)

    def connectionMade(self) -> None:
        """Twisted's transports call `makeConnection`."""

    def dataReceived(self, data: bytes) -> None:
        """Read the proxy's answer, then pass on what comes through the tunnel."""
        if self._open:
            self._inner.dataReceived(data)
            return
        self._buffer += data
        try:
            self._read()
        except ExchangeFailed as failure:
            self.abort(failure)

    def connectionLost(self, reason: Failure) -> None:
        """Fail if the tunnel is not open."""
        self._lost(self)
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
                words = f"the proxy {peer} sent headers larger than {_HEAD_LIMIT:,} bytes"
                raise ExchangeFailed(Fault.TOO_LARGE, words)
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
            raise refused_by_proxy(self._proxy)
        if not 200 <= code < 300:
            kind = NoUpstream if code in (502, 503, 504) else ExchangeFailed
            raise kind(Fault.CONNECT, f"the proxy {peer} refused to open a tunnel ({code})")
        if rest and not self._server_first:
            raise ExchangeFailed(Fault.BROKEN, f"the proxy {peer} sent something before the tunnel was used")
        self._buffer = b""
        self._open = True
        assert self.transport is not None
        self._inner.makeConnection(self.transport)
        if self._opened is not None:
            self._opened()
        if rest:
            self._inner.dataReceived(rest)


def refused_by_proxy(proxy: Proxy) -> ExchangeFailed:
    """Return the failure of a request that a proxy answered with 407."""
    return ExchangeFailed(Fault.CONNECT, f"the proxy {proxy.peer} does not accept our credentials (407)")
