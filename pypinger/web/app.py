"""
The routes of the web server (contract, section 7), and the site that serves them.

Shapes are left to :mod:`~pypinger.web.json.objects` and :mod:`~pypinger.web.html.overview`, what every request must pass to
:mod:`~pypinger.web.serving.guard`. Importing Klein installs the reactor, so this module is imported no earlier than a service
is made, and Klein by no other module.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from http import HTTPStatus
from itertools import islice
from urllib.parse import urlsplit

from klein import Klein
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.server import Request
from werkzeug.exceptions import HTTPException

from pypinger.domain.kinds import Status
from pypinger.domain.redaction import Secrets
from pypinger.ports.clock import WallClock
from pypinger.ports.history import History
from pypinger.ports.showing import Board, Entry
from pypinger.ports.storing import StoreError
from pypinger.web.feeds import badge, feed
from pypinger.web.feeds.metrics import Metrics
from pypinger.web.html import overview, task_page, view
from pypinger.web.html.figures import FigureCache
from pypinger.web.html.rows import SLICE, Pictures, row
from pypinger.web.json import objects
from pypinger.web.json.history_pages import Archive
from pypinger.web.json.overview import Listing
from pypinger.web.json.query import BadQuery
from pypinger.web.json.v1 import Api, NotFound
from pypinger.web.lookup import TaskLookup
from pypinger.web.serving import assets
from pypinger.web.serving.guard import Door, refuse
from pypinger.web.serving.negotiation import prefers_html
from pypinger.web.serving.responses import HTML, JSON, answer, problem, renewable
from pypinger.web.serving.site import Site
from pypinger.web.serving.slicing import Rendered, Shared, in_slices, turns
from pypinger.web.serving.stream import EventStream

_TASK = "/task/"
_BADGE = "/badge/"
_API = "/api/v1/"
_FEED = "feed.atom"

_BADGE_FORM = re.compile(r"(?P<task>.+)\.(?P<form>svg|json)(?:\?[^?]*)?")

_log = Logger()


class Routes:
    """
    What each path answers.

    :param board: where everything stands.
    :param history: what was kept of the past; without it the pages show the present alone.
    :param secrets: what must not be shown of what endpoints answer.
    :param root: the path of the overview as browsers see it, for links from paths of unknown depth; ends with a slash.
    :param home: the overview's whole address where it is known, else its path; ends with a slash.
    :param stream: tells of changes.
    :param reactor: gets its turn while long pages are made.
    """

    app = Klein()
    # Otherwise "/task//x" is redirected to whatever host the request named.
    app.url_map.merge_slashes = False

    def __init__(
        self,
        board: Board,
        now: WallClock,
        *,
        history: History | None,
        secrets: Secrets,
        root: str,
        home: str,
        stream: EventStream,
        reactor: IReactorTime,
    ) -> None:
        self._board = board
        self._now = now
        self._root = root
        self._turns = turns(reactor)
        self._pages: Shared[tuple[bytes, bytes]] = Shared(self._turns)
        self._lookup = TaskLookup(board)
        self._assets = assets.load()
        self._links = {name: asset.path for name, asset in self._assets.items()}
        self._history = history
        self._secrets = secrets
        self._home = home
        self._stream = stream
        self._listing = Listing(board, self._turns)
        self._archive = Archive(history, now)
        self._metrics = Metrics(board, stream, self._turns)
        self._api = Api(board, self._archive, self._listing.row, root)
        self._searched = Rendered(view.haystack)
        self._figures = FigureCache(history, now, reactor)
        self._pictures = Pictures()

    @app.route("/")
    async def overview(self, request: Request) -> bytes:
        """All tasks."""
        if not _wants_html(request):
            return renewable(request, JSON, *await self._listing.overview())
        wanted = view.read(request.args)
        return renewable(request, HTML, *await self._pages.get(wanted, lambda: self._overview(request, wanted)))

    async def _overview(self, request: Request, wanted: view.View) -> tuple[bytes, bytes]:
        entries = self._board.entries()
        self._searched.keep_only(entries)
        self._figures.keep_only(entries)
        if wanted.search:
            await in_slices(self._searched.of, entries, self._turns)
        selection = view.select(entries, wanted, self._searched.of)
        complete = await self._figures.renew(selection.entries)
        now = self._now()
        # Sliced across groups, for there may be many small ones.
        made = iter(
            await in_slices(
                lambda entry: row(entry, self._pictures.of(entry, self._figures.of(entry), now), now),
                selection.entries,
                self._turns,
                SLICE,
            )
        )
        rows = {group.key: list(islice(made, len(group.entries))) for group in selection.groups}
        return await overview.overview(
            request, entries, selection, rows, self._board.daemon(), now, self._links, complete=complete
        )

    @app.route(f"{_TASK}<path:sent>")
    async def task(self, request: Request, sent: str) -> bytes:
        """One task, by its id or its URL, or one of the parts of what is known of it."""
        # The query belongs to the task's URL, so the request's whole target counts.
        found = self._lookup.find_part(_after(_TASK, request), (*Archive.PARTS, _FEED))
        if found is None:
            return await self._not_found(request, "No task with this address is watched here.")
        entry = found.entry
        if found.part == _FEED:
            return await self._incidents_feed(request, entry)
        if found.part:
            link = "" if found.bare else f"{self._root}task/{entry.task.id}/{found.part}"
            return renewable(request, JSON, await self._archive.part(found.part, entry.task.url, found.query, link))
        if entry.state.status is Status.ERROR:
            request.setResponseCode(HTTPStatus.INTERNAL_SERVER_ERROR)
        if not _wants_html(request):
            return renewable(request, JSON, objects.one_task(self._listing.row(entry)))
        root = self._root_from(request)
        # Whoever waits holds the entry, so no other has its id meanwhile.
        made = self._pages.get((id(entry), root), lambda: self._task_page(request, entry, root))
        return renewable(request, HTML, *await made)

    async def _task_page(self, request: Request, entry: Entry, root: str) -> tuple[bytes, bytes]:
        now = self._now()
        past = await task_page.remembered(self._history, entry, now)
        said = self._board.last_answer(entry.task.id)
        return await task_page.task_page(request, entry, said, past, now, root, self._links, self._secrets)

    @app.route("/healthz")
    def healthz(self, request: Request) -> bytes:
        """Whether the process serves, and what is wrong although it does."""
        return answer(request, JSON, objects.health(self._board.daemon()))

    @app.route("/readyz")
    def readyz(self, request: Request) -> bytes:
        """Whether every task has been checked since the start."""
        if self._board.daemon().ready:
            return answer(request, JSON, b'{"status":"ready"}')
        request.setResponseCode(HTTPStatus.SERVICE_UNAVAILABLE)
        return answer(request, JSON, b'{"status":"starting"}')

    @app.route("/status")
    def status(self, request: Request) -> bytes:
        """Py Pinger's report on itself."""
        return answer(request, JSON, objects.own_report(self._board.daemon()))

    @app.route(f"{_API}<path:target>")
    async def interface(self, request: Request, target: str) -> bytes:
        """The API for programs."""
        return renewable(request, JSON, await self._api.answer(_after(_API, request)))

    @app.route("/events")
    async def events(self, request: Request) -> bytes:
        """The stream of changes."""
        return await self._stream.follow(request)

    @app.route(f"{_BADGE}<path:sent>")
    async def badge(self, request: Request, sent: str) -> bytes:
        """One task's badge, by its id or its URL."""
        match = _BADGE_FORM.fullmatch(_after(_BADGE, request))
        if match is None:
            return await self._not_found(request, "There is no such page.")
        entry = self._lookup.find(match["task"])
        if entry is None:
            request.setResponseCode(HTTPStatus.NOT_FOUND)
        if match["form"] == "json":
            return renewable(request, JSON, badge.shield(entry))
        return renewable(request, b"image/svg+xml", badge.svg(entry))

    @app.route(f"/{_FEED}")
    async def feed(self, request: Request) -> bytes:
        """The incidents of all tasks."""
        return await self._incidents_feed(request, None)

    @app.route("/metrics")
    async def metrics(self, request: Request) -> bytes:
        """For Prometheus."""
        request.setHeader(b"Vary", b"Accept")
        media_type, text = await self._metrics.text(_accept(request))
        return answer(request, media_type.encode("ascii"), text)

    @app.route("/static/<name>")
    async def static(self, request: Request, name: str) -> bytes:
        """One of the static files."""
        asset = self._assets.get(name)
        if asset is None:
            return await self._not_found(request, "There is no such page.")
        body = renewable(request, asset.media_type.encode("ascii"), asset.content)
        request.setHeader(b"Cache-Control", b"public, max-age=86400")
        return body

    @app.handle_errors(HTTPException)  # type: ignore[arg-type]
    async def unrouted(self, request: Request, failure: Failure) -> bytes:
        """No route has this path; Klein's own answer might redirect."""
        return await self._not_found(request, "There is no such page.")

    @app.handle_errors(BadQuery)  # type: ignore[arg-type]
    def unsound(self, request: Request, failure: Failure) -> bytes:
        """The query of one of our own paths is not sound."""
        return problem(request, HTTPStatus.BAD_REQUEST, str(failure.value))

    @app.handle_errors(NotFound)  # type: ignore[arg-type]
    def missing(self, request: Request, failure: Failure) -> bytes:
        """The API has no such thing."""
        return problem(request, HTTPStatus.NOT_FOUND, str(failure.value))

    @app.handle_errors(StoreError)  # type: ignore[arg-type]
    def unread(self, request: Request, failure: Failure) -> bytes:
        """The store cannot be read now."""
        return problem(request, HTTPStatus.SERVICE_UNAVAILABLE, str(failure.value))

    @app.handle_errors(Exception)  # type: ignore[arg-type]
    def failed(self, request: Request, failure: Failure) -> bytes:
        """A route raised: a bug of ours. The client learns no more than that."""
        _log.failure("A page could not be made", failure)
        return refuse(request, HTTPStatus.INTERNAL_SERVER_ERROR)

    async def _incidents_feed(self, request: Request, of: Entry | None) -> bytes:
        if self._history is None:
            raise StoreError("no history is kept")
        incidents = await self._history.incidents(None if of is None else of.task.url, limit=feed.ENTRIES)
        started, home = self._board.daemon().started, self._home
        if home.startswith("/"):
            # Nobody told where people reach us: what is relative holds under any prefix that a proxy adds.
            home = {1: "./", 3: "../../"}.get(request.path.count(b"/"), home)
        return renewable(request, feed.MEDIA_TYPE, feed.feed(incidents, self._board, started, home, of))

    async def _not_found(self, request: Request, words: str) -> bytes:
        request.setResponseCode(HTTPStatus.NOT_FOUND)
        if not _wants_html(request):
            return answer(request, JSON, objects.NO_TASK)
        page = await overview.not_found(request, words, self._now(), self._root_from(request), self._links)
        return renewable(request, HTML, *page)

    def _root_from(self, request: Request) -> str:
        """
        What leads from the requested page to the overview.

        A relative path works under any prefix that a proxy may add. But a task's URL in the path may have lost or won
        slashes on its way through a proxy, so from there only the absolute path is sure.
        """
        return {1: "./", 2: "../"}.get(request.path.count(b"/"), self._root)


