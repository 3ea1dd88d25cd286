"""The web server over a board."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from twisted.internet.interfaces import IReactorTime

from pypinger.domain.redaction import Secrets
from pypinger.domain.selector import parse
from pypinger.ports.history import History
from pypinger.ports.pushing import PushReceiver
from pypinger.ports.showing import TaskBoard
from pypinger.web.server import Pages
from pypinger.web.sources import Sources
from tests.web.fakes import NOW


def make_pages(
    board: TaskBoard,
    clock: IReactorTime,
    *,
    now: Callable[[], float] = lambda: NOW,
    history: History | None = None,
    secrets: Secrets | None = None,
    hosts: Sequence[str] = (),
    public_url: str = "",
    loopback: bool = False,
    most: int | None = None,
    public: str = "",
    pushes: PushReceiver | None = None,
) -> Pages:
    sources = Sources(board, now, history, secrets or Secrets(), pushes)
    pages = Pages(clock, sources, most=most)
    pages.configure(hosts, public_url, loopback=loopback, public=parse(public) if public else None)
    return pages
