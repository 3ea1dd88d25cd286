"""The web server over a board."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from twisted.internet.interfaces import IReactorTime

from pypinger.domain.redaction import Secrets
from pypinger.ports.history import History
from pypinger.ports.showing import Board
from pypinger.web.app import Pages, Sources
from tests.web.fakes import NOW


def make_pages(
    board: Board,
    clock: IReactorTime,
    *,
    now: Callable[[], float] = lambda: NOW,
    history: History | None = None,
    secrets: Secrets | None = None,
    hosts: Sequence[str] = (),
    public_url: str = "",
    loopback: bool = False,
    most: int | None = None,
) -> Pages:
    sources = Sources(board, now, history, secrets or Secrets())
    return Pages(clock, sources, hosts=hosts, public_url=public_url, loopback=loopback, most=most)