def site(
    board: Board,
    now: WallClock,
    *,
    history: History | None = None,
    secrets: Secrets | None = None,
    hosts: Iterable[str] = (),
    public_url: str = "",
    reactor: IReactorTime,
) -> Site:
    """
    The web server, to be given to an endpoint.

    :param history: what was kept; None if nothing is.
    :param secrets: what must not be shown of what endpoints answer; it may change while the server runs.
    :param hosts: the ``Host`` names served; empty for any.
    :param public_url: where people reach the pages; its path goes into links.
    :param reactor: for limits of time, and to yield to while long pages are made.
    """
    stream = EventStream(board, reactor)
    made = resource(
        board,
        now,
        history=history,
        secrets=secrets,
        hosts=hosts,
        public_url=public_url,
        stream=stream,
        reactor=reactor,
    )
    return Site(made, reactor, stream.close)


def resource(
    board: Board,
    now: WallClock,
    *,
    history: History | None = None,
    secrets: Secrets | None = None,
    hosts: Iterable[str] = (),
    public_url: str = "",
    stream: EventStream | None = None,
    reactor: IReactorTime,
) -> Door:
    """What the site serves, see :func:`site`."""
    root = urlsplit(public_url).path.rstrip("/") + "/"
    routes = Routes(
        board,
        now,
        history=history,
        secrets=secrets or Secrets(),
        root=root,
        home=f"{public_url.rstrip('/')}/",
        stream=EventStream(board, reactor) if stream is None else stream,
        reactor=reactor,
    )
    return Door(routes.app.resource(), hosts)


def _wants_html(request: Request) -> bool:
    request.setHeader(b"Vary", b"Accept")
    return prefers_html(_accept(request))


def _accept(request: Request) -> str:
    values: Iterable[bytes] = request.requestHeaders.getRawHeaders(b"Accept", ())
    return b",".join(values).decode("latin-1")


def _after(prefix: str, request: Request) -> str:
    """What followed our own part of the request's target, query included, exactly as it came."""
    return request.uri.decode("ascii")[len(prefix) :]
