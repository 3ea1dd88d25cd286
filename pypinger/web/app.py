"""
The routes of the web server (contract, section 7).

Importing Klein installs the reactor, so this module is only imported when a service is made, and it is the only module
that imports Klein.
"""

from __future__ import annotations

import re
from http import HTTPStatus
from itertools import islice
from urllib.parse import urlsplit

from klein import Klein
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.server import Request
from twisted.web.template import Tag
from werkzeug.exceptions import HTTPException

from pypinger.domain.kinds import Status
from pypinger.domain.selector import Selector
from pypinger.ports.showing import Entry
from pypinger.ports.storing import StoreError
from pypinger.web.feeds import badge, feed
from pypinger.web.feeds.metrics import Metrics
from pypinger.web.html import overview, task_history, task_page, undelivered, view
from pypinger.web.html.figures import FigureCache
from pypinger.web.html.removed import removed
from pypinger.web.html.rows import SLICE, row, tile
from pypinger.web.json import objects
from pypinger.web.json.history_pages import PARTS, HistoryPages
from pypinger.web.json.overview import JsonTasks
from pypinger.web.json.query import BadQuery
from pypinger.web.json.v1 import Api, NotFound
from pypinger.web.lookup import TaskLookup
from pypinger.web.past.pages import LISTS, PastPages
from pypinger.web.public.answers import PublicPages
from pypinger.web.serving import assets
from pypinger.web.serving.compression import Compressor, compressed
from pypinger.web.serving.guard import refuse
from pypinger.web.serving.requests import accepted, root_from, target_after, wants_html
from pypinger.web.serving.responses import HTML, JSON, answer, cacheable, problem
from pypinger.web.serving.slicing import Shared, in_slices, make_cooperator
from pypinger.web.serving.stream import EventStream
from pypinger.web.sources import Sources

_TASK = "/task/"
_BADGE = "/badge/"
_API = "/api/v1/"
_FEED = "feed.atom"

_BADGE_FORM = re.compile(r"(?P<task>.+)\.(?P<form>svg|json)(?:\?[^?]*)?")

