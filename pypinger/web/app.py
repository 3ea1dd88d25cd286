"""
The web server (contract, section 7): :class:`Pages` and its routes.

Importing Klein installs the reactor, so this module is only imported when a service is made, and it is the only module
that imports Klein.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from http import HTTPStatus
from itertools import islice
from urllib.parse import urlsplit

import msgspec
from klein import Klein
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.server import Request
from werkzeug.exceptions import HTTPException

from pypinger.domain.kinds import Status
from pypinger.domain.redaction import Secrets
from pypinger.domain.url import parse
from pypinger.ports.clock import WallClock
from pypinger.ports.history import History
from pypinger.ports.pushing import PushReceiver
from pypinger.ports.showing import Entry, TaskBoard
from pypinger.ports.storing import StoreError
from pypinger.web.feeds import badge, feed
from pypinger.web.feeds.metrics import Metrics
from pypinger.web.html import overview, task_history, task_page, view
from pypinger.web.html.figures import FigureCache
from pypinger.web.html.rows import SLICE, row
from pypinger.web.json import objects
from pypinger.web.json.history_pages import PARTS, HistoryPages
from pypinger.web.json.overview import JsonTasks
from pypinger.web.json.query import BadQuery
from pypinger.web.json.v1 import Api, NotFound
from pypinger.web.lookup import TaskLookup
from pypinger.web.serving import assets
from pypinger.web.serving.guard import Guard, refuse
from pypinger.web.serving.negotiation import prefers_html
from pypinger.web.serving.pushes import PushPaths
from pypinger.web.serving.responses import HTML, JSON, answer, cacheable, problem
from pypinger.web.serving.site import serve
from pypinger.web.serving.slicing import Shared, in_slices, make_cooperator
from pypinger.web.serving.stream import EventStream

_TASK = "/task/"
_BADGE = "/badge/"
_API = "/api/v1/"
_FEED = "feed.atom"

_BADGE_FORM = re.compile(r"(?P<task>.+)\.(?P<form>svg|json)(?:\?[^?]*)?")

_log = Logger()


class Sources(msgspec.Struct, frozen=True):
    """
    What the pages read.

    :ivar history: None if no history is kept; the pages show the present alone then.
    :ivar secrets: masked in the answers of tasks; it may change while the server runs.
    :ivar pushes: takes what tasks send, if any do.
    """

    board: TaskBoard
    now: WallClock
    history: History | None = None
    secrets: Secrets = msgspec.field(default_factory=Secrets)
    pushes: PushReceiver | None = None


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

    def configure(self, hosts: Iterable[str], public_url: str, *, loopback: bool = False, pushes: bool = True) -> None:
        """
        Set what the ``[web]`` section says, also while the server runs.

        :param hosts: the ``Host`` names served, beside that of `public_url`; empty for any.
        :param public_url: where people reach the pages, for links; empty if that is not known.
        :param loopback: whether the endpoint is on the loopback interface. Then `public_url` alone limits the names: to
            its own, ``localhost`` and IP addresses.
        :param pushes: whether tasks send to this server, too, and not to one of their own.
        """
        if self._pushes is not None:
            self._pushes.switch(pushes)
        public_host = parse(public_url).host if public_url else ""
        self.resource.configure(hosts, public_host, loopback=loopback)
        self._routes.configure(public_url)


class Routes:
    """What each path answers."""

    app = Klein()
    # Otherwise "/task//x" is redirected to the host that the request named.
    app.url_map.merge_slashes = False

    def __init__(self, sources: Sources, stream: EventStream, clock: IReactorTime) -> None:
        self._board = board = sources.board
        self._now = sources.now
        self._history = sources.history
        self._secrets = sources.secrets
        self._stream = stream
        self._cooperator = make_cooperator(clock)
        self._pages: Shared[tuple[bytes, bytes]] = Shared(self._cooperator)
        self._lookup = TaskLookup(board)
        self._assets = assets.load()
        self._links = {name: asset.path for name, asset in self._assets.items()}
        self._json = JsonTasks(board, self._cooperator)
        self._history_pages = HistoryPages(sources.history, sources.now)
        self._metrics = Metrics(board, stream, self._cooperator)
        self._api = Api(board, self._history_pages, self._json.of)
        self._figures = FigureCache(sources.history, sources.now, clock)
        self.configure("")

    def configure(self, public_url: str) -> None:
        """Link to where people reach the pages; empty if that is not known."""
        # The path of the overview as browsers see it, and its whole address where that is known.
        self._root = urlsplit(public_url).path.rstrip("/") + "/"
        self._home = f"{public_url.rstrip('/')}/"

    @app.route("/")
    async def overview(self, request: Request) -> bytes:
        """All tasks."""
        if not _wants_html(request):
            return cacheable(request, JSON, *await self._json.overview())
        wanted = view.read(request.args)
        return cacheable(request, HTML, *await self._pages.get(wanted, lambda: self._overview(request, wanted)))

    async def _overview(self, request: Request, wanted: view.View) -> tuple[bytes, bytes]:
        entries = self._board.entries()
        self._figures.keep_only(entries)
        found = entries
        if wanted.search:
            hits = await in_slices(wanted.finds, entries, self._cooperator)
            found = [entry for entry, hit in zip(entries, hits, strict=True) if hit]
        selection = view.select(found, wanted)
        complete = await self._figures.refresh(selection.entries)
        now = self._now()
        # Sliced across groups, since there may be many small ones.
        made = iter(
            await in_slices(
                lambda entry: row(entry, self._figures.of(entry), now), selection.entries, self._cooperator, SLICE
            )
        )
        rows = {group.key: list(islice(made, len(group.entries))) for group in selection.groups}
        daemon = self._board.daemon()
        return await overview.page_of(request, entries, selection, rows, daemon, now, self._links, complete=complete)

    @app.route(f"{_TASK}<path:sent>")
    async def task(self, request: Request, sent: str) -> bytes:
        """One task, by its id or its URL, or a part of its history."""
        # The query belongs to the task's URL, so the request's whole target counts.
        found = self._lookup.find_part(_after(_TASK, request), (*PARTS, _FEED))
        if found is None:
            return await self._not_found(request, "No task with this address is monitored here.")
        entry = found.entry
        if found.part == _FEED:
            return await self._incidents_feed(request, entry)
        if found.part:
            link = "" if found.bare else f"{self._root}task/{entry.task.id}/{found.part}"
            body = await self._history_pages.part(found.part, entry.task.key, found.query, link)
            return cacheable(request, JSON, body)
        if entry.state.status is Status.ERROR or entry.unseen is not None:
            request.setResponseCode(HTTPStatus.INTERNAL_SERVER_ERROR)
        if not _wants_html(request):
            return cacheable(request, JSON, objects.one_task(self._json.of(entry)))
        root = self._root_from(request)
        # A client that waits holds the entry, so no other entry has its id meanwhile.
        made = self._pages.get((id(entry), root), lambda: self._task_page(request, entry, root))
        return cacheable(request, HTML, *await made)

    async def _task_page(self, request: Request, entry: Entry, root: str) -> tuple[bytes, bytes]:
        now = self._now()
        past = await task_history.read(self._history, entry, now)
        last = self._board.last_answer(entry.task.id)
        daemon = self._board.daemon()
        return await task_page.page_of(request, entry, last, past, daemon, now, root, self._links, self._secrets)

    @app.route("/healthz")
    def healthz(self, request: Request) -> bytes:
        """Whether the process serves, and what is wrong although it does."""
        return answer(request, JSON, objects.health(self._board.daemon()))

    @app.route("/readyz")
    def readyz(self, request: Request) -> bytes:
        """Whether every task has been checked, or found blind, since the start."""
        if self._board.daemon().ready:
            return answer(request, JSON, b'{"status":"ready"}')
        request.setResponseCode(HTTPStatus.SERVICE_UNAVAILABLE)
        return answer(request, JSON, b'{"status":"starting"}')

    @app.route("/status")
    def status(self, request: Request) -> bytes:
        """Py Pinger's report on itself."""
        return answer(request, JSON, objects.own_report(self._board.daemon()))

    @app.route(f"{_API}<path:target>")
    async def api(self, request: Request, target: str) -> bytes:
        """The API for programs."""
        return cacheable(request, JSON, await self._api.answer(_after(_API, request), self._root))

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
            return cacheable(request, JSON, badge.shield(entry))
        return cacheable(request, b"image/svg+xml", badge.svg(entry))

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
        body = cacheable(request, asset.media_type.encode("ascii"), asset.content)
        request.setHeader(b"Cache-Control", b"public, max-age=86400")
        return body

    @app.handle_errors(HTTPException)  # type: ignore[arg-type]
    async def unrouted(self, request: Request, failure: Failure) -> bytes:
        """No route has this path; Klein's own answer might redirect."""
        return await self._not_found(request, "There is no such page.")

    @app.handle_errors(BadQuery)  # type: ignore[arg-type]
    def bad_query(self, request: Request, failure: Failure) -> bytes:
        """The query is invalid."""
        return problem(request, HTTPStatus.BAD_REQUEST, str(failure.value))

    @app.handle_errors(NotFound)  # type: ignore[arg-type]
    def api_not_found(self, request: Request, failure: Failure) -> bytes:
        """The API has no such path or task."""
        return problem(request, HTTPStatus.NOT_FOUND, str(failure.value))

    @app.handle_errors(StoreError)  # type: ignore[arg-type]
    def unreadable(self, request: Request, failure: Failure) -> bytes:
        """The store cannot be read."""
        return problem(request, HTTPStatus.SERVICE_UNAVAILABLE, str(failure.value))

    @app.handle_errors(Exception)  # type: ignore[arg-type]
    def failed(self, request: Request, failure: Failure) -> bytes:
        """A route raised, which is a bug; the client learns no more than that."""
        _log.failure("making a page", failure)
        return refuse(request, HTTPStatus.INTERNAL_SERVER_ERROR)

    async def _incidents_feed(self, request: Request, of: Entry | None) -> bytes:
        if self._history is None:
            raise StoreError("no history is kept")
        incidents = await self._history.incidents(None if of is None else of.task.key, limit=feed.ENTRIES)
        started, home = self._board.daemon().started, self._home
        if home.startswith("/"):
            # Without public_url: relative links hold under any prefix that a proxy adds.
            home = {1: "./", 3: "../../"}.get(request.path.count(b"/"), home)
        return cacheable(request, feed.MEDIA_TYPE, feed.feed(incidents, self._board, started, home, of))

    async def _not_found(self, request: Request, words: str) -> bytes:
        request.setResponseCode(HTTPStatus.NOT_FOUND)
        if not _wants_html(request):
            return answer(request, JSON, objects.NO_TASK)
        page = await overview.not_found(request, words, self._now(), self._root_from(request), self._links)
        return cacheable(request, HTML, *page)

    def _root_from(self, request: Request) -> str:
        """
        The link from the requested page to the overview.

        A relative path works under any prefix that a proxy may add. But a task's URL in the path may have lost or
        gained slashes in a proxy, so from there only the absolute path is reliable.
        """
        return {1: "./", 2: "../"}.get(request.path.count(b"/"), self._root)


def _wants_html(request: Request) -> bool:
    request.setHeader(b"Vary", b"Accept")
    return prefers_html(_accept(request))


def _accept(request: Request) -> str:
    values: Iterable[bytes] = request.requestHeaders.getRawHeaders(b"Accept", ())
    return b",".join(values).decode("latin-1")


def _after(prefix: str, request: Request) -> str:
    """What follows our own part of the request's target, query included, exactly as it was sent."""
    return request.uri.decode("ascii")[len(prefix) :]
