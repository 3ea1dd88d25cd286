"""
The routes of the web server (contract, section 7), and the site that serves them.

Shapes are left to :mod:`~pypinger.web.api` and :mod:`~pypinger.web.pages`, what every request must pass to
:mod:`~pypinger.web.door`. Importing Klein installs the reactor, so this module is imported no earlier than a service
is made, and Klein by no other module.
"""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus
from urllib.parse import urlsplit

from klein import Klein
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.server import Request
from werkzeug.exceptions import HTTPException

from pypinger.domain.model import Status
from pypinger.ports import Board, WallClock
from pypinger.web import api, assets, pages
from pypinger.web.door import NO_STORE, Door, refuse
from pypinger.web.lookup import TaskLookup
from pypinger.web.negotiate import prefers_html
from pypinger.web.rendered import Rendered, in_slices
from pypinger.web.rows import row
from pypinger.web.server import Site

_HTML = b"text/html; charset=utf-8"
_JSON = b"application/json"
_TASK = "/task/"

_log = Logger()


class Routes:
    """
    What each path answers.

    :param board: where everything stands.
    :param root: the path of the overview as browsers see it, for links from paths of unknown depth; ends with a slash.
    :param reactor: gets its turn while long pages are made.
    """

    app = Klein()
    # Otherwise "/task//x" is redirected to whatever host the request named.
    app.url_map.merge_slashes = False

    def __init__(self, board: Board, now: WallClock, root: str, reactor: IReactorTime) -> None:
        self._board = board
        self._now = now
        self._root = root
        self._reactor = reactor
        self._lookup = TaskLookup(board)
        self._assets = assets.load()
        self._links = {name: asset.path for name, asset in self._assets.items()}
        self._json = Rendered(api.task_row)
        self._rows = Rendered(row)

    @app.route("/")
    async def overview(self, request: Request) -> bytes:
        """All tasks."""
        entries = self._board.entries()
        if not _wants_html(request):
            self._json.keep_only(entries)
            rows = await in_slices(self._json.of, entries, self._reactor)
            return _answer(request, _JSON, api.overview(rows, self._board.daemon()))
        self._rows.keep_only(entries)
        now = self._now()
        groups = {
            status: await in_slices(
                lambda entry: self._rows.of(entry).html(now),
                [entry for entry in entries if entry.state.status is status],
                self._reactor,
            )
            for status in pages.GROUPS
        }
        _renew(request)
        return _answer(request, _HTML, await pages.overview(request, groups, self._board.daemon(), now, self._links))

    @app.route(f"{_TASK}<path:sent>")
    async def task(self, request: Request, sent: str) -> bytes:
        """One task, by its id or its URL."""
        # The query belongs to the task's URL, so the request's whole target counts.
        entry = self._lookup.find(request.uri.decode("ascii")[len(_TASK) :])
        if entry is None:
            return await self._not_found(request, "No task with this address is watched here.")
        if entry.state.status is Status.ERROR:
            request.setResponseCode(HTTPStatus.INTERNAL_SERVER_ERROR)
        if not _wants_html(request):
            return _answer(request, _JSON, api.one_task(self._json.of(entry)))
        _renew(request)
        root = self._root_from(request)
        return _answer(request, _HTML, await pages.task_page(request, entry, self._now(), root, self._links))

    @app.route("/healthz")
    def healthz(self, request: Request) -> bytes:
        """Whether the process serves."""
        return _answer(request, _JSON, b'{"status":"ok"}')

    @app.route("/readyz")
    def readyz(self, request: Request) -> bytes:
        """Whether every task has been checked since the start."""
        if self._board.daemon().ready:
            return _answer(request, _JSON, b'{"status":"ready"}')
        request.setResponseCode(HTTPStatus.SERVICE_UNAVAILABLE)
        return _answer(request, _JSON, b'{"status":"starting"}')

    @app.route("/status")
    def status(self, request: Request) -> bytes:
        """Py Pinger's report on itself."""
        return _answer(request, _JSON, api.own_report(self._board.daemon()))

    @app.route("/static/<name>")
    async def static(self, request: Request, name: str) -> bytes:
        """One of the static files."""
        asset = self._assets.get(name)
        if asset is None:
            return await self._not_found(request, "There is no such page.")
        body = _answer(request, asset.media_type.encode("ascii"), asset.content)
        request.setHeader(b"Cache-Control", b"public, max-age=86400")
        return body

    @app.handle_errors(HTTPException)  # type: ignore[arg-type]
    async def unrouted(self, request: Request, failure: Failure) -> bytes:
        """No route has this path; Klein's own answer might redirect."""
        return await self._not_found(request, "There is no such page.")

    @app.handle_errors(Exception)  # type: ignore[arg-type]
    def failed(self, request: Request, failure: Failure) -> bytes:
        """A route raised: a bug of ours. The client learns no more than that."""
        _log.failure("A page could not be made", failure)
        return refuse(request, HTTPStatus.INTERNAL_SERVER_ERROR)

    async def _not_found(self, request: Request, words: str) -> bytes:
        request.setResponseCode(HTTPStatus.NOT_FOUND)
        if not _wants_html(request):
            return _answer(request, _JSON, api.NO_TASK)
        page = await pages.not_found(request, words, self._root_from(request), self._links)
        return _answer(request, _HTML, page)

    def _root_from(self, request: Request) -> str:
        """
        What leads from the requested page to the overview.

        A relative path works under any prefix that a proxy may add. But a task's URL in the path may have lost or won
        slashes on its way through a proxy, so from there only the absolute path is sure.
        """
        return "../" if request.path.count(b"/") == 2 else self._root


def site(
    board: Board, now: WallClock, *, hosts: Iterable[str] = (), public_url: str = "", reactor: IReactorTime
) -> Site:
    """
    The web server, to be given to an endpoint.

    :param hosts: the ``Host`` names served; empty for any.
    :param public_url: where people reach the pages; its path goes into links.
    :param reactor: for limits of time, and to yield to while long pages are made.
    """
    return Site(resource(board, now, hosts=hosts, public_url=public_url, reactor=reactor), reactor)


def resource(
    board: Board, now: WallClock, *, hosts: Iterable[str] = (), public_url: str = "", reactor: IReactorTime
) -> Door:
    """What the site serves, see :func:`site`."""
    root = urlsplit(public_url).path.rstrip("/") + "/"
    return Door(Routes(board, now, root, reactor).app.resource(), hosts)


def _wants_html(request: Request) -> bool:
    request.setHeader(b"Vary", b"Accept")
    values: Iterable[bytes] = request.requestHeaders.getRawHeaders(b"Accept", ())
    return prefers_html(b",".join(values).decode("latin-1"))


def _renew(request: Request) -> None:
    """Have browsers load the page again by themselves every 30 s."""
    request.setHeader(b"Refresh", b"30")


def _answer(request: Request, media_type: bytes, body: bytes) -> bytes:
    for name, value in ((b"Content-Type", media_type), (b"Content-Length", b"%d" % len(body)), NO_STORE):
        request.setHeader(name, value)
    return body
