"""What is served, and the endpoints it is served at: the pages, and the paths of pushes."""

# Twisted's services have no annotations.
# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

from typing import Any

from twisted.application.service import MultiService, Service
from twisted.application.strports import service as endpoint_service
from twisted.internet.defer import maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IProtocolFactory
from twisted.logger import Logger

from pypinger.config.endpoint import with_backlog
from pypinger.config.settings import PushSettings, WebSettings
from pypinger.web.server import Pages
from pypinger.web.serving.connections import half_of_the_descriptors
from pypinger.web.serving.pushes import PushPaths
from pypinger.web.serving.site import serve
from pypinger.web.sources import Sources

#: How many clients may connect at once before they are accepted: jobs begin on the minute, all together.
BACKLOG = 1024


class EndpointError(Exception):
    """Nothing can be served at the configured endpoint; ``str()`` of it is one line that says why."""


class Listener(MultiService):
    """
    Serves one factory at an endpoint, which may move.

    :param section: of the ini file, with the option ``endpoint``.
    """

    def __init__(self, reactor: Any, section: str, factory: IProtocolFactory) -> None:
        super().__init__()
        self._reactor = reactor
        self._section = section
        self._factory = factory
        self._endpoint = ""
        self._listening: Service | None = None

    @property
    def active(self) -> bool:
        """Whether there is an endpoint."""
        return bool(self._endpoint)

    def listen(self, endpoint: str) -> None:
        """
        Serve at an endpoint.

        :raises EndpointError: it cannot be used.
        """
        fresh = self._service(endpoint)
        self._endpoint, self._listening = endpoint, fresh
        fresh.setServiceParent(self)

    async def move(self, endpoint: str) -> None:
        """
        Serve at another endpoint instead; at none if it is empty.

        :raises EndpointError: it cannot be used, and the old one stays.
        """
        if endpoint == self._endpoint:
            return
        old, fresh = self._listening, None
        if endpoint:
            fresh = self._service(endpoint)
            try:
                fresh.setServiceParent(self)
            except (CannotListenError, OSError) as error:
                await maybeDeferred(fresh.disownServiceParent)
                raise self._refused(endpoint, error) from error
        self._endpoint, self._listening = endpoint, fresh
        if old is not None:
            await maybeDeferred(old.disownServiceParent)

    def privilegedStartService(self) -> None:
        """
        Bind the port.

        :raises EndpointError: it cannot be bound.
        """
        try:
            super().privilegedStartService()
        except (CannotListenError, OSError) as error:
            raise self._refused(self._endpoint, error) from error

    def _service(self, endpoint: str) -> Service:
        try:
            made: Service = endpoint_service(with_backlog(endpoint, BACKLOG), self._factory, self._reactor)
        except (ValueError, LookupError) as error:
            # The configuration is valid, so this is a socket that systemd did not pass.
            words = f"[{self._section}] endpoint {endpoint}: no such socket was passed to us ({error})"
            raise EndpointError(words) from error
        return made

    def _refused(self, endpoint: str, error: Exception) -> EndpointError:
        cause = getattr(error, "socketError", error)
        words = getattr(cause, "strerror", None) or str(cause)
        return EndpointError(
            f"[{self._section}] endpoint {endpoint}: cannot listen: {words}; is another Py Pinger running?"
        )


class Servers:
    """
    The pages and the paths of pushes.

    :param parent: the service that the listeners belong to.
    """

    _log = Logger()

    def __init__(
        self, reactor: Any, sources: Sources, parent: MultiService, web: WebSettings, push: PushSettings
    ) -> None:
        assert sources.pushes is not None
        self._pages = Pages(reactor, sources)
        self._settings: tuple[WebSettings, bool] | None = None
        self._page_listener = Listener(reactor, "web", self._pages.site)
        paths = PushPaths(sources.pushes)
        self._push_site = serve(paths, reactor, lambda: None, None, paths)
        self._push_listener = Listener(reactor, "push", self._push_site)
        self._page_listener.listen(web.endpoint)
        if push.endpoint:
            self._push_listener.listen(push.endpoint)
        self._page_listener.setServiceParent(parent)
        self._push_listener.setServiceParent(parent)
        self._configure(web)

    async def change(self, web: WebSettings, push: PushSettings) -> None:
        """Use other settings; an endpoint that cannot be used is logged, and the old one stays."""
        for listener, endpoint in ((self._page_listener, web.endpoint), (self._push_listener, push.endpoint)):
            try:
                await listener.move(endpoint)
            except EndpointError as error:
                # The next reload tries again.
                self._log.critical("{words}", words=str(error))
        self._configure(web)

    def _configure(self, web: WebSettings) -> None:
        # Pushes are taken beside the pages unless they are listened for elsewhere: their endpoint may be in use.
        pushes = not self._push_listener.active
        if (web, pushes) == self._settings:
            return
        self._settings = web, pushes
        # Together both may have as many clients as the pages would alone.
        for site in (self._pages.site, self._push_site):
            site.limit(half_of_the_descriptors() // (1 if pushes else 2))
        self._pages.configure(web.hosts, web.public_url, loopback=web.loopback, public=web.public, pushes=pushes)
