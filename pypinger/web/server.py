"""The web server (contract, section 7): its routes, its site and what it lets through."""

from __future__ import annotations

from collections.abc import Iterable

from twisted.internet.interfaces import IReactorTime

from pypinger.domain.selector import Selector
from pypinger.domain.url import parse
from pypinger.web.app import Routes
from pypinger.web.serving.guard import Guard
from pypinger.web.serving.pushes import PushPaths
from pypinger.web.serving.site import serve
from pypinger.web.serving.stream import EventStream
from pypinger.web.sources import Sources


class Pages:
    """
    The web server.

    :param clock: for time limits, and to share the reactor's time while long pages are made.
    :param most: clients connected at once; by default half of the descriptors that the process may have.
    :ivar site: the factory to give to an endpoint.
    :ivar resource: what the site serves.
    :ivar stream: the stream of changes.
    """

    def __init__(self, clock: IReactorTime, sources: Sources, *, most: int | None = None) -> None:
        self.stream = EventStream(sources.board, clock)
        self._routes = Routes(sources, self.stream, clock)
        self.resource = Guard(self._routes.app.resource())
        self._pushes = None if sources.pushes is None else PushPaths(sources.pushes, self.resource)
        self.site = serve(self._pushes or self.resource, clock, self.stream.close, most, self._pushes)

    def configure(
        self,
        hosts: Iterable[str],
        public_url: str,
        *,
        loopback: bool = False,
        public: Selector | None = None,
        pushes: bool = True,
    ) -> None:
        """
        Set what the ``[web]`` section says, also while the server runs.

        :param hosts: the ``Host`` names served, beside that of `public_url`; empty for any.
        :param public_url: where people reach the pages, for links; empty if that is not known.
        :param loopback: whether the endpoint is on the loopback interface. Then `public_url` alone limits the names: to
            its own, ``localhost`` and IP addresses.
        :param public: the tasks on the public page; None for no such page.
        :param pushes: whether tasks send to this server, too, and not to one of their own.
        """
        if self._pushes is not None:
            self._pushes.switch(pushes)
        public_host = parse(public_url).host if public_url else ""
        self.resource.configure(hosts, public_host, loopback=loopback)
        self._routes.configure(public_url, public)
