"""Answers to ``/public``, made once for all who ask at the same time."""

from __future__ import annotations

from collections.abc import Mapping

from twisted.internet.task import Cooperator
from twisted.web.server import Request

from pypinger.domain.selector import Selector
from pypinger.web.public import pages
from pypinger.web.public.tasks import PublicReader
from pypinger.web.serving.responses import etag_of
from pypinger.web.serving.slicing import Shared
from pypinger.web.sources import Sources


class PublicPages:
    """
    Makes the public page; it is off until it is configured.

    :param static: name -> path of the static files.
    """

    def __init__(self, sources: Sources, cooperator: Cooperator, static: Mapping[str, str]) -> None:
        self._now = sources.now
        self._static = static
        self._reader = PublicReader(sources.board, sources.history, cooperator)
        self._shared: Shared[tuple[bytes, bytes]] = Shared(cooperator)
        self._selector: Selector | None = None

    def configure(self, selector: Selector | None) -> None:
        """Publish these tasks; None for no page."""
        self._selector = selector

    async def page(self, request: Request, *, html: bool) -> tuple[bytes, bytes] | None:
        """The page that a request asks for, and its entity tag; None if there is no public page."""
        selector = self._selector
        if selector is None:
            return None
        sent = (request.args or {}).get(b"page", [b""])[-1]
        number = max(1, int(sent)) if sent.isdigit() and len(sent) < 7 else 1
        return await self._shared.get(
            (selector.text, html, number), lambda: self._make(request, selector, number, html=html)
        )

    async def _make(self, request: Request, selector: Selector, number: int, *, html: bool) -> tuple[bytes, bytes]:
        now = self._now()
        part = await self._reader.read(selector, number, now)
        if html:
            return await pages.html(request, part, now, self._static)
        body = pages.json(part, now)
        return body, etag_of(body)