_log = Logger()


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
        self.compressor = Compressor(self._cooperator)
        self._pages: Shared[tuple[bytes, bytes]] = Shared(self._cooperator)
        self._lookup = TaskLookup(board)
        self._assets = assets.load()
        self._links = {name: asset.path for name, asset in self._assets.items()}
        self._json = JsonTasks(board, self._cooperator)
        self._history_pages = HistoryPages(sources.history, sources.now)
        self._past = PastPages(sources, self._cooperator, self._links)
        self._public = PublicPages(sources, self._cooperator, self._links)
        self._metrics = Metrics(board, stream, self._cooperator)
        self._api = Api(board, self._history_pages, self._json.of)
        self._figures = FigureCache(sources.history, sources.now, clock)
        self.configure("", None)

    def configure(self, public_url: str, public: Selector | None) -> None:
        """Link to where people reach the pages, empty if that is not known, and publish the tasks of a selector."""
        self._public.configure(public)
        # The path of the overview as browsers see it, and its whole address where that is known.
        self._root = urlsplit(public_url).path.rstrip("/") + "/"
        self._home = f"{public_url.rstrip('/')}/"

    @app.route("/")
    @compressed
    async def overview(self, request: Request) -> bytes:
        """All tasks."""
        if not wants_html(request):
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
        complete = wanted.wall or await self._figures.refresh(selection.entries)
        now, daemon = self._now(), await undelivered.explain(self._history, self._board.daemon())
        # Sliced across groups, since there may be many small ones.
        made = iter(
            await in_slices(
                lambda entry: (
                    tile(entry, daemon, now) if wanted.wall else row(entry, self._figures.of(entry), daemon, now)
                ),
                selection.entries,
                self._cooperator,
                SLICE,
            )
        )
        rows = {group.key: list(islice(made, len(group.entries))) for group in selection.groups}
        return await overview.page_of(request, entries, selection, rows, daemon, now, self._links, complete=complete)

    @app.route(f"{_TASK}<path:sent>")
    @compressed
    async def task(self, request: Request, sent: str) -> bytes:
        """One task, by its id or its URL, or a part of its history."""
        # The query belongs to the task's URL, so the request's whole target counts.
        found = self._lookup.find_part(target_after(_TASK, request), (*PARTS, _FEED))
        if found is None:
            return await self._no_task(request)
        entry = found.entry
        if found.part == _FEED:
            return await self._incidents_feed(request, entry)
        if found.part in LISTS and wants_html(request):
            # A path with the task's id is the only one that no proxy changes.
            root = "../../" if found.bare and sent.startswith(entry.task.id) else self._root
            return cacheable(request, HTML, *await self._past.html(request, found.part, found.query, root, entry))
        if found.part:
            link = "" if found.bare else f"{self._root}task/{entry.task.id}/{found.part}"
            body = await self._history_pages.part(found.part, entry.task.key, found.query, link)
            return cacheable(request, JSON, body)
        if entry.state.status is Status.ERROR or entry.unseen is not None:
            request.setResponseCode(HTTPStatus.INTERNAL_SERVER_ERROR)
        if not wants_html(request):
            return cacheable(request, JSON, objects.one_task(self._json.of(entry)))
        root = root_from(request, self._root)
        # A client that waits holds the entry, so no other entry has its id meanwhile.
        made = self._pages.get((id(entry), root), lambda: self._task_page(request, entry, root))
        return cacheable(request, HTML, *await made)

    async def _task_page(self, request: Request, entry: Entry, root: str) -> tuple[bytes, bytes]:
        now = self._now()
        past = await task_history.read(self._history, entry, now)
        last = self._board.last_answer(entry.task.id)
        daemon = self._board.daemon()
        return await task_page.page_of(request, entry, last, past, daemon, now, root, self._links, self._secrets)

    @app.route("/incidents")
    @compressed
    async def incidents(self, request: Request) -> bytes:
        """Incidents, open and closed."""
        return await self._list(request, "incidents")

    @app.route("/deliveries")
    @compressed
    async def deliveries(self, request: Request) -> bytes:
        """What became of the alerts."""
        return await self._list(request, "deliveries")

    async def _list(self, request: Request, name: str) -> bytes:
        query = target_after("/", request).partition("?")[2]
        if wants_html(request):
            return cacheable(
                request, HTML, *await self._past.html(request, name, query, root_from(request, self._root))
            )
        return cacheable(request, JSON, await self._past.json(name, query))

    @app.route("/public")
    @compressed
    async def public(self, request: Request) -> bytes:
        """What everybody may know of some tasks."""
        html = wants_html(request)
        made = await self._public.page(request, html=html)
        if made is None:
            return await self._not_found(request, "There is no such page.")
        return cacheable(request, HTML if html else JSON, *made)

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
    @compressed
    async def api(self, request: Request, target: str) -> bytes:
        """The API for programs."""
        return cacheable(request, JSON, await self._api.answer(target_after(_API, request), self._root))

    @app.route("/events")
    async def events(self, request: Request) -> bytes:
        """The stream of changes."""
        return await self._stream.follow(request)

    @app.route(f"{_BADGE}<path:sent>")
    @compressed
    async def badge(self, request: Request, sent: str) -> bytes:
        """One task's badge, by its id or its URL."""
        match = _BADGE_FORM.fullmatch(target_after(_BADGE, request))
        if match is None:
            return await self._not_found(request, "There is no such page.")
        entry = self._lookup.find(match["task"])
        if entry is None:
            request.setResponseCode(HTTPStatus.NOT_FOUND)
        if match["form"] == "json":
            return cacheable(request, JSON, badge.shield(entry, self._board.daemon().blind))
        return cacheable(request, b"image/svg+xml", badge.svg(entry, self._board.daemon().blind))

    @app.route(f"/{_FEED}")
    @compressed
    async def feed(self, request: Request) -> bytes:
        """The incidents of all tasks."""
        return await self._incidents_feed(request, None)

    @app.route("/metrics")
    @compressed
    async def metrics(self, request: Request) -> bytes:
        """For Prometheus."""
        request.setHeader(b"Vary", b"Accept")
        media_type, text = await self._metrics.text(accepted(request))
        return answer(request, media_type.encode("ascii"), text)

    @app.route("/static/<name>")
    @compressed
    async def static(self, request: Request, name: str) -> bytes:
        """One of the static files."""
        asset = self._assets.get(name)
        if asset is None:
            return await self._not_found(request, "There is no such page.")
        body = cacheable(request, asset.media_type.encode("ascii"), asset.content)
        request.setHeader(b"Cache-Control", b"public, max-age=86400")
        return body

    @app.handle_errors(HTTPException)  # type: ignore[arg-type]
    @compressed
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
        home = self._home
        if home.startswith("/"):
            # Without public_url: relative links hold under any prefix that a proxy adds.
            home = {1: "./", 3: "../../"}.get(request.path.count(b"/"), home)
        body = await feed.latest(self._history, self._board, home, of, self._now())
        return cacheable(request, feed.MEDIA_TYPE, body)

    async def _no_task(self, request: Request) -> bytes:
        html = wants_html(request)
        gone = await self._removed(target_after(_TASK, request)) if html else None
        return await self._not_found(request, "No task with this address is monitored here.", gone)

    async def _removed(self, sent: str) -> list[Tag] | None:
        return await removed(self._history, sent, self._now(), self._cooperator)

    async def _not_found(self, request: Request, words: str, gone: list[Tag] | None = None) -> bytes:
        request.setResponseCode(HTTPStatus.NOT_FOUND)
        if not wants_html(request):
            return answer(request, JSON, objects.NO_TASK)
        root = root_from(request, self._root)
        daemon, now = self._board.daemon(), self._now()
        page = await overview.not_found(request, words, daemon, now, root, self._links, gone)
        return cacheable(request, HTML, *page)
