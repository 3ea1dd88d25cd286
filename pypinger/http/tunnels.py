"""
The proxy of ``[main]`` for channels that do not send with the HTTP client: mail through a tunnel, and libraries that
connect by themselves.
"""

from __future__ import annotations

from collections.abc import Sequence

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint
from twisted.internet.error import ConnectError, ConnectingCancelledError
from twisted.internet.interfaces import IAddress, IProtocol, IProtocolFactory, IStreamClientEndpoint
from twisted.internet.protocol import ClientFactory
from zope.interface import implementer

from pypinger.domain.model import Fault, Seconds
from pypinger.http.client import within
from pypinger.http.wire.errors import ExchangeCancelled, ExchangeFailed, connect_failed
from pypinger.http.wire.names import Names
from pypinger.http.wire.proxy import Proxy, Tunnel, proxy_url, tunnel_proxy
from pypinger.http.wire.reactor import IPollingReactor
from pypinger.ports.notifying import RequestFailed

#: Seconds in which a tunnel must be open.
LIMIT: Seconds = 15.0

#: Seconds in which one address of the proxy must accept the connection.
PER_ADDRESS: Seconds = 6.0


class MainProxy:
    """
    A :class:`pypinger.ports.notifying.Proxies`.

    :param setting: the proxy of ``[main]``: a URL, ``env``, ``direct``, or nothing.
    :param names: looks up the proxy's name.
    """

    def __init__(self, reactor: IPollingReactor, names: Names, setting: str | None) -> None:
        self._reactor = reactor
        self._names = names
        self._setting = setting

    def url(self, scheme: str, host: str, port: int) -> str | None:
        """See :meth:`pypinger.ports.notifying.Proxies.url`."""
        return proxy_url(self._setting, (scheme,), host, port)

    def tunnel(self, scheme: str, host: str, port: int) -> IStreamClientEndpoint | None:
        """See :meth:`pypinger.ports.notifying.Proxies.tunnel`."""
        try:
            proxy = tunnel_proxy(self._setting, scheme, host, port)
        except ExchangeFailed as failure:
            raise RequestFailed(str(failure)) from None
        if proxy is None:
            return None
        authority = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        return TunnelEndpoint(self._reactor, self._names, proxy, authority)


@implementer(IStreamClientEndpoint)
class TunnelEndpoint:
    """
    Connects to one host through a proxy's ``CONNECT``.

    :param authority: ``host:port``.
    """

    def __init__(self, reactor: IPollingReactor, names: Names, proxy: Proxy, authority: str) -> None:
        self._reactor = reactor
        self._names = names
        self._proxy = proxy
        self._authority = authority

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """
        Open a tunnel.

        :returns: the factory's protocol, connected; or :class:`~pypinger.ports.notifying.RequestFailed`.
        """
        return Deferred.fromCoroutine(self._connect(protocolFactory))

    async def _connect(self, factory: IProtocolFactory) -> IProtocol:
        try:
            return await within(LIMIT, self._reactor, Deferred.fromCoroutine(self._open(factory)))
        except ExchangeFailed as failure:
            raise RequestFailed(str(failure)) from None

    async def _open(self, factory: IProtocolFactory) -> IProtocol:
        opening = _Opening(self._proxy, self._authority, factory)
        await self._reach(opening)
        return await opening.result

    async def _reach(self, opening: _Opening) -> None:
        """Connect to the proxy, trying its addresses in turn."""
        proxy = self._proxy
        addresses: Sequence[str] = (proxy.host,) if proxy.is_ip else await self._names.addresses(proxy.host)
        failure = ExchangeFailed(Fault.CONNECT, f"cannot connect to the proxy {proxy.peer}")
        for address in addresses:
            make = TCP6ClientEndpoint if ":" in address else TCP4ClientEndpoint
            try:
                await make(self._reactor, address, proxy.port, timeout=PER_ADDRESS).connect(opening)
            except ConnectingCancelledError:
                # Twisted's class is not derived from the one that cancelled coroutines raise.
                raise ExchangeCancelled(f"connecting to the proxy {proxy.peer}") from None
            except ConnectError as error:
                failure = connect_failed(error, address, proxy.host, f"the proxy {proxy.peer}")
            else:
                return
        self._names.forget(proxy.host)
        raise failure


class _Opening(ClientFactory):
    """
    One tunnel that is being opened.

    :ivar result: fires with the protocol once the tunnel is open; cancelling it closes the connection.
    """

    noisy = False

    def __init__(self, proxy: Proxy, authority: str, factory: IProtocolFactory) -> None:
        self._proxy = proxy
        self._authority = authority
        self._factory = factory
        self._tunnel: Tunnel | None = None
        self.result: Deferred[IProtocol] = Deferred(self._cancelled)

    def buildProtocol(self, addr: IAddress | None) -> Tunnel | None:  # type: ignore[override]
        """Return the tunnel; the factory's protocol speaks through it."""
        inner = self._factory.buildProtocol(addr)  # type: ignore[arg-type]
        if inner is None:
            return None

        def opened() -> None:
            if not self.result.called:
                self.result.callback(inner)

        self._tunnel = Tunnel(
            self._proxy, self._authority, inner, self._failed, lambda _: None, opened, server_first=True
        )
        return self._tunnel

    def _failed(self, failure: ExchangeFailed) -> None:
        if not self.result.called:
            self.result.errback(failure)

    def _cancelled(self, result: Deferred[IProtocol]) -> None:
        result.errback(ExchangeCancelled(f"waiting for the proxy {self._proxy.peer} to open a tunnel"))
        if self._tunnel is not None:
            self._tunnel.abort()
