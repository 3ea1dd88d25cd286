"""
The network as one client uses it: routes to origins, and connections opened along them.

All agents of a client share one network, so that its limit of connections holds for all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from weakref import WeakValueDictionary

from twisted.internet.defer import Deferred, fail, succeed
from twisted.python.failure import Failure

from pypinger.domain.url import Url
from pypinger.http.wire.connection import Connection
from pypinger.http.wire.endpoint import Opening
from pypinger.http.wire.errors import ExchangeFailed
from pypinger.http.wire.limits import Limits
from pypinger.http.wire.names import Names
from pypinger.http.wire.pool import Pool
from pypinger.http.wire.proxy import Proxy
from pypinger.http.wire.reactor import IPollingReactor
from pypinger.http.wire.route import Route
from pypinger.http.wire.tls import NO_FILES, Contexts, TlsClient, TrustSetting


class Network:
    """
    Opens connections and keeps them.

    :param names: looks names up.
    """

    def __init__(self, reactor: IPollingReactor, limits: Limits, names: Names | None = None) -> None:
        self.limits = limits
        self.pool = Pool(reactor, limits)
        self._reactor = reactor
        self.names = Names(reactor) if names is None else names
        self._contexts = Contexts()
        # A route lives as long as an agent remembers it or a connection uses it.
        self._routes: WeakValueDictionary[tuple[str, TrustSetting, Proxy | None], Route] = WeakValueDictionary()

    def route(self, url: Url, trust: TrustSetting, proxy: Proxy | None) -> Route:
        """
        Return the route to the URL's origin, always the same object for the same arguments.

        :raises ExchangeFailed: no certificate can be for the host.
        """
        secure = url.scheme == "https"
        key = (url.origin, trust if secure else NO_FILES, proxy)
        route = self._routes.get(key)
        if route is None:
            tls = TlsClient(self._reactor, self._contexts, trust, url.host, is_ip=url.is_ip) if secure else None
            self._routes[key] = route = Route(url, proxy, tls)
        return route

    def connect(self, route: Route) -> Deferred[Connection]:
        """
        Open a connection.

        :returns: a Deferred of the connection, or of :class:`ExchangeFailed`; cancelled, it leaves no socket.
        """
        # Callbacks and no coroutine: cancelling one leaves a cycle behind.
        if route.tls is not None:
            try:
                route.tls.load()
            except ExchangeFailed:
                return fail()
        to = route.first_hop
        found: Deferred[Sequence[str]] = succeed((to.host,)) if to.is_ip else self.names.addresses(to.host)
        return found.addCallback(self._open, route)

    def close(self) -> Deferred[None]:
        """Abort every connection, idle or in use; fires when they are gone."""
        return self.pool.close()

    def _open(self, addresses: Sequence[str], route: Route) -> Deferred[Connection]:
        self.pool.make_room()
        opening = Opening(self._reactor, self.pool, route, addresses)
        return opening.start().addErrback(self._forget, route.first_hop.host)

    def _forget(self, failure: Failure, host: str) -> Failure:
        self.names.forget(host)
        return failure
